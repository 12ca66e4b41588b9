begin;
\ir ../helpers.psql
\ir ../world.psql
select plan(7);

select tests.sign_out();
select throws_ok('select * from presence_sessions', '42501', null, 'anon sees no session');

select tests.sign_in('anna');
select set_eq(
  'select tests.uid(thinker_id) from presence_sessions', array['anna', 'ben'],
  'a thinker sees itself and the others in its room'
);
select tests.sign_in('visitor');
select send_heartbeat('familie');
select set_eq(
  'select tests.uid(thinker_id) from presence_sessions', array['visitor'],
  'the same pair code shows nobody before the room is shared'
);
select match_presence('familie');
select set_eq(
  'select tests.uid(thinker_id) from presence_sessions', array['visitor', 'anna', 'ben'],
  'in the room a thinker sees the others'
);
select send_heartbeat('garten');
select set_eq(
  'select tests.uid(thinker_id) from presence_sessions', array['visitor'],
  'and no longer after leaving it'
);
select tests.sign_in('lena');
select is_empty('select * from presence_sessions', 'a lender sees no session but its own');
select tests.sign_in('ada');
select set_has(
  'select tests.uid(thinker_id) from presence_sessions', $$ values ('anna'), ('sam') $$,
  'an admin sees all'
);

select * from finish();
rollback;
