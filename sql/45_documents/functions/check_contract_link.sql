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
