create function private.event_json(event public.events)
returns jsonb
language sql
stable
return to_jsonb(event) || jsonb_build_object('actor_uid', private.uid_of(event.actor_id));

comment on function private.event_json is 'An event as the functions return it: its columns and the actor''s uid.';

grant execute on function private.event_json to service_role, authenticated;
