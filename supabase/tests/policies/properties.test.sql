begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(9);

select tests.sign_out();
select throws_ok('select * from properties', '42501', null, 'anon sees no property');

select tests.sign_in('anna');
select set_eq('select id from properties', array['house', 'flat'], 'a borrower sees what it was the first to name');
select tests.sign_in('sam');
select set_eq(
  'select id from properties', array['hut', 'ruin'],
  'one that an operator entered is seen by who applies for it; one that another borrower named is not'
);
select tests.sign_in('ben');
select set_eq('select id from properties', array['house'], 'who made an offer sees the property');
select tests.sign_in('zoe');
select set_eq('select id from properties', array['house', 'hut'], 'so does who made one for another''s application');
select tests.sign_in('lena');
select set_eq(
  $$ select id from properties where id in ('house', 'flat', 'hut', 'ruin') $$, array['house', 'flat'],
  'a lender sees those of borrowers who still seek'
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
