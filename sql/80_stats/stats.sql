create schema stats;

comment on schema stats is 'What operators look at: views for dashboards, with the rights of whoever looks (security_invoker).';

grant usage on schema stats to service_role;
