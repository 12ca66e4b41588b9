begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(5);

select tests.sign_out();
select throws_ok('select * from settlements', '42501', null, 'anon sees no settlement');
select tests.sign_in('anna');
select bag_eq('select tests.uid(beneficiary_id) from settlements', array['anna'], 'a beneficiary sees its own');
select tests.sign_in('ben');
select is_empty('select * from settlements', 'other thinkers see none');
select tests.sign_in('ada');
select set_has(
  'select tests.uid(beneficiary_id) from settlements', $$ values ('anna'), ('sam') $$, 'an admin sees all'
);
select throws_ok(
  $$ update settlements set status = 'paid' $$, '42501', 'permission denied for table settlements', 'and changes none'
);

select * from finish();
rollback;
