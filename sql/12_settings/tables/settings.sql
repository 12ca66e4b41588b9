create table private.settings (
  only_row            boolean  primary key default true,
  time_zone           text     not null default 'Europe/Berlin',
  settles_on_schedule boolean  not null default false,
  events_kept         interval not null default '13 months',
  bookings_held       integer  not null default 1000,
  vouchers_a_day      integer  not null default 5000,
  bookings_a_day      integer  not null default 5000,
  applications_a_day  integer  not null default 1000,
  transfers_a_day     integer  not null default 5000,
  new_thinkers_a_day  integer  not null default 1000,
  presence_changes_a_day integer not null default 2000,
  thinkers_a_session  integer  not null default 8,
  claims_a_minute     integer  not null default 20,
  telemetry_a_day     integer  not null default 50000,
  telemetry_types_a_day integer not null default 200,
  document_bytes      bigint   not null default 107374182400,
  document_bytes_a_thinker bigint not null default 1073741824,
  upload_bytes_a_day  bigint   not null default 2147483648,
  bytes_a_day         bigint   not null default 134217728,
  invoice_number      text     collate "C" not null default '{year}-{number}',
  payment_days        integer  not null default 30,
  carries_negative_totals boolean not null default true,
  past_bookings       boolean  not null default false,

  constraint there_is_one_row check (only_row),
  constraint time_zone_is_known check (private.is_time_zone(time_zone)),
  constraint events_are_kept_for_a_month_to_a_millennium
    check (events_kept between interval '1 month' and interval '1000 years'),
  constraint invoice_number_has_a_year_and_a_number check (
    regexp_count(invoice_number, '\{year\}') = 1
    and regexp_count(invoice_number, '\{number\}') = 1
    and invoice_number !~ '[[:cntrl:]]'
    and char_length(invoice_number) <= 64
  ),
  constraint payment_days_are_0_to_3650 check (payment_days between 0 and 3650),
  constraint limits_are_not_negative check (
    least(
      bookings_held,
      vouchers_a_day,
      bookings_a_day,
      applications_a_day,
      transfers_a_day,
      new_thinkers_a_day,
      presence_changes_a_day,
      thinkers_a_session,
      claims_a_minute,
      telemetry_a_day,
      telemetry_types_a_day,
      document_bytes, document_bytes_a_thinker, upload_bytes_a_day, bytes_a_day
    ) >= 0
  )
);

comment on table private.settings is
  'The portal-wide settings of the operator, in one row: update private.settings set settles_on_schedule = true.';
comment on column private.settings.time_zone is
  'The time zone in which days and months begin, for settlement periods and for figures by day: a name such as '
  'Europe/Berlin.';
comment on column private.settings.settles_on_schedule is
  'Whether the scheduled job creates settlements; off at first, so that fees can be observed before they are settled. '
  'By hand settling always works.';
comment on column private.settings.events_kept is 'How long events are kept. Older ones are dropped by whole months.';
comment on column private.settings.bookings_held is
  'How many bookings that are not over one thinker may hold. These limits protect thinkers from each other; a trusted '
  'server meets them only where it acts for a thinker. The thinkers of a browser session share them.';
comment on column private.settings.vouchers_a_day is 'How many vouchers one thinker may issue on a day (UTC).';
comment on column private.settings.bookings_a_day is
  'How many bookings one thinker may make on a day (UTC), cancelled ones included.';
comment on column private.settings.applications_a_day is
  'How many mortgage applications and offers one thinker may make on a day (UTC): a borrower who accepts one of many '
  'offers withdraws the others.';
comment on column private.settings.transfers_a_day is 'How many transfers one thinker may log on a day (UTC).';
comment on column private.settings.new_thinkers_a_day is
  'How many thinkers one thinker may create on a day (UTC) by naming unknown uids as holders of vouchers.';
comment on column private.settings.presence_changes_a_day is
  'How often one thinker may change its pair code, or come and go, on a day (UTC): each time leaves events, and two '
  'thinkers who change their pair code together make a room.';
comment on column private.settings.thinkers_a_session is
  'How many thinkers a browser session may use first (claim_thinker); as many again by their tokens.';
comment on column private.settings.claims_a_minute is
  'How many uids the browser sessions of one address may use first within a minute, or tokens prove '
  'beyond thinkers_a_session.';
comment on column private.settings.telemetry_a_day is
  'How many events of telemetry one thinker may report on a day (UTC).';
comment on column private.settings.telemetry_types_a_day is
  'How many different types these events may have on a day (UTC).';
comment on column private.settings.document_bytes is
  'How many bytes all documents may have together; each counts as 64 KiB at least. At first 100 GiB.';
comment on column private.settings.document_bytes_a_thinker is
  'How many bytes the documents of one thinker may have; each counts as 64 KiB at least. At first 1 GiB.';
comment on column private.settings.upload_bytes_a_day is
  'How many bytes the documents may have that one client address uploads within 24 hours, each in blocks of 64 KiB, '
  'because thinkers are free. At first 2 GiB.';
comment on column private.settings.bytes_a_day is
  'How many bytes of texts and JSON one thinker may write on a day (UTC): others list some of them.';
comment on column private.settings.past_bookings is
  'Whether a trusted server may book a slot from its start on, to record what took place; thinkers never may.';

comment on column private.settings.invoice_number is
  'The pattern of the numbers of invoices, such as INV-{year}-{number}: the year of the invoice, and a number of at '
  'least four digits that begins with 1 for each beneficiary and year.';
comment on column private.settings.payment_days is 'How many days after its invoice a settlement is due.';
comment on column private.settings.carries_negative_totals is
  'Whether the fee events of a payer, whose sum is negative, wait for the next settlement. If off, those of all such '
  'payers become a settlement of their own with a negative total: a credit note, which can be invoiced and not be '
  'paid.';

alter table private.settings enable row level security;

grant select on private.settings to service_role;

insert into private.settings default values;
