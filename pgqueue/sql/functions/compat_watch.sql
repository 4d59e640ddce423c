-- after: compat_launch, compat_result, loopback, progress
-- The caller's half of pg_background's calls, continued: lists, progress, statistics, errors.

create or replace function pgqueue._list_tracked(criteria jsonb default '{}', out pid int, out cookie bigint, out launched_at timestamptz, out user_id oid,
                                      out queue_size int, out state text, out sql_preview text, out last_error text, out consumed boolean,
                                      out label text, out backend_pid int)
  returns setof record
  language sql volatile
begin atomic
  select (j ->> 'pid')::int, (j ->> 'cookie')::bigint, (j ->> 'launched_at')::timestamptz, (j ->> 'user_id')::oid, (j ->> 'queue_size')::int,
         j ->> 'state', pgqueue._cut(j ->> 'sql', 120), pgqueue._cut(pgqueue._background_error((j ->> 'pid')::int, j -> 'error') ->> 'message', 512),
         false, j ->> 'label', case when (j ->> 'running')::boolean then (j ->> 'backend_pid')::int end
  from pgqueue._call('tracked', criteria || jsonb_build_object('session_id', pgqueue._tracker(), 'sql_length', 120)) j;
end;
comment on function pgqueue._list_tracked(jsonb) is
  'pg_background_list: the jobs that this session tracks and the role may see. A job whose result was read is no longer tracked, so none is consumed';
grant execute on function pgqueue._list_tracked(jsonb) to pgqueue_user;

create or replace function pgqueue._progress_of_tracked(want_pid int, want_cookie bigint, out progress_pct int, out progress_msg text)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  job jsonb := pgqueue._ask_tracked(want_pid, want_cookie, null);
begin
  progress_pct := job ->> 'progress_pct';
  progress_msg := job ->> 'progress_msg';
end
$$;
comment on function pgqueue._progress_of_tracked(int, bigint) is 'pg_background_get_progress';
grant execute on function pgqueue._progress_of_tracked(int, bigint) to pgqueue_user;

create or replace function pgqueue._report_progress(caller text, pct int, msg text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if nullif(current_setting('pgqueue.job_id', true), '') is null then
    raise exception '% can only be called from a background worker', caller using errcode = '0A000';
  end if;
  perform pgqueue.progress(pct, msg);
end
$$;
comment on function pgqueue._report_progress(text, int, text) is 'pg_background_progress and pg_background_report_progress';
grant execute on function pgqueue._report_progress(text, int, text) to pgqueue_user;

create or replace function pgqueue._tracked_stats(out workers_launched bigint, out workers_completed bigint, out workers_failed bigint, out workers_canceled bigint,
                                       out workers_timed_out bigint, out workers_active int, out avg_execution_ms float8, out max_workers int)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  select (s ->> 'workers_launched')::bigint, (s ->> 'workers_completed')::bigint, (s ->> 'workers_failed')::bigint, (s ->> 'workers_canceled')::bigint,
         (s ->> 'workers_timed_out')::bigint, (s ->> 'workers_active')::int, (s ->> 'avg_execution_ms')::float8
  into workers_launched, workers_completed, workers_failed, workers_canceled, workers_timed_out, workers_active, avg_execution_ms
  from pgqueue._call('tracked', jsonb_build_object('session_id', pgqueue._tracker(), 'stats', true)) s;
  max_workers := pgqueue._background_setting('max_workers', 16, 1, 1000);
end
$$;
comment on function pgqueue._tracked_stats() is 'pg_background_stats: the jobs that this session submitted';
grant execute on function pgqueue._tracked_stats() to pgqueue_user;

create or replace function pgqueue._result_info(want_pid int, want_cookie bigint, out row_count bigint, out command_tag text, out completed boolean,
                                     out has_error boolean, out started_at timestamptz, out finished_at timestamptz)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  job jsonb := pgqueue._ask_tracked(want_pid, want_cookie, '55000');
begin
  select o.row_count, o.command_tag, o.completed, o.has_error into row_count, command_tag, completed, has_error from pgqueue._outcome_of(job) o;
  started_at := job ->> 'started_at';
  finished_at := job ->> 'ended_at';
end
$$;
comment on function pgqueue._result_info(int, bigint) is 'pg_background_result_info';
grant execute on function pgqueue._result_info(int, bigint) to pgqueue_user;

create or replace function pgqueue._error_info(want_pid int, want_cookie bigint, out sqlstate text, out message text, out detail text, out hint text,
                                    out context text, out schema_name text, out table_name text, out column_name text, out constraint_name text)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  error jsonb := pgqueue._background_error(want_pid, pgqueue._ask_tracked(want_pid, want_cookie, '55000') -> 'error');
begin
  sqlstate := error ->> 'sqlstate';
  message := error ->> 'message';
  detail := error ->> 'detail';
  hint := error ->> 'hint';
  context := error ->> 'context';
  schema_name := error ->> 'schema';
  table_name := error ->> 'table';
  column_name := error ->> 'column';
  constraint_name := error ->> 'constraint';
end
$$;
comment on function pgqueue._error_info(int, bigint) is 'pg_background_error_info';
grant execute on function pgqueue._error_info(int, bigint) to pgqueue_user;

create or replace function pgqueue._full_sql(want_pid int, want_cookie bigint)
  returns text
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  statement text := pgqueue._ask_tracked(want_pid, want_cookie, '55000', 65537) ->> 'sql';
begin
  return case when octet_length(statement) > 65536 then pgqueue._cut(statement, 65536 - 5) || '[...]' else statement end;
end
$$;
comment on function pgqueue._full_sql(int, bigint) is 'pg_background_full_sql: up to 64 KiB';
grant execute on function pgqueue._full_sql(int, bigint) to pgqueue_user;
