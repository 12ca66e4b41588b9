create schema stats;

comment on schema stats is
  'Views for dashboards. Days begin in the time zone of private.settings. The views run with the rights of the reader '
  '(security_invoker), and read only the views *_facts in private: columns without names and texts.';

grant usage on schema stats to service_role, stats_reader;

-- the views call these functions with the rights of their reader
grant execute on function private.currency_code, private.currency_exponent, private.import_uuid
  to service_role, stats_reader;
