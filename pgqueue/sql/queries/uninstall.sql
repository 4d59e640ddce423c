do $$
declare
  gate text := (select 'pgqueue_gate_' || oid from pg_database where datname = current_database());
  worker text := (select 'pgqueue_worker_' || oid from pg_database where datname = current_database());
  executor text := (select 'pgqueue_executor_' || oid from pg_database where datname = current_database());
  name text;
begin
  perform pgqueue._drop_compat(c.schema_name, 'cascade') from pgqueue.compat c;
  drop server if exists pgqueue_loopback cascade;
  drop schema if exists pgqueue_run cascade;
  drop schema if exists pgqueue_take cascade;
  drop schema pgqueue cascade;
  drop schema if exists pgqueue_dblink cascade;
  -- Roles belong to the whole cluster. One that another database still grants something to cannot be dropped, and stays.
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
