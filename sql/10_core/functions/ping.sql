create function public.ping()
returns boolean
language sql
stable
set search_path = ''
as $$
  select true
$$;

comment on function public.ping is 'True: the database answers, and lets the caller in (GET /health).';

grant execute on function public.ping to anon, authenticated, service_role;
