begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(9);

select tests.sign_out();
select throws_ok('select * from fee_events', '42501', null, 'anon sees no charge');
select tests.sign_in('ben');
select bag_eq(
  $$ select subject_type from fee_events where fee_id like 'world.%' $$, array['voucher_booking', 'mortgage_contract'],
  'the holder of a booking and lender of a mortgage sees the charges for both'
);
select tests.sign_in('anna');
select bag_eq(
  $$ select subject_type from fee_events where fee_id = 'world.portal' $$,
  array['voucher_booking', 'mortgage_contract'],
  'so does the issuer and borrower'
);
select bag_eq(
  $$ select subject_type from fee_events where fee_id = 'world.anna' $$, array['transfer'],
  'the beneficiary of a fee sees its charges'
);
select tests.sign_in('sam');
select bag_eq(
  $$ select subject_type from fee_events where fee_id like 'world.%' $$, array['transfer', 'mortgage_contract'],
  'the thinker who logged a transfer sees its charge'
);
select tests.sign_in('visitor');
select is_empty('select * from fee_events', 'a stranger sees none');
select tests.sign_in('nora');
select is_empty('select * from fee_events', 'a notary sees none, though it sees the contracts');
select tests.sign_in('ada');
select is((select count(*) from fee_events where fee_id like 'world.%'), 4::bigint, 'an admin sees all');
select throws_ok('delete from fee_events', '42501', 'permission denied for table fee_events', 'and deletes none');

select * from finish();
rollback;
