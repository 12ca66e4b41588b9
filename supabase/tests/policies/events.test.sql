begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(6);

select tests.sign_out();
select throws_ok('select * from events', '42501', null, 'anon sees no event');
select tests.sign_in('anna');
select set_eq('select distinct tests.uid(actor_id) from events', array['anna'], 'a thinker sees its own events');
select set_has(
  'select type from events', $$ values ('presence.heartbeat'), ('voucher.issue'), ('transfer.logged') $$,
  'of every type'
);
select tests.sign_in('lena');
select is_empty('select * from events', 'a thinker without events sees none');
select tests.sign_in('ada');
select set_has(
  'select coalesce(tests.uid(actor_id), ''nobody'') from events', $$ values ('anna'), ('sam'), ('nobody') $$,
  'an admin sees all, also those without an actor'
);
select throws_ok('delete from events', '42501', 'permission denied for table events', 'and deletes none');

select * from finish();
rollback;
