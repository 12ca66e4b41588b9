begin;
\ir ../helpers.psql
select plan(9);

select tests.sign_in('anna');
select send_heartbeat('familie');
select tests.sign_in('ben');
select send_heartbeat('familie');
select match_presence('familie') ->> 'room_id' as room \gset

select throws_ok(format('select join_room(%L)', 'room-unknown'), 'PT403', 'not_your_room', 'not an unknown room');
select throws_ok('select send_to_room(null)', 'PT403', 'not_your_room', 'not no room');
select is(join_room(:'room') ->> 'room_id', :'room', 'who was matched joins');
select is(send_to_room(:'room', 'sealed') ->> 'room_id', :'room', 'and is heard');

select tests.sign_in('clara');
select throws_ok(format('select send_to_room(%L)', :'room'), 'PT403', 'not_your_room', 'not who was not matched');

reset role;
update presence_sessions set status = 'offline', silenced = true, last_seen_at = now() - interval '2 minutes';
select tests.sign_in('ben');
select lives_ok(format('select send_to_room(%L)', :'room'), 'a hidden page sends few heartbeats');

reset role;
update presence_sessions set last_seen_at = now() - interval '121 seconds';
select tests.sign_in('ben');
select throws_ok(format('select send_to_room(%L)', :'room'), 'PT403', 'not_your_room', 'not who was not seen for long');

select send_heartbeat(status => 'offline');
select throws_ok(format('select join_room(%L)', :'room'), 'PT403', 'not_your_room', 'not who has gone offline');

select send_heartbeat('projekt', 'online');
select throws_ok(format('select join_room(%L)', :'room'), 'PT403', 'not_your_room', 'not who has another pair code');

select * from finish();
rollback;
