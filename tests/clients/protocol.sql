-- Functions and a view for test_protocol.py.
create function public.test_echo(
  j  jsonb default '"the default"', n numeric default null, i bigint default null, at timestamptz default null,
  u  uuid default null, x text[] default null, t text default null
)
returns jsonb
language sql
set timezone = 'UTC'
as $$
  select jsonb_build_array(j, n, i, at, u, x, t)
$$;

create function public.test_boolean() returns boolean language sql as 'select true';
create function public.test_integer() returns integer language sql as 'select 42';
create function public.test_text() returns text language sql as $$select 'text'$$;
create function public.test_null() returns text language sql as 'select null';
create function public.test_jsonb_null() returns jsonb language sql as $$select 'null'::jsonb$$;
create function public.test_void() returns void language sql as 'select null';
create function public.test_set() returns setof integer language sql as 'values (1), (2)';
create function public.test_none() returns setof integer language sql as 'select 1 where false';
create type public.test_composite as (id text, default_duration integer);
create function public.test_row() returns public.test_composite language sql as $$select 'consulting', 60$$;

create function public.test_raise(code text) returns void language plpgsql as $$
begin
  raise exception using errcode = code, message = 'the_reason', detail = 'the detail', hint = 'the hint';
end;
$$;

create function public.test_who() returns jsonb language sql stable as $$
  select jsonb_build_object('role', current_user, 'claims', auth.jwt())
$$;

create function public.test_is_read_only() returns text language sql volatile as $$
  select current_setting('transaction_read_only')
$$;
create function public.test_is_read_only_stable() returns text language sql stable as $$
  select current_setting('transaction_read_only')
$$;
create view public.test_read_only as select current_setting('transaction_read_only') as setting;

grant execute on all functions in schema public to anon, authenticated, service_role;
grant select on public.test_read_only to anon;
