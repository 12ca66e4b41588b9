-- Which access rules a database has: objects, and what holds for each; rules.py compares them with those of the schema.
-- Needs an empty search_path, so that every name has its schema. PostgreSQL 15 to 18 write expressions alike.
with role as (
  select name, to_regrole(name) as id
  from unnest(array['anon', 'authenticated', 'service_role', 'stats_reader']) as name
),

-- what a role may do directly or through public; public itself has the id 0
grantee as (
  select r.name, r.id::oid as id from role r where r.id is not null
  union all
  select 'public', 0
),

space as (
  select n.oid, n.nspname, n.nspowner
  from pg_namespace n
  where n.nspname in ('public', 'private', 'stats')
),

owner as (
  select s.nspowner as id from space s where s.nspname = 'private'
),

-- partitions have one name in common: which months there are is no rule
relation as (
  select c.*, c.relispartition as is_partition,
    case when c.relispartition then 'partition of ' || i.inhparent::regclass else c.oid::regclass::text end as name,
    count(*) over (partition by c.relispartition, coalesce(i.inhparent, c.oid)) as relations
  from pg_class c
  join space s on s.oid = c.relnamespace
  left join pg_inherits i on i.inhrelid = c.oid and c.relispartition
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and not exists (
        select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
),

routine as (
  select p.*, p.oid::regprocedure::text as name
  from pg_proc p
  join space s on s.oid = p.pronamespace
  where not exists (
    select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
),

of_relation as (
  select r.oid, 'row level security' as rule from relation r where r.relrowsecurity
  union all
  select r.oid, 'forced row level security' from relation r where r.relforcerowsecurity
  union all
  select r.oid, 'runs with the rights of its reader'
  from relation r
  where r.relkind = 'v' and r.reloptions && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1']
  union all
  -- not its text, which is written in another way after a restore
  select r.oid, 'reads ' || coalesce((
    select string_agg(
      distinct case d.refclassid
          when 'pg_class'::regclass then d.refobjid::regclass::text || coalesce('.' || quote_ident(a.attname), '')
          else d.refobjid::regprocedure::text
      end,
      ', '
    )
    from pg_rewrite w
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refobjid <> r.oid
    left join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid and d.refobjsubid > 0
    where w.ev_class = r.oid and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass)
  ), 'nothing')
  from relation r
  where r.relkind in ('v', 'm')
  union all
  select r.oid, 'another owner' from relation r cross join owner o where r.relowner <> o.id
  union all
  select r.oid, format('grant %s to %s', p.privilege, g.name)
  from relation r
  cross join grantee g
  cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as p (privilege)
  where has_table_privilege(g.id, r.oid, p.privilege)
  union all
  select r.oid, 'grant usage to ' || g.name
  from relation r
  cross join grantee g
  where case when r.relkind = 'S' then has_sequence_privilege(g.id, r.oid, 'usage') end
  union all
  select r.oid, format('grant %s of some columns to %s', p.privilege, g.name)
  from relation r
  cross join grantee g
  cross join unnest(array['select', 'insert', 'update', 'references']) as p (privilege)
  where has_any_column_privilege(g.id, r.oid, p.privilege) and not has_table_privilege(g.id, r.oid, p.privilege)
  union all
  select r.oid, 'may grant ' || lower(a.privilege_type) || ' to others: ' || g.name
  from relation r
  cross join aclexplode(r.relacl) as a
  join grantee g on g.id = a.grantee
  where a.is_grantable
  union all
  -- PostgreSQL 17 has it first
  select r.oid, 'grant maintain to ' || g.name
  from relation r
  cross join aclexplode(r.relacl) as a
  join grantee g on g.id = a.grantee
  where a.privilege_type = 'MAINTAIN'
  union all
  select w.ev_class, 'rewrite rule ' || quote_ident(w.rulename)
  from pg_rewrite w
  where w.rulename <> '_RETURN'
  union all
  select p.polrelid, format(
    '%s policy %I %s to %s%s%s',
    case when p.polpermissive then 'permissive' else 'restrictive' end, p.polname,
    case p.polcmd
        when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all'
    end,
    (
      select string_agg(coalesce(a.rolname, 'public'), ', ' order by a.rolname)
      from unnest(p.polroles) as of (id)
      left join pg_roles a on a.oid = of.id
    ),
    ' using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
    ' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'
  )
  from pg_policy p
  union all
  select t.tgrelid, regexp_replace(
    case t.tgenabled when 'O' then '' when 'D' then 'disabled ' else 'changed ' end || 'trigger '
      || pg_get_triggerdef(t.oid),
    ' ON [^ ]+ ', ' on this '
  )
  from pg_trigger t
  where not t.tgisinternal
  union all
  select t.tgrelid, 'disabled trigger of a foreign key'
  from pg_trigger t
  where t.tgisinternal and t.tgenabled <> 'O'
  union all
  select r.oid, format('constraint %I %s', c.conname, pg_get_constraintdef(c.oid))
  from relation r
  join pg_constraint c on c.conrelid = r.oid
  where c.contype in ('p', 'u', 'x', 'f', 'c') and (not r.is_partition or c.contype = 'c')
  union all
  select r.oid, 'not null ' || quote_ident(a.attname)
  from relation r
  join pg_attribute a on a.attrelid = r.oid
  where a.attnum > 0 and a.attnotnull and not a.attisdropped and r.relkind in ('r', 'p')
  union all
  select r.oid, case when i.indisvalid then '' else 'invalid ' end || 'index ' || pg_get_indexdef(i.indexrelid)
  from relation r
  join pg_index i on i.indrelid = r.oid
  where i.indisunique and not r.is_partition
    and not exists (select from pg_constraint c where c.conindid = i.indexrelid and c.conrelid = r.oid)
),

of_routine as (
  select
      r.oid,
      case when r.prosecdef then 'runs with the rights of its owner' else 'runs with the rights of its caller' end
    || coalesce(', ' || (select s from unnest(r.proconfig) as s where s like 'search_path=%'), '') as rule
  from routine r
  union all
  select r.oid, 'body ' || md5(coalesce(pg_get_function_sqlbody(r.oid), r.prosrc)) from routine r
  union all
  select r.oid, 'another owner' from routine r cross join owner o where r.proowner <> o.id
  union all
  select r.oid, format('grant execute to %s', g.name)
  from routine r
  cross join grantee g
  where has_function_privilege(g.id, r.oid, 'execute')
  union all
  select r.oid, 'may grant execute to others: ' || g.name
  from routine r
  cross join aclexplode(r.proacl) as a
  join grantee g on g.id = a.grantee
  where a.is_grantable
),

rule as (
  select 'role ' || r.name as object, a.attribute as rule
  from role r
  join pg_roles p on p.oid = r.id
  cross join lateral (
    values ('exists', true), ('superuser', p.rolsuper), ('bypasses row level security', p.rolbypassrls),
      ('may create roles', p.rolcreaterole),
      ('member of the owner', (select pg_has_role(p.oid, o.id, 'member') from owner o))
  ) as a (attribute, is_set)
  where a.is_set
  union all
  select 'role ' || r.name, 'has a ' || s.name
  from role r
  join pg_roles p on p.oid = r.id
  cross join unnest(array['statement_timeout', 'lock_timeout']) as s (name)
  where r.name in ('anon', 'authenticated')
    and exists (select from unnest(p.rolconfig) as line where line like s.name || '=%' and line <> s.name || '=0')
  union all
  -- PostgREST keeps every statement of a client that it prepares
  select 'role ' || r.rolname, 'has a pgrst.db_prepared_statements'
  from pg_roles r
  where r.rolname = 'authenticator'
    and exists (select from unnest(r.rolconfig) as line where line like 'pgrst.db_prepared_statements=%')
  union all
  select 'role ' || r.rolname, 'has a ' || s.line
  from pg_roles r
  cross join (
    values
      -- nested filters on the log take minutes to plan without it
      ('constraint_exclusion=off'),
      -- PostgreSQL compiles for half a second what reads a few rows without it
      ('jit=off'),
      -- the planner compiles regular expressions without it
      ('plan_cache_mode=force_generic_plan'),
      -- PostgREST reads bodies of any size where another function, or none, is called before
      ('pgrst.db_pre_request=public.check_request')
  ) as s (line)
  where r.rolname = 'authenticator' and s.line = any (r.rolconfig)
  union all
  select 'role ' || r.name, 'member of ' || m.roleid::regrole
  from role r
  join pg_auth_members m on m.member = r.id
  where r.name <> 'service_role'
  union all
  select 'schema ' || s.nspname, format('grant %s to %s', p.privilege, g.name)
  from space s
  cross join grantee g
  cross join unnest(array['usage', 'create']) as p (privilege)
  where has_schema_privilege(g.id, s.oid, p.privilege)
    -- PostgreSQL grants it to everybody, a Supabase project need not
    and not (s.nspname = 'public' and p.privilege = 'usage' and g.name in ('public', 'stats_reader'))
  union all
  select r.name, o.rule || case when count(distinct r.oid) < min(r.relations) then ' (not in every one)' else '' end
  from relation r
  join of_relation o on o.oid = r.oid
  group by r.name, o.rule
  union all
  select 'function ' || r.name, o.rule
  from routine r
  join of_routine o on o.oid = r.oid
  union all
  -- a setting of the database or of its owner may switch them off
  select 'sessions', 'run triggers and check references'
  where current_setting('session_replication_role') <> 'replica'
  union all
  select 'users of Supabase Auth', 'become thinkers'
  where to_regclass('auth.users') is null
    or exists (
      select from pg_trigger t
      where t.tgrelid = to_regclass('auth.users') and t.tgname = 'tg_users__make_thinker' and t.tgenabled <> 'D'
    )
  union all
  select 'documents in Supabase Storage', 'are read as public.contracts'
  where to_regclass('storage.objects') is null
    or (
      select count(*) = 6 and bool_and(c.relrowsecurity)
      from pg_policy p
      join pg_class c on c.oid = p.polrelid
      where c.oid = to_regclass('storage.objects')
        and p.polpermissive = (p.polname = 'thinkers read the documents that they see')
        and p.polname in (
          'thinkers read the documents that they see', 'nobody else reads documents', 'outsiders have no documents',
          'only the server stores documents', 'only the server changes documents', 'only the server deletes documents'
        )
        and coalesce(pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)) like '%contracts%'
    )
)

select distinct r.object, regexp_replace(r.rule, '\s+', ' ', 'g') as rule
from rule r
