create function private.import_range(legacy_table text, ns integer[], run integer)
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  half    constant integer := cardinality(import_range.ns) / 2;
  state   text;
  name    text;
  message text;
  detail  text;
  col     text;
  why     text;
  told    text;
begin
  perform private.import_write(import_range.legacy_table, import_range.ns, import_range.run);
exception when others then
  get stacked diagnostics state = returned_sqlstate, name = constraint_name, message = message_text,
    detail = pg_exception_detail, col = column_name;
  why := private.import_reason(state, name, message);
  if why is null then
    raise;
  end if;

  if half > 0 then
    perform private.import_range(import_range.legacy_table, import_range.ns[:half], import_range.run);
    perform private.import_range(import_range.legacy_table, import_range.ns[half + 1:], import_range.run);
    return;
  end if;

  -- a code of SQL says what is wrong; PostgreSQL's own errors need their message
  told := case
    when state like 'PT%' or state like 'IM%' then nullif(detail, '')
    else concat_ws(': ', nullif(col, ''), message)
  end;
  update private.import_rejects j
  set reason = why, detail = left(told, 1000), run = import_range.run
  from private.import_staging s
  where s.n = import_range.ns[1] and j.id = s.mends and j.resolved_at is null;
  if not found then
    insert into private.import_rejects (source, legacy_table, row_id, hash, content, reason, detail, run)
    select
      -- an index holds no long id
      i.source, import_range.legacy_table, left(s.id, 500), s.hash, private.import_kept(s.content), why,
      left(told, 1000), i.id
    from private.import_staging s
    join private.import_runs i on i.id = import_range.run
    where s.n = import_range.ns[1]
    on conflict on constraint a_row_is_rejected_once do update
    set reason = excluded.reason, detail = excluded.detail, run = excluded.run;
  end if;
  -- a mended row is theirs: until then nobody may claim them
  begin
    perform private.import_thinkers(import_range.ns[1:1]);
  exception when others then
    -- its time cannot be read, or one of its uids cannot be stored
    perform private.import_people(import_range.ns[1:1]);
  end;
  if import_range.legacy_table = 'mortgage_applications' then
    -- and the property is not the next applicant's
    perform private.import_creators(import_range.ns[1:1], import_range.run);
  end if;
  delete from private.import_staging s where s.n = import_range.ns[1];
end;
$$;

comment on function private.import_range is
  'Writes the rows of a batch with these numbers. If one of them is refused, writes each half of them by itself, down '
  'to the row, which becomes a reject: a batch without bad rows is one statement.';
