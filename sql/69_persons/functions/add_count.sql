create function private.add_count(counts jsonb, relation text, what text, changed bigint)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select case when add_count.changed > 0 then
    counts || jsonb_build_object(
      relation, coalesce(counts -> relation, '{}') || jsonb_build_object(
        what, changed + coalesce((counts -> relation ->> what)::bigint, 0)
      )
    )
  else counts end
$$;

comment on function private.add_count is
  'Adds rows of a table to the numbers that private.erase_thinker returns: how many were deleted, emptied, or now '
  'refer to the pseudonym.';
