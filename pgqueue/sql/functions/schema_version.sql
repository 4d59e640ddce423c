-- The version of the schema, which clients, publishers and workers check when they connect.

create or replace function pgqueue._schema_version()
  returns int[]
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  -- It runs with the rights of pgqueue's owner: a session with row_security = off may not read tables that have policies.
  select max(regexp_match(v.applied_by, '([0-9]+)[.]([0-9]+)')::int[])
  from (select m.applied_by from pgqueue.migration m union select f.applied_by from pgqueue.function_file f) v;
end;
comment on function pgqueue._schema_version() is 'The major and the minor number of the newest version that has upgraded the schema';
grant execute on function pgqueue._schema_version() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
