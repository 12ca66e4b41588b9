begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(3);

select tests.sign_out();
select throws_ok('select * from fee_versions', '42501', null, 'anon sees no prices');
select tests.sign_in('visitor');
select set_has(
  'select fee_id from fee_versions', $$ values ('world.portal'), ('world.anna') $$, 'every thinker sees the versions'
);
select throws_ok(
  'delete from fee_versions', '42501', 'permission denied for table fee_versions', 'but deletes none'
);

select * from finish();
rollback;
