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
