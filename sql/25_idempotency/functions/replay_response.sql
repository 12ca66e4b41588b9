create function private.replay_response(key text, request jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  owner  text;
  stored private.idempotency_keys;
begin
  perform private.is_valid_request();
  -- an erasure that gets no locks lets no call begin; before the call holds any
  perform pg_advisory_xact_lock_shared(private.lock_number('write'));
  if replay_response.key is null then
    return null;
  end if;

  owner := private.idempotency_key_owner();
  if char_length(replay_response.key) not between 1 and 255 then
    raise sqlstate 'PT400' using message = 'idempotency_key_invalid';
  end if;

  -- held until the transaction with the effect ends: the next holder of the lock sees the stored response
  if not pg_try_advisory_xact_lock(private.lock_number('idempotency_key:' || owner || ':' || replay_response.key)) then
    raise sqlstate 'PT409' using message = 'request_in_progress';
  end if;

  select * into stored
  from private.idempotency_keys k
  where k.actor = owner
    and k.key = replay_response.key
    and k.created_at > now() - interval '24 hours';

  if stored.fingerprint <> sha256(convert_to(replay_response.request::text, 'UTF8')) then
    raise sqlstate 'PT422' using message = 'idempotency_key_reused';
  end if;
  if stored.response is not null then
    -- PostgREST and the API's direct gateway answer with this header
    perform set_config('response.headers', '[{"Idempotency-Replayed": "true"}]', true);
  else
    -- the key's bytes are counted at the end (store_response): only the thinker's own calls may have to wait for that
    perform private.use_today();
  end if;
  return stored.response;
end;
$$;

comment on function private.replay_response is
  'Returns the stored response to the actor''s first request with this idempotency key, within 24 hours; null if this '
  'request is the first or has no key. A replayed response has the header Idempotency-Replayed: true. request: the '
  'function''s name and arguments, equal each time the request is sent. Holds a lock on the key until the end of the '
  'transaction. A key has 1 to 255 characters; a key of a different request is an error. A failed request stores '
  'nothing. Also asks whether the statement is small, before the function reads or locks anything, and waits for an '
  'erasure that is about to lock its rows (private.erase_thinker). '
  'Raises: idempotency_key_invalid, query_too_large (400); session_ended (401); request_in_progress (409); '
  'idempotency_key_reused (422); daily_limit_reached (429).';
