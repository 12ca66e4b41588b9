begin;
\ir ../helpers.psql
select plan(2);

select tests.sign_in('anna');
select send_heartbeat('familie');
select tests.sign_in('ben');
select send_heartbeat('familie');

reset role;
update presence_sessions set last_seen_at = now() - interval '61 seconds' where thinker_id = private.thinker_id('anna');
select tests.sign_in('ben');
select is(match_presence('familie') ->> 'room_id', null, 'a thinker last seen 61 seconds ago is not matched');

reset role;
update presence_sessions set last_seen_at = now() - interval '60 seconds' where thinker_id = private.thinker_id('anna');
select tests.sign_in('ben');
select isnt(match_presence('familie') ->> 'room_id', null, 'a thinker last seen 60 seconds ago is matched');

select * from finish();
rollback;
