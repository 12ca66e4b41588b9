create function private.take_turn(id uuid)
returns void
language sql
volatile
set search_path = ''
as $$
  insert into private.turns as t (id, turn)
  values (take_turn.id, 1)
  on conflict (id) do update set turn = t.turn + 1
$$;

comment on function private.take_turn is
  'Lets one transaction at a time correct a charge, or pay, void or write off a settlement. The next one sees what '
  'this one did. At the isolation levels repeatable read and serializable, where it cannot see that, it ends with a '
  'serialization failure; a lock alone would let it go on with what it saw before.';
