create function private.import_kept(content jsonb)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select case
    -- more than any row of the tables
    when octet_length(import_kept.content::text) <= 262144
      and octet_length(coalesce(import_kept.content ->> 'meta', '')) <= 65536
      and not coalesce(import_kept.content -> 'meta' ? 'base64', false)
      then import_kept.content
    else (
      select jsonb_object_agg(
        left(v.name, 100),
        case
          when char_length(v.text) <= 1000 and not (v.name = 'meta' and v.value ? 'base64') then v.value
          -- an erasure reads meta as JSON, which its beginning is not
          else jsonb_build_object(
            'cut', left(v.text, case v.name when 'meta' then 0 else 1000 end), 'bytes', octet_length(v.text)
          )
        end
      )
      from (
        select e.key as name, e.value, e.value #>> '{}' as text from jsonb_each(import_kept.content) as e
      ) v
    )
  end
$$;

comment on function private.import_kept is
  'What a reject keeps of a row: all of it, or, where it has more than 256 KiB or its meta more than 64 KiB, the first '
  '1,000 characters of each longer value, of meta none, as {"cut", "bytes" (of the whole value)}: a hostile file has '
  'large rows, all of which are rejected. It keeps nothing of a meta that is not text, because an erasure finds no '
  'names in it.';
