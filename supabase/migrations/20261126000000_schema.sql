-- Generated from sql/ by `make migration`. Do not edit.

-- sql/10_core/private.sql
-- functions may call functions of later files
set check_function_bodies = off;

create schema private;

comment on schema private is
  'Helper functions and triggers. Not exposed by the Data API; a role may execute only functions granted to it by '
  'name.';

grant usage on schema private to service_role, authenticated;

-- sql/10_core/privileges.sql
-- Every privilege is granted by name, in the file of its object. The defaults are revoked: Supabase's (everything in
-- public to anon, authenticated and service_role) and PostgreSQL's (execute on functions to public).
--
-- Columns of text in tables with row level security have no planner statistics (set statistics 0): the estimated row
-- counts of explain and of PostgREST's count=planned would reveal the values of rows that the reader may not see.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges revoke execute on functions from public;

-- sql/10_core/timeouts.sql
-- PostgREST applies filters to what a function returns while its transaction holds its locks. Roles belong to the whole
-- server, and PostgREST reads only settings for all databases; what is set stays, as on Supabase.
-- It also prepares each new statement of a client, and keeps it in its connection: one for each choice of columns.
-- Before each request it calls public.check_request, which measures the body.
-- PostgreSQL compares nested filters on a partitioned table with themselves, to leave out what no row can match: twice
-- as long for every two levels. It finds the partitions without that.
-- A planner that knows the values of filters compiles each regular expression, before a policy can refuse it, and keeps
-- megabytes of it. Without statistics of texts it expects many rows, and compiles for half a second what reads a few.
do $$
declare
  setting record;
begin
  for setting in
    select r.rolname as role, s.name, s.value
    from pg_catalog.pg_roles r
    join (
      values ('anon', 'statement_timeout', '2s'), ('anon', 'lock_timeout', '1900ms'),
        ('authenticated', 'statement_timeout', '2s'), ('authenticated', 'lock_timeout', '1900ms'),
        ('authenticator', 'pgrst.db_prepared_statements', 'false'),
        ('authenticator', 'pgrst.db_pre_request', 'public.check_request'),
        ('authenticator', 'constraint_exclusion', 'off'),
        ('authenticator', 'jit', 'off'),
        ('authenticator', 'plan_cache_mode', 'force_generic_plan')
    ) as s (role, name, value) on s.role = r.rolname
    where not exists (select from unnest(r.rolconfig) as line where split_part(line, '=', 1) = s.name)
  loop
    begin
      execute format('alter role %I set %s = %L', setting.role, setting.name, setting.value);
    exception
      when insufficient_privilege then
        raise warning 'set % = % for the role %, as a superuser', setting.name, setting.value, setting.role;
    end;
  end loop;
end;
$$;

notify pgrst, 'reload config';

-- sql/10_core/functions/applied_migrations.sql
create function public.applied_migrations()
returns text[]
language plpgsql -- resolves the table when it is called: a database that was not migrated has none
stable
security definer
set search_path = ''
as $$
declare
  versions text[];
begin
  perform private.require_service();
  select coalesce(array_agg(m.version order by m.version), array[]::text[])
  into versions
  from supabase_migrations.schema_migrations m;
  return versions;
exception
  when undefined_table or invalid_schema_name then
    return array[]::text[];
end;
$$;

comment on function public.applied_migrations is
  'The versions of the migrations that were applied to the database (GET /health/ready). '
  'Raises: not_a_server (403).';

grant execute on function public.applied_migrations to service_role;

-- sql/10_core/functions/check_json.sql
create function private.check_json(value jsonb, levels integer default 63, bytes integer default 65536)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
declare
  -- numbers that may be printed much longer than they are stored: 1e308, and a zero, which may be 0e-16383
  long    constant jsonpath :=
    jsonpath '$.** ? (@.type() == "number" && (@ >= 1e64 || @ <= -1e64 || (@ < 1e-64 && @ > -1e-64)))';
  nonzero constant jsonpath :=
    jsonpath '$.** ? (@.type() == "number" && @ != 0 && (@ >= 1e64 || @ <= -1e64 || (@ < 1e-64 && @ > -1e-64)))';
  is_out  boolean;
  printed bigint;
  visits  bigint;
  shown   text;
begin
  -- nearly all is short: its number of brackets is above its levels, and no number beyond a double fits in
  if pg_column_size(value) < 1000 then
    shown := value::text;
    if octet_length(shown) <= least(300, check_json.bytes) and private.count_brackets(shown) < least(levels, 63) then
      return true;
    end if;
  end if;

  -- clients' parsers have limits: one unreadable row would make a whole list unreadable
  if jsonb_path_exists(value, '$.**{63}') and jsonb_path_exists(value, format('$.**{%s}', levels)::jsonpath) then
    raise sqlstate 'PT400' using message = 'json_unreasonable';
  end if;

  -- for many values, functions of jsonpath need time or memory beyond measure: they read parts of at most 64 KiB
  if pg_column_size(value) > 65536
    or jsonb_path_exists(value, case when pg_column_size(value) > 8192 then long else nonzero end) then
    with recursive part as (
      select check_json.value
      union all
      select inside.value
      from part
      cross join lateral (
        select e.value from jsonb_array_elements(case jsonb_typeof(part.value) when 'array' then part.value end) as e
        union all
        select e.value from jsonb_each(case jsonb_typeof(part.value) when 'object' then part.value end) as e
      ) inside
      where case
        when jsonb_typeof(part.value) not in ('array', 'object') then false
        else pg_column_size(part.value) > 65536 or jsonb_path_exists(part.value, long)
      end
    ),
    -- the limit ends the recursion
    visited as (
      select part.value
      from part
      limit 50001
    ),
    number as (
      select case jsonb_typeof(v.value) when 'number' then v.value::numeric end as number
      from visited v
    ),
    judged as (
      select
        n.number,
        abs(n.number) > 1.7976931348623157e308 or abs(n.number) < 2.5e-324 and n.number <> 0 as is_out
      from number n
    )
    select bool_or(j.is_out), sum(octet_length(case when not j.is_out then j.number end::text)), count(*)
    into is_out, printed, visits
    from judged j;

    if is_out or printed > 4194304 or visits > 50000 then
      raise sqlstate 'PT400' using message = 'json_unreasonable';
    end if;
  end if;

  if check_json.bytes is not null then
    shown := value::text;
    if octet_length(shown) > check_json.bytes then
      raise sqlstate 'PT400' using message = 'json_unreasonable';
    end if;
    -- a filter of the Data API (@>) compares each of its values with each of these, and no timeout ends that
    if private.count_brackets(shown) > 1000 or private.count_commas(shown) > 4000 then
      -- those in texts are none
      shown := regexp_replace(shown, '"([^"\\]|\\.)*"', '', 'g');
      if private.count_brackets(shown) > 1000 or private.count_commas(shown) > 4000 then
        raise sqlstate 'PT400' using message = 'json_unreasonable';
      end if;
    end if;
  end if;
  return true;
end;
$$;

comment on function private.check_json is
  'True for JSON of at most 63 levels and 64 KiB, with at most 1,000 arrays and objects and 4,000 commas between '
  'values, whose numbers are within the range of a double: for all JSON of a row together. With bytes null it is for a '
  'request that is to be printed or hashed: only levels and numbers are checked, and nothing is printed that is much '
  'longer than it was sent; its arrays and objects of more than 64 KiB may have 50,000 values together, for each takes '
  'time. '
  'Raises: json_unreasonable (400).';

-- sql/10_core/functions/check_request.sql
create function public.check_request()
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  headers constant jsonb := nullif(current_setting('request.headers', true), '')::jsonb;
  size    constant text := headers ->> 'content-length';
begin
  if current_setting('role') in ('anon', 'authenticated')
    and (
      headers ? 'transfer-encoding'
      or case
        when size collate "C" ~ '^\d{1,6}$' then size::integer > 262144
        else size is not null or current_setting('request.method', true) in ('POST', 'PATCH', 'PUT')
      end
    )
  then
    raise sqlstate 'PT413' using message = 'too_large';
  end if;
end;
$$;

comment on function public.check_request is
  'Refuses a request of anon or authenticated whose body has more than 256 KiB, or does not say its size. PostgREST '
  'calls it before each request (pgrst.db_pre_request), because the arguments of a function are jsonb: PostgreSQL '
  'makes half a gigabyte of a body of a megabyte before the function can measure it, and no timeout ends that. '
  'Raises: too_large (413).';

grant execute on function public.check_request to anon, authenticated, service_role;

-- sql/10_core/functions/count_brackets.sql
create function private.count_brackets(shown text)
returns integer
language sql
immutable
return 2 * octet_length(shown) - octet_length(replace(shown, '[', '')) - octet_length(replace(shown, '{', ''));

comment on function private.count_brackets is
  'How many brackets JSON has that begin an array or an object, those in its texts included.';

grant execute on function private.count_brackets to service_role, authenticated;

-- sql/10_core/functions/count_commas.sql
create function private.count_commas(shown text)
returns integer
language sql
immutable
return octet_length(shown) - octet_length(replace(shown, ',', ''));

comment on function private.count_commas is
  'How many commas JSON has, those in its texts included: one less than the values of each array and object.';

grant execute on function private.count_commas to service_role, authenticated;

-- sql/10_core/functions/in_calendar.sql
create function private.in_calendar(variadic moments timestamptz[])
returns boolean
language plpgsql -- caches the plan for the next call
immutable
set search_path = ''
as $$
begin
  return (
    '0001-01-01 00:00:00+00' <= all (in_calendar.moments) and '10000-01-01 00:00:00+00' > all (in_calendar.moments)
  ) is not false;
end;
$$;

comment on function private.in_calendar is
  'True if every given time is null or within the years 1 to 9999, which clients can parse. For check constraints.';

-- sql/10_core/functions/is_erasure.sql
create function private.is_erasure()
returns boolean
language plpgsql -- caches the plan for the next call
stable
set search_path = ''
as $$
begin
  return coalesce(current_setting('portal.erasure', true) = pg_current_xact_id_if_assigned()::text, false)
    -- a request has the role of its caller, whatever it could set
    and current_setting('role') not in ('anon', 'authenticated', 'service_role');
end;
$$;

comment on function private.is_erasure is
  'True while private.erase_thinker works, which may change what is append-only and writes no other events. Only that '
  'function sets portal.erasure, to the number of its transaction: what a session sets once opens nothing later.';

-- sql/10_core/functions/is_import.sql
create function private.is_import()
returns boolean
language plpgsql -- caches the plan for the next call
stable
set search_path = ''
as $$
begin
  return coalesce(current_setting('portal.import', true), '') = 'on'
    -- a request has the role of its caller, whatever it could set
    and current_setting('role') not in ('anon', 'authenticated', 'service_role');
end;
$$;

comment on function private.is_import is
  'True while private.import_batch writes history from another store: it makes no events and no fees, because it has '
  'its own. Only that function sets portal.import, for its transaction; in a request it is false.';

-- sql/10_core/functions/is_time_zone.sql
create function private.is_time_zone(name text)
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (
    select from pg_catalog.pg_timezone_names as z
    where
      z.name = is_time_zone.name
      -- unknown to browsers
      and z.name collate "C" !~ '^(posix/|right/|posixrules$|localtime$|Factory$)'
  );
$$;

comment on function private.is_time_zone is
  'True for the name of a time zone as sessions and browsers know it: Europe/Berlin. CEST is an abbreviation, and '
  'UTC+2 lies in the west. For check constraints.';

-- sql/10_core/functions/iso.sql
create function private.iso(moment timestamptz)
returns text
language sql
stable
strict
return to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

comment on function private.iso is 'Formats a time as the legacy API does: ISO 8601 with milliseconds and Z.';

-- sql/10_core/functions/lock_number.sql
create function private.lock_number(name text)
returns bigint
language sql
immutable
strict
set search_path = ''
as $$
  select ('x' || left(encode(sha256(convert_to(name, 'UTF8')), 'hex'), 16))::bit(64)::bigint
$$;

comment on function private.lock_number is
  'The number of the advisory lock with this name, of which clients choose a part: from its SHA-256, because a text '
  'with the same hashtextextended as the name of another lock is found within a second.';

-- sql/10_core/functions/new_id.sql
create function private.new_id(prefix text)
returns text
language plpgsql -- caches the plan for the next call
volatile
set search_path = ''
as $$
declare
  digits constant text := '0123456789abcdefghijklmnopqrstuvwxyz';
  ms     constant bigint := floor(extract(epoch from clock_timestamp()) * 1000);
begin
  return prefix || '-'
    || substr(digits, (ms / 78364164096 % 36)::int + 1, 1)
    || substr(digits, (ms / 2176782336 % 36)::int + 1, 1)
    || substr(digits, (ms / 60466176 % 36)::int + 1, 1)
    || substr(digits, (ms / 1679616 % 36)::int + 1, 1)
    || substr(digits, (ms / 46656 % 36)::int + 1, 1)
    || substr(digits, (ms / 1296 % 36)::int + 1, 1)
    || substr(digits, (ms / 36 % 36)::int + 1, 1)
    || substr(digits, (ms % 36)::int + 1, 1)
    || '-' || private.new_suffix();
end;
$$;

comment on function private.new_id is
  'A new id in the legacy form <prefix>-<milliseconds in base 36>-<random>, such as v-mws0ylx7-53c1...';

-- sql/10_core/functions/new_suffix.sql
create function private.new_suffix()
returns text
language sql
volatile
-- the middle of a UUID of version 4 has the fixed bits of version and variant: take both ends
return encode(overlay(uuid_send(gen_random_uuid()) placing '' from 7 for 6), 'hex');

comment on function private.new_suffix is
  '20 random hex digits (80 bits) from a secure source: the unguessable part of a generated id.';

-- sql/10_core/functions/new_uuid.sql
create function private.new_uuid()
returns uuid
language sql
volatile
-- 4,096 parts of a millisecond, with the version before the last three digits; of the random UUID the variant and what
-- follows
return (
  overlay(
    lpad(to_hex(floor(extract(epoch from clock_timestamp()) * 4096000)::bigint), 15, '0') placing '7' from 13 for 0
  ) || right(gen_random_uuid()::text, 17)
)::uuid;

comment on function private.new_uuid is
  'A new UUID of version 7: 48 bits of milliseconds and 12 bits of their fraction, so ids sort by time, to the '
  'microsecond of the server''s clock; two of the same microsecond sort at random. (PostgreSQL has uuidv7() from '
  'version 18; 15 is supported.)';

-- sql/10_core/functions/page_key.sql
create function private.page_key(after text)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
declare
  parts jsonb;
begin
  if page_key.after is null then
    return array[]::text[];
  end if;

  -- longer than any that read_page gives; a number could be printed with 131,072 digits
  if length(page_key.after) <= 4096 then
    parts := convert_from(decode(translate(page_key.after, '-_', '+/'), 'base64'), 'UTF8')::jsonb;
  end if;
  if parts is null or jsonb_typeof(parts) <> 'array' or jsonb_array_length(parts) < 2
    or jsonb_path_exists(parts, '$[*] ? (@.type() != "string")') then
    raise sqlstate 'PT400' using message = 'value_invalid', detail = 'after';
  end if;
  return array(select jsonb_array_elements_text(parts));
end;
$$;

comment on function private.page_key is
  'The sort key of the last row of a page, from the cursor that read_page gave; an empty array for the first page. '
  'Raises: value_invalid (400).';

grant execute on function private.page_key to service_role, authenticated;

-- sql/10_core/functions/page_rows.sql
create function private.page_rows(max_rows integer)
returns integer
language sql
immutable
return least(greatest(coalesce(max_rows, 1000), 1), 1000);

comment on function private.page_rows is 'How many rows a list has at most: max_rows, from 1 to 1000; by default 1000.';

grant execute on function private.page_rows to service_role, authenticated;

-- sql/10_core/functions/ping.sql
create function public.ping()
returns boolean
language sql
volatile -- PostgREST calls other functions in a read-only transaction
set search_path = ''
as $$
  select current_setting('transaction_read_only') = 'off'
$$;

comment on function public.ping is
  'True if the database answers, the caller may use it and it can be written; false if it is read-only, such as a '
  'replica (GET /health).';

grant execute on function public.ping to anon, authenticated, service_role;

-- sql/10_core/functions/read_page.sql
create function private.read_page(
  page         refcursor,
  max_rows     integer,
  oldest_first boolean default false,
  max_bytes    integer default null
)
returns jsonb[]
language plpgsql
stable
set search_path = ''
as $$
declare
  most      constant integer := private.page_rows(read_page.max_rows);
  most_bytes constant integer := least(read_page.max_bytes, 1024 * 1024);
  item      jsonb;
  key       text[];
  last_key  text[];
  items     jsonb[] := '{}';
  bytes     bigint := 0;
  shown     text;
  next      text;
begin
  loop
    fetch page into item, key;
    exit when not found;
    shown := item::text;
    -- an array or an object takes clients as much time as 64 bytes, and any other value as 8
    bytes := bytes + octet_length(shown) + 64 * private.count_brackets(shown)
      + 8 * private.count_commas(shown);
    if cardinality(items) = most or (bytes > most_bytes and items <> '{}') then
      next := translate(encode(convert_to(to_jsonb(last_key)::text, 'UTF8'), 'base64'), E'+/\n', '-_');
      exit;
    end if;
    items := array_append(items, item);
    last_key := key;
  end loop;
  close page;
  if read_page.oldest_first then
    items := array(select u.item from unnest(items) with ordinality as u (item, n) order by u.n desc);
  end if;
  if next is not null then
    items[cardinality(items)] := items[cardinality(items)] || jsonb_build_object('next', next);
  end if;
  return items;
end;
$$;

comment on function private.read_page is
  'A page of a list: the items of a cursor over rows of an item (jsonb) and its sort key (text[]), the newest ones '
  'first, at most max_rows of them (private.page_rows) and max_bytes (1 MiB at most), at least one; with '
  'oldest_first each page is turned round. The first page has the newest items in any case: strangers who add to a '
  'list must not hide what comes later. If there are more, the last item also has next, the cursor of the next page '
  '(private.page_key). An array of jsonb, which clients get as JSON all the same, because filters look into jsonb, and '
  'no timeout ends @> over all of a page.';

grant execute on function private.read_page to service_role, authenticated;

-- sql/10_core/functions/thinker_id.sql
create function private.thinker_id(public_id text)
returns uuid
language sql
immutable
strict
set search_path = ''
as $$
  select case
    when public_id collate "C"
      ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
      then public_id::uuid
    else (
      select (substr(hex, 1, 12) || '8' || substr(hex, 14, 3) || '8' || substr(hex, 18, 15))::uuid
      from (select encode(sha256(convert_to(public_id, 'UTF8')), 'hex') as hex) digest
    )
  end
$$;

comment on function private.thinker_id is
  'Computes a thinker''s id from its public id: the public id itself if it is a UUID of version 4 (a user of Supabase '
  'Auth), otherwise its SHA-256 in the form of a UUID of version 8, so that no two public ids share an id. '
  'api/actor.py has the same rule.';

-- sql/10_core/triggers/tg_append_only__refuse.sql
create function private.tg_append_only__refuse()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- a person's name gives way to a pseudonym, or goes with its row
  if tg_op <> 'TRUNCATE' and private.is_erasure() then
    if tg_op = 'DELETE' then
      return old;
    end if;
    return new;
  end if;
  raise sqlstate 'PT403' using
    message = 'append_only',
    detail = format('%s of %I: what happened is kept as it was written', lower(tg_op collate "C"), tg_table_name);
end;
$$;

comment on function private.tg_append_only__refuse is
  'Refuses every change of an append-only table, by its owner too, but for the erasure of a person '
  '(private.is_erasure). '
  'Raises: append_only (403).';

-- sql/10_core/triggers/tg_json__refuse.sql
create function private.tg_json__refuse()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT400' using message = 'json_unreasonable';
end;
$$;

comment on function private.tg_json__refuse is
  'Refuses JSON that private.check_json does not accept. A trigger, not a constraint: a constraint would read all JSON '
  'of a row again with each change of its status, and others wait for that. '
  'Raises: json_unreasonable (400).';

-- sql/12_settings/tables/currencies.sql
create table private.currencies (
  code     text     collate "C" primary key,
  exponent smallint not null,

  constraint code_has_3_to_12_capitals_and_digits check (code ~ '^[A-Z][A-Z0-9]{2,11}$'),
  constraint exponent_is_0_to_8 check (exponent between 0 and 8)
);

comment on table private.currencies is
  'The currencies of prices, loans, transfers and fees: those of ISO 4217, and what an operator adds. Others are '
  'refused (private.is_currency); rows from before keep theirs. Rows are added only, because stored amounts depend on '
  'them.';
comment on column private.currencies.exponent is
  'The number of decimals of the minor unit: 2 for EUR, 0 for JPY.';

alter table private.currencies enable row level security;

grant select on private.currencies to service_role;

create trigger tg_currencies__refuse
before update or delete or truncate on private.currencies
for each statement execute function private.tg_append_only__refuse();

insert into private.currencies (exponent, code)
select known.exponent, code
from (
  values
  (
    0,
    'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'
  ),
  (
    2,
    'AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD '
    'CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD '
    'GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA '
    'MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR '
    'RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD '
    'TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG'
  ),
  (
    3,
    'BHD IQD JOD KWD LYD OMR TND'
  ),
  (
    4,
    'CLF UYW'
  )
) as known (exponent, codes)
cross join lateral string_to_table(known.codes, ' ') as code;

-- sql/12_settings/tables/settings.sql
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

-- sql/12_settings/functions/currency_exponent.sql
create function private.currency_exponent(currency text)
returns integer
language plpgsql -- caches the plan for the next call
stable
strict
security definer
set search_path = ''
-- lists call it for each row, and are planned anew each time
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  -- that of nearly all; a currency that is there stays as it is
  if currency_exponent.currency = 'EUR' then
    return 2;
  end if;
  return coalesce(
    (select c.exponent from private.currencies c where c.code = upper(currency_exponent.currency collate "C")), 2
  );
end;
$$;

comment on function private.currency_exponent is
  'The number of decimals of a currency''s minor unit (private.currencies): 0 for JPY, 3 for KWD, 2 for most; 2 for '
  'the unknown currency of an old row.';

-- sql/12_settings/functions/is_currency.sql
create function private.is_currency(code text)
returns boolean
language plpgsql -- caches the plan for the next call
stable
strict
security definer
set search_path = ''
as $$
begin
  return exists (select from private.currencies c where c.code = is_currency.code);
end;
$$;

comment on function private.is_currency is
  'Whether a code is exactly that of a known currency (private.currencies); null for null.';

-- sql/12_settings/triggers/tg_currency__refuse.sql
create function private.tg_currency__refuse()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT400' using message = 'currency_unknown';
end;
$$;

comment on function private.tg_currency__refuse is
  'Refuses a new row, or a new value, whose currency is not in private.currencies. A trigger, not a constraint: what '
  'is stored stays. '
  'Raises: currency_unknown (400).';

-- sql/15_access/held_vouchers.sql
create function private.held_vouchers()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows
set enable_seqscan = off
set jit = off
as $$
begin
  return query select v.id from public.vouchers v where v.holder_id = auth.uid();
  return query select v.id from public.vouchers v where v.issued_to = auth.uid();
  return query
    select b.voucher_id from public.voucher_bookings b where b.holder_id = auth.uid() and b.status = 'booked';
end;
$$;

comment on function private.held_vouchers is
  'The ids of the vouchers that the actor holds: those reserved for it, and those of which it has an active booking. '
  'May contain duplicates.';

grant execute on function private.held_vouchers to authenticated;

-- sql/15_access/is_operator.sql
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
  'True in a session of the schema''s owner (psql, Studio''s SQL editor, pg_cron, the command line), who may do '
  'everything anyway. False if the session has switched to a caller''s role, as every request does.';

grant execute on function private.is_operator to authenticated, service_role;

-- sql/15_access/is_service.sql
create function private.is_service()
returns boolean
language sql
stable
set search_path = ''
as $$
  select coalesce(auth.role() = 'service_role', false)
$$;

comment on function private.is_service is
  'True for a trusted server (the JWT''s role is service_role), which may act where the legacy API did not check '
  'permissions.';

-- sql/15_access/is_valid_request.sql
create function private.is_valid_request()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  -- an operator's own statements may be larger
  if current_setting('role') not in ('anon', 'authenticated') then
    return true;
  end if;
  if octet_length(current_query()) > 16384
    or length(current_query()) - length(replace(current_query(), 'pgrst_scalar', '')) > 30 * length('pgrst_scalar')
    or length(current_query()) - length(replace(current_query(), 'LATERAL', '')) > 3 * length('LATERAL')
    -- the regular expression takes longer than all the rest, and needs one of these
    or lower(current_query() collate "C") like any ('{%cast%,%like%,%~%,%@@%,%graphql%}')
    and current_query() collate "C" ~* '\mcast\s*\(|\mi?like\s+(any|all)\s*\(|~|@@|graphql'
  then
    raise sqlstate 'PT400' using message = 'query_too_large';
  end if;
  if auth.jwt() ? 'portal_session' then
    perform private.require_live_session();
  end if;
  return true;
end;
$$;

comment on function private.is_valid_request is
  'True for a request of anon or authenticated whose statement is small, and whose browser session, if its JWT names '
  'one (portal_session), still acts as its thinker. Policies of every table ask it, and functions with the rights of '
  'their owner before anything else. A statement is small unless it has more than 16 KiB, a cast, a regular '
  'expression, a full-text search, like any or more than three embedded tables, or names the result of a function more '
  'than 30 times. PostgREST turns select=a:description::int into CAST(...), match into ~, fts into @@, an embedded '
  'table into LATERAL, and calls the result of a function pgrst_scalar. pg_graphql makes statements of its own, of '
  'which only the call is seen here. No timeout ends a row whose columns cast one long text, or compare it with '
  'patterns, or repeat one large result, or hold tables in tables; a failed cast writes the whole text into the log; '
  'a connection keeps 32 expressions of megabytes each. '
  'Raises: query_too_large (400); session_ended (401).';

grant execute on function private.is_valid_request to anon, authenticated, service_role;

-- sql/15_access/may_act_as.sql
create function private.may_act_as(role text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
-- lists call it, and are planned anew each time
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  return private.is_service()
    or exists (select from public.thinkers t where t.id = auth.uid() and may_act_as.role = any (t.roles))
    -- only a server can write the app_metadata of a Supabase Auth user
    or coalesce(auth.jwt() -> 'app_metadata' ->> 'role' = may_act_as.role, false)
    or coalesce(auth.jwt() -> 'app_metadata' -> 'roles' @> to_jsonb(may_act_as.role), false);
end;
$$;

comment on function private.may_act_as is
  'True for a trusted server, for an actor with this role (lender, notary, admin), and for a JWT whose app_metadata '
  'has it as role or in roles.';

grant execute on function private.may_act_as to authenticated, service_role;

-- sql/15_access/my_applications.sql
create function private.my_applications()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows: by indexes, from the caller's
-- own rows to what belongs to them
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query select o.application_id from public.mortgage_offers o where o.lender_id = auth.uid();
  if private.may_act_as('notary') then
    return query
      select o.application_id
      from public.mortgage_contracts c
      join public.mortgage_offers o on o.id = c.offer_id;
  end if;
end;
$$;

comment on function private.my_applications is
  'The ids of the mortgage applications that the actor works on: those for which it made an offer as lender, and for a '
  'notary those with a contract. May contain duplicates.';

grant execute on function private.my_applications to authenticated;

-- sql/15_access/my_bookings.sql
create function private.my_bookings()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows
set enable_seqscan = off
set jit = off
as $$
begin
  return query select b.id from public.voucher_bookings b where b.holder_id = auth.uid();
  return query select b.id from public.voucher_bookings b where b.issuer_id = auth.uid();
end;
$$;

comment on function private.my_bookings is
  'The ids of the bookings of which the actor is a party: as holder, or as issuer. May contain duplicates.';

grant execute on function private.my_bookings to authenticated;

-- sql/15_access/my_charges.sql
create function private.my_charges()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows
set enable_seqscan = off
set jit = off
as $$
begin
  return query select e.id from public.fee_events e where e.payer_id = auth.uid();
end;
$$;

comment on function private.my_charges is 'The ids of the fee events whose amounts the actor owes.';

grant execute on function private.my_charges to authenticated;

-- sql/15_access/my_contacts.sql
create function private.my_contacts()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows: by indexes, from the caller's
-- own rows to what belongs to them
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  -- thinkers who acted towards the actor; naming a thinker (such as a voucher's holder) does not reveal it
  return query select v.issuer_id from public.vouchers v where v.holder_id = auth.uid();
  return query select v.issuer_id from public.vouchers v where v.issued_to = auth.uid();
  return query select b.issuer_id from public.voucher_bookings b where b.holder_id = auth.uid();
  return query select b.holder_id from public.voucher_bookings b where b.issuer_id = auth.uid();
  return query select s.thinker_id from public.presence_sessions s where s.room_id = private.my_room();
  return query
    select party.id
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    cross join lateral (values (o.lender_id), (a.borrower_id)) as party (id)
    where o.id in (select private.my_offers());
  if private.may_act_as('lender') then
    return query select a.borrower_id from public.mortgage_applications a where a.status in ('open', 'offered');
  end if;
  if private.may_act_as('notary') then
    return query
      select party.id
      from public.mortgage_contracts c
      join public.mortgage_offers o on o.id = c.offer_id
      join public.mortgage_applications a on a.id = o.application_id
      cross join lateral (values (o.lender_id), (a.borrower_id)) as party (id);
  end if;
end;
$$;

comment on function private.my_contacts is
  'The ids of the thinkers that the actor may see because of a shared voucher, room or mortgage; for lenders and '
  'notaries also the thinkers of the mortgages that they work on. May contain duplicates.';

grant execute on function private.my_contacts to authenticated;

-- sql/15_access/my_contract_links.sql
create function private.my_contract_links(of_vouchers text[] default null)
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows: by indexes, from the caller's
-- own rows to what belongs to them
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  -- with offset 0 the links of a document or voucher are sought by its id: the planner, which has no statistics of
  -- these ids, would begin with all links
  return query
    select l.id
    from public.contracts c
    cross join lateral (select l.id from public.contract_links l where l.contract_id = c.id offset 0) l
    where c.created_by = auth.uid();
  return query
    select l.id
    from public.vouchers v
    cross join lateral (select l.id from public.contract_links l where l.voucher_id = v.id offset 0) l
    where v.issuer_id = auth.uid() and (of_vouchers is null or v.id in (select unnest(of_vouchers)));
  -- a voucher may have several holders, at once or in turn. Each sees the documents that the issuer linked before the
  -- first booking or while this holder was the only one with a booking; never those of another holder
  return query
    -- materialized: the bookings of a voucher are read once, not once for each of its documents
    with held as materialized (
      select
        v.id,
        v.issuer_id,
        v.issued_to,
        min(b.created_at) as first_booked,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (where b.holder_id = auth.uid()) as mine,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (where b.holder_id <> auth.uid()) as others,
        range_agg(tstzrange(b.created_at, b.cancelled_at)) filter (
          where b.holder_id = auth.uid() and exists (
            select from private.import_rows r where r.legacy_table = 'voucher_bookings' and r.id = b.id
          )
        ) as imported,
        -- the voucher or a booking of it is not as its old store has it
        exists (
          select from private.import_rejects j
          where (j.resolved_at is null or j.reason = 'thinker_erased')
            and (
              j.legacy_table = 'voucher_bookings' and left(j.content ->> 'voucher_id', 256) = v.id
              or j.legacy_table = 'vouchers' and j.row_id = v.id
            )
            and j.source = any (
              (select i.shown_by from private.import_rows i where i.legacy_table = 'vouchers' and i.id = v.id)::text[]
            )
        ) as is_unsure
      from public.vouchers v
      -- an issuer could book with itself as often as it likes
      left join public.voucher_bookings b on b.voucher_id = v.id and b.holder_id <> v.issuer_id
      where v.id in (
          select h.id
          from private.held_vouchers() h (id)
          where of_vouchers is null or h.id in (select unnest(of_vouchers))
        )
        and (v.issued_to is null or v.issued_to = auth.uid())
        and exists (select from public.contract_links l where l.voucher_id = v.id offset 0)
      group by v.id
    )
    select l.id
    from held h
    cross join lateral (select l.* from public.contract_links l where l.voucher_id = h.id offset 0) l
    where exists (
        select from public.contracts c where c.id = l.contract_id and c.created_by = h.issuer_id offset 0
      )
      -- the imported rows say whose the voucher was when an imported document was linked, if none is missing
      and case
        when exists (
          select from private.import_rows r
          where r.legacy_table = 'contract_links' and private.import_uuid(r.id) = l.id
        ) then (h.issued_to = auth.uid() or coalesce(h.imported @> l.created_at, false)) and not h.is_unsure
        else h.issued_to = auth.uid() or h.first_booked is null or h.first_booked > l.created_at
          or coalesce(h.mine @> l.created_at, false)
      end
      and not coalesce(h.others @> l.created_at, false);
  return query select l.id from public.contract_links l where l.room_id in (select private.my_rooms());
end;
$$;

comment on function private.my_contract_links is
  'The ids of the document links that the actor may see: those of its own documents, of vouchers that it issued or '
  'holds, and of its rooms. Strangers may reserve any number of vouchers for one thinker: where only some vouchers '
  'matter, of_vouchers names them, and links that are seen as those of other vouchers may be missing. '
  'May contain duplicates.';

grant execute on function private.my_contract_links to authenticated;

-- sql/15_access/my_contracts.sql
create function private.my_contracts(of_contract uuid default null)
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows: by indexes, from the caller's
-- own rows to what belongs to them
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  vouchers text[];
begin
  if of_contract is null then
    return query select c.id from public.contracts c where c.created_by = auth.uid();
  else
    return query select c.id from public.contracts c where c.id = of_contract and c.created_by = auth.uid();
    if found then
      return;
    end if;
    vouchers := array(
      select l.voucher_id from public.contract_links l where l.contract_id = of_contract and l.voucher_id is not null
    );
  end if;
  return query
    select l.contract_id
    from public.contract_links l
    where l.id in (select private.my_contract_links(vouchers))
      and (of_contract is null or l.contract_id = of_contract);
  return query
    select c.contract_id
    from public.mortgage_contracts c
    where c.offer_id = any (array(select private.my_offers())) and c.contract_id is not null
      and (of_contract is null or c.contract_id = of_contract);
  if private.may_act_as('notary') then
    return query
      select c.contract_id
      from public.mortgage_contracts c
      where c.contract_id is not null and (of_contract is null or c.contract_id = of_contract);
  end if;
end;
$$;

comment on function private.my_contracts is
  'The ids of the documents that the actor may see: those it stored, those of its links and mortgages, and for a '
  'notary those of every mortgage; of_contract is the only one that matters. May contain duplicates.';

grant execute on function private.my_contracts to authenticated;

-- sql/15_access/my_document_keys.sql
create function private.my_document_keys()
returns setof text
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
    -- as api/storage.py writes keys
    select replace(replace(replace(c.storage_url, '=', '=3D'), '%', '=25'), '~', '=7E')
    from public.contracts c;
end;
$$;

comment on function private.my_document_keys is
  'The keys in Supabase Storage of the documents that the caller sees in public.contracts: their paths, in which '
  '=, % and ~ are written as =3D, =25 and =7E. For policies of storage.objects.';

grant execute on function private.my_document_keys to authenticated;

-- sql/15_access/my_offers.sql
create function private.my_offers()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows: by indexes, from the caller's
-- own rows to what belongs to them
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query select o.id from public.mortgage_offers o where o.lender_id = auth.uid();
  -- with offset 0 the offers of an application are sought by its id, also where the first caller has most of them
  return query
    select o.id
    from public.mortgage_applications a
    cross join lateral (select o.id from public.mortgage_offers o where o.application_id = a.id offset 0) o
    where a.borrower_id = auth.uid();
end;
$$;

comment on function private.my_offers is
  'The ids of the mortgage offers to which the actor is a party: as lender, or as borrower of the application. May '
  'contain duplicates.';

grant execute on function private.my_offers to authenticated;

-- sql/15_access/my_properties.sql
create function private.my_properties()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows: by indexes, from the caller's
-- own rows to what belongs to them
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return query select p.id from public.properties p where p.created_by = auth.uid();
  -- applying for a mortgage must not reveal a property that another borrower named, nor an imported one
  return query
    select p.id
    from public.mortgage_applications a
    join public.properties p on p.id = a.property_id
    where a.borrower_id = auth.uid() and p.created_by is null
      and not exists (select from private.import_rows r where r.legacy_table = 'properties' and r.id = p.id);
  return query
    select a.property_id
    from (select distinct m.id from private.my_applications() as m (id)) m
    join public.mortgage_applications a on a.id = m.id
    where a.borrower_id <> auth.uid();
end;
$$;

comment on function private.my_properties is
  'The ids of the properties that the actor named, those that an operator entered and the actor applied for, and those '
  'of the applications that the actor works on (private.my_applications). May contain duplicates.';

grant execute on function private.my_properties to authenticated;

-- sql/15_access/my_room.sql
create function private.my_room()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return (select s.room_id from public.presence_sessions s where s.thinker_id = auth.uid());
end;
$$;

comment on function private.my_room is 'The id of the room in which the actor is present; null if in none.';

grant execute on function private.my_room to authenticated;

-- sql/15_access/my_rooms.sql
create function private.my_rooms()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows: by indexes, from the caller's
-- own rows to what belongs to them
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  -- a room for a pair code belongs to the thinkers present in it, not to its creator
  return query
    select r.id from public.rooms r where r.owner_id = auth.uid() and r.meta ->> 'source' is distinct from 'presence';
  return query select room from private.my_room() as room where room is not null;
  return query select 'mortgage:offer:' || o.id from private.my_offers() as o (id);
  return query
    select 'mortgage:contract:' || c.id
    from public.mortgage_contracts c
    where c.offer_id in (select private.my_offers());
end;
$$;

comment on function private.my_rooms is
  'The ids of the actor''s rooms: its own rooms, the room in which it is present, and the rooms of its mortgages.';

grant execute on function private.my_rooms to authenticated;

-- sql/15_access/my_transfers.sql
create function private.my_transfers()
returns setof text
language plpgsql
stable
security definer
set search_path = ''
-- planned once for a connection, for the first caller, who may be in most of the rows
set enable_seqscan = off
set jit = off
as $$
begin
  return query select t.id from public.transfers t where t.thinker_id = auth.uid();
end;
$$;

comment on function private.my_transfers is 'The ids of the transfers that the actor logged.';

grant execute on function private.my_transfers to authenticated;

-- sql/15_access/require_admin.sql
create function private.require_admin()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  perform private.is_valid_request();
  if not (private.may_act_as('admin') or private.is_operator()) then
    raise sqlstate 'PT403' using message = 'not_an_admin';
  end if;
end;
$$;

comment on function private.require_admin is
  'Lets trusted servers, admins and operators (private.is_operator) pass, with a small statement. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function private.require_admin to authenticated, service_role;

-- sql/15_access/require_service.sql
create function private.require_service()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not (private.is_service() or private.is_operator()) then
    raise sqlstate 'PT403' using message = 'not_a_server';
  end if;
end;
$$;

comment on function private.require_service is
  'Lets trusted servers and operators (private.is_operator) pass. For functions that only service_role may execute: a '
  'wrong grant alone opens none of them. '
  'Raises: not_a_server (403).';

-- sql/20_identity/tables/thinkers.sql
create table public.thinkers (
  id          uuid        primary key,
  public_id   text        collate "C" not null unique,
  roles       text[]      not null default '{}',
  meta        jsonb       not null default '{}',
  verified_at timestamptz,
  created_at  timestamptz not null default now(),
  no_overlap_across_vouchers boolean not null default false,

  constraint id_follows_from_public_id check (id = private.thinker_id(public_id)),
  constraint public_id_has_1_to_255_characters check (char_length(public_id) between 1 and 255),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint roles_are_known check (roles <@ array['lender', 'notary', 'admin']),
  constraint meta_is_reasonable_json check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at, verified_at))
);

comment on table public.thinkers is 'The users of the portal.';
comment on column public.thinkers.public_id is
  'The uid that the portal uses: thinker-<12 hex> derived from a token, a uid that a browser generated, or the id of a '
  'Supabase Auth user.';
comment on column public.thinkers.roles is 'Additional permissions of a thinker: lender, notary, admin.';
comment on column public.thinkers.no_overlap_across_vouchers is
  'Whether this issuer has one appointment at a time, over all of its vouchers; by default only bookings of one '
  'voucher never overlap. Set by operators.';
comment on column public.thinkers.meta is 'Optional profile; visible to contacts, like every column here.';
comment on column public.thinkers.verified_at is 'When the thinker last proved its token at /api/presence/verify.';

create index thinkers_created_at_idx on public.thinkers (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.thinkers
  alter column public_id set statistics 0;

alter table public.thinkers enable row level security;

grant select on public.thinkers to service_role, authenticated;

create policy "thinkers see themselves and their contacts"
  on public.thinkers
  for select
  to authenticated
  using (
    id = (select auth.uid())
    or id in (select private.my_contacts())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.thinkers
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- sql/20_identity/functions/acting_thinker.sql
create function private.acting_thinker()
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker uuid := auth.uid();
  claimed text;
  is_free boolean;
begin
  select exists (
    select from private.claims n where n.thinker_id = t.id and n.session_id is null and n.claimed_at is null
  )
  into is_free
  from public.thinkers t
  where t.id = thinker;

  if not found then
    claimed := auth.jwt() ->> 'public_id';
    case
      when private.thinker_id(claimed) = thinker then
        thinker := private.ensure_thinker(claimed);
      -- the token of a Supabase Auth user has no public_id claim: the user's id is the public id
      when private.thinker_id(thinker::text) = thinker then
        thinker := private.ensure_thinker(thinker::text);
      else
        raise sqlstate 'PT401' using message = 'not_signed_in';
    end case;
    is_free := true; -- another one may just have named it
  end if;

  if is_free then
    -- it is used: the first browser session that names it would be another's. One that was released stays free, though
    -- requests of its ended session may still be on their way
    delete from private.claims c where c.thinker_id = thinker and c.session_id is null and c.claimed_at is null;
  end if;
  return thinker;
end;
$$;

comment on function private.acting_thinker is
  'Returns the id of the acting thinker, auth.uid(), and creates the thinker if it does not exist. Its caller asks '
  'before whether the request is valid (private.replay_response, private.is_valid_request). '
  'Raises: uid_invalid (400); not_signed_in (401).';

-- sql/20_identity/functions/ensure_thinker.sql
create function private.ensure_thinker(uid text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  thinker uuid := private.thinker_id(uid);
begin
  if uid is null then
    return null;
  end if;
  if char_length(uid) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'uid_invalid';
  end if;
  if not exists (select from public.thinkers t where t.id = thinker) then
    insert into public.thinkers (id, public_id) values (thinker, uid) on conflict do nothing;
    -- a thinker that another one names waits for its first browser session
    if found and thinker <> auth.uid() and not private.is_service() then
      insert into private.claims (thinker_id, claimed_at) values (thinker, null);
    end if;
  end if;
  return thinker;
end;
$$;

comment on function private.ensure_thinker is
  'Returns the id of the thinker with this uid, and creates the thinker if it does not exist; null for null. One that '
  'another thinker names may be claimed by a browser session (private.claims). '
  'Raises: uid_invalid (400).';

-- sql/20_identity/functions/follow_new_users.sql
create function private.follow_new_users()
returns void
language plpgsql
set search_path = ''
as $$
begin
  -- plain PostgreSQL has no auth.users
  if to_regclass('auth.users') is null or exists (
    select from pg_catalog.pg_trigger t
    where t.tgrelid = to_regclass('auth.users') and t.tgname = 'tg_users__make_thinker'
  ) then
    return;
  end if;
  execute 'create trigger tg_users__make_thinker after insert on auth.users '
    'for each row execute function private.tg_users__make_thinker()';
end;
$$;

comment on function private.follow_new_users is
  'Lets each new user of Supabase Auth become a thinker. A dump of the portal''s schemas leaves this trigger out: call '
  'the function after a restore.';

-- sql/20_identity/functions/known_actor.sql
create function private.known_actor()
returns uuid
language sql
stable
set search_path = ''
as $$
  select t.id from public.thinkers t where t.id = auth.uid()
$$;

comment on function private.known_actor is
  'The id of the acting thinker, for the event log; null if a server or an operator acts without a thinker.';

-- sql/20_identity/functions/operator_name.sql
create function private.operator_name()
returns text
language sql
stable
security definer
set search_path = ''
as $$
  select left(
    coalesce(
      private.uid_of(private.known_actor()),
      auth.role(),
      nullif(current_setting('portal.operator', true), ''),
      session_user
    ),
    255
  )
$$;

comment on function private.operator_name is
  'Who acts, for the books: the uid of the acting thinker; for a server that names no thinker its role; for a session '
  'of an operator the name in the setting portal.operator (set portal.operator = ''alice''), or the login.';

-- sql/20_identity/functions/uid_of.sql
create function private.uid_of(thinker uuid)
returns text
language plpgsql -- caches the plan for the next call
stable
security definer
set search_path = ''
-- lists call it for each row, and are planned anew each time
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  return (select t.public_id from public.thinkers t where t.id = uid_of.thinker);
end;
$$;

comment on function private.uid_of is 'The public id of a thinker, which the portal calls uid.';

grant execute on function private.uid_of to service_role, authenticated;

-- sql/20_identity/triggers/tg_users__make_thinker.sql
create function private.tg_users__make_thinker()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.thinkers (id, public_id)
  select new.id, new.id::text
  -- a user whose id is not a UUID of version 4 (imported) cannot become a thinker, but may sign up
  where private.thinker_id(new.id::text) = new.id
  on conflict do nothing;
  return null;
end;
$$;

comment on function private.tg_users__make_thinker is
  'Creates a thinker with the same id for every new user of Supabase Auth.';

select private.follow_new_users();

-- sql/22_limits/tables/daily_use.sql
create table private.daily_use (
  thinker_id       uuid    not null references public.thinkers (id) on delete cascade,
  part             integer not null default 0,
  day              date    not null,
  vouchers         integer not null,
  bookings         integer not null,
  applications     integer not null,
  transfers        integer not null,
  new_thinkers     integer not null,
  presence_changes integer not null,
  telemetry_events integer not null,
  telemetry_types  text[]  collate "C" not null,
  bytes            bigint  not null,

  primary key (thinker_id, part)
);

comment on table private.daily_use is
  'What each thinker has written on its latest day (UTC), for the limits in private.settings: the sum of its rows of '
  'that day. Written by use_today.';
comment on column private.daily_use.part is
  'One of the thinker''s rows, of which each is written by one call at a time: as many as there were calls at once.';
comment on column private.daily_use.bytes is
  'The size of its requests, and of the responses that are kept for its idempotency keys, on that day.';
comment on column private.daily_use.telemetry_types is 'The different types of its events of telemetry on that day.';

alter table private.daily_use enable row level security;

-- sql/22_limits/functions/use_today.sql
create function private.use_today(
  vouchers         integer default 0,
  bookings         integer default 0,
  applications     integer default 0,
  transfers        integer default 0,
  new_thinkers     integer default 0,
  presence_changes integer default 0,
  telemetry_events integer default 0,
  telemetry_types  text[]  default '{}',
  bytes            bigint  default 0
)
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  lock    constant text := 'use_today:';
  counts  constant integer := use_today.vouchers + use_today.transfers + use_today.presence_changes;
  -- what only one call at a time may write
  alone   boolean := counts > 1 or use_today.bytes > 65536 or counts + use_today.bytes = 0
    or use_today.bookings + use_today.applications + use_today.new_thinkers + use_today.telemetry_events > 0;
  owner   uuid;
  parts   integer;
  free    integer := 0;
  is_far  boolean;
  reached text;
begin
  select (private.same_session(t.id))[1] into owner from public.thinkers t where t.id = auth.uid();
  if not found then
    return;
  end if;

  if not alone then
    -- so far from every limit that one call on each connection does not reach it: such calls write different rows,
    -- because one that waits would wait for the disk, too
    select
      d.parts, d.is_far,
      case when d.is_far then (
        select u.part from private.daily_use u where u.thinker_id = owner limit 1 for no key update skip locked
      ) end
    into parts, is_far, free
    from (
      select
        t.parts,
        t.counts + t.calls <= case
          when use_today.vouchers > 0 then s.vouchers_a_day
          when use_today.transfers > 0 then s.transfers_a_day
          when use_today.presence_changes > 0 then s.presence_changes_a_day
          else 2147483647
        end
        and t.bytes + t.calls * 65536 <= s.bytes_a_day as is_far
      from (
        select
          count(*) as parts,
          -- more than any of them
          coalesce(sum(u.vouchers + u.transfers + u.presence_changes) filter (where u.day = current_date), 0) as counts,
          coalesce(sum(u.bytes) filter (where u.day = current_date), 0) as bytes,
          current_setting('max_connections')::bigint as calls
        from private.daily_use u
        where u.thinker_id = owner
      ) t
      cross join private.settings s
    ) d;

    if is_far and free is null then
      if parts > 0 then
        -- one row more than there were calls at once
        perform pg_advisory_xact_lock(private.lock_number(lock || owner));
        select count(*) into parts from private.daily_use u where u.thinker_id = owner;
      end if;
      free := parts;
    end if;
    alone := not is_far;
  end if;

  if alone then
    perform pg_advisory_xact_lock(private.lock_number(lock || owner));
    free := 0;
  end if;

  insert into private.daily_use as u
  values (
    owner, free, current_date, use_today.vouchers, use_today.bookings,
    use_today.applications, use_today.transfers, use_today.new_thinkers,
    use_today.presence_changes, use_today.telemetry_events, use_today.telemetry_types, use_today.bytes
  )
  on conflict (thinker_id, part) do update
  set day = excluded.day,
      vouchers = excluded.vouchers + case when u.day = excluded.day then u.vouchers else 0 end,
      bookings = excluded.bookings + case when u.day = excluded.day then u.bookings else 0 end,
      applications = excluded.applications + case when u.day = excluded.day then u.applications else 0 end,
      transfers = excluded.transfers + case when u.day = excluded.day then u.transfers else 0 end,
      new_thinkers = excluded.new_thinkers + case when u.day = excluded.day then u.new_thinkers else 0 end,
      presence_changes =
        excluded.presence_changes + case when u.day = excluded.day then u.presence_changes else 0 end,
      telemetry_events =
        excluded.telemetry_events + case when u.day = excluded.day then u.telemetry_events else 0 end,
      bytes = excluded.bytes + case when u.day = excluded.day then u.bytes else 0 end,
      telemetry_types = case
        when u.day <> excluded.day then excluded.telemetry_types
        when excluded.telemetry_types <@ u.telemetry_types then u.telemetry_types
        else array(select unnest(u.telemetry_types) union select unnest(excluded.telemetry_types))
      end;
  if not alone then
    return;
  end if;

  -- waits for the calls that write other rows, and counts what they wrote
  select case
    when use_today.vouchers > 0 and sum(u.vouchers) > s.vouchers_a_day then 'vouchers'
    when use_today.bookings > 0 and sum(u.bookings) > s.bookings_a_day then 'bookings'
    when use_today.applications > 0 and sum(u.applications) > s.applications_a_day then 'mortgage applications'
    when use_today.transfers > 0 and sum(u.transfers) > s.transfers_a_day then 'transfers'
    when use_today.new_thinkers > 0 and sum(u.new_thinkers) > s.new_thinkers_a_day then 'new thinkers'
    when use_today.presence_changes > 0 and sum(u.presence_changes) > s.presence_changes_a_day
      then 'changes of presence'
    when use_today.telemetry_events > 0 and sum(u.telemetry_events) > s.telemetry_a_day then 'telemetry'
    when use_today.telemetry_events > 0 and max(cardinality(u.telemetry_types)) > s.telemetry_types_a_day
      then 'types of telemetry'
    when use_today.bytes > 0 and sum(u.bytes) > s.bytes_a_day then 'bytes'
  end
  into reached
  from private.settings s
  cross join (
    select * from private.daily_use o where o.thinker_id = owner order by o.part for no key update
  ) u
  where u.day = current_date
  group by s.only_row;
  if reached is not null then
    raise sqlstate 'PT429' using message = 'daily_limit_reached', detail = reached;
  end if;
end;
$$;

comment on function private.use_today is
  'Adds to what the acting thinker has written today (UTC), and refuses what is above the limits in private.settings; '
  'telemetry_types are the types of the events. The thinkers of a browser session share the limits. A trusted server '
  'that acts for no thinker has no limits. A call with nothing to add, or near a limit, waits for the '
  'thinker''s other calls and lets none begin until the end of its transaction: call it before what others may have to '
  'wait for is locked. Others wait for nothing; a limit is passed only if some of them, at most one a connection, '
  'pause while all the rest of the day''s limit is written. '
  'daily_limit_reached has what is limited as detail. '
  'Raises: daily_limit_reached (429).';

-- sql/23_claims/tables/claims.sql
create table private.claims (
  id         bigint      generated always as identity primary key,
  thinker_id uuid        not null references public.thinkers (id) on delete cascade,
  session_id uuid,
  is_proven  boolean     not null default false,
  is_own     boolean     not null default false,
  claimed_at timestamptz default clock_timestamp(),

  constraint claims_one_a_session unique nulls not distinct (thinker_id, session_id),
  constraint a_free_uid_is_not_proven check (session_id is not null or not is_proven),
  constraint a_shared_token_is_proven check (is_proven or not is_own)
);

comment on table private.claims is
  'The thinkers of browser sessions. A uid that a page made up belongs to the session that used it first; the thinker '
  'of a token to each session that proved the token. Written by claim_thinker, prove_thinker and '
  'release_thinker.';
comment on column private.claims.session_id is
  'The id in the session''s cookie; null for a thinker that was only named by another one, and waits for its first '
  'session.';
comment on column private.claims.claimed_at is
  'When the latest session claimed it; null for a thinker that no session has used yet.';
comment on column private.claims.is_proven is 'Whether the session has proved the thinker''s token.';
comment on column private.claims.is_own is
  'Whether that token is a shared one (SHARED_TOKENS), whose thinker is another in each session.';

-- one session, or none yet, for a uid that a page made up
create unique index claims_first_session_idx on private.claims (thinker_id) where not is_proven;
create index claims_session_id_idx on private.claims (session_id, claimed_at);

alter table private.claims enable row level security;

-- sql/23_claims/tables/ended_sessions.sql
create table private.ended_sessions (
  session_id uuid        primary key,
  ended_at   timestamptz not null default now()
);

comment on table private.ended_sessions is
  'Browser sessions that were signed out, or whose thinkers an operator released: their cookies prove nothing any '
  'more. Kept for longer than a cookie lives.';

create index ended_sessions_ended_at_idx on private.ended_sessions (ended_at);

alter table private.ended_sessions enable row level security;

-- sql/23_claims/functions/claim_thinker.sql
create function public.claim_thinker(
  session_id uuid,
  uid        text,
  client     text    default null,
  known      boolean default false
)
returns void
language plpgsql
security definer
set search_path = ''
set statement_timeout = '2s'
as $$
declare
  thinker uuid := private.thinker_id(claim_thinker.uid);
  most    private.settings;
  is_new  boolean;
begin
  perform private.require_service();
  perform private.require_session(claim_thinker.session_id);

  if exists (
    select from private.claims c
    where c.thinker_id = thinker and c.session_id = claim_thinker.session_id
  ) then
    return;
  end if;

  if claim_thinker.uid is null or char_length(claim_thinker.uid) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'uid_invalid';
  end if;

  -- no look-alikes. Those of tokens and of users of Supabase Auth need a proof, the others are no page's
  if claim_thinker.uid collate "C" !~ '^[A-Za-z0-9._-]{1,64}$'
    or claim_thinker.uid collate "C" ~* '^(thinker-|erased-|[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$)'
    -- that of its own session only, as api/gateway/session_calls.py computes it: tokens name their session to others
    or (
      claim_thinker.uid collate "C" ~* '^guest-'
      and claim_thinker.uid <> 'guest-' || left(
        encode(sha256('guest'::bytea || uuid_send(claim_thinker.session_id)), 'hex'), 22
      )
    )
    or exists (select from public.thinkers t where t.id = thinker and t.roles <> '{}')
    or exists (select from public.fee_versions f where f.beneficiary_id = thinker)
    or exists (select from public.settlements s where s.beneficiary_id = thinker)
  then
    raise sqlstate 'PT403' using message = 'not_yourself';
  end if;

  -- claims of one session are counted one after the other, and none comes behind its end
  perform pg_advisory_xact_lock(private.lock_number('session:' || claim_thinker.session_id));
  perform private.require_session(claim_thinker.session_id);
  select * into most from private.settings;
  if (
    select count(*) from private.claims c where c.session_id = claim_thinker.session_id and not c.is_proven
  ) >= most.thinkers_a_session then
    raise sqlstate 'PT429' using message = 'too_many_claims';
  end if;

  insert into public.thinkers (id, public_id) values (thinker, claim_thinker.uid) on conflict do nothing;
  is_new := found;
  -- after what others may keep it waiting for: the claims of an address are counted one after the other
  if claim_thinker.client is not null
    and (public.count_request('claim|' || claim_thinker.client) ->> 'requests')::int > most.claims_a_minute
  then
    raise sqlstate 'PT429' using message = 'too_many_claims';
  end if;

  if is_new or (
    claim_thinker.known and not exists (select from private.claims c where c.thinker_id = thinker)
  ) then
    insert into private.claims (thinker_id, session_id)
    values (thinker, claim_thinker.session_id)
    on conflict (thinker_id) where not is_proven do nothing;
  else
    update private.claims c
    set session_id = claim_thinker.session_id, claimed_at = clock_timestamp()
    where c.thinker_id = thinker and c.session_id is null;
  end if;
  -- another session was first, or a trusted server knows this thinker
  if not found and not exists (
    select from private.claims c where c.thinker_id = thinker and c.session_id = claim_thinker.session_id
  ) then
    raise sqlstate 'PT403' using message = 'not_yourself';
  end if;
end;
$$;

comment on function public.claim_thinker is
  'Lets a browser session act as the thinker with this uid from now on, unless it may already. A uid belongs to the '
  'session that uses it first: one that nobody has used, or that was only named by another; where known is true also '
  'one that trusted servers or imports have used. Never a thinker of a token or of Supabase Auth (prove_thinker), nor '
  'one with a role, a beneficiary of today or before, a pseudonym or another session''s guest, nor a look-alike '
  '(thinker-...). A page makes up uids of at most 64 letters, digits and . _ -. client is the address whose claims are '
  'counted (private.settings.claims_a_minute). '
  'Raises: uid_invalid (400); session_ended (401); not_a_server, not_yourself (403); too_many_claims (429).';

grant execute on function public.claim_thinker to service_role;

-- sql/23_claims/functions/end_session.sql
create function public.end_session(session_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.require_service();
  insert into private.ended_sessions (session_id) values (end_session.session_id) on conflict do nothing;
  delete from private.ended_sessions e where e.ended_at < now() - interval '500 days';
end;
$$;

comment on function public.end_session is
  'Ends a browser session: its cookie proves nothing any more, wherever it was copied. '
  'Raises: not_a_server (403).';

grant execute on function public.end_session to service_role;

-- sql/23_claims/functions/prove_thinker.sql
create function public.prove_thinker(
  session_id uuid,
  uid        text,
  client     text    default null,
  is_own     boolean default false
)
returns void
language plpgsql
security definer
set search_path = ''
set statement_timeout = '2s'
as $$
declare
  thinker uuid;
  most    private.settings;
begin
  perform private.require_service();
  -- none comes behind the end of the session
  perform pg_advisory_xact_lock(private.lock_number('session:' || prove_thinker.session_id));
  perform private.require_session(prove_thinker.session_id);
  thinker := private.ensure_thinker(prove_thinker.uid);

  -- who has the token comes before the session that named the uid first
  delete from private.claims c where c.thinker_id = thinker and not c.is_proven;

  insert into private.claims (thinker_id, session_id, is_proven, is_own)
  values (thinker, prove_thinker.session_id, true, prove_thinker.is_own)
  on conflict on constraint claims_one_a_session do nothing;

  -- the tokens of the others can be proved again
  select * into most from private.settings;
  delete from private.claims c
  where c.id in (
    select o.id
    from private.claims o
    where o.session_id = prove_thinker.session_id and o.is_proven
    order by o.thinker_id = thinker desc, o.claimed_at desc
    offset greatest(most.thinkers_a_session, 1)
  );
  -- each writes into the log
  if found
    and prove_thinker.client is not null
    and (public.count_request('claim|' || prove_thinker.client) ->> 'requests')::int > most.claims_a_minute
  then
    raise sqlstate 'PT429' using message = 'too_many_claims';
  end if;
end;
$$;

comment on function public.prove_thinker is
  'Lets a browser session act as the thinker with this uid, whose token it has proved; several sessions may, unless '
  'is_own: the thinker of a shared token is another in each session. Of more than private.settings.thinkers_a_session '
  'such thinkers a session keeps the latest; each of those beyond counts as a claim of the address client '
  '(private.settings.claims_a_minute). '
  'Raises: uid_invalid (400); session_ended (401); not_a_server (403); too_many_claims (429).';

grant execute on function public.prove_thinker to service_role;

-- sql/23_claims/functions/release_thinker.sql
create function private.release_thinker(uid text)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  thinker  constant uuid := private.thinker_id(release_thinker.uid);
  sessions uuid[];
  released jsonb;
begin
  if not exists (select from private.claims c where c.thinker_id = thinker and c.session_id is not null) then
    raise sqlstate 'PT404' using message = 'thinker_not_claimed';
  end if;

  -- not those that only proved its token: a link with a token lets anybody add a thinker to the session of another
  select array_agg(c.session_id) into sessions
  from private.claims c
  where c.thinker_id = thinker and c.session_id is not null and (not c.is_proven or c.is_own);
  -- behind the claims that they are making
  perform pg_advisory_xact_lock(private.lock_number('session:' || s)), public.end_session(s) from unnest(sessions) as s;
  with free as (
    update private.claims c
    set session_id = null
    where c.session_id = any (sessions) and not c.is_proven
    returning c.thinker_id
  ),
  gone as (
    delete from private.claims c
    where c.is_proven and (c.session_id = any (sessions) or c.thinker_id = thinker)
    returning c.thinker_id
  )
  select jsonb_agg(distinct private.uid_of(r.thinker_id)) into released
  from (select thinker_id from free union all select thinker_id from gone) as r;
  return released;
end;
$$;

comment on function private.release_thinker is
  'Ends the browser session that used this uid first, or that has it by a shared token: all of its thinkers are free '
  'for the next session that uses or proves them. The thinker of any other token is taken from the sessions that '
  'proved it, which go on. Returns the uids. For operators. '
  'Raises: not_a_server (403); thinker_not_claimed (404).';

-- sql/23_claims/functions/require_admin_session.sql
create function public.require_admin_session(session_id uuid)
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.require_admin();
  perform private.require_session(require_admin_session.session_id);
end;
$$;

comment on function public.require_admin_session is
  'Lets an admin session pass that has not ended (end_session), whose actor is a trusted server or still an admin. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.require_admin_session to authenticated, service_role;

-- sql/23_claims/functions/require_live_session.sql
create function private.require_live_session()
returns void
language plpgsql -- caches the plan for the next call
stable
security definer
set search_path = ''
as $$
declare
  session constant uuid := (auth.jwt() ->> 'portal_session')::uuid;
begin
  if not exists (select from private.claims c where c.session_id = session and c.thinker_id = auth.uid()) then
    raise sqlstate 'PT401' using message = 'session_ended';
  end if;
  perform private.require_session(session);
end;
$$;

comment on function private.require_live_session is
  'Lets a request pass whose browser session (portal_session in the JWT, which this server signs) has not ended and '
  'acts as the thinker of the JWT. '
  'Raises: session_ended (401).';

grant execute on function private.require_live_session to authenticated;

-- sql/23_claims/functions/require_session.sql
create function private.require_session(session_id uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if exists (select from private.ended_sessions e where e.session_id = require_session.session_id) then
    raise sqlstate 'PT401' using message = 'session_ended';
  end if;
end;
$$;

comment on function private.require_session is
  'Lets a browser session pass that has not ended. '
  'Raises: session_ended (401).';

-- sql/23_claims/functions/same_session.sql
create function private.same_session(thinker uuid)
returns uuid[]
language plpgsql -- caches the plan for the next call
stable
security definer
set search_path = ''
as $$
begin
  return coalesce(
    (
      select array_agg(o.thinker_id order by o.claimed_at, o.id)
      from private.claims c
      join private.claims o on o.session_id = c.session_id
      -- a link with a token lets anybody add a thinker to the session of another
      where c.thinker_id = same_session.thinker and c.session_id is not null and not c.is_proven and not o.is_proven
    ),
    array[same_session.thinker]
  );
end;
$$;

comment on function private.same_session is
  'The ids of the thinkers that share the limits of a thinker: those that its browser session used first, oldest claim '
  'first. Only itself without a session, and for the thinker of a token.';

-- sql/23_claims/functions/session_thinkers.sql
create function public.session_thinkers(session_id uuid, request_key text default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
begin
  perform private.require_service();
  perform private.require_session(session_thinkers.session_id);
  return coalesce(
    (
      select jsonb_agg(
        jsonb_build_object(
          'uid', t.public_id,
          'is_proven', c.is_proven,
          'has_answer', exists (
            select from private.idempotency_keys k
            where k.actor = t.id::text and k.key = session_thinkers.request_key
          )
        )
        order by c.is_proven, c.claimed_at, t.public_id
      )
      from private.claims c
      join public.thinkers t on t.id = c.thinker_id
      where c.session_id = session_thinkers.session_id
    ),
    '[]'
  );
end;
$$;

comment on function public.session_thinkers is
  'The thinkers of a browser session, as {"uid", "is_proven", "has_answer"}: those that it used first, then those of '
  'its tokens, each in the order of their claims. One with an answer has carried out the request with the '
  'idempotency key request_key (private.store_response). '
  'Raises: session_ended (401); not_a_server (403).';

grant execute on function public.session_thinkers to service_role;

-- sql/23_claims/triggers/tg_claims__write_claimed.sql
create function private.tg_claims__write_claimed()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'thinker.claimed', new.thinker_id, 'thinker', private.uid_of(new.thinker_id),
    jsonb_build_object('proven', new.is_proven)
  );
  return null;
end;
$$;

comment on function private.tg_claims__write_claimed is 'Writes the event thinker.claimed, without the session.';

create trigger tg_claims__write_claimed
  after insert or update of session_id on private.claims
  for each row
  when (new.session_id is not null)
  execute function private.tg_claims__write_claimed();

-- sql/23_claims/triggers/tg_claims__write_released.sql
create function private.tg_claims__write_released()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, subject_type, subject_id, meta)
  values (
    'thinker.released', 'thinker', private.uid_of(old.thinker_id),
    jsonb_build_object('by', private.operator_name())
  );
  return null;
end;
$$;

comment on function private.tg_claims__write_released is
  'Writes the event thinker.released: a browser session may not act as the thinker any more. An erasure has its own '
  'event.';

create trigger tg_claims__write_released
  after update of session_id on private.claims
  for each row
  when (old.session_id is not null and new.session_id is null)
  execute function private.tg_claims__write_released();

create trigger tg_claims__write_released_on_delete
  after delete on private.claims
  for each row
  when (old.session_id is not null and not private.is_erasure())
  execute function private.tg_claims__write_released();

-- sql/25_idempotency/tables/idempotency_keys.sql
create table private.idempotency_keys (
  actor       text        collate "C" not null,
  key         text        collate "C" not null,
  fingerprint bytea       not null,
  response    jsonb       not null,
  created_at  timestamptz not null default now(),

  primary key (actor, key),
  constraint key_has_1_to_255_characters check (char_length(key) between 1 and 255),
  constraint fingerprint_is_a_sha256 check (octet_length(fingerprint) = 32)
);

comment on table private.idempotency_keys is
  'The response to each request that carried an idempotency key, written in the same transaction as the request''s '
  'effect and valid for 24 hours. Written by store_response, read by replay_response.';
comment on column private.idempotency_keys.actor is
  'The owner of the key: the id of the acting thinker, or the role if no thinker acts.';
comment on column private.idempotency_keys.fingerprint is 'SHA-256 of the function''s name and arguments.';

create index idempotency_keys_created_at_idx on private.idempotency_keys (created_at);

alter table private.idempotency_keys enable row level security;

-- sql/25_idempotency/functions/checked_request.sql
create function private.checked_request(request jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  -- check the session before the JSON: a refused request must not delay the thinker that it names
  perform private.is_valid_request();
  -- a column's JSON is up to three levels within the request; how long it is, is the column's rule
  perform private.check_json(checked_request.request, levels => 66, bytes => null);
  return checked_request.request;
end;
$$;

comment on function private.checked_request is
  'Returns a function''s name and arguments, of which some are JSON of the client. Checks levels and numbers first, so '
  'that a small request cannot become gigabytes when it is hashed, or shown in the error of a constraint. '
  'Raises: json_unreasonable, query_too_large (400); session_ended (401).';

-- sql/25_idempotency/functions/idempotency_key_owner.sql
create function private.idempotency_key_owner()
returns text
language sql
stable
set search_path = ''
as $$
  select coalesce(auth.uid()::text, auth.role(), session_user)
$$;

comment on function private.idempotency_key_owner is
  'The owner of an idempotency key: the id of the acting thinker, or the role if no thinker acts.';

-- sql/25_idempotency/functions/replay_response.sql
create function private.replay_response(key text, request jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  owner  text;
  stored private.idempotency_keys;
begin
  perform private.is_valid_request();
  -- an erasure that gets no locks lets no call begin; before the call holds any
  perform pg_advisory_xact_lock_shared(private.lock_number('write'));
  if replay_response.key is null then
    return null;
  end if;

  owner := private.idempotency_key_owner();
  if char_length(replay_response.key) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'idempotency_key_invalid';
  end if;

  -- held until the transaction with the effect ends: the next holder of the lock sees the stored response
  if not pg_try_advisory_xact_lock(private.lock_number('idempotency_key:' || owner || ':' || replay_response.key)) then
    raise sqlstate 'PT409' using message = 'request_in_progress';
  end if;

  select * into stored
  from private.idempotency_keys k
  where k.actor = owner
    and k.key = replay_response.key
    and k.created_at > now() - interval '24 hours';

  if stored.fingerprint <> sha256(convert_to(replay_response.request::text, 'UTF8')) then
    raise sqlstate 'PT422' using message = 'idempotency_key_reused';
  end if;
  if stored.response is not null then
    -- PostgREST and the API's direct gateway answer with this header
    perform set_config('response.headers', '[{"Idempotency-Replayed": "true"}]', true);
  else
    -- the key's bytes are counted at the end (store_response): only the thinker's own calls may have to wait for that
    perform private.use_today();
  end if;
  return stored.response;
end;
$$;

comment on function private.replay_response is
  'Returns the stored response to the actor''s first request with this idempotency key, within 24 hours; null if this '
  'request is the first or has no key. A replayed response has the header Idempotency-Replayed: true. request: the '
  'function''s name and arguments, equal each time the request is sent. Holds a lock on the key until the end of the '
  'transaction. A key has 1 to 255 characters; a key of a different request is an error. A failed request stores '
  'nothing. Also asks whether the statement is small, before the function reads or locks anything, and waits for an '
  'erasure that is about to lock its rows (private.erase_thinker). '
  'Raises: idempotency_key_invalid, query_too_large (400); session_ended (401); request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

-- sql/25_idempotency/functions/store_response.sql
create function private.store_response(key text, request jsonb, response jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  if store_response.key is not null then
    insert into private.idempotency_keys as k (actor, key, fingerprint, response)
    values (
      private.idempotency_key_owner(),
      store_response.key,
      sha256(convert_to(store_response.request::text, 'UTF8')),
      store_response.response
    )
    -- the existing row is older than 24 hours, otherwise replay_response would have returned it
    on conflict on constraint idempotency_keys_pkey do update
    set fingerprint = excluded.fingerprint, response = excluded.response, created_at = excluded.created_at;
    -- a key stays for a day, and the response may be much longer than the request; or the key, in its row and its index
    perform private.use_today(
      bytes => pg_column_size(store_response.response) + 2 * octet_length(store_response.key) + 200
    );
  end if;
  return store_response.response;
end;
$$;

comment on function private.store_response is
  'Stores the response to a request with an idempotency key, for replay_response; without a key stores nothing. '
  'Returns the response. Its caller sets timezone to UTC: another request, whose time zone may differ, gets the same '
  'response. Counts the size of the response and its key for bytes_a_day of the acting thinker. '
  'Raises: daily_limit_reached (429).';

-- sql/30_rate_limits/tables/request_counts.sql
create unlogged table private.request_counts (
  client         text        collate "C" primary key,
  requests       integer     not null,
  window_ends_at timestamptz not null
);

comment on table private.request_counts is
  'The number of requests of each client in its current minute, for the rate limits of /api, and of blocks of 64 KiB '
  'that it uploaded within 24 hours. Unlogged: lost after a crash. Written by count_request.';
comment on column private.request_counts.client is 'The limited route and the client''s address.';

create index request_counts_window_ends_at_idx on private.request_counts (window_ends_at);

alter table private.request_counts enable row level security;

-- sql/30_rate_limits/functions/count_request.sql
create function public.count_request(client text, number integer default 1, period interval default '1 minute')
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  moment  timestamptz := clock_timestamp();
  -- a window that ends later was opened before the clock was set back, and would refuse the client for too long
  latest  timestamptz := moment + 2 * count_request.period;
  counted private.request_counts;
begin
  perform private.require_service();

  -- nothing can be counted, and reading goes on
  if current_setting('transaction_read_only') = 'on' then
    return jsonb_build_object('requests', 0, 'seconds_left', 60);
  end if;

  insert into private.request_counts as c (client, requests, window_ends_at)
  values (left(count_request.client, 255), greatest(count_request.number, 1), moment + count_request.period)
  on conflict on constraint request_counts_pkey do update
  set requests = case
        when c.window_ends_at > moment and c.window_ends_at < latest then c.requests + excluded.requests
        else excluded.requests
      end,
      window_ends_at = case
        when c.window_ends_at > moment and c.window_ends_at < latest then c.window_ends_at
        else excluded.window_ends_at
      end
  returning * into counted;

  -- each new window deletes a few expired ones, so that the table stays small
  if counted.requests <= count_request.number then
    delete from private.request_counts c
    where c.client in (
      select o.client
      from private.request_counts o
      where o.window_ends_at < moment
      order by o.window_ends_at
      limit 10
      for update skip locked
    );
  end if;

  return jsonb_build_object(
    'requests', counted.requests,
    'seconds_left', ceil(extract(epoch from counted.window_ends_at - moment))::int
  );
end;
$$;

comment on function public.count_request is
  'Counts requests of a client (a route and an address) in a window that begins with its first request and lasts for '
  'the period, always the same one for a client. The count is exact over any number of servers, each of which may '
  'count some before they come. Returns {requests, seconds_left}; a read-only database counts nothing. '
  'Raises: not_a_server (403).';

grant execute on function public.count_request to service_role;

-- sql/35_presence/tables/presence_sessions.sql
create table public.presence_sessions (
  id           uuid        primary key default private.new_uuid(),
  thinker_id   uuid        not null unique references public.thinkers (id) on delete cascade,
  pair_code    text        collate "C",
  room_id      text        collate "C",
  status       text        not null default 'online',
  silenced     boolean     not null default false,
  joined_at    timestamptz,
  last_seen_at timestamptz not null default now(),
  created_at   timestamptz not null default now(),

  constraint presence_status_is_valid check (status in ('online', 'offline')),
  constraint pair_code_has_1_to_255_characters check (char_length(pair_code) between 1 and 255),
  constraint room_id_has_1_to_600_characters check (char_length(room_id) between 1 and 600),
  constraint a_room_belongs_to_a_pair_code check (room_id is null or pair_code is not null),
  constraint times_are_in_the_calendar check (
    least(joined_at, last_seen_at, created_at) >= '0001-01-01 00:00:00+00'
    and greatest(joined_at, last_seen_at, created_at) < '10000-01-01 00:00:00+00'
  ),
  constraint a_room_is_joined check (joined_at is null or room_id is not null),
  constraint silenced_session_is_offline check (not silenced or status = 'offline')
);

comment on table public.presence_sessions is
  'Whether a thinker is online, one row a thinker. Written by verify_presence, send_heartbeat, match_presence '
  'and join_room.';
comment on column public.presence_sessions.pair_code is
  'The keyword by which thinkers find each other (projekt_alpha, familie).';
comment on column public.presence_sessions.room_id is
  'The room of this pair code; set to null when the pair code changes.';
comment on column public.presence_sessions.silenced is
  'True if a job set the status to offline after a minute without a heartbeat; the next heartbeat sets it to online '
  'again.';

comment on column public.presence_sessions.joined_at is
  'When the thinker joined the chat of this room, not counting what follows within a minute; null before.';

create index presence_sessions_room_id_idx on public.presence_sessions (room_id);
create index presence_sessions_pair_code_idx on public.presence_sessions (pair_code) where status = 'online';

-- no planner statistics, see 10_core/privileges.sql
alter table public.presence_sessions
  alter column pair_code set statistics 0,
  alter column room_id set statistics 0;

alter table public.presence_sessions enable row level security;

grant select on public.presence_sessions to service_role, authenticated;

create policy "thinkers see themselves and the others in their room"
  on public.presence_sessions
  for select
  to authenticated
  using (
    thinker_id = (select auth.uid())
    or room_id = (select private.my_room())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.presence_sessions
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- sql/35_presence/tables/rooms.sql
create table public.rooms (
  id         text        collate "C" primary key,
  type       text        not null default 'mixed',
  owner_id   uuid        references public.thinkers (id) on delete restrict,
  meta       jsonb       not null default '{}',
  created_at timestamptz not null default now(),

  constraint room_id_has_1_to_600_characters check (char_length(id) between 1 and 600),
  constraint room_type_is_valid check (type in ('text', 'video', 'file', 'contract', 'mixed')),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint meta_is_reasonable_json check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.rooms is 'Places where thinkers meet or store documents.';
comment on column public.rooms.owner_id is
  'The thinker who created the room; null if a trusted server created it without naming a thinker.';
comment on column public.rooms.meta is 'Origin of the room: {"source": "presence", "pair_code": ...}.';

create index rooms_owner_id_idx on public.rooms (owner_id);

-- no planner statistics, see 10_core/privileges.sql
alter table public.rooms
  alter column id set statistics 0;

alter table public.rooms enable row level security;

grant select on public.rooms to service_role, authenticated;

create policy "thinkers see their own rooms and those they are in"
  on public.rooms
  for select
  to authenticated
  using (
    owner_id = (select auth.uid())
    or id in (select private.my_rooms())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.rooms
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- sql/35_presence/functions/join_room.sql
create function public.join_room(room_id text, notice text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
begin
  perform public.send_to_room(join_room.room_id, join_room.notice);

  -- a browser that connects again and again leaves one event in a minute
  update public.presence_sessions s
  set joined_at = now()
  where s.thinker_id = auth.uid()
    and (s.joined_at is null or s.joined_at < now() - interval '1 minute');

  return jsonb_build_object('room_id', join_room.room_id);
end;
$$;

comment on function public.join_room is
  'Lets the acting thinker join the chat of the room into which it was matched, and notifies the other servers as '
  'send_to_room does. Returns {room_id}. '
  'Raises: query_too_large, uid_invalid (400); not_signed_in, session_ended (401); not_your_room (403); '
  'daily_limit_reached (429).';

grant execute on function public.join_room to authenticated;

-- sql/35_presence/functions/list_presence.sql
create function public.list_presence(max_rows integer default 1000, after text default null)
returns jsonb[]
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_presence.after);
  page refcursor;
begin
  perform private.require_admin();

  open page for
    select
      to_jsonb(s) || jsonb_build_object('thinker_uid', private.uid_of(s.thinker_id)) as item,
      array[s.created_at::text, s.id::text] as key
    from public.presence_sessions s
    where (s.created_at, s.id) < (coalesce(key[1]::timestamptz, 'infinity'), key[2]::uuid)
    order by s.created_at desc, s.id desc
    limit private.page_rows(list_presence.max_rows) + 1;
  return private.read_page(page, list_presence.max_rows, oldest_first => true);
end;
$$;

comment on function public.list_presence is
  'All presence sessions, for admins (GET /api/presence/debug): a page of max_rows, from 1 to 1000. The first '
  'page has the newest sessions; each page is sorted oldest first (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401); not_an_admin (403).';

grant execute on function public.list_presence to service_role, authenticated;

-- sql/35_presence/functions/match_presence.sql
create function public.match_presence(pair_code text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request   jsonb := jsonb_build_array('match_presence', match_presence.pair_code);
  response  jsonb := private.replay_response(match_presence.idempotency_key, request);
  thinker   uuid := private.acting_thinker();
  present   uuid[];
  room      text;
  together  boolean;
  is_locked boolean := false;
begin
  if response is not null then
    return response;
  end if;

  loop
    select
      array_agg(s.thinker_id), (array_agg(s.room_id order by s.created_at) filter (where s.room_id is not null))[1],
      count(s.room_id) = count(*) and min(s.room_id) = max(s.room_id)
    into present, room, together
    from public.presence_sessions s
    where s.pair_code = match_presence.pair_code
      and s.status = 'online'
      and s.last_seen_at >= now() - interval '60 seconds';

    if thinker = any (present) and cardinality(present) >= 2 then
      exit when together or is_locked;
    else
      room := null;
      together := true;
      exit;
    end if;

    -- concurrent calls that would change something wait, and then find the room that the first one created
    perform pg_advisory_xact_lock(private.lock_number('match_presence:' || match_presence.pair_code));
    is_locked := true;
  end loop;

  if not together then
    if room is null then
      room := 'room-' || match_presence.pair_code || '-' || private.new_suffix();
      insert into public.rooms (id, type, owner_id, meta)
      values (room, 'mixed', thinker, jsonb_build_object('source', 'presence', 'pair_code', match_presence.pair_code));
    end if;
    update public.presence_sessions s
    set room_id = room, joined_at = null
    where s.thinker_id = any (present)
      and s.pair_code = match_presence.pair_code
      and s.room_id is distinct from room;
  end if;

  return private.store_response(match_presence.idempotency_key, request, jsonb_build_object('room_id', room));
end;
$$;

comment on function public.match_presence is
  'Puts the acting thinker into one room with all thinkers who are online with the same pair code and were seen in '
  'the last 60 seconds; creates the room if it does not exist. Returns {room_id}: null if the caller is not online '
  'with that code or is alone. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, uid_invalid (400); not_signed_in, session_ended (401); '
  'request_in_progress (409); idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.match_presence to authenticated;

-- sql/35_presence/functions/publish_realtime.sql
create function private.publish_realtime(is_published boolean)
returns void
language plpgsql
set search_path = ''
as $$
declare
  changed text;
begin
  if not exists (select from pg_catalog.pg_publication p where p.pubname = 'supabase_realtime') then
    raise undefined_object using
      message = 'there is no publication supabase_realtime',
      hint = 'A Supabase project has it. For a Realtime of your own: create publication supabase_realtime.';
  end if;
  for changed in
    select t.name
    from unnest(array['presence_sessions', 'rooms']) as t (name)
    where publish_realtime.is_published <> exists (
      select from pg_catalog.pg_publication_tables p
      where p.pubname = 'supabase_realtime' and p.schemaname = 'public' and p.tablename = t.name
    )
  loop
    execute format(
      'alter publication supabase_realtime %s table public.%I',
      case when publish_realtime.is_published then 'add' else 'drop' end, changed
    );
  end loop;
end;
$$;

comment on function private.publish_realtime is
  'Begins or ends that Supabase Realtime sends the changes of presence_sessions and rooms to those who see the changed '
  'row: to each what its token may read. Who listens to deleted rows learns the id of each, and nothing else. Every '
  'heartbeat is a change, which Realtime checks for every listener.';

-- sql/35_presence/functions/require_in_room.sql
create function private.require_in_room(room_id text)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not exists (
    select from public.presence_sessions s
    where s.thinker_id = auth.uid()
      and s.room_id = require_in_room.room_id
      -- browsers delay the heartbeats of hidden pages to one in a minute, so that jobs silence their sessions
      and (s.status = 'online' or s.silenced)
      and s.last_seen_at >= now() - interval '2 minutes'
  ) then
    raise sqlstate 'PT403' using message = 'not_your_room';
  end if;
end;
$$;

comment on function private.require_in_room is
  'Lets an actor pass who was matched into the room, has not gone offline, and was seen in the last two minutes. '
  'Raises: not_your_room (403).';

-- sql/35_presence/functions/send_heartbeat.sql
create function public.send_heartbeat(
  pair_code       text default null,
  status          text default null,
  idempotency_key text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := jsonb_build_array('send_heartbeat', send_heartbeat.pair_code, send_heartbeat.status);
  response jsonb := private.replay_response(send_heartbeat.idempotency_key, request);
  thinker  uuid := private.acting_thinker();
  session  public.presence_sessions;
begin
  if response is not null then
    return response;
  end if;

  if char_length(send_heartbeat.pair_code) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'pair_code_invalid';
  end if;

  -- most heartbeats change nothing, which costs less than the rest
  update public.presence_sessions s
  set last_seen_at = now()
  where s.thinker_id = thinker
    and not s.silenced
    and s.pair_code is not distinct from coalesce(send_heartbeat.pair_code, s.pair_code)
    and (send_heartbeat.status is null or (s.status = 'online') = (send_heartbeat.status = 'online'))
  returning * into session;
  if found then
    return private.store_response(send_heartbeat.idempotency_key, request, to_jsonb(session));
  end if;

  -- each change leaves events, and may lead to a new room
  if exists (
    select from public.presence_sessions s
    where s.thinker_id = thinker
      and (
        s.pair_code is distinct from coalesce(send_heartbeat.pair_code, s.pair_code)
        or (not s.silenced and (s.status = 'online') <> (send_heartbeat.status = 'online'))
      )
  ) then
    perform private.use_today(presence_changes => 1);
  end if;

  insert into public.presence_sessions as s (thinker_id, pair_code, status)
  values (
    thinker,
    send_heartbeat.pair_code,
    case when coalesce(send_heartbeat.status, 'online') = 'online' then 'online' else 'offline' end
  )
  on conflict (thinker_id) do update
  set pair_code = coalesce(excluded.pair_code, s.pair_code),
      status = case
        when send_heartbeat.status is not null then excluded.status
        when s.silenced then 'online'
        else s.status
      end,
      silenced = false,
      room_id = case when excluded.pair_code <> s.pair_code then null else s.room_id end,
      joined_at = case when excluded.pair_code <> s.pair_code then null else s.joined_at end,
      last_seen_at = now()
  returning * into session;

  return private.store_response(send_heartbeat.idempotency_key, request, to_jsonb(session));
end;
$$;

comment on function public.send_heartbeat is
  'Reports that the acting thinker is online. Arguments that are null keep the stored value, except that a thinker '
  'timed out by a job comes back online. Every status other than online is stored as offline; offline thinkers are '
  'not matched. Returns the session. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response). '
  'Raises: idempotency_key_invalid, pair_code_invalid, query_too_large, uid_invalid (400); not_signed_in, '
  'session_ended (401); request_in_progress (409); idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.send_heartbeat to authenticated;

-- sql/35_presence/functions/send_to_room.sql
create function public.send_to_room(room_id text, notice text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
begin
  perform private.is_valid_request();
  perform private.acting_thinker();
  perform private.require_in_room(send_to_room.room_id);

  if send_to_room.notice is not null then
    perform private.use_today(bytes => octet_length(send_to_room.notice));
    perform pg_notify('room_notices', send_to_room.notice);
  end if;

  return jsonb_build_object('room_id', send_to_room.room_id);
end;
$$;

comment on function public.send_to_room is
  'Notifies all servers (channel room_notices) of what the acting thinker says in the room in which it is; without a '
  'notice it only checks that the thinker is there. Nothing is stored. The notice has less than 8000 bytes and is '
  'sealed by a server: others would neither read nor forge it. Returns {room_id}. '
  'Raises: query_too_large, uid_invalid (400); not_signed_in, session_ended (401); not_your_room (403); '
  'daily_limit_reached (429).';

grant execute on function public.send_to_room to authenticated;

-- sql/35_presence/functions/verify_presence.sql
create function public.verify_presence(idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := jsonb_build_array('verify_presence');
  response jsonb := private.replay_response(verify_presence.idempotency_key, request);
  thinker  uuid := private.acting_thinker();
  session  public.presence_sessions;
begin
  if response is not null then
    return response;
  end if;

  update public.thinkers t set verified_at = now() where t.id = thinker;

  insert into public.presence_sessions (thinker_id) values (thinker) on conflict (thinker_id) do nothing;

  select * into session from public.presence_sessions s where s.thinker_id = thinker;

  return private.store_response(
    verify_presence.idempotency_key,
    request,
    jsonb_build_object('thinker_uid', private.uid_of(thinker), 'pair_code', session.pair_code)
  );
end;
$$;

comment on function public.verify_presence is
  'Records that the acting thinker proved its token. The first call also creates its session, online; later calls '
  'change neither status nor last_seen_at. Returns {thinker_uid, pair_code}. A repeated call with the same '
  'idempotency_key returns the stored response (private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, uid_invalid (400); not_signed_in, session_ended (401); '
  'request_in_progress (409); idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.verify_presence to authenticated;

-- sql/40_vouchers/tables/vouchers.sql
create table public.vouchers (
  id               text        collate "C" primary key default private.new_id('v'),
  issuer_id        uuid        not null references public.thinkers (id) on delete restrict,
  holder_id        uuid        references public.thinkers (id) on delete restrict,
  issued_to        uuid        references public.thinkers (id) on delete restrict,
  service_type     text        not null default 'generic.service',
  title            text        not null default 'Unbenannter Service',
  description      text        not null default '',
  duration_minutes integer     not null default 60,
  valid_from       timestamptz not null,
  valid_until      timestamptz not null,
  allowed_slots    jsonb       not null default '[]',
  price_amount     bigint,
  price_currency   text        collate "C",
  status           text        not null default 'issued',
  transferable     boolean     not null default false,
  terms            jsonb       not null default '{}',
  created_at       timestamptz not null default now(),

  constraint voucher_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint duration_is_at_most_a_year check (duration_minutes between 1 and 525600),
  constraint valid_until_is_not_before_valid_from check (valid_until >= valid_from),
  constraint times_are_in_the_calendar check (
    least(valid_from, valid_until, created_at) >= '0001-01-01 00:00:00+00'
    and greatest(valid_from, valid_until, created_at) < '10000-01-01 00:00:00+00'
  ),
  constraint price_is_a_safe_amount check (price_amount between 0 and 9007199254740991),
  constraint price_has_amount_and_currency check ((price_amount is null) = (price_currency is null)),
  constraint price_currency_is_upper_case
    check (price_currency = upper(price_currency) and price_currency ~ '^\S{1,32}$'),
  constraint voucher_status_is_valid check (status in ('issued', 'booked', 'consumed', 'cancelled', 'expired')),
  constraint allowed_slots_is_an_array check (jsonb_typeof(allowed_slots) = 'array'),
  constraint service_type_and_title_have_at_most_4_kib
    check (octet_length(service_type) <= 4096 and octet_length(title) <= 4096),
  -- the legacy servers took 120,000 characters; a control character is printed with six
  constraint description_has_at_most_128_kib check (octet_length(to_json(description)::text) <= 131072)
);

comment on table public.vouchers is
  'Rights to appointments with their issuer within a period of time. Written by issue_voucher, book_voucher and '
  'cancel_booking.';
comment on column public.vouchers.holder_id is
  'The thinker of the latest active booking; initially the thinker in issued_to.';
comment on column public.vouchers.issued_to is 'If not null, only this thinker may book the voucher.';
comment on column public.vouchers.duration_minutes is 'The length of an appointment.';
comment on column public.vouchers.valid_from is 'The start of the first slot; slots start every 60 minutes.';
comment on column public.vouchers.allowed_slots is
  'Stored as the portal sends it; does not affect which slots are offered (docs/compatibility.md).';
comment on column public.vouchers.price_amount is
  'In the currency''s minor unit (cents). At most 2^53 - 1, which a JSON number represents exactly.';
comment on column public.vouchers.terms is
  'The agreed terms, such as the template''s id ({"template": "consulting"}); any JSON.';

create index vouchers_issuer_id_idx on public.vouchers (issuer_id, created_at);
create index vouchers_holder_id_idx on public.vouchers (holder_id, created_at);
create index vouchers_issued_to_idx on public.vouchers (issued_to, created_at);
create index vouchers_created_at_idx on public.vouchers (created_at);
create index vouchers_window_idx on public.vouchers using gist (tstzrange(valid_from, valid_until));
create index vouchers_open_offers_idx
  on public.vouchers (created_at, valid_until)
  where status = 'issued' and holder_id is null and issued_to is null;

-- no planner statistics, see 10_core/privileges.sql
alter table public.vouchers
  alter column id set statistics 0,
  alter column service_type set statistics 0,
  alter column title set statistics 0,
  alter column description set statistics 0;

alter table public.vouchers enable row level security;

grant select on public.vouchers to service_role, authenticated, anon;

create policy "issuer and holders see a voucher, everybody an open offer"
  on public.vouchers
  for select
  to authenticated
  using (
    issuer_id = (select auth.uid())
    or id in (select private.held_vouchers())
    or (status = 'issued' and holder_id is null and issued_to is null and valid_until > now())
    or (select private.may_act_as('admin'))
  );

create policy "everybody sees an open offer"
  on public.vouchers
  for select
  to anon
  using (status = 'issued' and holder_id is null and issued_to is null and valid_until > now());

create policy "requests are valid"
  on public.vouchers
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_vouchers__refuse_currency
before insert or update of price_currency on public.vouchers
for each row
when (new.price_currency <> 'EUR' and private.is_currency(new.price_currency) is false)
execute function private.tg_currency__refuse();

create trigger tg_vouchers__refuse_json
before insert or update of terms, allowed_slots on public.vouchers
for each row
when (
  octet_length(new.terms::text) + octet_length(new.allowed_slots::text) > 126
  and not private.check_json(jsonb_build_array(new.terms, new.allowed_slots), levels => 64)
)
execute function private.tg_json__refuse();

-- sql/40_vouchers/tables/named_templates.sql
create table private.named_templates (
  voucher_id  text collate "C" primary key references public.vouchers (id) on delete cascade on update cascade,
  template_id text collate "C" not null,

  constraint template_id_has_1_to_255_characters check (char_length(template_id) between 1 and 255)
);

comment on table private.named_templates is
  'The template that the terms of a voucher name, known or not: figures need it for each day, and would read the terms '
  'each time, which may have 64 KiB. Written by the trigger tg_vouchers__name_template.';

alter table private.named_templates enable row level security;

-- sql/40_vouchers/tables/voucher_bookings.sql
create extension if not exists btree_gist with schema extensions;

create table public.voucher_bookings (
  id            text        collate "C" primary key default private.new_id('b'),
  voucher_id    text        collate "C" not null references public.vouchers (id) on delete restrict,
  issuer_id     uuid        not null references public.thinkers (id) on delete restrict,
  holder_id     uuid        not null references public.thinkers (id) on delete restrict,
  slot_start    timestamptz not null,
  slot_end      timestamptz not null,
  status        text        not null default 'booked',
  cancel_reason text,
  created_at    timestamptz not null default now(),
  cancelled_at  timestamptz,
  no_overlap_across_vouchers boolean not null default false,
  price_amount  bigint,
  price_currency text,

  constraint booking_status_is_valid check (status in ('booked', 'cancelled')),
  constraint slot_ends_after_it_starts check (slot_end > slot_start),
  constraint cancelled_booking_has_a_time check ((status = 'cancelled') = (cancelled_at is not null)),
  constraint only_a_cancelled_booking_has_a_reason check (cancel_reason is null or status = 'cancelled'),
  constraint cancelled_at_is_not_before_created_at check (cancelled_at >= created_at),
  constraint cancel_reason_has_at_most_4_kib check (octet_length(cancel_reason) <= 4096),
  constraint booking_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar check (
    least(slot_start, slot_end, created_at, cancelled_at) >= '0001-01-01 00:00:00+00'
    and greatest(slot_start, slot_end, created_at, cancelled_at) < '10000-01-01 00:00:00+00'
  ),
  constraint bookings_of_a_voucher_never_overlap
    exclude using gist (voucher_id with =, tstzrange(slot_start, slot_end) with &&) where (status = 'booked'),
  constraint no_overlap_across_vouchers
    exclude using gist (issuer_id with =, tstzrange(slot_start, slot_end) with &&)
    where (status = 'booked' and no_overlap_across_vouchers)
);

comment on table public.voucher_bookings is
  'Booked appointments. Written by book_voucher and cancel_booking only; never deleted, and only cancelled '
  'afterwards.';
comment on column public.voucher_bookings.issuer_id is 'The voucher''s issuer at the time of booking.';
comment on column public.voucher_bookings.price_amount is
  'The voucher''s price at the time of booking, in the minor unit of price_currency; null if it had none. Fees are '
  'charged on it.';
comment on column public.voucher_bookings.no_overlap_across_vouchers is
  'The issuer''s option (thinkers.no_overlap_across_vouchers), for the constraint. Triggers keep it for active '
  'bookings that are not over.';

-- the index of the exclusion constraint has only active bookings; look-ups by voucher and the foreign key need all
create index voucher_bookings_voucher_id_idx on public.voucher_bookings (voucher_id, created_at);
create index voucher_bookings_issuer_id_idx on public.voucher_bookings (issuer_id, created_at);
create index voucher_bookings_holder_id_idx on public.voucher_bookings (holder_id, created_at);
create index voucher_bookings_held_idx on public.voucher_bookings (holder_id, slot_end) where status = 'booked';
create index voucher_bookings_created_at_idx on public.voucher_bookings (created_at);
create index voucher_bookings_slot_idx
  on public.voucher_bookings using gist (tstzrange(slot_start, slot_end)) where status = 'booked';
create index voucher_bookings_cancelled_at_idx on public.voucher_bookings (cancelled_at) where cancelled_at is not null;

-- no planner statistics, see 10_core/privileges.sql
alter table public.voucher_bookings
  alter column id set statistics 0,
  alter column voucher_id set statistics 0,
  alter column cancel_reason set statistics 0;

alter table public.voucher_bookings enable row level security;

grant select on public.voucher_bookings to service_role, authenticated;

create policy "issuer and holder see their booking"
  on public.voucher_bookings
  for select
  to authenticated
  using (
    issuer_id = (select auth.uid())
    or holder_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.voucher_bookings
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- fees depend on these rows
create trigger tg_voucher_bookings__refuse
before delete or truncate or update of
  id, voucher_id, issuer_id, holder_id, slot_start, slot_end, created_at, price_amount, price_currency
on public.voucher_bookings
for each statement execute function private.tg_append_only__refuse();

-- sql/40_vouchers/tables/voucher_templates.sql
create table public.voucher_templates (
  id               text    collate "C" primary key,
  service_type     text    not null,
  title            text    not null,
  default_duration integer not null,
  default_terms    jsonb   not null default '{}',

  constraint default_duration_is_at_most_a_year check (default_duration between 1 and 525600),
  constraint template_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint service_type_and_title_have_at_most_4_kib
    check (octet_length(service_type) <= 4096 and octet_length(title) <= 4096),
  constraint default_terms_are_an_object check (jsonb_typeof(default_terms) = 'object'),
  constraint default_terms_are_reasonable_json check (private.check_json(default_terms))
);

comment on table public.voucher_templates is 'The portal''s voucher templates for different branches.';
comment on column public.voucher_templates.default_duration is 'In minutes.';
comment on column public.voucher_templates.default_terms is
  'Initial terms of a voucher; terms.template holds the id of the template, which joins the two.';

alter table public.voucher_templates enable row level security;

grant select on public.voucher_templates to service_role, authenticated, anon;

create policy "everybody sees the templates"
  on public.voucher_templates
  for select
  to anon, authenticated
  using (true);

create policy "requests are valid"
  on public.voucher_templates
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

insert into public.voucher_templates (id, service_type, title, default_duration, default_terms)
values
  ('consulting', 'consulting.session', 'Beratungsgespräch', 60, '{"template": "consulting"}'),
  ('therapy', 'therapy.session', 'Therapiesitzung', 50, '{"template": "therapy"}'),
  ('viewing', 'realestate.viewing', 'Immobilienbesichtigung', 30, '{"template": "viewing"}'),
  ('machine', 'machine.rental', 'Maschinenstunde', 120, '{"template": "machine"}'),
  ('membership', 'membership.access', 'Mitgliedschaft', 60, '{"template": "membership"}');

-- sql/40_vouchers/functions/available_slots.sql
create function public.available_slots(
  voucher_id text,
  slots_from timestamptz default null,
  slots_to   timestamptz default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  voucher     public.vouchers;
  first_start timestamptz;
  last_start  timestamptz;
  span        tstzrange;
  taken       tstzmultirange;
  exclusive   boolean;
  slots       jsonb;
begin
  perform private.is_valid_request();
  select * into voucher from public.vouchers v where v.id = available_slots.voucher_id;
  if not found or not private.is_open_to_caller(voucher) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;

  select t.no_overlap_across_vouchers into exclusive from public.thinkers t where t.id = voucher.issuer_id;
  -- from its start on a slot is not offered
  first_start := least(
    greatest(voucher.valid_from, available_slots.slots_from, now() + interval '1 microsecond'), voucher.valid_until
  );
  -- at most a year, which is 8,784 slots, and 4 MiB: a client may choose an id that is printed as 1.5 KB
  last_start := least(
    available_slots.slots_to,
    first_start + interval '1 year' - interval '1 millisecond',
    first_start + make_interval(hours => 4194304 / (150 + octet_length(to_json(voucher.id)::text)))
  );
  span := tstzrange(first_start, greatest(first_start, last_start + make_interval(mins => voucher.duration_minutes)));

  -- once: compared with each slot of a year, thousands of bookings take seconds
  select range_agg(tstzrange(b.slot_start, b.slot_end)) into taken
  from public.voucher_bookings b
  where b.voucher_id = voucher.id
    and b.status = 'booked'
    and tstzrange(b.slot_start, b.slot_end) && span;
  if exclusive then
    select coalesce(range_agg(tstzrange(b.slot_start, b.slot_end)), '{}') + coalesce(taken, '{}') into taken
    from public.voucher_bookings b
    where b.issuer_id = voucher.issuer_id
      and b.status = 'booked'
      and b.no_overlap_across_vouchers
      and tstzrange(b.slot_start, b.slot_end) && span;
  end if;

  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'voucher_id', voucher.id,
        'slot_start', slot,
        'slot_end', slot + make_interval(mins => voucher.duration_minutes)
      )
      order by slot
    ),
    '[]'
  )
  into slots
  from private.slots_of(voucher, first_start, last_start) as slot
  where not coalesce(taken && tstzrange(slot, slot + make_interval(mins => voucher.duration_minutes)), false);

  return slots;
end;
$$;

comment on function public.available_slots is
  'The free slots of a voucher, earliest first: [{voucher_id, slot_start, slot_end}], without those that overlap an '
  'active booking of the voucher, or of any voucher of an issuer with one appointment at a time. Lists slots that '
  'start between slots_from and slots_to (both included), at most one year, and at most 4 MiB; by default the first '
  'that are left. From its start on a slot is not offered. A voucher that is not open to the caller is not found. '
  'Raises: query_too_large (400); session_ended (401); voucher_not_found (404).';

grant execute on function public.available_slots to anon, authenticated, service_role;

-- sql/40_vouchers/functions/book_voucher.sql
create function public.book_voucher(voucher_id text, slot_start timestamptz, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  request  jsonb := jsonb_build_array(
    'book_voucher', book_voucher.voucher_id, book_voucher.slot_start
  );
  response jsonb := private.replay_response(book_voucher.idempotency_key, request);
  holder   uuid := private.acting_thinker();
  voucher  public.vouchers;
  booking  public.voucher_bookings;
  offered  boolean := false;
  most     integer;
begin
  if response is not null then
    return response;
  end if;

  -- locks a row of the holder, so that its bookings are counted one after the other
  perform private.use_today(bookings => 1);

  -- only who may book locks the voucher
  if not exists (
    select from public.vouchers v where v.id = book_voucher.voucher_id and private.is_open_to_caller(v)
  ) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;

  select * into voucher
  from public.vouchers v
  where v.id = book_voucher.voucher_id
  for no key update;

  if not found or not private.is_open_to_caller(voucher) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;
  if voucher.status in ('consumed', 'cancelled', 'expired') then
    raise sqlstate 'PT409' using message = 'voucher_not_bookable', detail = voucher.status;
  end if;
  if book_voucher.slot_start between voucher.valid_from and voucher.valid_until then
    -- clock_timestamp(), because the slot may have started while this call waited for the voucher
    offered := (
      book_voucher.slot_start > clock_timestamp()
      or private.is_service() and (select s.past_bookings from private.settings s)
    ) and exists (select from private.slots_of(voucher, book_voucher.slot_start, book_voucher.slot_start));
  end if;
  if not offered then
    raise sqlstate 'PT409' using message = 'slot_not_offered';
  end if;

  select s.bookings_held into most
  from private.settings s
  where (
    select count(*)
    from public.voucher_bookings b
    where b.holder_id = any ((select private.same_session(holder))::uuid[])
      and b.status = 'booked'
      and b.slot_end > now()
  ) >= s.bookings_held;
  if found then
    raise sqlstate 'PT409' using message = 'too_many_bookings', detail = most;
  end if;

  insert into public.voucher_bookings (voucher_id, issuer_id, holder_id, slot_start, slot_end)
  values (
    voucher.id, voucher.issuer_id, holder, book_voucher.slot_start,
    book_voucher.slot_start + make_interval(mins => voucher.duration_minutes)
  )
  returning * into booking;

  update public.vouchers v
  set status = 'booked', holder_id = holder
  where v.id = voucher.id
  returning * into voucher;

  return private.store_response(
    book_voucher.idempotency_key,
    request,
    jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher))
  );
exception
  when exclusion_violation then
    raise sqlstate 'PT409' using message = 'slot_taken';
end;
$$;

comment on function public.book_voucher is
  'Books a slot of a voucher for the acting thinker. Returns {booking, voucher}. A voucher that is not open to the '
  'caller is not found; slot_start null is a slot that is not offered, and so is one from its start on, except for a '
  'trusted server where private.settings.past_bookings is on. If the issuer has one appointment at a time '
  '(thinkers.no_overlap_across_vouchers), a slot is also taken by a booking of another of its vouchers. '
  'voucher_not_bookable has the voucher''s status as detail. A repeated call with the same idempotency_key returns '
  'the stored response (private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, uid_invalid (400); not_signed_in, session_ended (401); '
  'voucher_not_found (404); request_in_progress, slot_not_offered, slot_taken, too_many_bookings, '
  'voucher_not_bookable (409); idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.book_voucher to authenticated, service_role;

-- sql/40_vouchers/functions/booking_json.sql
create function private.booking_json(booking public.voucher_bookings)
returns jsonb
language sql
stable
return to_jsonb(booking) || jsonb_build_object(
  'issuer_uid', private.uid_of(booking.issuer_id),
  'holder_uid', private.uid_of(booking.holder_id)
);

comment on function private.booking_json is
  'A booking as the functions return it: its columns and the uids of issuer and holder.';

grant execute on function private.booking_json to service_role, authenticated;

-- sql/40_vouchers/functions/cancel_booking.sql
create function public.cancel_booking(
  booking_id      text default null,
  voucher_id      text default null,
  reason          text default null,
  idempotency_key text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := jsonb_build_array(
    'cancel_booking', cancel_booking.booking_id, cancel_booking.voucher_id, cancel_booking.reason
  );
  response jsonb := private.replay_response(cancel_booking.idempotency_key, request);
  voucher  public.vouchers;
  booking  public.voucher_bookings;
  holder   uuid;
begin
  if response is not null then
    return response;
  end if;

  if cancel_booking.booking_id is null and cancel_booking.voucher_id is null then
    raise sqlstate 'PT400' using message = 'booking_or_voucher_required';
  end if;

  -- only a party locks the voucher
  if not private.is_service() and not exists (
    -- each by its key: the plan for a caller who is in many bookings would be that of everybody
    select from public.voucher_bookings b
    where b.id = cancel_booking.booking_id and auth.uid() in (b.holder_id, b.issuer_id)
    union all
    select from public.voucher_bookings b
    where cancel_booking.booking_id is null and b.voucher_id = cancel_booking.voucher_id
      and auth.uid() in (b.holder_id, b.issuer_id)
  ) then
    if exists (select from public.voucher_bookings b where b.id = cancel_booking.booking_id) then
      raise sqlstate 'PT403' using message = 'not_a_party';
    end if;
    raise sqlstate 'PT404' using message = 'booking_not_found';
  end if;

  if cancel_booking.reason is not null then
    perform private.use_today(bytes => octet_length(cancel_booking.reason));
  end if;

  -- lock the voucher first, as book_voucher does: after waiting, this statement sees the other transaction's changes
  select * into voucher
  from public.vouchers v
  where v.id = case
    when cancel_booking.booking_id is null then cancel_booking.voucher_id
    else (select b.voucher_id from public.voucher_bookings b where b.id = cancel_booking.booking_id)
  end
  for no key update;

  select * into booking
  from public.voucher_bookings b
  where b.voucher_id = voucher.id
    and case
      when cancel_booking.booking_id is not null then b.id = cancel_booking.booking_id
      -- if the voucher has several bookings, one that the caller may cancel
      else b.status = 'booked' and (private.is_service() or auth.uid() in (b.holder_id, b.issuer_id))
    end
  order by b.created_at, b.id
  limit 1;

  if not found then
    raise sqlstate 'PT404' using message = 'booking_not_found';
  end if;

  if booking.status = 'booked' then
    update public.voucher_bookings b
    set status = 'cancelled', cancel_reason = cancel_booking.reason, cancelled_at = clock_timestamp()
    where b.id = booking.id
    returning * into booking;

    select b.holder_id into holder
    from public.voucher_bookings b
    where b.voucher_id = voucher.id and b.status = 'booked'
    order by b.created_at desc, b.id desc
    limit 1;

    update public.vouchers v
    set status = case when holder is null then 'issued' else 'booked' end, holder_id = holder
    where v.id = voucher.id and v.status = 'booked';
    select * into voucher from public.vouchers v where v.id = voucher.id;
  end if;

  return private.store_response(
    cancel_booking.idempotency_key,
    request,
    jsonb_build_object('booking', private.booking_json(booking), 'voucher', private.voucher_json(voucher))
  );
end;
$$;

comment on function public.cancel_booking is
  'Cancels a booking, given by its id or as the caller''s oldest active booking of a voucher. Allowed for its holder, '
  'its issuer and trusted servers. The voucher is offered again unless it has another active booking. A cancelled '
  'booking stays as it is. From the start of its slot on, its charges stay (fees.reversed_after_start). '
  'Returns {booking, voucher}. A repeated call with the same idempotency_key returns the '
  'stored response (private.replay_response). '
  'Raises: booking_or_voucher_required, idempotency_key_invalid, query_too_large (400); session_ended (401); '
  'not_a_party (403); booking_not_found (404); request_in_progress (409); idempotency_key_reused (422); '
  'daily_limit_reached (429).';

grant execute on function public.cancel_booking to authenticated, service_role;

-- sql/40_vouchers/functions/is_open_to_caller.sql
create function private.is_open_to_caller(voucher public.vouchers)
returns boolean
language sql
stable
set search_path = ''
as $$
  select private.is_service()
    or coalesce(auth.uid() in (voucher.issuer_id, voucher.holder_id, voucher.issued_to), false)
    or voucher.issued_to is null and voucher.valid_until > now() and case voucher.status
      when 'issued' then voucher.holder_id is null
      -- every thinker who knows the id may book its free slots; the bookings of an imported voucher may still come
      when 'booked' then auth.uid() is not null and exists (
        select from public.voucher_bookings b where b.voucher_id = voucher.id
      )
      else false
    end
$$;

comment on function private.is_open_to_caller is
  'True if the caller may list the slots of a voucher and book one: a trusted server, its issuer, its holder, and the '
  'thinker that it is reserved for; everybody for an open offer; every thinker for a booked voucher that is not '
  'reserved.';

-- sql/40_vouchers/functions/issue_voucher.sql
create function public.issue_voucher(
  voucher_id       text        default null,
  service_type     text        default null,
  title            text        default null,
  description      text        default null,
  duration_minutes integer     default null,
  valid_from       timestamptz default null,
  valid_until      timestamptz default null,
  allowed_slots    jsonb       default null,
  price_amount     bigint      default null,
  price_currency   text        default null,
  status           text        default null,
  holder_uid       text        default null,
  transferable     boolean     default null,
  terms            jsonb       default null,
  idempotency_key  text        default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := private.checked_request(
    jsonb_build_array(
      'issue_voucher', issue_voucher.voucher_id, issue_voucher.service_type, issue_voucher.title,
      issue_voucher.description, issue_voucher.duration_minutes, issue_voucher.valid_from,
      issue_voucher.valid_until, issue_voucher.allowed_slots, issue_voucher.price_amount,
      issue_voucher.price_currency, issue_voucher.status, issue_voucher.holder_uid, issue_voucher.transferable,
      issue_voucher.terms
    )
  );
  response jsonb := private.replay_response(issue_voucher.idempotency_key, request);
  holder   uuid := private.thinker_id(issue_voucher.holder_uid);
  is_known boolean := holder is null or exists (select from public.thinkers t where t.id = holder);
  issuer   uuid;
  voucher  public.vouchers;
begin
  if response is not null then
    return response;
  end if;

  if not is_known then
    -- before the holder's first heartbeat has to wait for this call
    perform private.use_today();
  end if;

  -- new thinkers are created in the order of their ids, to avoid deadlocks between concurrent calls
  if holder < auth.uid() then
    perform private.ensure_thinker(issue_voucher.holder_uid);
  end if;
  issuer := private.acting_thinker();
  perform private.ensure_thinker(issue_voucher.holder_uid);

  voucher := row(
    coalesce(issue_voucher.voucher_id, private.new_id('v')), -- id
    issuer, -- issuer_id
    holder, -- holder_id
    holder, -- issued_to
    coalesce(issue_voucher.service_type, 'generic.service'),
    coalesce(issue_voucher.title, 'Unbenannter Service'),
    coalesce(issue_voucher.description, ''),
    coalesce(issue_voucher.duration_minutes, 60),
    -- a valid_until of a client whose clock is behind is kept
    date_trunc('milliseconds', coalesce(issue_voucher.valid_from, least(issue_voucher.valid_until, now()))),
    date_trunc('milliseconds', coalesce(issue_voucher.valid_until, greatest(issue_voucher.valid_from, now()))),
    coalesce(issue_voucher.allowed_slots, '[]'),
    issue_voucher.price_amount,
    case
      when issue_voucher.price_amount is not null then upper(coalesce(issue_voucher.price_currency, 'EUR') collate "C")
    end,
    lower(coalesce(issue_voucher.status, 'issued') collate "C"), -- status
    coalesce(issue_voucher.transferable, false),
    coalesce(issue_voucher.terms, '{}'),
    now() -- created_at
  )::public.vouchers;

  if voucher.duration_minutes not between 1 and 525600 then
    raise sqlstate 'PT400' using message = 'duration_out_of_range';
  end if;
  if not private.in_calendar(voucher.valid_from, voucher.valid_until) then
    raise sqlstate 'PT400' using message = 'date_out_of_range';
  end if;
  if voucher.valid_until < voucher.valid_from then
    raise sqlstate 'PT400' using message = 'valid_until_before_valid_from';
  end if;
  if issue_voucher.price_amount is null and issue_voucher.price_currency is not null then
    raise sqlstate 'PT400' using message = 'price_invalid';
  end if;
  if voucher.price_amount not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  if voucher.status not in ('issued', 'booked', 'consumed', 'cancelled', 'expired') then
    raise sqlstate 'PT400' using message = 'voucher_status_unknown';
  end if;

  perform private.use_today(
    vouchers => 1,
    new_thinkers => case when not is_known and holder <> auth.uid() then 1 else 0 end,
    bytes => pg_column_size(request)
  );

  insert into public.vouchers values (voucher.*) on conflict (id) do nothing;
  if not found then
    raise sqlstate 'PT409' using message = 'voucher_exists';
  end if;

  return private.store_response(issue_voucher.idempotency_key, request, private.voucher_json(voucher));
end;
$$;

comment on function public.issue_voucher is
  'Issues a voucher of the acting thinker. Arguments that are null get the default of the legacy API: 60 minutes of '
  '"Unbenannter Service", valid from now until now; if only a past valid_until or a future valid_from is given, the '
  'other is the same time. price_amount is in the currency''s minor unit (cents), price_invalid a currency without '
  'one; times are stored with milliseconds. Returns the voucher. A repeated call with the same idempotency_key '
  'returns the stored response (private.replay_response). The table''s trigger raises currency_unknown (400) for a '
  'currency that is not in private.currencies, in any case. '
  'Raises: amount_out_of_range, date_out_of_range, duration_out_of_range, idempotency_key_invalid, '
  'json_unreasonable, price_invalid, query_too_large, uid_invalid, valid_until_before_valid_from, '
  'voucher_status_unknown (400); not_signed_in, session_ended (401); request_in_progress, voucher_exists (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.issue_voucher to authenticated;

-- sql/40_vouchers/functions/list_bookings.sql
create function public.list_bookings(
  holder_uid text    default null,
  issuer_uid text    default null,
  voucher_id text    default null,
  max_rows   integer default 1000,
  after      text    default null,
  max_bytes  integer default null
)
returns jsonb[]
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_bookings.after);
  page refcursor;
  -- the policy alone, which knows admins, would read the rows of all others
  mine uuid;
begin
  perform private.is_valid_request();
  if not private.may_act_as('admin') then
    mine := auth.uid();
  end if;
  open page for
    select private.booking_json(b) as item, array[b.created_at::text, b.id] as key
    from public.voucher_bookings b
    where (list_bookings.holder_uid is null or b.holder_id = private.thinker_id(list_bookings.holder_uid))
      and (list_bookings.issuer_uid is null or b.issuer_id = private.thinker_id(list_bookings.issuer_uid))
      and (list_bookings.voucher_id is null or b.voucher_id = list_bookings.voucher_id)
      and (mine is null or b.issuer_id = mine or b.holder_id = mine)
      and (b.created_at, b.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
    order by b.created_at desc, b.id desc
    limit private.page_rows(list_bookings.max_rows) + 1;
  return private.read_page(page, list_bookings.max_rows, max_bytes => list_bookings.max_bytes);
end;
$$;

comment on function public.list_bookings is
  'The bookings that the caller may see and that match all given filters, newest first: a page of max_rows, from 1 to '
  '1000 (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401).';

grant execute on function public.list_bookings to service_role, authenticated;

-- sql/40_vouchers/functions/list_vouchers.sql
create function public.list_vouchers(
  issuer_uid text    default null,
  holder_uid text    default null,
  status     text    default null,
  max_rows   integer default 1000,
  after      text    default null,
  max_bytes  integer default null
)
returns jsonb[]
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_custom_plan'
-- a page is read to its end: the plan for its first rows walks the vouchers of others to find the last ones
set cursor_tuple_fraction = 1
as $$
declare
  key  text[] := private.page_key(list_vouchers.after);
  page refcursor;
  -- the policy alone, which knows admins, would read the rows of all others
  mine uuid;
  seen text[];
begin
  perform private.is_valid_request();
  if not private.may_act_as('admin') then
    mine := auth.uid();
    seen := array(select private.held_vouchers()) || array(
      -- the newest open offers, in the order of their index
      select v.id
      from public.vouchers v
      where v.status = 'issued' and v.holder_id is null and v.issued_to is null and v.valid_until > now()
        and (list_vouchers.issuer_uid is null or v.issuer_id = private.thinker_id(list_vouchers.issuer_uid))
        and (v.created_at, v.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
      order by v.created_at desc, v.id desc
      limit private.page_rows(list_vouchers.max_rows) + 1
    );
  end if;
  open page for
    select private.voucher_json(v) as item, array[v.created_at::text, v.id] as key
    from public.vouchers v
    where (list_vouchers.issuer_uid is null or v.issuer_id = private.thinker_id(list_vouchers.issuer_uid))
      and (list_vouchers.holder_uid is null or v.holder_id = private.thinker_id(list_vouchers.holder_uid))
      and (list_vouchers.status is null or v.status = list_vouchers.status)
      and (mine is null or v.issuer_id = mine or v.id = any (seen))
      and (v.created_at, v.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
    order by v.created_at desc, v.id desc
    limit private.page_rows(list_vouchers.max_rows) + 1;
  return private.read_page(
    page, list_vouchers.max_rows, oldest_first => true, max_bytes => list_vouchers.max_bytes
  );
end;
$$;

comment on function public.list_vouchers is
  'The vouchers that the caller may see and that match all given filters: a page of max_rows, from 1 to 1000. The '
  'first page has the newest vouchers; each page is sorted oldest first (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401).';

grant execute on function private.thinker_id to service_role, authenticated;
grant execute on function public.list_vouchers to service_role, authenticated;

-- sql/40_vouchers/functions/slots_of.sql
create function private.slots_of(voucher public.vouchers, slots_from timestamptz, slots_to timestamptz)
returns setof timestamptz
language plpgsql -- caches the plan for the next call
stable
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  -- slots start at valid_from and then every 60 minutes, whatever the duration
  return query
  select generate_series(
    voucher.valid_from
      + make_interval(hours => greatest(0, ceil(extract(epoch from slots_from - voucher.valid_from) / 3600))::int),
    least(voucher.valid_until - make_interval(mins => voucher.duration_minutes), slots_to),
    interval '1 hour'
  );
end;
$$;

comment on function private.slots_of is
  'The starts of a voucher''s slots between two times (both included), booked or not: every 60 minutes, as in the '
  'legacy API.';

-- sql/40_vouchers/functions/voucher_json.sql
create function private.voucher_json(voucher public.vouchers)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  -- a voucher may have several holders: they do not see each other
  if voucher.holder_id is not null
    and not coalesce(auth.uid() in (voucher.issuer_id, voucher.holder_id), false)
    and not private.may_act_as('admin') then
    voucher.holder_id := null;
  end if;

  return to_jsonb(voucher) || jsonb_build_object(
    'issuer_uid', private.uid_of(voucher.issuer_id),
    'holder_uid', private.uid_of(voucher.holder_id)
  );
end;
$$;

comment on function private.voucher_json is
  'A voucher as the functions return it: its columns and the uids of issuer and holder. Only the parties, trusted '
  'servers and admins see the holder.';

grant execute on function private.voucher_json to service_role, authenticated;

-- sql/40_vouchers/triggers/tg_thinkers__apply_no_overlap.sql
create function private.tg_thinkers__apply_no_overlap()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- wait for the bookings that have read the option before
  perform pg_advisory_xact_lock(private.lock_number('no_overlap_of:' || new.id));
  perform pg_advisory_xact_lock(private.lock_number('no_overlap_of_imported'));

  update public.voucher_bookings b
  set no_overlap_across_vouchers = new.no_overlap_across_vouchers
  where b.issuer_id = new.id and b.status = 'booked' and b.slot_end > now();
  return null;
end;
$$;

comment on function private.tg_thinkers__apply_no_overlap is
  'Applies a changed option no_overlap_across_vouchers to the issuer''s active bookings that are not over. If these '
  'overlap, they violate the constraint, and the option stays off.';

create trigger tg_thinkers__apply_no_overlap
  after update of no_overlap_across_vouchers on public.thinkers
  for each row
  when (old.no_overlap_across_vouchers <> new.no_overlap_across_vouchers)
  execute function private.tg_thinkers__apply_no_overlap();

-- sql/40_vouchers/triggers/tg_voucher_bookings__copy_no_overlap.sql
create function private.tg_voucher_bookings__copy_no_overlap()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  exclusive boolean;
begin
  -- the option stays as it is until this booking is committed. No lock of the issuer's row, which would keep the issuer
  -- from signing in while a stranger books. An import has one lock for all issuers
  if not private.is_import() then
    perform pg_advisory_xact_lock_shared(private.lock_number('no_overlap_of:' || new.issuer_id));
  end if;
  select t.no_overlap_across_vouchers into exclusive from public.thinkers t where t.id = new.issuer_id;

  -- history that an operator inserts may overlap
  new.no_overlap_across_vouchers := coalesce(exclusive and new.slot_end > now(), false);
  if new.no_overlap_across_vouchers then
    -- one booking at a time: two at the same hour would wait for each other
    perform pg_advisory_xact_lock(private.lock_number('appointments_of:' || new.issuer_id));
  end if;
  return new;
end;
$$;

comment on function private.tg_voucher_bookings__copy_no_overlap is
  'Copies the issuer''s option no_overlap_across_vouchers to a new or moved booking, for the constraint.';

create trigger tg_voucher_bookings__copy_no_overlap
  before insert or update of issuer_id, slot_start, slot_end on public.voucher_bookings
  for each row
  execute function private.tg_voucher_bookings__copy_no_overlap();

-- sql/40_vouchers/triggers/tg_voucher_bookings__copy_price.sql
create function private.tg_voucher_bookings__copy_price()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  select v.price_amount, v.price_currency into new.price_amount, new.price_currency
  from public.vouchers v
  where v.id = new.voucher_id;
  return new;
end;
$$;

comment on function private.tg_voucher_bookings__copy_price is
  'Copies the voucher''s price to a new booking, because the price of the voucher can change after a cancellation.';

create trigger tg_voucher_bookings__copy_price
  before insert on public.voucher_bookings
  for each row
  execute function private.tg_voucher_bookings__copy_price();

-- sql/40_vouchers/triggers/tg_voucher_bookings__keep_cancelled.sql
create function private.tg_voucher_bookings__keep_cancelled()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT409' using message = 'booking_is_cancelled', detail = new.id;
end;
$$;

comment on function private.tg_voucher_bookings__keep_cancelled is
  'Refuses to reactivate a cancelled booking, by its owner too; the slot has to be booked again. '
  'Raises: booking_is_cancelled (409).';

create trigger tg_voucher_bookings__keep_cancelled
  before update on public.voucher_bookings
  for each row
  when (old.status = 'cancelled' and new.status <> 'cancelled')
  execute function private.tg_voucher_bookings__keep_cancelled();

-- sql/40_vouchers/triggers/tg_voucher_bookings__order_times.sql
create function private.tg_voucher_bookings__order_times()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.cancelled_at := new.created_at;
  return new;
end;
$$;

comment on function private.tg_voucher_bookings__order_times is
  'Cancels a booking at the earliest at its creation. The clock of the cancellation may be behind the clock of the '
  'booking, for example after the server''s clock was corrected.';

create trigger tg_voucher_bookings__order_times
  before update of cancelled_at on public.voucher_bookings
  for each row
  when (new.cancelled_at < new.created_at)
  execute function private.tg_voucher_bookings__order_times();

-- sql/40_vouchers/triggers/tg_vouchers__name_template.sql
create function private.tg_vouchers__name_template()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' then
    delete from private.named_templates n where n.voucher_id = new.id;
  end if;
  if char_length(new.terms ->> 'template') between 1 and 255 then
    insert into private.named_templates (voucher_id, template_id) values (new.id, new.terms ->> 'template');
  end if;
  return null;
end;
$$;

comment on function private.tg_vouchers__name_template is
  'Keeps the template that the terms of a voucher name (private.named_templates).';

create trigger tg_vouchers__name_template
  after insert or update of terms on public.vouchers
  for each row
  execute function private.tg_vouchers__name_template();

-- sql/45_documents/tables/contracts.sql
create table public.contracts (
  id          uuid        primary key default private.new_uuid(),
  name        text        not null,
  mime_type   text,
  byte_size   bigint      not null,
  storage_url text        collate "C" not null unique,
  hash_sha256 text        collate "C" not null,
  created_by  uuid        references public.thinkers (id) on delete restrict,
  created_at  timestamptz not null default now(),

  constraint name_has_1_to_1000_characters check (char_length(name) between 1 and 1000),
  constraint mime_type_has_1_to_255_characters check (char_length(mime_type) between 1 and 255),
  constraint byte_size_is_not_negative check (byte_size >= 0),
  constraint storage_url_is_a_path_of_contracts check (storage_url ~ '^contracts/[^/]+/[^/]+$'),
  constraint storage_url_is_a_path_that_stores_take check (storage_url !~ '/\.\.?(/|$)|[\u0001-\u001f\u007f]|#[0-9]+$'),
  constraint storage_url_has_at_most_4_kib check (octet_length(storage_url) <= 4096),
  constraint hash_is_a_sha256_in_hex check (hash_sha256 ~ '^[0-9a-f]{64}$'),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.contracts is 'Documents of the legal hub. Their bytes are in the object store.';
comment on column public.contracts.mime_type is 'As sent by the client; null if not sent.';
comment on column public.contracts.storage_url is 'The path in the object store: contracts/<id>/<file name>.';
comment on column public.contracts.hash_sha256 is 'SHA-256 of the stored bytes, in hex.';
comment on column public.contracts.created_by is
  'The thinker who stored the document; null if a trusted server stored it without naming a thinker.';

create index contracts_created_by_idx on public.contracts (created_by, created_at) include (byte_size);
create index contracts_created_at_idx on public.contracts (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.contracts
  alter column name set statistics 0,
  alter column mime_type set statistics 0,
  alter column storage_url set statistics 0,
  alter column hash_sha256 set statistics 0;

alter table public.contracts enable row level security;

grant select on public.contracts to service_role, authenticated;

create policy "creators and parties see their documents"
  on public.contracts
  for select
  to authenticated
  using (
    id in (select private.my_contracts())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.contracts
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- sql/45_documents/tables/contract_links.sql
create table public.contract_links (
  id          uuid        primary key default private.new_uuid(),
  contract_id uuid        not null references public.contracts (id) on delete cascade,
  voucher_id  text        collate "C" references public.vouchers (id) on delete restrict,
  room_id     text        collate "C" references public.rooms (id) on delete restrict,
  role        text        not null default 'primary',
  created_at  timestamptz not null default now(),

  constraint link_role_is_valid check (role in ('primary', 'annex', 'offer', 'application')),
  constraint link_has_a_voucher_or_a_room check (num_nonnulls(voucher_id, room_id) >= 1),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.contract_links is 'Which voucher, room or both a document belongs to.';

create index contract_links_contract_id_idx on public.contract_links (contract_id);
create index contract_links_voucher_id_idx on public.contract_links (voucher_id);
create index contract_links_room_id_idx on public.contract_links (room_id);

-- no planner statistics, see 10_core/privileges.sql
alter table public.contract_links
  alter column voucher_id set statistics 0,
  alter column room_id set statistics 0;

alter table public.contract_links enable row level security;

grant select on public.contract_links to service_role, authenticated;

create policy "creators and parties see the links of their documents"
  on public.contract_links
  for select
  to authenticated
  using (
    id in (select private.my_contract_links())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.contract_links
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- sql/45_documents/tables/document_total.sql
create table private.document_total (
  only_row boolean primary key default true,
  bytes    numeric not null,

  constraint there_is_one_row check (only_row)
);

comment on table private.document_total is
  'The bytes of all documents, for private.settings.document_bytes; each document counts as 64 KiB at least, because a '
  'small one costs a folder, a file and rows, too. Written by the trigger tg_contracts__count.';

alter table private.document_total enable row level security;

-- sql/45_documents/functions/check_contract_link.sql
create function public.check_contract_link(
  voucher_id text    default null,
  room_id    text    default null,
  matched    boolean default false
)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform private.is_valid_request();
  if not private.is_service() then
    perform private.require_contract_link(
      check_contract_link.voucher_id, check_contract_link.room_id, check_contract_link.matched
    );
  end if;
  return true;
end;
$$;

comment on function public.check_contract_link is
  'True if the caller may link a document to this voucher and room (private.require_contract_link); called before a '
  'document is stored. A trusted server may link anything. '
  'Raises: query_too_large (400); session_ended (401); not_your_room (403); voucher_not_found (404).';

grant execute on function public.check_contract_link to authenticated, service_role;

-- sql/45_documents/functions/contract_json.sql
create function private.contract_json(contract public.contracts)
returns jsonb
language sql
stable
return to_jsonb(contract) || jsonb_build_object('created_by_uid', private.uid_of(contract.created_by));

comment on function private.contract_json is
  'A document as the functions return it: its columns and the uid of its creator.';

grant execute on function private.contract_json to service_role, authenticated;

-- sql/45_documents/functions/get_contract.sql
create function public.get_contract(contract_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  contract public.contracts;
begin
  perform private.is_valid_request();
  select * into contract
  from public.contracts c
  where c.id = get_contract.contract_id
    and (
      private.may_act_as('admin')
      or private.is_operator()
      or c.id in (select private.my_contracts(get_contract.contract_id))
    );
  if not found then
    raise sqlstate 'PT404' using message = 'contract_not_found';
  end if;
  return private.contract_json(contract);
end;
$$;

comment on function public.get_contract is
  'One document that the caller may see. '
  'Raises: query_too_large (400); session_ended (401); contract_not_found (404).';

grant execute on function public.get_contract to service_role, authenticated;

-- sql/45_documents/functions/list_contracts.sql
create function public.list_contracts(
  voucher_id text    default null,
  room_id    text    default null,
  max_rows   integer default 1000,
  after      text    default null,
  max_bytes  integer default null
)
returns jsonb[]
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_contracts.after);
  page refcursor;
  is_limited boolean;
  links      uuid[];
  vouchers   text[];
  ids        uuid[];
begin
  perform private.is_valid_request();
  is_limited := not private.may_act_as('admin') and not private.is_operator();
  -- once: each takes as long as the caller has vouchers with documents
  if list_contracts.voucher_id is not null or list_contracts.room_id is not null then
    select array_agg(l.id), array_agg(distinct l.voucher_id) into links, vouchers
    from public.contract_links l
    where (list_contracts.voucher_id is null or l.voucher_id = list_contracts.voucher_id)
      and (list_contracts.room_id is null or l.room_id = list_contracts.room_id);
    ids := array(
      select l.contract_id
      from public.contract_links l
      where l.id = any (links)
        and (not is_limited or l.id = any (array(select private.my_contract_links(vouchers))))
    );
  elsif is_limited then
    ids := array(select private.my_contracts());
  end if;
  open page for
    select private.contract_json(c) as item, array[c.created_at::text, c.id::text] as key
    from public.contracts c
    where (ids is null or c.id = any (ids))
      and (c.created_at, c.id) < (coalesce(key[1]::timestamptz, 'infinity'), key[2]::uuid)
    order by c.created_at desc, c.id desc
    limit private.page_rows(list_contracts.max_rows) + 1;
  return private.read_page(page, list_contracts.max_rows, max_bytes => list_contracts.max_bytes);
end;
$$;

comment on function public.list_contracts is
  'The documents that the caller may see, newest first; those linked to a voucher, to a room, or to both by one link: '
  'a page of max_rows, from 1 to 1000 (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401).';

grant execute on function public.list_contracts to service_role, authenticated;

-- sql/45_documents/functions/open_bucket.sql
create function private.open_bucket()
returns void
language plpgsql
set search_path = ''
as $$
declare
  policy record;
  sees   constant text := 'name in (select private.my_document_keys())';
begin
  -- plain PostgreSQL has no storage.objects
  if to_regclass('storage.objects') is null then
    return;
  end if;
  for policy in
    select p.name, p.definition
    from (
      values
        (
          'thinkers read the documents that they see',
          format('for select to authenticated using (bucket_id = ''contracts'' and %s)', sees)
        ),
        -- whatever an operator allows in all buckets
        (
          'nobody else reads documents',
          format(
            'as restrictive for select to authenticated using (bucket_id is distinct from ''contracts'' or %s)', sees
          )
        ),
        (
          'outsiders have no documents',
          'as restrictive for all to anon using (bucket_id is distinct from ''contracts'')'
        ),
        (
          'only the server stores documents',
          'as restrictive for insert to authenticated with check (bucket_id is distinct from ''contracts'')'
        ),
        (
          'only the server changes documents',
          'as restrictive for update to authenticated using (bucket_id is distinct from ''contracts'')'
        ),
        (
          'only the server deletes documents',
          'as restrictive for delete to authenticated using (bucket_id is distinct from ''contracts'')'
        )
    ) as p (name, definition)
    where not exists (
      select from pg_catalog.pg_policy e
      where e.polrelid = to_regclass('storage.objects') and e.polname = p.name
    )
  loop
    execute format('create policy %I on storage.objects %s', policy.name, policy.definition);
  end loop;
end;
$$;

comment on function private.open_bucket is
  'Lets thinkers read the documents that they see in the bucket contracts of Supabase Storage, and only the server '
  'write there. A dump of the portal''s schemas leaves these policies out: call the function after a restore.';

select private.open_bucket();

-- sql/45_documents/functions/record_contract.sql
create function public.record_contract(
  contract_id     uuid,
  name            text,
  mime_type       text,
  byte_size       bigint,
  storage_url     text,
  hash_sha256     text,
  voucher_id      text    default null,
  room_id         text    default null,
  as_thinker      boolean default false,
  matched         boolean default false,
  client          text    default null,
  idempotency_key text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  request  jsonb := jsonb_build_array(
    'record_contract', record_contract.name, record_contract.mime_type, record_contract.byte_size,
    record_contract.hash_sha256, record_contract.voucher_id, record_contract.room_id
  );
  response jsonb := private.replay_response(record_contract.idempotency_key, request);
  creator  uuid;
  contract jsonb;
  link_id  uuid;
begin
  perform private.require_service();

  if response is not null then
    return response;
  end if;

  -- it may have ended since the check, while the document was stored
  if auth.jwt() ? 'portal_session' then
    perform private.require_live_session();
  end if;
  if auth.uid() is not null then
    creator := private.acting_thinker();
  end if;

  if record_contract.voucher_id is not null then
    perform from public.vouchers v where v.id = record_contract.voucher_id for key share;
    if not found then
      raise sqlstate 'PT404' using message = 'voucher_not_found';
    end if;
  end if;
  if record_contract.as_thinker then
    perform private.require_contract_link(
      record_contract.voucher_id, record_contract.room_id, record_contract.matched
    );
  end if;
  if record_contract.room_id is not null then
    insert into public.rooms (id, type, owner_id, meta)
    values (record_contract.room_id, 'contract', creator, '{"source": "contract"}')
    on conflict (id) do nothing;
    -- somebody else may have made the room since the check
    if not found and record_contract.as_thinker then
      perform private.require_contract_link(null, record_contract.room_id);
    end if;
  end if;

  perform private.require_space_for_document(creator, record_contract.byte_size, record_contract.client);

  -- one statement, so that the trigger that writes the event also sees the link
  with new_contract as (
    insert into public.contracts (id, name, mime_type, byte_size, storage_url, hash_sha256, created_by)
    values (
      record_contract.contract_id, record_contract.name, record_contract.mime_type, record_contract.byte_size,
      record_contract.storage_url, record_contract.hash_sha256, creator
    )
    returning *
  ),
  new_link as (
    insert into public.contract_links (contract_id, voucher_id, room_id)
    select c.id, record_contract.voucher_id, record_contract.room_id
    from new_contract c
    where num_nonnulls(record_contract.voucher_id, record_contract.room_id) > 0
    returning id
  )
  select private.contract_json(c::public.contracts), (select l.id from new_link l)
  into contract, link_id
  from new_contract c;

  return private.store_response(
    record_contract.idempotency_key,
    request,
    jsonb_build_object('contract', contract, 'link_id', link_id)
  );
end;
$$;

comment on function public.record_contract is
  'Records a document whose bytes a trusted server has stored, and links it to a voucher, a room or both. A room that '
  'does not exist is created (type contract, owned by the actor). With as_thinker the actor itself must have the '
  'right to link it now (private.require_contract_link); else the server is trusted to link anything. client is the '
  'address whose uploads are counted (private.settings.upload_bytes_a_day). Returns {contract, link_id}. A repeated '
  'request may have another contract_id and storage_url, which are new with each upload. A repeated call with '
  'the same idempotency_key returns the stored response (private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, uid_invalid (400); not_signed_in, session_ended (401); '
  'not_a_server, not_your_room, your_documents_full (403); voucher_not_found (404); request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429); storage_full (507).';

grant execute on function public.record_contract to service_role;

-- sql/45_documents/functions/require_contract_link.sql
create function private.require_contract_link(voucher_id text, room_id text, matched boolean default false)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if require_contract_link.matched then
    perform private.require_in_room(require_contract_link.room_id);
  end if;
  if require_contract_link.voucher_id is not null and not exists (
    select from public.vouchers v where v.id = require_contract_link.voucher_id and v.issuer_id = auth.uid()
  ) and require_contract_link.voucher_id not in (select private.held_vouchers()) then
    raise sqlstate 'PT404' using message = 'voucher_not_found';
  end if;
  if require_contract_link.room_id is not null
    and require_contract_link.room_id not in (select private.my_rooms())
    and (
      -- a new room becomes the actor's own, except a name that is reserved for the room of a mortgage
      require_contract_link.room_id like 'mortgage:%'
      or exists (select from public.rooms r where r.id = require_contract_link.room_id)
    ) then
    raise sqlstate 'PT403' using message = 'not_your_room';
  end if;
end;
$$;

comment on function private.require_contract_link is
  'Checks that the acting thinker may link a document to this voucher and room: it must be the voucher''s issuer or a '
  'holder. If the room exists, the thinker must be in it; a room named mortgage:... must belong to one of its '
  'mortgages. With matched the thinker must have been matched into the room, and be there now. '
  'Raises: not_your_room (403); voucher_not_found (404).';

-- sql/45_documents/functions/require_space_for_document.sql
create function private.require_space_for_document(creator uuid, byte_size bigint, client text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  added      numeric := greatest(require_space_for_document.byte_size, 65536);
  of_all     numeric;
  of_creator numeric;
  most       private.settings;
  uploaded   jsonb;
begin
  -- until the end of the transaction, so that documents that are stored at the same time are counted
  perform pg_advisory_xact_lock(private.lock_number('require_space_for_document'));

  select t.bytes into of_all from private.document_total t;
  select sum(greatest(c.byte_size, 65536)) into of_creator
  from public.contracts c
  where c.created_by = any ((select private.same_session(require_space_for_document.creator))::uuid[]);
  select * into most from private.settings;

  if require_space_for_document.creator is not null
    and added + coalesce(of_creator, 0) > most.document_bytes_a_thinker
  then
    raise sqlstate 'PT403' using message = 'your_documents_full';
  end if;
  if added + coalesce(of_all, 0) > most.document_bytes then
    raise sqlstate 'PT507' using message = 'storage_full';
  end if;
  if require_space_for_document.client is not null then
    uploaded := public.count_request(
      'upload|' || require_space_for_document.client, ceil(added / 65536)::int, interval '24 hours'
    );
    if (uploaded ->> 'requests')::bigint * 65536 > most.upload_bytes_a_day then
      raise sqlstate 'PT429' using message = 'daily_limit_reached', detail = 'upload_bytes_a_day';
    end if;
  end if;
end;
$$;

comment on function private.require_space_for_document is
  'Checks that one more document stays within what private.settings allows a thinker and a client address, if they '
  'are given, and all documents together. A document counts as 64 KiB at least (private.document_total). '
  'Raises: not_a_server, your_documents_full (403); daily_limit_reached (429); storage_full (507).';

-- sql/45_documents/triggers/tg_contracts__count.sql
create function private.tg_contracts__count()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into private.document_total as t (bytes)
  select
    case when tg_op = 'DELETE' then 0 else greatest(new.byte_size, 65536) end
      - case when tg_op = 'INSERT' then 0 else greatest(old.byte_size, 65536) end
  on conflict (only_row) do update set bytes = t.bytes + excluded.bytes;
  return null;
end;
$$;

comment on function private.tg_contracts__count is
  'Adds a document to the total of all, or takes it off (private.document_total).';

create trigger tg_contracts__count
  after insert or delete or update of byte_size on public.contracts
  for each row
  execute function private.tg_contracts__count();

-- sql/50_mortgages/tables/properties.sql
create table public.properties (
  id         text  collate "C" primary key,
  address    text,
  meta       jsonb not null default '{}',
  created_by uuid  references public.thinkers (id) on delete restrict,

  constraint property_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint address_has_at_most_4_kib check (octet_length(address) <= 4096),
  constraint meta_is_reasonable_json check (private.check_json(meta))
);

comment on table public.properties is
  'Properties for which mortgages are requested. An application creates the row; the address may be added later.';
comment on column public.properties.created_by is
  'The borrower who named the property first; null if an operator entered it.';

create index properties_created_by_idx on public.properties (created_by);

-- no planner statistics, see 10_core/privileges.sql
alter table public.properties
  alter column id set statistics 0,
  alter column address set statistics 0;

alter table public.properties enable row level security;

grant select on public.properties to service_role, authenticated;

-- sql/50_mortgages/tables/mortgage_applications.sql
create table public.mortgage_applications (
  id             text         collate "C" primary key default private.new_id('app'),
  property_id    text         collate "C" references public.properties (id) on delete restrict,
  borrower_id    uuid         not null references public.thinkers (id) on delete restrict,
  desired_loan   bigint,
  currency       text         collate "C",
  duration_years integer,
  rate_type      text,
  max_interest   numeric,
  status         text         collate "C" not null default 'open',
  visibility     text         not null default 'private',
  meta           jsonb        not null default '{}',
  submission_ts  timestamptz  not null default now(),
  created_at     timestamptz  not null default now(),

  constraint application_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint desired_loan_is_a_safe_amount check (desired_loan between 0 and 9007199254740991),
  constraint loan_has_amount_and_currency check ((desired_loan is null) = (currency is null)),
  constraint currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint duration_is_1_to_100_years check (duration_years between 1 and 100),
  constraint rate_type_is_valid check (rate_type in ('fixed', 'variable')),
  constraint max_interest_is_a_fraction check (max_interest between 0 and 99.9999),
  constraint max_interest_has_at_most_four_decimals check (min_scale(max_interest) <= 4),
  constraint application_status_is_valid check (status in ('open', 'offered', 'accepted', 'rejected')),
  constraint visibility_has_1_to_32_characters check (char_length(visibility) between 1 and 32),
  constraint json_is_reasonable check (private.check_json(meta)),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at, submission_ts))
);

comment on table public.mortgage_applications is
  'Applications of borrowers for a mortgage. Written by apply_for_mortgage, offer_mortgage and accept_mortgage_offer.';
comment on column public.mortgage_applications.desired_loan is 'In the currency''s minor unit (cents).';
comment on column public.mortgage_applications.max_interest is
  'A fraction a year: 0.04 is 4 percent. Its values are those of numeric(6,4), but a fifth decimal is refused, where '
  'that type would round it.';
comment on column public.mortgage_applications.visibility is
  'As sent by the borrower (private, public); restricts nothing yet, as in the legacy API.';
comment on column public.mortgage_applications.meta is
  'Further details from the borrower (income, other loans); any JSON.';
comment on column public.mortgage_applications.submission_ts is 'When it was submitted, by the server''s clock.';

create index mortgage_applications_property_id_idx on public.mortgage_applications (property_id);
create index mortgage_applications_borrower_id_idx on public.mortgage_applications (borrower_id, created_at);
create index mortgage_applications_status_idx on public.mortgage_applications (status, created_at);
create index mortgage_applications_created_at_idx on public.mortgage_applications (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.mortgage_applications
  alter column id set statistics 0,
  alter column property_id set statistics 0,
  alter column visibility set statistics 0;

alter table public.mortgage_applications enable row level security;

grant select on public.mortgage_applications to service_role, authenticated;

create trigger tg_mortgage_applications__refuse_currency
before insert or update of currency on public.mortgage_applications
for each row
when (private.is_currency(new.currency) is false)
execute function private.tg_currency__refuse();

-- sql/50_mortgages/tables/mortgage_offers.sql
create table public.mortgage_offers (
  id              text         collate "C" primary key default private.new_id('mort-offer'),
  application_id  text         collate "C" not null references public.mortgage_applications (id) on delete restrict,
  lender_id       uuid         not null references public.thinkers (id) on delete restrict,
  interest_rate   numeric,
  monthly_payment bigint,
  loan            jsonb,
  interest        jsonb,
  repayment       jsonb,
  fees            jsonb,
  validity        jsonb,
  terms_ref       jsonb,
  room_refs       jsonb        not null,
  loan_amount     bigint,
  loan_currency   text         collate "C",
  status          text         not null default 'open',
  created_at      timestamptz  not null default now(),

  constraint offer_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint interest_rate_is_a_fraction check (interest_rate between 0 and 99.9999),
  constraint interest_rate_has_at_most_four_decimals check (min_scale(interest_rate) <= 4),
  constraint monthly_payment_is_a_safe_amount check (monthly_payment between 0 and 9007199254740991),
  constraint loan_amount_is_a_safe_amount check (loan_amount between 0 and 9007199254740991),
  constraint offered_loan_has_amount_and_currency check ((loan_amount is null) = (loan_currency is null)),
  constraint offer_status_is_valid check (status in ('open', 'accepted', 'withdrawn')),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.mortgage_offers is
  'Offers of lenders for applications. Written by offer_mortgage and accept_mortgage_offer.';
comment on column public.mortgage_offers.interest_rate is
  'A fraction a year: 0.031 is 3.1 percent. Its values are those of numeric(6,4), but a fifth decimal is refused, '
  'where that type would round it.';
comment on column public.mortgage_offers.monthly_payment is 'In the minor unit (cents) of the application''s currency.';
comment on column public.mortgage_offers.loan is
  'Free JSON of the lender, like interest, repayment, fees, validity and terms_ref (docs/compatibility.md).';
comment on column public.mortgage_offers.loan_amount is
  'The loan that is offered, in the minor unit of loan_currency: what the borrower accepts, and the base of the '
  'fees. Told apart from the free JSON by private.tg_mortgage_offers__set_loan; null if neither side named an '
  'amount.';
comment on column public.mortgage_offers.room_refs is
  'The rooms of the negotiation: {negotiationRoomId, contractRoomId}.';

create index mortgage_offers_application_id_idx on public.mortgage_offers (application_id, created_at);
create index mortgage_offers_lender_id_idx on public.mortgage_offers (lender_id, created_at);
create index mortgage_offers_created_at_idx on public.mortgage_offers (created_at);
create unique index one_offer_of_an_application_is_accepted
  on public.mortgage_offers (application_id) where status = 'accepted';

-- no planner statistics, see 10_core/privileges.sql
alter table public.mortgage_offers
  alter column id set statistics 0,
  alter column application_id set statistics 0,
  alter column loan_currency set statistics 0;

alter table public.mortgage_offers enable row level security;

grant select on public.mortgage_offers to service_role, authenticated;

create trigger tg_mortgage_offers__refuse_json
before insert or update of loan, interest, repayment, fees, validity, terms_ref, room_refs on public.mortgage_offers
for each row
when (
  not private.check_json(
    jsonb_build_array(
      new.loan, new.interest, new.repayment, new.fees, new.validity, new.terms_ref, new.room_refs
    ),
    levels => 64
  )
)
execute function private.tg_json__refuse();

-- sql/50_mortgages/tables/mortgage_contracts.sql
create table public.mortgage_contracts (
  id                 text        collate "C" primary key default private.new_id('mort-contract'),
  offer_id           text        collate "C" not null unique references public.mortgage_offers (id) on delete restrict,
  contract_id        uuid        references public.contracts (id) on delete restrict,
  status             text        not null default 'draft',
  borrower_signed_at timestamptz,
  lender_signed_at   timestamptz,
  notary_signed_at   timestamptz,
  created_at         timestamptz not null default now(),
  updated_at         timestamptz,

  constraint mortgage_contract_status_is_valid check (status in ('draft', 'signed', 'archived')),
  constraint contract_is_a_draft_until_three_have_signed
    check ((status = 'draft') = (num_nulls(borrower_signed_at, lender_signed_at, notary_signed_at) > 0)),
  constraint signed_contract_was_updated
    check (updated_at is not null or num_nonnulls(borrower_signed_at, lender_signed_at, notary_signed_at) = 0),
  constraint mortgage_contract_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar
    check (private.in_calendar(created_at, borrower_signed_at, lender_signed_at, notary_signed_at, updated_at))
);

comment on table public.mortgage_contracts is
  'Contracts made by accepting an offer, one an offer. Written by accept_mortgage_offer and sign_mortgage_contract.';
comment on column public.mortgage_contracts.contract_id is 'The document of the contract; null until there is one.';
comment on column public.mortgage_contracts.updated_at is 'The time of the last signature; null before the first.';

create index mortgage_contracts_contract_id_idx on public.mortgage_contracts (contract_id);
create index mortgage_contracts_created_at_idx on public.mortgage_contracts (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.mortgage_contracts
  alter column id set statistics 0,
  alter column offer_id set statistics 0;

alter table public.mortgage_contracts enable row level security;

grant select on public.mortgage_contracts to service_role, authenticated;

-- fees depend on these rows
create trigger tg_mortgage_contracts__refuse
before delete or truncate on public.mortgage_contracts
for each statement execute function private.tg_append_only__refuse();

-- sql/50_mortgages/policies.sql
-- The policies of all tables of mortgages, in one file because they read each other's tables.

create policy "creators and readers of its applications see a property"
  on public.properties
  for select
  to authenticated
  using (
    id in (select private.my_properties())
    or (
      (select private.may_act_as('lender'))
      and exists (
        select from public.mortgage_applications a
        where a.property_id = properties.id and a.status in ('open', 'offered') and a.borrower_id <> (select auth.uid())
      )
    )
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.properties
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create policy "borrowers, lenders and notaries see their applications"
  on public.mortgage_applications
  for select
  to authenticated
  using (
    borrower_id = (select auth.uid())
    or (status in ('open', 'offered') and (select private.may_act_as('lender')))
    or id in (select private.my_applications())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.mortgage_applications
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create policy "parties see their offers, notaries those with a contract"
  on public.mortgage_offers
  for select
  to authenticated
  using (
    id in (select private.my_offers())
    or (
      (select private.may_act_as('notary'))
      and exists (select from public.mortgage_contracts c where c.offer_id = mortgage_offers.id)
    )
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.mortgage_offers
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create policy "lender and borrower see their contracts, notaries all"
  on public.mortgage_contracts
  for select
  to authenticated
  using (
    offer_id in (select private.my_offers())
    or (select private.may_act_as('notary'))
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.mortgage_contracts
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- sql/50_mortgages/functions/accept_mortgage_offer.sql
create function public.accept_mortgage_offer(offer_id text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request     jsonb := jsonb_build_array('accept_mortgage_offer', accept_mortgage_offer.offer_id);
  response    jsonb := private.replay_response(accept_mortgage_offer.idempotency_key, request);
  borrower    uuid := private.acting_thinker();
  application public.mortgage_applications;
  offer       public.mortgage_offers;
  contract    public.mortgage_contracts;
begin
  if response is not null then
    return response;
  end if;

  select a.* into application
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = accept_mortgage_offer.offer_id;

  if not found then
    raise sqlstate 'PT404' using message = 'offer_not_found';
  end if;
  if application.borrower_id <> borrower then
    raise sqlstate 'PT403' using message = 'not_the_offers_borrower';
  end if;

  -- lock the application, so that two of its offers cannot be accepted concurrently
  select * into application from public.mortgage_applications a where a.id = application.id for no key update;
  select * into offer from public.mortgage_offers o where o.id = accept_mortgage_offer.offer_id;
  if offer.status <> 'open' then
    raise sqlstate 'PT409' using message = 'offer_not_open', detail = offer.status;
  end if;
  -- an import may have brought an open offer for one that is closed
  if application.status not in ('open', 'offered') then
    raise sqlstate 'PT409' using message = 'offer_not_open', detail = application.status;
  end if;

  update public.mortgage_offers o
  set status = case when o.id = offer.id then 'accepted' else 'withdrawn' end
  where o.application_id = application.id and o.status = 'open';
  update public.mortgage_applications a set status = 'accepted' where a.id = application.id;

  insert into public.mortgage_contracts (offer_id) values (offer.id) returning * into contract;
  insert into public.rooms (id, type, owner_id, meta)
  values (
    'mortgage:contract:' || contract.id, 'contract', borrower,
    jsonb_build_object('source', 'mortgage', 'mortgage_contract_id', contract.id)
  )
  on conflict (id) do update set owner_id = excluded.owner_id;

  select * into offer from public.mortgage_offers o where o.id = accept_mortgage_offer.offer_id;
  return private.store_response(
    accept_mortgage_offer.idempotency_key,
    request,
    jsonb_build_object(
      'contract', private.mortgage_contract_json(contract),
      'offer', private.offer_json(offer)
    )
  );
end;
$$;

comment on function public.accept_mortgage_offer is
  'Accepts an offer as its borrower: the application becomes accepted, its other offers are withdrawn, and a contract '
  'and its room are created. Returns {contract, offer}. offer_not_open has the status of the offer, or of a '
  'closed application, as detail. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, uid_invalid (400); not_signed_in, session_ended (401); '
  'not_the_offers_borrower (403); offer_not_found (404); offer_not_open, request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.accept_mortgage_offer to authenticated;

-- sql/50_mortgages/functions/amount_of.sql
create function private.amount_of(value jsonb)
returns bigint
language sql
immutable
strict
set search_path = ''
as $$
  select case
    when jsonb_typeof(value) = 'number' then
      case when value::numeric between 0 and 9007199254740991 then round(value::numeric)::bigint end
  end
$$;

comment on function private.amount_of is
  'A JSON number as an amount in minor units, rounded; null for anything else, and for a number that is no safe '
  'amount.';

-- sql/50_mortgages/functions/application_json.sql
create function private.application_json(application public.mortgage_applications)
returns jsonb
language sql
stable
return to_jsonb(application) || jsonb_build_object('borrower_uid', private.uid_of(application.borrower_id));

comment on function private.application_json is
  'An application as the functions return it: its columns and the borrower''s uid.';

-- sql/50_mortgages/functions/apply_for_mortgage.sql
create function public.apply_for_mortgage(
  application_id  text    default null,
  property_id     text    default null,
  desired_loan    bigint  default null,
  currency        text    default null,
  duration_years  integer default null,
  rate_type       text    default null,
  max_interest    numeric default null,
  status          text    default null,
  visibility      text    default null,
  meta            jsonb   default null,
  idempotency_key text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request     jsonb := private.checked_request(
    jsonb_build_array(
      'apply_for_mortgage', apply_for_mortgage.application_id, apply_for_mortgage.property_id,
      apply_for_mortgage.desired_loan, apply_for_mortgage.currency, apply_for_mortgage.duration_years,
      apply_for_mortgage.rate_type, apply_for_mortgage.max_interest::text, apply_for_mortgage.status,
      apply_for_mortgage.visibility, apply_for_mortgage.meta
    )
  );
  response    jsonb := private.replay_response(apply_for_mortgage.idempotency_key, request);
  borrower    uuid := private.acting_thinker();
  application public.mortgage_applications;
begin
  if response is not null then
    return response;
  end if;

  if apply_for_mortgage.desired_loan not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  if apply_for_mortgage.duration_years not between 1 and 100 then
    raise sqlstate 'PT400' using message = 'duration_out_of_range';
  end if;
  if lower(apply_for_mortgage.rate_type collate "C") not in ('fixed', 'variable') then
    raise sqlstate 'PT400' using message = 'rate_type_unknown';
  end if;
  if lower(apply_for_mortgage.status collate "C") not in ('open', 'offered', 'accepted', 'rejected') then
    raise sqlstate 'PT400' using message = 'application_status_unknown';
  end if;
  perform private.check_interest(apply_for_mortgage.max_interest);

  perform private.use_today(applications => 1, bytes => pg_column_size(request));

  insert into public.properties (id, created_by)
  select apply_for_mortgage.property_id, borrower
  where apply_for_mortgage.property_id is not null
  on conflict (id) do nothing;

  insert into public.mortgage_applications (
    id, property_id, borrower_id, desired_loan, currency, duration_years, rate_type, max_interest, status, visibility,
    meta
  )
  values (
    coalesce(apply_for_mortgage.application_id, private.new_id('app')),
    apply_for_mortgage.property_id,
    borrower,
    apply_for_mortgage.desired_loan,
    case
      when apply_for_mortgage.desired_loan is not null
        then upper(coalesce(apply_for_mortgage.currency, 'EUR') collate "C")
    end,
    apply_for_mortgage.duration_years,
    lower(apply_for_mortgage.rate_type collate "C"),
    trim_scale(apply_for_mortgage.max_interest),
    lower(coalesce(apply_for_mortgage.status, 'open') collate "C"),
    coalesce(apply_for_mortgage.visibility, 'private'),
    coalesce(apply_for_mortgage.meta, '{}')
  )
  on conflict (id) do nothing
  returning * into application;
  if not found then
    raise sqlstate 'PT409' using message = 'application_exists';
  end if;

  return private.store_response(apply_for_mortgage.idempotency_key, request, private.application_json(application));
end;
$$;

comment on function public.apply_for_mortgage is
  'Submits the acting thinker''s application for a mortgage; an unknown property is created. desired_loan is in the '
  'currency''s minor unit (cents), max_interest a fraction a year. Returns the application. A repeated call with the '
  'same idempotency_key returns the stored response (private.replay_response). The table''s trigger raises '
  'currency_unknown (400) for a currency that is not in private.currencies, in any case. '
  'Raises: amount_out_of_range, application_status_unknown, duration_out_of_range, idempotency_key_invalid, '
  'interest_out_of_range, json_unreasonable, query_too_large, rate_type_unknown, uid_invalid (400); not_signed_in, '
  'session_ended (401); application_exists, request_in_progress (409); idempotency_key_reused (422); '
  'daily_limit_reached (429).';

grant execute on function public.apply_for_mortgage to authenticated;

-- sql/50_mortgages/functions/check_interest.sql
create function private.check_interest(rate numeric)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if rate not between 0 and 99.9999 or min_scale(rate) > 4 then
    raise sqlstate 'PT400' using message = 'interest_out_of_range';
  end if;
end;
$$;

comment on function private.check_interest is
  'Accepts null and a fraction from 0 to 99.9999 with at most four decimals. '
  'Raises: interest_out_of_range (400).';

-- sql/50_mortgages/functions/list_mortgage_applications.sql
create function public.list_mortgage_applications(
  role     text    default 'borrower',
  max_rows integer default 1000,
  after    text    default null
)
returns jsonb[]
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_mortgage_applications.after);
  page refcursor;
begin
  perform private.is_valid_request();
  if coalesce(list_mortgage_applications.role, '') not in ('borrower', 'lender') then
    raise sqlstate 'PT400' using message = 'role_unknown';
  end if;
  if list_mortgage_applications.role = 'lender' and not private.may_act_as('lender') then
    raise sqlstate 'PT403' using message = 'not_a_lender';
  end if;

  open page for
    select private.application_json(a) as item, array[a.created_at::text, a.id] as key
    from public.mortgage_applications a
    where case list_mortgage_applications.role
        when 'borrower' then a.borrower_id = auth.uid()
        else a.status in ('open', 'offered')
      end
      and (a.created_at, a.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
    order by a.created_at desc, a.id desc
    limit private.page_rows(list_mortgage_applications.max_rows) + 1;
  return private.read_page(page, list_mortgage_applications.max_rows, oldest_first => true);
end;
$$;

comment on function public.list_mortgage_applications is
  'As borrower: the actor''s own applications. As lender: all open and offered applications, for thinkers with the '
  'role lender and trusted servers. A page of max_rows, from 1 to 1000. The first page has the newest '
  'applications; each page is sorted oldest first (private.read_page). '
  'Raises: query_too_large, role_unknown, value_invalid (400); session_ended (401); not_a_lender (403).';

grant execute on function public.list_mortgage_applications to authenticated, service_role;

-- sql/50_mortgages/functions/list_mortgage_offers.sql
create function public.list_mortgage_offers(
  role           text    default null,
  application_id text    default null,
  newest_first   boolean default false,
  max_rows       integer default 1000,
  after          text    default null,
  max_bytes      integer default null
)
returns jsonb[]
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_mortgage_offers.after);
  page refcursor;
begin
  perform private.is_valid_request();
  if list_mortgage_offers.role not in ('borrower', 'lender') then
    raise sqlstate 'PT400' using message = 'role_unknown';
  end if;
  if list_mortgage_offers.role is null and list_mortgage_offers.application_id is null then
    raise sqlstate 'PT400' using message = 'application_required';
  end if;

  open page for
    select private.offer_json(o) as item, array[o.created_at::text, o.id] as key
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where (list_mortgage_offers.application_id is null or o.application_id = list_mortgage_offers.application_id)
      and case list_mortgage_offers.role
        -- by id: how many offers an application has is not known, and a plan for many would read those of all
        when 'borrower' then a.borrower_id = auth.uid() and o.id = any (array(select private.my_offers()))
        when 'lender' then o.lender_id = auth.uid()
        else private.is_service() or auth.uid() in (a.borrower_id, o.lender_id)
      end
      and (o.created_at, o.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
    order by o.created_at desc, o.id desc
    limit private.page_rows(list_mortgage_offers.max_rows) + 1;
  return private.read_page(
    page,
    list_mortgage_offers.max_rows,
    oldest_first => not list_mortgage_offers.newest_first,
    max_bytes => list_mortgage_offers.max_bytes
  );
end;
$$;

comment on function public.list_mortgage_offers is
  'As borrower: the offers for the actor''s applications. As lender: the actor''s own offers. Without a role: the '
  'offers for one application to which the actor is a party, or all of them for a trusted server. A page of '
  'max_rows, from 1 to 1000. The first page has the newest offers; each page is sorted oldest first, or newest first '
  'where newest_first is true (private.read_page). '
  'Raises: application_required, query_too_large, role_unknown, value_invalid (400); session_ended (401).';

grant execute on function public.list_mortgage_offers to authenticated, service_role;

-- sql/50_mortgages/functions/loan_difference.sql
create function private.loan_difference(offer public.mortgage_offers, application public.mortgage_applications)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select case
    when (offer.loan_amount, offer.loan_currency) is distinct from (application.desired_loan, application.currency)
      then jsonb_build_object(
        'loan', jsonb_build_object('amount', offer.loan_amount, 'currency', offer.loan_currency),
        'desiredLoan', jsonb_build_object('amount', application.desired_loan, 'currency', application.currency)
      )
    else '{}'
  end
$$;

comment on function private.loan_difference is
  'For the event log: {loan, desiredLoan} of an offer whose loan differs from the one that its application desires; '
  'else {}.';

-- sql/50_mortgages/functions/mortgage_contract_json.sql
create function private.mortgage_contract_json(contract public.mortgage_contracts)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
  select to_jsonb(contract) || jsonb_build_object(
    'application_id', o.application_id,
    'lender_uid', private.uid_of(o.lender_id),
    'borrower_uid', private.uid_of(a.borrower_id)
  )
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = contract.offer_id
$$;

comment on function private.mortgage_contract_json is
  'A mortgage contract as the functions return it: its columns, the application''s id, and the uids of lender and '
  'borrower.';

-- sql/50_mortgages/functions/offer_json.sql
create function private.offer_json(offer public.mortgage_offers)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
  select to_jsonb(offer) || jsonb_build_object(
    'lender_uid', private.uid_of(offer.lender_id),
    'borrower_uid', private.uid_of(a.borrower_id),
    'differs_from_application', private.loan_difference(offer, a) <> '{}'
  )
  from public.mortgage_applications a
  where a.id = offer.application_id
$$;

comment on function private.offer_json is
  'An offer as the functions return it: its columns, the uids of lender and borrower, and whether its loan differs '
  'from the one that the borrower desired.';

-- sql/50_mortgages/functions/offer_mortgage.sql
create function public.offer_mortgage(
  application_id  text,
  offer_id        text    default null,
  interest_rate   numeric default null,
  monthly_payment bigint  default null,
  loan            jsonb   default null,
  interest        jsonb   default null,
  repayment       jsonb   default null,
  fees            jsonb   default null,
  validity        jsonb   default null,
  terms_ref       jsonb   default null,
  room_refs       jsonb   default null,
  idempotency_key text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request     jsonb := private.checked_request(
    jsonb_build_array(
      'offer_mortgage', offer_mortgage.application_id, offer_mortgage.offer_id, offer_mortgage.interest_rate::text,
      offer_mortgage.monthly_payment, offer_mortgage.loan, offer_mortgage.interest, offer_mortgage.repayment,
      offer_mortgage.fees, offer_mortgage.validity, offer_mortgage.terms_ref, offer_mortgage.room_refs
    )
  );
  response    jsonb := private.replay_response(offer_mortgage.idempotency_key, request);
  lender      uuid := private.acting_thinker();
  new_id      text := coalesce(offer_mortgage.offer_id, private.new_id('mort-offer'));
  room        text := 'mortgage:offer:' || new_id;
  application public.mortgage_applications;
  offer       public.mortgage_offers;
begin
  if response is not null then
    return response;
  end if;

  if not private.may_act_as('lender') then
    raise sqlstate 'PT403' using message = 'lender_role_required';
  end if;

  perform private.use_today(applications => 1, bytes => pg_column_size(request));

  select * into application
  from public.mortgage_applications a
  where a.id = offer_mortgage.application_id
  for no key update;

  if not found then
    raise sqlstate 'PT404' using message = 'application_not_found';
  end if;
  if application.status not in ('open', 'offered') then
    raise sqlstate 'PT409' using message = 'application_closed', detail = application.status;
  end if;

  if offer_mortgage.monthly_payment not between 0 and 9007199254740991 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;
  perform private.check_interest(offer_mortgage.interest_rate);

  -- an import that puts documents into the room of this id looks for offers before
  perform pg_advisory_xact_lock(private.lock_number(room));
  insert into public.mortgage_offers (
    id, application_id, lender_id, interest_rate, monthly_payment,
    loan, interest, repayment, fees, validity, terms_ref, room_refs
  )
  values (
    new_id, application.id, lender, trim_scale(offer_mortgage.interest_rate), offer_mortgage.monthly_payment,
    offer_mortgage.loan, offer_mortgage.interest, offer_mortgage.repayment, offer_mortgage.fees,
    offer_mortgage.validity, offer_mortgage.terms_ref,
    coalesce(offer_mortgage.room_refs, jsonb_build_object('negotiationRoomId', room, 'contractRoomId', null))
  )
  on conflict (id) do nothing
  returning * into offer;
  if not found then
    raise sqlstate 'PT409' using message = 'offer_exists';
  end if;

  update public.mortgage_applications a set status = 'offered' where a.id = application.id and a.status = 'open';

  if offer_mortgage.room_refs is null then
    insert into public.rooms (id, owner_id, meta)
    values (room, lender, jsonb_build_object('source', 'mortgage', 'offer_id', offer.id))
    on conflict (id) do nothing;
  end if;
  -- another negotiation had this id, whose documents the parties of this offer would see
  if exists (
    select from public.rooms r
    where r.id = room and (r.owner_id is distinct from lender or r.meta = '{"source": "import"}')
  ) then
    raise sqlstate 'PT409' using message = 'offer_exists';
  end if;

  return private.store_response(offer_mortgage.idempotency_key, request, private.offer_json(offer));
end;
$$;

comment on function public.offer_mortgage is
  'Offers a mortgage for an application, whose status becomes offered. The acting thinker needs the role lender, '
  'unless a trusted server acts for it. interest_rate is a fraction a year, monthly_payment in the currency''s minor '
  'unit (cents); loan to terms_ref are free JSON of the lender. Without room_refs a room for the negotiation is '
  'created. Returns the offer. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response). '
  'Raises: amount_out_of_range, idempotency_key_invalid, interest_out_of_range, json_unreasonable, query_too_large, '
  'uid_invalid (400); not_signed_in, session_ended (401); lender_role_required (403); application_not_found (404); '
  'application_closed, offer_exists, request_in_progress (409); idempotency_key_reused (422); daily_limit_reached '
  '(429).';

grant execute on function public.offer_mortgage to authenticated, service_role;

-- sql/50_mortgages/functions/sign_mortgage_contract.sql
create function public.sign_mortgage_contract(contract_id text, signer text, idempotency_key text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := jsonb_build_array(
    'sign_mortgage_contract', sign_mortgage_contract.contract_id, sign_mortgage_contract.signer
  );
  response jsonb := private.replay_response(sign_mortgage_contract.idempotency_key, request);
  contract public.mortgage_contracts;
  borrower uuid;
  lender   uuid;
begin
  if response is not null then
    return response;
  end if;

  select a.borrower_id, o.lender_id into borrower, lender
  from public.mortgage_contracts c
  join public.mortgage_offers o on o.id = c.offer_id
  join public.mortgage_applications a on a.id = o.application_id
  where c.id = sign_mortgage_contract.contract_id;

  if not found then
    raise sqlstate 'PT404' using message = 'mortgage_contract_not_found';
  end if;

  case sign_mortgage_contract.signer
    when 'borrower' then
      if auth.uid() is distinct from borrower then
        raise sqlstate 'PT403' using message = 'not_the_borrower';
      end if;
    when 'lender' then
      if auth.uid() is distinct from lender then
        raise sqlstate 'PT403' using message = 'not_the_lender';
      end if;
    when 'notary' then
      if not private.may_act_as('notary') then
        raise sqlstate 'PT403' using message = 'not_a_notary';
      end if;
    else
      raise sqlstate 'PT400' using message = 'signer_unknown';
  end case;

  select * into contract
  from public.mortgage_contracts c
  where c.id = sign_mortgage_contract.contract_id
  for no key update;

  case sign_mortgage_contract.signer
    when 'borrower' then contract.borrower_signed_at := coalesce(contract.borrower_signed_at, now());
    when 'lender' then contract.lender_signed_at := coalesce(contract.lender_signed_at, now());
    when 'notary' then contract.notary_signed_at := coalesce(contract.notary_signed_at, now());
  end case;

  update public.mortgage_contracts c
  set borrower_signed_at = contract.borrower_signed_at,
      lender_signed_at = contract.lender_signed_at,
      notary_signed_at = contract.notary_signed_at,
      status = case
        when c.status = 'draft' and num_nulls(
          contract.borrower_signed_at, contract.lender_signed_at, contract.notary_signed_at
        ) = 0 then 'signed'
        else c.status
      end,
      updated_at = greatest(c.updated_at, now())
  where c.id = contract.id
  returning * into contract;

  return private.store_response(
    sign_mortgage_contract.idempotency_key, request, private.mortgage_contract_json(contract)
  );
end;
$$;

comment on function public.sign_mortgage_contract is
  'Signs a mortgage contract as its borrower, its lender or the notary (a thinker with that role, or a trusted '
  'server), in any order; signing again changes nothing. With all three signatures its status becomes signed. Returns '
  'the contract. A repeated call with the same idempotency_key returns the stored response (private.replay_response). '
  'Raises: idempotency_key_invalid, query_too_large, signer_unknown (400); session_ended (401); not_a_notary, '
  'not_the_borrower, not_the_lender (403); mortgage_contract_not_found (404); request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.sign_mortgage_contract to authenticated, service_role;

-- sql/50_mortgages/triggers/tg_mortgage_offers__set_loan.sql
create function private.tg_mortgage_offers__set_loan()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  desired          bigint;
  desired_currency text;
  offered          bigint := private.amount_of(new.loan -> 'amount');
  named            text;
  largest          numeric;
begin
  select a.desired_loan, a.currency into desired, desired_currency
  from public.mortgage_applications a
  where a.id = new.application_id;

  -- {"amount": 1, "principal": "25000000"}: a larger principal beside it counts, up to what the borrower asked for; any
  -- other number may be a time or the sum of the repayments
  select max(n.number) into largest
  from (
    select
      case
        when jsonb_typeof(v.value) = 'number'
          or (jsonb_typeof(v.value) = 'string' and v.value #>> '{}' ~ '^[0-9]{1,16}([.][0-9]{1,16})?$')
          then (v.value #>> '{}')::numeric
      end as number
    from (
      select new.loan as value
      where jsonb_typeof(new.loan) = 'object'
      union all
      select jsonb_path_query(new.loan, '$.*[*] ? (@.type() == "object")')
    ) o
    cross join lateral jsonb_each(o.value) v
    where lower(v.key collate "C") in ('amount', 'principal')
  ) n
  where n.number < 9007199254740992;
  if offered is null and (desired is not null or coalesce(largest, 0) = 0) then
    new.loan_amount := desired;
    new.loan_currency := desired_currency;
    return new;
  end if;

  if jsonb_typeof(new.loan -> 'currency') = 'string' then
    named := nullif(upper(new.loan ->> 'currency' collate "C"), '');
  end if;
  if private.is_currency(named) is false then
    raise sqlstate 'PT400' using message = 'currency_unknown';
  end if;
  new.loan_currency := coalesce(named, desired_currency, 'EUR');

  new.loan_amount := case
    when offered is null then round(largest)
    when largest is null then offered
    else greatest(offered, round(least(largest, desired)))
  end;
  return new;
end;
$$;

comment on function private.tg_mortgage_offers__set_loan is
  'Sets the loan that is offered: {amount, currency} of the lender''s loan, otherwise the application''s desired '
  'loan, otherwise the largest amount or principal that the lender''s loan has as a text or within. '
  'If the lender''s loan has a larger amount or principal (a number, also as a text) in it, or in an object '
  'in it, that counts, at most the desired loan. '
  'Raises: currency_unknown (400).';

create trigger tg_mortgage_offers__set_loan
  before insert or update of loan, application_id on public.mortgage_offers
  for each row
  execute function private.tg_mortgage_offers__set_loan();

-- sql/55_telbank/tables/transfers.sql
create table public.transfers (
  id               text           collate "C" primary key,
  thinker_id       uuid           references public.thinkers (id) on delete restrict,
  direction        text           not null,
  wallet_address   text           collate "C",
  network          text           collate "C",
  crypto_amount    numeric        not null,
  crypto_symbol    text           not null,
  fiat_amount      bigint         not null,
  fiat_currency    text           collate "C" not null,
  external_account text,
  label            text           not null,
  meta             jsonb          not null default '{}',
  status           text           not null default 'logged',
  created_at       timestamptz    not null default now(),
  updated_at       timestamptz    not null default now(),

  constraint direction_is_valid check (direction in ('in', 'out')),
  constraint wallet_address_has_1_to_255_characters check (char_length(wallet_address) between 1 and 255),
  constraint crypto_symbol_has_1_to_32_characters check (char_length(crypto_symbol) between 1 and 32),
  constraint fiat_currency_has_1_to_32_characters check (char_length(fiat_currency) between 1 and 32),
  constraint fiat_amount_is_a_safe_amount check (fiat_amount between -9007199254740991 and 9007199254740991),
  -- NaN is above every number
  constraint crypto_amount_has_at_most_18_digits_before_the_point check (abs(crypto_amount) < 1e18),
  constraint transfer_status_is_valid check (status in ('logged', 'settled')),
  constraint updated_at_is_not_before_created_at check (updated_at >= created_at),
  constraint network_and_account_have_at_most_4_kib
    check (octet_length(network) <= 4096 and octet_length(external_account) <= 4096),
  -- the legacy servers took 120,000 characters; a control character is printed with six
  constraint label_has_at_most_128_kib check (octet_length(to_json(label)::text) <= 131072),
  -- so short a text has no more levels, and no number beyond a double
  constraint json_is_reasonable check (octet_length(meta::text) <= 126 or private.check_json(meta)),
  constraint transfer_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar check (
    least(created_at, updated_at) >= '0001-01-01 00:00:00+00'
    and greatest(created_at, updated_at) < '10000-01-01 00:00:00+00'
  )
);

comment on table public.transfers is
  'The log of transfer intents between crypto and fiat money; no money is moved. Written by log_transfer.';
comment on column public.transfers.thinker_id is 'The thinker who logged it; null if unknown.';
comment on column public.transfers.crypto_amount is
  'In units of crypto_symbol (1.5 is 1.5 ETH). A negative amount is a correction, which the legacy API allowed. '
  'With all its decimals: numeric(36,18) would round the nineteenth.';
comment on column public.transfers.fiat_amount is
  'In the minor unit of fiat_currency (cents; see private.currency_exponent). A negative amount is a correction; that '
  'of a thinker is charged as the positive one.';
comment on column public.transfers.fiat_currency is 'One of private.currencies; in old rows as the client sent it.';
comment on column public.transfers.external_account is 'IBAN, Skrill account or reference.';

create index transfers_wallet_address_idx on public.transfers (wallet_address, created_at);
create index transfers_thinker_id_idx on public.transfers (thinker_id, created_at);
create index transfers_created_at_idx on public.transfers (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.transfers
  alter column id set statistics 0,
  alter column crypto_symbol set statistics 0,
  alter column wallet_address set statistics 0,
  alter column network set statistics 0,
  alter column external_account set statistics 0,
  alter column label set statistics 0;

alter table public.transfers enable row level security;

grant select on public.transfers to service_role, authenticated;

create policy "thinkers see the transfers that they logged"
  on public.transfers
  for select
  to authenticated
  using (
    thinker_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.transfers
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- fees depend on these rows
create trigger tg_transfers__refuse
before delete or truncate on public.transfers
for each statement execute function private.tg_append_only__refuse();

create trigger tg_transfers__refuse_currency
before insert or update of fiat_currency on public.transfers
for each row
when (new.fiat_currency <> 'EUR' and private.is_currency(new.fiat_currency) is false)
execute function private.tg_currency__refuse();

-- sql/55_telbank/functions/get_transfer.sql
create function public.get_transfer(transfer_id text)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
  transfer public.transfers;
begin
  perform private.is_valid_request();
  select * into transfer from public.transfers t where t.id = get_transfer.transfer_id;
  if not found then
    raise sqlstate 'PT404' using message = 'transfer_not_found';
  end if;
  return private.transfer_json(transfer);
end;
$$;

comment on function public.get_transfer is
  'One transfer that the caller may see. '
  'Raises: query_too_large (400); session_ended (401); transfer_not_found (404).';

grant execute on function public.get_transfer to service_role, authenticated;

-- sql/55_telbank/functions/list_transfers.sql
create function public.list_transfers(
  wallet_address text    default null,
  direction      text    default null,
  max_rows       integer default 1000,
  after          text    default null,
  max_bytes      integer default null
)
returns jsonb[]
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_transfers.after);
  page refcursor;
  -- the policy alone, which knows admins, would read the rows of all others
  mine uuid;
begin
  perform private.is_valid_request();
  if not private.may_act_as('admin') then
    mine := auth.uid();
  end if;
  open page for
    select private.transfer_json(t) as item, array[t.created_at::text, t.id] as key
    from public.transfers t
    where (list_transfers.wallet_address is null or t.wallet_address = list_transfers.wallet_address)
      and (list_transfers.direction is null or t.direction = list_transfers.direction)
      and (mine is null or t.thinker_id = mine)
      and (t.created_at, t.id) < (coalesce(key[1]::timestamptz, 'infinity'), coalesce(key[2], ''))
    order by t.created_at desc, t.id desc
    limit private.page_rows(list_transfers.max_rows) + 1;
  return private.read_page(page, list_transfers.max_rows, max_bytes => list_transfers.max_bytes);
end;
$$;

comment on function public.list_transfers is
  'The transfers that the caller may see and that match all given filters exactly, newest first: a page of max_rows, '
  'from 1 to 1000 (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401).';

grant execute on function public.list_transfers to service_role, authenticated;

-- sql/55_telbank/functions/log_transfer.sql
create function public.log_transfer(
  direction        text,
  crypto_amount    numeric,
  crypto_symbol    text,
  fiat_major       numeric,
  fiat_currency    text,
  label            text    default null,
  wallet_address   text    default null,
  network          text    default null,
  external_account text    default null,
  meta             jsonb   default null,
  idempotency_key  text    default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request    jsonb := private.checked_request(
    jsonb_build_array(
      'log_transfer', log_transfer.direction, log_transfer.crypto_amount::text, log_transfer.crypto_symbol,
      log_transfer.fiat_major::text, log_transfer.fiat_currency, log_transfer.label, log_transfer.wallet_address,
      log_transfer.network, log_transfer.external_account, log_transfer.meta
    )
  );
  response   jsonb := private.replay_response(log_transfer.idempotency_key, request);
  currency   text := upper(log_transfer.fiat_currency collate "C");
  thinker    uuid;
  fiat_minor numeric;
  transfer   public.transfers;
begin
  if response is not null then
    return response;
  end if;

  if auth.uid() is not null or not private.is_service() then
    thinker := private.acting_thinker();
  end if;

  if coalesce(log_transfer.direction, '') not in ('in', 'out') then
    raise sqlstate 'PT400' using message = 'direction_unknown';
  end if;
  if num_nulls(
    log_transfer.crypto_amount, log_transfer.crypto_symbol, log_transfer.fiat_major, log_transfer.fiat_currency
  ) > 0 then
    raise sqlstate 'PT400' using message = 'amounts_required';
  end if;

  -- also refuses NaN and infinity, because PostgreSQL sorts NaN above every number
  fiat_minor := log_transfer.fiat_major * 10::numeric ^ private.currency_exponent(currency);
  if abs(fiat_minor) > 9007199254740991 or abs(log_transfer.crypto_amount) >= 1e18 then
    raise sqlstate 'PT400' using message = 'amount_out_of_range';
  end if;

  -- also a short one has a row, its indexes and an event
  perform private.use_today(transfers => 1, bytes => pg_column_size(request) + 1024);

  insert into public.transfers (
    id, direction, wallet_address, network, crypto_amount, crypto_symbol,
    fiat_amount, fiat_currency, external_account, meta, label, thinker_id
  )
  values (
    private.new_id(log_transfer.direction),
    log_transfer.direction,
    log_transfer.wallet_address,
    log_transfer.network,
    -- 0e-16383 has eight characters, and is printed with 16,385
    trim_scale(log_transfer.crypto_amount),
    log_transfer.crypto_symbol,
    round(fiat_minor),
    currency,
    log_transfer.external_account,
    coalesce(log_transfer.meta, '{}'),
    coalesce(
      log_transfer.label,
      case log_transfer.direction when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end
    ),
    thinker
  )
  returning * into transfer;

  return private.store_response(log_transfer.idempotency_key, request, private.transfer_json(transfer));
end;
$$;

comment on function public.log_transfer is
  'Logs a transfer intent of the acting thinker; a trusted server may log one without a thinker. fiat_major is in the '
  'currency''s major unit (euros) and is rounded to the minor unit, half away from zero; crypto_amount keeps all its '
  'decimals. Returns the transfer. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response). The table''s trigger raises currency_unknown (400) for a currency that is not in '
  'private.currencies, in any case. '
  'Raises: amount_out_of_range, amounts_required, direction_unknown, idempotency_key_invalid, json_unreasonable, '
  'query_too_large, uid_invalid (400); not_signed_in, session_ended (401); request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.log_transfer to authenticated, service_role;

-- sql/55_telbank/functions/transfer_json.sql
create function private.transfer_json(transfer public.transfers)
returns jsonb
language sql
stable
return to_jsonb(transfer) || jsonb_build_object(
  'crypto_amount', trim_scale(transfer.crypto_amount),
  'fiat_exponent', private.currency_exponent(transfer.fiat_currency),
  'thinker_uid', private.uid_of(transfer.thinker_id)
);

comment on function private.transfer_json is
  'A transfer as the functions return it: its columns, the decimals of its fiat currency, and the uid of the thinker '
  'who logged it.';

grant execute on function private.currency_exponent to service_role, authenticated;
grant execute on function private.transfer_json to service_role, authenticated;

-- sql/55_telbank/triggers/tg_transfers__touch.sql
create function private.tg_transfers__touch()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  -- clock_timestamp(), because the transaction may have started before the row was created; not before created_at,
  -- because the clock may have been set back since then
  new.updated_at := greatest(new.created_at, clock_timestamp());
  return new;
end;
$$;

comment on function private.tg_transfers__touch is
  'Sets updated_at whenever a transfer is changed, also by hand. A new transfer is updated at the earliest at its '
  'creation.';

create trigger tg_transfers__touch
  before update on public.transfers
  for each row
  when (not private.is_import())
  execute function private.tg_transfers__touch();

create trigger tg_transfers__touch_new
  before insert on public.transfers
  for each row
  when (new.updated_at < new.created_at)
  execute function private.tg_transfers__touch();

-- sql/60_events/tables/events.sql
create table public.events (
  id           uuid        not null default private.new_uuid(),
  type         text        collate "C" not null,
  actor_id     uuid        references public.thinkers (id) on delete restrict,
  subject_type text        collate "C",
  subject_id   text        collate "C",
  meta         jsonb       not null default '{}',
  created_at   timestamptz not null default now(),

  constraint event_type_is_not_empty check (type <> ''),
  constraint event_type_has_at_most_255_characters check (char_length(type) <= 255),
  constraint subject_type_has_at_most_255_characters check (char_length(subject_type) <= 255),
  constraint subject_id_has_at_most_4096_bytes check (octet_length(subject_id) <= 4096),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint subject_has_type_and_id check ((subject_type is null) = (subject_id is null)),
  -- so short a text has no more levels, and no number beyond a double
  constraint meta_is_reasonable_json check (octet_length(meta::text) <= 126 or private.check_json(meta)),
  constraint times_are_in_the_calendar
    check (created_at >= '0001-01-01 00:00:00+00' and created_at < '10000-01-01 00:00:00+00'),

  primary key (id, created_at)
)
partition by range (created_at);

comment on table public.events is
  'The event log. Written by triggers only, in the transaction of the change that they log. Partitioned by months in '
  'UTC: private.make_event_partitions creates the partitions, private.drop_old_event_partitions drops them.';
comment on column public.events.type is 'The type of the event, such as voucher.book or transfer.logged.';
comment on column public.events.subject_type is
  'The kind of the affected object: voucher, voucher_booking, room, contract, transfer, mortgage_application, ...';
comment on column public.events.meta is 'Details for readers of the log; no tokens, no account numbers.';

-- includes the columns that figures count, for index-only scans
create index events_created_at_idx on public.events (created_at desc, id desc) include (type, actor_id);
create index events_actor_id_idx on public.events (actor_id);
create index events_subject_idx on public.events (subject_type, subject_id);

-- no planner statistics, see 10_core/privileges.sql
alter table public.events
  alter column subject_id set statistics 0;

alter table public.events enable row level security;

grant select on public.events to service_role, authenticated;

create policy "thinkers see what they did"
  on public.events
  for select
  to authenticated
  using (
    actor_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.events
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- also for each row, because partitions inherit only row triggers; make_event_partition adds the one against truncate
create trigger tg_events__refuse_row
before update or delete on public.events
for each row execute function private.tg_append_only__refuse();

create trigger tg_events__refuse
before update or delete or truncate on public.events
for each statement execute function private.tg_append_only__refuse();

-- sql/60_events/tables/telemetry_events.sql
create table public.telemetry_events (
  id         text        collate "C" primary key default private.new_id('te'),
  type       text        collate "C" not null,
  path       text,
  actor_id   uuid        references public.thinkers (id) on delete set null,
  meta       jsonb,
  created_at timestamptz not null default now(),

  constraint telemetry_type_has_1_to_255_characters check (char_length(type) between 1 and 255),
  constraint path_has_at_most_4096_characters check (char_length(path) <= 4096),
  constraint json_is_reasonable check (private.check_json(meta)),
  constraint telemetry_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.telemetry_events is
  'What the portal''s pages report about themselves: views, clicks, errors. Written by record_telemetry. Login tokens '
  'are not stored (private.without_tokens).';
comment on column public.telemetry_events.meta is 'As sent by the page; any JSON.';

create index telemetry_events_actor_id_idx on public.telemetry_events (actor_id);
create index telemetry_events_created_at_idx on public.telemetry_events (created_at);

-- no planner statistics, see 10_core/privileges.sql
alter table public.telemetry_events
  alter column id set statistics 0,
  alter column type set statistics 0,
  alter column path set statistics 0;

alter table public.telemetry_events enable row level security;

grant select on public.telemetry_events to service_role, authenticated;

create policy "thinkers see what was reported of them"
  on public.telemetry_events
  for select
  to authenticated
  using (
    actor_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.telemetry_events
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- sql/60_events/functions/dashboard.sql
create function public.dashboard()
returns jsonb
language sql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
  select private.require_admin();

  -- counted once by day and type: the log is large, and has few types
  with counted as (
    select
      coalesce(e.subject_type, 'unknown') as feature,
      e.type,
      e.type = 'voucher.cancel' and coalesce(e.meta ->> 'reason', '') collate "C" ~* 'error' as is_failed_cancel,
      (e.created_at at time zone 'UTC')::date as day,
      count(*) as events,
      count(*) filter (where e.created_at > now() - interval '7 days') as of_week,
      count(*) filter (where e.created_at > now() - interval '24 hours') as of_day
    from public.events e
    where e.created_at > now() - interval '30 days'
    group by 1, 2, 3, 4
  ),
  recent as materialized (
    select
      c.*,
      c.type collate "C" ~* 'error|fail' or c.is_failed_cancel as is_error,
      c.type collate "C" ~* 'fix|resolve' as is_fix,
      c.type collate "C" ~* 'critical|crash' as is_crash
    from counted c
  ),
  sums as (
    select
      coalesce(sum(events), 0) as total,
      coalesce(sum(events) filter (where is_error), 0) as errors,
      coalesce(sum(events) filter (where is_fix), 0) as fixes,
      coalesce(sum(of_week) filter (where is_fix), 0) as fixes_of_week,
      coalesce(sum(of_day), 0) as active,
      coalesce(sum(events) filter (where is_crash), 0) as crashes
    from recent
  ),
  figures as (
    select
      s.*,
      coalesce(100.0 * errors / nullif(total, 0), 0) as error_rate,
      coalesce(100.0 * crashes / nullif(total, 0), 0) as crash_rate
    from sums s
  )
  select jsonb_build_object(
    'production_readiness', round(
      0.3 * least(100, active) + 0.4 * (100 - error_rate) + 0.3 * greatest(0, 100 - 2 * error_rate), 1
    ),
    'quality_score', round(100 - error_rate, 1),
    'system_stability', round(100 - crash_rate, 1),
    'activity_count', active,
    'production_timeline', (
      select jsonb_agg(
        jsonb_build_object(
          'date', to_char(day, 'YYYY-MM-DD'),
          'count', (select coalesce(sum(r.events), 0) from recent r where r.day = day.day::date)
        )
        order by day
      )
      from generate_series(
        (now() at time zone 'UTC')::date - 6, (now() at time zone 'UTC')::date, interval '1 day'
      ) as day (day)
    ),
    'error_rate', round(error_rate, 2),
    'error_count', errors,
    'event_count', total,
    'top_errors', (
      select coalesce(
        jsonb_agg(jsonb_build_object('type', t.type, 'count', t.count) order by t.count desc, t.type), '[]'
      )
      from (
        select r.type, sum(r.events) as count from recent r where r.is_error group by r.type order by 2 desc, 1 limit 10
      ) t
    ),
    'fix_rate', round(coalesce(100.0 * fixes / nullif(errors, 0), 0), 2),
    'fixes_per_week', fixes_of_week,
    'open_errors', greatest(0, errors - fixes),
    'features', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('name', f.feature, 'events', f.events, 'error_rate', round(f.error_rate, 2))
          order by f.events desc, f.feature
        ),
        '[]'
      )
      from (
        select
          r.feature,
          sum(r.events) as events,
          100.0 * coalesce(sum(r.events) filter (where r.is_error), 0) / sum(r.events) as error_rate
        from recent r
        group by r.feature
        -- imported events may have any
        order by 2 desc, 1
        limit 100
      ) f
    ),
    'recent_events', (
      select coalesce(jsonb_agg(private.event_json(e) order by e.created_at desc, e.id desc), '[]')
      from (select * from public.events order by created_at desc, id desc limit 20) e
    ),
    -- the state of WAL archiving, from which a server can be restored
    'backup', (
      select jsonb_build_object(
        'status', case
          when current_setting('archive_mode') = 'off' then 'off'
          when a.last_failed_time >= coalesce(a.last_archived_time, '-infinity') then 'failed'
          when a.last_archived_time is null then 'waiting'
          else 'ok'
        end,
        'last_backup_at', a.last_archived_time,
        'success_rate', round(coalesce(100.0 * a.archived_count / nullif(a.archived_count + a.failed_count, 0), 0), 2)
      )
      from pg_catalog.pg_stat_archiver a
    )
  )
  from figures
$$;

comment on function public.dashboard is
  'The figures of GET /api/admin/dashboard (docs/compatibility.md) over the events of the last 30 days; rates in '
  'percent, days in UTC. backup is the state of the server''s WAL archive (off, waiting, ok, failed), the time of the '
  'last archived file, and the percentage of successful attempts. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.dashboard to service_role, authenticated;

-- sql/60_events/functions/drop_old_event_partitions.sql
create function private.drop_old_event_partitions(older_than interval)
returns integer
language plpgsql
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '500ms'
as $$
declare
  old     regclass;
  dropped integer := 0;
begin
  for old in
    select p.partition
    from private.event_partitions() p
    where p.ends_at <= least(now(), now() - drop_old_event_partitions.older_than)
  loop
    execute format('drop table %s', old);
    dropped := dropped + 1;
  end loop;
  return dropped;
end;
$$;

comment on function private.drop_old_event_partitions is
  'Drops the partitions of public.events that ended longer ago than older_than. Never drops a younger event, nor one '
  'of the default partition. Returns the number of dropped partitions. Fails with lock_not_available (lock_timeout) '
  'instead of waiting longer than half a second, for example behind a long query; run it again later.';

-- sql/60_events/functions/error_summary.sql
create function public.error_summary()
returns jsonb
language sql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
  select private.require_admin();

  with errors as (
    select e as event, reported.type, e.created_at, e.id
    from public.events e
    -- a page's report is an event telemetry.event, whose meta has the reported type
    cross join lateral (
      select case e.type when 'telemetry.event' then coalesce(e.meta ->> 'type', '') else e.type end as type
    ) reported
    where reported.type collate "C" ~* 'error|fail' and e.created_at > now() - interval '30 days'
  )
  select jsonb_build_object(
    'total', (select count(*) from errors),
    'by_type', (
      select coalesce(jsonb_object_agg(t.type, t.count), '{}')
      from (select type, count(*) from errors group by type order by 2 desc, 1 limit 100) t
    ),
    'recent', (
      select coalesce(jsonb_agg(private.event_json(e.event) order by e.created_at desc, e.id desc), '[]')
      from (select * from errors order by created_at desc, id desc limit 20) e
    )
  )
$$;

comment on function public.error_summary is
  'The errors among the events of the last 30 days: {total, by_type (the 100 most frequent), recent (the 20 newest)}, '
  'for GET /api/autofix/status. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.error_summary to service_role, authenticated;

-- sql/60_events/functions/event_json.sql
create function private.event_json(event public.events)
returns jsonb
language sql
stable
return to_jsonb(event) || jsonb_build_object('actor_uid', private.uid_of(event.actor_id));

comment on function private.event_json is 'An event as the functions return it: its columns and the actor''s uid.';

grant execute on function private.event_json to service_role, authenticated;

-- sql/60_events/functions/event_partitions.sql
create function private.event_partitions()
returns table (partition regclass, starts_at timestamptz, ends_at timestamptz)
language sql
stable
set search_path = ''
set timezone = 'UTC'
as $$
  select p.oid::regclass, p.bounds[1]::timestamptz, p.bounds[2]::timestamptz
  from (
    select c.oid, regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') as bounds
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'public.events'::regclass
  ) p
  order by 2 nulls last
$$;

comment on function private.event_partitions is
  'The partitions of public.events, oldest first, each with the period of its events: from starts_at until before '
  'ends_at. Both are null for the default partition, which holds events of months without a partition.';

-- sql/60_events/functions/json_without_tokens.sql
create function private.json_without_tokens(value jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
  text text collate "C" := value::text;
begin
  -- nearly all have none
  if text is null or text collate "C" !~* '(mot|sig|token)' then
    return value;
  end if;
  -- in the JSON as it is printed: a walk through its parts takes ten times as long. What follows is that of
  -- private.without_tokens; a quote within a text has a backslash before it, and a control character is an escape
  text := regexp_replace(text, '((?<!\\)"(?:mot|sig|(?:[a-z]+_)?token)": ")(?:[^"\\]|\\.)*', '\1***', 'gi');
  text := regexp_replace(
    text,
    '((?:[^a-z0-9_]|%(?:25)*[0-9a-f]{2}|\\[bfnrt]|\\u[0-9a-f]{4})(?:mot|sig|(?:[a-z]+_)?token)(?:=|%(?:25)*3d))'
    '(?:[^&#;"''<> \\]|\\[bf]|\\u[0-9a-f]{4})+',
    '\1***',
    'gi'
  );
  return regexp_replace(
    text,
    '(\\"(?:mot|sig|(?:[a-z]+_)?token)\\(?:\\\\)*" ?: ?\\(?:\\\\)*")(?:[^"\\]|\\[bfnrt]|\\u[0-9a-f]{4})+',
    '\1***',
    'gi'
  )::jsonb;
end;
$$;

comment on function private.json_without_tokens is
  'The JSON with *** in the place of every login token: texts named mot, token, thinker_token, access_token or sig, '
  'and tokens within other texts.';

-- sql/60_events/functions/list_events.sql
create function public.list_events(max_rows integer default 50, after text default null)
returns jsonb[]
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  key  text[] := private.page_key(list_events.after);
  page refcursor;
begin
  perform private.require_admin();

  open page for
    select
      to_jsonb(e) || jsonb_build_object('actor_uid', t.public_id) as item, array[e.created_at::text, e.id::text] as key
    from public.events e
    -- who sees all events sees all thinkers
    left join public.thinkers t on t.id = e.actor_id
    where (e.created_at, e.id) < (coalesce(key[1]::timestamptz, 'infinity'), key[2]::uuid)
    order by e.created_at desc, e.id desc
    limit 201;
  return private.read_page(page, least(list_events.max_rows, 200));
end;
$$;

comment on function public.list_events is
  'The latest events, newest first: a page of max_rows, from 1 to 200 (private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401); not_an_admin (403).';

grant execute on function public.list_events to service_role, authenticated;

-- sql/60_events/functions/make_event_partition.sql
create function private.make_event_partition(month timestamptz)
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
  name text := 'events_' || coalesce(to_char(make_event_partition.month, 'YYYY_MM'), 'default');
begin
  -- created as a table and then attached, because creating it as a partition would lock public.events exclusively
  execute format('create table private.%I (like public.events including all)', name);
  execute format(
    'comment on table private.%I is %L',
    name,
    case
      when make_event_partition.month is null
        then 'Events of months without a partition; private.make_event_partitions moves them.'
      else 'The events of ' || to_char(make_event_partition.month, 'YYYY-MM') || ' (UTC): a partition of public.events.'
    end
  );
  execute format('alter table private.%I alter column subject_id set statistics 0', name);
  execute format('alter table private.%I enable row level security', name);
  execute format(
    'create trigger tg_events__refuse before truncate on private.%I '
    'for each statement execute function private.tg_append_only__refuse()',
    name
  );
  execute format(
    'alter table public.events attach partition private.%I %s',
    name,
    case
      when make_event_partition.month is null then 'default'
      else format(
        'for values from (%L) to (%L)', make_event_partition.month, make_event_partition.month + interval '1 month'
      )
    end
  );
end;
$$;

comment on function private.make_event_partition is
  'Creates the partition of public.events for the month that begins at this time (UTC), or the default partition '
  '(null). No role may read, write or truncate a partition directly. Called by private.make_event_partitions, which '
  'finds the missing ones. '
  'Raises: append_only (403).';

-- sql/60_events/functions/make_event_partitions.sql
create function private.make_event_partitions()
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '10s'
as $$
declare
  this_month constant timestamptz := date_trunc('month', now());
  horizon    constant timestamptz := this_month + interval '4 months';
  -- a partition for each of thousands of months would need more locks than a server has
  oldest     constant timestamptz := this_month - interval '20 years';
  unplaced   boolean;
  missing    timestamptz[];
  month      timestamptz;
begin
  -- wait for concurrent calls of this function
  perform pg_advisory_xact_lock(private.lock_number('make_event_partitions'));
  -- do not wait long for other locks, because other sessions would queue behind this one; less than deadlock_timeout,
  -- so that in a deadlock this session gives up
  perform set_config('lock_timeout', '500ms', true);

  if not exists (select from private.event_partitions() p where p.starts_at is null) then
    perform private.make_event_partition(null);
  end if;

  -- without a partition for now, an event may come at any time
  unplaced := exists (select from private.events_default e where e.created_at >= oldest and e.created_at < horizon)
    or not exists (select from private.event_partitions() p where now() >= p.starts_at and now() < p.ends_at);
  if unplaced then
    -- thinkers first, the order in which a new thinker and its event are written
    lock table public.thinkers in share row exclusive mode;
    lock table only public.events in access exclusive mode;
  end if;

  select array_agg(m.month order by m.month) into missing
  from (
    select distinct date_trunc('month', e.created_at) as month
    from private.events_default e
    -- without the locks, other sessions may write such events until the partitions are attached
    where unplaced and e.created_at >= oldest and e.created_at < horizon
    union
    select generate_series(this_month, horizon - interval '1 month', interval '1 month')
  ) m
  where not exists (select from private.event_partitions() p where m.month >= p.starts_at and m.month < p.ends_at);

  if missing is null then
    return;
  end if;

  if unplaced then
    -- rows of the log cannot be deleted: drop the default partition, and insert its events again
    create temporary table unplaced_events as select * from private.events_default;
    drop table private.events_default;
    perform private.make_event_partition(null);
  else
    -- in the same order; creating a partition with a foreign key to thinkers takes this lock
    lock table public.thinkers in share row exclusive mode;
  end if;

  foreach month in array missing loop
    perform private.make_event_partition(month);
  end loop;

  if unplaced then
    execute format('insert into public.events select * from %s', to_regclass('pg_temp.unplaced_events'));
    execute format('drop table %s', to_regclass('pg_temp.unplaced_events'));
  end if;
end;
$$;

comment on function private.make_event_partitions is
  'Creates the missing partitions of public.events: one for each month (UTC) from now to three months ahead, one for '
  'each month of the past twenty years with events in the default partition, which are moved, and the default '
  'partition. Running it twice or concurrently is safe. Fails with lock_not_available (lock_timeout) instead of '
  'waiting longer than half a second, for example behind a long query; run it again later. '
  'Raises: append_only (403).';

select private.make_event_partitions();

-- sql/60_events/functions/record_telemetry.sql
create function public.record_telemetry(events jsonb, idempotency_key text default null)
returns integer
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '2s'
as $$
declare
  request  jsonb := private.checked_request(jsonb_build_array('record_telemetry', record_telemetry.events));
  response jsonb := private.replay_response(record_telemetry.idempotency_key, request);
  actor    uuid;
  stored   integer;
begin
  if response is not null then
    return response::integer;
  end if;

  if coalesce(jsonb_typeof(record_telemetry.events), '') <> 'array' then
    raise sqlstate 'PT400' using message = 'events_required';
  end if;
  if jsonb_array_length(record_telemetry.events) > 1000 then
    raise sqlstate 'PT413' using message = 'too_many_events';
  end if;

  -- only a trusted server may report for other thinkers. They are created in the order of their ids, to avoid deadlocks
  -- between two batches with the same new thinkers
  if private.is_service() then
    perform private.ensure_thinker(named.uid)
    from (
      select distinct e ->> 'actor_uid' as uid
      from jsonb_array_elements(record_telemetry.events) as e
      where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> ''
    ) named
    order by private.thinker_id(named.uid);
  else
    actor := private.acting_thinker();
    perform private.use_today(
      telemetry_events => count(*)::integer,
      -- a longer type is refused by its constraint
      telemetry_types => coalesce(array_agg(distinct left(e ->> 'type', 255)), '{}'),
      bytes => pg_column_size(request)
    )
    from jsonb_array_elements(record_telemetry.events) as e
    where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> '';
  end if;

  insert into public.telemetry_events (type, path, actor_id, meta)
  select e ->> 'type', e ->> 'path', coalesce(actor, private.thinker_id(e ->> 'actor_uid')), nullif(e -> 'meta', 'null')
  from jsonb_array_elements(record_telemetry.events) as e
  where jsonb_typeof(e -> 'type') = 'string' and e ->> 'type' <> '';
  get diagnostics stored = row_count;

  perform private.store_response(record_telemetry.idempotency_key, request, to_jsonb(stored));
  return stored;
end;
$$;

comment on function public.record_telemetry is
  'Stores what pages report: an array of at most 1,000 {type, path, actor_uid, meta}; events without a type are '
  'skipped. Returns the number of stored events. A repeated call with the same idempotency_key returns the stored '
  'response (private.replay_response). '
  'Raises: events_required, idempotency_key_invalid, json_unreasonable, query_too_large, uid_invalid (400); '
  'not_signed_in, session_ended (401); request_in_progress (409); too_many_events (413); idempotency_key_reused '
  '(422); daily_limit_reached (429).';

grant execute on function public.record_telemetry to authenticated, service_role;

-- sql/60_events/functions/without_tokens.sql
create function private.without_tokens(text text)
returns text
language sql
immutable
set search_path = ''
as $$
  select regexp_replace(
    regexp_replace(
      without_tokens.text collate "C",
      '((?:^|[^a-z0-9_]|%(?:25)*[0-9a-f]{2})(?:mot|sig|(?:[a-z]+_)?token)(?:=|%(?:25)*3d))[^&#;"''<> \t\r\n\\]+',
      '\1***',
      'gi'
    ),
    '("(?:mot|sig|(?:[a-z]+_)?token)\\*" ?: ?\\*")[^"\\]+',
    '\1***',
    'gi'
  )
$$;

comment on function private.without_tokens is
  'The text with *** in the place of every login token in it: the values of mot, token, thinker_token, access_token '
  'and sig, as parameters of a URL, percent-encoded or not, and as texts of JSON.';

-- sql/60_events/triggers/tg_contracts__write_upload.sql
create function private.tg_contracts__write_upload()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  select
    'contract.upload', new.created_by, 'contract', new.id,
    jsonb_build_object('voucherId', l.voucher_id, 'roomId', l.room_id, 'storageUrl', new.storage_url)
  from (select) as one
  left join public.contract_links l on l.contract_id = new.id
  order by l.created_at, l.id
  limit 1;
  return null;
end;
$$;

comment on function private.tg_contracts__write_upload is 'Writes the event contract.upload.';

create trigger tg_contracts__write_upload
  after insert on public.contracts
  for each row
  when (not private.is_import())
  execute function private.tg_contracts__write_upload();

-- sql/60_events/triggers/tg_mortgage_applications__write_application.sql
create function private.tg_mortgage_applications__write_application()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'mortgage.application', new.borrower_id, 'mortgage_application', new.id,
    jsonb_build_object(
      'propertyId', new.property_id,
      'desiredLoan',
      case
        when new.desired_loan is not null
          then jsonb_build_object('amount', new.desired_loan, 'currency', new.currency)
      end
    )
  );
  return null;
end;
$$;

comment on function private.tg_mortgage_applications__write_application is 'Writes the event mortgage.application.';

create trigger tg_mortgage_applications__write_application
  after insert on public.mortgage_applications
  for each row
  when (not private.is_import())
  execute function private.tg_mortgage_applications__write_application();

-- sql/60_events/triggers/tg_mortgage_contracts__write_sign.sql
create function private.tg_mortgage_contracts__write_sign()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  select
    'mortgage.sign', coalesce(private.known_actor(), signature.natural_signer), 'mortgage_contract', new.id,
    jsonb_build_object('signer', signature.signer, 'status', new.status)
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  cross join lateral (
    values
      ('borrower', a.borrower_id, new.borrower_signed_at, old.borrower_signed_at),
      ('lender', o.lender_id, new.lender_signed_at, old.lender_signed_at),
      ('notary', null, new.notary_signed_at, old.notary_signed_at)
  ) signature (signer, natural_signer, signed_at, signed_before)
  where o.id = new.offer_id and signature.signed_at is not null and signature.signed_before is null;
  return null;
end;
$$;

comment on function private.tg_mortgage_contracts__write_sign is
  'Writes an event mortgage.sign for each new signature. Its actor is the acting thinker, otherwise the borrower or '
  'lender whose signature it is; null for an unknown notary.';

create trigger tg_mortgage_contracts__write_sign
  after insert or update on public.mortgage_contracts
  for each row
  execute function private.tg_mortgage_contracts__write_sign();

-- sql/60_events/triggers/tg_mortgage_offers__write_accept.sql
create function private.tg_mortgage_offers__write_accept()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or old.status <> 'accepted' then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    select
      'mortgage.accept', coalesce(private.known_actor(), a.borrower_id), 'mortgage_offer', new.id,
      jsonb_build_object('applicationId', new.application_id, 'lenderUid', private.uid_of(new.lender_id))
      || private.loan_difference(new, a)
    from public.mortgage_applications a
    where a.id = new.application_id;
  end if;
  return null;
end;
$$;

comment on function private.tg_mortgage_offers__write_accept is
  'Writes the event mortgage.accept. Its actor is the acting thinker, otherwise the borrower.';

create trigger tg_mortgage_offers__write_accept
  after insert or update of status on public.mortgage_offers
  for each row
  when (new.status = 'accepted' and not private.is_import())
  execute function private.tg_mortgage_offers__write_accept();

-- sql/60_events/triggers/tg_mortgage_offers__write_offer.sql
create function private.tg_mortgage_offers__write_offer()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  select
    'mortgage.offer', new.lender_id, 'mortgage_offer', new.id,
    jsonb_build_object('applicationId', new.application_id) || private.loan_difference(new, a)
  from public.mortgage_applications a
  where a.id = new.application_id;
  return null;
end;
$$;

comment on function private.tg_mortgage_offers__write_offer is 'Writes the event mortgage.offer.';

create trigger tg_mortgage_offers__write_offer
  after insert on public.mortgage_offers
  for each row
  when (not private.is_import())
  execute function private.tg_mortgage_offers__write_offer();

-- sql/60_events/triggers/tg_presence_sessions__write_heartbeat.sql
create function private.tg_presence_sessions__write_heartbeat()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE'
    and (new.pair_code, new.status) is not distinct from (old.pair_code, old.status)
    and date_bin('10 s', new.last_seen_at, 'epoch') = date_bin('10 s', old.last_seen_at, 'epoch')
  then
    return null;
  end if;

  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.heartbeat', new.thinker_id, 'presence_session', new.id,
    jsonb_build_object('pairCode', new.pair_code, 'status', new.status)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_heartbeat is
  'Writes the event presence.heartbeat: for heartbeats that change nothing one in ten seconds, because nothing else '
  'limits their number; the portal sends one in 25 seconds.';

create trigger tg_presence_sessions__write_heartbeat
  after insert or update of last_seen_at on public.presence_sessions
  for each row
  execute function private.tg_presence_sessions__write_heartbeat();

-- sql/60_events/triggers/tg_presence_sessions__write_join.sql
create function private.tg_presence_sessions__write_join()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.join', new.thinker_id, 'room', new.room_id,
    jsonb_build_object('pairCode', new.pair_code)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_join is
  'Writes the event presence.join: a thinker joined the chat of its room.';

create trigger tg_presence_sessions__write_join
  after update of joined_at on public.presence_sessions
  for each row
  when (new.joined_at is not null and new.joined_at is distinct from old.joined_at)
  execute function private.tg_presence_sessions__write_join();

-- sql/60_events/triggers/tg_presence_sessions__write_match.sql
create function private.tg_presence_sessions__write_match()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.match', new.thinker_id, 'room', new.room_id,
    jsonb_build_object('pairCode', new.pair_code)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_match is 'Writes the event presence.match.';

create trigger tg_presence_sessions__write_match
  after update of room_id on public.presence_sessions
  for each row
  when (new.room_id is not null and new.room_id is distinct from old.room_id)
  execute function private.tg_presence_sessions__write_match();

-- sql/60_events/triggers/tg_presence_sessions__write_offline.sql
create function private.tg_presence_sessions__write_offline()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.offline',
    case when new.silenced then new.thinker_id else coalesce(private.known_actor(), new.thinker_id) end,
    'presence_session',
    new.id,
    jsonb_build_object('pairCode', new.pair_code, 'silenced', new.silenced)
  );
  return null;
end;
$$;

comment on function private.tg_presence_sessions__write_offline is
  'Writes the event presence.offline. Its actor is the acting thinker; the session''s thinker if no thinker acts or a '
  'job timed the session out.';

create trigger tg_presence_sessions__write_offline
  after update of status on public.presence_sessions
  for each row
  when (old.status = 'online' and new.status = 'offline')
  execute function private.tg_presence_sessions__write_offline();

-- sql/60_events/triggers/tg_row__write_change.sql
create function private.tg_row__write_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  before  jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  after   jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  changed text[];
  hidden  text[];
begin
  -- a row that is newer in the store from which it was imported; what an erasure takes must not be in the log
  if private.is_import() or private.is_erasure() then
    return null;
  end if;

  -- of an update only the columns that the trigger names: a table may have two
  select
    array_agg(a.attname::text),
    array_agg(a.attname::text) filter (where a.atttypid = 'jsonb'::regtype or a.attname = any (tg_argv[2:]))
  into changed, hidden
  from pg_catalog.pg_attribute a
  join pg_catalog.pg_trigger t on t.tgrelid = a.attrelid and t.tgname = tg_name
  where a.attrelid = tg_relid and a.attnum > 0 and not a.attisdropped
    and (tg_op <> 'UPDATE' or t.tgattr = '' or a.attnum = any (t.tgattr))
    and before -> a.attname::text is distinct from after -> a.attname::text;
  if changed is null then
    return null;
  end if;

  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  select
    tg_argv[0] || case tg_op when 'DELETE' then '.deleted' else '.changed' end,
    private.known_actor(),
    tg_argv[0],
    coalesce(after, before) ->> tg_argv[1],
    jsonb_object_agg(
      side.name,
      case when side.row_then is not null then (
        select jsonb_object_agg(
          c.name,
          case
            when c.name = any (hidden) then '"…"'
            when length(side.row_then ->> c.name) > 1000 then to_jsonb(left(side.row_then ->> c.name, 1000) || '…')
            else side.row_then -> c.name
          end
        )
        from unnest(changed) as c (name)
      ) end
    ) || jsonb_build_object('by', private.operator_name())
  from (values ('before', before), ('after', after)) as side (name, row_then);
  return null;
end;
$$;

comment on function private.tg_row__write_change is
  'Writes the event <subject>.changed or <subject>.deleted with the changed columns before and after, for writes that '
  'have no other event: `by` is the operator (private.operator_name). Arguments: the subject''s type, its column with '
  'the id, and columns whose values stay out of the log, as those of free JSON do.';

-- tests/events/columns.yaml names the columns that have another event or need none

create trigger tg_settings__write_change
  after update or delete on private.settings
  for each row
  execute function private.tg_row__write_change('settings', 'only_row');

create trigger tg_thinkers__write_change
  after delete or update of id, public_id, roles, meta, created_at, no_overlap_across_vouchers on public.thinkers
  for each row
  execute function private.tg_row__write_change('thinker', 'public_id');

create trigger tg_thinkers__write_roles
  after insert on public.thinkers
  for each row
  when (new.roles <> '{}')
  execute function private.tg_row__write_change('thinker', 'public_id');

create trigger tg_rooms__write_change
  after update or delete on public.rooms
  for each row
  execute function private.tg_row__write_change('room', 'id');

create trigger tg_voucher_templates__write_change
  after update or delete on public.voucher_templates
  for each row
  execute function private.tg_row__write_change('voucher_template', 'id');

create trigger tg_vouchers__write_change
  after delete or update of
    id, issuer_id, issued_to, service_type, title, description, duration_minutes, valid_from, valid_until,
    allowed_slots, price_amount, price_currency, transferable, terms, created_at
  on public.vouchers
  for each row
  execute function private.tg_row__write_change('voucher', 'id');

-- by book_voucher and cancel_booking these change with a booking, which has its event
create trigger tg_vouchers__write_status_by_hand
  after update of status, holder_id on public.vouchers
  for each row
  when (
    (old.status, old.holder_id) is distinct from (new.status, new.holder_id)
    and new.status <> 'expired'
    and auth.role() is null
  )
  execute function private.tg_row__write_change('voucher', 'id');

create trigger tg_voucher_bookings__write_change
  after update of cancel_reason, cancelled_at on public.voucher_bookings
  for each row
  when (old.status = new.status)
  execute function private.tg_row__write_change('voucher_booking', 'id');

create trigger tg_contracts__write_change
  after update or delete on public.contracts
  for each row
  execute function private.tg_row__write_change('contract', 'id');

create trigger tg_contract_links__write_change
  after update or delete on public.contract_links
  for each row
  execute function private.tg_row__write_change('contract_link', 'id');

create trigger tg_properties__write_change
  after update or delete on public.properties
  for each row
  execute function private.tg_row__write_change('property', 'id');

create trigger tg_mortgage_applications__write_change
  after delete or update of
    id, property_id, borrower_id, desired_loan, currency, duration_years, rate_type, max_interest, visibility, meta,
    submission_ts, created_at
  on public.mortgage_applications
  for each row
  execute function private.tg_row__write_change('mortgage_application', 'id');

-- by the functions it changes with an offer, which has its event
create trigger tg_mortgage_applications__write_status_by_hand
  after update of status on public.mortgage_applications
  for each row
  when (old.status <> new.status and auth.role() is null)
  execute function private.tg_row__write_change('mortgage_application', 'id');

create trigger tg_mortgage_offers__write_change
  after delete or update of
    id, application_id, lender_id, interest_rate, monthly_payment, loan, interest, repayment, fees, validity,
    terms_ref, room_refs, loan_amount, loan_currency, created_at
  on public.mortgage_offers
  for each row
  execute function private.tg_row__write_change('mortgage_offer', 'id');

create trigger tg_mortgage_offers__write_status_by_hand
  after update of status on public.mortgage_offers
  for each row
  when (old.status <> new.status and new.status <> 'accepted' and auth.role() is null)
  execute function private.tg_row__write_change('mortgage_offer', 'id');

create trigger tg_mortgage_contracts__write_change
  after update of id, offer_id, contract_id, created_at on public.mortgage_contracts
  for each row
  execute function private.tg_row__write_change('mortgage_contract', 'id');

-- a new signature has its event
create trigger tg_mortgage_contracts__write_status_by_hand
  after update of status, borrower_signed_at, lender_signed_at, notary_signed_at on public.mortgage_contracts
  for each row
  when (
    num_nonnulls(new.borrower_signed_at, new.lender_signed_at, new.notary_signed_at)
    <= num_nonnulls(old.borrower_signed_at, old.lender_signed_at, old.notary_signed_at)
  )
  execute function private.tg_row__write_change('mortgage_contract', 'id');

create trigger tg_transfers__write_change
  after update of
    id, thinker_id, direction, wallet_address, network, crypto_amount, crypto_symbol, fiat_amount, fiat_currency,
    external_account, label, meta, created_at
  on public.transfers
  for each row
  execute function private.tg_row__write_change('transfer', 'id', 'external_account');

create trigger tg_transfers__write_status_by_hand
  after update of status on public.transfers
  for each row
  when (old.status <> new.status and new.status <> 'settled')
  execute function private.tg_row__write_change('transfer', 'id', 'external_account');

-- no rows are removed without an event; from other tables they cannot be
create trigger tg_settings__refuse
  before truncate on private.settings
  for each statement execute function private.tg_append_only__refuse();

create trigger tg_voucher_templates__refuse
  before truncate on public.voucher_templates
  for each statement execute function private.tg_append_only__refuse();

create trigger tg_rooms__refuse
  before truncate on public.rooms
  for each statement execute function private.tg_append_only__refuse();

create trigger tg_contract_links__refuse
  before truncate on public.contract_links
  for each statement execute function private.tg_append_only__refuse();

-- sql/60_events/triggers/tg_telemetry_events__hide_tokens.sql
create function private.tg_telemetry_events__hide_tokens()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.type := private.without_tokens(new.type);
  new.path := private.without_tokens(new.path);
  -- before they are sought in it, which takes seconds in many values
  perform private.check_json(new.meta);
  new.meta := private.json_without_tokens(new.meta);
  return new;
end;
$$;

comment on function private.tg_telemetry_events__hide_tokens is
  'Takes login tokens out of what pages report: a link with a token signs in everybody who reads it. '
  'Raises: json_unreasonable (400).';

create trigger tg_telemetry_events__hide_tokens
  before insert or update on public.telemetry_events
  for each row
  execute function private.tg_telemetry_events__hide_tokens();

-- sql/60_events/triggers/tg_telemetry_events__write_event.sql
create function private.tg_telemetry_events__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'telemetry.event', new.actor_id, 'telemetry', new.id,
    jsonb_build_object('type', new.type, 'path', regexp_replace(new.path, '[?#].*', ''))
  );
  return null;
end;
$$;

comment on function private.tg_telemetry_events__write_event is
  'Writes the event telemetry.event with the page''s path, without the query, which may contain a token.';

create trigger tg_telemetry_events__write_event
  after insert on public.telemetry_events
  for each row
  when (not private.is_import())
  execute function private.tg_telemetry_events__write_event();

-- sql/60_events/triggers/tg_thinkers__write_verify.sql
create function private.tg_thinkers__write_verify()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'presence.verify', new.id, 'thinker', new.public_id, '{}'
  );
  return null;
end;
$$;

comment on function private.tg_thinkers__write_verify is
  'Writes the event presence.verify, one in ten seconds.';

create trigger tg_thinkers__write_verify
  after update of verified_at on public.thinkers
  for each row
  when (
    old.verified_at is null
    or date_bin('10 s', old.verified_at, 'epoch') <> date_bin('10 s', new.verified_at, 'epoch')
  )
  execute function private.tg_thinkers__write_verify();

-- sql/60_events/triggers/tg_transfers__write_logged.sql
create function private.tg_transfers__write_logged()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'transfer.logged', new.thinker_id, 'transfer', new.id,
    jsonb_strip_nulls(jsonb_build_object('walletAddress', new.wallet_address, 'direction', new.direction))
  );
  return null;
end;
$$;

comment on function private.tg_transfers__write_logged is 'Writes the event transfer.logged.';

create trigger tg_transfers__write_logged
  after insert on public.transfers
  for each row
  when (not private.is_import())
  execute function private.tg_transfers__write_logged();

-- sql/60_events/triggers/tg_transfers__write_settled.sql
create function private.tg_transfers__write_settled()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or old.status <> 'settled' then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'transfer.settled', coalesce(private.known_actor(), new.thinker_id), 'transfer', new.id,
      jsonb_strip_nulls(jsonb_build_object('walletAddress', new.wallet_address, 'direction', new.direction))
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_transfers__write_settled is
  'Writes the event transfer.settled. Its actor is the acting thinker, otherwise the thinker who logged the transfer.';

create trigger tg_transfers__write_settled
  after insert or update of status on public.transfers
  for each row
  when (new.status = 'settled' and not private.is_import())
  execute function private.tg_transfers__write_settled();

-- sql/60_events/triggers/tg_voucher_bookings__write_book.sql
create function private.tg_voucher_bookings__write_book()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'voucher.book', new.holder_id, 'voucher_booking', new.id,
    jsonb_build_object('voucherId', new.voucher_id, 'slotStart', private.iso(new.slot_start))
  );
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__write_book is 'Writes the event voucher.book.';

create trigger tg_voucher_bookings__write_book
  after insert on public.voucher_bookings
  for each row
  when (not private.is_import())
  execute function private.tg_voucher_bookings__write_book();

-- sql/60_events/triggers/tg_voucher_bookings__write_cancel.sql
create function private.tg_voucher_bookings__write_cancel()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or old.status <> 'cancelled' then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'voucher.cancel', coalesce(private.known_actor(), new.holder_id), 'voucher_booking', new.id,
      jsonb_build_object('voucherId', new.voucher_id, 'reason', left(new.cancel_reason, 1000))
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__write_cancel is
  'Writes the event voucher.cancel. Its actor is the acting thinker, otherwise the holder (if a trusted server acts '
  'without a thinker).';

create trigger tg_voucher_bookings__write_cancel
  after insert or update of status on public.voucher_bookings
  for each row
  when (new.status = 'cancelled' and not private.is_import())
  execute function private.tg_voucher_bookings__write_cancel();

-- sql/60_events/triggers/tg_vouchers__write_expire.sql
create function private.tg_vouchers__write_expire()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or old.status <> 'expired' then
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'voucher.expire', new.issuer_id, 'voucher', new.id,
      jsonb_build_object('validUntil', private.iso(new.valid_until))
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_vouchers__write_expire is
  'Writes the event voucher.expire. Its actor is the issuer, who set valid_until.';

create trigger tg_vouchers__write_expire
  after insert or update of status on public.vouchers
  for each row
  when (new.status = 'expired' and not private.is_import())
  execute function private.tg_vouchers__write_expire();

-- sql/60_events/triggers/tg_vouchers__write_issue.sql
create function private.tg_vouchers__write_issue()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'voucher.issue', new.issuer_id, 'voucher', new.id,
    jsonb_build_object('serviceType', new.service_type)
  );
  return null;
end;
$$;

comment on function private.tg_vouchers__write_issue is 'Writes the event voucher.issue.';

create trigger tg_vouchers__write_issue
  after insert on public.vouchers
  for each row
  when (not private.is_import())
  execute function private.tg_vouchers__write_issue();

-- sql/65_fees/tables/fees.sql
create table public.fees (
  id             text         collate "C" primary key,
  scope          text         not null,
  percentage     numeric     not null default 0,
  fixed_amount   bigint       not null default 0,
  min_cents      bigint,
  max_cents      bigint,
  currency       text         collate "C",
  active         boolean      not null default false,
  beneficiary_id uuid         not null default '6753616d-40b8-8b53-8e99-7b58caa8f8f6'
                              references public.thinkers (id) on delete restrict,
  meta           jsonb        not null default '{}',
  reversed_after_start boolean not null default false,
  payer          text,

  constraint fee_scope_is_valid check (scope in ('voucher', 'transfer', 'room', 'mortgage')),
  constraint payer_takes_part check (
    case scope
      when 'voucher' then payer in ('issuer', 'holder')
      when 'transfer' then payer = 'thinker'
      when 'mortgage' then payer in ('lender', 'borrower')
      else payer is null
    end
  ),
  constraint percentage_is_a_fraction check (percentage between 0 and 1),
  constraint percentage_has_at_most_four_decimals check (min_scale(percentage) <= 4),
  constraint fixed_amount_is_not_negative check (fixed_amount >= 0),
  constraint fixed_amount_has_a_currency check (fixed_amount = 0 or currency is not null),
  constraint fee_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint meta_is_an_object check (jsonb_typeof(meta) = 'object'),
  constraint meta_is_reasonable_json check (private.check_json(meta)),
  constraint fee_id_has_1_to_255_characters check (char_length(id) between 1 and 255),
  constraint bounds_have_a_currency check (num_nonnulls(min_cents, max_cents) = 0 or currency is not null),
  constraint minimum_is_at_most_the_maximum check (min_cents <= max_cents),
  constraint fixed_amount_is_at_most_the_maximum check (fixed_amount <= max_cents),
  constraint amounts_are_safe check (
    fixed_amount <= 9007199254740991
    and min_cents between 0 and 9007199254740991
    and max_cents between 0 and 9007199254740991
  )
);

comment on table public.fees is
  'The rules about what is charged for what, such as voucher.booking and transfer.logged. Every active fee is charged '
  'for each booking, transfer or accepted mortgage of its scope (room: not charged yet). Operators change the rows; '
  'fee_versions keeps each version.';
comment on column public.fees.percentage is
  'A fraction of the voucher''s price, the transfer''s fiat amount or the accepted loan: 0.02 is 2 percent. Its '
  'values are those of numeric(6,4), but a fifth decimal is refused, where that type would round it.';
comment on column public.fees.fixed_amount is 'In the minor unit (cents) of the fee''s currency.';
comment on column public.fees.min_cents is
  'The minimum charge, in the minor unit of the fee''s currency; applies if the whole charge is in that currency.';
comment on column public.fees.max_cents is 'The maximum charge, under the same conditions as min_cents.';
comment on column public.fees.currency is 'The currency of fixed_amount, min_cents and max_cents.';
comment on column public.fees.reversed_after_start is
  'Whether a booking that is cancelled from the start of its slot on gets the charge back, as one that is cancelled '
  'earlier does.';
comment on column public.fees.payer is
  'Who owes the charges made from now on: issuer or holder of a booking, the thinker of a transfer, lender or borrower '
  'of a mortgage. If null: the issuer, the thinker, the lender.';
comment on column public.fees.beneficiary_id is
  'The thinker who is owed the charges made from now on; by default the thinker togethersystems, the portal itself.';

create index fees_beneficiary_id_idx on public.fees (beneficiary_id);

alter table public.fees enable row level security;

grant select on public.fees to service_role, authenticated;

create policy "the signed-in see the prices"
  on public.fees
  for select
  to authenticated
  using (true);

create policy "requests are valid"
  on public.fees
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_fees__refuse_currency
before insert or update of currency on public.fees
for each row
when (private.is_currency(new.currency) is false)
execute function private.tg_currency__refuse();

-- the beneficiary of the portal's own fees
insert into public.thinkers (id, public_id) values (private.thinker_id('togethersystems'), 'togethersystems');

insert into public.fees (id, scope, percentage, active)
values ('voucher.booking', 'voucher', 0.02, true), ('transfer.logged', 'transfer', 0, false);

-- sql/65_fees/tables/settlements.sql
create table public.settlements (
  id             uuid        primary key default private.new_uuid(),
  beneficiary_id uuid        not null references public.thinkers (id) on delete restrict,
  period_from    date        not null,
  period_to      date        not null,
  total_cents    bigint      not null,
  currency       text        collate "C" not null,
  status         text        not null default 'open',
  void_reason    text,
  created_at     timestamptz not null default now(),
  invoiced_at    timestamptz,
  paid_at        timestamptz,
  voided_at      timestamptz,
  number         text        collate "C",
  due_on         date,
  written_off_at timestamptz,
  write_off_reason text,
  created_by     text        not null default private.operator_name(),
  invoiced_by    text,
  paid_by        text,
  voided_by      text,
  written_off_by text,

  constraint period_ends_after_it_begins
    check (period_to > period_from and isfinite(period_from) and isfinite(period_to)),
  constraint settlement_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint settlement_status_is_valid check (status in ('open', 'invoiced', 'paid', 'written_off', 'voided')),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at)),
  constraint status_agrees_with_its_times check (
    case status
      when 'open' then num_nonnulls(invoiced_at, paid_at, voided_at, written_off_at) = 0
      when 'invoiced' then invoiced_at is not null and num_nonnulls(paid_at, voided_at, written_off_at) = 0
      when 'paid' then num_nonnulls(invoiced_at, paid_at) = 2 and num_nonnulls(voided_at, written_off_at) = 0
      when 'written_off' then num_nonnulls(invoiced_at, written_off_at) = 2 and num_nonnulls(paid_at, voided_at) = 0
      when 'voided' then voided_at is not null and num_nonnulls(paid_at, written_off_at) = 0
    end
  ),
  constraint every_step_names_its_operator check (
    (invoiced_at is null) = (invoiced_by is null)
    and (paid_at is null) = (paid_by is null)
    and (voided_at is null) = (voided_by is null)
    and (written_off_at is null) = (written_off_by is null)
  ),
  constraint an_invoice_has_a_number_and_a_due_date check (num_nonnulls(invoiced_at, number, due_on) in (0, 3)),
  constraint a_total_of_zero_is_not_invoiced check (invoiced_at is null or total_cents <> 0),
  constraint only_a_positive_total_is_written_off check (status <> 'written_off' or total_cents > 0),
  constraint a_write_off_has_a_reason check ((write_off_reason is null) = (written_off_at is null)),
  constraint write_off_reason_has_at_most_4_kib check (octet_length(write_off_reason) <= 4096),
  constraint a_beneficiary_uses_a_number_once unique (beneficiary_id, number),
  constraint only_a_voided_settlement_has_a_reason check (void_reason is null or status = 'voided'),
  constraint void_reason_has_at_most_4_kib check (octet_length(void_reason) <= 4096),
  -- referenced by fee_events, so that a settlement contains only fee events of its beneficiary and currency
  constraint settlements_id_beneficiary_currency_key unique (id, beneficiary_id, currency)
);

comment on table public.settlements is
  'What a beneficiary is owed for a period. Created by settle_fees; moved by invoice_settlement, pay_settlement, '
  'write_off_settlement and void_settlement. Never deleted; no money is moved.';
comment on column public.settlements.period_from is
  'The first day of the period, in the time zone of private.settings.';
comment on column public.settlements.period_to is 'The day after the last day of the period.';
comment on column public.settlements.total_cents is
  'In the currency''s minor unit: the sum of its fee events, negative if more was reversed than charged. A voided '
  'settlement keeps its total and its lines (settlement_lines), although its fee events are released.';
comment on column public.settlements.number is
  'The number of the invoice, without gaps for each beneficiary and year (private.settings.invoice_number); kept if '
  'it is voided.';
comment on column public.settlements.due_on is
  'The last day on which it is paid in time: private.settings.payment_days after the day of the invoice.';
comment on column public.settlements.created_by is
  'Who created it (private.operator_name); the other columns named like it say who made the later steps.';

create index settlements_beneficiary_id_idx on public.settlements (beneficiary_id);

-- no planner statistics, see 10_core/privileges.sql
alter table public.settlements
  alter column void_reason set statistics 0,
  alter column write_off_reason set statistics 0,
  alter column number set statistics 0,
  alter column created_by set statistics 0,
  alter column invoiced_by set statistics 0,
  alter column paid_by set statistics 0,
  alter column voided_by set statistics 0,
  alter column written_off_by set statistics 0;

alter table public.settlements enable row level security;

grant select on public.settlements to service_role, authenticated;

create policy "beneficiaries see their settlements"
  on public.settlements
  for select
  to authenticated
  using (
    beneficiary_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.settlements
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_settlements__refuse
before delete or truncate on public.settlements
for each statement execute function private.tg_append_only__refuse();

-- sql/65_fees/tables/fee_events.sql
create table public.fee_events (
  id             uuid         primary key default private.new_uuid(),
  fee_id         text         collate "C" not null references public.fees (id) on delete restrict,
  subject_type   text         collate "C" not null,
  subject_id     text         collate "C" not null,
  base_cents     bigint,
  rate           numeric,
  fixed_cents    bigint,
  unrounded      numeric,
  bound          text,
  amount_cents   bigint       not null,
  currency       text         collate "C" not null,
  beneficiary_id uuid         not null references public.thinkers (id) on delete restrict,
  reverses       uuid         unique references public.fee_events (id) on delete restrict,
  settlement_id  uuid,
  created_at     timestamptz  not null default now(),
  reason         text,
  payer_id       uuid         references public.thinkers (id) on delete restrict,
  adjusts        uuid         references public.fee_events (id) on delete restrict,
  operator       text,

  constraint subject_type_is_chargeable check (subject_type in ('voucher_booking', 'transfer', 'mortgage_contract')),
  constraint subject_id_is_not_empty check (subject_id <> ''),
  constraint fee_event_currency_is_upper_case check (currency = upper(currency) and currency ~ '^\S{1,32}$'),
  constraint times_are_in_the_calendar
    check (created_at >= '0001-01-01 00:00:00+00' and created_at < '10000-01-01 00:00:00+00'),
  constraint it_is_a_charge_a_reversal_or_an_adjustment check (num_nonnulls(reverses, adjusts) <= 1),
  constraint a_charge_is_explained_and_a_correction_names_it check (
    num_nonnulls(base_cents, rate, fixed_cents, unrounded)
    = case num_nonnulls(reverses, adjusts) when 0 then 4 else 0 end
  ),
  constraint a_charge_is_not_negative_and_a_reversal_not_positive check (
    case
      when adjusts is not null then amount_cents <> 0
      when reverses is not null then amount_cents <= 0
      else amount_cents >= 0
    end
  ),
  constraint rate_is_a_fraction check (rate between 0 and 1),
  constraint rate_has_at_most_four_decimals check (min_scale(rate) <= 4),
  constraint the_unrounded_amount_follows_from_its_parts check (unrounded = base_cents * rate + fixed_cents),
  constraint the_amount_is_rounded_once check (bound is not null or amount_cents = round(unrounded)),
  constraint bound_is_valid check (bound in ('minimum', 'maximum')),
  constraint only_a_charge_is_bounded check (bound is null or num_nonnulls(reverses, adjusts) = 0),
  constraint only_a_correction_has_a_reason check (reason is null or num_nonnulls(reverses, adjusts) = 1),
  constraint an_adjustment_has_a_reason check (adjusts is null or reason is not null),
  constraint a_reason_has_an_operator check ((reason is null) = (operator is null)),
  constraint reason_has_at_most_4_kib check (octet_length(reason) <= 4096),
  constraint a_settlement_is_for_one_beneficiary_in_one_currency
    foreign key (settlement_id, beneficiary_id, currency)
    references public.settlements (id, beneficiary_id, currency) on delete restrict
    -- a beneficiary that is erased becomes a pseudonym in both (private.erase_thinker)
    on update cascade
);

comment on table public.fee_events is
  'Charges, reversals and adjustments of charges, with the explanation of each amount. Written by triggers, '
  'reverse_fee and adjust_fee; only the link to the settlement ever changes.';
comment on column public.fee_events.subject_type is
  'What was charged for: voucher_booking, transfer, mortgage_contract.';
comment on column public.fee_events.base_cents is
  'The amount to which the percentage applies, in the currency''s minor unit.';
comment on column public.fee_events.rate is 'The percentage as a fraction: 0.02 is 2 percent.';
comment on column public.fee_events.fixed_cents is 'The fixed part, in the currency''s minor unit.';
comment on column public.fee_events.unrounded is 'Exactly base_cents * rate + fixed_cents.';
comment on column public.fee_events.bound is 'The bound of the fee that applied: minimum, maximum, or null.';
comment on column public.fee_events.amount_cents is
  'In the currency''s minor unit: unrounded, rounded half away from zero, or the bound that applied; for a reversal '
  'negative: what was left of the charge. An adjustment is negative for a credit, positive for a further charge.';
comment on column public.fee_events.beneficiary_id is
  'The thinker who is owed the amount: the fee''s beneficiary at the time of the charge.';
comment on column public.fee_events.reverses is 'The charge that this row reverses.';
comment on column public.fee_events.adjusts is 'The charge of which this row credits a part, or to which it adds.';
comment on column public.fee_events.payer_id is
  'The thinker who owes the amount (fees.payer at the time of the charge); null if unknown.';
comment on column public.fee_events.reason is
  'Why an operator corrected the charge; null for a charge, and for the reversal of a cancelled booking.';
comment on column public.fee_events.operator is 'The operator who corrected the charge (private.operator_name).';
comment on column public.fee_events.settlement_id is
  'The settlement that contains it; null if it is due, also after its settlement was voided.';

-- even if a trigger runs twice; a charge has at most one reversal, too
create unique index one_charge_a_fee_and_subject
  on public.fee_events (subject_type, subject_id, fee_id, currency)
  where reverses is null and adjusts is null;
create index fee_events_adjusts_idx on public.fee_events (adjusts) where adjusts is not null;
create index fee_events_payer_id_idx on public.fee_events (payer_id, created_at);
create index fee_events_fee_id_idx on public.fee_events (fee_id);
create index fee_events_beneficiary_id_idx on public.fee_events (beneficiary_id, created_at);
create index fee_events_settlement_id_idx on public.fee_events (settlement_id);
create index fee_events_created_at_idx on public.fee_events (created_at);
create index fee_events_unsettled_idx on public.fee_events (created_at) where settlement_id is null;

-- no planner statistics, see 10_core/privileges.sql
alter table public.fee_events
  alter column subject_id set statistics 0,
  alter column bound set statistics 0,
  alter column reason set statistics 0,
  alter column operator set statistics 0;

alter table public.fee_events enable row level security;

grant select on public.fee_events to service_role, authenticated;

create policy "parties and beneficiaries see the charges"
  on public.fee_events
  for select
  to authenticated
  using (
    (subject_type = 'voucher_booking' and subject_id in (select private.my_bookings()))
    or (subject_type = 'transfer' and subject_id in (select private.my_transfers()))
    or (
      subject_type = 'mortgage_contract'
      and subject_id in (
        select c.id from public.mortgage_contracts c where c.offer_id in (select private.my_offers())
      )
    )
    or beneficiary_id = (select auth.uid())
    or payer_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.fee_events
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

-- every column except settlement_id
create trigger tg_fee_events__refuse
before delete or truncate or update of
  id, fee_id, subject_type, subject_id, amount_cents, currency, created_at, beneficiary_id, base_cents, rate,
  fixed_cents, unrounded, bound, reverses, reason, payer_id, adjusts, operator
on public.fee_events
for each statement execute function private.tg_append_only__refuse();

-- sql/65_fees/tables/fee_versions.sql
create table public.fee_versions (
  id             uuid         primary key default private.new_uuid(),
  fee_id         text         collate "C" not null references public.fees (id) on delete restrict,
  scope          text         not null,
  percentage     numeric      not null,
  fixed_amount   bigint       not null,
  min_cents      bigint,
  max_cents      bigint,
  currency       text         collate "C",
  active         boolean      not null,
  beneficiary_id uuid         not null references public.thinkers (id) on delete restrict,
  valid_from     timestamptz  not null default clock_timestamp(),
  reversed_after_start boolean not null default false,
  payer          text,
  changed_by     text         not null default private.operator_name(),

  constraint percentage_is_a_fraction check (percentage between 0 and 1),
  constraint percentage_has_at_most_four_decimals check (min_scale(percentage) <= 4)
);

comment on table public.fee_versions is
  'Every version of every fee, written by a trigger with each change, so that each charge can be traced to its rule.';
comment on column public.fee_versions.fixed_amount is
  'In the minor unit (cents) of the version''s currency, like min_cents and max_cents.';
comment on column public.fee_versions.valid_from is
  'When the change was made; the version applies until the next version of the fee.';

comment on column public.fee_versions.changed_by is 'Who made the change (private.operator_name).';

create index fee_versions_fee_id_idx on public.fee_versions (fee_id, valid_from);
create index fee_versions_beneficiary_id_idx on public.fee_versions (beneficiary_id);

alter table public.fee_versions enable row level security;

grant select on public.fee_versions to service_role, authenticated;

create policy "the signed-in see what the prices were"
  on public.fee_versions
  for select
  to authenticated
  using (true);

create policy "requests are valid"
  on public.fee_versions
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_fee_versions__refuse
before update or delete or truncate on public.fee_versions
for each statement execute function private.tg_append_only__refuse();

-- the first versions; later ones are written by tg_fees__keep_version
insert into public.fee_versions (
  fee_id, scope, percentage, fixed_amount, min_cents, max_cents, currency, active, beneficiary_id
)
select f.id, f.scope, f.percentage, f.fixed_amount, f.min_cents, f.max_cents, f.currency, f.active, f.beneficiary_id
from public.fees f;

-- sql/65_fees/tables/invoice_numbers.sql
create table private.invoice_numbers (
  beneficiary_id uuid    references public.thinkers (id) on delete restrict,
  year           integer,
  last           bigint  not null,

  primary key (beneficiary_id, year),
  constraint numbers_begin_with_1 check (last >= 1)
);

comment on table private.invoice_numbers is
  'The last invoice number of each beneficiary and year. A row, not a sequence, because a transaction that is rolled '
  'back must give its number back.';

alter table private.invoice_numbers enable row level security;

-- sql/65_fees/tables/settlement_lines.sql
create table public.settlement_lines (
  settlement_id uuid references public.settlements (id) on delete restrict,
  fee_event_id  uuid references public.fee_events (id) on delete restrict,
  month         date not null,

  primary key (settlement_id, fee_event_id)
);

comment on table public.settlement_lines is
  'The fee events of each settlement, written with it. Stay if the settlement is voided, and its fee events are '
  'settled anew.';
comment on column public.settlement_lines.month is
  'The first day of the month to which the fee event belongs, in the time zone of private.settings: the month of the '
  'charge, also for its corrections. The settlement may be of a later month, because an invoiced month is closed.';

create index settlement_lines_fee_event_id_idx on public.settlement_lines (fee_event_id);

alter table public.settlement_lines enable row level security;

grant select on public.settlement_lines to service_role, authenticated;

create policy "payers see their lines, beneficiaries all of a settlement"
  on public.settlement_lines
  for select
  to authenticated
  using (
    settlement_id in (select s.id from public.settlements s where s.beneficiary_id = (select auth.uid()))
    or fee_event_id in (select private.my_charges())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.settlement_lines
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_settlement_lines__refuse
before update or delete or truncate on public.settlement_lines
for each statement execute function private.tg_append_only__refuse();

-- sql/65_fees/tables/settlement_payments.sql
create table public.settlement_payments (
  id            uuid        primary key default private.new_uuid(),
  settlement_id uuid        not null references public.settlements (id) on delete restrict,
  payer_id      uuid        references public.thinkers (id) on delete restrict,
  amount_cents  bigint      not null,
  paid_on       date        not null,
  reference     text,
  recorded_by   text        not null default private.operator_name(),
  created_at    timestamptz not null default now(),

  constraint payment_is_not_zero check (amount_cents <> 0),
  constraint paid_on_is_in_the_calendar check (paid_on between '0001-01-01' and '9999-12-31'),
  constraint reference_has_at_most_1000_characters check (char_length(reference) <= 1000),
  constraint times_are_in_the_calendar check (private.in_calendar(created_at))
);

comment on table public.settlement_payments is
  'The payments of invoiced settlements, in whole or in parts, as pay_settlement recorded them, and what credit notes '
  'pay (private.take_off_credits); no money is moved.';
comment on column public.settlement_payments.payer_id is
  'Whose debt it pays; null: the oldest debts of the settlement first.';
comment on column public.settlement_payments.amount_cents is
  'In the minor unit of the settlement''s currency; negative for what a credit note pays of an invoice.';
comment on column public.settlement_payments.paid_on is 'The day of the payment; created_at is when it was recorded.';
comment on column public.settlement_payments.reference is 'The operator''s reference, such as a bank''s.';

create index settlement_payments_settlement_id_idx on public.settlement_payments (settlement_id);
create index settlement_payments_payer_id_idx on public.settlement_payments (payer_id);

-- no planner statistics, see 10_core/privileges.sql
alter table public.settlement_payments
  alter column reference set statistics 0,
  alter column recorded_by set statistics 0;

alter table public.settlement_payments enable row level security;

grant select on public.settlement_payments to service_role, authenticated;

create policy "payers and beneficiaries see their payments"
  on public.settlement_payments
  for select
  to authenticated
  using (
    settlement_id in (select s.id from public.settlements s where s.beneficiary_id = (select auth.uid()))
    or payer_id = (select auth.uid())
    or (select private.may_act_as('admin'))
  );

create policy "requests are valid"
  on public.settlement_payments
  as restrictive
  for select
  to anon, authenticated
  using ((select private.is_valid_request()));

create trigger tg_settlement_payments__refuse
before update or delete or truncate on public.settlement_payments
for each statement execute function private.tg_append_only__refuse();

-- sql/65_fees/tables/turns.sql
create table private.turns (
  id   uuid   primary key,
  turn bigint not null
);

comment on table private.turns is
  'How often each charge was corrected, and each settlement paid, voided or written off. Two transactions that do so '
  'to the same one wait for each other here (private.take_turn).';
comment on column private.turns.id is 'The id of the charge or of the settlement.';

alter table private.turns enable row level security;

-- sql/65_fees/views/statement_lines.sql
create view private.statement_lines
with (security_invoker = true)
as
select
  e.id, l.settlement_id, l.month, e.created_at, e.fee_id, e.subject_type, e.subject_id, b.slot_start,
  e.beneficiary_id, e.payer_id, p.public_id as payer_uid, e.base_cents, e.rate, e.fixed_cents,
  -- as text, because most JSON parsers read numbers as doubles, which have fewer digits
  trim_scale(e.unrounded)::text as unrounded,
  e.bound, e.amount_cents, e.currency, e.reverses, e.adjusts, e.reason, e.operator,
  corrected.id as corrects_settlement_id, corrected.number as corrects_number,
  reversing.id as reversed_by_settlement_id, reversing.number as reversed_by_number
from public.settlement_lines l
join public.fee_events e on e.id = l.fee_event_id
left join public.thinkers p on p.id = e.payer_id
left join public.voucher_bookings b on e.subject_type = 'voucher_booking' and b.id = e.subject_id
left join public.fee_events charge on charge.id = coalesce(e.reverses, e.adjusts)
left join public.settlements corrected on corrected.id = charge.settlement_id
left join public.fee_events reversal on reversal.reverses = e.id
left join public.settlements reversing on reversing.id = reversal.settlement_id;

comment on view private.statement_lines is
  'The lines of settlements with everything that explains them. month: the month to which a line belongs. '
  'corrects_*: the settlement of the charge that a reversal or adjustment corrects. reversed_by_*: the settlement of '
  'the reversal of a charge. Null while those are in no settlement.';

-- sql/65_fees/views/unsettled_fee_events.sql
create view private.unsettled_fee_events
with (security_invoker = true)
as
select
  e.id, e.beneficiary_id, e.payer_id, e.currency, e.amount_cents, e.reverses, e.adjusts,
  coalesce(case when o.settlement_id is null then o.created_at end, e.created_at) as counts_at, c.closed_until
from public.fee_events e
-- by its key alone: after a settlement the statistics expect no event without one, and each would be compared with each
left join public.fee_events o on o.id = coalesce(e.reverses, e.adjusts)
left join (
  select
    s.beneficiary_id, s.currency,
    -- a period that was not over when it was invoiced is closed until that day
    max(least(s.period_to, (s.invoiced_at at time zone z.time_zone)::date)) as closed_until
  from public.settlements s
  cross join private.settings z
  where s.invoiced_at is not null and s.status <> 'voided'
  group by s.beneficiary_id, s.currency
) c on (c.beneficiary_id, c.currency) = (e.beneficiary_id, e.currency)
where e.settlement_id is null;

comment on view private.unsettled_fee_events is
  'The fee events in no settlement. counts_at: when it was written; what corrects a charge that is in no settlement '
  'either counts with it, so that nobody owes what was given back before it was settled. closed_until: the day '
  'before which everything is invoiced for the beneficiary in the currency, or null. An earlier fee event counts in '
  'the first settlement of a later period.';

-- sql/65_fees/functions/adjust_fee.sql
create function public.adjust_fee(
  fee_event_id    uuid,
  amount_cents    bigint,
  reason          text,
  idempotency_key text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  request    jsonb := jsonb_build_array(
    'adjust_fee', adjust_fee.fee_event_id, adjust_fee.amount_cents, adjust_fee.reason
  );
  response   jsonb := private.replay_response(adjust_fee.idempotency_key, request);
  charged    public.fee_events;
  remainder  numeric;
  adjustment public.fee_events;
begin
  if response is not null then
    return response;
  end if;

  perform private.require_admin();
  if btrim(coalesce(adjust_fee.reason, '')) = '' then
    raise sqlstate 'PT400' using message = 'reason_required';
  end if;

  perform private.take_turn(adjust_fee.fee_event_id);
  select * into charged
  from public.fee_events e
  where e.id = adjust_fee.fee_event_id and e.reverses is null and e.adjusts is null;
  if not found then
    raise sqlstate 'PT404' using message = 'fee_event_not_found';
  end if;
  if exists (select from public.fee_events e where e.reverses = charged.id) then
    raise sqlstate 'PT409' using message = 'fee_already_reversed';
  end if;
  remainder := private.fee_remainder(charged);
  if coalesce(adjust_fee.amount_cents, -remainder) = 0
    or remainder + adjust_fee.amount_cents not between 0 and 9007199254740991
  then
    raise sqlstate 'PT409' using message = 'adjustment_refused', detail = remainder::text;
  end if;

  insert into public.fee_events (
    fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, payer_id, adjusts, reason
  )
  values (
    charged.fee_id, charged.subject_type, charged.subject_id, coalesce(adjust_fee.amount_cents, -remainder),
    charged.currency, charged.beneficiary_id, charged.payer_id, charged.id, adjust_fee.reason
  )
  returning * into adjustment;

  return private.store_response(adjust_fee.idempotency_key, request, to_jsonb(adjustment));
end;
$$;

comment on function public.adjust_fee is
  'Credits a part of a charge (amount_cents negative), charges more (positive), or waives what is left of it (null), '
  'in the minor unit of the charge''s currency: a new fee event with the reason and the operator, due in the next '
  'settlement. Returns the new fee event. A repeated call with the same idempotency_key returns the stored response '
  '(private.replay_response); without one it counts again. adjustment_refused, with what is left as detail, if '
  'nothing would change or less than zero would be left. '
  'Raises: idempotency_key_invalid, query_too_large, reason_required (400); session_ended (401); not_an_admin (403); '
  'fee_event_not_found (404); adjustment_refused, fee_already_reversed, request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.adjust_fee to authenticated, service_role;

-- sql/65_fees/functions/charge.sql
create function private.charge(
  scope        text,
  subject_type text,
  subject_id   text,
  base         bigint,
  currency     text,
  payer        uuid,
  parties      jsonb       default '{}',
  made_at      timestamptz default null
)
returns void
language plpgsql -- caches the plan for the next call
volatile
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  fee public.fees;
begin
  foreach fee in array case
    when charge.made_at is null then
      array(select f from public.fees f where f.active and f.scope = charge.scope)
    else
      array(select f from private.fees_at(charge.made_at) f where f.active and f.scope = charge.scope)
  end
  loop
    insert into public.fee_events (
      fee_id, subject_type, subject_id, amount_cents, currency, beneficiary_id, payer_id, base_cents, rate, fixed_cents,
      unrounded, bound, created_at
    )
    select
      fee.id, charge.subject_type, charge.subject_id, c.amount_cents, c.currency, fee.beneficiary_id,
      coalesce((charge.parties ->> fee.payer)::uuid, charge.payer), c.base_cents, c.rate, c.fixed_cents, c.unrounded,
      c.bound, coalesce(charge.made_at, now())
    from private.compute_fee(fee, coalesce(charge.base, 0), private.currency_code(charge.currency)) c;
  end loop;
end;
$$;

comment on function private.charge is
  'Charges every active fee of a scope for a subject worth base in the currency''s minor unit (null counts as 0). The '
  'payer owes it, unless the fee names another of the parties, such as {"holder": id}. With made_at by the fees of '
  'that time, as of it (private.import_charges). Called by triggers.';

-- sql/65_fees/functions/check_settlement_totals.sql
create function private.check_settlement_totals(settlements uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  wrong uuid;
begin
  -- concurrent changes of a settlement's fee events wait here, and then see each other's result
  perform
  from public.settlements s
  where s.id = any (check_settlement_totals.settlements)
  order by s.id
  for no key update;

  select s.id into wrong
  from public.settlements s
  left join (
    select
      l.settlement_id,
      sum(e.amount_cents) as total,
      count(*) filter (where e.settlement_id = l.settlement_id) as linked,
      count(*) as lines
    from public.settlement_lines l
    join public.fee_events e on e.id = l.fee_event_id
    where l.settlement_id = any (check_settlement_totals.settlements)
    group by l.settlement_id
  ) l on l.settlement_id = s.id
  where s.id = any (check_settlement_totals.settlements)
    and (
      s.total_cents <> coalesce(l.total, 0)
      or l.linked <> case s.status when 'voided' then 0 else l.lines end
    )
  limit 1;

  if found then
    raise check_violation using
      constraint = 'total_is_the_sum_of_its_fee_events',
      message = format('settlement %s violates constraint "total_is_the_sum_of_its_fee_events"', wrong);
  end if;
end;
$$;

comment on function private.check_settlement_totals is
  'Raises check_violation unless the total of each of these settlements equals the sum of its lines, and each line''s '
  'fee event is linked to it; those of a voided settlement must be released.';

-- sql/65_fees/functions/compute_fee.sql
create function private.compute_fee(fee public.fees, base bigint, base_currency text)
returns table (
  amount_cents bigint,
  currency     text,
  base_cents   bigint,
  rate         numeric,
  fixed_cents  bigint,
  unrounded    numeric,
  bound        text
)
language plpgsql -- caches the plan for the next call
immutable
set search_path = ''
as $$
#variable_conflict use_column
begin
  if compute_fee.base = 0 or fee.currency is null or fee.currency = compute_fee.base_currency then
    -- everything in one currency; also if base is 0, whose currency does not matter
    currency := coalesce(fee.currency, compute_fee.base_currency);
    base_cents := compute_fee.base;
    rate := trim_scale(fee.percentage);
    fixed_cents := fee.fixed_amount;
    unrounded := base_cents * rate + fixed_cents;
    bound := case when unrounded < fee.min_cents then 'minimum' when unrounded > fee.max_cents then 'maximum' end;
    amount_cents := case bound
      when 'minimum' then fee.min_cents
      when 'maximum' then fee.max_cents
      else round(unrounded)::bigint
    end;
    -- no row for a charge of zero
    if unrounded > 0 or bound is not null then
      return next;
    end if;
    return;
  end if;

  -- each part in its own currency, without bounds, because there is no exchange rate
  return query
  select round(p.sum)::bigint, p.currency, p.base, p.rate, p.fixed, p.sum, null::text
  from (
    select part.*, part.base * part.rate + part.fixed as sum
    from (
      values
        (compute_fee.base_currency, compute_fee.base, trim_scale(fee.percentage), 0),
        (fee.currency, 0, 0, fee.fixed_amount)
    ) part (currency, base, rate, fixed)
    where fee.currency <> compute_fee.base_currency
  ) p
  where p.sum > 0;
end;
$$;

comment on function private.compute_fee is
  'Computes what a fee charges for a subject worth base (not negative) in the minor unit of base_currency: percentage '
  'plus fixed part, rounded once, half away from zero, within the fee''s bounds. If base_currency differs from the '
  'fee''s currency, the percentage and the fixed part are two charges, each in its own currency, without bounds. '
  'Returns no row for a charge of zero.';

-- sql/65_fees/functions/currency_code.sql
create function private.currency_code(currency text)
returns text
language sql
immutable
strict
set search_path = ''
as $$
  select coalesce(nullif(left(upper(regexp_replace(currency collate "C", '\s', '', 'g')), 32), ''), 'XXX')
$$;

comment on function private.currency_code is
  'A currency as fees use it: upper case, without whitespace; XXX (ISO 4217: no currency) if nothing is left.';

-- sql/65_fees/functions/due_fee_events.sql
create function private.due_fee_events(period_to date)
returns table (
    id uuid, beneficiary_id uuid, currency text, amount_cents bigint, reverses uuid, adjusts uuid, part text
)
language sql
stable
rows 100000
set search_path = ''
as $$
  with due as (
    select
      u.id, u.beneficiary_id, u.currency, u.amount_cents, u.reverses, u.adjusts, u.payer_id,
      sum(u.amount_cents) over payer < 0 as is_credit,
      case when sum(abs(u.amount_cents)) over payer >= 4e18 then coalesce(u.payer_id::text, '') end as large_payer
    from private.unsettled_fee_events u
    cross join private.settings s
    where u.counts_at < due_fee_events.period_to::timestamp at time zone s.time_zone
      and coalesce(u.closed_until < due_fee_events.period_to, true)
      and u.id not in (select private.waiting_credits())
    window payer as (partition by u.beneficiary_id, u.currency, u.payer_id)
  ),
  numbered as (
    select
      d.*,
      -- all fee events of a payer are peers, and stay together, but for those of a large payer
      div(
        sum(abs(d.amount_cents)) over (
          partition by d.beneficiary_id, d.currency, d.is_credit, d.large_payer
          -- a charge and what takes it back are in one part
          order by d.payer_id, case when d.large_payer is not null then coalesce(d.reverses, d.adjusts, d.id) end
        ),
        4e18
      ) as number
    from due d
    cross join private.settings s
    where not d.is_credit or not s.carries_negative_totals
  )
  select
    n.id, n.beneficiary_id, n.currency, n.amount_cents, n.reverses, n.adjusts,
    case when n.is_credit or n.large_payer is not null or n.number > 0
      then concat_ws(' ', n.is_credit, n.number, n.large_payer)
      else ''
    end
  from numbered n
$$;

comment on function private.due_fee_events is
  'The fee events that are in no settlement and count before the day period_to, in the time zone of '
  'private.settings (private.unsettled_fee_events). Without those of a beneficiary and currency for which a period up '
  'to that day is invoiced: they count in a later one. Without the credits of an invoice that is not paid '
  '(private.waiting_credits), and without those of a payer whose sum, for a beneficiary and currency, is negative, as '
  'private.settings.carries_negative_totals says: the credit of one payer must not pay the debt of another, nor keep '
  'it from being settled. part names the settlements of a beneficiary and currency: usually it is empty. Credits that '
  'are not carried are apart from charges, and where a sum may exceed a bigint there are several parts, so that the '
  'extreme amounts of one payer do not block the others.';

-- sql/65_fees/functions/due_months.sql
create function private.due_months()
returns setof date
language sql
stable
set search_path = ''
as $$
  select distinct m.month
  from (
    select
      u.month,
      sum(sum(u.amount_cents)) over (
        partition by u.beneficiary_id, u.currency, u.payer_id
        order by u.month
      ) as total
    from (
      select
        e.beneficiary_id, e.currency, e.payer_id, e.amount_cents,
        date_trunc('month', greatest((e.counts_at at time zone s.time_zone)::date, e.closed_until))::date as month
      from private.unsettled_fee_events e
      cross join private.settings s
      where e.id not in (select private.waiting_credits())
    ) u
    group by u.beneficiary_id, u.currency, u.payer_id, u.month
  ) m
  cross join private.settings s
  where m.month < date_trunc('month', now() at time zone s.time_zone)
    and (m.total >= 0 or not s.carries_negative_totals)
  order by m.month
$$;

comment on function private.due_months is
  'The first days of the past months for which a settlement can be made, oldest first: the last month, and earlier '
  'months that were missed, voided, or got a fee event after they were settled. What was written for a month that is '
  'invoiced counts in the first month after it; the negative sum of a payer waits '
  '(private.settings.carries_negative_totals). In the time zone of private.settings.';

-- sql/65_fees/functions/fee_remainder.sql
create function private.fee_remainder(charge public.fee_events)
returns numeric
language sql
stable
set search_path = ''
as $$
  select charge.amount_cents + coalesce(sum(e.amount_cents), 0)
  from public.fee_events e
  -- not `in (e.reverses, e.adjusts)`, which cannot use their indexes
  where e.reverses = charge.id or e.adjusts = charge.id
$$;

comment on function private.fee_remainder is
  'What adjustments and the reversal left of a charge, in the minor unit of its currency.';

-- sql/65_fees/functions/fees_at.sql
create function private.fees_at(moment timestamptz)
returns setof public.fees
language plpgsql -- caches the plan for the next call
stable
set search_path = ''
as $$
begin
  return query
  select
    f.id, v.scope, v.percentage, v.fixed_amount, v.min_cents, v.max_cents, v.currency, v.active, v.beneficiary_id,
    f.meta, v.reversed_after_start, v.payer
  from public.fees f
  cross join lateral (
    select v.*
    from public.fee_versions v
    where v.fee_id = f.id
    order by v.valid_from > fees_at.moment,
      case when v.valid_from <= fees_at.moment then v.valid_from end desc, v.valid_from, v.id
    limit 1
  ) v;
end;
$$;

comment on function private.fees_at is
  'The fees as they were at that time; as they were first, for a time before they existed.';

-- sql/65_fees/functions/get_balance.sql
create function public.get_balance(as_of date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  zone     text;
  day      date;
  day_ends timestamptz;
  balance  jsonb;
begin
  perform private.require_admin();
  select s.time_zone, coalesce(get_balance.as_of, (now() at time zone s.time_zone)::date) into zone, day
  from private.settings s;
  if day not between '0001-01-01' and '9999-12-30' then
    raise sqlstate 'PT400' using message = 'days_invalid';
  end if;
  day_ends := (day + 1)::timestamp at time zone zone;

  with settlements as (
    select
      s.*, coalesce(s.invoiced_at < day_ends, false) as is_invoiced,
      coalesce(s.written_off_at < day_ends, false) as is_written_off,
      coalesce(
        (
          select sum(p.amount_cents)
          from public.settlement_payments p
          -- a payment before the invoice counts from the invoice on
          where p.settlement_id = s.id and greatest(p.paid_on, (s.invoiced_at at time zone zone)::date) <= day
        ),
        0
      ) as paid
    from public.settlements s
    where s.created_at < day_ends and (s.voided_at is null or s.voided_at >= day_ends)
  ),
  amounts as (
    select s.beneficiary_id, s.currency, 'open' as state, s.total_cents::numeric as cents
    from settlements s
    where not s.is_invoiced
    union all
    select s.beneficiary_id, s.currency, case when s.is_written_off then 'written_off' else 'invoiced' end,
      s.total_cents - s.paid
    from settlements s
    where s.is_invoiced
    union all
    select s.beneficiary_id, s.currency, 'paid', s.paid
    from settlements s
    where s.is_invoiced
    union all
    select e.beneficiary_id, e.currency, 'unsettled', e.amount_cents
    from public.fee_events e
    where e.created_at < day_ends and not exists (
      select from public.settlement_lines l
      join settlements s on s.id = l.settlement_id
      where l.fee_event_id = e.id
    )
    union all
    select e.beneficiary_id, e.currency, 'total', e.amount_cents
    from public.fee_events e
    where e.created_at < day_ends
  ),
  sums as (
    select
      private.uid_of(a.beneficiary_id) as beneficiary_uid,
      a.currency,
      private.currency_exponent(a.currency) as decimals,
      coalesce(sum(a.cents) filter (where a.state = 'unsettled'), 0) as unsettled_cents,
      coalesce(sum(a.cents) filter (where a.state = 'open'), 0) as open_cents,
      coalesce(sum(a.cents) filter (where a.state = 'invoiced'), 0) as invoiced_cents,
      coalesce(sum(a.cents) filter (where a.state = 'paid'), 0) as paid_cents,
      coalesce(sum(a.cents) filter (where a.state = 'written_off'), 0) as written_off_cents,
      coalesce(sum(a.cents) filter (where a.state = 'total'), 0) as total_cents
    from amounts a
    group by a.beneficiary_id, a.currency
  )
  select jsonb_build_object(
    'as_of', day,
    'items', coalesce(jsonb_agg(to_jsonb(s) order by s.beneficiary_uid collate "C", s.currency), '[]')
  )
  into balance
  from sums s;
  return balance;
end;
$$;

comment on function public.get_balance is
  'The trial balance at the end of a day (as_of, by default today) in the time zone of private.settings: {as_of, '
  'items}; an item for each beneficiary and currency, in its minor unit: unsettled, open, invoiced (what is not '
  'paid), paid and written_off, which add up to total, the sum of all fee events until then. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.get_balance to authenticated, service_role;

-- sql/65_fees/functions/get_settlement.sql
create function public.get_settlement(settlement_id uuid, after uuid default null, max_rows integer default 1000)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set statement_timeout = '10s'
as $$
declare
  settlement public.settlements;
begin
  perform private.require_admin();
  select * into settlement from public.settlements s where s.id = get_settlement.settlement_id;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;
  return private.settlement_statement(settlement, null, get_settlement.after, get_settlement.max_rows);
end;
$$;

comment on function public.get_settlement is
  'One settlement with everything that explains it, and a page of its lines (private.settlement_statement), also of a '
  'voided one. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403); settlement_not_found (404).';

grant execute on function public.get_settlement to service_role, authenticated;

-- sql/65_fees/functions/get_statement.sql
create function public.get_statement(settlement_id uuid, after uuid default null, max_rows integer default 1000)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set statement_timeout = '2s'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  -- admins get larger pages, and more time, by get_settlement
  most       constant integer := least(get_statement.max_rows, 1000);
  settlement public.settlements;
begin
  perform private.is_valid_request();
  select * into settlement from public.settlements s where s.id = get_statement.settlement_id;
  if found and (
    settlement.beneficiary_id = auth.uid() or private.may_act_as('admin') or private.is_operator()
  ) then
    return private.settlement_statement(settlement, null, get_statement.after, most);
  end if;

  if not exists (
    select from private.statement_lines l where l.settlement_id = settlement.id and l.payer_id = auth.uid()
  ) then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;
  return private.settlement_statement(settlement, auth.uid(), get_statement.after, most);
end;
$$;

comment on function public.get_statement is
  'A settlement (private.settlement_statement), with at most 1000 lines in a page. Its beneficiary and admins get the '
  'whole settlement. A payer gets only the own lines and payments, and their sums as total_cents and paid_cents; and '
  'write_off_reason, if a part of the own debt was given up. All others get settlement_not_found. '
  'Raises: query_too_large (400); session_ended (401); settlement_not_found (404).';

grant execute on function public.get_statement to authenticated, service_role;

-- sql/65_fees/functions/invoice_settlement.sql
create function public.invoice_settlement(settlement_id uuid)
returns jsonb
language sql
volatile
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
  select private.move_settlement(invoice_settlement.settlement_id, 'invoiced')
$$;

comment on function public.invoice_settlement is
  'Marks an open settlement as invoiced: it gets a number and a due date, and its month is closed. No money is moved. '
  'Returns the settlement. The trigger raises settlement_move_refused (409), with the current status as detail, for '
  'any other settlement, and nothing_to_invoice (409) for a total of zero. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403); settlement_not_found (404).';

grant execute on function public.invoice_settlement to authenticated, service_role;

-- sql/65_fees/functions/list_fees.sql
create function public.list_fees()
returns jsonb
language sql
stable
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
  select private.require_admin();

  select coalesce(
    jsonb_agg(
      to_jsonb(f) || jsonb_build_object(
        'beneficiary_uid', private.uid_of(f.beneficiary_id),
        'versions', (
          select jsonb_agg(
            to_jsonb(v) || jsonb_build_object('beneficiary_uid', private.uid_of(v.beneficiary_id))
            order by v.valid_from desc, v.id desc
          )
          from public.fee_versions v
          where v.fee_id = f.id
        )
      )
      order by f.id
    ),
    '[]'
  )
  from public.fees f
$$;

comment on function public.list_fees is
  'The fees, each with its versions, newest first; the first version is in force. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.list_fees to service_role, authenticated;

-- sql/65_fees/functions/list_settlements.sql
create function public.list_settlements(
  beneficiary_uid text    default null,
  status          text    default null,
  max_rows        integer default 200,
  after           text    default null
)
returns jsonb[]
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  key  text[] := private.page_key(list_settlements.after);
  page refcursor;
begin
  perform private.require_admin();

  open page for
    select
      private.settlement_json(s) as item,
      array[s.period_from::text, s.created_at::text, s.id::text] as key
    from public.settlements s
    where (
        list_settlements.beneficiary_uid is null
        or s.beneficiary_id = private.thinker_id(list_settlements.beneficiary_uid)
      )
      and (list_settlements.status is null or s.status = list_settlements.status)
      and (s.period_from, s.created_at, s.id)
        < (coalesce(key[1]::date, 'infinity'), coalesce(key[2]::timestamptz, 'infinity'), key[3]::uuid)
    order by s.period_from desc, s.created_at desc, s.id desc
    limit private.page_rows(list_settlements.max_rows) + 1;
  return private.read_page(page, list_settlements.max_rows);
end;
$$;

comment on function public.list_settlements is
  'The settlements that match all given filters, latest period first: a page of max_rows, from 1 to 1000 '
  '(private.read_page). '
  'Raises: query_too_large, value_invalid (400); session_ended (401); not_an_admin (403).';

grant execute on function public.list_settlements to service_role, authenticated;

-- sql/65_fees/functions/move_settlement.sql
create function private.move_settlement(settlement_id uuid, status text, reason text default null)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  settlement public.settlements;
begin
  perform private.require_admin();

  -- the trigger tg_settlements__move enforces the valid transitions
  update public.settlements s
  set
    status = move_settlement.status,
    void_reason = case move_settlement.status when 'voided' then move_settlement.reason end,
    write_off_reason = case move_settlement.status when 'written_off' then move_settlement.reason end
  where s.id = move_settlement.settlement_id
  returning * into settlement;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;

  return private.settlement_json(settlement);
end;
$$;

comment on function private.move_settlement is
  'Changes the status of a settlement; a trigger checks the transition. Returns the settlement. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403); settlement_not_found (404).';

grant execute on function private.move_settlement to authenticated, service_role;

-- sql/65_fees/functions/next_invoice_number.sql
create function private.next_invoice_number(beneficiary uuid, year integer)
returns text
language sql
volatile
set search_path = ''
as $$
  with counted as (
    insert into private.invoice_numbers as n (beneficiary_id, year, last)
    values (next_invoice_number.beneficiary, next_invoice_number.year, 1)
    on conflict (beneficiary_id, year) do update set last = n.last + 1
    returning n.last
  )
  select replace(
    replace(s.invoice_number, '{year}', next_invoice_number.year::text),
    '{number}',
    lpad(c.last::text, greatest(4, length(c.last::text)), '0')
  )
  from counted c
  cross join private.settings s
$$;

comment on function private.next_invoice_number is
  'The next number of a beneficiary in a year, in the pattern of private.settings.invoice_number. Other invoices of '
  'the beneficiary wait for the end of the transaction, so that no number is left out or used twice.';

-- sql/65_fees/functions/pay_settlement.sql
create function public.pay_settlement(
  settlement_id   uuid,
  amount_cents    bigint default null,
  paid_on         date   default null,
  reference       text   default null,
  payer_uid       text   default null,
  idempotency_key text   default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  request    jsonb := jsonb_build_array(
    'pay_settlement', pay_settlement.settlement_id, pay_settlement.amount_cents, pay_settlement.paid_on,
    pay_settlement.reference, pay_settlement.payer_uid
  );
  response   jsonb := private.replay_response(pay_settlement.idempotency_key, request);
  settlement public.settlements;
  today      date;
  payer      uuid := private.thinker_id(pay_settlement.payer_uid);
  remainder  numeric;
begin
  if response is not null then
    return response;
  end if;

  perform private.require_admin();
  select * into settlement from public.settlements s where s.id = pay_settlement.settlement_id for no key update;
  if not found then
    raise sqlstate 'PT404' using message = 'settlement_not_found';
  end if;
  if settlement.status <> 'invoiced' then
    raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = settlement.status;
  end if;
  select (now() at time zone s.time_zone)::date into today from private.settings s;
  if pay_settlement.amount_cents <= 0 or pay_settlement.paid_on not between '0001-01-01' and today
    or char_length(pay_settlement.reference) > 1000
  then
    raise sqlstate 'PT400' using message = 'payment_invalid';
  end if;

  remainder := least(private.settlement_remainder(settlement), private.settlement_remainder(settlement, payer));
  if remainder <= 0 then
    raise sqlstate 'PT409' using message = 'nothing_to_pay';
  end if;

  insert into public.settlement_payments (settlement_id, payer_id, amount_cents, paid_on, reference)
  values (
    settlement.id, payer, coalesce(pay_settlement.amount_cents, remainder), coalesce(pay_settlement.paid_on, today),
    pay_settlement.reference
  );

  -- the trigger of the payment has moved it if it is paid in full
  select * into settlement from public.settlements s where s.id = settlement.id;
  return private.store_response(
    pay_settlement.idempotency_key, request, private.settlement_json(settlement)
  );
end;
$$;

comment on function public.pay_settlement is
  'Records a payment of an invoiced settlement; no money is moved. amount_cents in the minor unit of its currency: by '
  'default what is not paid yet. paid_on: the day, in the time zone of private.settings, by default today. payer_uid: '
  'whose debt it pays; by default the oldest first. With the last part the settlement is paid. Returns the '
  'settlement. A repeated call with the same idempotency_key returns the stored response (private.replay_response); '
  'without one a part counts again. settlement_move_refused (with the current status as detail) for any other '
  'settlement; nothing_to_pay if it, or the payer''s part, is not positive; the trigger raises payment_too_high (409) '
  'for more than that. '
  'Raises: idempotency_key_invalid, payment_invalid, query_too_large (400); session_ended (401); not_an_admin (403); '
  'settlement_not_found (404); nothing_to_pay, request_in_progress, settlement_move_refused (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';

grant execute on function public.pay_settlement to authenticated, service_role;

-- sql/65_fees/functions/reverse_charges.sql
create function private.reverse_charges(booking public.voucher_bookings, made_at timestamptz default now())
returns void
language plpgsql -- caches the plan for the next call
volatile
set search_path = ''
as $$
begin
  insert into public.fee_events (
    fee_id, subject_type, subject_id, currency, beneficiary_id, payer_id, reverses, created_at
  )
  select
    c.fee_id, c.subject_type, c.subject_id, c.currency, c.beneficiary_id, c.payer_id, c.id, reverse_charges.made_at
  from public.fee_events c
  join public.fees f on f.id = c.fee_id
  where c.subject_type = 'voucher_booking' and c.subject_id = booking.id and c.reverses is null and c.adjusts is null
    -- afterwards the appointment may have taken place
    and (booking.cancelled_at < booking.slot_start or f.reversed_after_start)
  on conflict do nothing;
end;
$$;

comment on function private.reverse_charges is
  'Reverses what is left of the charges of a cancelled booking: one new row each, with the same beneficiary and '
  'payer. Of a booking that was cancelled from the start of its slot on only those of fees with reversed_after_start, '
  'for all who cancel; an operator can reverse the others (public.reverse_fee).';

-- sql/65_fees/functions/reverse_fee.sql
create function public.reverse_fee(fee_event_id uuid, reason text)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  charged  public.fee_events;
  reversal public.fee_events;
begin
  perform private.require_admin();
  if btrim(coalesce(reverse_fee.reason, '')) = '' then
    raise sqlstate 'PT400' using message = 'reason_required';
  end if;

  select * into charged
  from public.fee_events e
  where e.id = reverse_fee.fee_event_id and e.reverses is null and e.adjusts is null;
  if not found then
    raise sqlstate 'PT404' using message = 'fee_event_not_found';
  end if;

  insert into public.fee_events (
    fee_id, subject_type, subject_id, currency, beneficiary_id, payer_id, reverses, reason
  )
  values (
    charged.fee_id, charged.subject_type, charged.subject_id, charged.currency, charged.beneficiary_id,
    charged.payer_id, charged.id, reverse_fee.reason
  )
  on conflict do nothing
  returning * into reversal;
  if not found then
    raise sqlstate 'PT409' using message = 'fee_already_reversed';
  end if;

  return to_jsonb(reversal);
end;
$$;

comment on function public.reverse_fee is
  'Gives back what is left of a charge, whatever became of its subject: a new fee event with the reason and the '
  'operator, due in the next settlement. Returns the new fee event. Neither a reversal nor an adjustment is a charge. '
  'Raises: query_too_large, reason_required (400); session_ended (401); not_an_admin (403); fee_event_not_found '
  '(404); fee_already_reversed (409).';

grant execute on function public.reverse_fee to authenticated, service_role;

-- sql/65_fees/functions/settle_due_months.sql
create function private.settle_due_months()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  month date;
  made  bigint := 0;
begin
  for month in select m from private.due_months() as m loop
    made := made + jsonb_array_length(public.settle_fees(month, (month + interval '1 month')::date));
  end loop;
  return made;
end;
$$;

comment on function private.settle_due_months is
  'Settles every due month (private.due_months) separately, oldest first. Returns the number of settlements created. '
  'Raises: period_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

-- sql/65_fees/functions/settle_fees.sql
create function public.settle_fees(period_from date, period_to date, dry_run boolean default false)
returns jsonb
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  settlements jsonb;
begin
  perform private.require_admin();
  -- within the years that clients can parse; not null or infinite
  if not coalesce(
    settle_fees.period_from >= '0001-01-01' and settle_fees.period_from < settle_fees.period_to
    and settle_fees.period_to < '10000-01-01',
    false
  ) then
    raise sqlstate 'PT400' using message = 'period_invalid';
  end if;

  if coalesce(settle_fees.dry_run, false) then
    select coalesce(jsonb_agg(to_jsonb(due) order by due.beneficiary_uid collate "C", due.currency), '[]')
    into settlements
    from (
      select
        null::uuid as id, e.beneficiary_id, private.uid_of(e.beneficiary_id) as beneficiary_uid,
        settle_fees.period_from, settle_fees.period_to, e.currency, sum(e.amount_cents) as total_cents,
        count(*) as fee_events, count(e.reverses) as reversals, count(e.adjusts) as adjustments
      from private.due_fee_events(settle_fees.period_to) e
      group by e.beneficiary_id, e.currency, e.part
    ) due;
    return settlements;
  end if;

  -- one settlement run at a time; bookings continue, because they do not use this table
  lock table public.settlements in share row exclusive mode;

  -- one statement, so that a settlement is exactly the sum of the fee events linked to it. Fee events that are
  -- committed later are left for the next run
  with due as materialized (
    select * from private.due_fee_events(settle_fees.period_to)
  ),
  new as materialized (
    select private.new_uuid() as id, d.beneficiary_id, d.currency, d.part
    from due d
    group by d.beneficiary_id, d.currency, d.part
  ),
  linked as (
    update public.fee_events e
    set settlement_id = n.id
    from due d
    join new n on (n.beneficiary_id, n.currency, n.part) = (d.beneficiary_id, d.currency, d.part)
    where e.id = d.id and e.settlement_id is null
    returning e.settlement_id, e.beneficiary_id, e.currency, e.amount_cents, e.reverses, e.adjusts
  ),
  sums as (
    select
      l.settlement_id as id, l.beneficiary_id, l.currency,
      sum(l.amount_cents) as total_cents, count(*) as fee_events, count(l.reverses) as reversals,
      count(l.adjusts) as adjustments
    from linked l
    group by l.settlement_id, l.beneficiary_id, l.currency
  ),
  made as (
    insert into public.settlements (id, beneficiary_id, period_from, period_to, total_cents, currency)
    select s.id, s.beneficiary_id, settle_fees.period_from, settle_fees.period_to, s.total_cents, s.currency
    from sums s
    returning *
  )
  select
    coalesce(
      jsonb_agg(
        private.settlement_json(m::public.settlements)
          || jsonb_build_object('fee_events', s.fee_events, 'reversals', s.reversals, 'adjustments', s.adjustments)
        order by private.uid_of(m.beneficiary_id) collate "C", m.currency
      ),
      '[]'
    )
  into settlements
  from made m
  join sums s on s.id = m.id;

  return settlements;
end;
$$;

comment on function public.settle_fees is
  'Settles every fee event that is in no settlement and was written before the end of the period: from period_from '
  'until (not including) period_to, days in the time zone of private.settings; and what has corrected these fee events '
  'since. Fee events left over from earlier '
  'periods (committed late, period missed or voided) are included; those of an invoiced period count in a later one, '
  'and the negative sum of a payer waits (private.due_fee_events). Creates one settlement per beneficiary and '
  'currency, with its lines, and returns them with their fee_events, reversals and adjustments (counts). With dry_run '
  'creates nothing, and returns what it would create, with id null. Running it twice or concurrently settles nothing '
  'twice. '
  'Raises: period_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.settle_fees to authenticated, service_role;

-- sql/65_fees/functions/settlement_json.sql
create function private.settlement_json(settlement public.settlements)
returns jsonb
language sql
stable
set search_path = ''
as $$
  select to_jsonb(settlement) || jsonb_build_object(
    'beneficiary_uid', private.uid_of(settlement.beneficiary_id),
    'paid_cents', (
      select coalesce(sum(p.amount_cents), 0) from public.settlement_payments p where p.settlement_id = settlement.id
    ),
    'is_overdue', settlement.status = 'invoiced'
      and settlement.due_on < (select (now() at time zone s.time_zone)::date from private.settings s)
  )
$$;

comment on function private.settlement_json is
  'A settlement as the functions return it: its columns, the beneficiary''s uid, the sum of its payments, and whether '
  'it is invoiced and its due date is over.';

-- sql/65_fees/functions/settlement_remainder.sql
create function private.settlement_remainder(settlement public.settlements, payer uuid default null)
returns numeric
language sql
stable
set search_path = ''
as $$
  select
    case
      when settlement_remainder.payer is null then settlement.total_cents
      else (
        select coalesce(sum(e.amount_cents), 0)
        from public.settlement_lines l
        join public.fee_events e on e.id = l.fee_event_id
        where l.settlement_id = settlement.id and e.payer_id = settlement_remainder.payer
      )
    end
    - (
      select coalesce(sum(p.amount_cents), 0)
      from public.settlement_payments p
      where p.settlement_id = settlement.id
        and (settlement_remainder.payer is null or p.payer_id = settlement_remainder.payer)
    )
$$;

comment on function private.settlement_remainder is
  'What is not paid of a settlement, or of the part of one payer (whose payments are those that name the payer), in '
  'the minor unit of its currency.';

-- sql/65_fees/functions/settlement_statement.sql
create function private.settlement_statement(
  settlement public.settlements,
  payer      uuid,
  after      uuid,
  max_rows   integer
)
returns jsonb
language plpgsql
stable
set search_path = ''
-- a payer's lines are few among those of all
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  sums   jsonb;
  parts  jsonb;
  others jsonb;
  page   jsonb;
begin
  -- each line is read once: all sums are those of the payers
  select jsonb_build_object(
    'fee_events', coalesce(sum(p.fee_events), 0),
    'total_cents', coalesce(sum(p.total_cents), 0),
    'charged_cents', coalesce(sum(p.charged_cents), 0),
    'reversed_cents', coalesce(sum(p.reversed_cents), 0),
    'adjusted_cents', coalesce(sum(p.adjusted_cents), 0),
    'payers', coalesce(
      jsonb_agg(
        jsonb_build_object('payer_uid', p.payer_uid, 'fee_events', p.fee_events, 'total_cents', p.total_cents)
        order by p.payer_uid collate "C"
      ),
      '[]'
    )
  )
  into sums
  from (
    select
      private.uid_of(e.payer_id) as payer_uid,
      count(*) as fee_events,
      sum(e.amount_cents) as total_cents,
      sum(e.amount_cents) filter (where e.reverses is null and e.adjusts is null) as charged_cents,
      sum(e.amount_cents) filter (where e.reverses is not null) as reversed_cents,
      sum(e.amount_cents) filter (where e.adjusts is not null) as adjusted_cents
    from public.settlement_lines l
    join public.fee_events e on e.id = l.fee_event_id
    where l.settlement_id = settlement.id and (payer is null or e.payer_id = payer)
    group by e.payer_id
  ) p;

  select jsonb_build_object(
    'paid_cents', coalesce(sum(p.amount_cents), 0),
    'payments',
    coalesce(
      jsonb_agg(
        to_jsonb(p) || jsonb_build_object('payer_uid', private.uid_of(p.payer_id)) order by p.created_at, p.id
      ),
      '[]'
    )
  )
  into parts
  from public.settlement_payments p
  where p.settlement_id = settlement.id and (payer is null or p.payer_id = payer);

  select jsonb_build_object(
    'replaces', coalesce(jsonb_agg(o.named order by o.id) filter (where not o.is_later), '[]'),
    'replaced_by', coalesce(jsonb_agg(o.named order by o.id) filter (where o.is_later), '[]')
  )
  into others
  from (
    select
      s.id,
      jsonb_build_object('id', s.id, 'number', s.number, 'status', s.status) as named,
      (s.created_at, s.id) > (settlement.created_at, settlement.id) as is_later
    from public.settlements s
    where s.beneficiary_id = settlement.beneficiary_id
      and s.currency = settlement.currency
      and s.id <> settlement.id
      -- otherwise they have no line in common
      and 'voided' in (s.status, settlement.status)
      and exists (
        select from public.settlement_lines own
        join public.settlement_lines shared on shared.fee_event_id = own.fee_event_id
        join public.fee_events e on e.id = own.fee_event_id
        where own.settlement_id = settlement.id
          and shared.settlement_id = s.id
          and (payer is null or e.payer_id = payer)
      )
  ) o;

  select jsonb_build_object('items', coalesce(jsonb_agg(to_jsonb(l) order by l.id), '[]'))
  into page
  from (
    select *
    from private.statement_lines l
    where l.settlement_id = settlement.id
      and (payer is null or l.payer_id = payer)
      and (settlement_statement.after is null or l.id > settlement_statement.after)
    order by l.id
    limit least(greatest(settlement_statement.max_rows, 1), 10000)
  ) l;

  if payer is not null and settlement.status = 'written_off' and (
    (sums ->> 'total_cents')::numeric <= (parts ->> 'paid_cents')::numeric
    or (
      -- a payment that names no payer may have paid it: that depends on the debts of all
      exists (select from public.settlement_payments p where p.settlement_id = settlement.id and p.payer_id is null)
      and not exists (
        select from private.receivable_facts r
        where r.settlement_id = settlement.id and r.payer_id = payer and r.cents > 0
      )
    )
  ) then
    -- words about the debt of another
    settlement.write_off_reason := null;
  end if;

  return private.settlement_json(settlement)
    || jsonb_build_object('decimals', private.currency_exponent(settlement.currency))
    || sums || parts || others || page;
end;
$$;

comment on function private.settlement_statement is
  'A settlement with the decimals of its currency and its figures (fee_events, charged_cents, reversed_cents, '
  'adjusted_cents), payers (each with fee_events and total_cents), payments, the settlements with the same lines that '
  'it replaces or that replaced it (id, number, status), and, as items, its lines (private.statement_lines) ordered by '
  'id, which is the order of time: max_rows of them, from 1 to 10000, after the one with the id `after`. With payer '
  'only the lines, payments and other settlements of this payer, and their sums as total_cents and paid_cents; and '
  'write_off_reason only if a part of its debt was given up.';

-- sql/65_fees/functions/take_off_credits.sql
create function private.take_off_credits(settlement_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  invoice public.settlements;
  today   date;
  debt    record;
  note    public.settlements;
  taken   bigint;
begin
  select * into invoice from public.settlements s where s.id = take_off_credits.settlement_id for no key update;
  if invoice.status is distinct from 'invoiced' then
    return;
  end if;
  perform private.take_turn(invoice.id);
  select (now() at time zone s.time_zone)::date into today from private.settings s;

  for debt in
    select r.payer_id, r.cents
    from private.receivable_facts r
    where r.settlement_id = invoice.id and r.cents > 0
      -- "is true" keeps it a look into a hash
      and (
        r.payer_id in (
          select e.payer_id
          from public.fee_events e
          where e.settlement_id is null and (e.reverses is not null or e.adjusts is not null)
        )
      ) is true
    order by r.payer_id
  loop
    -- one statement, as in settle_fees: what is settled meanwhile is left out
    with correction as (
      select e.id, e.amount_cents, c.id as charge_id, sum(e.amount_cents) over (partition by c.id) as net
      from public.fee_events e
      join public.fee_events c on c.id = coalesce(e.reverses, e.adjusts)
      where e.settlement_id is null and e.payer_id = debt.payer_id and c.settlement_id = invoice.id
    ),
    oldest_first as materialized (
      -- of a charge all or none, as long as those of the charges before give back less than the debt
      select k.id, k.net - sum(k.amount_cents) over (order by k.charge_id) as before
      from correction k
      where k.net < 0
    ),
    note_id as materialized (
      select private.new_uuid() as id
    ),
    linked as (
      update public.fee_events e
      set settlement_id = n.id
      from oldest_first o
      cross join note_id n
      -- "is true" keeps it a search by id, however few fee events in no settlement the statistics expect
      where o.before < debt.cents and e.id = o.id and (e.settlement_id is null) is true
      returning e.settlement_id, e.amount_cents
    )
    insert into public.settlements (id, beneficiary_id, period_from, period_to, total_cents, currency)
    select
      l.settlement_id, invoice.beneficiary_id, invoice.period_from, invoice.period_to, sum(l.amount_cents),
      invoice.currency
    from linked l
    group by l.settlement_id
    returning * into note;
    continue when not found;

    update public.settlements s set status = 'invoiced' where s.id = note.id returning * into note;
    taken := least(debt.cents, -note.total_cents);
    insert into public.settlement_payments (settlement_id, payer_id, amount_cents, paid_on, reference)
    values
      (note.id, debt.payer_id, -taken, today, 'taken off ' || invoice.number),
      (invoice.id, debt.payer_id, taken, today, 'credit note ' || note.number);
  end loop;
end;
$$;

comment on function private.take_off_credits is
  'Takes off an invoice what was given back of its charges since: for each payer that owes a part of it, the '
  'corrections that are in no settlement become a credit note (a settlement with a negative total for the same '
  'period), which pays the payer''s part, and is paid by it. Where a payer has paid more than is left, the rest of the '
  'credit note is owed to the payer. Does nothing to a settlement that is not invoiced.';

-- sql/65_fees/functions/take_turn.sql
create function private.take_turn(id uuid)
returns void
language sql
volatile
set search_path = ''
as $$
  insert into private.turns as t (id, turn)
  values (take_turn.id, 1)
  on conflict (id) do update set turn = t.turn + 1
$$;

comment on function private.take_turn is
  'Lets one transaction at a time correct a charge, or pay, void or write off a settlement. The next one sees what '
  'this one did. At the isolation levels repeatable read and serializable, where it cannot see that, it ends with a '
  'serialization failure; a lock alone would let it go on with what it saw before.';

-- sql/65_fees/functions/void_settlement.sql
create function public.void_settlement(settlement_id uuid, reason text default null)
returns jsonb
language sql
volatile
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
  select private.move_settlement(void_settlement.settlement_id, 'voided', void_settlement.reason)
$$;

comment on function public.void_settlement is
  'Voids an open or invoiced settlement: its row and its lines are kept, and its fee events are due again. Returns '
  'the settlement. The trigger raises settlement_move_refused (409), with the current status as detail, for any other '
  'settlement, and settlement_has_payments (409) if a part is paid. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403); settlement_not_found (404).';

grant execute on function public.void_settlement to authenticated, service_role;

-- sql/65_fees/functions/waiting_credits.sql
create function private.waiting_credits()
returns setof uuid
language sql
stable
rows 1000
set search_path = ''
as $$
  -- the corrections first: there are few of them, and many lines of settlements for each payer who owes
  with correction as materialized (
    select e.id, e.amount_cents, c.id as charge_id, c.settlement_id, c.payer_id
    from public.fee_events e
    join public.fee_events c on c.id = coalesce(e.reverses, e.adjusts)
    where e.settlement_id is null and (e.reverses is not null or e.adjusts is not null)
      and c.settlement_id is not null
  )
  select w.id
  from (
    select k.id, sum(k.amount_cents) over (partition by k.charge_id) as cents
    from correction k
    -- "is true" keeps it a look into a hash, however few corrections the statistics expect
    where (
      (k.settlement_id, k.payer_id) in (
        select r.settlement_id, r.payer_id from private.receivable_facts r where r.status = 'invoiced' and r.cents > 0
      )
    ) is true
  ) w
  where w.cents < 0
$$;

comment on function private.waiting_credits is
  'The corrections in no settlement of charges of whose invoice the payer still owes something, where they give '
  'something back. They pay no later charges: once the payer has paid they count as any other, and when the invoice is '
  'written off they are taken off it (private.take_off_credits).';

-- sql/65_fees/functions/write_off_settlement.sql
create function public.write_off_settlement(settlement_id uuid, reason text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
set timezone = 'UTC'
set statement_timeout = '10s'
as $$
declare
  settlement public.settlements;
  was        text;
begin
  perform private.require_admin();
  if btrim(coalesce(write_off_settlement.reason, '')) = '' then
    raise sqlstate 'PT400' using message = 'reason_required';
  end if;

  select s.status into was from public.settlements s where s.id = write_off_settlement.settlement_id for no key update;
  perform private.take_off_credits(write_off_settlement.settlement_id);
  select * into settlement from public.settlements s where s.id = write_off_settlement.settlement_id;
  if was = 'invoiced' and settlement.status = 'paid' then
    return private.settlement_json(settlement);
  end if;
  return private.move_settlement(write_off_settlement.settlement_id, 'written_off', write_off_settlement.reason);
end;
$$;

comment on function public.write_off_settlement is
  'Gives up what is not paid of an invoiced settlement; payments stay. What was given back of its charges since is '
  'taken off before (private.take_off_credits), because a credit must not outlive the debt; if nothing is left then, '
  'the settlement is paid, and not written off. Returns the settlement. The trigger raises settlement_move_refused '
  '(409), with the current status as detail, for any other settlement, and nothing_to_pay (409) for a negative total. '
  'Raises: query_too_large, reason_required (400); session_ended (401); not_an_admin (403); settlement_not_found '
  '(404).';

grant execute on function public.write_off_settlement to authenticated, service_role;

-- sql/65_fees/functions/write_settlement_lines.sql
create function private.write_settlement_lines(settlements uuid[])
returns void
language sql
volatile
set search_path = ''
-- planned without knowing the settlements, which may have few of the fee events
set enable_seqscan = off
set jit = off
as $$
  insert into public.settlement_lines (settlement_id, fee_event_id, month)
  select
    e.settlement_id,
    e.id,
    date_trunc(
      'month',
      coalesce(
        -- no join, which could read all fee events
        (select c.created_at from public.fee_events c where c.id = coalesce(e.reverses, e.adjusts)), e.created_at
      ) at time zone s.time_zone
    )::date
  from public.fee_events e
  cross join private.settings s
  where e.settlement_id = any (write_settlement_lines.settlements)
  on conflict do nothing
$$;

comment on function private.write_settlement_lines is
  'Writes the lines of these settlements, one for each fee event that is linked to them. Existing lines stay.';

-- sql/65_fees/triggers/tg_fee_events__correct.sql
create function private.tg_fee_events__correct()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  charged    public.fee_events;
  remainder  numeric;
  constraint_name text;
begin
  -- one correction of a charge at a time: the next one sees what this one leaves. No lock of the row, which a running
  -- settlement holds
  perform private.take_turn(coalesce(new.reverses, new.adjusts));
  select * into charged
  from public.fee_events e
  where e.id = coalesce(new.reverses, new.adjusts);
  remainder := private.fee_remainder(charged);

  if new.reverses is not null then
    new.amount_cents := coalesce(new.amount_cents, -remainder);
  end if;
  if new.reason is not null then
    new.operator := coalesce(new.operator, private.operator_name());
  end if;

  constraint_name := case
    when num_nonnulls(charged.reverses, charged.adjusts) > 0 then 'a_correction_names_a_charge'
    when (new.fee_id, new.subject_type, new.subject_id, new.currency, new.beneficiary_id, new.payer_id)
      is distinct from (
        charged.fee_id, charged.subject_type, charged.subject_id, charged.currency, charged.beneficiary_id,
        charged.payer_id
      )
      then 'a_correction_agrees_with_its_charge'
    when new.reverses is not null and new.amount_cents <> -remainder then 'a_reversal_takes_back_what_is_left'
    when new.adjusts is not null
      and exists (select from public.fee_events e where e.reverses = charged.id)
      then 'a_reversed_charge_is_not_adjusted'
    when remainder + new.amount_cents not between 0 and 9007199254740991
      then 'an_adjusted_charge_is_a_safe_amount'
  end;
  if constraint_name is not null then
    raise check_violation using
      constraint = constraint_name,
      message = format('correction of fee event %s violates constraint "%s"', charged.id, constraint_name);
  end if;
  return new;
end;
$$;

comment on function private.tg_fee_events__correct is
  'Checks a reversal or an adjustment against its charge: same fee, subject, currency, beneficiary and payer; a '
  'reversal takes back what earlier adjustments left of the charge (null as its amount becomes that); an adjustment '
  'leaves at least zero, and a reversed charge is not adjusted. Raises check_violation otherwise.';

create trigger tg_fee_events__correct
  before insert on public.fee_events
  for each row
  when (num_nonnulls(new.reverses, new.adjusts) > 0)
  execute function private.tg_fee_events__correct();

-- sql/65_fees/triggers/tg_fee_events__require_unsettled.sql
create function private.tg_fee_events__require_unsettled()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise sqlstate 'PT403' using message = 'append_only', detail = 'a new fee event is in no settlement';
end;
$$;

comment on function private.tg_fee_events__require_unsettled is
  'Refuses a new fee event that is already in a settlement. '
  'Raises: append_only (403).';

create trigger tg_fee_events__require_unsettled
  before insert on public.fee_events
  for each row
  when (new.settlement_id is not null)
  execute function private.tg_fee_events__require_unsettled();

-- sql/65_fees/triggers/tg_fee_events__total.sql
create function private.tg_fee_events__total()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  changed uuid[] := array(
    select o.settlement_id from old_rows o where o.settlement_id is not null
    union
    select n.settlement_id from new_rows n where n.settlement_id is not null
  );
begin
  perform private.write_settlement_lines(changed);
  perform private.check_settlement_totals(changed);
  return null;
end;
$$;

comment on function private.tg_fee_events__total is
  'After fee events were linked to a settlement: writes the lines of the settlement. After they were linked or '
  'released: checks that its total is their sum.';

create trigger tg_fee_events__total
  after update on public.fee_events
  referencing old table as old_rows new table as new_rows
  for each statement
  execute function private.tg_fee_events__total();

-- sql/65_fees/triggers/tg_fee_events__write_event.sql
create function private.tg_fee_events__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    case when new.adjusts is null then 'fee.reversed' else 'fee.adjusted' end,
    private.known_actor(), 'fee_event', new.id,
    jsonb_build_object(
      case when new.adjusts is null then 'reverses' else 'adjusts' end, coalesce(new.reverses, new.adjusts),
      'amountCents', new.amount_cents,
      'currency', new.currency,
      'reason', left(new.reason, 1000),
      'by', new.operator
    )
  );
  return null;
end;
$$;

comment on function private.tg_fee_events__write_event is
  'Writes the event fee.reversed or fee.adjusted for a charge that an operator corrected: its actor is the acting '
  'admin; `by` is the operator (private.operator_name).';

create trigger tg_fee_events__write_event
  after insert on public.fee_events
  for each row
  when (new.reason is not null)
  execute function private.tg_fee_events__write_event();

-- sql/65_fees/triggers/tg_fees__keep_version.sql
create function private.tg_fees__keep_version()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) - 'id' - 'meta' end;
  after  jsonb := to_jsonb(new) - 'id' - 'meta';
begin
  if before is distinct from after and not private.is_erasure() then
    insert into public.fee_versions (
      fee_id, scope, percentage, fixed_amount, currency, min_cents, max_cents, active, beneficiary_id,
      reversed_after_start, payer, valid_from
    )
    select
      new.id, new.scope, new.percentage, new.fixed_amount, new.currency, new.min_cents, new.max_cents, new.active,
      new.beneficiary_id, new.reversed_after_start, new.payer,
      -- after the previous version, also if the clock was set back since then
      greatest(clock_timestamp(), max(v.valid_from) + interval '1 microsecond')
    from public.fee_versions v
    where v.fee_id = new.id;
    insert into public.events (type, actor_id, subject_type, subject_id, meta)
    values (
      'fee.changed', private.known_actor(), 'fee', new.id,
      jsonb_build_object('before', before, 'after', after, 'by', private.operator_name())
    );
  end if;
  return null;
end;
$$;

comment on function private.tg_fees__keep_version is
  'Stores every version of a fee and writes the event fee.changed (before: null for a new fee). A change of meta only '
  'creates no version.';

create trigger tg_fees__keep_version
  after insert or update on public.fees
  for each row
  execute function private.tg_fees__keep_version();

-- sql/65_fees/triggers/tg_mortgage_contracts__charge.sql
create function private.tg_mortgage_contracts__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge(
    'mortgage', 'mortgage_contract', new.id, o.loan_amount, o.loan_currency, o.lender_id,
    jsonb_build_object('borrower', a.borrower_id)
  )
  from public.mortgage_offers o
  join public.mortgage_applications a on a.id = o.application_id
  where o.id = new.offer_id;
  return null;
end;
$$;

comment on function private.tg_mortgage_contracts__charge is
  'Charges the fees of a mortgage on the accepted loan (mortgage_offers.loan_amount).';

create trigger tg_mortgage_contracts__charge
  after insert on public.mortgage_contracts
  for each row
  execute function private.tg_mortgage_contracts__charge();

-- sql/65_fees/triggers/tg_settlement_payments__apply.sql
create function private.tg_settlement_payments__apply()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  settlement public.settlements;
  remainder  numeric;
  direction  integer;
begin
  -- concurrent payments wait here, and then see each other
  select * into settlement from public.settlements s where s.id = new.settlement_id for no key update;
  perform private.take_turn(new.settlement_id);
  if settlement.status <> 'invoiced' then
    raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = settlement.status;
  end if;
  remainder := private.settlement_remainder(settlement);
  -- a credit note has a negative total, and is paid by being taken off an invoice (private.take_off_credits)
  direction := sign(settlement.total_cents);
  if sign(new.amount_cents) <> direction or remainder * direction < 0
    or private.settlement_remainder(settlement, new.payer_id) * direction < 0
  then
    raise sqlstate 'PT409' using message = 'payment_too_high';
  end if;

  if remainder = 0 then
    update public.settlements s set status = 'paid' where s.id = settlement.id;
  end if;
  return null;
end;
$$;

comment on function private.tg_settlement_payments__apply is
  'Refuses a payment of a settlement that is not invoiced, or of more than is left of it or of the payer''s part; '
  'a credit note is paid by negative amounts. '
  'Marks the settlement as paid with the last part. '
  'Raises: payment_too_high (409); settlement_move_refused (409).';

create trigger tg_settlement_payments__apply
  after insert on public.settlement_payments
  for each row
  execute function private.tg_settlement_payments__apply();

-- sql/65_fees/triggers/tg_settlement_payments__write_event.sql
create function private.tg_settlement_payments__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    'settlement.payment', private.known_actor(), 'settlement', new.settlement_id,
    jsonb_strip_nulls(
      jsonb_build_object(
        'payment', new.id,
        'payer', private.uid_of(new.payer_id),
        'amountCents', new.amount_cents,
        'paidOn', new.paid_on,
        'reference', new.reference,
        'by', new.recorded_by
      )
    )
  );
  return null;
end;
$$;

comment on function private.tg_settlement_payments__write_event is
  'Writes the event settlement.payment for each payment; its actor is the acting admin, `by` the operator '
  '(private.operator_name).';

create trigger tg_settlement_payments__write_event
  after insert on public.settlement_payments
  for each row
  execute function private.tg_settlement_payments__write_event();

-- sql/65_fees/triggers/tg_settlements__move.sql
create function private.tg_settlements__move()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
  moment   timestamptz;
  today    date;
  payments numeric;
  movable  text[] := array[
    'status', 'invoiced_at', 'paid_at', 'voided_at', 'written_off_at', 'invoiced_by', 'paid_by', 'voided_by',
    'written_off_by', 'void_reason', 'write_off_reason', 'number', 'due_on'
  ];
begin
  if tg_op = 'INSERT' then
    if new.status <> 'open' then
      raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = 'none';
    end if;
    return new;
  end if;
  -- the beneficiary and the operators become pseudonyms
  if old.status = new.status and private.is_erasure() then
    return new;
  end if;
  if to_jsonb(old) - movable <> to_jsonb(new) - movable then
    raise sqlstate 'PT403' using message = 'append_only', detail = 'of a settlement only the status changes';
  end if;
  if (old.status, new.status) not in (
    ('open', 'invoiced'), ('invoiced', 'paid'), ('invoiced', 'written_off'), ('open', 'voided'), ('invoiced', 'voided')
  ) then
    raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = old.status;
  end if;
  if new.status in ('voided', 'written_off') then
    perform private.take_turn(new.id);
  end if;
  select coalesce(sum(p.amount_cents), 0) into payments
  from public.settlement_payments p
  where p.settlement_id = new.id;
  case new.status
    when 'invoiced' then
      if new.total_cents = 0 then
        raise sqlstate 'PT409' using message = 'nothing_to_invoice';
      end if;
    when 'paid' then
      if payments <> new.total_cents then
        raise sqlstate 'PT409' using message = 'settlement_move_refused', detail = old.status;
      end if;
    when 'written_off' then
      if new.total_cents < 0 then
        raise sqlstate 'PT409' using message = 'nothing_to_pay';
      end if;
    when 'voided' then
      if payments <> 0 then
        raise sqlstate 'PT409' using message = 'settlement_has_payments';
      end if;
  end case;

  -- no step is earlier than the one before, also if the clock was set back in between
  moment := greatest(old.created_at, old.invoiced_at, now());
  new.invoiced_at := old.invoiced_at;
  new.invoiced_by := old.invoiced_by;
  new.number := old.number;
  new.due_on := old.due_on;
  if new.status = 'invoiced' then
    select (moment at time zone s.time_zone)::date, (moment at time zone s.time_zone)::date + s.payment_days
    into today, new.due_on
    from private.settings s;
    new.invoiced_at := moment;
    new.invoiced_by := private.operator_name();
    new.number := private.next_invoice_number(new.beneficiary_id, extract(year from today)::integer);
  end if;
  new.paid_at := case new.status when 'paid' then moment end;
  new.paid_by := case new.status when 'paid' then private.operator_name() end;
  new.voided_at := case new.status when 'voided' then moment end;
  new.voided_by := case new.status when 'voided' then private.operator_name() end;
  new.written_off_at := case new.status when 'written_off' then moment end;
  new.written_off_by := case new.status when 'written_off' then private.operator_name() end;
  return new;
end;
$$;

comment on function private.tg_settlements__move is
  'Enforces the transitions of a settlement: it starts as open, goes from open to invoiced, from invoiced to paid (if '
  'its payments are its total) or written_off, and from open or invoiced to voided (if nothing is paid). Sets the time '
  'and the operator of each, and number and due date of an invoice. settlement_move_refused has the current status as '
  'detail. '
  'Raises: append_only (403); nothing_to_invoice (409); nothing_to_pay (409); settlement_has_payments (409); '
  'settlement_move_refused (409).';

create trigger tg_settlements__move
  before insert or update on public.settlements
  for each row
  execute function private.tg_settlements__move();

-- sql/65_fees/triggers/tg_settlements__release.sql
create function private.tg_settlements__release()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.fee_events e set settlement_id = null where e.settlement_id = new.id;
  return null;
end;
$$;

comment on function private.tg_settlements__release is
  'Releases the fee events of a voided settlement, so that they are due again.';

create trigger tg_settlements__release
  after update of status on public.settlements
  for each row
  when (new.status = 'voided')
  execute function private.tg_settlements__release();

-- sql/65_fees/triggers/tg_settlements__total.sql
create function private.tg_settlements__total()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  created uuid[] := array(select n.id from new_rows n);
begin
  -- this trigger may be earlier than that of the fee events
  perform private.write_settlement_lines(created);
  perform private.check_settlement_totals(created);
  return null;
end;
$$;

comment on function private.tg_settlements__total is
  'After settlements were created: writes their lines, and checks that the total of each is the sum of the fee events '
  'that the same statement linked to it.';

create trigger tg_settlements__total
  after insert on public.settlements
  referencing new table as new_rows
  for each statement
  execute function private.tg_settlements__total();

-- sql/65_fees/triggers/tg_settlements__write_event.sql
create function private.tg_settlements__write_event()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, actor_id, subject_type, subject_id, meta)
  values (
    case new.status
      when 'open' then 'settlement.created'
      when 'invoiced' then 'settlement.invoiced'
      when 'paid' then 'settlement.paid'
      when 'written_off' then 'settlement.written_off'
      when 'voided' then 'settlement.voided'
    end,
    private.known_actor(),
    'settlement',
    new.id,
    jsonb_strip_nulls(
      jsonb_build_object(
        'beneficiary', private.uid_of(new.beneficiary_id),
        'periodFrom', new.period_from,
        'periodTo', new.period_to,
        'totalCents', new.total_cents,
        'currency', new.currency,
        'number', new.number,
        'dueOn', new.due_on,
        'reason', left(coalesce(new.void_reason, new.write_off_reason), 1000),
        'by', private.operator_name()
      )
    )
  );
  return null;
end;
$$;

comment on function private.tg_settlements__write_event is
  'Writes the events settlement.created, settlement.invoiced, settlement.paid, settlement.written_off and '
  'settlement.voided; the actor is the acting admin, `by` the operator (private.operator_name).';

create trigger tg_settlements__write_event
  after insert or update of status on public.settlements
  for each row
  execute function private.tg_settlements__write_event();

-- sql/65_fees/triggers/tg_transfers__charge.sql
create function private.tg_transfers__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge(
    'transfer', 'transfer', new.id, abs(new.fiat_amount), new.fiat_currency, new.thinker_id
  );
  return null;
end;
$$;

comment on function private.tg_transfers__charge is
  'Charges the fees of a transfer on its fiat amount, without its sign: minus 1000 out is 1000 in. A correction (a '
  'negative amount) that a trusted server or an operator logs is neither charged nor refunded: a thinker must not '
  'decide what is one.';

create trigger tg_transfers__charge
  after insert on public.transfers
  for each row
  when (
    (new.fiat_amount >= 0 or not (private.is_service() or private.is_operator())) and not private.is_import()
  )
  execute function private.tg_transfers__charge();

-- sql/65_fees/triggers/tg_voucher_bookings__charge.sql
create function private.tg_voucher_bookings__charge()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.charge(
    'voucher', 'voucher_booking', new.id, new.price_amount, new.price_currency, new.issuer_id,
    jsonb_build_object('holder', new.holder_id)
  );
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__charge is
  'Charges the fees of a booking on its price, in the transaction of the booking. An issuer that books its '
  'own voucher blocks time and sells nothing: it pays no fee.';

create trigger tg_voucher_bookings__charge
  after insert on public.voucher_bookings
  for each row
  when (new.status = 'booked' and new.holder_id <> new.issuer_id and not private.is_import())
  execute function private.tg_voucher_bookings__charge();

-- sql/65_fees/triggers/tg_voucher_bookings__reverse.sql
create function private.tg_voucher_bookings__reverse()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform private.reverse_charges(new);
  return null;
end;
$$;

comment on function private.tg_voucher_bookings__reverse is
  'Reverses the charges of a booking when it is cancelled (private.reverse_charges).';

create trigger tg_voucher_bookings__reverse
  after update of status on public.voucher_bookings
  for each row
  when (old.status = 'booked' and new.status = 'cancelled')
  execute function private.tg_voucher_bookings__reverse();

-- sql/65_fees/triggers/tg_vouchers__keep_price.sql
create function private.tg_vouchers__keep_price()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select from public.voucher_bookings b where b.voucher_id = new.id and b.status = 'booked') then
    raise sqlstate 'PT409' using message = 'voucher_is_booked';
  end if;
  return new;
end;
$$;

comment on function private.tg_vouchers__keep_price is
  'Refuses to change the price of a booked voucher, because it has been charged. '
  'Raises: voucher_is_booked (409).';

create trigger tg_vouchers__keep_price
  before update of price_amount, price_currency on public.vouchers
  for each row
  when ((old.price_amount, old.price_currency) is distinct from (new.price_amount, new.price_currency))
  execute function private.tg_vouchers__keep_price();

-- sql/67_legacy/functions/import_cents.sql
create function private.import_cents(value text)
returns bigint
language plpgsql -- caches the plan for the next call
immutable
strict
set search_path = ''
as $$
declare
  number constant numeric := import_cents.value::numeric;
begin
  -- NaN is above every number
  if number not between 0 and 9007199254740991 or number <> trunc(number) then
    raise sqlstate 'IM400' using message = 'amount_out_of_range', detail = left(import_cents.value, 100);
  end if;
  return number::bigint;
end;
$$;

comment on function private.import_cents is
  'A whole, not negative amount in minor units, by the rule of the API for prices. '
  'Refuses with amount_out_of_range.';

-- sql/67_legacy/functions/import_currency.sql
create function private.import_currency(code text)
returns text
language plpgsql -- caches the plan for the next call
immutable
set search_path = ''
as $$
begin
  return upper(coalesce(nullif(import_currency.code, ''), 'EUR') collate "C");
end;
$$;

comment on function private.import_currency is
  'A currency in upper case; EUR, the default of the API, for a missing one.';

-- sql/67_legacy/functions/import_json.sql
create function private.import_json(value text)
returns jsonb
language plpgsql
immutable
strict
set search_path = ''
as $$
declare
  json jsonb;
begin
  if import_json.value <> '' then
    -- a row has at most 64 KiB of JSON; read, it may take some hundred times the memory of its text
    if octet_length(import_json.value) > 524288 then
      raise sqlstate 'PT400' using message = 'json_unreasonable';
    end if;
    json := import_json.value::jsonb;
    perform private.check_json(json, bytes => null);
  end if;
  return json;
end;
$$;

comment on function private.import_json is
  'The JSON of a text of at most 512 KiB; null for an empty one. Its numbers are measured before the mapped row is '
  'printed and hashed: 1e131000 has eight characters, and is printed with 131,001. '
  'Raises: json_unreasonable (400).';

-- sql/67_legacy/functions/import_time.sql
create function private.import_time(value text)
returns timestamptz
language plpgsql -- caches the plan for the next call
immutable
strict
set search_path = ''
as $$
declare
  moment text := replace(trim(import_time.value), ',', '.');
begin
  -- the form that the servers wrote
  if moment ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$' then
    return moment::timestamptz;
  end if;

  if moment = '' then
    return null;
  end if;
  -- a year, a month, a day
  if moment ~ '^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$' then
    moment := moment || substr('-01-01', length(moment) - 3) || 'T00:00';
  end if;
  if moment ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?$' then
    moment := moment || 'Z';
  end if;
  if moment !~
    '^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})$' then
    raise sqlstate 'IM400' using message = 'date_invalid', detail = left(moment, 100);
  end if;
  return date_trunc('milliseconds', moment::timestamptz);
end;
$$;

comment on function private.import_time is
  'The time of an ISO 8601 text, as api/models/times.py reads it: a date is midnight, no zone is UTC, milliseconds '
  'are kept. Null for an empty text. '
  'Refuses with date_invalid, or with datetime_field_overflow what is no day of the calendar.';

-- sql/67_legacy/functions/import_uuid.sql
create function private.import_uuid(id text)
returns uuid
language plpgsql -- caches the plan for the next call
immutable
strict
set search_path = ''
as $$
declare
  hex text;
begin
  -- one of version 8 could be that of another's text
  if import_uuid.id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-79a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$' then
    return import_uuid.id::uuid;
  end if;
  hex := encode(sha256(convert_to(import_uuid.id, 'UTF8')), 'hex');
  return (substr(hex, 1, 12) || '8' || substr(hex, 14, 3) || '8' || substr(hex, 18, 15))::uuid;
end;
$$;

comment on function private.import_uuid is
  'The id of an imported event, document or document link, whose legacy id is a text such as ct-mws0ylx7-53c1: the '
  'id itself if it is a UUID of another version than 8, otherwise its SHA-256 in the form of a UUID of version 8.';

-- sql/67_legacy/functions/import_word.sql
create function private.import_word(value text)
returns text
language plpgsql -- caches the plan for the next call
immutable
strict
set search_path = ''
as $$
begin
  return lower(import_word.value collate "C");
end;
$$;

comment on function private.import_word is 'A status or another word in lower case: the legacy servers took any case.';

-- sql/68_import/tables/import_rejects.sql
create table private.import_rejects (
  id           uuid        primary key default private.new_uuid(),
  source       text        collate "C" not null,
  legacy_table text        collate "C" not null,
  row_id       text        collate "C",
  hash         uuid        not null,
  content      jsonb       not null,
  reason       text        collate "C" not null,
  detail       text,
  run          integer     not null,
  created_at   timestamptz not null default now(),
  resolved_at  timestamptz,

  constraint a_row_is_rejected_once unique (source, legacy_table, hash)
);

comment on table private.import_rejects is
  'The rows that an import could not take, with the reason (private.import_kept). docs/import.md lists the '
  'reasons.';
comment on column private.import_rejects.row_id is 'The id in the source; of a longer one the first 500 characters.';
comment on column private.import_rejects.resolved_at is
  'When the row, or one that mends it, was imported after all; it is not imported again.';

create index import_rejects_row_id_idx on private.import_rejects (legacy_table, row_id)
where resolved_at is null or reason = 'thinker_erased';

-- whether a booking of a voucher waits, or was an erased thinker's; an index holds no long id
create index import_rejects_voucher_id_idx on private.import_rejects (left(content ->> 'voucher_id', 256) collate "C")
where legacy_table = 'voucher_bookings' and (resolved_at is null or reason = 'thinker_erased');

alter table private.import_rejects enable row level security;

-- sql/68_import/tables/import_rows.sql
create table private.import_rows (
  legacy_table text        collate "C" not null,
  id           text        collate "C" not null,
  source       text        collate "C" not null,
  shown_by     text[]      collate "C" not null,
  hash         uuid        not null,
  digest       bigint      not null,
  amount       numeric,
  currency     text        collate "C",
  run          integer     not null,
  imported_at  timestamptz not null default now(),

  constraint id_is_not_empty check (id <> ''),

  primary key (legacy_table, id)
);

comment on table private.import_rows is
  'Every row that was imported: by it an import goes on after an interruption, and a repeated one changes nothing.';
comment on column private.import_rows.id is 'The id in the source; private.import_uuid makes a UUID of it.';
comment on column private.import_rows.source is 'The source that brought it.';
comment on column private.import_rows.shown_by is 'This source, and others that have the same row.';
comment on column private.import_rows.hash is 'The hash of the whole row of the source.';
comment on column private.import_rows.digest is
  'The hash of the imported columns as they were written. A row that has another one by now was changed here.';
comment on column private.import_rows.amount is
  'The exact amount of the source in minor units: a transfer''s may have fractions of them, which are rounded.';
comment on column private.import_rows.run is 'The run that wrote the row (private.import_runs).';

-- who sees a document asks whether its link was imported
create index import_rows_contract_link_id_idx on private.import_rows (private.import_uuid(id))
where legacy_table = 'contract_links';

alter table private.import_rows enable row level security;

-- sql/68_import/tables/import_runs.sql
create table private.import_runs (
  id          integer     generated always as identity primary key,
  source      text        not null,
  input       jsonb       not null,
  charge_from timestamptz,
  started_at  timestamptz not null default now(),
  finished_at timestamptz,
  report      jsonb,

  constraint finished_run_has_a_report check ((finished_at is null) = (report is null))
);

comment on table private.import_runs is 'The imports from other stores (portal import), each with its report.';
comment on column private.import_runs.source is
  'The store: d1 for a Cloudflare D1 database, otherwise the URL of a server.';
comment on column private.import_runs.input is
  'What was read: {"name", "bytes", "sha256"} of a file, {"lists"} of a server: the rows of each.';
comment on column private.import_runs.charge_from is
  'Bookings made from then on were charged; null if none. A run that has no finished_at was interrupted.';

alter table private.import_runs enable row level security;

-- sql/68_import/tables/import_staging.sql
create unlogged table private.import_staging (
  n            integer primary key,
  id           text    collate "C",
  hash         uuid    not null,
  content      jsonb   not null,
  unreadable   boolean not null default false,
  mends        uuid,
  is_known     boolean not null default false,
  is_unchanged boolean not null default false
);

comment on table private.import_staging is
  'The rows of one batch of an import, in the order of the source. Empty between the batches.';
comment on column private.import_staging.hash is 'The hash of the whole row of the source.';
comment on column private.import_staging.content is
  'The row of the source, each value as its text or null: a number as the shortest decimal that makes the same double.';
comment on column private.import_staging.unreadable is
  'Whether a value is no text that PostgreSQL can store: it is {"base64": ...} of its bytes.';
comment on column private.import_staging.mends is 'The row of private.import_rejects that this row replaces.';
comment on column private.import_staging.is_known is
  'Whether a row of this id was imported before, with other content.';
comment on column private.import_staging.is_unchanged is
  'Whether another source brought this row, which has other content there but becomes the same.';

alter table private.import_staging enable row level security;

-- every batch has other rows; a plan for few rows reads by index
alter table private.import_staging set (autovacuum_enabled = false);

-- sql/68_import/views/import_contract_links.sql
create view private.import_contract_links
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  private.import_uuid(s.content ->> 'id') as id,
  private.import_uuid(s.content ->> 'contract_id') as contract_id,
  nullif(s.content ->> 'voucher_id', '') as voucher_id,
  nullif(s.content ->> 'room_id', '') as room_id,
  private.import_word(coalesce(nullif(s.content ->> 'role', ''), 'primary')) as role,
  private.import_time(s.content ->> 'created_at') as created_at,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_contract_links is
  'The rows of a batch of the legacy table contract_links, as they are written.';

-- sql/68_import/views/import_contracts.sql
create view private.import_contracts
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  private.import_uuid(s.content ->> 'id') as id,
  s.content ->> 'name' as name,
  nullif(s.content ->> 'mime_type', '') as mime_type,
  -- null was written for an empty file
  coalesce((s.content ->> 'byte_size')::bigint, 0) as byte_size,
  s.content ->> 'storage_url' as storage_url,
  private.import_word(s.content ->> 'hash_sha256') as hash_sha256,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'created_by') as created_by,
  private.import_time(s.content ->> 'created_at') as created_at,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_contracts is
  'The rows of a batch of the legacy table contracts, as they are written; storage_url has the legacy id.';

-- sql/68_import/views/import_events.sql
create view private.import_events
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  private.import_uuid(s.content ->> 'id') as id,
  s.content ->> 'type' as type,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'actor_id') as actor_id,
  nullif(s.content ->> 'subject_type', '') as subject_type,
  -- a document has another id now
  case s.content ->> 'subject_type'
    when 'contract' then private.import_uuid(s.content ->> 'subject_id')::text
    else nullif(s.content ->> 'subject_id', '')
  end as subject_id,
  coalesce(nullif(private.import_json(s.content ->> 'meta'), 'null'), '{}') as meta,
  private.import_time(s.content ->> 'created_at') as created_at,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_events is 'The rows of a batch of the legacy table events, as they are written.';

-- sql/68_import/views/import_mortgage_applications.sql
create view private.import_mortgage_applications
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  nullif(s.content ->> 'property_id', '') as property_id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'borrower_uid') as borrower_id,
  private.import_cents(s.content ->> 'desired_loan') as desired_loan,
  case
    when s.content ->> 'desired_loan' is not null or s.content ->> 'currency' <> ''
      then private.import_currency(s.content ->> 'currency')
  end as currency,
  -- 0 was written for a missing one
  nullif((s.content ->> 'duration_years')::integer, 0) as duration_years,
  private.import_word(nullif(s.content ->> 'rate_type', '')) as rate_type,
  trim_scale((s.content ->> 'max_interest')::numeric) as max_interest,
  private.import_word(s.content ->> 'status') as status,
  coalesce(nullif(s.content ->> 'visibility', ''), 'private') as visibility,
  coalesce(private.import_json(s.content ->> 'meta'), '{}') as meta,
  private.import_time(s.content ->> 'created_at') as submission_ts,
  private.import_time(s.content ->> 'created_at') as created_at,
  (s.content ->> 'desired_loan')::numeric as exact_amount,
  private.import_currency(s.content ->> 'currency') as exact_currency
from private.import_staging s;

comment on view private.import_mortgage_applications is
  'The rows of a batch of the legacy table mortgage_applications, as they are written.';

-- sql/68_import/views/import_mortgage_offers.sql
create view private.import_mortgage_offers
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  s.content ->> 'application_id' as application_id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'lender_uid') as lender_id,
  -- the figures in the words, as offer_mortgage gets them: what the column cannot hold stays in the words only
  coalesce(trim_scale((s.content ->> 'interest_rate')::numeric), words.rate) as interest_rate,
  coalesce(private.import_cents(s.content ->> 'monthly_payment'), words.monthly::bigint) as monthly_payment,
  private.import_json(s.content ->> 'loan') as loan,
  private.import_json(s.content ->> 'interest') as interest,
  private.import_json(s.content ->> 'repayment') as repayment,
  private.import_json(s.content ->> 'fees') as fees,
  private.import_json(s.content ->> 'validity') as validity,
  private.import_json(s.content ->> 'terms_ref') as terms_ref,
  coalesce(
    private.import_json(s.content ->> 'room_refs'),
    jsonb_build_object('negotiationRoomId', 'mortgage:offer:' || (s.content ->> 'id'), 'contractRoomId', null)
  ) as room_refs,
  -- the API showed an open offer as offered
  case private.import_word(s.content ->> 'status')
    when 'offered' then 'open'
    else private.import_word(s.content ->> 'status')
  end as status,
  private.import_time(s.content ->> 'created_at') as created_at,
  coalesce((s.content ->> 'monthly_payment')::numeric, words.monthly) as exact_amount,
  coalesce(a.currency, '') as exact_currency
from private.import_staging s
cross join lateral (
  select
    case jsonb_typeof(w.rate) when 'number' then w.rate::numeric end as rate,
    case jsonb_typeof(w.monthly) when 'number' then w.monthly::numeric end as monthly
  from (
    select
      private.import_json(s.content ->> 'interest') -> 'rate' as rate,
      private.import_json(s.content ->> 'repayment') -> 'monthly' as monthly
  ) w
) named
cross join lateral (
  select
    case when named.rate between 0 and 99.9999 and min_scale(named.rate) <= 4 then trim_scale(named.rate) end as rate,
    case when named.monthly between 0 and 9007199254740991 and min_scale(named.monthly) = 0 then named.monthly end
      as monthly
) words
left join public.mortgage_applications a on a.id = s.content ->> 'application_id';

comment on view private.import_mortgage_offers is
  'The rows of a batch of the legacy table mortgage_offers, as they are written; those that a list showed have the '
  'words of the lender, too.';

-- sql/68_import/views/import_properties.sql
create view private.import_properties
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  s.content ->> 'address' as address,
  coalesce(private.import_json(s.content ->> 'meta'), '{}') as meta,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_properties is
  'The rows of a batch of the legacy table properties, as they are written.';

-- sql/68_import/views/import_telemetry_events.sql
create view private.import_telemetry_events
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  private.without_tokens(s.content ->> 'type') as type,
  private.without_tokens(s.content ->> 'path') as path,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'actor_uid') as actor_id,
  private.json_without_tokens(private.import_json(s.content ->> 'meta')) as meta,
  private.import_time(s.content ->> 'created_at') as created_at,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_telemetry_events is
  'The rows of a batch of the legacy table telemetry_events, as they are written.';

-- sql/68_import/views/import_transfers.sql
create view private.import_transfers
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  s.content ->> 'direction' as direction,
  nullif(s.content ->> 'wallet_address', '') as wallet_address,
  s.content ->> 'network' as network,
  trim_scale((s.content ->> 'crypto_amount')::numeric) as crypto_amount,
  s.content ->> 'crypto_symbol' as crypto_symbol,
  -- as log_transfer does: half away from zero. Of NaN and Infinity bigint does not say that they are out of its range
  round(greatest(least(amount.minor, 1e30), -1e30))::bigint as fiat_amount,
  amount.currency as fiat_currency,
  s.content ->> 'external_account' as external_account,
  coalesce(
    s.content ->> 'label',
    case s.content ->> 'direction' when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end
  ) as label,
  coalesce(private.import_json(s.content ->> 'meta'), '{}') as meta,
  private.import_word(s.content ->> 'status') as status,
  private.import_time(s.content ->> 'created_at') as created_at,
  private.import_time(s.content ->> 'updated_at') as updated_at,
  amount.minor as exact_amount,
  amount.currency as exact_currency
from private.import_staging s
cross join lateral (
  select
    case when s.content ->> 'fiat_currency' <> '' then private.import_currency(s.content ->> 'fiat_currency') end
      as currency,
    (s.content ->> 'fiat_amount')::numeric
    * 10::numeric ^ private.currency_exponent(s.content ->> 'fiat_currency') as minor
) amount;

comment on view private.import_transfers is
  'The rows of a batch of the legacy table transfers, as they are written. Fiat amounts are major units there.';

-- sql/68_import/views/import_voucher_bookings.sql
create view private.import_voucher_bookings
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  s.content ->> 'voucher_id' as voucher_id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'issuer_uid') as issuer_id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'holder_uid') as holder_id,
  private.import_time(s.content ->> 'slot_start') as slot_start,
  private.import_time(s.content ->> 'slot_end') as slot_end,
  private.import_word(s.content ->> 'status') as status,
  s.content ->> 'cancel_reason' as cancel_reason,
  private.import_time(s.content ->> 'created_at') as created_at,
  private.import_time(s.content ->> 'cancelled_at') as cancelled_at,
  null::numeric as exact_amount,
  null::text as exact_currency
from private.import_staging s;

comment on view private.import_voucher_bookings is
  'The rows of a batch of the legacy table voucher_bookings, as they are written. slot_id follows from slot_start; a '
  'trigger copies the price of the voucher.';

-- sql/68_import/views/import_vouchers.sql
create view private.import_vouchers
with (security_invoker = true)
as
select
  s.n,
  s.id as legacy_id,
  s.hash,
  s.content ->> 'id' as id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'issuer_uid') as issuer_id,
  (select t.id from public.thinkers t where t.public_id = s.content ->> 'holder_uid') as holder_id,
  -- a voucher that is not booked is reserved for its holder
  case when private.import_word(s.content ->> 'status') = 'issued' then (
    select t.id from public.thinkers t where t.public_id = s.content ->> 'holder_uid'
  ) end as issued_to,
  coalesce(s.content ->> 'service_type', 'generic.service') as service_type,
  coalesce(s.content ->> 'title', 'Unbenannter Service') as title,
  coalesce(s.content ->> 'description', '') as description,
  -- the legacy servers computed slots of an hour for 0
  coalesce(nullif((s.content ->> 'duration_minutes')::integer, 0), 60) as duration_minutes,
  private.import_time(s.content ->> 'valid_from') as valid_from,
  private.import_time(s.content ->> 'valid_until') as valid_until,
  coalesce(private.import_json(s.content ->> 'allowed_slots'), '[]') as allowed_slots,
  private.import_cents(s.content ->> 'price_amount') as price_amount,
  case
    when s.content ->> 'price_amount' is not null
      then private.import_currency(s.content ->> 'price_currency')
  end as price_currency,
  private.import_word(s.content ->> 'status') as status,
  (s.content ->> 'transferable')::boolean as transferable,
  coalesce(private.import_json(s.content ->> 'terms'), '{}') as terms,
  private.import_time(s.content ->> 'created_at') as created_at,
  (s.content ->> 'price_amount')::numeric as exact_amount,
  case
    when s.content ->> 'price_amount' is not null
      then private.import_currency(s.content ->> 'price_currency')
  end as exact_currency
from private.import_staging s;

comment on view private.import_vouchers is 'The rows of a batch of the legacy table vouchers, as they are written.';

-- sql/68_import/views/import_wrong_vouchers.sql
create view private.import_wrong_vouchers
with (security_invoker = true)
as
with voucher as not materialized (
  select
    v.id, v.status, v.holder_id, v.issued_to,
    -- a booking of its own source: whose it is and when it ends is not known yet
    exists (
      select from private.import_rejects j
      where j.legacy_table = 'voucher_bookings' and j.resolved_at is null
        and left(j.content ->> 'voucher_id', 256) = v.id
        -- no join, which may begin with all rows that were ever imported
        and j.source = any (
          (select o.shown_by from private.import_rows o where o.legacy_table = 'vouchers' and o.id = v.id)::text[]
        )
      offset 0
    ) as waits
  from public.vouchers v
)

select b.id, t.status, t.holder_id, v.issued_to
from (
  select
    b.voucher_id as id, count(*) filter (where b.status = 'booked') as active,
    (array_agg(b.holder_id order by b.created_at desc, b.id desc) filter (where b.status = 'booked')) as holders
  from public.voucher_bookings b
  join private.import_rows r on r.legacy_table = 'vouchers' and r.id = b.voucher_id
  group by b.voucher_id
) b
join voucher v on v.id = b.id
cross join lateral (
  select
    -- with a holder it is no open offer
    case when b.active > 0 then b.holders[1] when v.waits then v.holder_id end as holder_id,
    case when b.active > 0 then 'booked' else 'issued' end as status
) t
where (b.active > 0 and v.status not in ('booked', 'consumed'))
  or (b.active = 0 and v.status = 'booked')
  or (b.active = 0 and v.status = 'issued' and v.issued_to is null and v.holder_id is not null and t.holder_id is null)
  or (b.active > 0 and v.status = 'booked' and not coalesce(v.holder_id = any (b.holders), false))
union all
-- booked without a booking
select v.id, v.status, v.holder_id, v.holder_id as issued_to
from voucher v
where v.status in ('booked', 'consumed') and v.holder_id is not null and v.issued_to is null and not v.waits
  and not exists (select from public.voucher_bookings b where b.voucher_id = v.id)
  and exists (select from private.import_rows r where r.legacy_table = 'vouchers' and r.id = v.id);

comment on view private.import_wrong_vouchers is
  'The imported vouchers whose status, holder or reservation do not follow from their bookings, and what they should '
  'be: a voucher with an active booking is booked, and one that was booked without a booking is reserved for its '
  'holder. While a booking of it waits as a reject, it is neither reserved nor an open offer.';

-- sql/68_import/functions/begin_import_batch.sql
create function private.begin_import_batch()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  -- one batch at a time: two imports take turns
  perform pg_advisory_xact_lock(private.lock_number('import_batch'));
  truncate private.import_staging;
end;
$$;

comment on function private.begin_import_batch is
  'Begins a batch of an import: waits for that of another import, until the end of its transaction.';

-- sql/68_import/functions/import_batch.sql
create function private.import_batch(legacy_table text, run integer, as_one boolean)
returns table (written bigint, updated bigint, unchanged bigint, rejected bigint)
language plpgsql
volatile
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
-- the rows of a batch are few, those of the tables many: by index
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
-- a plan that must read a table whole seems expensive then, and would be compiled
set jit = off
as $$
declare
  staged bigint;
  ns     integer[];
begin
  perform set_config('portal.import', 'on', true);
  -- one lock for all rows: see tg_voucher_bookings__copy_no_overlap
  perform pg_advisory_xact_lock_shared(private.lock_number('no_overlap_of_imported'));

  select count(*) into staged from private.import_staging;

  -- an imported person is nobody's to claim, also where somebody has named its uid before; rejected rows count, too. Of
  -- one that was released only new rows count: the same file again takes back no release
  if exists (select from private.claims c where c.session_id is null) then
    delete from private.claims c
    using (
      select
        private.thinker_id(u.uid) as id,
        bool_or(
          not exists (
            select from private.import_rows r where r.legacy_table = import_batch.legacy_table and r.id = s.id
          ) and not exists (
            select from private.import_rejects j
            where j.legacy_table = import_batch.legacy_table and j.hash = s.hash
              and j.source = (select i.source from private.import_runs i where i.id = import_batch.run)
          )
        ) as is_new
      from private.import_staging s
      cross join lateral private.import_uids(s.content) as u (uid)
      group by u.uid
    ) named
    where c.thinker_id = named.id and c.session_id is null and (c.claimed_at is null or named.is_new);
  end if;

  -- subqueries, because a join may begin with all rows that were ever imported
  update private.import_rows r
  set shown_by = r.shown_by || (select i.source from private.import_runs i where i.id = import_batch.run)
  where r.legacy_table = import_batch.legacy_table
    and r.id = any (
      array(
        select s.id
        from private.import_staging s
        where s.hash = (
          select o.hash from private.import_rows o where o.legacy_table = import_batch.legacy_table and o.id = s.id
        )
      )
    )
    and (select i.source from private.import_runs i where i.id = import_batch.run) <> all (r.shown_by);
  delete from private.import_staging s
  where s.hash = (
    select r.hash from private.import_rows r where r.legacy_table = import_batch.legacy_table and r.id = s.id
  );
  -- a row whose people are not erased any more is a new one
  delete from private.import_rejects r
  where r.id = any (
    array(
      select (
        select j.id from private.import_rejects j
        where j.source = (select i.source from private.import_runs i where i.id = import_batch.run)
          and j.legacy_table = import_batch.legacy_table and j.hash = s.hash and j.reason = 'thinker_erased'
          and not exists (
            select from private.import_names(import_batch.legacy_table, s.content) as u (uid)
            join private.erased_uids e on e.hash = sha256(convert_to(u.uid, 'UTF8'))
          )
      )
      from private.import_staging s
    )
  );
  delete from private.import_staging s
  where s.mends is null and exists (
    select from private.import_rejects j
    where j.source = (select i.source from private.import_runs i where i.id = import_batch.run)
      and j.legacy_table = import_batch.legacy_table and j.hash = s.hash and j.resolved_at is not null
    offset 0
  );
  select staged - count(*) into unchanged from private.import_staging;
  staged := staged - unchanged;

  if exists (select from private.erased_uids) then
    perform private.import_refuse_erased(import_batch.legacy_table, import_batch.run);
  end if;

  update private.import_staging s
  set is_known = true
  where (select true from private.import_rows r where r.legacy_table = import_batch.legacy_table and r.id = s.id);

  ns := array(select s.n from private.import_staging s order by s.n);
  if ns <> '{}' and import_batch.as_one then
    perform private.import_write(import_batch.legacy_table, ns, import_batch.run);
  elsif ns <> '{}' then
    perform private.import_range(import_batch.legacy_table, ns, import_batch.run);
  end if;

  select count(*) filter (where not s.is_known), count(*) filter (where s.is_known and not s.is_unchanged),
    unchanged + count(*) filter (where s.is_unchanged), staged - count(*)
  into written, updated, unchanged, rejected
  from private.import_staging s;

  update private.import_rejects j
  set resolved_at = now()
  where j.resolved_at is null and j.id = any (array(select s.mends from private.import_staging s));
  update private.import_rejects j
  set resolved_at = now()
  where j.resolved_at is null and j.legacy_table = import_batch.legacy_table
    and j.row_id = any (array(select s.id from private.import_staging s))
    -- another row of this id, or the row that another source has under it, stays what it is
    and (
      j.hash = any (array(select s.hash from private.import_staging s))
      or j.reason not in ('id_taken', 'id_twice')
      and j.source = (select i.source from private.import_runs i where i.id = import_batch.run)
    );

  perform set_config('portal.import', '', true);
  truncate private.import_staging;
  return next;
end;
$$;

comment on function private.import_batch is
  'Imports the rows of private.import_staging into a table, and empties it. Rows that were imported before and have '
  'the same content, from this source or another, are left as they are. Returns how many were written, updated, '
  'unchanged and rejected. With as_one a row that is refused makes the batch fail at once: to find such rows takes '
  'long, and others wait meanwhile for what the batch has locked.';

-- sql/68_import/functions/import_charges.sql
create function private.import_charges(ns integer[], run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  since constant timestamptz := (select r.charge_from from private.import_runs r where r.id = import_charges.run);
begin
  if since is null then
    return;
  end if;

  perform private.charge(
    'voucher', 'voucher_booking', b.id, b.price_amount, b.price_currency, b.issuer_id,
    jsonb_build_object('holder', b.holder_id), b.created_at
  )
  from private.import_staging s
  join public.voucher_bookings b on b.id = s.id
  where s.n = any (import_charges.ns) and b.created_at >= since and b.holder_id <> b.issuer_id;

  perform private.reverse_charges(b, b.cancelled_at)
  from private.import_staging s
  join public.voucher_bookings b on b.id = s.id
  where s.n = any (import_charges.ns) and b.status = 'cancelled';
end;
$$;

comment on function private.import_charges is
  'Charges the bookings of a batch that were made from the day of import_runs.charge_from on, as of their own time and '
  'by the fees of that time, and reverses the charges of those that were cancelled, as of the cancellation.';

-- sql/68_import/functions/import_columns.sql
create function private.import_columns(legacy_table text)
returns text[]
language sql
stable
set search_path = ''
as $$
  select array_agg(t.attname::text order by t.attnum)
  from pg_catalog.pg_attribute t
  join pg_catalog.pg_attribute m on m.attname = t.attname
  where t.attrelid = to_regclass(format('public.%I', import_columns.legacy_table))
    and m.attrelid = to_regclass(format('private.import_%s', import_columns.legacy_table))
    and t.attnum > 0 and not t.attisdropped
$$;

comment on function private.import_columns is
  'The columns of a table that are imported: those of its view private.import_<table>, which maps the legacy columns.';

-- sql/68_import/functions/import_creators.sql
create function private.import_creators(ns integer[], run integer)
returns void
language sql
volatile
set search_path = ''
as $$
  update public.properties p
  set created_by = first.borrower_id
  from (
    select distinct on (s.content ->> 'property_id') s.content ->> 'property_id' as property_id, t.id as borrower_id
    from private.import_staging s
    join public.thinkers t on t.public_id = s.content ->> 'borrower_uid'
    where s.n = any (import_creators.ns)
    order by 1, s.n
  ) first
  -- an imported one is no operator's, which every applicant may read
  where p.id = first.property_id and p.created_by is null and (
    select (select i.source from private.import_runs i where i.id = import_creators.run) = any (r.shown_by)
    from private.import_rows r
    where r.legacy_table = 'properties' and r.id = p.id
  )
$$;

comment on function private.import_creators is
  'Sets the creator of each property that this source has brought and that has none: the borrower of the first '
  'application among these rows that names it, also where the application is rejected.';

-- sql/68_import/functions/import_digest.sql
create function private.import_digest(legacy_table text, alias text)
returns text
language sql
stable
set search_path = ''
as $$
  select format('hashtextextended(row(%s)::text, 0)', string_agg(format('%I.%I', import_digest.alias, c.name), ', '))
  from unnest(private.import_columns(import_digest.legacy_table)) as c (name)
$$;

comment on function private.import_digest is
  'The SQL of the hash of the imported columns, the same for a mapped and for a stored row of the table with this '
  'alias.';

-- sql/68_import/functions/import_kept.sql
create function private.import_kept(content jsonb)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select case
    -- more than any row of the tables
    when octet_length(import_kept.content::text) <= 262144
      and octet_length(coalesce(import_kept.content ->> 'meta', '')) <= 65536
      and not coalesce(import_kept.content -> 'meta' ? 'base64', false)
      then import_kept.content
    else (
      select jsonb_object_agg(
        left(v.name, 100),
        case
          when char_length(v.text) <= 1000 and not (v.name = 'meta' and v.value ? 'base64') then v.value
          -- an erasure reads meta as JSON, which its beginning is not
          else jsonb_build_object(
            'cut', left(v.text, case v.name when 'meta' then 0 else 1000 end), 'bytes', octet_length(v.text)
          )
        end
      )
      from (
        select e.key as name, e.value, e.value #>> '{}' as text from jsonb_each(import_kept.content) as e
      ) v
    )
  end
$$;

comment on function private.import_kept is
  'What a reject keeps of a row: all of it, or, where it has more than 256 KiB or its meta more than 64 KiB, the first '
  '1,000 characters of each longer value, of meta none, as {"cut", "bytes" (of the whole value)}: a hostile file has '
  'large rows, all of which are rejected. It keeps nothing of a meta that is not text, because an erasure finds no '
  'names in it.';

-- sql/68_import/functions/import_key.sql
create function private.import_key(legacy_table text, id text)
returns text
language sql
stable
set search_path = ''
as $$
  select case a.atttypid
    when 'uuid'::regtype then format('private.import_uuid(%s)', import_key.id)
    else import_key.id
  end
  from pg_catalog.pg_attribute a
  where a.attrelid = to_regclass(format('public.%I', import_key.legacy_table)) and a.attname = 'id'
$$;

comment on function private.import_key is
  'The SQL of the id of an imported row, from the SQL of its legacy id.';

-- sql/68_import/functions/import_left.sql
create function private.import_left(legacy_table text, content jsonb)
returns jsonb
language sql
immutable
set search_path = ''
return case
  when legacy_table = 'voucher_bookings' and content ->> 'voucher_id' <> ''
    then jsonb_build_object('voucher_id', left(content ->> 'voucher_id', 256))
  else '{}'
end;

comment on function private.import_left is
  'What a reject keeps of a row that names an erased thinker: of a booking the voucher, because another one held it '
  '(private.my_contract_links), and of any other row nothing.';

-- sql/68_import/functions/import_names.sql
create function private.import_names(legacy_table text, content jsonb)
returns setof text
language plpgsql
immutable
set search_path = ''
as $$
declare
  meta jsonb;
begin
  return query select u.uid from private.import_uids(content) as u (uid);
  if import_names.legacy_table = 'events' then
    if (content ->> 'subject_type' = any ('{contract,mortgage_application,mortgage_offer,telemetry,transfer,voucher,'
      'voucher_booking}')) is not true then
      return next content ->> 'subject_id';
    end if;
    -- of a longer one the row is rejected later
    if octet_length(content ->> 'meta') <= 65536 then
      begin
        meta := (content ->> 'meta')::jsonb;
        if jsonb_typeof(meta) = 'object' then
          meta := meta - array(
            select m.key
            from jsonb_each(meta) m
            where jsonb_typeof(m.value) = 'string' and m.key = any (
              '{applicationId,desiredLoan,direction,path,propertyId,roomId,serviceType,slotStart,storageUrl,type,'
              'voucherId}'
            )
          );
        end if;
        return query select s.text #>> '{}'
          from jsonb_path_query(meta, 'strict $.** ? (@.type() == "string")') as s (text);
      exception
        -- broken JSON: the row is rejected later, without what it may have named
        when data_exception or program_limit_exceeded then
          return query select s.text from regexp_split_to_table(content ->> 'meta', '"') as s (text);
      end;
    end if;
  end if;
end;
$$;

comment on function private.import_names is
  'The texts of a legacy row that are or may be uids: those of private.import_uids, and of an event also its subject '
  'and each text in its meta, but for the ids, words and times of other things that the legacy servers wrote there.';

-- sql/68_import/functions/import_people.sql
create function private.import_people(ns integer[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  insert into public.thinkers (id, public_id)
  select distinct private.thinker_id(u.uid), u.uid
  from private.import_staging s
  cross join lateral private.import_uids(s.content) as u (uid)
  where s.n = any (import_people.ns) and char_length(u.uid) <= 255
    and not exists (select from private.erased_uids e where e.hash = sha256(convert_to(u.uid, 'UTF8')))
  order by 1
  on conflict do nothing;
end;
$$;

comment on function private.import_people is
  'Creates the thinkers whose uids rejected rows of a batch name, without those that were erased: a later row is '
  'theirs, and until then they are nobody''s to claim.';

-- sql/68_import/functions/import_prerequisites.sql
create function private.import_prerequisites(legacy_table text, ns integer[], run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  origin constant text := (select i.source from private.import_runs i where i.id = import_prerequisites.run);
begin
  perform private.import_thinkers(import_prerequisites.ns);

  case import_prerequisites.legacy_table
    when 'voucher_bookings' then
      -- as book_voucher and cancel_booking do: the voucher first, in one order
      perform v.id
      from public.vouchers v
      where v.id = any (
        array(
          select s.content ->> 'voucher_id' from private.import_staging s where s.n = any (import_prerequisites.ns)
        )
      )
      order by v.id
      for no key update;
    when 'mortgage_applications' then
      insert into public.properties (id, created_by)
      select distinct on (m.property_id) m.property_id, m.borrower_id
      from private.import_mortgage_applications m
      where m.n = any (import_prerequisites.ns) and m.property_id is not null
      order by m.property_id, m.n
      on conflict (id) do nothing;
      perform private.import_creators(import_prerequisites.ns, import_prerequisites.run);
    when 'mortgage_offers' then
      if exists (
        select from private.import_mortgage_offers m
        where m.n = any (import_prerequisites.ns) and m.status = 'accepted'
      ) then
        raise sqlstate 'IM409' using message = 'offer_is_accepted';
      end if;
      insert into public.rooms (id, owner_id, meta, created_at)
      select m.room_refs ->> 'negotiationRoomId', m.lender_id,
        jsonb_build_object('source', 'mortgage', 'offer_id', m.id), m.created_at
      from private.import_mortgage_offers m
      where m.n = any (import_prerequisites.ns)
        -- the lender may have named other rooms, which are not created for it
        and m.room_refs ->> 'negotiationRoomId' = 'mortgage:offer:' || m.id
      order by 1
      on conflict (id) do nothing;
      if exists (
        select from private.import_mortgage_offers m
        -- one that another source has brought may be the same
        join private.import_staging s on s.n = m.n and not s.is_known
        where m.n = any (import_prerequisites.ns)
          and private.import_room_is_taken('mortgage:offer:' || m.id, array[m.lender_id], origin)
      ) then
        raise sqlstate 'IM409' using message = 'room_taken';
      end if;
    when 'contract_links' then
      -- an offer under way would not be seen
      perform pg_advisory_xact_lock(private.lock_number(m.room_id))
      from (
        select distinct m.room_id
        from private.import_contract_links m
        where m.n = any (import_prerequisites.ns) and starts_with(m.room_id, 'mortgage:offer:')
        order by m.room_id
      ) m;
      insert into public.rooms (id, type, owner_id, meta, created_at)
      select distinct on (m.room_id) m.room_id, 'contract', c.created_by, '{"source": "import"}'::jsonb, m.created_at
      from private.import_contract_links m
      left join public.contracts c on c.id = m.contract_id
      where m.n = any (import_prerequisites.ns) and m.room_id is not null
      order by m.room_id, m.n
      on conflict (id) do nothing;
      if exists (
        -- once for each room, whose documents are all looked at
        select from (
          select m.room_id, array_agg(distinct c.created_by) as creators
          from private.import_contract_links m
          left join public.contracts c on c.id = m.contract_id
          where m.n = any (import_prerequisites.ns)
          group by m.room_id
        ) m
        where private.import_room_is_taken(m.room_id, m.creators, origin)
      ) then
        raise sqlstate 'IM409' using message = 'room_taken';
      end if;
      -- the old servers let everybody store in any room: one of several creators becomes nobody's
      update public.rooms o
      set owner_id = null
      where o.id = any (
        array(
          select m.room_id
          from private.import_contract_links m
          join public.rooms r on r.id = m.room_id and r.meta = '{"source": "import"}'
          left join public.contracts c on c.id = m.contract_id
          where m.n = any (import_prerequisites.ns) and r.owner_id is not null
            and c.created_by is distinct from r.owner_id
        )
      );
    else null;
  end case;
end;
$$;

comment on function private.import_prerequisites is
  'Creates what the rows of a batch refer to and the API would create, too: thinkers, properties and rooms. Locks the '
  'vouchers of bookings. '
  'Refuses with offer_is_accepted, because the legacy store has no contract for it; with room_taken where the row '
  'would become part of what somebody made here under that id.';

-- sql/68_import/functions/import_range.sql
create function private.import_range(legacy_table text, ns integer[], run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  half    constant integer := cardinality(import_range.ns) / 2;
  state   text;
  name    text;
  message text;
  detail  text;
  col     text;
  why     text;
  told    text;
begin
  perform private.import_write(import_range.legacy_table, import_range.ns, import_range.run);
exception when others then
  get stacked diagnostics state = returned_sqlstate, name = constraint_name, message = message_text,
    detail = pg_exception_detail, col = column_name;
  why := private.import_reason(state, name, message);
  if why is null then
    raise;
  end if;

  if half > 0 then
    perform private.import_range(import_range.legacy_table, import_range.ns[:half], import_range.run);
    perform private.import_range(import_range.legacy_table, import_range.ns[half + 1:], import_range.run);
    return;
  end if;

  -- a code of SQL says what is wrong; PostgreSQL's own errors need their message
  told := case
    when state like 'PT%' or state like 'IM%' then nullif(detail, '')
    else concat_ws(': ', nullif(col, ''), message)
  end;
  update private.import_rejects j
  set reason = why, detail = left(told, 1000), run = import_range.run
  from private.import_staging s
  where s.n = import_range.ns[1] and j.id = s.mends and j.resolved_at is null;
  if not found then
    insert into private.import_rejects (source, legacy_table, row_id, hash, content, reason, detail, run)
    select
      -- an index holds no long id
      i.source, import_range.legacy_table, left(s.id, 500), s.hash, private.import_kept(s.content), why,
      left(told, 1000), i.id
    from private.import_staging s
    join private.import_runs i on i.id = import_range.run
    where s.n = import_range.ns[1]
    on conflict on constraint a_row_is_rejected_once do update
    set reason = excluded.reason, detail = excluded.detail, run = excluded.run;
  end if;
  -- a mended row is theirs: until then nobody may claim them
  begin
    perform private.import_thinkers(import_range.ns[1:1]);
  exception when others then
    -- its time cannot be read, or one of its uids cannot be stored
    perform private.import_people(import_range.ns[1:1]);
  end;
  if import_range.legacy_table = 'mortgage_applications' then
    -- and the property is not the next applicant's
    perform private.import_creators(import_range.ns[1:1], import_range.run);
  end if;
  delete from private.import_staging s where s.n = import_range.ns[1];
end;
$$;

comment on function private.import_range is
  'Writes the rows of a batch with these numbers. If one of them is refused, writes each half of them by itself, down '
  'to the row, which becomes a reject: a batch without bad rows is one statement.';

-- sql/68_import/functions/import_reason.sql
create function private.import_reason(state text, constraint_name text, message text)
returns text
language sql
immutable
set search_path = ''
as $$
  select case
    when state like 'PT%' or state like 'IM%' then message
    when state = '23514' then constraint_name
    when state = '23503' and constraint_name like '%voucher_id_fkey' then 'voucher_missing'
    when state = '23503' and constraint_name like '%application_id_fkey' then 'application_missing'
    when state = '23503' and constraint_name like '%contract_id_fkey' then 'contract_missing'
    when state = '23503' then constraint_name
    when state = '23P01' then 'slot_taken'
    when state = '23505' then 'id_taken'
    when state = '23502' then 'value_missing'
    when state in ('22P05', '22021') then 'text_unreadable'
    when state = '54000' then 'text_too_long'
    when state = '54001' then 'json_unreasonable'
    when state in ('22007', '22008') then 'date_invalid'
    when state = '22P02' and message like '%type json%' then 'json_invalid'
    when state like '22%' then 'value_invalid'
  end
$$;

comment on function private.import_reason is
  'The reason to reject a row for which PostgreSQL raised this error: a code that SQL raises, the name of a check, or '
  'one of docs/import.md; null for an error that is not the row''s, such as a full disk.';

-- sql/68_import/functions/import_refuse.sql
create function private.import_refuse(legacy_table text, ns integer[], run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  origin constant text := (select i.source from private.import_runs i where i.id = import_refuse.run);
begin
  if exists (select from private.import_staging s where s.n = any (import_refuse.ns) and s.unreadable) then
    raise sqlstate 'IM400' using message = 'text_unreadable';
  end if;

  -- history is over: a later charge would be in no settlement, and a later event would be the newest for years
  if exists (
    select from private.import_staging s
    cross join unnest(
      array[s.content ->> 'created_at', s.content ->> 'updated_at', s.content ->> 'cancelled_at']
    ) as t (text)
    where s.n = any (import_refuse.ns) and private.import_time(t.text) > now()
  ) then
    raise sqlstate 'IM400' using message = 'date_in_the_future';
  end if;

  if import_refuse.legacy_table = 'events' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns)
      and private.import_time(s.content ->> 'created_at') < now() - interval '20 years'
  ) then
    -- the default partition, which no job drops, would keep it (private.make_event_partitions)
    raise sqlstate 'IM400' using message = 'date_too_old';
  end if;
  if import_refuse.legacy_table = 'events' and exists (
    select from private.import_staging s
    -- ids of events made here are of version 7
    where s.n = any (import_refuse.ns) and not s.is_known and s.id like '________-____-7%'
      and exists (select from public.events e where e.id = private.import_uuid(s.id))
  ) then
    -- the key has the time, too: the event made here would count as imported
    raise sqlstate 'IM409' using message = 'id_taken';
  end if;
  if import_refuse.legacy_table = 'voucher_bookings' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns)
      and private.import_time(s.content ->> 'slot_end') - private.import_time(s.content ->> 'slot_start')
      > interval '366 days'
  ) then
    raise sqlstate 'IM400' using message = 'slot_too_long';
  end if;
  if import_refuse.legacy_table = 'contracts' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and (s.content ->> 'byte_size')::numeric > 100 * 1024 * 1024
  ) then
    -- it counts before its bytes are there (private.document_total)
    raise sqlstate 'IM400' using message = 'document_too_large';
  end if;

  -- before login tokens are sought in them, which takes minutes in megabytes
  if import_refuse.legacy_table = 'telemetry_events' then
    if exists (
      select from private.import_staging s
      where s.n = any (import_refuse.ns) and char_length(s.content ->> 'type') > 255
    ) then
      raise check_violation using message = 'too long', constraint = 'telemetry_type_has_1_to_255_characters';
    end if;
    if exists (
      select from private.import_staging s
      where s.n = any (import_refuse.ns) and char_length(s.content ->> 'path') > 4096
    ) then
      raise check_violation using message = 'too long', constraint = 'path_has_at_most_4096_characters';
    end if;
  end if;
  -- nor is an erased uid sought in more (private.import_names)
  if import_refuse.legacy_table in ('events', 'telemetry_events') and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and octet_length(s.content ->> 'meta') > 65536
  ) then
    raise sqlstate 'IM400' using message = 'json_unreasonable';
  end if;

  -- what somebody made here under an id of the source, also after its own row was erased, or what another source has
  -- under it, is not what the source's rows mean
  if import_refuse.legacy_table in ('voucher_bookings', 'contract_links') and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and s.content ->> 'voucher_id' <> '' and (
      -- no join, which may begin with all rows that were ever imported
      select (select v.created_at from public.vouchers v where v.id = r.id) <= r.imported_at
      from private.import_rows r
      where r.legacy_table = 'vouchers' and r.id = s.content ->> 'voucher_id' and origin = any (r.shown_by)
    ) is not true
  ) then
    raise sqlstate 'IM409' using message = 'voucher_missing';
  end if;
  if import_refuse.legacy_table = 'properties' and exists (
    select from private.import_staging s
    join public.properties p on p.id = s.id
    where s.n = any (import_refuse.ns) and s.is_known and p.created_by is not null
      and not exists (
        select from public.mortgage_applications a
        join private.import_rows r on r.legacy_table = 'mortgage_applications' and r.id = a.id
        where a.property_id = p.id and a.borrower_id = p.created_by and a.created_at <= r.imported_at
      )
  ) then
    raise sqlstate 'IM409' using message = 'changed_here';
  end if;
  if import_refuse.legacy_table = 'voucher_bookings' and exists (
    select from private.import_staging s
    join public.vouchers v on v.id = s.content ->> 'voucher_id'
    where s.n = any (import_refuse.ns) and s.content ->> 'issuer_uid' <> ''
      and v.issuer_id <> private.thinker_id(s.content ->> 'issuer_uid')
  ) then
    raise sqlstate 'IM409' using message = 'issuer_differs';
  end if;
  if import_refuse.legacy_table = 'mortgage_applications' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and not s.is_known
      -- the second is what the servers write where none is given: it belongs to nobody
      and s.content ->> 'property_id' not in ('', 'house-unknown')
      and (select true from public.properties p where p.id = s.content ->> 'property_id')
      and (
        select origin = any (r.shown_by)
        from private.import_rows r
        where r.legacy_table = 'properties' and r.id = s.content ->> 'property_id'
      ) is not true
      -- an application of this source may have made it
      and not exists (
        select from public.mortgage_applications a
        where a.property_id = s.content ->> 'property_id' and (
          select a.created_at <= r.imported_at and origin = any (r.shown_by)
          from private.import_rows r
          where r.legacy_table = 'mortgage_applications' and r.id = a.id
        )
        offset 0
      )
  ) then
    raise sqlstate 'IM409' using message = 'property_taken';
  end if;
  if import_refuse.legacy_table = 'mortgage_offers' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and s.content ->> 'application_id' <> '' and (
      select (select a.created_at from public.mortgage_applications a where a.id = r.id) <= r.imported_at
      from private.import_rows r
      where r.legacy_table = 'mortgage_applications' and r.id = s.content ->> 'application_id'
        and origin = any (r.shown_by)
    ) is not true
  ) then
    raise sqlstate 'IM409' using message = 'application_missing';
  end if;
  if import_refuse.legacy_table = 'contract_links' and exists (
    select from private.import_staging s
    where s.n = any (import_refuse.ns) and s.content ->> 'contract_id' <> '' and (
      select origin = any (r.shown_by)
      from private.import_rows r
      where r.legacy_table = 'contracts' and r.id = s.content ->> 'contract_id'
    ) is not true
  ) then
    raise sqlstate 'IM409' using message = 'contract_missing';
  end if;
end;
$$;

comment on function private.import_refuse is
  'Refuses rows of a batch with text_unreadable; with date_in_the_future; an event with date_too_old where it is more '
  'than twenty years old, and with id_taken where one made here has its id; with slot_too_long a booking of '
  'more than 366 days; with document_too_large one of more than 100 MiB; what pages report, where it is too long '
  'before its login tokens are hidden; with voucher_missing, property_taken, application_missing and contract_missing '
  'where the row would become part of what somebody made here under that id, or another source; with issuer_differs; '
  'with changed_here where somebody made an erased property here again.';

-- sql/68_import/functions/import_refuse_erased.sql
create function private.import_refuse_erased(legacy_table text, run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  ns constant integer[] := array(
    select s.n
    from private.import_staging s
    where exists (
      select from private.import_names(import_refuse_erased.legacy_table, s.content) as u (uid)
      join private.erased_uids e on e.hash = sha256(convert_to(u.uid, 'UTF8'))
    )
  );
  origin constant text := (select i.source from private.import_runs i where i.id = import_refuse_erased.run);
  firsts integer[];
begin
  perform private.import_people(ns);
  if import_refuse_erased.legacy_table = 'mortgage_applications' then
    firsts := array(
      select s.n
      from (
        select distinct on (s.content ->> 'property_id') s.n from private.import_staging s
        order by s.content ->> 'property_id', s.n
      ) s
      where s.n = any (ns)
    );
    perform private.import_creators(firsts, import_refuse_erased.run);
    -- the next applicant must not read what an erased borrower has named
    update public.properties p
    set address = null, meta = '{}'
    where p.created_by is null and p.id = any (
      array(select s.content ->> 'property_id' from private.import_staging s where s.n = any (firsts))
    ) and (
      select origin = any (r.shown_by)
      from private.import_rows r
      where r.legacy_table = 'properties' and r.id = p.id
    );
  end if;
  with refused as (
    delete from private.import_staging s where s.n = any (ns) returning s.id, s.hash, s.content
  )
  insert into private.import_rejects (source, legacy_table, row_id, hash, content, reason, run, resolved_at)
  -- a list may have a row twice
  select distinct on (r.hash) origin, import_refuse_erased.legacy_table, left(r.id, 500), r.hash,
    private.import_left(import_refuse_erased.legacy_table, r.content), 'thinker_erased',
    import_refuse_erased.run, now()
  from refused r
  on conflict on constraint a_row_is_rejected_once do update
  set content = excluded.content, reason = excluded.reason, detail = null, run = excluded.run,
    resolved_at = excluded.resolved_at;
end;
$$;

comment on function private.import_refuse_erased is
  'Takes the rows that name an erased thinker (private.erased_uids) out of a batch. Each is remembered by its hash, '
  'without its content (private.import_left), as a reject that is settled: a later run knows it.';

-- sql/68_import/functions/import_report.sql
create function private.import_report(source text)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  report jsonb := jsonb_build_object();
  part   jsonb;
  item   record;
begin
  for item in
    select *
    from (
      values
        ('transfers', 't.fiat_amount'), ('vouchers', 't.price_amount'), ('voucher_bookings', null),
        ('properties', null), ('mortgage_applications', 't.desired_loan'), ('mortgage_offers', 't.monthly_payment'),
        ('contracts', null), ('contract_links', null), ('events', null), ('telemetry_events', null)
    ) as known (name, amount)
  loop
    execute format(
      'with compared as materialized (
         select r.digest as source, t.id is not null as is_there, %1$s as target, r.currency, r.amount as source_amount,
           %2$s::numeric as target_amount
         from private.import_rows r
         left join public.%3$I t on t.id = %4$s
         where r.legacy_table = %3$L and r.source = $1
       )
       select jsonb_build_object(
         ''rows'', count(*),
         ''missing'', count(*) filter (where not c.is_there),
         ''changed_here'', count(*) filter (where c.is_there and c.source <> c.target),
         ''source_checksum'', to_hex(coalesce(bit_xor(c.source), 0)),
         ''target_checksum'', to_hex(coalesce(bit_xor(case when c.is_there then c.target end), 0)),
         ''sums'', coalesce(
           (
             select jsonb_agg(to_jsonb(s) order by s.currency)
             from (
               select c.currency, trim_scale(sum(c.source_amount))::text as source,
                 sum(c.target_amount)::text as target,
                 trim_scale(sum(round(c.source_amount) - c.source_amount))::text as rounding
               from compared c
               where c.source_amount is not null
               group by c.currency
             ) s
           ),
           ''[]''
         )
       )
       from compared c',
      private.import_digest(item.name, 't'), coalesce(item.amount, 'null'), item.name,
      private.import_key(item.name, 'r.id')
    ) into part using import_report.source;
    report := report || jsonb_build_object(item.name, part);
  end loop;
  return report;
end;
$$;

comment on function private.import_report is
  'Compares all rows that were imported from a source with what the tables have now, by table: rows, how many are '
  'missing or were changed here since, checksums and sums of amounts (texts, in minor units) on both sides, and what '
  'the rounding of fractions of a minor unit added.';

-- sql/68_import/functions/import_room_is_taken.sql
create function private.import_room_is_taken(room text, creators uuid[], origin text)
returns boolean
language sql
stable
set search_path = ''
as $$
  select
    -- the parties of a mortgage have a room by its name, whether it was made or not
    exists (
      select from public.mortgage_offers o
      where o.id = substr(import_room_is_taken.room, 1 + length('mortgage:offer:'))
        and import_room_is_taken.room = 'mortgage:offer:' || o.id
        and not exists (
          select from private.import_rows r
          where r.legacy_table = 'mortgage_offers' and r.id = o.id and o.created_at <= r.imported_at
            and import_room_is_taken.origin = any (r.shown_by)
        )
    )
    or exists (
      select from public.mortgage_contracts c where import_room_is_taken.room = 'mortgage:contract:' || c.id
    )
    or exists (
      select from public.rooms o
      where o.id = import_room_is_taken.room
        and exists (
          select from unnest(import_room_is_taken.creators) as c (id) where c.id is distinct from o.owner_id
        )
        -- made by an import: of a document, or of an offer
        and o.meta <> '{"source": "import"}'
        and not exists (
          select from private.import_rows r
          where r.legacy_table = 'mortgage_offers'
            and r.id = substr(o.id, 1 + length('mortgage:offer:'))
            and o.id = 'mortgage:offer:' || r.id
        )
    )
    or exists (
      select from public.rooms o
      where o.id = import_room_is_taken.room
        -- a borrower reads with the owner, from the offer on
        and (
          exists (
            select from unnest(import_room_is_taken.creators) as c (id) where c.id is distinct from o.owner_id
          )
          or starts_with(o.id, 'mortgage:offer:') and not exists (
            select from public.mortgage_offers m where m.id = substr(o.id, 1 + length('mortgage:offer:'))
          )
        )
        -- of another source; no join, which may begin with all documents
        and exists (
          select from public.contract_links l
          where l.room_id = o.id and not exists (
            select from private.import_rows r
            where r.legacy_table = 'contract_links' and private.import_uuid(r.id) = l.id
              and import_room_is_taken.origin = any (r.shown_by)
          )
          offset 0
        )
    )
$$;

comment on function private.import_room_is_taken is
  'Whether a room of this id is one that neither this source has brought nor all of these thinkers own, or one of an '
  'offer or with documents that others have brought: those who have it would see what an import puts into it.';

-- sql/68_import/functions/import_thinkers.sql
create function private.import_thinkers(ns integer[])
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  missing text[];
begin
  select array_agg(named.uid) into missing
  from (
    select distinct u.uid
    from private.import_staging s
    cross join lateral private.import_uids(s.content) as u (uid)
    where s.n = any (import_thinkers.ns)
  ) named
  where not exists (select from public.thinkers t where t.public_id = named.uid);

  insert into public.thinkers (id, public_id, created_at)
  select private.thinker_id(u.uid), u.uid, least(min(private.import_time(s.content ->> 'created_at')), now())
  from private.import_staging s
  cross join lateral private.import_uids(s.content) as u (uid)
  where missing is not null and s.n = any (import_thinkers.ns) and u.uid = any (missing)
  group by u.uid
  -- the order in which other transactions create them, too
  order by 1
  on conflict do nothing;

  -- somebody else may have named one of them since the batch began
  if exists (select from private.claims c where c.session_id is null) then
    delete from private.claims c
    using (
      select private.thinker_id(u.uid) as id
      from private.import_staging s
      cross join lateral private.import_uids(s.content) as u (uid)
      where s.n = any (import_thinkers.ns)
    ) named
    where c.thinker_id = named.id and c.session_id is null and c.claimed_at is null;
  end if;
end;
$$;

comment on function private.import_thinkers is
  'Creates the thinkers whose uids the rows of a batch name, as of the first row that names them. '
  'They are nobody''s to claim.';

-- sql/68_import/functions/import_uids.sql
create function private.import_uids(content jsonb)
returns setof text
language plpgsql -- caches the plan for the next call
immutable
set search_path = ''
as $$
declare
  uid text;
begin
  foreach uid in array array[
    content ->> 'issuer_uid', content ->> 'holder_uid', content ->> 'borrower_uid', content ->> 'lender_uid',
    content ->> 'actor_uid', content ->> 'actor_id', content ->> 'created_by'
  ] loop
    if uid <> '' then
      return next uid;
    end if;
  end loop;
end;
$$;

comment on function private.import_uids is 'The uids that a legacy row names.';

-- sql/68_import/functions/import_voucher_states.sql
create function private.import_voucher_states(vouchers text[])
returns bigint
language plpgsql
volatile
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  changed bigint;
begin
  perform pg_advisory_xact_lock(private.lock_number('import_batch'));
  perform set_config('portal.import', 'on', true);

  perform from public.vouchers v where v.id = any (import_voucher_states.vouchers) order by v.id for no key update;
  -- after waiting, this statement sees what others have changed
  execute format(
    'with wrong as materialized (
       select w.*, v.issued_to as was from private.import_wrong_vouchers w join public.vouchers v on v.id = w.id
       where w.id = any ($1)
     ),
     t as (
       update public.vouchers v
       set status = w.status, holder_id = w.holder_id, issued_to = w.issued_to
       from wrong w
       where v.id = w.id
       returning v.*
     ),
     kept as (
       update private.import_rows r set digest = %s from t where r.legacy_table = ''vouchers'' and r.id = t.id
     )
     select count(*) from wrong w where w.issued_to is not distinct from w.was',
    private.import_digest('vouchers', 't')
  ) into changed using import_voucher_states.vouchers;
  perform set_config('portal.import', '', true);
  return changed;
end;
$$;

comment on function private.import_voucher_states is
  'Lets status, holder and reservation of these imported vouchers follow from their bookings, where the legacy servers '
  'left them otherwise (private.import_wrong_vouchers). Returns how many have another status or holder by that. Others '
  'wait for these vouchers: give it few.';

-- sql/68_import/functions/import_write.sql
create function private.import_write(legacy_table text, ns integer[], run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  columns   constant text[] := private.import_columns(import_write.legacy_table);
  names     constant text := (select string_agg(format('%I', c.name), ', ') from unnest(columns) as c (name));
  of_stored constant text := private.import_digest(import_write.legacy_table, 't');
  of_mapped constant text := private.import_digest(import_write.legacy_table, 'm');
  key       constant text := private.import_key(import_write.legacy_table, 's.id');
  fresh     integer[];
  known     integer[];
  changed   text[];
  given     text[];
  refusal   text;
  origin    text;
  is_stored boolean;
begin
  perform private.import_refuse(import_write.legacy_table, import_write.ns, import_write.run);
  perform private.import_prerequisites(import_write.legacy_table, import_write.ns, import_write.run);

  select array_agg(s.n) filter (where not s.is_known), array_agg(s.n) filter (where s.is_known)
  into fresh, known
  from private.import_staging s
  where s.n = any (import_write.ns);

  if known is not null then
    select min(r.source) into origin
    from private.import_staging s
    join private.import_rows r on r.legacy_table = import_write.legacy_table and r.id = s.id
    where s.n = any (known)
      and r.source <> (select i.source from private.import_runs i where i.id = import_write.run);
    -- two sources may show one store, and a source may write the same in another way than before
    execute format(
      'with same as (
         update private.import_staging s
         set is_unchanged = true
         from private.import_%s m
         join private.import_rows r on r.legacy_table = $2 and r.id = m.legacy_id
         join private.import_runs i on i.id = $1
         where s.n = m.n and m.n = any ($3) and %s = r.digest
           and (r.source <> i.source or r.run <> i.id and not exists (
             select from private.import_rejects j
             where j.source = r.source and j.legacy_table = r.legacy_table and j.hash = s.hash
               and j.reason in (''id_taken'', ''id_twice'')
           ))
         returning s.n, s.id, s.hash, i.source
       ),
       kept as (
         update private.import_rows r
         set shown_by = case when s.source = any (r.shown_by) then r.shown_by else r.shown_by || s.source end,
           hash = case r.source when s.source then s.hash else r.hash end
         from same s
         where r.legacy_table = $2 and r.id = s.id
       )
       select array(select n from unnest($3) as n except select n from same)',
      import_write.legacy_table, of_mapped
    ) into known using import_write.run, import_write.legacy_table, known;

    execute format(
      'select min(case
         when r.run = $1 or r.source <> i.source or exists (
           select from private.import_rejects j
           where j.source = r.source and j.legacy_table = r.legacy_table and j.hash = s.hash
             and j.reason in (''id_taken'', ''id_twice'')
         ) then ''id_twice''
         when t.id is null or %s <> r.digest then ''changed_here''
       end)
       from private.import_staging s
       join private.import_runs i on i.id = $1
       join private.import_rows r on r.legacy_table = $2 and r.id = s.id
       left join public.%I t on t.id = %s
       where s.n = any ($3)',
      of_stored, import_write.legacy_table, key
    ) into refusal using import_write.run, import_write.legacy_table, known;
    if refusal is not null then
      raise sqlstate 'IM409' using message = refusal, detail = coalesce('imported from ' || origin, '');
    end if;

    -- only what differs: most columns of bookings never change
    execute format(
      'select array_remove(array[%s], null), array_remove(array[%s], null)
       from private.import_%s m
       join public.%I t on t.id = m.id
       where m.n = any ($1)',
      (
        select string_agg(format('case when bool_or(t.%1$I is distinct from m.%1$I) then %1$L end', c.name), ', ')
        from unnest(columns) as c (name)
      ),
      (
        select coalesce(
          string_agg(
            format('case when bool_or(t.%1$I is distinct from m.%1$I and m.%1$I is not null) then %1$L end', a.attname),
            ', '
          ),
          'null::text'
        )
        from pg_catalog.pg_constraint c
        join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
        where c.conrelid = to_regclass(format('public.%I', import_write.legacy_table)) and c.contype = 'f'
          and a.attname = any (columns)
          -- who booked a voucher
          and (import_write.legacy_table, a.attname) <> ('vouchers', 'holder_id')
      ),
      import_write.legacy_table, import_write.legacy_table
    ) into changed, given using known;
    if given <> '{}' then
      -- no server ever gave a row to another: this one is of another store
      raise sqlstate 'IM409' using message = 'append_only', detail = array_to_string(given, ', ');
    end if;
    if changed <> '{}' then
      execute format(
        'update public.%I t set %s from private.import_%s m where m.n = any ($1) and t.id = m.id',
        import_write.legacy_table,
        (select string_agg(format('%1$I = m.%1$I', c.name), ', ') from unnest(changed) as c (name)),
        import_write.legacy_table
      ) using known;
    end if;
    execute format(
      'with plain as materialized (
         select m.* from private.import_%s m where m.n = any ($3)
       ),
       mapped as materialized (
         select m.*, %s as digest from plain m
       ),
       kept as (
         update private.import_rows r
         set hash = m.hash, digest = m.digest, amount = m.exact_amount, currency = m.exact_currency, run = $1,
           imported_at = now()
         from mapped m
         where r.legacy_table = $2 and r.id = m.legacy_id
       )
       select count(*) = count(t.id)
       from mapped m
       left join public.%I t on t.id = m.id and %s = m.digest',
      import_write.legacy_table, of_mapped, import_write.legacy_table, of_stored
    ) into is_stored using import_write.run, import_write.legacy_table, known;
    if not is_stored then
      raise sqlstate 'IM409' using message = 'stored_differently';
    end if;
  end if;

  if fresh is not null then
    execute format(
      -- in two steps, because the digest would compute every column again
      'with plain as materialized (
         select m.* from private.import_%s m where m.n = any ($3)
       ),
       mapped as materialized (
         select m.*, %s as digest from plain m order by m.n
       ),
       stored as (
         insert into public.%I as t (%s) select %s from mapped returning %s as digest
       ),
       kept as (
         insert into private.import_rows (legacy_table, id, source, shown_by, hash, digest, amount, currency, run)
         select $2, m.legacy_id, i.source, array[i.source], m.hash, m.digest, m.exact_amount, m.exact_currency, i.id
         from mapped m
         cross join (select i.id, i.source from private.import_runs i where i.id = $1) i
         returning digest
       )
       select s.rows = cardinality($3) and k.rows = s.rows and k.digests = s.digests
       from (select count(*) as rows, bit_xor(digest) as digests from stored) s
       cross join (select count(*) as rows, bit_xor(digest) as digests from kept) k',
      import_write.legacy_table, of_mapped, import_write.legacy_table, names, names, of_stored
    ) into is_stored using import_write.run, import_write.legacy_table, fresh;
    if not is_stored then
      raise sqlstate 'IM409' using message = 'stored_differently';
    end if;
    if import_write.legacy_table = 'voucher_bookings' then
      perform private.import_charges(fresh, import_write.run);
    end if;
  end if;
end;
$$;

comment on function private.import_write is
  'Writes the rows of a batch with these numbers, new ones and known ones whose content is another by now, all or '
  'none. Marks as unchanged what becomes the same as what a source has brought. Compares the hash of what was mapped '
  'with that of what was stored. '
  'Refuses with changed_here, id_twice, stored_differently, and what the tables refuse.';

-- sql/68_import/functions/make_import_partitions.sql
create function private.make_import_partitions(months text[])
returns void
language plpgsql
volatile
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '500ms'
as $$
declare
  month timestamptz;
begin
  perform pg_advisory_xact_lock(private.lock_number('make_event_partitions'));
  for month in
    select m.month
    from (select (name || '-01')::timestamptz as month from unnest(make_import_partitions.months) as name) m
    where m.month between now() - interval '20 years' and now()
      and not exists (select from private.event_partitions() p where m.month >= p.starts_at and m.month < p.ends_at)
      -- private.make_event_partitions moves these
      and not exists (
        select from private.events_default e
        where e.created_at >= m.month and e.created_at < m.month + interval '1 month'
      )
    order by 1
  loop
    lock table public.thinkers in share row exclusive mode;
    perform private.make_event_partition(month);
  end loop;
end;
$$;

comment on function private.make_import_partitions is
  'Creates the missing partitions of public.events for months such as 2026-10, before an import writes their events. '
  'Fails with lock_not_available instead of waiting longer than half a second. '
  'Raises: append_only (403).';

-- sql/69_persons/tables/erased_uids.sql
create table private.erased_uids (
  hash bytea primary key,

  constraint hash_is_a_sha256 check (octet_length(hash) = 32)
);

comment on table private.erased_uids is
  'The thinkers that were erased (private.erase_thinker): an import takes no row that names one. Without a time, which '
  'would lead to the pseudonym.';
comment on column private.erased_uids.hash is 'SHA-256 of the uid.';

alter table private.erased_uids enable row level security;

-- sql/69_persons/functions/add_count.sql
create function private.add_count(counts jsonb, relation text, what text, changed bigint)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select case when add_count.changed > 0 then
    counts || jsonb_build_object(
      relation, coalesce(counts -> relation, '{}') || jsonb_build_object(
        what, changed + coalesce((counts -> relation ->> what)::bigint, 0)
      )
    )
  else counts end
$$;

comment on function private.add_count is
  'Adds rows of a table to the numbers that private.erase_thinker returns: how many were deleted, emptied, or now '
  'refer to the pseudonym.';

-- sql/69_persons/functions/erase_documents.sql
create function private.erase_documents(uid text)
returns text[]
language plpgsql
volatile
set search_path = ''
set lock_timeout = '10s'
as $$
declare
  kept      constant text[] := private.kept_in_log();
  -- few: who stores a document waits for the end of the transaction
  documents text[] := (private.needed_by_nobody_else(private.thinker_id(erase_documents.uid))).documents[:200];
begin
  perform private.require_erasable(erase_documents.uid);
  perform set_config('portal.erasure', pg_current_xact_id()::text, true);
  update public.events e
  set meta = e.meta - array(select k from jsonb_object_keys(e.meta) k where k <> all (kept))
  from (
    select 'contract' as subject_type, c.id::text as subject_id
    from public.contracts c
    where c.storage_url = any (documents)
    union all
    select 'contract_link', l.id::text
    from public.contract_links l
    join public.contracts c on c.id = l.contract_id
    where c.storage_url = any (documents)
  ) own
  where e.meta - kept <> '{}' and e.subject_type = own.subject_type and e.subject_id = own.subject_id;
  delete from public.contracts c where c.storage_url = any (documents);
  perform set_config('portal.erasure', '', true);
  return documents;
end;
$$;

comment on function private.erase_documents is
  'Deletes some of the documents that nobody but this thinker needs, before private.erase_thinker locks what others '
  'use. Returns their paths, for the store; none when all are deleted. '
  'Raises: thinker_not_found (404); thinker_has_obligations (409).';

-- sql/69_persons/functions/erase_from_log.sql
create function private.erase_from_log(uid text, pseudonym text, since timestamptz)
returns jsonb
language plpgsql
volatile
set search_path = ''
-- events are joined with what is the thinker's, which may both be a million rows
set enable_nestloop = off
as $$
declare
  thinker   constant uuid := private.thinker_id(erase_from_log.uid);
  successor constant uuid := private.thinker_id(erase_from_log.pseudonym);
  kept      constant text[] := private.kept_in_log();
  -- JSON as PostgreSQL writes it: only the quote before a key follows a brace or a space and is followed by a word
  by_id     constant text := format(
    '([{ ]"(?:%s)": )"%s"',
    (
      select string_agg(distinct a.attname, '|')
      from pg_catalog.pg_constraint f
      join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attnum = f.conkey[1]
      where f.contype = 'f' and f.confrelid = 'public.thinkers'::regclass
    ),
    thinker
  );
  by_uid    constant text := format(
    '[{ ]"[a-z_]+_uid": %s', regexp_replace(to_json(erase_from_log.uid)::text, '([][\\.*+?(){}^$|])', '\\\1', 'g')
  );
  deleted   bigint;
  emptied   bigint;
  renamed   bigint;
  changed   bigint;
begin
  delete from public.events e
  where e.created_at >= erase_from_log.since and (
    (e.actor_id = thinker and (e.type like 'presence.%' or e.type = 'telemetry.event'))
    or (e.subject_type = 'presence_session' and e.subject_id in (
      select s.id::text from public.presence_sessions s where s.thinker_id = thinker
    ))
  );
  get diagnostics deleted = row_count;

  update public.events e
  set meta = e.meta - array(select k from jsonb_object_keys(e.meta) k where k <> all (kept))
  -- the prices before and after are no free text either
  where e.created_at >= erase_from_log.since and e.meta - kept <> '{}' and e.type <> 'fee.changed' and (
    e.actor_id = thinker
    -- it had another uid before or after
    or erase_from_log.uid in (e.meta #>> '{before,public_id}', e.meta #>> '{after,public_id}')
  );
  get diagnostics emptied = row_count;

  update public.events e
  set meta = e.meta - array(select k from jsonb_object_keys(e.meta) k where k <> all (kept))
  from (
    select 'thinker' as subject_type, erase_from_log.uid as subject_id
    union all select 'voucher', v.id from public.vouchers v where v.issuer_id = thinker
    union all
    select 'voucher_booking', b.id
    from public.voucher_bookings b
    where thinker in (b.issuer_id, b.holder_id)
    union all select 'room', r.id from public.rooms r where r.owner_id = thinker
    union all select 'contract', c.id::text from public.contracts c where c.created_by = thinker
    union all
    select 'contract_link', l.id::text
    from public.contract_links l
    join public.contracts c on c.id = l.contract_id
    where c.created_by = thinker
    union all select 'property', p.id from public.properties p where p.created_by = thinker
    union all
    select 'mortgage_application', a.id from public.mortgage_applications a where a.borrower_id = thinker
    union all select 'mortgage_offer', o.id from public.mortgage_offers o where o.lender_id = thinker
    union all select 'transfer', t.id from public.transfers t where t.thinker_id in (thinker, successor)
  ) own
  where e.created_at >= erase_from_log.since and e.meta - kept <> '{}' and e.type <> 'fee.changed'
    and e.subject_type = own.subject_type and e.subject_id = own.subject_id;
  get diagnostics changed = row_count;
  emptied := emptied + changed;

  update public.events e
  set subject_id = erase_from_log.pseudonym
  where e.created_at >= erase_from_log.since and e.subject_type = 'thinker' and e.subject_id = erase_from_log.uid;
  get diagnostics renamed = row_count;

  -- the changed columns of a row
  update public.events e
  set meta = regexp_replace(e.meta::text, by_id, format('\1"%s"', successor), 'g')::jsonb
  where e.created_at >= erase_from_log.since and e.meta ?| '{before,after}' and e.meta::text ~ by_id;
  get diagnostics changed = row_count;
  renamed := renamed + changed;

  -- an operator who is no thinker may have the same name
  update public.events e
  set meta = e.meta || (
    select jsonb_object_agg(k, erase_from_log.pseudonym)
    from unnest('{beneficiary,by,lenderUid,payer}'::text[]) k
    where e.meta ->> k = erase_from_log.uid and (k <> 'by' or e.actor_id = thinker)
  )
  where e.created_at >= erase_from_log.since and (
    erase_from_log.uid in (e.meta ->> 'beneficiary', e.meta ->> 'lenderUid', e.meta ->> 'payer')
    or (e.actor_id = thinker and e.meta ->> 'by' = erase_from_log.uid)
  );
  get diagnostics changed = row_count;
  renamed := renamed + changed;
  -- the answer to a request, not what the pseudonym is: a stranger may have named it anywhere in its JSON
  delete from private.idempotency_keys k
  where k.created_at >= erase_from_log.since and k.actor <> thinker::text
    and (k.response::text ~ by_id or k.response::text ~ by_uid);
  get diagnostics changed = row_count;
  return coalesce(
    (
      select jsonb_object_agg(c.relation, c.rows)
      from (
        values
          ('events', jsonb_build_object(
            'deleted', nullif(deleted, 0), 'emptied', nullif(emptied, 0), 'pseudonym', nullif(renamed, 0)
          )),
          ('idempotency_keys', jsonb_build_object('deleted', nullif(changed, 0)))
      ) as n (relation, rows)
      cross join lateral (select n.relation, jsonb_strip_nulls(n.rows) as rows) c
      where c.rows <> '{}'
    ),
    '{}'
  );
end;
$$;

comment on function private.erase_from_log is
  'Erases a thinker from the events, and deletes the stored responses to others that name it, that are not older than '
  '`since`, for private.erase_thinker. Looks at values of the keys that hold a uid or an id of a thinker, at no other '
  'text, as a uid may be any word. Returns how many rows were deleted, emptied, or now refer to the pseudonym.';

-- sql/69_persons/functions/erase_own_rows.sql
create function private.erase_own_rows(counts jsonb, thinker uuid, successor uuid)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  changed bigint;
begin
  delete from public.telemetry_events t where t.actor_id = thinker;
  get diagnostics changed = row_count;
  counts := private.add_count(counts, 'telemetry_events', 'deleted', changed);

  delete from private.idempotency_keys k where k.actor = thinker::text;
  get diagnostics changed = row_count;
  counts := private.add_count(counts, 'idempotency_keys', 'deleted', changed);

  update public.transfers t
  set thinker_id = successor, wallet_address = null, external_account = null, meta = '{}',
    label = case t.direction when 'in' then 'Fiat→Crypto inflow' else 'Crypto→Fiat outflow' end
  where t.thinker_id = thinker;
  get diagnostics changed = row_count;
  counts := private.add_count(counts, 'transfers', 'emptied', changed);
  return private.add_count(counts, 'transfers', 'pseudonym', changed);
end;
$$;

comment on function private.erase_own_rows is
  'Erases the rows of a thinker that may be many and that nobody else uses: telemetry, stored responses, transfers. '
  'Returns `counts` with their numbers (private.add_count). private.erase_thinker does it before its locks, and again '
  'for what came in the meantime.';

-- sql/69_persons/functions/erase_thinker.sql
create function private.erase_thinker(uid text)
returns jsonb
language plpgsql
volatile
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '10s'
as $$
declare
  thinker     constant uuid := private.thinker_id(erase_thinker.uid);
  pseudonym   constant text := 'erased-' || private.new_suffix();
  successor   constant uuid := private.thinker_id(pseudonym);
  rooms       text[];
  vouchers    text[];
  documents   text[];
  counts      jsonb;
  step        record;
  changed     bigint;
  seen        xid;
  next        xid;
  alone       boolean := false;
begin
  -- one erasure at a time
  perform pg_advisory_xact_lock(private.lock_number('erase_thinker'));
  -- nor while a batch of an import that has asked for erased uids may still write this one; before any row is locked
  perform pg_advisory_xact_lock(private.lock_number('import_batch'));
  perform private.require_erasable(erase_thinker.uid);

  perform set_config('portal.erasure', pg_current_xact_id()::text, true);

  -- reads the whole log, and then what others wrote in the meantime, while they use the vouchers
  seen := pg_snapshot_xmin(pg_current_snapshot())::xid;
  counts := private.erase_from_log(erase_thinker.uid, pseudonym, '-infinity');
  next := pg_snapshot_xmin(pg_current_snapshot())::xid;
  perform private.erase_from_log(erase_thinker.uid, pseudonym, private.log_since(seen));

  -- before anybody waits for a row: each is read whole, and may be large. An import would wait before it adds one
  update private.import_rejects j
  set content = case when j.resolved_at is null then private.import_left(j.legacy_table, j.content) else '{}' end,
    reason = case when j.resolved_at is null then 'thinker_erased' else j.reason end,
    detail = null,
    resolved_at = coalesce(j.resolved_at, now())
  where case
    -- without escapes JSON has the uid as it is: most rows need not be read as JSON, which takes long
    when strpos(j.content::text, btrim(to_json(erase_thinker.uid)::text, '"')) > 0
      or strpos(j.content ->> 'meta', '\') > 0
      then erase_thinker.uid in (select private.import_names(j.legacy_table, j.content))
  end;
  get diagnostics changed = row_count;
  counts := private.add_count(counts, 'import_rejects', 'emptied', changed);

  insert into public.thinkers (id, public_id, created_at)
  select successor, pseudonym, t.created_at from public.thinkers t where t.id = thinker;
  -- what no call of others waits for
  counts := private.erase_own_rows(counts, thinker, successor);

  -- others lock these rows in several orders: all at once, or none
  for attempt in 1..500 loop
    begin
      -- calls of strangers, one after the other, may hold them for ever: every two seconds no call that writes begins
      -- (private.replay_response) until those of before have ended, and this has its locks
      if attempt % 100 = 0 then
        perform pg_advisory_lock(private.lock_number('write'));
        alone := true;
      end if;
      perform from private.daily_use d where d.thinker_id = thinker for update nowait;
      perform from public.presence_sessions s where s.thinker_id = thinker for update nowait;
      perform
      from public.vouchers v
      where v.id = any (array(
        select o.id from public.vouchers o where thinker in (o.issuer_id, o.holder_id, o.issued_to)
        union
        -- a cancelled booking never changes again
        select b.voucher_id
        from public.voucher_bookings b
        where thinker in (b.issuer_id, b.holder_id) and b.status = 'booked'
      ))
      for update nowait;
      perform
      from public.mortgage_applications a
      where a.id = any (array(
        select o.id from public.mortgage_applications o where o.borrower_id = thinker
        union
        select o.application_id from public.mortgage_offers o where o.lender_id = thinker
      ))
      for update nowait;
      -- new rows that refer to it wait
      perform from public.thinkers t where t.id = thinker for update nowait;
      exit;
    exception when others or query_canceled then
      -- a lock of the session, because others write again before this transaction ends
      if alone then
        perform pg_advisory_unlock(private.lock_number('write'));
        alone := false;
      end if;
      -- lock_not_available
      if sqlstate <> '55P03' or attempt = 500 then
        raise;
      end if;
      perform pg_sleep(0.02);
    end;
  end loop;
  if alone then
    perform pg_advisory_unlock(private.lock_number('write'));
  end if;

  -- again: nothing changes any more
  perform private.require_erasable(erase_thinker.uid);

  -- the rest, which is little
  perform private.erase_from_log(erase_thinker.uid, pseudonym, private.log_since(next));
  counts := private.erase_own_rows(counts, thinker, successor);

  insert into private.erased_uids (hash)
  values (sha256(convert_to(erase_thinker.uid, 'UTF8')))
  on conflict do nothing;
  select * into rooms, vouchers, documents from private.needed_by_nobody_else(thinker);

  for step in
    select s.n, s.relation, s.what, s.statement
    from (
      values
        (5, 'presence_sessions', 'deleted', $s$delete from public.presence_sessions s where s.thinker_id = $1$s$),
        (6, 'daily_use', 'deleted', $s$delete from private.daily_use d where d.thinker_id = $1$s$),
        (6, 'claims', 'deleted', $s$delete from private.claims c where c.thinker_id = $1$s$),
        (7, 'contracts', 'deleted', $s$delete from public.contracts c where c.storage_url = any ($7)$s$),
        (
          8, 'rooms', 'deleted',
          $s$delete from public.rooms r
           where r.id = any ($5) and not exists (select from public.contract_links l where l.room_id = r.id)$s$
        ),
        (
          9, 'vouchers', 'deleted',
          $s$delete from public.vouchers v
           where v.id = any ($6) and not exists (select from public.contract_links l where l.voucher_id = v.id)$s$
        ),
        (
          -- who uses such an id again begins a history of its own
          10, 'events', 'pseudonym',
          $s$update public.events e
           set subject_id = $4 || ':' || v.n
           from unnest($6) with ordinality v (id, n)
           where e.subject_type = 'voucher' and e.subject_id = v.id
             and not exists (select from public.vouchers o where o.id = v.id)$s$
        ),
        (
          12, 'events', 'pseudonym', -- before they are deleted
          $s$update public.events e
           set subject_id = $4 || ':' || a.n
           from (
             select a.id, row_number() over () as n
             from public.mortgage_applications a
             where a.borrower_id = $1
               and not exists (select from public.mortgage_offers o where o.application_id = a.id)
           ) a
           where e.subject_type = 'mortgage_application' and e.subject_id = a.id$s$
        ),
        (
          -- it offers nothing more; the figures know the template, an invoice names service and title
          10, 'vouchers', 'emptied',
          $s$update public.vouchers v
           set description = '', allowed_slots = '[]',
             terms = coalesce(
               (
                 select jsonb_build_object('template', t.id)
                 from public.voucher_templates t
                 where t.id = v.terms ->> 'template'
               ),
               '{}'
             ),
             status = case v.status
               when 'issued' then 'cancelled' when 'booked' then 'consumed' else v.status
             end
           where v.issuer_id = $1$s$
        ),
        (
          11, 'voucher_bookings', 'emptied',
          $s$update public.voucher_bookings b
           set cancel_reason = null
           where $1 in (b.issuer_id, b.holder_id) and b.cancel_reason is not null$s$
        ),
        (
          12, 'mortgage_applications', 'deleted',
          $s$delete from public.mortgage_applications a
           where a.borrower_id = $1
             and not exists (select from public.mortgage_offers o where o.application_id = a.id)$s$
        ),
        (
          13, 'mortgage_applications', 'emptied',
          $s$update public.mortgage_applications a
           set meta = '{}', visibility = 'private',
             status = case when a.status in ('open', 'offered') then 'rejected' else a.status end
           where a.borrower_id = $1$s$
        ),
        (
          14, 'properties', 'deleted',
          $s$delete from public.properties p
           where p.created_by = $1
             and not exists (select from public.mortgage_applications a where a.property_id = p.id)$s$
        ),
        (
          15, 'properties', 'emptied',
          $s$update public.properties p
           set address = null, meta = '{}'
           where p.created_by = $1 and not exists (
             select from public.mortgage_applications a where a.property_id = p.id and a.borrower_id <> $1
           )$s$
        ),
        (
          -- an accepted offer is a contract
          16, 'mortgage_offers', 'emptied',
          $s$update public.mortgage_offers o
           set interest = null, repayment = null, fees = null, validity = null, terms_ref = null,
             loan = jsonb_strip_nulls(
               jsonb_build_object('amount', o.loan -> 'amount', 'currency', o.loan -> 'currency')
             ),
             status = 'withdrawn'
           where o.lender_id = $1 and o.status <> 'accepted'$s$
        )
    ) as s (n, relation, what, statement)
    union all
    -- the operators of the books, where the log has a step of this thinker: a name alone may be another's login
    select
      50, o.relation, 'pseudonym',
      format(
        'update public.%I r set %I = $4 where r.%I = $2 and exists (select from public.events e'
        ' where e.actor_id = $1 and e.type = any (%L) and e.subject_id = r.%I::text and %s'
        -- what an import brought is no step here
        ' and not exists (select from private.import_rows i'
        ' where i.legacy_table = ''events'' and private.import_uuid(i.id) = e.id))',
        o.relation, o.name, o.name, o.types, o.subject, o.same
      )
    from (
      values
        ('fee_events', 'operator', '{fee.adjusted,fee.reversed}', 'id', 'true'),
        (
          -- the same prices; the event has the time at which its transaction began
          'fee_versions', 'changed_by', '{fee.changed}', 'fee_id',
          $s$e.created_at between r.valid_from - interval '1 hour' and r.valid_from
           and e.meta -> 'after' @> to_jsonb(r) - '{id,fee_id,beneficiary_id,changed_by,valid_from}'::text[]$s$
        ),
        (
          'settlement_payments', 'recorded_by', '{settlement.payment}', 'settlement_id',
          $s$e.meta ->> 'payment' = r.id::text$s$
        ),
        ('settlements', 'created_by', '{settlement.created}', 'id', 'true'),
        ('settlements', 'invoiced_by', '{settlement.invoiced}', 'id', 'true'),
        ('settlements', 'paid_by', '{settlement.paid}', 'id', 'true'),
        ('settlements', 'voided_by', '{settlement.voided}', 'id', 'true'),
        ('settlements', 'written_off_by', '{settlement.written_off}', 'id', 'true')
    ) as o (relation, name, types, subject, same)
    union all
    -- every other row that refers to the thinker; fee events follow their settlements
    select
      case c.relname when 'settlements' then 60 else 70 end, c.relname, 'pseudonym',
      format('update %s set %I = $3 where %I = $1', c.oid::regclass, a.attname, a.attname)
    from pg_catalog.pg_constraint f
    join pg_catalog.pg_class c on c.oid = f.conrelid
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = f.conkey[1]
    where f.contype = 'f' and f.confrelid = 'public.thinkers'::regclass and f.conparentid = 0
    order by 1, 2
  loop
    execute step.statement
      using thinker, erase_thinker.uid, successor, pseudonym, rooms, vouchers, documents;
    get diagnostics changed = row_count;
    counts := private.add_count(counts, step.relation, step.what, changed);
  end loop;

  -- fails if anything still refers to it
  delete from public.thinkers t where t.id = thinker;
  perform set_config('portal.erasure', '', true);
  return jsonb_build_object('pseudonym', pseudonym, 'documents', to_jsonb(documents), 'rows', counts);
end;
$$;

comment on function private.erase_thinker is
  'Erases a thinker: deletes what nobody else needs, empties free texts, and replaces the thinker by a random '
  'pseudonym in what accounts and other parties need; docs/privacy.md lists each column. Returns {pseudonym, '
  'documents (the paths of those whose bytes are to be deleted from the store), rows}: for each table how many rows '
  'were deleted, emptied, or now refer to the pseudonym. thinker_has_obligations has private.thinker_obligations as '
  'detail. '
  'Raises: thinker_not_found (404); thinker_has_obligations (409).';

-- sql/69_persons/functions/kept_in_log.sql
create function private.kept_in_log()
returns text[]
language sql
immutable
set search_path = ''
return array[
  'adjusts', 'amountCents', 'applicationId', 'beneficiary', 'by', 'currency', 'desiredLoan', 'dueOn', 'lenderUid',
  'loan', 'number', 'paidOn', 'payer', 'payment', 'periodFrom', 'periodTo', 'reverses', 'signer', 'slotStart',
  'status', 'totalCents', 'validUntil', 'voucherId'
];

comment on function private.kept_in_log is
  'What of an event of an erased thinker is no free text: the keys of ids, amounts, times and states.';

-- sql/69_persons/functions/log_since.sql
create function private.log_since(seen xid)
returns timestamptz
language sql
volatile
set search_path = ''
as $$
  select min(w.created_at)
  from (
    select e.created_at, e.xmin from public.events e where e.created_at >= now() - interval '1 hour'
    union all
    select k.created_at, k.xmin from private.idempotency_keys k where k.created_at >= now() - interval '1 hour'
  ) w
  where age(w.xmin) <= age(log_since.seen) and w.xmin <> pg_current_xact_id()::xid
$$;

comment on function private.log_since is
  'The time of the oldest event or stored response that others may have written since a snapshot, of which `seen` is '
  'pg_snapshot_xmin; null if there is none. No transaction of others takes an hour. For private.erase_thinker, which '
  'does not read again what it has read before its locks.';

-- sql/69_persons/functions/needed_by_nobody_else.sql
create function private.needed_by_nobody_else(
  thinker       uuid,
  out rooms     text[],
  out vouchers  text[],
  out documents text[]
)
language plpgsql
stable
set search_path = ''
as $$
begin
  rooms := array(
    select r.id
    from public.rooms r
    where r.owner_id = thinker
      and r.meta ->> 'source' is distinct from 'mortgage'
      and not exists (
        select from public.presence_sessions s where s.room_id = r.id and s.thinker_id <> thinker
      )
  );
  vouchers := array(
    select v.id
    from public.vouchers v
    where v.issuer_id = thinker
      and v.status in ('issued', 'cancelled', 'expired')
      and not exists (select from public.voucher_bookings b where b.voucher_id = v.id)
  );
  documents := array(
    select c.storage_url
    from public.contracts c
    where c.created_by = thinker
      and not exists (select from public.mortgage_contracts m where m.contract_id = c.id)
      and not exists (
        select from public.contract_links l
        where l.contract_id = c.id and not (
          coalesce(l.voucher_id = any (vouchers), true) and coalesce(l.room_id = any (rooms), true)
        )
      )
  );
end;
$$;

comment on function private.needed_by_nobody_else is
  'What of a thinker concerns nobody else: rooms in which nobody else is, vouchers that nobody booked or holds, and '
  'documents (their paths) that are linked to these only.';

-- sql/69_persons/functions/require_erasable.sql
create function private.require_erasable(uid text)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  obligations text;
begin
  if not exists (select from public.thinkers t where t.id = private.thinker_id(require_erasable.uid)) then
    raise sqlstate 'PT404' using message = 'thinker_not_found';
  end if;
  select string_agg(o, '; ') into obligations from private.thinker_obligations(require_erasable.uid) o;
  if obligations is not null then
    raise sqlstate 'PT409' using message = 'thinker_has_obligations', detail = obligations;
  end if;
end;
$$;

comment on function private.require_erasable is
  'Checks that a thinker can be erased; thinker_has_obligations has private.thinker_obligations as detail. '
  'Raises: thinker_not_found (404); thinker_has_obligations (409).';

-- sql/69_persons/functions/thinker_data.sql
create function private.thinker_data(uid text)
returns table (section text, item jsonb)
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
  thinker constant uuid := private.thinker_id(thinker_data.uid);
begin
  return query select 'thinkers', to_jsonb(t) from public.thinkers t where t.id = thinker;
  return query select 'daily_use', to_jsonb(d) from private.daily_use d where d.thinker_id = thinker;
  return query
    -- the id of a session is in a cookie, and proves it
    select 'claims', to_jsonb(c) - 'session_id'
    from private.claims c
    where c.thinker_id = thinker
    order by c.claimed_at;
  return query
    select 'idempotency_keys', to_jsonb(k) - 'fingerprint'
    from private.idempotency_keys k
    where k.actor = thinker::text
    order by k.created_at, k.key;
  return query
    select 'presence_sessions', to_jsonb(s) from public.presence_sessions s where s.thinker_id = thinker;
  return query
    select 'rooms', to_jsonb(r) from public.rooms r where r.owner_id = thinker order by r.created_at, r.id;

  return query
    -- strangers may reserve any number of vouchers with long texts, of which the thinker has booked none
    select 'vouchers', to_jsonb(v) - case
      when v.issuer_id <> thinker and not exists (
        select from public.voucher_bookings b where b.voucher_id = v.id and b.holder_id = thinker
      ) then '{description,terms,allowed_slots}'::text[]
      else '{}'
    end || jsonb_build_object(
      'issuer_uid', private.uid_of(v.issuer_id),
      -- holders do not see each other
      'holder_id', case when thinker in (v.issuer_id, v.holder_id) then v.holder_id end,
      'holder_uid', case when thinker in (v.issuer_id, v.holder_id) then private.uid_of(v.holder_id) end
    )
    from public.vouchers v
    where thinker in (v.issuer_id, v.holder_id, v.issued_to)
    order by v.created_at, v.id;
  return query
    select 'voucher_bookings', private.booking_json(b)
    from public.voucher_bookings b
    where thinker in (b.issuer_id, b.holder_id)
    order by b.created_at, b.id;

  return query
    select 'contracts', private.contract_json(c)
    from public.contracts c
    where c.created_by = thinker
    order by c.created_at, c.id;
  return query
    select 'contract_links', to_jsonb(l)
    from public.contracts c
    join public.contract_links l on l.contract_id = c.id
    where c.created_by = thinker
    order by l.created_at, l.id;

  return query select 'properties', to_jsonb(p) from public.properties p where p.created_by = thinker order by p.id;
  return query
    select 'mortgage_applications', private.application_json(a)
    from public.mortgage_applications a
    where a.borrower_id = thinker
    order by a.created_at, a.id;
  return query
    select 'mortgage_offers', private.offer_json(o)
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where thinker in (o.lender_id, a.borrower_id)
    order by o.created_at, o.id;
  return query
    select 'mortgage_contracts', private.mortgage_contract_json(c)
    from public.mortgage_contracts c
    join public.mortgage_offers o on o.id = c.offer_id
    join public.mortgage_applications a on a.id = o.application_id
    where thinker in (o.lender_id, a.borrower_id)
    order by c.created_at, c.id;

  return query
    select 'transfers', private.transfer_json(t)
    from public.transfers t
    where t.thinker_id = thinker
    order by t.created_at, t.id;

  return query select 'fees', to_jsonb(f) from public.fees f where f.beneficiary_id = thinker order by f.id;
  return query
    select 'fee_versions', to_jsonb(f)
    from public.fee_versions f
    where f.beneficiary_id = thinker
    order by f.valid_from, f.id;
  return query
    select 'fee_events', to_jsonb(e) || jsonb_build_object(
      'beneficiary_uid', private.uid_of(e.beneficiary_id), 'payer_uid', private.uid_of(e.payer_id)
    )
    from public.fee_events e
    where thinker in (e.beneficiary_id, e.payer_id)
    order by e.created_at, e.id;
  return query
    -- a payer sees the own part of a settlement (public.get_statement)
    select 'settlements', case
      when s.beneficiary_id = thinker then private.settlement_json(s)
      else private.settlement_statement(s, thinker, null, 1) - 'items'
    end
    from public.settlements s
    where s.beneficiary_id = thinker or s.id in (
      select l.settlement_id
      from public.fee_events e
      join public.settlement_lines l on l.fee_event_id = e.id
      where e.payer_id = thinker
    )
    order by s.created_at, s.id;
  return query
    select 'settlement_lines', to_jsonb(l)
    from public.settlement_lines l
    join public.fee_events e on e.id = l.fee_event_id
    where thinker in (e.beneficiary_id, e.payer_id)
    order by l.settlement_id, l.fee_event_id;
  return query
    select 'settlement_payments', to_jsonb(p) || jsonb_build_object('payer_uid', private.uid_of(p.payer_id))
    from public.settlement_payments p
    join public.settlements s on s.id = p.settlement_id
    where thinker in (p.payer_id, s.beneficiary_id)
    order by p.created_at, p.id;
  return query
    select 'invoice_numbers', to_jsonb(n)
    from private.invoice_numbers n
    where n.beneficiary_id = thinker
    order by n.year;

  return query
    select 'import_rejects', to_jsonb(j) - 'hash'
    from private.import_rejects j
    where thinker_data.uid in (select private.import_uids(j.content))
    order by j.created_at, j.id;
  return query
    select 'telemetry_events', to_jsonb(t)
    from public.telemetry_events t
    where t.actor_id = thinker
    order by t.created_at, t.id;
  return query
    select 'events', case
      when e.actor_id = thinker then private.event_json(e)
      -- what others changed of the thinker, without their names
      else to_jsonb(e) - 'actor_id' || jsonb_build_object('meta', e.meta - 'by')
    end
    from public.events e
    where e.actor_id = thinker or (e.subject_type = 'thinker' and e.subject_id = thinker_data.uid)
    order by e.created_at, e.id;
end;
$$;

comment on function private.thinker_data is
  'What is stored about a thinker, for portal export thinker: each row that refers to it as an item of the section '
  'with the name of its table. Others appear in it as the API shows them to the thinker. docs/privacy.md says what is '
  'left out, and why.';

-- sql/69_persons/functions/thinker_obligations.sql
create function private.thinker_obligations(uid text)
returns setof text
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
  thinker constant uuid := private.thinker_id(thinker_obligations.uid);
  is_user boolean := false;
begin
  return query
    select format('booking %s, which ends at %s', b.id, private.iso(b.slot_end))
    from public.voucher_bookings b
    where thinker in (b.issuer_id, b.holder_id) and b.status = 'booked' and b.slot_end > now()
    order by b.slot_end, b.id;
  return query
    select format('voucher %s, reserved for %s', v.id, private.uid_of(v.issued_to))
    from public.vouchers v
    where v.issuer_id = thinker and v.issued_to <> thinker and v.status = 'issued' and v.valid_until > now()
    order by v.id;
  return query
    select format('mortgage offer %s, which is open', o.id)
    from public.mortgage_offers o
    join public.mortgage_applications a on a.id = o.application_id
    where o.lender_id = thinker and o.status = 'open' and a.status in ('open', 'offered')
    order by o.id;
  return query
    select format('mortgage contract %s, which not all have signed', c.id)
    from public.mortgage_contracts c
    join public.mortgage_offers o on o.id = c.offer_id
    join public.mortgage_applications a on a.id = o.application_id
    where thinker in (o.lender_id, a.borrower_id) and c.status = 'draft'
    order by c.id;
  return query
    select format(
      '%s %s (minor units) that %s owes to %s, in %s', sum(r.cents), r.currency, private.uid_of(r.payer_id),
      private.uid_of(r.beneficiary_id), coalesce('settlement ' || r.settlement_id, 'no settlement yet')
    )
    from private.receivable_facts r
    where thinker in (r.payer_id, r.beneficiary_id) and r.status <> 'written_off'
    group by r.beneficiary_id, r.payer_id, r.currency, r.settlement_id
    having sum(r.cents) <> 0
    order by 1;
  return query
    select format('fee %s, of which it is the beneficiary', f.id)
    from public.fees f
    where f.beneficiary_id = thinker and f.active
    order by f.id;
  return query
    select format('a token that may be valid until %s', private.iso(seen.at + interval '1 hour'))
    from (
      select greatest(t.verified_at, s.last_seen_at) as at
      from public.thinkers t
      left join public.presence_sessions s on s.thinker_id = t.id
      where t.id = thinker
    ) seen
    where seen.at > now() - interval '1 hour';

  -- plain PostgreSQL has no auth.users
  if to_regclass('auth.users') is not null then
    execute 'select exists (select from auth.users u where u.id = $1)' into is_user using thinker;
  end if;
  if is_user then
    return next 'the user of Supabase Auth, who could sign in again';
  end if;
end;
$$;

comment on function private.thinker_obligations is
  'What has to end before a thinker can be erased, each as a text for the operator: bookings that are not over, '
  'vouchers reserved for others, open offers, contracts in draft, what it owes or is owed, fees of which it is the '
  'beneficiary, and ways to act in its name: a token, a user of Supabase Auth.';

-- sql/69_persons/triggers/tg_thinkers__write_erased.sql
create function private.tg_thinkers__write_erased()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.events (type, subject_type, subject_id, meta)
  values ('thinker.erased', 'thinker', new.public_id, jsonb_build_object('by', private.operator_name()));
  return null;
end;
$$;

comment on function private.tg_thinkers__write_erased is
  'Writes the event thinker.erased, which names the pseudonym of the erased thinker only.';

create trigger tg_thinkers__write_erased
  after insert on public.thinkers
  for each row
  when (private.is_erasure())
  execute function private.tg_thinkers__write_erased();

-- sql/70_jobs/tables/jobs.sql
create table private.jobs (
  name        text        collate "C" primary key,
  schedule    text        collate "C" not null,
  late_after  interval    not null,
  description text       not null,
  added_at    timestamptz not null default now(),

  constraint job_name_is_made_of_words check (name ~ '^[a-z]+(-[a-z]+)*$' and char_length(name) <= 50),
  constraint schedule_has_five_fields check (schedule ~ '^\S+( \S+){4}$'),
  constraint late_after_is_positive check (late_after > interval '0'),
  constraint description_is_not_empty check (description <> '')
);

comment on table private.jobs is
  'The scheduled jobs. The job a-b runs the function private.job_a_b(), which returns how many rows it processed. '
  'After changing a schedule run select private.install_jobs(), where pg_cron runs them.';
comment on column private.jobs.schedule is 'Minute, hour, day, month and weekday in the syntax of cron, in UTC.';
comment on column private.jobs.late_after is 'The job is late if its last successful run started longer ago.';
comment on column private.jobs.added_at is 'A job that never ran is late if it was added longer ago than late_after.';

alter table private.jobs enable row level security;

grant select on private.jobs to service_role;

insert into private.jobs (name, schedule, late_after, description) values
  -- at noon UTC the month is over in every time zone; on three days, in case the server is down on the first
  ('settle-fees-monthly', '30 12 1-3 * *', '32 days', 'Settles the past months, if switched on.'),
  ('expire-vouchers', '*/5 * * * *', '15 minutes', 'Expires issued vouchers after the end of their validity.'),
  ('presence-offline', '* * * * *', '5 minutes', 'Sets thinkers to offline after a minute without a heartbeat.'),
  -- hourly, because a run gives up during a long query on the log
  ('purge-old-events', '10 * * * *', '26 hours', 'Creates event partitions for the next months, and drops old ones.'),
  (
    'purge-idempotency-keys', '20 * * * *', '130 minutes',
    'Deletes idempotency keys after 24 hours, and expired counters of requests.'
  ),
  ('cleanup-cron-history', '40 3 * * *', '26 hours', 'Deletes job logs older than 14 days.'),
  ('check-invariants', '0 4 * * *', '26 hours', 'Fails if an invariant is violated, and names it.');

create trigger tg_jobs__write_change
after update or delete on private.jobs
for each row
execute function private.tg_row__write_change('job', 'name');

create trigger tg_jobs__refuse
before truncate on private.jobs
for each statement execute function private.tg_append_only__refuse();

-- sql/70_jobs/tables/job_runs.sql
create table private.job_runs (
  id          bigint      primary key generated by default as identity,
  job         text        collate "C" not null references private.jobs (name) on delete cascade,
  started_at  timestamptz not null,
  finished_at timestamptz not null,
  done        bigint,
  error       text,
  server      text        collate "C",

  constraint a_run_ends_after_it_starts check (finished_at >= started_at),
  constraint failed_run_did_nothing check (done is null or error is null)
);

comment on table private.job_runs is
  'Every run of a job, scheduled or manual. Written by private.run_job; the job cleanup-cron-history keeps 14 days.';
comment on column private.job_runs.done is
  'How many rows the job processed. Null if it failed, and if it did not start because it was already running.';
comment on column private.job_runs.error is 'Why it failed; its changes were rolled back.';
comment on column private.job_runs.server is
  'The server that ran it at its time (private.job_servers.name). Null if pg_cron or an operator did.';

create index job_runs_job_idx on private.job_runs (job, started_at desc);

alter table private.job_runs enable row level security;

grant select on private.job_runs to service_role;

-- sql/70_jobs/tables/job_servers.sql
create table private.job_servers (
  name    text        collate "C" primary key,
  seen_at timestamptz not null
);

comment on table private.job_servers is
  'The servers (`portal run`) that run the jobs which pg_cron does not. Each writes its row once a minute, and deletes '
  'it when it stops.';
comment on column private.job_servers.name is 'Host and process id, as host:4711.';
comment on column private.job_servers.seen_at is
  'When it last looked for due jobs. After three minutes without it stats.jobs does not count on the server any more.';

alter table private.job_servers enable row level security;

-- sql/70_jobs/functions/install_jobs.sql
create function private.install_jobs()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  scheduled bigint;
begin
  if not exists (select from pg_catalog.pg_extension e where e.extname = 'pg_cron') then
    if current_setting('cron.database_name', true) is distinct from current_database() then
      raise notice 'Nothing is scheduled: pg_cron does not work on this database. %',
        'Set shared_preload_libraries = pg_cron and cron.database_name = ' || current_database()
        || ', restart, and select private.install_jobs(). Until then `portal run` runs the jobs while it serves.';
      return 0;
    end if;
    create extension pg_cron with schema pg_catalog;
  end if;

  -- unschedule jobs that no longer exist
  execute $query$
    select count(cron.unschedule(c.jobid))
    from cron.job c
    where c.username = current_user
      and c.database = current_database()
      and c.command like '%select private.run\_job(%'
      and c.jobname not in (select j.name from private.jobs j)
  $query$;
  execute $query$
    select count(
      cron.schedule(j.name, j.schedule, format('set statement_timeout = 0; select private.run_job(%L)', j.name))
    )
    from private.jobs j
  $query$
  into scheduled;
  return scheduled;
exception
  when insufficient_privilege then
    raise notice 'Nothing is scheduled: %. As superuser: create extension pg_cron; grant usage on schema cron to %.',
      sqlerrm, quote_ident(current_user);
    return 0;
end;
$$;

comment on function private.install_jobs is
  'Schedules every job of private.jobs with pg_cron under its name, and unschedules jobs of this project that no '
  'longer exist. No timeout of the role ends them: a large month takes minutes to settle. Can be repeated, for example '
  'after a change of a schedule. If pg_cron is not available in this database, a notice says what to do, and nothing '
  'changes. Returns the number of scheduled jobs.';

select private.install_jobs();

-- sql/70_jobs/functions/is_active_in_pg_cron.sql
create function private.is_active_in_pg_cron(job text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  is_active boolean;
begin
  -- the schema cron exists only if pg_cron is installed
  if exists (
    select from pg_catalog.pg_namespace n where n.nspname = 'cron' and has_schema_privilege(n.oid, 'usage')
  ) then
    execute $query$
      select bool_or(c.active)
      from cron.job c
      where c.database = current_database()
        and c.command like '%select private.run\_job(' || quote_literal($1) || ')%'
    $query$
    into is_active
    using job;
  end if;
  return is_active;
end;
$$;

comment on function private.is_active_in_pg_cron is
  'Returns whether pg_cron runs a job of private.jobs: false if it is there but switched off (cron.alter_job), null if '
  'pg_cron does not have it.';

-- sql/70_jobs/functions/job_check_invariants.sql
create function private.job_check_invariants()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  checked  bigint;
  violated text;
begin
  select
    count(*),
    string_agg(format('%s (%s)', i.name, i.violations), ', ' order by i.name) filter (where i.violations > 0)
  into checked, violated
  from stats.invariants i;

  if violated is not null then
    raise exception 'Violated: %', violated;
  end if;
  return checked;
end;
$$;

comment on function private.job_check_invariants is
  'Checks stats.invariants. Returns the number of invariants. Fails with the names of the violated ones and their '
  'numbers of violations.';

-- sql/70_jobs/functions/job_cleanup_cron_history.sql
create function private.job_cleanup_cron_history()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  kept_from constant timestamptz := now() - interval '14 days';
  of_jobs   bigint;
  of_cron   bigint := 0;
begin
  delete from private.job_runs r
  where r.started_at < kept_from
    and r.id not in (
      -- keep what stats.jobs shows: each job's last run, last successful run and last failure
      select distinct on (l.job, l.done is null, l.error is null) l.id
      from private.job_runs l
      order by l.job, l.done is null, l.error is null, l.started_at desc, l.id desc
    );
  get diagnostics of_jobs = row_count;

  -- the schema cron exists only if pg_cron is installed
  if exists (
    select from pg_catalog.pg_namespace n where n.nspname = 'cron' and has_schema_privilege(n.oid, 'usage')
  ) then
    execute 'delete from cron.job_run_details d where coalesce(d.end_time, d.start_time) < $1' using kept_from;
    get diagnostics of_cron = row_count;
  end if;

  return of_jobs + of_cron;
end;
$$;

comment on function private.job_cleanup_cron_history is
  'Deletes rows of private.job_runs and of pg_cron''s log that are older than 14 days, except a job''s last successful '
  'run and last failure. Returns the number of deleted rows.';

-- sql/70_jobs/functions/job_expire_vouchers.sql
create function private.job_expire_vouchers()
returns bigint
language sql
set search_path = ''
as $$
  with expired as (
    update public.vouchers
    set status = 'expired'
    where id in (
      -- skips a voucher that is being booked; the next run checks it again
      select v.id from public.vouchers v where v.status = 'issued' and v.valid_until < now() for update skip locked
    )
    returning 1
  )
  select count(*) from expired
$$;

comment on function private.job_expire_vouchers is
  'Sets the status of issued vouchers to expired after valid_until. Returns their number.';

-- sql/70_jobs/functions/job_presence_offline.sql
create function private.job_presence_offline()
returns bigint
language sql
set search_path = ''
as $$
  with timed_out as (
    update public.presence_sessions
    set status = 'offline', silenced = true
    where id in (
      -- skips a session whose heartbeat is being written
      select s.id
      from public.presence_sessions s
      where s.status = 'online' and s.last_seen_at < now() - interval '1 minute'
      -- heartbeats wait for those that it has locked; the next run takes the rest
      limit 5000
      for update skip locked
    )
    returning 1
  )
  select count(*) from timed_out
$$;

comment on function private.job_presence_offline is
  'Sets thinkers to offline after a minute without a heartbeat, at most 5000 in a run; the next heartbeat sets them to '
  'online again. Returns their number.';

-- sql/70_jobs/functions/job_purge_idempotency_keys.sql
create function private.job_purge_idempotency_keys()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  deleted bigint;
begin
  delete from private.idempotency_keys k where k.created_at < now() - interval '24 hours';
  get diagnostics deleted = row_count;

  -- a client's address stays no longer; of a request that counts now another run deletes it. Last, because the next
  -- request of such a client waits for the end
  delete from private.request_counts c
  where c.client in (
    select o.client from private.request_counts o where o.window_ends_at < now() for update skip locked
  );
  return deleted;
end;
$$;

comment on function private.job_purge_idempotency_keys is
  'Deletes idempotency keys older than 24 hours, and expired counters of requests. Returns the number of the keys.';

-- sql/70_jobs/functions/job_purge_old_events.sql
create function private.job_purge_old_events()
returns bigint
language plpgsql
set search_path = ''
as $$
begin
  perform private.make_event_partitions();
  return private.drop_old_event_partitions((select s.events_kept from private.settings s));
end;
$$;

comment on function private.job_purge_old_events is
  'Creates the event partitions of the next months, and drops those older than private.settings.events_kept. Returns '
  'the number of dropped partitions. '
  'Raises: append_only (403).';

-- sql/70_jobs/functions/job_settle_fees_monthly.sql
create function private.job_settle_fees_monthly()
returns bigint
language plpgsql
set search_path = ''
as $$
begin
  if not (select s.settles_on_schedule from private.settings s) then
    raise notice 'Switched off: update private.settings set settles_on_schedule = true.';
    return 0;
  end if;
  return private.settle_due_months();
end;
$$;

comment on function private.job_settle_fees_monthly is
  'Settles every due month, if private.settings.settles_on_schedule is true. Returns the number of settlements '
  'created. '
  'Raises: period_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

-- sql/70_jobs/functions/jobs_for_server.sql
create function private.jobs_for_server(server text)
returns table (name text, schedule text, due_after timestamptz)
language sql
set search_path = ''
as $$
  insert into private.job_servers (name, seen_at)
  values (jobs_for_server.server, clock_timestamp())
  on conflict (name) do update set seen_at = excluded.seen_at;

  -- of servers that were killed
  delete from private.job_servers s where s.seen_at < now() - interval '1 hour';

  select
    j.name,
    j.schedule,
    coalesce(
      (
        select max(r.started_at)
        from private.job_runs r
        where r.job = j.name and r.started_at <= clock_timestamp() and (r.done is not null or r.error is not null)
      ),
      j.added_at
    )
  from private.jobs j
  where private.is_active_in_pg_cron(j.name) is null
  order by j.name
$$;

comment on function private.jobs_for_server is
  'Notes that a server is there to run jobs, and returns those that pg_cron does not have. A job is due if its '
  'schedule names a time between due_after and now; due_after is the start of its last run, or when it was added.';

-- sql/70_jobs/functions/run_due_job.sql
create function private.run_due_job(job text, due_at timestamptz, server text)
returns private.job_runs
language plpgsql
set search_path = ''
as $$
begin
  -- until the end of the transaction: the next one who gets it sees this run
  if not pg_try_advisory_xact_lock(private.lock_number('run_job:' || run_due_job.job)) then
    return null;
  end if;
  -- a statement of its own, for it must see what was committed before the lock was free
  if exists (
    select
    from private.job_runs r
    where r.job = run_due_job.job
      and r.started_at between run_due_job.due_at and clock_timestamp()
      and (r.done is not null or r.error is not null)
  ) then
    return null;
  end if;
  return private.run_job(run_due_job.job, run_due_job.server);
end;
$$;

comment on function private.run_due_job is
  'Runs a job that was due at this time, as private.run_job does, and notes which server ran it. Returns null if it is '
  'running, or has run since then: of several servers one runs it. It holds its lock in the transaction, so that a '
  'transaction pooler may be on the way.';

-- sql/70_jobs/functions/run_job.sql
create function private.run_job(job text, server text default null)
returns private.job_runs
language plpgsql
set search_path = ''
as $$
declare
  started_at constant timestamptz := clock_timestamp();
  operator   constant text := coalesce(current_setting('portal.operator', true), '');
  done       bigint;
  error      text;
  run        private.job_runs;
begin
  if not exists (select from private.jobs j where j.name = run_job.job) then
    raise invalid_parameter_value using
      message = format('There is no job %L.', run_job.job),
      hint = (select 'The jobs are ' || string_agg(j.name, ', ' order by j.name) || '.' from private.jobs j);
  end if;

  if pg_try_advisory_xact_lock(private.lock_number('run_job:' || run_job.job)) then
    begin
      -- what it writes names the job, unless an operator runs it by hand
      perform set_config('portal.operator', coalesce(nullif(operator, ''), 'job ' || run_job.job), true);
      execute format('select private.%I()', 'job_' || replace(run_job.job, '-', '_')) into strict done;
      perform set_config('portal.operator', operator, true);
    exception
      when others or query_canceled then
        error := sqlerrm;
        raise warning '% failed: %', run_job.job, error;
    end;
  else
    raise notice '% is running elsewhere.', run_job.job;
  end if;

  insert into private.job_runs (job, started_at, finished_at, done, error, server)
  values (run_job.job, started_at, greatest(started_at, clock_timestamp()), done, error, run_job.server)
  returning * into run;
  return run;
end;
$$;

comment on function private.run_job is
  'Runs a job now and returns its row of private.job_runs. What it writes names `job <name>` as operator, unless '
  'portal.operator is set (private.operator_name). A job that fails leaves only its error there and a warning. A job '
  'that is already running is not started again: its row has neither done nor error. An unknown name fails with '
  'invalid_parameter_value (22023).';

-- sql/75_stats/stats_reader.sql
-- roles belong to the whole server: another database may have created this one already
do $$
begin
  if to_regrole('stats_reader') is null then
    create role stats_reader login noinherit connection limit 10;
    alter role stats_reader set default_transaction_read_only = on;
    alter role stats_reader set statement_timeout = '60s';
    -- compiling a view takes longer than running it
    alter role stats_reader set jit = off;
    alter role stats_reader set idle_in_transaction_session_timeout = '60s';
    comment on role stats_reader is
      'For Metabase, Grafana and similar tools: may only read the views of stats. Cannot log in without a password.';
  end if;
end;
$$;

-- sql/75_stats/stats.sql
create schema stats;

comment on schema stats is
  'Views for dashboards. Days begin in the time zone of private.settings. The views run with the rights of the reader '
  '(security_invoker), and read only the views *_facts in private: columns without names and texts.';

grant usage on schema stats to service_role, stats_reader;

-- the views call these functions with the rights of their reader
grant execute on function private.currency_code, private.currency_exponent, private.import_uuid
  to service_role, stats_reader;

-- sql/75_stats/facts/written_facts.sql
create view private.written_facts
as
select w.type, w.id, w.created_at, w.times
from (
  select 'voucher.issue' as type, v.id, v.created_at, 1 as times from public.vouchers v
  union all select 'voucher.book', b.id, b.created_at, 1 from public.voucher_bookings b
  union all select 'voucher.cancel', b.id, b.cancelled_at, 1 from public.voucher_bookings b where b.status = 'cancelled'
  union all
  select 'contract.upload', c.id::text, c.created_at, 1
  from public.contracts c
  where c.id not in (select private.import_uuid(r.id) from private.import_rows r where r.legacy_table = 'contracts')
  union all select 'mortgage.application', a.id, a.created_at, 1 from public.mortgage_applications a
  union all select 'mortgage.offer', o.id, o.created_at, 1 from public.mortgage_offers o
  union all select 'mortgage.accept', c.offer_id, c.created_at, 1 from public.mortgage_contracts c
  union all
  select 'mortgage.sign', c.id, least(c.borrower_signed_at, c.lender_signed_at, c.notary_signed_at),
    num_nonnulls(c.borrower_signed_at, c.lender_signed_at, c.notary_signed_at)
  from public.mortgage_contracts c
  union all select 'transfer.logged', t.id, t.created_at, 1 from public.transfers t
  union all select 'telemetry.event', t.id, t.created_at, 1 from public.telemetry_events t
  union all
  select case when e.adjusts is null then 'fee.reversed' else 'fee.adjusted' end, e.id::text, e.created_at, 1
  from public.fee_events e
  where e.reason is not null
  union all
  select 'settlement.payment', p.settlement_id::text, min(p.created_at), count(*)::integer
  from public.settlement_payments p
  group by p.settlement_id
  union all select 'settlement.created', s.id::text, s.created_at, 1 from public.settlements s
  union all select 'settlement.invoiced', s.id::text, s.invoiced_at, 1 from public.settlements s
  union all select 'settlement.paid', s.id::text, s.paid_at, 1 from public.settlements s
  union all select 'settlement.written_off', s.id::text, s.written_off_at, 1 from public.settlements s
  union all select 'settlement.voided', s.id::text, s.voided_at, 1 from public.settlements s
) w
left join private.import_rows i
  on i.id = w.id
  and i.legacy_table = case w.type
    when 'voucher.issue' then 'vouchers'
    when 'voucher.book' then 'voucher_bookings'
    when 'voucher.cancel' then 'voucher_bookings'
    when 'mortgage.application' then 'mortgage_applications'
    when 'mortgage.offer' then 'mortgage_offers'
    when 'transfer.logged' then 'transfers'
    when 'telemetry.event' then 'telemetry_events'
  end
-- a step that has not happened yet has no time
where w.created_at > now() - (select s.events_kept from private.settings s)
  -- history that was imported has the events of its source
  and (i.id is null or w.created_at > i.imported_at);

comment on view private.written_facts is
  'What was written within the time for which events are kept: the type, subject and time of the events that each '
  'change has, and how many it has.';

-- sql/75_stats/facts/application_facts.sql
create view private.application_facts
as
select a.status, a.desired_loan, a.currency, a.created_at
from public.mortgage_applications a;

comment on view private.application_facts is 'The columns of mortgage applications that figures may read.';

grant select on private.application_facts to service_role, stats_reader;

-- sql/75_stats/facts/booking_facts.sql
create view private.booking_facts
as
select b.voucher_id, b.status, b.slot_start, b.slot_end, b.created_at, b.cancelled_at, b.price_amount,
  b.price_currency
from public.voucher_bookings b
-- an issuer that books its own voucher blocks time, and sells nothing
where b.holder_id <> b.issuer_id;

comment on view private.booking_facts is
  'The bookings that figures count, without those of issuers with themselves, and the columns that figures may read.';

grant select on private.booking_facts to service_role, stats_reader;

-- sql/75_stats/facts/calendar_facts.sql
create view private.calendar_facts
as
select
  s.time_zone,
  today.day as today,
  -- at most ten years, even if a row is dated further back
  greatest(
    today.day - 3653,
    (
      coalesce(
        least(
          (select min(t.created_at) from public.thinkers t),
          (select min(v.created_at) from public.vouchers v),
          (select min(b.created_at) from public.voucher_bookings b),
          (select min(a.created_at) from public.mortgage_applications a),
          (select min(o.created_at) from public.mortgage_offers o),
          (select min(c.created_at) from public.mortgage_contracts c),
          (select min(t.created_at) from public.transfers t),
          (select min(f.created_at) from public.fee_events f),
          (select min(r.created_at) from public.telemetry_events r),
          (select min(e.created_at) from public.events e)
        ),
        now()
      ) at time zone s.time_zone
    )::date
  ) as first_day
from private.settings s
cross join lateral (select (now() at time zone s.time_zone)::date as day) today;

comment on view private.calendar_facts is
  'The portal''s time zone, the current day there, and the day of the portal''s first row. Read by stats.days.';

grant select on private.calendar_facts to service_role, stats_reader;

-- sql/75_stats/facts/currency_facts.sql
create view private.currency_facts
as
select c.code, c.exponent
from private.currencies c;

comment on view private.currency_facts is
  'The currencies for a view that joins many rows with them: private.currency_exponent takes longer for each row.';

grant select on private.currency_facts to service_role, stats_reader;

-- sql/75_stats/facts/event_facts.sql
create view private.event_facts
as
select e.type, e.actor_id, e.created_at
from public.events e;

comment on view private.event_facts is
  'The columns of events that figures may read, all of them in events_created_at_idx, so that figures need an '
  'index-only scan.';

grant select on private.event_facts to service_role, stats_reader;

-- sql/75_stats/facts/fee_event_facts.sql
create view private.fee_event_facts
as
select
  f.fee_id,
  f.beneficiary_id,
  f.currency,
  f.amount_cents,
  f.reverses is not null as is_reversal,
  f.settlement_id is not null as is_settled,
  f.created_at,
  f.adjusts is not null as is_adjustment
from public.fee_events f;

comment on view private.fee_event_facts is 'The columns of fee events that figures may read.';

grant select on private.fee_event_facts to service_role, stats_reader;

-- sql/75_stats/facts/invariant_facts.sql
create view private.invariant_facts
as
select 'bookings_do_not_overlap' as name, count(*) as violations,
  'Active bookings that begin before an earlier one of the same voucher has ended.' as meaning
from (
  select
    b.slot_start < max(b.slot_end) over (
      partition by b.voucher_id order by b.slot_start, b.id rows between unbounded preceding and 1 preceding
    ) as overlaps_another
  from public.voucher_bookings b
  where b.status = 'booked'
) b
where b.overlaps_another

union all
select 'voucher_status_agrees_with_bookings', count(*),
  'Vouchers with an active booking whose status is not booked or consumed, booked vouchers without an active booking, '
  'and vouchers whose holder has no active booking. (A voucher without any booking is not checked: it may be issued as '
  'booked.)'
from (
  select v.id
  from public.vouchers v
  join public.voucher_bookings b on b.voucher_id = v.id and b.status = 'booked'
  where v.status not in ('booked', 'consumed')
  group by v.id
  union all
  select v.id
  from (
    select v.id
    from public.vouchers v
    where v.status = 'booked'
      and not exists (
        select from public.voucher_bookings b
        where b.voucher_id = v.id and b.holder_id = v.holder_id and b.status = 'booked'
      )
    -- only for these few is a booking looked up
    offset 0
  ) v
  cross join lateral (select from public.voucher_bookings b where b.voucher_id = v.id limit 1) any_booking
) wrong

union all
select 'every_booking_is_charged_once', count(*),
  'Bookings without the charge of a fee in a currency, or with two of them. Only fees that were in force for an hour '
  'before and after the booking are checked, because a change at the same time may or may not apply. A booking that '
  'was inserted as cancelled, was imported, or that an issuer made with itself, has no charge. Only bookings that were '
  'logged within a day are checked: history that an operator inserts is charged when it is inserted.'
from public.voucher_bookings b
join public.vouchers v on v.id = b.voucher_id
join (
  select f.*, lead(f.valid_from, 1, 'infinity') over (partition by f.fee_id order by f.valid_from, f.id) as valid_to
  from public.fee_versions f
) f
  on f.active and f.scope = 'voucher'
  and f.valid_from < b.created_at - interval '1 hour' and f.valid_to > b.created_at + interval '1 hour'
cross join lateral (
  select v.price_currency as currency where v.price_amount > 0 and f.percentage > 0
  union all
  select f.currency
  where (
    f.fixed_amount > 0
    or f.min_cents > 0 and (coalesce(v.price_amount, 0) = 0 or v.price_currency = f.currency)
  )
  and (v.price_amount > 0 and f.percentage > 0 and v.price_currency = f.currency) is not true
) expected
-- counted for all at once, because a look-up for each booking costs more
left join (
  select e.subject_id, e.fee_id, e.currency, count(*) as number
  from public.fee_events e
  where e.subject_type = 'voucher_booking' and e.reverses is null and e.adjusts is null
  group by e.subject_id, e.fee_id, e.currency
) charged on charged.subject_id = b.id and charged.fee_id = f.fee_id and charged.currency = expected.currency
where b.holder_id <> b.issuer_id and case
  when coalesce(charged.number, 0) in (1, case b.status when 'cancelled' then 0 else 1 end) then false
  when
      exists (select from private.import_rows r where r.legacy_table = 'voucher_bookings' and r.id = b.id)
      then exists (
    select from public.fee_events e
    where e.subject_type = 'voucher_booking' and e.subject_id = b.id and e.reverses is null and e.adjusts is null
  )
  -- in this branch, because the log is large
  else exists (
    select from public.events e
    where e.subject_type = 'voucher_booking' and e.subject_id = b.id and e.type = 'voucher.book'
      and e.created_at < b.created_at + interval '1 day'
  )
end

union all
select 'every_cancellation_is_reversed_once', count(*),
  'Charges of a cancelled booking without a reversal, and reversals of a charge whose booking is active, or was '
  'cancelled too late for its fee. Only fees that were in force for an hour before and after a late cancellation are '
  'checked. What an operator reversed, with a reason, is valid.'
from public.fee_events c
left join public.voucher_bookings b on b.id = c.subject_id
left join public.fee_events r on r.reverses = c.id
where c.reverses is null and c.adjusts is null and c.subject_type = 'voucher_booking'
  and (
    case
      when r.reason is not null then false
      when b.status = 'booked' then r.id is not null
      when b.cancelled_at >= b.slot_start then exists (
        select from public.fee_versions f
        where f.fee_id = c.fee_id
          and f.reversed_after_start <> (r.id is not null)
          and f.valid_from < b.cancelled_at - interval '1 hour'
          and not exists (
            select from public.fee_versions g
            where g.fee_id = f.fee_id
              and (g.valid_from, g.id) > (f.valid_from, f.id)
              and g.valid_from <= b.cancelled_at + interval '1 hour'
          )
      )
      else r.id is null
    end
  )

union all
select 'corrections_agree_with_their_charge', count(*),
  'Charges whose reversal is not what adjustments left of them, or that were adjusted below zero, and corrections with '
  'another fee, subject, currency, beneficiary or payer, or of another correction.'
from (
  select from public.fee_events c
  join (
    select
      coalesce(e.reverses, e.adjusts) as charge, sum(e.amount_cents) as cents, count(e.reverses) as reversals
    from public.fee_events e
    where e.reverses is not null or e.adjusts is not null
    group by coalesce(e.reverses, e.adjusts)
  ) k on k.charge = c.id
  where c.amount_cents + k.cents < 0 or (k.reversals > 0 and c.amount_cents + k.cents <> 0)
  union all
  select from public.fee_events k
  join public.fee_events c on c.id = coalesce(k.reverses, k.adjusts)
  where (k.reverses is not null or k.adjusts is not null) and (
    c.reverses is not null or c.adjusts is not null
    or (k.fee_id, k.subject_type, k.subject_id, k.currency, k.beneficiary_id, k.payer_id)
      is distinct from (c.fee_id, c.subject_type, c.subject_id, c.currency, c.beneficiary_id, c.payer_id)
  )
) wrong

union all
select 'every_charge_has_its_subject', count(*),
  'Fee events for a booking, a transfer or a mortgage contract that does not exist.'
from public.fee_events e
where not case e.subject_type
  when 'voucher_booking' then exists (select from public.voucher_bookings b where b.id = e.subject_id)
  when 'transfer' then exists (select from public.transfers t where t.id = e.subject_id)
  when 'mortgage_contract' then exists (select from public.mortgage_contracts c where c.id = e.subject_id)
end

union all
select 'charges_agree_with_their_subject', count(*),
  'Charges whose base is not the price of the booking, the fiat amount of the transfer without its sign, or the '
  'amount of the loan.'
from (
  select c.base_cents, coalesce(b.price_amount, 0) as price
  from public.fee_events c
  join public.voucher_bookings b on b.id = c.subject_id
  where c.subject_type = 'voucher_booking'
    and c.reverses is null and c.adjusts is null
    -- the fixed part in another currency is a charge of its own, on a base of 0
    and (c.base_cents <> 0 or c.rate <> 0)
  union all
  select c.base_cents, coalesce(abs(t.fiat_amount), 0)
  from public.fee_events c
  join public.transfers t on t.id = c.subject_id
  where c.subject_type = 'transfer'
    and c.reverses is null and c.adjusts is null and (c.base_cents <> 0 or c.rate <> 0)
  union all
  select c.base_cents, coalesce(o.loan_amount, 0)
  from public.fee_events c
  join public.mortgage_contracts m on m.id = c.subject_id
  left join public.mortgage_offers o on o.id = m.offer_id
  where c.subject_type = 'mortgage_contract'
    and c.reverses is null and c.adjusts is null and (c.base_cents <> 0 or c.rate <> 0)
) e
where e.base_cents <> e.price

union all
select 'settlements_total_their_fee_events', count(*),
  'Settlements whose total is not the sum of their lines, or whose lines are not their fee events (a voided one has '
  'none of these).'
from public.settlements s
left join (
  select
    l.settlement_id, sum(e.amount_cents) as total, count(*) as lines,
    count(*) filter (where e.settlement_id = l.settlement_id) as linked
  from public.settlement_lines l
  join public.fee_events e on e.id = l.fee_event_id
  group by l.settlement_id
) l on l.settlement_id = s.id
left join (
  select f.settlement_id, count(*) as events from public.fee_events f group by f.settlement_id
) f on f.settlement_id = s.id
where s.total_cents <> coalesce(l.total, 0)
  or coalesce(f.events, 0) <> case s.status when 'voided' then 0 else coalesce(l.lines, 0) end
  or coalesce(l.linked, 0) <> case s.status when 'voided' then 0 else coalesce(l.lines, 0) end

union all
select 'payments_agree_with_their_settlement', count(*),
  'Settlements that are paid and whose payments are not their total, or that have payments of more than their total or '
  'without an invoice.'
from public.settlements s
left join (
  select p.settlement_id, sum(p.amount_cents) as cents from public.settlement_payments p group by p.settlement_id
) p on p.settlement_id = s.id
where case s.status
  when 'paid' then coalesce(p.cents, 0) <> s.total_cents
  when 'open' then p.cents <> 0
  when 'voided' then p.cents <> 0
  else abs(p.cents) >= abs(s.total_cents::numeric) or sign(p.cents) <> sign(s.total_cents::numeric)
end

union all
select 'invoice_numbers_have_no_gap', count(*),
  'Beneficiaries and years with fewer or more invoices than the last number says.'
from private.invoice_numbers n
full join (
  select
      s.beneficiary_id, extract(year from s.invoiced_at at time zone z.time_zone)::integer as year, count(*) as number
  from public.settlements s
  cross join private.settings z
  where s.number is not null
  group by s.beneficiary_id, year
) i on (i.beneficiary_id, i.year) = (n.beneficiary_id, n.year)
where n.last is distinct from i.number

union all
select 'balance_adds_up', count(*),
  'Beneficiaries and currencies for which the sum of all fee events is not what is unsettled, open, invoiced, paid and '
  'written off together.'
from (
  select e.beneficiary_id, e.currency, sum(e.amount_cents) as cents
  from public.fee_events e
  group by e.beneficiary_id, e.currency
) e
full join (
  select a.beneficiary_id, a.currency, sum(a.cents) as cents
  from (
    select u.beneficiary_id, u.currency, u.amount_cents::numeric as cents
    from public.fee_events u
    where u.settlement_id is null
    union all
    select s.beneficiary_id, s.currency, s.total_cents from public.settlements s where s.status <> 'voided'
  ) a
  group by a.beneficiary_id, a.currency
) a on (a.beneficiary_id, a.currency) = (e.beneficiary_id, e.currency)
where coalesce(e.cents, 0) <> coalesce(a.cents, 0)

union all
select 'no_fee_event_is_in_two_settlements', count(*),
  'Charges or reversals that were settled more than once, and fee events in a settlement of another beneficiary or '
  'currency.'
from (
  select from public.fee_events e
  where e.settlement_id is not null
    and e.adjusts is null
  group by e.fee_id, e.subject_type, e.subject_id, e.currency, e.reverses
  having count(*) > 1
  union all
  select from public.fee_events e
  join public.settlements s on s.id = e.settlement_id
  where (s.beneficiary_id, s.currency) <> (e.beneficiary_id, e.currency)
) twice

union all
select 'every_accepted_offer_has_one_contract', count(*),
  'Accepted mortgage offers without a contract, and contracts of an offer that is not accepted.'
from public.mortgage_offers o
full join public.mortgage_contracts c on c.offer_id = o.id
where (o.status = 'accepted') <> (c.id is not null)

union all
select 'every_write_has_its_event',
  -- in a subquery, so that who reads only the meaning reads no log (public.system_stats)
  (
    select count(*)
    from (
      -- rows and events are counted together, which costs less than a join of the counts
      select
      from (
        select w.type, w.id, w.times, 0 as logged from private.written_facts w
        union all
        -- most events are presence events, which no row expects
        select e.type, e.subject_id, null, 1
        from public.events e
        where e.type not like 'presence.%'
          -- no imported events, which may say anything; ids of those made here are of version 7, as few others are
          and get_byte(uuid_send(e.id), 6) / 16 = 7
          and not exists (
            select from private.import_rows i
            where i.legacy_table = 'events' and i.id like '________-____-7%' and private.import_uuid(i.id) = e.id
          )
      ) changes
      group by changes.type, changes.id
      having sum(changes.times) <> sum(changes.logged)
    ) wrong
  ),
  'Vouchers, bookings, cancellations, documents, applications, offers, accepted offers, signed contracts, transfers, '
  'telemetry, corrections by an operator, payments, and settlements with more or fewer events than changes, within the '
  'time for which events are kept. (Heartbeats and matches have no rows to compare with; what was imported has the '
  'events of its source.)';

comment on view private.invariant_facts is 'The data of stats.invariants.';

grant select on private.invariant_facts to service_role, stats_reader;

-- sql/75_stats/facts/job_facts.sql
create view private.job_facts
as
select
  j.name,
  j.description,
  j.schedule,
  greatest(good.started_at, bad.started_at) as last_run_at,
  good.started_at as last_good_run_at,
  coalesce(good.started_at, j.added_at) < now() - j.late_after as is_late,
  good.done as last_done,
  bad.started_at as last_error_at,
  bad.error as last_error,
  case private.is_active_in_pg_cron(j.name)
    when true then 'pg_cron'
    when false then 'nobody'
    else
      case
        when exists (select from private.job_servers s where s.seen_at > now() - interval '3 minutes') then 'portal run'
        else 'nobody'
      end
  end as run_by
from private.jobs j
left join lateral (
  select r.started_at, r.done
  from private.job_runs r
  where r.job = j.name and r.done is not null
  order by r.started_at desc
  limit 1
) good on true
left join lateral (
  select r.started_at, r.error
  from private.job_runs r
  where r.job = j.name and r.error is not null
  order by r.started_at desc
  limit 1
) bad on true;

comment on view private.job_facts is 'The data of stats.jobs.';

-- the view calls it with the rights of its reader
grant execute on function private.is_active_in_pg_cron to service_role, stats_reader;

grant select on private.job_facts to service_role, stats_reader;

-- sql/75_stats/facts/offer_facts.sql
create view private.offer_facts
as
select o.status, o.interest_rate, o.created_at, c.created_at as accepted_at
from public.mortgage_offers o
left join public.mortgage_contracts c on c.offer_id = o.id;

comment on view private.offer_facts is
  'The columns of mortgage offers that figures may read; an offer is accepted when its contract is created.';

grant select on private.offer_facts to service_role, stats_reader;

-- sql/75_stats/facts/presence_facts.sql
create view private.presence_facts
as
select
  s.pair_code,
  s.status = 'online' and s.last_seen_at > now() - interval '1 minute' as is_online
from public.presence_sessions s;

comment on view private.presence_facts is
  'The columns of presence that figures may read. A thinker is online if it was seen in the last minute and its status '
  'is online.';

grant select on private.presence_facts to service_role, stats_reader;

-- sql/75_stats/facts/receivable_facts.sql
create view private.receivable_facts
as
with parts as (
  select
    e.beneficiary_id,
    e.currency,
    e.payer_id,
    s.id as settlement_id,
    coalesce(s.status, 'unsettled') as status,
    s.due_on,
    sum(e.amount_cents) as cents, min(e.created_at) as since
  from public.fee_events e
  left join public.settlements s on s.id = e.settlement_id
  where e.settlement_id is null or s.status in ('open', 'invoiced', 'written_off')
  group by e.beneficiary_id, e.currency, e.payer_id, s.id, s.status, s.due_on
),

payments as (
  select p.settlement_id, p.payer_id, sum(p.amount_cents) as cents
  from public.settlement_payments p
  group by p.settlement_id, p.payer_id
),

named as (
  select p.*, p.cents - coalesce(m.cents, 0) as remainder, coalesce(u.cents, 0) as unnamed
  from parts p
  left join payments m on m.settlement_id = p.settlement_id and m.payer_id = p.payer_id
  left join payments u on u.settlement_id = p.settlement_id and u.payer_id is null
),

ordered as (
  select n.*,
    coalesce(
      sum(greatest(n.remainder, 0)) over (
        partition by n.settlement_id order by n.since, n.payer_id rows between unbounded preceding and 1 preceding
      ),
      0
    ) as older
  from named n
)

select
  o.beneficiary_id, o.currency, o.payer_id, o.settlement_id, o.status,
  (o.since at time zone s.time_zone)::date as since,
  coalesce(o.status = 'invoiced' and o.due_on < (now() at time zone s.time_zone)::date, false) as is_overdue,
  -- a payment that names no payer pays the oldest debts first
  o.remainder
    - case
        when o.settlement_id is null then 0 else least(greatest(o.remainder, 0), greatest(o.unnamed - o.older, 0))
    end
    as cents
from ordered o
cross join private.settings s;

comment on view private.receivable_facts is
  'What each payer owes to each beneficiary: the part of each open or invoiced settlement that is not paid, and the '
  'fee events in no settlement. The data of stats.receivables, which leaves out what was given up: the part of each '
  'written_off settlement that is not paid.';

grant select on private.receivable_facts to service_role, stats_reader;

-- sql/75_stats/facts/settlement_facts.sql
create view private.settlement_facts
as
select
  s.id, s.beneficiary_id, s.period_from, s.period_to, s.total_cents, s.currency, s.status, s.created_at, s.number,
  s.invoiced_at, s.due_on, coalesce(p.cents, 0)::bigint as paid_cents, p.last_on as last_paid_on,
  -- a state of the day, not of the row
  s.status = 'invoiced' and s.due_on < (now() at time zone z.time_zone)::date as is_overdue
from public.settlements s
cross join private.settings z
left join (
  select p.settlement_id, sum(p.amount_cents) as cents, max(p.paid_on) as last_on
  from public.settlement_payments p
  group by p.settlement_id
) p on p.settlement_id = s.id;

comment on view private.settlement_facts is 'The columns of settlements that figures may read.';

grant select on private.settlement_facts to service_role, stats_reader;

-- sql/75_stats/facts/telemetry_facts.sql
create view private.telemetry_facts
as
select t.type collate "C" ~* 'error|fail' as is_error, t.created_at
from public.telemetry_events t;

comment on view private.telemetry_facts is
  'The columns of telemetry that figures may read: whether the type is an error, as in GET /api/autofix/status, and '
  'the time.';

grant select on private.telemetry_facts to service_role, stats_reader;

-- sql/75_stats/facts/thinker_facts.sql
create view private.thinker_facts
as
select t.id, t.public_id as uid, t.created_at
from public.thinkers t;

comment on view private.thinker_facts is
  'The columns of thinkers that figures may read: the time of creation, and the uid, for beneficiaries.';

grant select on private.thinker_facts to service_role, stats_reader;

-- sql/75_stats/facts/transfer_facts.sql
create view private.transfer_facts
as
select
  t.direction,
  -- thinkers choose it: many of the 4 KiB that it may have would make figures slow
  left(t.network, 200) as network,
  t.fiat_amount,
  t.fiat_currency,
  t.created_at
from public.transfers t;

comment on view private.transfer_facts is 'The columns of transfers that figures may read.';

grant select on private.transfer_facts to service_role, stats_reader;

-- sql/75_stats/facts/voucher_facts.sql
create view private.voucher_facts
as
select
  v.id,
  t.id as template_id,
  t.title as template_title,
  v.status,
  v.price_amount,
  v.price_currency,
  v.valid_from,
  v.valid_until,
  v.duration_minutes,
  -- as in private.slots_of: every 60 minutes from valid_from, if a whole appointment fits
  greatest(floor((date_part('epoch', v.valid_until - v.valid_from) / 60 - v.duration_minutes) / 60) + 1, 0) as slots,
  v.created_at
from public.vouchers v
-- offset 0 forces a look-up of each voucher, because a join would read the names of all vouchers for a few days
left join lateral (
  select n.template_id from private.named_templates n where n.voucher_id = v.id offset 0
) n on true
left join public.voucher_templates t on t.id = n.template_id;

comment on view private.voucher_facts is
  'The columns of vouchers that figures may read: the template that their terms name (null if unknown), price, period '
  'and number of slots.';

grant select on private.voucher_facts to service_role, stats_reader;

-- sql/75_stats/views/stats.days.sql
create view stats.days
with (security_invoker = true)
as
select
  day::date as day,
  -- right after the last moment of the day before, because midnight may occur twice or not at all at a change of clocks
  (day - interval '1 microsecond') at time zone c.time_zone + interval '1 microsecond' as starts_at,
  (day + interval '1 day' - interval '1 microsecond') at time zone c.time_zone + interval '1 microsecond' as ends_at
from private.calendar_facts c
-- timestamps without a time zone, so that a day of 23 or 25 hours is one day
cross join generate_series(c.first_day::timestamp, c.today::timestamp, interval '1 day') as day;

comment on view stats.days is
  'Every day from the portal''s first row to today, at most ten years. With `where day between ...` the views by day '
  'read only those days.';
comment on column stats.days.starts_at is
  'The first moment of the day in the time zone of private.settings; equal to ends_at of the day before.';

grant select on stats.days to service_role, stats_reader;

-- sql/75_stats/views/stats.applications_by_status.sql
create view stats.applications_by_status
with (security_invoker = true)
as
select a.status, count(*) as applications
from private.application_facts a
group by a.status;

comment on view stats.applications_by_status is 'The current number of mortgage applications by status.';

grant select on stats.applications_by_status to service_role, stats_reader;

-- sql/75_stats/views/stats.bookings_by_day.sql
create view stats.bookings_by_day
with (security_invoker = true)
as
select
  d.day,
  (
    select count(*) from private.voucher_facts v where v.created_at >= d.starts_at and v.created_at < d.ends_at
  ) as issued,
  (
    select count(*) from private.booking_facts b where b.created_at >= d.starts_at and b.created_at < d.ends_at
  ) as bookings,
  (
    select count(*) from private.booking_facts b where b.cancelled_at >= d.starts_at and b.cancelled_at < d.ends_at
  ) as cancellations
from stats.days d;

comment on view stats.bookings_by_day is
  'Vouchers issued, bookings made and bookings cancelled on each day, including days with none.';
comment on column stats.bookings_by_day.bookings is 'Bookings made on that day, including those cancelled later.';

grant select on stats.bookings_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.errors_by_day.sql
create view stats.errors_by_day
with (security_invoker = true)
as
select d.day, r.reports, r.errors
from stats.days d
cross join lateral (
  select count(*) as reports, count(*) filter (where r.is_error) as errors
  from private.telemetry_facts r
  where r.created_at >= d.starts_at and r.created_at < d.ends_at
) r;

comment on view stats.errors_by_day is
  'The number of telemetry reports of each day, and how many of them are errors, including days with none.';

grant select on stats.errors_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.events_by_day.sql
create view stats.events_by_day
with (security_invoker = true)
as
select d.day, e.type, e.events
from stats.days d
cross join lateral (
  select e.type, count(*) as events
  from private.event_facts e
  where e.created_at >= d.starts_at and e.created_at < d.ends_at
  group by e.type
) e;

comment on view stats.events_by_day is 'The number of events of each type on each day, as far back as events are kept.';

grant select on stats.events_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.fees_by_day.sql
-- security_barrier: otherwise a reader's own function in a where clause could see the uids of all thinkers
create view stats.fees_by_day
with (security_invoker = true, security_barrier = true)
as
select
  d.day, f.fee_id, b.uid as beneficiary_uid, f.currency, private.currency_exponent(f.currency) as decimals,
  f.fee_events, f.charged_cents, f.reversed_cents,
  f.accrued_cents,
  f.settled_cents,
  f.accrued_cents - f.settled_cents as open_cents,
  f.adjusted_cents
from stats.days d
cross join lateral (
  select
    f.fee_id,
    f.beneficiary_id,
    f.currency,
    count(*) as fee_events,
    coalesce(sum(f.amount_cents) filter (where not f.is_reversal and not f.is_adjustment), 0) as charged_cents,
    coalesce(sum(f.amount_cents) filter (where f.is_reversal), 0) as reversed_cents,
    coalesce(sum(f.amount_cents) filter (where f.is_adjustment), 0) as adjusted_cents,
    sum(f.amount_cents) as accrued_cents,
    coalesce(sum(f.amount_cents) filter (where f.is_settled), 0) as settled_cents
  from private.fee_event_facts f
  where f.created_at >= d.starts_at and f.created_at < d.ends_at
  group by f.fee_id, f.beneficiary_id, f.currency
) f
join private.thinker_facts b on b.id = f.beneficiary_id;

comment on view stats.fees_by_day is
  'Fees charged, reversed and adjusted on each day, by fee, beneficiary and currency. Amounts are in the currency''s '
  'minor unit.';
comment on column stats.fees_by_day.decimals is 'The number of decimals of the currency''s minor unit.';
comment on column stats.fees_by_day.reversed_cents is 'The sum of the reversals: zero or negative.';
comment on column stats.fees_by_day.accrued_cents is 'The sum of charged_cents, reversed_cents and adjusted_cents.';
comment on column stats.fees_by_day.adjusted_cents is 'The sum of the adjustments by operators.';
comment on column stats.fees_by_day.settled_cents is
  'The part of accrued_cents that is in a settlement, whatever its status; open_cents is the rest.';

grant select on stats.fees_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.invariants.sql
create view stats.invariants
with (security_invoker = true)
as
select i.name collate "C" as name, i.violations, i.meaning
from private.invariant_facts i;

comment on view stats.invariants is
  'Rules that must always hold, one row a rule: its name, the number of rows that violate it (0), and what a violation '
  'is.';

grant select on stats.invariants to service_role, stats_reader;

-- sql/75_stats/views/stats.jobs.sql
create view stats.jobs
with (security_invoker = true)
as
select
  j.name, j.description as does, j.schedule, j.last_run_at, j.last_good_run_at, j.is_late, j.last_done, j.last_error_at,
  j.last_error,
  case
    when j.last_error_at = j.last_run_at then 'failed'
    when j.is_late then 'late'
    when j.last_run_at is null then 'waiting'
    else 'good'
  end as state,
  j.run_by
from private.job_facts j
order by j.name;

comment on view stats.jobs is
  'The scheduled jobs: when each last ran, whether it is late, its last error, its state, and who runs it.';
comment on column stats.jobs.last_good_run_at is 'When the last successful run started.';
comment on column stats.jobs.is_late is
  'True if last_good_run_at is longer ago than the job allows; for a job that never succeeded, if it was added longer '
  'ago.';
comment on column stats.jobs.last_done is 'How many rows the last successful run processed.';
comment on column stats.jobs.state is
  'failed: the last run failed; late: no successful run for too long; waiting: the job is new and has not run yet; '
  'otherwise good.';
comment on column stats.jobs.run_by is
  'pg_cron; portal run: a server that was there within the last three minutes; nobody: no server is there, or the job '
  'is switched off in pg_cron.';

grant select on stats.jobs to service_role, stats_reader;

-- sql/75_stats/views/stats.mortgages_by_day.sql
create view stats.mortgages_by_day
with (security_invoker = true)
as
select
  d.day,
  (
    select count(*) from private.application_facts a where a.created_at >= d.starts_at and a.created_at < d.ends_at
  ) as applications,
  (select count(*) from private.offer_facts o where o.created_at >= d.starts_at and o.created_at < d.ends_at) as offers,
  (
    select count(*) from private.offer_facts o where o.accepted_at >= d.starts_at and o.accepted_at < d.ends_at
  ) as accepted
from stats.days d;

comment on view stats.mortgages_by_day is
  'Mortgage applications, offers and accepted offers of each day, including days with none.';

grant select on stats.mortgages_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.offers_by_day.sql
create view stats.offers_by_day
with (security_invoker = true)
as
select d.day, o.*
from stats.days d
cross join lateral (
  select
    o.status,
    count(*) as offers,
    count(o.interest_rate) as rates,
    sum(o.interest_rate) as rates_total,
    min(o.interest_rate) as lowest_rate,
    max(o.interest_rate) as highest_rate
  from private.offer_facts o
  where o.created_at >= d.starts_at and o.created_at < d.ends_at
  group by o.status
) o;

comment on view stats.offers_by_day is 'The mortgage offers made on each day, by their current status.';
comment on column stats.offers_by_day.rates is
  'The number of offers with an interest rate; rates_total / rates is the average.';
comment on column stats.offers_by_day.rates_total is
  'The sum of the interest rates, as fractions a year: 0.031 is 3.1 percent.';

grant select on stats.offers_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.owed.sql
-- security_barrier: otherwise a reader's own function in a where clause could see the uids of all thinkers
create view stats.owed
with (security_invoker = true, security_barrier = true)
as
select
  b.uid as beneficiary_uid, o.currency, private.currency_exponent(o.currency) as decimals,
  o.unsettled_cents, o.open_cents, o.invoiced_cents, o.paid_cents,
  o.unsettled_cents + o.open_cents + o.invoiced_cents as owed_cents,
  o.written_off_cents, o.overdue_cents
from (
  select
    due.beneficiary_id,
    due.currency,
    coalesce(sum(due.cents) filter (where due.status = 'unsettled'), 0) as unsettled_cents,
    coalesce(sum(due.cents) filter (where due.status = 'open'), 0) as open_cents,
    coalesce(sum(due.cents) filter (where due.status = 'invoiced'), 0) as invoiced_cents,
    coalesce(sum(due.cents) filter (where due.status = 'paid'), 0) as paid_cents,
    coalesce(sum(due.cents) filter (where due.status = 'written_off'), 0) as written_off_cents,
    coalesce(sum(due.cents) filter (where due.is_overdue), 0) as overdue_cents
  from (
    select f.beneficiary_id, f.currency, 'unsettled' as status, false as is_overdue, sum(f.amount_cents) as cents
    from private.fee_event_facts f
    where not f.is_settled
    group by f.beneficiary_id, f.currency
    union all
    select s.beneficiary_id, s.currency, s.status, s.is_overdue, sum(s.total_cents - s.paid_cents)
    from private.settlement_facts s
    where s.status <> 'voided'
    group by s.beneficiary_id, s.currency, s.status, s.is_overdue
    union all
    select s.beneficiary_id, s.currency, 'paid', false, sum(s.paid_cents)
    from private.settlement_facts s
    group by s.beneficiary_id, s.currency
  ) due
  group by due.beneficiary_id, due.currency
) o
join private.thinker_facts b on b.id = o.beneficiary_id;

comment on view stats.owed is
  'The amounts currently owed to each beneficiary, over all time, by currency. In the currency''s minor unit; negative '
  'if more was reversed than charged. Fee events of a voided settlement count as unsettled.';
comment on column stats.owed.unsettled_cents is 'Fee events in no settlement.';
comment on column stats.owed.open_cents is 'Settlements that are not invoiced yet.';
comment on column stats.owed.invoiced_cents is 'Settlements that are invoiced: what is not paid.';
comment on column stats.owed.owed_cents is 'The sum of unsettled_cents, open_cents and invoiced_cents.';

comment on column stats.owed.paid_cents is 'All payments.';
comment on column stats.owed.written_off_cents is 'What was given up of settlements.';
comment on column stats.owed.overdue_cents is 'The part of invoiced_cents whose due date is over.';

grant select on stats.owed to service_role, stats_reader;

-- sql/75_stats/views/stats.pair_codes.sql
create view stats.pair_codes
with (security_invoker = true)
as
select p.pair_code, count(*) as sessions, count(*) filter (where p.is_online) as online
from private.presence_facts p
where p.pair_code is not null
group by p.pair_code;

comment on view stats.pair_codes is
  'For each pair code: how many thinkers used it last, and how many of them are online.';

grant select on stats.pair_codes to service_role, stats_reader;

-- sql/75_stats/views/stats.presence_by_day.sql
create view stats.presence_by_day
with (security_invoker = true)
as
select d.day, e.thinkers, e.heartbeats, e.matches, t.new_thinkers
from stats.days d
cross join lateral (
  select
    -- a thinker timed out after midnight was online the day before
    count(distinct e.actor_id) filter (where e.type <> 'presence.offline') as thinkers,
    count(*) filter (where e.type = 'presence.heartbeat') as heartbeats,
    count(*) filter (where e.type = 'presence.match') as matches
  from private.event_facts e
  where e.created_at >= d.starts_at and e.created_at < d.ends_at and e.type like 'presence.%'
) e
cross join lateral (
  select count(*) as new_thinkers
  from private.thinker_facts t
  where t.created_at >= d.starts_at and t.created_at < d.ends_at
) t;

comment on view stats.presence_by_day is
  'How many thinkers were online on each day, including days with none; as far back as events are kept '
  '(private.settings.events_kept).';
comment on column stats.presence_by_day.thinkers is
  'Distinct thinkers with any presence event other than presence.offline.';
comment on column stats.presence_by_day.matches is 'How often a thinker entered a room: 2 when two find each other.';
comment on column stats.presence_by_day.new_thinkers is 'Thinkers created on that day.';

grant select on stats.presence_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.presence_now.sql
create view stats.presence_now
with (security_invoker = true)
as
select count(*) as online
from private.presence_facts p
where p.is_online;

comment on view stats.presence_now is 'The number of thinkers who are online, in one row.';

grant select on stats.presence_now to service_role, stats_reader;

-- sql/75_stats/views/stats.receivables.sql
-- security_barrier: otherwise a reader's own function in a where clause could see the uids of all thinkers
create view stats.receivables
with (security_invoker = true, security_barrier = true)
as
select
  p.uid as payer_uid, b.uid as beneficiary_uid, r.currency, private.currency_exponent(r.currency) as decimals,
  r.unsettled_cents, r.open_cents, r.invoiced_cents, r.overdue_cents, r.owed_cents, r.since
from (
  select
    f.payer_id,
    f.beneficiary_id,
    f.currency,
    coalesce(sum(f.cents) filter (where f.status = 'unsettled'), 0) as unsettled_cents,
    coalesce(sum(f.cents) filter (where f.status = 'open'), 0) as open_cents,
    coalesce(sum(f.cents) filter (where f.status = 'invoiced'), 0) as invoiced_cents,
    coalesce(sum(f.cents) filter (where f.is_overdue), 0) as overdue_cents,
    sum(f.cents) as owed_cents,
    min(f.since) filter (where f.cents > 0) as since
  from private.receivable_facts f
  where f.status <> 'written_off'
  group by f.payer_id, f.beneficiary_id, f.currency
  having bool_or(f.cents <> 0)
) r
join private.thinker_facts b on b.id = r.beneficiary_id
left join private.thinker_facts p on p.id = r.payer_id;

comment on view stats.receivables is
  'Who owes what to which beneficiary since when, by currency, in its minor unit. Negative if more was given back than '
  'charged.';
comment on column stats.receivables.payer_uid is 'Null: the charges of transfers that nobody signed for.';
comment on column stats.receivables.unsettled_cents is 'Fee events in no settlement.';
comment on column stats.receivables.open_cents is 'In settlements that are not invoiced yet.';
comment on column stats.receivables.invoiced_cents is 'In settlements that are invoiced: what is not paid.';
comment on column stats.receivables.overdue_cents is 'The part of invoiced_cents whose due date is over.';
comment on column stats.receivables.owed_cents is 'The sum of unsettled_cents, open_cents and invoiced_cents.';
comment on column stats.receivables.since is 'The day of the oldest charge of which something is owed.';

grant select on stats.receivables to service_role, stats_reader;

-- sql/75_stats/views/stats.requested_by_day.sql
create view stats.requested_by_day
with (security_invoker = true)
as
select d.day, r.currency, private.currency_exponent(r.currency) as decimals, r.applications, r.amount_cents
from stats.days d
cross join lateral (
  select a.currency, count(*) as applications, sum(a.desired_loan) as amount_cents
  from private.application_facts a
  where a.created_at >= d.starts_at and a.created_at < d.ends_at and a.currency is not null
  group by a.currency
) r;

comment on view stats.requested_by_day is
  'The loans requested on each day, by currency, without applications that name no amount.';
comment on column stats.requested_by_day.decimals is 'The number of decimals of the currency''s minor unit.';
comment on column stats.requested_by_day.amount_cents is 'In the currency''s minor unit.';

grant select on stats.requested_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.revenue_by_day.sql
create view stats.revenue_by_day
with (security_invoker = true)
as
select
  d.day, r.currency, private.currency_exponent(r.currency) as decimals, r.bookings, r.amount_cents, r.booked,
  r.booked_cents
from stats.days d
cross join lateral (
  select
    b.price_currency as currency,
    count(*) filter (where b.status = 'booked') as bookings,
    coalesce(sum(b.price_amount) filter (where b.status = 'booked'), 0) as amount_cents,
    count(*) as booked,
    sum(b.price_amount) as booked_cents
  from private.booking_facts b
  where b.created_at >= d.starts_at and b.created_at < d.ends_at and b.price_currency is not null
  group by b.price_currency
) r;

comment on view stats.revenue_by_day is
  'The prices of the bookings of each day, by currency: as it stands now (bookings, amount_cents), where a booking '
  'that is cancelled later is removed from its day, and as booked (booked, booked_cents), which does not change any '
  'more. This is the revenue of the issuers; stats.fees_by_day has the portal''s own.';
comment on column stats.revenue_by_day.decimals is 'The number of decimals of the currency''s minor unit.';
comment on column stats.revenue_by_day.bookings is 'The active bookings.';
comment on column stats.revenue_by_day.amount_cents is 'Of the active bookings, in the currency''s minor unit.';
comment on column stats.revenue_by_day.booked is 'All bookings, cancelled ones too.';
comment on column stats.revenue_by_day.booked_cents is 'Of all bookings, in the currency''s minor unit.';

grant select on stats.revenue_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.settlements.sql
-- security_barrier: otherwise a reader's own function in a where clause could see the uids of all thinkers
create view stats.settlements
with (security_invoker = true, security_barrier = true)
as
select
  s.id, b.uid as beneficiary_uid, s.period_from, s.period_to, s.total_cents, s.currency,
  private.currency_exponent(s.currency) as decimals, s.status, s.created_at,
  s.number, s.invoiced_at, s.due_on, s.paid_cents, s.last_paid_on, s.is_overdue
from private.settlement_facts s
join private.thinker_facts b on b.id = s.beneficiary_id;

comment on view stats.settlements is 'Every settlement: beneficiary, period, amount and status.';
comment on column stats.settlements.period_to is 'The day after the last day of the period.';
comment on column stats.settlements.total_cents is
  'In the currency''s minor unit; a voided settlement keeps its total.';
comment on column stats.settlements.decimals is 'The number of decimals of the currency''s minor unit.';

comment on column stats.settlements.number is 'The number of the invoice; null before.';
comment on column stats.settlements.paid_cents is 'The sum of the payments, in the currency''s minor unit.';
comment on column stats.settlements.is_overdue is 'Whether it is invoiced and not paid, and its due date is over.';

grant select on stats.settlements to service_role, stats_reader;

-- sql/75_stats/views/stats.transfers_by_day.sql
create view stats.transfers_by_day
with (security_invoker = true)
as
select
  c.day, c.network, c.currency,
  -- joined, because thinkers choose the networks: there may be as many rows as transfers
  coalesce(e.exponent::integer, private.currency_exponent(c.currency)) as decimals,
  c.transfers, c.in_cents, c.out_cents, c.in_cents - c.out_cents as net_cents
from (
  select
    d.day, t.network, private.currency_code(t.fiat_currency) as currency,
    sum(t.transfers) as transfers, coalesce(sum(t.in_cents), 0) as in_cents, coalesce(sum(t.out_cents), 0) as out_cents
  from stats.days d
  -- summed by the currency as written first, because private.currency_code is slower than the sum
  cross join lateral (
    select
      t.network,
      t.fiat_currency,
      count(*) as transfers,
      sum(t.fiat_amount) filter (where t.direction = 'in') as in_cents,
      sum(t.fiat_amount) filter (where t.direction = 'out') as out_cents
    from private.transfer_facts t
    where t.created_at >= d.starts_at and t.created_at < d.ends_at
    group by t.network, t.fiat_currency
  ) t
  group by d.day, t.network, private.currency_code(t.fiat_currency)
) c
left join private.currency_facts e on e.code = c.currency;

comment on view stats.transfers_by_day is
  'Transfers logged on each day, by network (its first 200 characters; null if none was named) and currency '
  '(private.currency_code). A negative transfer is a correction, and is subtracted from its own direction.';
comment on column stats.transfers_by_day.decimals is 'The number of decimals of the currency''s minor unit.';
comment on column stats.transfers_by_day.net_cents is
  'in_cents minus out_cents. All three are in the currency''s minor unit.';

grant select on stats.transfers_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.utilisation_by_day.sql
-- The minutes of four weeks are reckoned at once, with one look-up of each of their vouchers, because a voucher offers
-- many days. A materialized query runs when its first row is read: not for four weeks of which no day is asked for.
create view stats.utilisation_by_day
with (security_invoker = true)
as
select
  u.day,
  u.template_id,
  u.title,
  round(coalesce(sum(u.minutes) filter (where not u.is_booking), 0)::numeric, 2) as offered_minutes,
  round(coalesce(sum(u.minutes) filter (where u.is_booking), 0)::numeric, 2) as booked_minutes
from private.calendar_facts c
-- the four weeks up to today, those before, and so on; the calendar has at most ten years
cross join generate_series(0, 130) as weeks (ago)
cross join lateral (
  with days as materialized (
    select
      d.number,
      d.starts_at,
      d.ends_at,
      -- all times are minutes since the begin of the four weeks
      date_part('epoch', d.starts_at - min(d.starts_at) over ()) / 60 as starts,
      date_part('epoch', d.ends_at - min(d.starts_at) over ()) / 60 as ends
    from (
      select
        n as number,
        -- as in stats.days, which begins with the portal's first day
        (day - interval '1 microsecond') at time zone c.time_zone + interval '1 microsecond' as starts_at,
        (day + interval '1 day' - interval '1 microsecond') at time zone c.time_zone
          + interval '1 microsecond' as ends_at
      from generate_series(1, 28) as n
      cross join lateral (select (c.today - 28 * (weeks.ago + 1) + n)::timestamp as day) named
    ) d
  ),

  whole as materialized (
    select
      min(d.starts_at) as starts_at, max(d.ends_at) as ends_at,
      array_agg(d.starts order by d.number) || max(d.ends) as bounds
    from days d
  ),

  vouchers as materialized (
    select
      v.id,
      v.template_id,
      v.template_title as title,
      v.slots > 0 as has_slots,
      v.status = 'cancelled' as is_cancelled,
      -- slots of an hour or more touch or overlap; shorter ones leave a gap in each hour
      least(v.duration_minutes, 60) as minutes_an_hour,
      date_part('epoch', v.valid_from - w.starts_at) / 60 as starts,
      date_part('epoch', v.valid_from - w.starts_at) / 60
      + (v.slots - 1) * 60
      + greatest(v.duration_minutes, 60) as ends
    from whole w
    join private.voucher_facts v on tstzrange(v.valid_from, v.valid_until) && tstzrange(w.starts_at, w.ends_at)
  ),

  -- what lasts from one time to another, and in each hour as many minutes
  spans as (
    select v.template_id, v.title, false as is_booking, v.minutes_an_hour, v.starts, v.ends
    from vouchers v
    where v.has_slots and not v.is_cancelled
    union all
    select
      coalesce(v.template_id, other.template_id), coalesce(v.title, other.template_title), true, 60,
      date_part('epoch', b.slot_start - w.starts_at) / 60, date_part('epoch', b.slot_end - w.starts_at) / 60
    from whole w
    join private.booking_facts b
      on tstzrange(b.slot_start, b.slot_end) && tstzrange(w.starts_at, w.ends_at) and b.status = 'booked'
    left join vouchers v on v.id = b.voucher_id
    -- a booking beyond the period of its voucher; offset 0, because a join would read all vouchers
    left join lateral (
      select o.template_id, o.template_title, o.status = 'cancelled' as is_cancelled
      from private.voucher_facts o
      where o.id = b.voucher_id and v.id is null
      offset 0
    ) other on true
    where not coalesce(v.is_cancelled, other.is_cancelled)
  ),

  numbered as materialized (
    select
      s.template_id, s.title, s.is_booking, s.minutes_an_hour, s.starts, s.ends,
      -- 0 is before the four weeks, 29 after them
      width_bucket(s.starts, w.bounds) as first_day,
      width_bucket(s.ends, w.bounds) as last_day,
      -- the times below are minutes since the begin of the span
      least(s.ends, w.bounds[width_bucket(s.starts, w.bounds) + 1]) - s.starts as first_ends,
      w.bounds[width_bucket(s.ends, w.bounds)] - s.starts as last_starts,
      s.ends - s.starts as last_ends
    from spans s
    cross join whole w
  ),

  -- the minutes of the first and the last day of each span; on each day between them it lasts all day
  parts as materialized (
    select
      s.first_day as number, s.template_id, s.title, s.is_booking,
      sum(
        floor(s.first_ends / 60) * s.minutes_an_hour
        + least(s.first_ends - floor(s.first_ends / 60) * 60, s.minutes_an_hour)
      ) as minutes,
      coalesce(sum(s.minutes_an_hour) filter (where s.first_day < s.last_day), 0) as begun,
      0 as ended
    from numbered s
    group by s.first_day, s.template_id, s.title, s.is_booking

    union all

    select
      s.last_day, s.template_id, s.title, s.is_booking,
      sum(
        (floor(s.last_ends / 60) - floor(s.last_starts / 60)) * s.minutes_an_hour
        + least(s.last_ends - floor(s.last_ends / 60) * 60, s.minutes_an_hour)
        - least(s.last_starts - floor(s.last_starts / 60) * 60, s.minutes_an_hour)
      ),
      0,
      sum(s.minutes_an_hour)
    from numbered s
    where s.first_day < s.last_day
    group by s.last_day, s.template_id, s.title, s.is_booking

    union all

    -- what a day of 23 hours and a half, say, has more or less than the average hour
    select
      d.number, s.template_id, s.title, s.is_booking,
      sum(
        (floor((d.ends - s.starts) / 60) - floor((d.starts - s.starts) / 60)) * s.minutes_an_hour
        + least(d.ends - s.starts - floor((d.ends - s.starts) / 60) * 60, s.minutes_an_hour)
        - least(d.starts - s.starts - floor((d.starts - s.starts) / 60) * 60, s.minutes_an_hour)
        - s.minutes_an_hour * (d.ends - d.starts) / 60
      ),
      0,
      0
    from days d
    join numbered s on s.first_day < d.number and s.last_day > d.number
    where mod((d.ends - d.starts)::numeric, 60) <> 0 and s.minutes_an_hour < 60
    group by d.number, s.template_id, s.title, s.is_booking
  )

  select c.today - 28 * (weeks.ago + 1) + numbers.n as day, m.template_id, m.title, m.is_booking, m.minutes
  from generate_series(1, 28) as numbers (n)
  -- offset 0 reads the parts day by day, and not at all without a day
  cross join lateral (
    select
      p.template_id, p.title, p.is_booking,
      coalesce(sum(p.minutes) filter (where p.number = d.number), 0)
        + (coalesce(sum(p.begun) filter (where p.number < d.number), 0) - sum(p.ended)) * (d.ends - d.starts) / 60
        as minutes
    from days d
    join parts p on p.number <= d.number
    where d.number = numbers.n
    group by p.template_id, p.title, p.is_booking, d.starts, d.ends
    offset 0
  ) m
  where c.today - 28 * (weeks.ago + 1) + numbers.n >= c.first_day
) u
where c.today - 28 * weeks.ago >= c.first_day
group by u.day, u.template_id, u.title
-- not 0, which a sum of fractions may miss; a microsecond is more
having sum(u.minutes) > 0.00000001;

comment on view stats.utilisation_by_day is
  'The minutes that vouchers offered on each day, and how many of them are booked, by template (null: unknown '
  'template). The utilisation of a period is the quotient of the two sums. Days without either have no row.';
comment on column stats.utilisation_by_day.offered_minutes is
  'Minutes of that day in slots of vouchers that are not cancelled; overlapping slots count once.';
comment on column stats.utilisation_by_day.booked_minutes is
  'Minutes of that day in active bookings of vouchers that are not cancelled.';

grant select on stats.utilisation_by_day to service_role, stats_reader;

-- sql/75_stats/views/stats.vouchers_by_status.sql
create view stats.vouchers_by_status
with (security_invoker = true)
as
select v.status, count(*) as vouchers
from private.voucher_facts v
group by v.status;

comment on view stats.vouchers_by_status is 'The current number of vouchers by status.';

grant select on stats.vouchers_by_status to service_role, stats_reader;

-- sql/75_stats/functions/fee_stats.sql
create function public.fee_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
declare
  period  record;
  charged jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(fee_stats.from_day, fee_stats.to_day);

  with by_day as materialized (
    select * from stats.fees_by_day f where f.day between period.from_day and period.to_day
  ),
  used as (
    select f.currency from by_day f group by f.currency order by sum(f.fee_events) desc, f.currency limit 24
  )
  select jsonb_build_object(
    'charged', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.fee_events desc, c.beneficiary_uid, c.currency), '[]')
      from (
        select
          f.beneficiary_uid, f.currency, f.decimals, sum(f.fee_events) as fee_events,
          sum(f.accrued_cents) as accrued_cents, sum(f.settled_cents) as settled_cents, sum(f.open_cents) as open_cents
        from by_day f
        group by f.beneficiary_uid, f.currency, f.decimals
        order by fee_events desc, f.beneficiary_uid, f.currency
        limit 100
      ) c
    ),
    'fees', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.fee_events desc, c.fee_id, c.currency), '[]')
      from (
        select f.fee_id, f.currency, f.decimals, sum(f.fee_events) as fee_events, sum(f.accrued_cents) as amount_cents
        from by_day f
        group by f.fee_id, f.currency, f.decimals
        order by fee_events desc, f.fee_id, f.currency
        limit 100
      ) c
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.day, c.currency), '[]')
      from (
        select
          f.day, f.currency, f.decimals, sum(f.fee_events) as fee_events, sum(f.charged_cents) as charged_cents,
          sum(f.reversed_cents) as reversed_cents, sum(f.adjusted_cents) as adjusted_cents,
          sum(f.accrued_cents) as accrued_cents
        from by_day f
        where f.currency in (select u.currency from used u)
        group by f.day, f.currency, f.decimals
      ) c
    )
  )
  into charged;

  return period.header || charged || jsonb_build_object(
    'owed', (
      select coalesce(jsonb_agg(to_jsonb(o) order by o.owed_cents desc, o.beneficiary_uid, o.currency), '[]')
      -- without a limit: only an operator adds beneficiaries and currencies
      from stats.owed o
    ),
    'receivables', (
      select
        coalesce(
          jsonb_agg(
            to_jsonb(r) order by r.overdue_cents desc, r.owed_cents desc, r.payer_uid, r.beneficiary_uid, r.currency
          ),
          '[]'
        )
      from (
        select *
        from stats.receivables r
        order by r.overdue_cents desc, r.owed_cents desc, r.payer_uid, r.beneficiary_uid, r.currency
        limit 100
      ) r
    )
  );
end;
$$;

comment on function public.fee_stats is
  'The figures of fees and settlements for a period of days (private.stats_period): {from_day, to_day, time_zone, '
  'owed (current: stats.owed), charged (by beneficiary and currency: accrued, settled, open), fees (by fee and '
  'currency), days (by currency)}; at most 100 rows of charged and of fees, and days of the 24 most used currencies. '
  'Amounts are in the currency''s minor unit. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.fee_stats to authenticated, service_role;

-- sql/75_stats/functions/mortgage_stats.sql
create function public.mortgage_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
declare
  period record;
  offers jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(mortgage_stats.from_day, mortgage_stats.to_day);

  select jsonb_build_object(
    'offers', jsonb_build_object(
      'open', coalesce(sum(o.offers) filter (where o.status = 'open'), 0),
      'accepted', coalesce(sum(o.offers) filter (where o.status = 'accepted'), 0),
      'withdrawn', coalesce(sum(o.offers) filter (where o.status = 'withdrawn'), 0)
    ),
    'acceptance_rate', round(
      coalesce(sum(o.offers) filter (where o.status = 'accepted'), 0) / nullif(sum(o.offers), 0), 4
    ),
    'interest', jsonb_build_object(
      'offers', coalesce(sum(o.rates), 0),
      'average', round(sum(o.rates_total) / nullif(sum(o.rates), 0), 6),
      'minimum', min(o.lowest_rate),
      'maximum', max(o.highest_rate)
    )
  )
  into offers
  from stats.offers_by_day o
  where o.day between period.from_day and period.to_day;

  return period.header || offers || jsonb_build_object(
    'applications', (
      select jsonb_object_agg(known.status, coalesce(a.applications, 0))
      from unnest(array['open', 'offered', 'accepted', 'rejected']) as known (status)
      left join stats.applications_by_status a on a.status = known.status
    ),
    'requested', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.applications desc, r.currency), '[]')
      from (
        select r.currency, r.decimals, sum(r.applications) as applications, sum(r.amount_cents) as amount_cents
        from stats.requested_by_day r
        where r.day between period.from_day and period.to_day
        group by r.currency, r.decimals
        order by applications desc, r.currency
        limit 24
      ) r
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
      from stats.mortgages_by_day d
      where d.day between period.from_day and period.to_day
    )
  );
end;
$$;

comment on function public.mortgage_stats is
  'The figures of mortgages for a period of days (private.stats_period): {from_day, to_day, time_zone, applications '
  '(current, by status), offers (made in the period, by status), acceptance_rate (the accepted fraction of them), '
  'interest (fractions a year), requested (the 24 most used currencies), days (stats.mortgages_by_day)}. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.mortgage_stats to authenticated, service_role;

-- sql/75_stats/functions/presence_stats.sql
create function public.presence_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
declare
  period record;
begin
  perform private.require_admin();
  period := private.stats_period(presence_stats.from_day, presence_stats.to_day);

  return period.header || jsonb_build_object(
    'online', (select n.online from stats.presence_now n),
    'pair_codes', (
      select coalesce(jsonb_agg(to_jsonb(c) order by c.sessions desc, c.online desc, c.pair_code), '[]')
      from (
        select * from stats.pair_codes p order by p.sessions desc, p.online desc, p.pair_code limit 20
      ) c
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
      from stats.presence_by_day d
      where d.day between period.from_day and period.to_day
    )
  );
end;
$$;

comment on function public.presence_stats is
  'The figures of presence for a period of days (private.stats_period): {from_day, to_day, time_zone, online and '
  'pair_codes (current; the 20 most frequent), days (stats.presence_by_day)}. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.presence_stats to authenticated, service_role;

-- sql/75_stats/functions/stats_period.sql
create function private.stats_period(inout from_day date, inout to_day date, out header jsonb)
language plpgsql
stable
set search_path = ''
as $$
declare
  time_zone text;
  today     date;
begin
  select s.time_zone, (now() at time zone s.time_zone)::date into time_zone, today from private.settings s;

  -- within the years that clients can parse; at most three years
  to_day := coalesce(to_day, today);
  if to_day between '0001-02-01' and '9999-12-31' then
    from_day := coalesce(from_day, to_day - 29);
  end if;
  -- in this order, because subtracting infinite dates fails
  if not coalesce(
    to_day <= '9999-12-31' and from_day between '0001-01-01' and to_day and to_day - from_day < 1096, false
  ) then
    raise sqlstate 'PT400' using message = 'days_invalid';
  end if;

  header := jsonb_build_object('from_day', from_day, 'to_day', to_day, 'time_zone', time_zone);
end;
$$;

comment on function private.stats_period is
  'The period of a dashboard, both days included, at most 1,096 days. to_day is by default today in the portal''s time '
  'zone, from_day 29 days earlier. header is the beginning of the response: {from_day, to_day, time_zone}. '
  'Raises: days_invalid (400).';

-- sql/75_stats/functions/system_metrics.sql
create function public.system_metrics()
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
-- else the sums of many payers would be made on the disk
set work_mem = '32MB'
set statement_timeout = '2s'
as $$
declare
  checked text;
begin
  perform private.require_admin();

  -- the last run that has looked at all of them; one that ended otherwise says nothing
  select coalesce(r.error, '')
  into checked
  from private.job_runs r
  where r.job = 'check-invariants' and (r.done is not null or r.error like 'Violated: %')
  order by r.started_at desc
  limit 1;

  return jsonb_build_object(
    'jobs', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'name', j.name, 'age', extract(epoch from now() - j.last_good_run_at), 'is_late', j.is_late,
            'is_failing', j.state = 'failed'
          )
          order by j.name
        ),
        '[]'
      )
      from stats.jobs j
    ),
    'violated', case
      when checked is not null then (
        select coalesce(jsonb_object_agg(v.parts[1], v.parts[2]::bigint), '{}')
        from regexp_matches(checked, '([a-z_]+) \(([0-9]+)\)', 'g') as v (parts)
      )
    end,
    'unsettled_fees', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'currency', f.currency, 'cents', f.cents, 'age', extract(epoch from now() - f.oldest)
          )
          order by f.currency
        ),
        '[]'
      )
      from (
        select
          p.currency, sum(p.cents) as cents,
          -- the negative sum of a payer waits for later charges, for as long as there are none
          min(p.oldest_charge) filter (where p.cents >= 0) as oldest
        from (
          select
            e.currency, sum(e.amount_cents) as cents, count(*) as fee_events,
            min(e.created_at) filter (where e.amount_cents >= 0) as oldest_charge
          from public.fee_events e
          where e.settlement_id is null
          group by e.currency, e.beneficiary_id, e.payer_id
        ) p
        group by p.currency
        order by sum(p.fee_events) desc, p.currency
        limit 24
      ) f
    ),
    'partitions', (select count(*) from pg_catalog.pg_inherits p where p.inhparent = 'public.events'::regclass),
    'bytes', pg_catalog.pg_database_size(current_database())
  );
end;
$$;

comment on function public.system_metrics is
  'What GET /metrics says of the database: {jobs ({name, age (seconds since its last successful run began, or null), '
  'is_late, is_failing}), violated (the invariants that the last run of the job check-invariants found violated, with '
  'their numbers of rows; null if there was none), unsettled_fees ({currency, cents, age (seconds since the '
  'oldest charge, but for payers whose sum is negative; null if there is none)}: the 24 most used currencies), '
  'partitions (of the events), bytes (of the database)}. '
  'Raises: query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.system_metrics to authenticated, service_role;

-- sql/75_stats/functions/system_stats.sql
create function public.system_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
-- the invariants would use temporary files with less
set work_mem = '64MB'
set statement_timeout = '10s'
as $$
declare
  most_events   constant bigint := 5000000;
  period        record;
  events        jsonb;
  invariants    jsonb;
  checked_until timestamptz;
begin
  perform private.require_admin();
  period := private.stats_period(system_stats.from_day, system_stats.to_day);

  with by_day as materialized (
    select * from stats.events_by_day e where e.day between period.from_day and period.to_day
  )
  select jsonb_build_object(
    'types', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.events desc, t.type), '[]')
      from (
        select e.type, sum(e.events) as events from by_day e group by e.type order by events desc, e.type limit 100
      ) t
    ),
    'days', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('day', r.day, 'events', coalesce(e.events, 0), 'errors', r.errors) order by r.day
        ),
        '[]'
      )
      from stats.errors_by_day r
      left join (select e.day, sum(e.events) as events from by_day e group by e.day) e on e.day = r.day
      where r.day between period.from_day and period.to_day
    )
  )
  into events;

  -- the invariants read every table completely: with a large log only the job check-invariants computes them
  if most_events > (
    select coalesce(sum(c.reltuples), 0)
    from pg_catalog.pg_inherits p
    join pg_catalog.pg_class c on c.oid = p.inhrelid
    where p.inhparent = 'public.events'::regclass
  ) then
    -- What was written until a day before the last run of check-invariants has its events, unless a later run failed:
    -- a day, because a transaction that the run did not see may have begun long before.
    select j.last_good_run_at - interval '1 day' into checked_until
    from private.job_facts j
    where j.name = 'check-invariants' and j.last_good_run_at > coalesce(j.last_error_at, '-infinity');

    with recent as materialized (
      select w.type, w.id, w.times from private.written_facts w where w.created_at > checked_until
    ),

    suspects as materialized (
      select changes.type, changes.id, sum(changes.times) as times
      from (
        select r.type, r.id, r.times, 0 as logged from recent r
        union all
        select e.type, e.subject_id, null, 1
        from public.events e
        where e.type not like 'presence.%' and e.created_at > checked_until
      ) changes
      group by changes.type, changes.id
      having sum(changes.times) <> sum(changes.logged)
    )
    select jsonb_agg(to_jsonb(i) order by i.name) into invariants
    from (
      select i.name, i.violations, i.meaning
      from stats.invariants i
      where i.name <> 'every_write_has_its_event' or checked_until is null
      union all
      -- for suspects alone the whole log is read, because a row may name a later time than that of its event
      select i.name, case when exists (select from suspects) then (
        select count(*)
        from (
          select
          from (
            select s.type, s.id, s.times, 0 as logged from suspects s
            union all
            select e.type, e.subject_id, null, 1
            from public.events e
            where e.type not like 'presence.%' and e.subject_id in (select s.id from suspects s)
          ) changes
          group by changes.type, changes.id
          having sum(changes.times) <> sum(changes.logged)
        ) wrong
      ) else 0 end, i.meaning
      from stats.invariants i
      where i.name = 'every_write_has_its_event' and checked_until is not null
    ) i;
  end if;

  return period.header || events || jsonb_build_object(
    'clock', exists (select from stats.jobs j where j.run_by <> 'nobody'),
    'jobs', (select coalesce(jsonb_agg(to_jsonb(j) order by j.name), '[]') from stats.jobs j),
    'invariants', invariants
  );
end;
$$;

comment on function public.system_stats is
  'The figures of the system for a period of days (private.stats_period): {from_day, to_day, time_zone, types (events '
  'by type, the 100 most frequent), days (events, and errors that pages reported), clock (whether pg_cron or a '
  'server runs jobs), jobs (stats.jobs), invariants (stats.invariants; null if there are more than five million '
  'events, because every table is read completely: the job check-invariants checks them daily)}. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.system_stats to authenticated, service_role;

-- sql/75_stats/functions/telbank_stats.sql
create function public.telbank_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
declare
  period record;
  flows  jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(telbank_stats.from_day, telbank_stats.to_day);

  with by_day as materialized (
    select * from stats.transfers_by_day t where t.day between period.from_day and period.to_day
  ),
  flows as (
    select
      t.network, t.currency, t.decimals, sum(t.transfers) as transfers, sum(t.in_cents) as in_cents,
      sum(t.out_cents) as out_cents, sum(t.net_cents) as net_cents
    from by_day t
    group by t.network, t.currency, t.decimals
    order by transfers desc, t.currency, t.network
    limit 24
  )
  select jsonb_build_object(
    'totals', (
      select coalesce(jsonb_agg(to_jsonb(s) order by s.transfers desc, s.currency), '[]')
      from (
        select
          t.currency, t.decimals, sum(t.transfers) as transfers, sum(t.in_cents) as in_cents,
          sum(t.out_cents) as out_cents, sum(t.net_cents) as net_cents
        from by_day t
        group by t.currency, t.decimals
        order by transfers desc, t.currency
        limit 24
      ) s
    ),
    'flows', (
      select coalesce(jsonb_agg(to_jsonb(f) order by f.transfers desc, f.currency, f.network), '[]')
      from flows f
    ),
    'days', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.day, t.currency, t.network), '[]')
      from by_day t
      where exists (select from flows f where (f.network, f.currency) is not distinct from (t.network, t.currency))
    )
  )
  into flows;

  return period.header || flows;
end;
$$;

comment on function public.telbank_stats is
  'The figures of transfers for a period of days (private.stats_period): {from_day, to_day, time_zone, totals (by '
  'currency), flows (by network and currency), days (stats.transfers_by_day, for the networks and currencies in '
  'flows)}; at most the 24 most used of each. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.telbank_stats to authenticated, service_role;

-- sql/75_stats/functions/voucher_stats.sql
create function public.voucher_stats(from_day date default null, to_day date default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
set jit = off
set statement_timeout = '10s'
as $$
declare
  period  record;
  days    jsonb;
  revenue jsonb;
begin
  perform private.require_admin();
  period := private.stats_period(voucher_stats.from_day, voucher_stats.to_day);

  select
    jsonb_build_object(
      'bookings', coalesce(sum(d.bookings), 0),
      'cancellations', coalesce(sum(d.cancellations), 0),
      'days', coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
    )
  into days
  from stats.bookings_by_day d
  where d.day between period.from_day and period.to_day;

  with by_day as materialized (
    select * from stats.revenue_by_day r where r.day between period.from_day and period.to_day
  ),
  used as (
    select r.currency, r.decimals, sum(r.bookings) as bookings, sum(r.amount_cents) as amount_cents
    from by_day r
    group by r.currency, r.decimals
    order by bookings desc, r.currency
    limit 24
  )
  select jsonb_build_object(
    'revenue', (select coalesce(jsonb_agg(to_jsonb(u) order by u.bookings desc, u.currency), '[]') from used u),
    'revenue_days', (
      select coalesce(jsonb_agg(to_jsonb(r) order by r.day, r.currency), '[]')
      from by_day r
      where r.currency in (select u.currency from used u)
    )
  )
  into revenue;

  return period.header || days || revenue || jsonb_build_object(
    'vouchers', (
      select jsonb_object_agg(known.status, coalesce(v.vouchers, 0))
      from unnest(array['issued', 'booked', 'consumed', 'cancelled', 'expired']) as known (status)
      left join stats.vouchers_by_status v on v.status = known.status
    ),
    'templates', (
      select coalesce(jsonb_agg(to_jsonb(t) order by t.offered_minutes desc, t.template_id), '[]')
      from (
        select
          u.template_id, u.title, sum(u.offered_minutes) as offered_minutes, sum(u.booked_minutes) as booked_minutes,
          round(sum(u.booked_minutes) / nullif(sum(u.offered_minutes), 0), 4) as utilisation
        from stats.utilisation_by_day u
        where u.day between period.from_day and period.to_day
        group by u.template_id, u.title
      ) t
    )
  );
end;
$$;

comment on function public.voucher_stats is
  'The figures of vouchers and bookings for a period of days (private.stats_period): {from_day, to_day, time_zone, '
  'vouchers (current, by status), bookings, cancellations, days (stats.bookings_by_day), revenue and revenue_days '
  '(stats.revenue_by_day, the 24 most used currencies), templates (offered and booked minutes, and utilisation as a '
  'fraction: stats.utilisation_by_day)}. '
  'Raises: days_invalid, query_too_large (400); session_ended (401); not_an_admin (403).';

grant execute on function public.voucher_stats to authenticated, service_role;
