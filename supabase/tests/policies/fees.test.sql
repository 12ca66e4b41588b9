begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(3);

select tests.sign_out();
select throws_ok('select * from fees', '42501', null, 'anon sees no prices');
select tests.sign_in('visitor');
select set_has('select id from fees', $$ values ('world.portal'), ('world.anna') $$, 'every thinker sees them');
select throws_ok('update fees set percentage = 0', '42501', 'permission denied for table fees', 'and changes none');

select * from finish();
rollback;
