create schema stats;

comment on schema stats is
  'What operators look at: views for dashboards. A figure is of a day, which begins in the time zone of private.settings; the views '
  'have the rights of whoever looks (security_invoker), and read nothing but the *_facts in private: columns without names and texts.';

grant usage on schema stats to service_role;
