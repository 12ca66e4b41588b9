begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(4);

create function tests.ids(list jsonb[])
returns text[]
language sql
as $$
  select array_agg(item ->> 'id' order by item ->> 'id')
  from unnest(list) as item
  where item ->> 'id' not like 'app-demo-%'
$$;
grant execute on function tests.ids to authenticated;

select tests.sign_in('lena');
select is(
  tests.ids(list_mortgage_applications('lender')), array['anna-2', 'sam-1'],
  'a lender sees the open and the offered applications'
);
select is(tests.ids(list_mortgage_applications()), null, 'as borrower a lender without applications sees none');
select tests.sign_in('sam');
select is(
  tests.ids(list_mortgage_applications('borrower')), array['sam-1', 'sam-2', 'sam-3'],
  'a borrower sees its own applications, whatever their status'
);
select throws_ok(
  $$ select list_mortgage_applications('lender') $$, 'PT403', 'not_a_lender', 'a borrower may not list as lender'
);

select * from finish();
rollback;
