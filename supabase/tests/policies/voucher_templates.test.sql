begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(3);

select tests.sign_out();
select set_has('select id from voucher_templates', $$ values ('consulting'), ('therapy') $$, 'anon sees the templates');
select tests.sign_in('sam');
select set_has('select id from voucher_templates', $$ values ('consulting'), ('therapy') $$, 'so does a thinker');
select throws_ok(
  'delete from voucher_templates', '42501', 'permission denied for table voucher_templates', 'and writes none'
);

select * from finish();
rollback;
