begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(9);

select tests.sign_out();
select throws_ok('select * from mortgage_applications', '42501', null, 'anon sees no application');

select tests.sign_in('anna');
select set_eq('select id from mortgage_applications', array['anna-1', 'anna-2'], 'a borrower sees its own');
select tests.sign_in('ben');
select set_eq('select id from mortgage_applications', array['anna-1'], 'a lender with an offer sees its application');
select tests.sign_in('zoe');
select set_eq(
  'select id from mortgage_applications', array['sam-1', 'sam-3'],
  'whatever the status of the offer'
);
select tests.sign_in('lena');
select set_eq(
  $$ select id from mortgage_applications where id not like 'app-demo-%' $$, array['anna-2', 'sam-1'],
  'a lender sees the open and the offered ones'
);
select tests.sign_in('visitor', '{"app_metadata": {"roles": ["lender"]}}');
select set_eq(
  $$ select id from mortgage_applications where id not like 'app-demo-%' $$, array['anna-2', 'sam-1'],
  'so does a lender by its token'
);
select tests.sign_in('visitor');
select is_empty('select * from mortgage_applications', 'a stranger sees none');
select tests.sign_in('nora');
select set_eq(
  $$ select id from mortgage_applications where id not like 'app-demo-%' $$, array['anna-1', 'sam-3'],
  'a notary sees those with a contract'
);
select tests.sign_in('ada');
select set_has(
  'select id from mortgage_applications', $$ values ('anna-1'), ('anna-2'), ('sam-2') $$, 'an admin sees all'
);

select * from finish();
rollback;
