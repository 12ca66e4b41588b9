-- functions may call functions of later files
set check_function_bodies = off;

create schema private;

comment on schema private is
  'Helper functions and triggers. Not exposed by the Data API; a role may execute only functions granted to it by '
  'name.';

grant usage on schema private to service_role, authenticated;
