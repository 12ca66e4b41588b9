begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(9);

select tests.sign_out();
select throws_ok('select * from properties', '42501', null, 'anon sees no property');

select tests.sign_in('anna');
select set_eq('select id from properties', array['house', 'flat'], 'a borrower sees the properties it named first');
select tests.sign_in('sam');
select set_eq(
  'select id from properties', array['hut', 'ruin'],
  'applying shows a property that an operator entered, but not one that another borrower named'
);
select tests.sign_in('ben');
select set_eq('select id from properties', array['house'], 'a lender with an offer sees the property');
select tests.sign_in('zoe');
select set_eq('select id from properties', array['house', 'hut'], 'also one that its borrower did not name first');
select tests.sign_in('lena');
select set_eq(
  $$ select id from properties where id in ('house', 'flat', 'hut', 'ruin') $$, array['house', 'flat'],
  'a lender by role sees those of open and offered applications'
);
select tests.sign_in('nora');
select set_eq(
  $$ select id from properties where id in ('house', 'flat', 'hut', 'ruin') $$, array['house', 'hut'],
  'a notary sees those of contracts'
);
select tests.sign_in('visitor');
select is_empty('select * from properties', 'a stranger sees none');
select tests.sign_in('ada');
select set_has('select id from properties', $$ values ('house'), ('flat'), ('hut'), ('ruin') $$, 'an admin sees all');

select * from finish();
rollback;
