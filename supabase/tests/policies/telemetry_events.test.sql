begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(5);

select tests.sign_out();
select throws_ok('select * from telemetry_events', '42501', null, 'anon sees no report');
select tests.sign_in('anna');
select bag_eq('select tests.uid(actor_id) from telemetry_events', array['anna'], 'a thinker sees its own reports');
select tests.sign_in('ben');
select record_telemetry('[{"type": "click", "actor_uid": "anna"}]');
select bag_eq('select tests.uid(actor_id) from telemetry_events', array['ben'], 'nobody reports in another''s name');
select tests.sign_in('lena');
select is_empty('select * from telemetry_events', 'a stranger sees none');
select tests.sign_in('ada');
select set_has(
  'select coalesce(tests.uid(actor_id), ''nobody'') from telemetry_events', $$ values ('anna'), ('sam'), ('nobody') $$,
  'an admin sees all, also those without an actor'
);

select * from finish();
rollback;
