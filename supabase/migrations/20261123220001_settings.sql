-- What an operator decides for the whole portal, and what the next migrations share.

create table private.settings (
  only_row            boolean  primary key default true,
  time_zone           text     not null default 'Europe/Berlin',
  settles_on_schedule boolean  not null default false,
  events_kept         interval not null default '13 months',

  constraint there_is_one_row check (only_row),
  constraint time_zone_is_known check (timestamptz 'epoch' at time zone time_zone is not null),
  constraint events_are_kept_for_a_month_to_a_millennium check (events_kept between interval '1 month' and interval '1000 years')
);

comment on table private.settings is
  'What an operator decides for the whole portal, in one row: update private.settings set settles_on_schedule = true.';
comment on column private.settings.time_zone is 'Where days and months begin, for periods of settlements and for figures by day.';
comment on column private.settings.settles_on_schedule is
  'Whether the scheduled job makes settlements (specification, 4.5: fees are switched on in layers). By hand it always works.';
comment on column private.settings.events_kept is 'How long events are kept; older ones go by whole months.';

alter table private.settings enable row level security;

grant select on private.settings to service_role;

insert into private.settings default values;

create function private.is_operator()
returns boolean
language sql
stable
set search_path = ''
as $$
  select pg_has_role(
    coalesce(nullif(current_setting('role'), 'none'), session_user),
    (select n.nspowner from pg_catalog.pg_namespace n where n.nspname = 'private'),
    'usage'
  )
$$;

comment on function private.is_operator is
  'True in a session of the schema''s owner (psql, Studio''s SQL editor, pg_cron, the command line), which could do everything '
  'anyway; false where it has taken the role of a caller, as every request does.';

grant execute on function private.is_operator to authenticated, service_role;

create or replace function private.require_admin()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not (private.may_act_as('admin') or private.is_operator()) then
    raise sqlstate 'PT403' using message = 'not_an_admin';
  end if;
end;
$$;

comment on function private.require_admin is
  'Lets trusted servers, admins and operators (private.is_operator) pass. Refuses: not_an_admin (403).';

create function private.known_actor()
returns uuid
language sql
stable
set search_path = ''
as $$
  select t.id from public.thinkers t where t.id = auth.uid()
$$;

comment on function private.known_actor is
  'The id of the thinker who acts, for the log; null where a server or an operator acts for nobody in particular.';

-- whoever a job says to be offline comes back with the next heartbeat
alter table public.presence_sessions
  add column silenced boolean not null default false,
  add constraint who_is_silenced_is_offline check (not silenced or status = 'offline');
comment on column public.presence_sessions.silenced is
  'True when a job, not the thinker, said offline after a minute of silence: the next heartbeat brings the thinker back.';

create schema stats;

comment on schema stats is 'What operators look at: views for dashboards, with the rights of whoever looks (security_invoker).';

grant usage on schema stats to service_role;
