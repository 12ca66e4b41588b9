create function private.import_uids(content jsonb)
returns setof text
language plpgsql -- caches the plan for the next call
immutable
set search_path = ''
as $$
declare
  uid text;
begin
  foreach uid in array array[
    content ->> 'issuer_uid', content ->> 'holder_uid', content ->> 'borrower_uid', content ->> 'lender_uid',
    content ->> 'actor_uid', content ->> 'actor_id', content ->> 'created_by'
  ] loop
    if uid <> '' then
      return next uid;
    end if;
  end loop;
end;
$$;

comment on function private.import_uids is 'The uids that a legacy row names.';
