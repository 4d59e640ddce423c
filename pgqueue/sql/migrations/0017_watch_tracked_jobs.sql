-- The caller's half of pg_background's calls, continued: lists, outcomes, statistics, progress, and the calls that do several steps.

create function pgqueue._list_tracked(criteria jsonb default '{}', out pid int, out cookie bigint, out launched_at timestamptz, out user_id oid,
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
comment on function pgqueue._list_tracked(jsonb) is 'pg_background_list: the jobs that this session tracks and the role may see. A job that was read is tracked no more, so none is consumed';

create function pgqueue._progress_of_tracked(want_pid int, want_cookie bigint, out progress_pct int, out progress_msg text)
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

create function pgqueue._report_progress(caller text, pct int, msg text)
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

create function pgqueue._tracked_stats(out workers_launched bigint, out workers_completed bigint, out workers_failed bigint, out workers_canceled bigint,
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
comment on function pgqueue._tracked_stats() is 'pg_background_stats: the jobs that this session handed in';

create function pgqueue._outcome_of(job jsonb, out pid int, out cookie bigint, out state text, out consumed boolean, out completed boolean,
                                    out has_error boolean, out row_count bigint, out command_tag text, out sqlstate text,
                                    out error_message text, out label text, out launched_at timestamptz)
  language sql immutable
begin atomic
  select (job ->> 'pid')::int, (job ->> 'cookie')::bigint, job ->> 'state', false, not (job ->> 'live')::boolean,
         coalesce(jsonb_typeof(job -> 'error') = 'object', false), (job ->> 'row_count')::bigint, job -> 'command_tags' ->> -1,
         e.error ->> 'sqlstate', e.error ->> 'message', job ->> 'label', (job ->> 'launched_at')::timestamptz
  from (select pgqueue._background_error((job ->> 'pid')::int, job -> 'error')) e (error)
  where job is not null;
end;
comment on function pgqueue._outcome_of(jsonb) is 'What became of a job that was described';

create function pgqueue._outcome(want_pid int, want_cookie bigint, out pid int, out cookie bigint, out state text, out consumed boolean,
                                 out completed boolean, out has_error boolean, out row_count bigint, out command_tag text, out sqlstate text,
                                 out error_message text, out label text, out launched_at timestamptz)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  begin
    select o.* into pid, cookie, state, consumed, completed, has_error, row_count, command_tag, sqlstate, error_message, label, launched_at
    from pgqueue._outcome_of(pgqueue._ask_tracked(want_pid, want_cookie, null)) o;
  exception when insufficient_privilege then
    null;  -- it never raises
  end;
  pid := want_pid;
  cookie := want_cookie;
end
$$;
comment on function pgqueue._outcome(int, bigint) is 'pg_background_outcome: never raises';

create function pgqueue._run_tracked(settings jsonb, sql text, queue_size int, timeout_ms int, label text, out pid int, out cookie bigint, out state text,
                                     out consumed boolean, out completed boolean, out has_error boolean, out row_count bigint, out command_tag text,
                                     out sqlstate text, out error_message text, out run_label text, out launched_at timestamptz,
                                     out timed_out boolean, out elapsed_ms bigint)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  started timestamptz := clock_timestamp();
begin
  select h.pid, h.cookie, not h.finished into pid, cookie, timed_out
  from pgqueue._launch_and_wait(settings, sql, queue_size, timeout_ms, label) h;
  select o.state, o.consumed, o.completed, o.has_error, o.row_count, o.command_tag, o.sqlstate, o.error_message, o.label, o.launched_at
  into state, consumed, completed, has_error, row_count, command_tag, sqlstate, error_message, run_label, launched_at
  from pgqueue._outcome(pid, cookie) o;
  perform pgqueue._untrack_now(jsonb_build_object('pid', pid));
  elapsed_ms := extract(epoch from clock_timestamp() - started) * 1000;
end
$$;
comment on function pgqueue._run_tracked(jsonb, text, int, int, text) is 'pg_background_run';

create function pgqueue._launch_and_wait(settings jsonb, sql text, queue_size int, timeout_ms int, label text, out pid int, out cookie bigint, out finished boolean)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  select t.pid, t.cookie into pid, cookie from pgqueue._track('once', settings, sql, queue_size, label) t;
  finished := pgqueue._wait_tracked(pid, cookie, case when timeout_ms > 0 then timeout_ms end);
  if not finished then
    perform pgqueue._call('cancel_tracked', jsonb_build_object(
      'session_id', pgqueue._tracker(), 'pid', pid, 'cookie', cookie, 'mismatch', '55000', 'grace_ms', 0, 'is_timeout', true));
    perform pgqueue._wait_tracked(pid, cookie, 1000);
  end if;
end
$$;
comment on function pgqueue._launch_and_wait(jsonb, text, int, int, text) is 'Launches a job and waits. If it outlasts the timeout, it is canceled, and given a second to end';

create function pgqueue._run_query(settings jsonb, sql text, queue_size int, timeout_ms int, label text, col_def text, out reader text, out pid int, out cookie bigint)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  is_finished boolean;
  job jsonb;
begin
  select h.pid, h.cookie, h.finished into pid, cookie, is_finished
  from pgqueue._launch_and_wait(settings, sql, queue_size, timeout_ms, label) h;
  if not is_finished then
    perform pgqueue._untrack_now(jsonb_build_object('pid', pid));
    raise exception 'pg_background_run_query: worker did not complete within % ms', timeout_ms using errcode = '57014';
  elsif col_def is null then
    job := pgqueue._ask_tracked(pid, cookie, '42704');
    perform pgqueue._untrack_now(jsonb_build_object('pid', pid));
    if jsonb_typeof(job -> 'error') = 'object' then
      perform pgqueue._raise_tracked(pid, job -> 'error');
    end if;
  else
    reader := format('select * from pgqueue._tracked_result($1, $2) as r (%s)', col_def);
  end if;
end
$$;
comment on function pgqueue._run_query(jsonb, text, int, int, text, text) is
  'pg_background_run_query but for the rows: the query that returns them, NULL without a column definition';

create function pgqueue._drain(handles pgqueue.handle[], timeout_ms int, out pid int, out cookie bigint, out state text, out consumed boolean,
                               out completed boolean, out has_error boolean, out row_count bigint, out command_tag text, out sqlstate text,
                               out error_message text, out label text, out launched_at timestamptz)
  returns setof record
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  until timestamptz := case when timeout_ms > 0 then clock_timestamp() + timeout_ms * interval '1 ms' end;
  handle record;
begin
  for handle in select h.id::int as pid, h.cookie from unnest(handles) with ordinality h (id, cookie, n) where h.id is not null order by h.n loop
    begin
      perform pgqueue._wait_tracked(handle.pid, handle.cookie, case when until is not null then greatest(0, extract(epoch from until - clock_timestamp()) * 1000)::int end);
    exception when undefined_object or insufficient_privilege or object_not_in_prerequisite_state then
      null;  -- its outcome says that nothing is known
    end;
    select o.* into pid, cookie, state, consumed, completed, has_error, row_count, command_tag, sqlstate, error_message, label, launched_at
    from pgqueue._outcome(handle.pid, handle.cookie) o;
    return next;
    if state is not null then
      perform pgqueue._untrack_now(jsonb_build_object('pid', handle.pid));
    end if;
  end loop;
end
$$;
comment on function pgqueue._drain(pgqueue.handle[], int) is 'pg_background_drain: one deadline for all. The id of a handle is its pid';

create function pgqueue._wait_any(handles pgqueue.handle[], timeout_ms int, out pid int, out cookie bigint)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  started timestamptz := clock_timestamp();
  until timestamptz := case when timeout_ms > 0 then started + timeout_ms * interval '1 ms' end;
  has_stopped boolean;
begin
  loop
    select h.id, h.cookie, l.state = 'stopped' into pid, cookie, has_stopped
    from unnest(handles) with ordinality h (id, cookie, n)
    join pgqueue._list_tracked() l on l.pid = h.id and l.cookie = h.cookie
    order by l.state <> 'stopped', h.n
    limit 1;
    if not found or has_stopped then
      return;  -- none of them can end any more, or this one has
    end if;
    pid := null;
    cookie := null;
    if clock_timestamp() >= until then
      return;
    end if;
    perform pg_sleep(least(0.25, greatest(0.001, extract(epoch from clock_timestamp() - started) / 20),
                           greatest(0.001, extract(epoch from until - clock_timestamp()))));
  end loop;
end
$$;
comment on function pgqueue._wait_any(pgqueue.handle[], int) is 'pg_background_wait_any. The id of a handle is its pid';

create function pgqueue._cancel_many(criteria jsonb, grace_ms int)
  returns int
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  until timestamptz := clock_timestamp() + greatest(0, least(3600000, grace_ms)) * interval '1 ms';
  canceled jsonb;
begin
  select c into canceled from pgqueue._call('cancel_tracked', criteria || jsonb_build_object('session_id', pgqueue._tracker(), 'grace_ms', 0)) c;
  if grace_ms > 0 then
    perform pgqueue.wait(pgqueue._handle_of(j), greatest(interval '0', until - clock_timestamp())) from jsonb_array_elements(canceled) j;
  end if;
  return jsonb_array_length(canceled);
end
$$;
comment on function pgqueue._cancel_many(jsonb, int) is 'pg_background_cancel_all and cancel_by_label';

create function pgqueue._result_info(want_pid int, want_cookie bigint, out row_count bigint, out command_tag text, out completed boolean,
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

create function pgqueue._error_info(want_pid int, want_cookie bigint, out sqlstate text, out message text, out detail text, out hint text,
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

create function pgqueue._full_sql(want_pid int, want_cookie bigint)
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
