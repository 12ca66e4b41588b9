begin;
\ir ../helpers.psql
select plan(7);

create function tests.sessions()
returns setof text
language sql
security definer
as $$
  select tests.uid(s.thinker_id) || ' ' || s.status || case when s.silenced then ', silenced' else '' end
  from public.presence_sessions s
  where tests.uid(s.thinker_id) not like 'demo-%'
  order by 1
$$;
grant execute on function tests.sessions to authenticated;

select tests.sign_in('anna');
select send_heartbeat();
select tests.sign_in('ben');
select send_heartbeat(status => 'away');
reset role;
update presence_sessions set status = 'offline', silenced = true where tests.uid(thinker_id) = 'anna';

select results_eq('select tests.sessions()', array['anna offline, silenced', 'ben offline'], 'a job timed anna out');

select tests.sign_in('anna');
select verify_presence();
select results_eq('select tests.sessions()', array['anna offline, silenced', 'ben offline'], 'verify changes nothing');

select send_heartbeat();
select results_eq('select tests.sessions()', array['anna online', 'ben offline'], 'her heartbeat brings her back');

select tests.sign_in('ben');
select send_heartbeat();
select results_eq('select tests.sessions()', array['anna online', 'ben offline'], 'a status that ben chose stays');

reset role;
update presence_sessions set status = 'offline', silenced = true;
select tests.sign_in('anna');
select send_heartbeat(status => 'away');
select results_eq(
  'select tests.sessions()', array['anna offline', 'ben offline, silenced'], 'a given status replaces that of the job'
);
select send_heartbeat();
select results_eq(
  'select tests.sessions()', array['anna offline', 'ben offline, silenced'], 'and stays until another is given'
);

select tests.sign_in('ben');
select send_heartbeat(status => 'online');
select results_eq('select tests.sessions()', array['anna offline', 'ben online'], 'the status online brings back too');

select * from finish();
rollback;
