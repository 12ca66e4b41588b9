-- Every privilege is granted by name, in the file of its object. The defaults are revoked: Supabase's (everything in
-- public to anon, authenticated and service_role) and PostgreSQL's (execute on functions to public).
--
-- Columns of text in tables with row level security have no planner statistics (set statistics 0): the estimated row
-- counts of explain and of PostgREST's count=planned would reveal the values of rows that the reader may not see.
alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges revoke execute on functions from public;
