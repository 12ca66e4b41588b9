create function private.require_erasable(uid text)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  obligations text;
begin
  if not exists (select from public.thinkers t where t.id = private.thinker_id(require_erasable.uid)) then
    raise sqlstate 'PT404' using message = 'thinker_not_found';
  end if;
  select string_agg(o, '; ') into obligations from private.thinker_obligations(require_erasable.uid) o;
  if obligations is not null then
    raise sqlstate 'PT409' using message = 'thinker_has_obligations', detail = obligations;
  end if;
end;
$$;

comment on function private.require_erasable is
  'Checks that a thinker can be erased; thinker_has_obligations has private.thinker_obligations as detail. '
  'Raises: thinker_not_found (404); thinker_has_obligations (409).';
