create function private.new_id(prefix text)
returns text
language plpgsql -- caches the plan for the next call
volatile
set search_path = ''
as $$
begin
  return (
    select prefix || '-'
      || string_agg(
        substr('0123456789abcdefghijklmnopqrstuvwxyz', (ms / (36::numeric ^ place)::bigint % 36)::int + 1, 1),
        '' order by place desc
      )
      || '-' || private.new_suffix()
    from (select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as ms) moment,
      generate_series(0, 7) as place
  );
end;
$$;

comment on function private.new_id is
  'A new id in the legacy form <prefix>-<milliseconds in base 36>-<random>, such as v-mws0ylx7-53c1...';
