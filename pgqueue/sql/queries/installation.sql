-- Installing, upgrading and removing the schema.

-- name: lock_installation
select pg_advisory_lock(hashtextextended('pgqueue installation', 0))

-- name: unlock_installation
select pg_advisory_unlock(hashtextextended('pgqueue installation', 0))

-- name: lock_installation_here
-- The lock is held until the end of the transaction.
select pg_advisory_xact_lock(hashtextextended('pgqueue installation', 0))

-- name: read_search_path
select pg_catalog.current_setting('search_path')

-- name: set_search_path
select pg_catalog.set_config('search_path', %(search_path)s, false)

-- name: installation_facts
select
  current_setting('server_version_num')::int as server_version_num,
  current_setting('server_version') as server_version,
  pg_is_in_recovery() as is_in_recovery,
  n.oid is not null as has_schema,
  exists (select from pg_class c where c.relnamespace = n.oid and c.relname = 'migration') as has_migrations,
  exists (select from pg_class c where c.relnamespace = n.oid and c.relname = 'function_file') as has_function_files,
  n.oid is not null and pg_has_role(n.nspowner, 'usage') as is_owner,
  pg_get_userbyid(n.nspowner)::text as owner,
  exists (select from pg_available_extensions e where e.name = 'dblink') as has_dblink,
  -- The reasons that certainly keep this role from installing.
  array_remove(array[
    case when n.oid is null and not has_database_privilege(current_database(), 'create')
      then format('grant create on database %I to %I', current_database(), current_user) end,
    case when not (me.rolsuper or me.rolcreaterole)
      then format('alter role %I createrole', current_user) end,
    case when fdw.oid is not null and not has_foreign_data_wrapper_privilege(fdw.oid, 'usage')
      then format('grant usage on foreign data wrapper dblink_fdw to %I', current_user) end,
    case when e.oid is not null and not has_schema_privilege(e.extnamespace, 'usage')
      then format('grant usage on schema %s to %I', e.extnamespace::regnamespace, current_user) end,
    -- Before PostgreSQL 16 a role that may create roles may also grant them.
    case when roles.without_admin is not null and not me.rolsuper and current_setting('server_version_num')::int >= 160000
      then format('grant %s to %I with admin option', roles.without_admin, current_user) end
  ], null) as missing,
  -- A managed service may allow these all the same, so only an attempt shows it. Schemas of their own keep other roles from
  -- these; a superuser's installation creates one as well.
  case when not me.rolsuper and e.oid is null
    then array['create schema dblink', 'create extension dblink schema dblink', format('grant usage on schema dblink to %I', current_user),
               format('grant usage on foreign data wrapper dblink_fdw to %I', current_user)]
    else '{}' end as perhaps_missing
from pg_roles me
left join pg_namespace n on n.nspname = 'pgqueue'
left join pg_extension e on e.extname = 'dblink'
left join pg_foreign_data_wrapper fdw on fdw.fdwname = 'dblink_fdw'
cross join (
  select string_agg(quote_ident(r.rolname), ', ' order by r.rolname) as without_admin
  from pg_roles r
  where r.rolname in ('pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin', 'pgqueue_gate')
    and not pg_has_role(r.oid, 'member with admin option')
) roles
where me.rolname = current_user

-- name: installed_migrations
select version, applied_by
from pgqueue.migration
order by version

-- name: begin_installation
-- Migrations qualify the names that they use, so objects in other schemas cannot be used by mistake.
select
  set_config('search_path', 'pg_catalog, pg_temp', true),
  set_config('lock_timeout', %(lock_timeout)s, true),
  set_config('statement_timeout', '0', true),
  set_config('client_min_messages', 'warning', true),
  -- A body may name an object that a later file creates. Tests find names of objects that do not exist.
  set_config('check_function_bodies', 'off', true)

-- name: installed_function_files
select name, hash, applied_by
from pgqueue.function_file
order by name

-- name: lock_views
-- The underlying tables are locked too, in the order in which an INSERT locks them: a session that comes meanwhile waits, and
-- holds no lock.
lock table {views} in access exclusive mode

-- name: functions_and_views
select p.oid::bigint from pg_proc p where p.pronamespace in (to_regnamespace('pgqueue'), to_regnamespace('pgqueue_run'))
union all
select c.oid::bigint from pg_class c where c.relnamespace = to_regnamespace('pgqueue') and c.relkind = 'v'

-- name: existing_views
select c.relname::text from pg_class c where c.relnamespace = to_regnamespace('pgqueue') and c.relkind = 'v'

-- name: record_migration
insert into pgqueue.migration (version, name, applied_by)
values (%(number)s, %(name)s, %(version)s)

-- name: record_function_files
with forgotten as (
  delete from pgqueue.function_file
  where name <> all (%(known)s::text[])
)
insert into pgqueue.function_file as f (name, hash, applied_by)
select a.name, a.hash, %(version)s
from unnest(%(names)s::text[], %(hashes)s::text[]) a (name, hash)
on conflict (name) do update set hash = excluded.hash, applied_by = excluded.applied_by, applied_at = now()

-- name: seal_schema
-- It runs at the end of an installation, in its transaction, so no object is left out.
do $$
declare
  name text;
  stranger record;
begin
  -- The rows are for the owner, whose functions and views show each role its own part. They are not for roles that may read or
  -- write all tables (pg_read_all_data, pg_write_all_data, default privileges), because these tables decide about rights.
  for name in
    select c.relname from pg_class c
    where c.relnamespace = to_regnamespace('pgqueue') and c.relkind in ('r', 'p') and not c.relrowsecurity
  loop
    execute format('alter table pgqueue.%I enable row level security', name);
  end loop;
  -- A publication for all tables forbids updates and deletes of tables without a replica identity.
  for name in
    select c.relname from pg_class c
    where c.relnamespace = to_regnamespace('pgqueue') and c.relkind in ('r', 'p') and c.relpersistence = 'p' and c.relreplident = 'd'
      and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
  loop
    execute format('alter table pgqueue.%I replica identity full', name);
  end loop;
  -- These are the rights that PostgreSQL gives to PUBLIC on each new function, and those of the owner's default privileges.
  for stranger in
    select case when p.prokind = 'p' then 'procedure' else 'function' end as kind, p.oid::regprocedure::text as name, a.grantee
    from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    where p.pronamespace = to_regnamespace('pgqueue') and a.grantee <> p.proowner
       -- Runners belong to the roles whose jobs they run.
       or p.pronamespace = to_regnamespace('pgqueue_run') and a.grantee = 0
          and p.proowner = (select n.nspowner from pg_namespace n where n.oid = p.pronamespace)
    union all
    select case when c.relkind = 'S' then 'sequence' else 'table' end, c.oid::regclass::text, a.grantee
    from pg_class c, aclexplode(c.relacl) a
    where c.relnamespace = to_regnamespace('pgqueue') and a.grantee <> c.relowner
  loop
    if stranger.grantee = 0 then
      execute format('revoke all on %s %s from public', stranger.kind, stranger.name);
    elsif pg_get_userbyid(stranger.grantee) not in ('pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin', 'pgqueue_gate', 'pgbackground_role') then
      execute format('revoke all on %s %s from %I', stranger.kind, stranger.name, pg_get_userbyid(stranger.grantee));
    end if;
  end loop;
end
$$

-- name: repair_home
select pgqueue._repair_home()

-- name: repair_loopback
select pgqueue._repair_loopback()

-- name: set_loopback
select pgqueue._set_loopback(%(host)s, %(port)s)

-- name: dependents
-- Objects of others that are dropped together with pgqueue: triggers, views, functions, columns, defaults. The server does not
-- know objects that are named only in the text of a function.
with own as (
    select 'pg_proc'::regclass as class, p.oid
    from pg_proc p
    where p.pronamespace in (
        select oid from pg_namespace where nspname in ('pgqueue', 'pgqueue_run', 'pgqueue_take', 'pgqueue_dblink')
    )
    union
    select 'pg_class'::regclass, c.oid
    from pg_class c
    where c.relnamespace = 'pgqueue'::regnamespace
    union
    select 'pg_type'::regclass, t.oid
    from pg_type t
    where t.typnamespace = 'pgqueue'::regnamespace
    union
    select case kind when 'function' then 'pg_proc'::regclass when 'type' then 'pg_type'::regclass else 'pg_class'::regclass end,
           case kind when 'function' then to_regprocedure(signature)::oid when 'type' then to_regtype(signature)::oid else to_regclass(signature)::oid end
    from pgqueue.compat c, unnest(c.objects) o, split_part(o, ' ', 1) kind, substr(o, length(split_part(o, ' ', 1)) + 2) signature
    where kind in ('function', 'type', 'view')
),
dependent as (
    select d.classid, d.objid, d.objsubid,
           -- The table or view that it is a part of.
           case d.classid
               when 'pg_class'::regclass then d.objid
               when 'pg_trigger'::regclass then (select tgrelid from pg_trigger where oid = d.objid)
               when 'pg_rewrite'::regclass then (select ev_class from pg_rewrite where oid = d.objid)
               when 'pg_attrdef'::regclass then (select adrelid from pg_attrdef where oid = d.objid)
               when 'pg_constraint'::regclass then (select nullif(conrelid, 0) from pg_constraint where oid = d.objid)
               when 'pg_policy'::regclass then (select polrelid from pg_policy where oid = d.objid)
           end as relation
    from pg_depend d
    join own o on o.class = d.refclassid and o.oid = d.refobjid
    where d.deptype = 'n'
      and d.classid in ('pg_class'::regclass, 'pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_attrdef'::regclass,
                        'pg_constraint'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass,
                        'pg_operator'::regclass, 'pg_event_trigger'::regclass, 'pg_cast'::regclass)
)
select distinct case when d.classid = 'pg_rewrite'::regclass then pg_describe_object('pg_class'::regclass, d.relation, 0)
                     -- For a view the whole view, for a table the column.
                     else pg_describe_object(d.classid, d.objid, case when c.relkind in ('v', 'm') then 0 else d.objsubid end) end as described
from dependent d
left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
where not exists (select from own o where o.class = d.classid and o.oid = d.objid)
  and not exists (select from own o where o.class = 'pg_class'::regclass and o.oid = d.relation)
  and not exists (select from pg_type t join own o on o.class = 'pg_type'::regclass and (o.oid = t.typelem or o.oid = t.oid) where d.classid = 'pg_type'::regclass and t.oid = d.objid)
  and not exists (select from pg_cast c join own o on o.class = 'pg_proc'::regclass and o.oid = c.castfunc where d.classid = 'pg_cast'::regclass and c.oid = d.objid)
order by described

-- name: online_workers
select worker from pgqueue.workers where status = 'online' order by worker

-- name: uninstall
do $$
declare
  gate text := (select 'pgqueue_gate_' || oid from pg_database where datname = current_database());
  worker text := (select 'pgqueue_worker_' || oid from pg_database where datname = current_database());
  executor text := (select 'pgqueue_executor_' || oid from pg_database where datname = current_database());
  name text;
begin
  perform pgqueue._drop_compat(c.schema_name, c.extension, 'cascade') from pgqueue.compat c;
  drop server if exists pgqueue_loopback cascade;
  drop schema if exists pgqueue_run cascade;
  drop schema if exists pgqueue_take cascade;
  drop schema pgqueue cascade;
  drop schema if exists pgqueue_dblink cascade;
  -- Roles belong to the whole cluster. A role that has rights in another database cannot be dropped, and stays.
  foreach name in array array[gate, executor, worker, 'pgqueue_gate', 'pgqueue_admin', 'pgqueue_monitor', 'pgqueue_worker', 'pgqueue_user'] loop
    begin
      if to_regrole(name) is not null then
        execute format('drop role %I', name);
      end if;
    exception when dependent_objects_still_exist or insufficient_privilege then
      null;
    end;
  end loop;
end
$$

-- name: remaining_roles
select rolname::text
from pg_roles
where rolname in ('pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin', 'pgqueue_gate')
order by rolname

-- name: install_compat
select pgqueue.install_compat(version => %(version)s, schema => %(schema)s)

-- name: uninstall_compat
select pgqueue.uninstall_compat(schema => %(schema)s)

-- name: install_pg_cron
select pgqueue.install_pg_cron()

-- name: uninstall_pg_cron
select pgqueue.uninstall_pg_cron()
