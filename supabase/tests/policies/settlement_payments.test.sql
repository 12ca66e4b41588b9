begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(7);

prepare payments as select reference from settlement_payments;

select tests.sign_out();
select throws_ok('payments', '42501', null, 'anon sees no payment');
select tests.sign_in('anna');
select bag_eq('payments', array['by-sam'], 'a beneficiary sees the payments of its settlements');
select tests.sign_in('ben');
select bag_eq('payments', array['by-ben'], 'a payer sees its payments');
select tests.sign_in('sam');
select bag_eq('payments', array['by-sam', 'by-nobody'], 'who is both sees both');
select tests.sign_in('zoe');
select is_empty('payments', 'a payment that names nobody is seen by no payer');
select tests.sign_in('ada');
select set_has('payments', $$ values ('by-ben'), ('by-sam'), ('by-nobody') $$, 'an admin sees all');
select throws_ok(
  'delete from settlement_payments', '42501', 'permission denied for table settlement_payments', 'and deletes none'
);

select * from finish();
rollback;
