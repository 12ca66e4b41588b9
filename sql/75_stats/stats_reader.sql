-- roles are the whole server's: another database may have made it already
do $$
begin
  if to_regrole('stats_reader') is null then
    create role stats_reader login noinherit connection limit 10;
    alter role stats_reader set default_transaction_read_only = on;
    alter role stats_reader set statement_timeout = '60s';
    alter role stats_reader set idle_in_transaction_session_timeout = '60s';
    comment on role stats_reader is
      'Metabase, Grafana and the like: reads the views of the schema stats and nothing else. Give it a password to let it in.';
  end if;
end;
$$;

grant usage on schema stats to stats_reader;

-- what the views call, with the rights of whoever looks
grant execute on function private.currency_code, private.currency_exponent to service_role, stats_reader;
