create function private.my_room()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return (select s.room_id from public.presence_sessions s where s.thinker_id = auth.uid());
end;
$$;

comment on function private.my_room is 'The id of the room in which the actor is present; null if in none.';

grant execute on function private.my_room to authenticated;
