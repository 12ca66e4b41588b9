create function private.import_names(legacy_table text, content jsonb)
returns setof text
language plpgsql
immutable
set search_path = ''
as $$
declare
  meta jsonb;
begin
  return query select u.uid from private.import_uids(content) as u (uid);
  if import_names.legacy_table = 'events' then
    if (content ->> 'subject_type' = any ('{contract,mortgage_application,mortgage_offer,telemetry,transfer,voucher,'
      'voucher_booking}')) is not true then
      return next content ->> 'subject_id';
    end if;
    -- of a longer one the row is rejected later
    if octet_length(content ->> 'meta') <= 65536 then
      begin
        meta := (content ->> 'meta')::jsonb;
        if jsonb_typeof(meta) = 'object' then
          meta := meta - array(
            select m.key
            from jsonb_each(meta) m
            where jsonb_typeof(m.value) = 'string' and m.key = any (
              '{applicationId,desiredLoan,direction,path,propertyId,roomId,serviceType,slotStart,storageUrl,type,'
              'voucherId}'
            )
          );
        end if;
        return query select s.text #>> '{}'
          from jsonb_path_query(meta, 'strict $.** ? (@.type() == "string")') as s (text);
      exception
        -- broken JSON: the row is rejected later, without what it may have named
        when data_exception or program_limit_exceeded then
          return query select s.text from regexp_split_to_table(content ->> 'meta', '"') as s (text);
      end;
    end if;
  end if;
end;
$$;

comment on function private.import_names is
  'The texts of a legacy row that are or may be uids: those of private.import_uids, and of an event also its subject '
  'and each text in its meta, but for the ids, words and times of other things that the legacy servers wrote there.';
