begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(7);

select tests.sign_out();
select throws_ok('select * from mortgage_offers', '42501', null, 'anon sees no offer');

select tests.be_server('rival');
select offer_mortgage('sam-1', 'rival-1');

select tests.sign_in('sam');
select set_eq(
  'select id from mortgage_offers', array['zoe-1', 'zoe-3', 'rival-1'],
  'a borrower sees all offers for its applications'
);
select tests.sign_in('zoe');
select set_eq('select id from mortgage_offers', array['zoe-1', 'zoe-3'], 'a lender does not see its rival''s');
select tests.sign_in('anna');
select set_eq('select id from mortgage_offers', array['ben-1'], 'one borrower does not see another''s');
select tests.sign_in('lena');
select is_empty('select * from mortgage_offers', 'the role lender shows no offers of others');
select tests.sign_in('nora');
select set_eq(
  $$ select id from mortgage_offers where id not like '%demo%' $$, array['ben-1', 'zoe-3'],
  'a notary sees those with a contract'
);
select tests.sign_in('ada');
select set_has('select id from mortgage_offers', $$ values ('ben-1'), ('rival-1') $$, 'an admin sees all');

select * from finish();
rollback;
