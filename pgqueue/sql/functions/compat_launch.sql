-- after: loopback, session
-- The caller's half of pg_background's calls: launch, wait, cancel.
--
-- The names that users call are in schemas of their choice (pgqueue.install_compat) and only call the functions here. All ask the
-- gate as the current role, in one round trip wherever pgqueue's own functions do. Members of pgbackground_role are members of
-- pgqueue_user, so functions that run as the caller are granted to that role.

create or replace function pgqueue._tracker()
  returns bigint
  language sql volatile
begin atomic
  -- In pg_background each job is a session of its own. Here an executor's session runs one job after another.
  select coalesce(-nullif(current_setting('pgqueue.job_id', true), '')::bigint, pgqueue._session_id());
end;
comment on function pgqueue._tracker() is 'The number under which this session, or the job that runs in it, tracks jobs';
grant execute on function pgqueue._tracker() to pgqueue_user;

create or replace function pgqueue._background_setting(name text, fallback int, least_value int, greatest_value int)
  returns int
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  full_name text := 'pg_background.' || name;
  given text := nullif(current_setting(full_name, true), '');
  value numeric;
begin
  if given is null then
    perform set_config(full_name, case name when 'default_queue_size' then fallback / 1024 || 'kB' else fallback::text end, false);  -- This makes SHOW work.
    return fallback;
  end if;
  begin
    value := case
      when given ~ '^[[:space:]]*[-+]?[0-9]+[[:space:]]*$' then given::numeric
      when name = 'worker_timeout' then extract(epoch from given::interval)::numeric * 1000
      when name = 'default_queue_size' then pg_size_bytes(given)::numeric
      else given::numeric end;
  exception when data_exception then
    raise exception 'invalid value for parameter "%": "%"', full_name, given using errcode = '22023';
  end;
  if value not between least_value and greatest_value then
    raise exception '% is outside the valid range for parameter "%" (% .. %)', given, full_name, least_value, greatest_value using errcode = '22023';
  end if;
  return round(value);
end
$$;
comment on function pgqueue._background_setting(text, int, int, int) is
  'One of pg_background''s settings. The server accepts any text for a setting it does not know, so it is checked where it is used';
grant execute on function pgqueue._background_setting(text, int, int, int) to pgqueue_user;

create or replace function pgqueue._enroll_self()
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._over_loopback('enroll_member', quote_ident(current_user)::regrole::oid, 0, '{}', '');
end
$$;
comment on function pgqueue._enroll_self() is
  'Enrolls the current role, in a transaction of its own, if it is a member of pgbackground_role';
grant execute on function pgqueue._enroll_self() to pgqueue_user;

create or replace function pgqueue._member_settings()
  returns jsonb
  language plpgsql volatile
as $$
begin
  -- No SET clause here: it would hide the caller's search_path.
  return pgqueue._settings();
exception when insufficient_privilege then
  perform pgqueue._enroll_self();
  return pgqueue._settings();
end
$$;
comment on function pgqueue._member_settings() is 'pgqueue._settings for the first launch of a member of pgbackground_role as well';
grant execute on function pgqueue._member_settings() to pgqueue_user;

create or replace function pgqueue._track(kept pgqueue.result_kept, settings jsonb, sql text, queue_size int, label text, out pid int, out cookie bigint)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  timeout_ms int := pgqueue._background_setting('worker_timeout', 0, 0, 2147483647);
  answer jsonb;
begin
  if sql is null then
    raise exception 'sql parameter cannot be NULL' using errcode = '22004';
  elsif octet_length(label) > 64 then
    raise exception 'label too long' using errcode = '22001', detail = format('It has %s bytes.', octet_length(label)), hint = 'Labels have up to 64 bytes.';
  elsif queue_size is null or queue_size <= 0 then
    queue_size := pgqueue._background_setting('default_queue_size', 65536, 4096, 268435456);
  elsif queue_size < 4096 then
    raise exception 'queue size must be at least 4096 bytes' using errcode = '22023';
  elsif queue_size > 268435456 then
    raise exception 'queue size must not exceed 268435456 bytes'
      using errcode = '22023', hint = 'Large result sets should be written to a table instead.';
  end if;
  perform pgqueue._check_options(sql, pgqueue._options('default'));
  select * into answer from pgqueue._call('launch_tracked', jsonb_build_object(
    'kept', kept, 'settings', settings, 'session_id', pgqueue._tracker(), 'sql', sql,
    -- pg_background runs a statement once, and its callers see a serialization failure themselves.
    'options', to_jsonb(pgqueue._options('default', timeout => case when timeout_ms > 0 then timeout_ms * interval '1 ms' end, max_attempts => 1, label => label)),
    'cookie', pgqueue._random_bigint(), 'queue_size', queue_size,
    'max_tracked', pgqueue._background_setting('max_workers', 16, 1, 1000)));
  pid := answer ->> 'pid';
  cookie := answer ->> 'cookie';
end
$$;
comment on function pgqueue._track(pgqueue.result_kept, jsonb, text, int, text) is 'pg_background_launch and submit';
grant execute on function pgqueue._track(pgqueue.result_kept, jsonb, text, int, text) to pgqueue_user;

create or replace function pgqueue._ask_tracked(want_pid int, want_cookie bigint, mismatch text, sql_length int default 0)
  returns jsonb
  language sql volatile
begin atomic
  select c from pgqueue._call('tracked', jsonb_build_object(
    'session_id', pgqueue._tracker(), 'pid', want_pid, 'cookie', want_cookie, 'mismatch', mismatch, 'sql_length', sql_length)) c;
end;
comment on function pgqueue._ask_tracked(int, bigint, text, int) is
  'The current state of a tracked job. mismatch: the SQLSTATE for a wrong cookie; NULL: no error is raised for an untracked job, and NULL is returned';
grant execute on function pgqueue._ask_tracked(int, bigint, text, int) to pgqueue_user;

create or replace function pgqueue._handle_of(job jsonb)
  returns pgqueue.handle
  language sql immutable
begin atomic
  select row((job ->> 'id')::bigint, (job ->> 'cookie')::bigint)::pgqueue.handle;
end;
comment on function pgqueue._handle_of(jsonb) is 'The handle of a job that was described';
grant execute on function pgqueue._handle_of(jsonb) to pgqueue_user;

create or replace function pgqueue._wait_tracked(want_pid int, want_cookie bigint, timeout_ms int)
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  job jsonb := pgqueue._ask_tracked(want_pid, want_cookie, '55000');
begin
  return not (job ->> 'live')::boolean or pgqueue._wait_on(pgqueue._handle_of(job), greatest(0, least(86400000, timeout_ms)) * interval '1 ms');
end
$$;
comment on function pgqueue._wait_tracked(int, bigint, int) is 'pg_background_wait. NULL waits without a limit';
grant execute on function pgqueue._wait_tracked(int, bigint, int) to pgqueue_user;

create or replace function pgqueue._cancel_tracked_now(want_pid int, want_cookie bigint, grace_ms int, is_hard boolean)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  grace int := greatest(0, least(3600000, grace_ms));
  job jsonb;
begin
  select a into job from pgqueue._call('cancel_tracked', jsonb_build_object(
    'session_id', pgqueue._tracker(), 'pid', want_pid, 'cookie', want_cookie, 'mismatch', '55000',
    'grace_ms', case when is_hard then grace else 0 end)) c (canceled), jsonb_array_elements(c.canceled) a;
  if grace > 0 then
    -- After the grace period of a hard cancel the worker ends the session of the job, which takes a moment.
    perform pgqueue._wait_on(pgqueue._handle_of(job), (grace + case when is_hard then 2000 else 0 end) * interval '1 ms');
  end if;
end
$$;
comment on function pgqueue._cancel_tracked_now(int, bigint, int, boolean) is
  'pg_background_cancel. Hard: a job that exceeds the grace period loses its session';
grant execute on function pgqueue._cancel_tracked_now(int, bigint, int, boolean) to pgqueue_user;

create or replace function pgqueue._untrack_now(request jsonb)
  returns int
  language sql volatile
begin atomic
  select c::int from pgqueue._call('untrack', request || jsonb_build_object('session_id', pgqueue._tracker())) c;
end;
comment on function pgqueue._untrack_now(jsonb) is 'pg_background_detach, detach_all and purge; the request names the jobs';
grant execute on function pgqueue._untrack_now(jsonb) to pgqueue_user;
