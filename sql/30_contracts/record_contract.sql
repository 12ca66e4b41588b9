create function public.record_contract(
  contract_id uuid,
  name        text,
  mime_type   text,
  byte_size   bigint,
  storage_url text,
  hash_sha256 text,
  voucher_id  text default null,
  room_id     text default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  creator  uuid;
  contract public.contracts;
  link_id  uuid;
begin
  if auth.uid() is not null or not private.is_service() then
    creator := private.acting_thinker();
  end if;

  if record_contract.voucher_id is not null then
    perform from public.vouchers v
    where v.id = record_contract.voucher_id
      and (private.is_service() or creator = v.issuer_id or creator = v.holder_id)
    for key share;
    if not found then
      raise sqlstate 'PT404' using message = 'voucher_not_found';
    end if;
  end if;
  if record_contract.room_id is not null then
    insert into public.rooms (id, type, owner_id, meta)
    values (record_contract.room_id, 'contract', creator, '{"source": "contract"}')
    on conflict (id) do nothing;
    if not private.is_service() and not exists (
      select from public.rooms r where r.id = record_contract.room_id and r.owner_id = creator
      union all
      select from public.presence_sessions s where s.room_id = record_contract.room_id and s.thinker_id = creator
    ) then
      raise sqlstate 'PT403' using message = 'not_in_room';
    end if;
  end if;

  insert into public.contracts (id, name, mime_type, byte_size, storage_url, hash_sha256, created_by)
  values (
    record_contract.contract_id, record_contract.name, record_contract.mime_type, record_contract.byte_size,
    record_contract.storage_url, record_contract.hash_sha256, creator
  )
  returning * into contract;

  if record_contract.voucher_id is not null or record_contract.room_id is not null then
    insert into public.contract_links (contract_id, voucher_id, room_id)
    values (contract.id, record_contract.voucher_id, record_contract.room_id)
    returning id into link_id;
  end if;

  return jsonb_build_object('contract', private.contract_json(contract), 'link_id', link_id);
end;
$$;

comment on function public.record_contract is
  'Records an uploaded document, whose bytes are stored already, and links it to a voucher, a room or both. A room that '
  'does not exist is made (type contract, owned by the actor). Returns {contract, link_id}. Refuses: not_signed_in (401), '
  'not_in_room (403), voucher_not_found (404; also when the voucher is none of the actor''s).';

grant execute on function public.record_contract to authenticated, service_role;
