-- Nothing is granted that a file of this folder does not grant by name: Supabase's generous defaults
-- (everything in public to anon, authenticated and service_role) end here, and PostgreSQL's own
-- (functions executable by everybody) with them.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges revoke execute on functions from public;
