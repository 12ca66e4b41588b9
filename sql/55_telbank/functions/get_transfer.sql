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
