create function public.session_thinkers(session_id uuid, request_key text default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
set timezone = 'UTC'
as $$
begin
  perform private.require_service();
  perform private.require_session(session_thinkers.session_id);
  return coalesce(
    (
      select jsonb_agg(
        jsonb_build_object(
          'uid', t.public_id,
          'is_proven', c.is_proven,
          'has_answer', exists (
            select from private.idempotency_keys k
            where k.actor = t.id::text and k.key = session_thinkers.request_key
          )
        )
        order by c.is_proven, c.claimed_at, t.public_id
      )
      from private.claims c
      join public.thinkers t on t.id = c.thinker_id
      where c.session_id = session_thinkers.session_id
    ),
    '[]'
  );
end;
$$;

comment on function public.session_thinkers is
  'The thinkers of a browser session, as {"uid", "is_proven", "has_answer"}: those that it used first, then those of '
  'its tokens, each in the order of their claims. One with an answer has carried out the request with the '
  'idempotency key request_key (private.store_response). '
  'Raises: session_ended (401); not_a_server (403).';

grant execute on function public.session_thinkers to service_role;
