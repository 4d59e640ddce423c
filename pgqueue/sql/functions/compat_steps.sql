-- after: compat_result
-- The caller's half of pg_background's calls, continued: outcomes, and calls that do several steps.

create or replace function pgqueue._outcome_of(job jsonb, out pid int, out cookie bigint, out state text, out consumed boolean, out completed boolean,
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
comment on function pgqueue._outcome_of(jsonb) is 'The outcome of a job that was described';
grant execute on function pgqueue._outcome_of(jsonb) to pgqueue_user;

create or replace function pgqueue._outcome(want_pid int, want_cookie bigint, out pid int, out cookie bigint, out state text, out consumed boolean,
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
    null;  -- It never raises an error.
  end;
  pid := want_pid;
  cookie := want_cookie;
end
$$;
comment on function pgqueue._outcome(int, bigint) is 'pg_background_outcome: never raises';
grant execute on function pgqueue._outcome(int, bigint) to pgqueue_user;

create or replace function pgqueue._run_tracked(settings jsonb, sql text, queue_size int, timeout_ms int, label text, out pid int, out cookie bigint, out state text,
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
grant execute on function pgqueue._run_tracked(jsonb, text, int, int, text) to pgqueue_user;

create or replace function pgqueue._launch_and_wait(settings jsonb, sql text, queue_size int, timeout_ms int, label text, out pid int, out cookie bigint, out finished boolean)
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
comment on function pgqueue._launch_and_wait(jsonb, text, int, int, text) is
  'Launches a job and waits. If it exceeds the timeout, it is canceled, and gets 1 s to end';
grant execute on function pgqueue._launch_and_wait(jsonb, text, int, int, text) to pgqueue_user;

create or replace function pgqueue._run_query(settings jsonb, sql text, queue_size int, timeout_ms int, label text, col_def text, out reader text, out pid int, out cookie bigint)
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
grant execute on function pgqueue._run_query(jsonb, text, int, int, text, text) to pgqueue_user;

create or replace function pgqueue._drain(handles pgqueue.handle[], timeout_ms int, out pid int, out cookie bigint, out state text, out consumed boolean,
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
      null;  -- Its outcome is unknown.
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
grant execute on function pgqueue._drain(pgqueue.handle[], int) to pgqueue_user;

create or replace function pgqueue._wait_any(handles pgqueue.handle[], timeout_ms int, out pid int, out cookie bigint)
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
      return;  -- None of them can end any more, or this one has ended.
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
grant execute on function pgqueue._wait_any(pgqueue.handle[], int) to pgqueue_user;

create or replace function pgqueue._cancel_many(criteria jsonb, grace_ms int)
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
grant execute on function pgqueue._cancel_many(jsonb, int) to pgqueue_user;
