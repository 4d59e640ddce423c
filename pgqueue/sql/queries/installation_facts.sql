select
  current_setting('server_version_num')::int,
  current_setting('server_version'),
  pg_is_in_recovery(),
  n.oid is not null as has_schema,
  exists (select from pg_class c where c.relnamespace = n.oid and c.relname = 'migration') as has_migrations,
  n.oid is not null and pg_has_role(n.nspowner, 'usage') as is_owner,
  pg_get_userbyid(n.nspowner)::text as owner,
  exists (select from pg_available_extensions e where e.name = 'dblink') as has_dblink,
  -- What certainly keeps this role from installing.
  array_remove(array[
    case when n.oid is null and not has_database_privilege(current_database(), 'create')
      then format('grant create on database %I to %I', current_database(), current_user) end,
    case when not (me.rolsuper or me.rolcreaterole)
      then format('alter role %I createrole', current_user) end,
    case when fdw.oid is not null and not has_foreign_data_wrapper_privilege(fdw.oid, 'usage')
      then format('grant usage on foreign data wrapper dblink_fdw to %I', current_user) end,
    case when e.oid is not null and not has_schema_privilege(e.extnamespace, 'usage')
      then format('grant usage on schema %s to %I', e.extnamespace::regnamespace, current_user) end,
    -- Before PostgreSQL 16 whoever may create roles may also give them away.
    case when roles.without_admin is not null and not me.rolsuper and current_setting('server_version_num')::int >= 160000
      then format('grant %s to %I with admin option', roles.without_admin, current_user) end
  ], null) as missing,
  -- What a managed service may allow all the same, so that only trying tells.
  -- A schema of its own keeps it from those who must not use it; a superuser's installation makes one as well.
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
