-- after: cron_names
-- pg_cron's names in the schema cron, and away again.

create or replace function pgqueue._create_pg_cron()
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $create$
begin
  create function cron.schedule(schedule text, command text) returns bigint language plpgsql volatile strict as $$
  begin
    return pgqueue._cron_schedule(null, schedule, command, null, null, true);
  end $$;
  create function cron.schedule(job_name text, schedule text, command text) returns bigint language plpgsql volatile as $$
  begin
    return pgqueue._cron_schedule(pgqueue._cron_name(job_name), schedule, command, null, null, true);
  end $$;
  create function cron.schedule_in_database(job_name text, schedule text, command text, database text, username text default null, active boolean default true)
    returns bigint language plpgsql volatile as $$
  begin
    return pgqueue._cron_schedule(pgqueue._cron_name(job_name), schedule, command, database, username, coalesce(active, true));
  end $$;
  create function cron.unschedule(job_id bigint) returns boolean language plpgsql volatile strict as $$
  begin
    return pgqueue._cron_unschedule(job_id, null);
  end $$;
  create function cron.unschedule(job_name text) returns boolean language plpgsql volatile strict as $$
  begin
    return pgqueue._cron_unschedule(null, job_name);
  end $$;
  create function cron.alter_job(job_id bigint, schedule text default null, command text default null, database text default null, username text default null,
                                 active boolean default null) returns void language plpgsql volatile as $$
  begin
    perform pgqueue._cron_alter_job(job_id, schedule, command, database, username, active);
  end $$;
  create view cron.job with (security_barrier) as
    select j.jobid, j.schedule, j.command, j.nodename, j.nodeport, j.database, j.username, j.active, j.jobname from pgqueue.cron_job j;
  create view cron.job_run_details with (security_barrier) as
    select r.jobid, r.runid, r.job_pid, r.database, r.username, r.command, r.status, r.return_message, r.start_time, r.end_time
    from pgqueue._cron_job_runs() r;
  create trigger forget instead of delete on cron.job_run_details for each row execute function pgqueue._forget_cron_run();
  grant select on cron.job to pgqueue_user;
  grant select, delete on cron.job_run_details to pgqueue_user;
end
$create$;
comment on function pgqueue._create_pg_cron() is 'Makes the names of pg_cron 1.6 in the schema cron';

create or replace function pgqueue._cron_name(job_name text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if job_name is null then
    raise exception 'job_name can not be NULL' using errcode = '22004';
  end if;
  return job_name;
end
$$;
comment on function pgqueue._cron_name(text) is 'The name of a job, which must have one where it is an argument';
grant execute on function pgqueue._cron_name(text) to pgqueue_user;

create or replace function pgqueue.install_pg_cron()
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  keeper oid := (select n.nspowner from pg_namespace n where n.nspname = 'cron');
  made record;
begin
  if exists (select from pg_extension e where e.extname = 'pg_cron') then
    raise exception 'the extension pg_cron is installed in this database'
      using errcode = '42710', hint = 'Copy its jobs with "pgqueue schedule import-pg-cron". Then: drop extension pg_cron.';
  elsif exists (select from pgqueue.compat c where c.schema_name = 'cron' and c.extension = 'pg_cron') then
    return;
  elsif exists (select from pgqueue.compat c where c.schema_name = 'cron') then
    raise exception 'schema "cron" has the names of pg_background' using errcode = '42710', hint = 'select pgqueue.uninstall_compat(schema => ''cron'')';
  elsif not pg_has_role(keeper, 'usage') then
    -- The owner of a schema may replace the functions in it.
    raise exception 'schema "cron" belongs to role "%"', pg_get_userbyid(keeper) using errcode = '42501', hint = 'Drop it: pgqueue makes it.';
  elsif keeper is null then
    create schema cron;
  end if;
  begin
    perform pgqueue._create_pg_cron();
  exception when duplicate_object or duplicate_function or duplicate_table then
    raise exception 'schema "cron" has names of pg_cron already' using errcode = '42710', detail = sqlerrm, hint = 'Drop what has them, or the whole schema.';
  end;
  insert into pgqueue.compat (schema_name, extension, version, objects, grants_usage)
  select 'cron', 'pg_cron', '1.6', array_agg(o order by o), keeper is null
  from unnest(array['view cron.job', 'view cron.job_run_details', 'function cron.schedule(text,text)', 'function cron.schedule(text,text,text)',
                    'function cron.schedule_in_database(text,text,text,text,text,boolean)', 'function cron.unschedule(bigint)', 'function cron.unschedule(text)',
                    'function cron.alter_job(bigint,text,text,text,text,boolean)']) o;
  for made in select unnest(c.objects) as signature from pgqueue.compat c where c.extension = 'pg_cron' loop
    execute format('comment on %s is %L', made.signature, 'pg_cron 1.6, by pgqueue');
    if made.signature like 'function %' then
      execute format('revoke all on %s from public', made.signature);
      execute format('grant execute on %s to pgqueue_user', made.signature);
    end if;
  end loop;
  grant usage on schema cron to pgqueue_user;
end
$$;
comment on function pgqueue.install_pg_cron() is 'Creates the functions and views of pg_cron in the schema cron, so that programs written for the extension run on pgqueue';

create or replace function pgqueue._close_cron_schema(is_own boolean)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regnamespace('cron') is null then
    return;
  elsif is_own and not exists (select from pg_depend d where d.refclassid = 'pg_namespace'::regclass and d.refobjid = 'cron'::regnamespace) then
    drop schema cron;
  else
    revoke usage on schema cron from pgqueue_user;  -- somebody has put other things into it
  end if;
end
$$;
comment on function pgqueue._close_cron_schema(boolean) is 'Drops the schema of pg_cron''s names if pgqueue has made it and it is empty';

create or replace function pgqueue.uninstall_pg_cron()
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._drop_compat('cron', 'pg_cron', 'restrict');
end
$$;
comment on function pgqueue.uninstall_pg_cron() is 'Drops the objects that pgqueue.install_pg_cron created, and nothing else. Schedules and jobs stay';
