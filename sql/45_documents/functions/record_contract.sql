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
