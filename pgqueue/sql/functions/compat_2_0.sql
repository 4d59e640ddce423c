-- The names of pg_background 2.0, created in the first schema of search_path by pgqueue.install_compat.

create or replace function pgqueue._create_pg_background_2_0()
  returns void
  language plpgsql volatile
as $create$
declare
  others oid[] := array(select p.oid from pg_proc p where p.pronamespace = quote_ident(current_schema())::regnamespace);
begin
  create type pg_background_handle as (pid int, cookie bigint);
  create type pg_background_stats as (
    workers_launched bigint, workers_completed bigint, workers_failed bigint, workers_canceled bigint, workers_timed_out bigint,
    workers_active int, avg_execution_ms float8, max_workers int);
  create type pg_background_progress_info as (progress_pct int, progress_msg text);
  create type pg_background_result_info as (
    row_count bigint, command_tag text, completed boolean, has_error boolean, started_at timestamptz, finished_at timestamptz);
  create type pg_background_error as (
    sqlstate text, message text, detail text, hint text, context text, schema_name text, table_name text, column_name text, constraint_name text);
  create type pg_background_outcome as (
    pid int, cookie bigint, state text, consumed boolean, completed boolean, has_error boolean, row_count bigint, command_tag text,
    sqlstate text, error_message text, label text, launched_at timestamptz);
  create type pg_background_run_result as (
    pid int, cookie bigint, state text, consumed boolean, completed boolean, has_error boolean, row_count bigint, command_tag text,
    sqlstate text, error_message text, label text, launched_at timestamptz, timed_out boolean, elapsed_ms bigint);

  create function pg_background_launch(sql text, queue_size int default 0) returns pg_background_handle language plpgsql volatile strict as $$
  begin
    return pgqueue._track('once', pgqueue._member_settings(), sql, queue_size, null);
  end $$;
  create function pg_background_launch(sql text, queue_size int, label text) returns pg_background_handle language plpgsql volatile as $$
  begin
    return pgqueue._track('once', pgqueue._member_settings(), sql, queue_size, label);
  end $$;
  create function pg_background_submit(sql text, queue_size int default 0) returns pg_background_handle language plpgsql volatile strict as $$
  begin
    return pgqueue._track('none', pgqueue._member_settings(), sql, queue_size, null);
  end $$;
  create function pg_background_submit(sql text, queue_size int, label text) returns pg_background_handle language plpgsql volatile as $$
  begin
    return pgqueue._track('none', pgqueue._member_settings(), sql, queue_size, label);
  end $$;
  perform pgqueue._create_reader('pg_background_result(pid int, cookie bigint)', 'pgqueue._read_tracked(pid, cookie, ''2.0'')');
  create function pg_background_detach(pid int, cookie bigint) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._untrack_now(pg_catalog.jsonb_build_object('pid', pid, 'cookie', cookie, 'mismatch', '55000'));
  end $$;
  create function pg_background_cancel(pid int, cookie bigint, grace_ms int default 0) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._cancel_tracked_now(pid, cookie, grace_ms, false);
  end $$;
  create function pg_background_wait(pid int, cookie bigint, timeout_ms int default 0) returns boolean language plpgsql volatile strict as $$
  begin
    return pgqueue._wait_tracked(pid, cookie, nullif(greatest(timeout_ms, 0), 0));
  end $$;

  create function pg_background_list() returns setof record language plpgsql volatile as $$
  begin
    return query
    select l.pid, l.cookie, l.launched_at, l.user_id, l.queue_size, l.state, l.sql_preview, l.last_error, l.consumed, l.label from pgqueue._list_tracked() l;
  exception when datatype_mismatch then
    -- The column definition list of the caller is that of versions without labels.
    return query
    select l.pid, l.cookie, l.launched_at, l.user_id, l.queue_size, l.state, l.sql_preview, l.last_error, l.consumed from pgqueue._list_tracked() l;
  end $$;
  create function pg_background_stats() returns pg_background_stats language plpgsql volatile as $$
  begin
    return pgqueue._tracked_stats();
  end $$;
  create function pg_background_report_progress(pct int, msg text default null) returns void language plpgsql volatile as $$
  begin
    perform pgqueue._report_progress('pg_background_report_progress', pct, msg);
  end $$;
  create function pg_background_get_progress(pid int, cookie bigint) returns pg_background_progress_info language plpgsql volatile as $$
  begin
    return pgqueue._progress_of_tracked(pid, cookie);
  end $$;
  create function pg_background_result_info(pid int, cookie bigint) returns pg_background_result_info language plpgsql volatile strict as $$
  begin
    return pgqueue._result_info(pid, cookie);
  end $$;
  create function pg_background_error_info(pid int, cookie bigint) returns pg_background_error language plpgsql volatile strict as $$
  begin
    return pgqueue._error_info(pid, cookie);
  end $$;
  create function pg_background_outcome(p_pid int, p_cookie bigint) returns pg_background_outcome language plpgsql volatile as $$
  begin
    return pgqueue._outcome(p_pid, p_cookie);
  end $$;
  create function pg_background_full_sql(pid int, cookie bigint) returns text language plpgsql volatile strict as $$
  begin
    return pgqueue._full_sql(pid, cookie);
  end $$;

  create function pg_background_run(sql text, queue_size int default 0, timeout_ms int default 0, label text default null)
    returns pg_background_run_result language plpgsql volatile as $$
  begin
    return pgqueue._run_tracked(pgqueue._member_settings(), sql, queue_size, timeout_ms, label);
  end $$;
  create function pg_background_run_query(sql text, queue_size int default 0, timeout_ms int default 0, label text default null, col_def text default null)
    returns setof record language plpgsql volatile as $$
  declare
    run pg_catalog.record;
  begin
    select * into run from pgqueue._run_query(pgqueue._member_settings(), sql, queue_size, timeout_ms, label, col_def);
    if run.reader is not null then
      begin
        return query execute run.reader using run.pid, run.cookie;
      exception when others or query_canceled then
        perform pgqueue._untrack_now(pg_catalog.jsonb_build_object('pid', run.pid));  -- No other caller has its handle.
        raise;
      end;
    end if;
  end $$;
  create function pg_background_drain(handles pg_background_handle[], timeout_ms int default 0) returns setof pg_background_outcome language plpgsql volatile as $$
  begin
    return query select * from pgqueue._drain(array(select row(h.pid, h.cookie)::pgqueue.handle from pg_catalog.unnest(handles) h), timeout_ms);
  end $$;
  create function pg_background_wait_any(handles pg_background_handle[], timeout_ms int default 0) returns pg_background_handle language plpgsql volatile as $$
  declare
    first pg_catalog.record;
  begin
    select * into first from pgqueue._wait_any(array(select row(h.pid, h.cookie)::pgqueue.handle from pg_catalog.unnest(handles) h), timeout_ms);
    if first.pid is null then
      return null;
    end if;
    return first;
  end $$;
  create function pg_background_cancel_by_label(pattern text, grace_ms int default 0) returns int language plpgsql volatile as $$
  begin
    return case when pattern is null then 0 else pgqueue._cancel_many(pg_catalog.jsonb_build_object('label', pattern), grace_ms) end;
  end $$;
  create function pg_background_cancel_all() returns int language plpgsql volatile as $$
  begin
    return pgqueue._cancel_many('{"ended": false}', 0);
  end $$;
  create function pg_background_detach_all() returns int language plpgsql volatile as $$
  begin
    return pgqueue._untrack_now('{}');
  end $$;
  create function pg_background_purge() returns int language plpgsql volatile as $$
  begin
    return pgqueue._untrack_now('{"ended": true}');
  end $$;
  perform pgqueue._create_v2_aliases(others);

  create view pg_background_list as
    select l.pid, l.cookie, l.launched_at, l.user_id, l.queue_size, l.state, l.sql_preview, l.last_error, l.consumed, l.label
    from pgqueue._list_tracked() l;
  create view pg_background_activity as
    select l.pid, l.cookie, l.launched_at, l.user_id, l.queue_size, l.state as pgbg_state, l.sql_preview, l.last_error, l.consumed, l.label,
           s.state as backend_state, s.wait_event_type, s.wait_event, s.xact_start, s.query_start, s.backend_start, s.query
    from pgqueue._list_tracked() l
    left join pg_catalog.pg_stat_activity s on s.pid = l.backend_pid;

  create function pg_background_grant_privileges(role_name text, print_commands boolean default false) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
  begin
    return pgqueue._grant_background(role_name, true, print_commands);
  end $$;
  create function pg_background_revoke_privileges(role_name text, print_commands boolean default false) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
  begin
    return pgqueue._grant_background(role_name, false, print_commands);
  end $$;
end
$create$;
comment on function pgqueue._create_pg_background_2_0() is 'Creates the names of pg_background 2.0 in the first schema of search_path';

create or replace function pgqueue._create_v2_aliases(others oid[])
  returns void
  language plpgsql volatile
as $$
declare
  original record;
  made text;
begin
  for original in
    select p.oid, p.proname, p.prokind, pg_catalog.format('CREATE OR REPLACE FUNCTION %I.%I(', current_schema(), p.proname) as head
    from pg_catalog.pg_proc p
    where p.pronamespace = quote_ident(current_schema())::regnamespace and p.proname in (
      'pg_background_launch', 'pg_background_submit', 'pg_background_result', 'pg_background_detach', 'pg_background_cancel', 'pg_background_wait',
      'pg_background_list', 'pg_background_stats', 'pg_background_get_progress', 'pg_background_result_info', 'pg_background_error_info',
      'pg_background_detach_all', 'pg_background_cancel_all', 'pg_background_outcome', 'pg_background_run', 'pg_background_run_query',
      'pg_background_drain', 'pg_background_wait_any', 'pg_background_cancel_by_label', 'pg_background_purge', 'pg_background_full_sql')
      and p.oid <> all (others)  -- Another role may have created an object of such a name there.
  loop
    made := pg_catalog.pg_get_functiondef(original.oid);
    execute pg_catalog.format('create function %I.%I(', current_schema(), original.proname || '_v2') || substr(made, length(original.head) + 1);
  end loop;
end
$$;
comment on function pgqueue._create_v2_aliases(oid[]) is
  'Creates the aliases with the suffix _v2: version 2.0 keeps the names of 1.x beside its own. others: functions that were in the schema before';
