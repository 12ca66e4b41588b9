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
