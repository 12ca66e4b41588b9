begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(7);

select tests.sign_out();
select throws_ok('select * from mortgage_contracts', '42501', null, 'anon sees no contract');
select tests.sign_in('anna');
select set_eq('select offer_id from mortgage_contracts', array['ben-1'], 'the borrower sees its own');
select tests.sign_in('ben');
select set_eq('select offer_id from mortgage_contracts', array['ben-1'], 'so does the lender');
select tests.sign_in('visitor');
select is_empty('select * from mortgage_contracts', 'a stranger sees none');
select tests.sign_in('lena');
select is_empty('select * from mortgage_contracts', 'the role lender shows no contracts of others');
select tests.sign_in('nora');
select set_has('select offer_id from mortgage_contracts', $$ values ('ben-1'), ('zoe-3') $$, 'a notary sees all');
select tests.sign_in('ada');
select set_has('select offer_id from mortgage_contracts', $$ values ('ben-1'), ('zoe-3') $$, 'so does an admin');

select * from finish();
rollback;
