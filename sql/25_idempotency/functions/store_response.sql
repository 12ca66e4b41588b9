create function private.store_response(key text, request jsonb, response jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  if store_response.key is not null then
    insert into private.idempotency_keys as k (actor, key, fingerprint, response)
    values (
      private.idempotency_key_owner(),
      store_response.key,
      sha256(convert_to(store_response.request::text, 'UTF8')),
      store_response.response
    )
    -- the existing row is older than 24 hours, otherwise replay_response would have returned it
    on conflict on constraint idempotency_keys_pkey do update
    set fingerprint = excluded.fingerprint, response = excluded.response, created_at = excluded.created_at;
    -- a key stays for a day, and the response may be much longer than the request; or the key, in its row and its index
    perform private.use_today(
      bytes => pg_column_size(store_response.response) + 2 * octet_length(store_response.key) + 200
    );
  end if;
  return store_response.response;
end;
$$;

comment on function private.store_response is
  'Stores the response to a request with an idempotency key, for replay_response; without a key stores nothing. '
  'Returns the response. Its caller sets timezone to UTC: another request, whose time zone may differ, gets the same '
  'response. Counts the size of the response and its key for bytes_a_day of the acting thinker. '
  'Raises: daily_limit_reached (429).';
