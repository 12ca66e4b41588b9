create function public.ping()
returns boolean
language sql
stable
set search_path = ''
as $$
  select true
$$;

comment on function public.ping is 'True if the database answers and the caller may use it (GET /health).';

grant execute on function public.ping to anon, authenticated, service_role;
