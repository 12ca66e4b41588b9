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
