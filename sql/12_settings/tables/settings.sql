create table private.settings (
  only_row            boolean  primary key default true,
  time_zone           text     not null default 'Europe/Berlin',
  settles_on_schedule boolean  not null default false,
  events_kept         interval not null default '13 months',

  constraint there_is_one_row check (only_row),
  constraint time_zone_is_known check (private.is_time_zone(time_zone)),
  constraint events_are_kept_for_a_month_to_a_millennium
    check (events_kept between interval '1 month' and interval '1000 years')
);

comment on table private.settings is
  'The portal-wide settings of the operator, in one row: update private.settings set settles_on_schedule = true.';
comment on column private.settings.time_zone is
  'The time zone in which days and months begin, for settlement periods and for figures by day: a name such '
  'as Europe/Berlin.';
comment on column private.settings.settles_on_schedule is
  'Whether the scheduled job creates settlements; off at first, so that fees can be observed before they are settled. '
  'By hand settling always works.';
comment on column private.settings.events_kept is 'How long events are kept. Older ones are dropped by whole months.';

alter table private.settings enable row level security;

grant select on private.settings to service_role;

insert into private.settings default values;
