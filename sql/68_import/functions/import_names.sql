create function private.import_names(legacy_table text, content jsonb)
returns setof text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return query select u.uid from private.import_uids(content) as u (uid);
  if import_names.legacy_table = 'events' then
    return next content ->> 'subject_id';
    begin
      return query
        select s.text #>> '{}'
        from jsonb_path_query(
          -- of a longer one the row is rejected later
          case when octet_length(content ->> 'meta') <= 65536 then (content ->> 'meta')::jsonb end,
          'strict $.** ? (@.type() == "string")'
        ) as s (text);
    exception
      -- broken JSON: the row is rejected later
      when data_exception or program_limit_exceeded then null;
    end;
  end if;
end;
$$;

comment on function private.import_names is
  'The texts of a legacy row that are or may be uids: those of private.import_uids, and of an event also its subject '
  'and each text in its meta, in which the legacy servers had no fixed keys.';
