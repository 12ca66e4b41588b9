-- roles belong to the whole server: another database may have created this one already
do $$
begin
  if to_regrole('stats_reader') is null then
    create role stats_reader login noinherit connection limit 10;
    alter role stats_reader set default_transaction_read_only = on;
    alter role stats_reader set statement_timeout = '60s';
    -- compiling a view takes longer than running it
    alter role stats_reader set jit = off;
    alter role stats_reader set idle_in_transaction_session_timeout = '60s';
    comment on role stats_reader is
      'For Metabase, Grafana and similar tools: may only read the views of stats. Cannot log in without a password.';
  end if;
end;
$$;
