-- The caller's half of pg_background's calls. The names that users call stand in schemas of their choice (pgqueue.install_compat) and
-- are as thin as can be: what they do is here. All ask the gate as the role that runs, in one round trip wherever pgqueue's own do.

create function pgqueue._tracker()
  returns bigint
  language sql volatile
begin atomic
  -- In pg_background each job is a session of its own. Here an executor's session runs one after another.
  select coalesce(-nullif(current_setting('pgqueue.job_id', true), '')::bigint, pgqueue._session_id());
end;
comment on function pgqueue._tracker() is 'By which number this session, or the job that runs in it, tracks jobs';

create function pgqueue._background_setting(name text, fallback int, least_value int, greatest_value int)
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
    perform set_config(full_name, case name when 'default_queue_size' then fallback / 1024 || 'kB' else fallback::text end, false);  -- for SHOW
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
  'One of pg_background''s settings. The server takes any text for a setting it does not know, so it is checked where it is used';

create function pgqueue._enroll_self()
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._over_loopback('enroll_member', quote_ident(current_user)::regrole::oid, 0, '{}', '');
end
$$;
comment on function pgqueue._enroll_self() is 'Enrolls the role that runs, apart from its transaction, if it is a member of pgbackground_role';

create function pgqueue._member_settings()
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

create function pgqueue._track(kept pgqueue.result_kept, settings jsonb, sql text, queue_size int, label text, out pid int, out cookie bigint)
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
  perform pgqueue._check_options(sql, 'default', 0, null, null, null, null, 1, null, null);
  select * into answer from pgqueue._call('launch_tracked', jsonb_build_object(
    'kept', kept, 'settings', settings, 'session_id', pgqueue._tracker(), 'sql', sql, 'queue', 'default', 'priority', 0,
    'timeout', case when timeout_ms > 0 then timeout_ms * interval '1 ms' end,
    -- pg_background runs a statement once. Its callers see a serialization failure themselves.
    'max_attempts', 1, 'label', label, 'cookie', pgqueue._random_bigint(), 'queue_size', queue_size,
    'max_tracked', pgqueue._background_setting('max_workers', 16, 1, 1000)));
  pid := answer ->> 'pid';
  cookie := answer ->> 'cookie';
end
$$;
comment on function pgqueue._track(pgqueue.result_kept, jsonb, text, int, text) is 'pg_background_launch and submit';

create function pgqueue._ask_tracked(want_pid int, want_cookie bigint, mismatch text, sql_length int default 0)
  returns jsonb
  language sql volatile
begin atomic
  select c from pgqueue._call('tracked', jsonb_build_object(
    'session_id', pgqueue._tracker(), 'pid', want_pid, 'cookie', want_cookie, 'mismatch', mismatch, 'sql_length', sql_length)) c;
end;
comment on function pgqueue._ask_tracked(int, bigint, text, int) is
  'A tracked job as it is now. mismatch: the SQLSTATE for a wrong cookie; NULL: nothing is raised for what is not tracked, and NULL is returned';

create function pgqueue._handle_of(job jsonb)
  returns pgqueue.handle
  language sql immutable
begin atomic
  select row((job ->> 'id')::bigint, (job ->> 'cookie')::bigint)::pgqueue.handle;
end;
comment on function pgqueue._handle_of(jsonb) is 'The handle of a job that was described';

create function pgqueue._wait_tracked(want_pid int, want_cookie bigint, timeout_ms int)
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
comment on function pgqueue._wait_tracked(int, bigint, int) is 'pg_background_wait. NULL waits for ever';

create function pgqueue._cancel_tracked_now(want_pid int, want_cookie bigint, grace_ms int, is_hard boolean)
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
    -- After a hard grace the worker ends the session of the job. That takes a moment.
    perform pgqueue._wait_on(pgqueue._handle_of(job), (grace + case when is_hard then 2000 else 0 end) * interval '1 ms');
  end if;
end
$$;
comment on function pgqueue._cancel_tracked_now(int, bigint, int, boolean) is
  'pg_background_cancel. Hard: what outlasts the grace is stopped by ending its session';

create function pgqueue._untrack_now(request jsonb)
  returns int
  language sql volatile
begin atomic
  select c::int from pgqueue._call('untrack', request || jsonb_build_object('session_id', pgqueue._tracker())) c;
end;
comment on function pgqueue._untrack_now(jsonb) is 'pg_background_detach, detach_all and purge: the request says which';

create function pgqueue._background_error(pid int, error jsonb)
  returns jsonb
  language sql immutable
begin atomic
  -- What pgqueue says in its own words, in pg_background's.
  select case
    when jsonb_typeof(error) is distinct from 'object' then null
    when error ->> 'sqlstate' = '0A000' and error ->> 'message' like '% in a pgqueue job'
      then error || jsonb_build_object('message', replace(error ->> 'message', 'in a pgqueue job', 'in pg_background'))
    when error ->> 'sqlstate' = '08006' and error ->> 'message' like 'lost connection to the worker of job %'
      then error || jsonb_build_object('message', format('lost connection to worker process with PID %s', pid), 'detail', error ->> 'message')
    else error end;
end;
comment on function pgqueue._background_error(int, jsonb) is 'The error of a job as pg_background words it';

create function pgqueue._raise_tracked(pid int, error jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  execute pgqueue._raiser(concat_ws(chr(10), error ->> 'context', format('background worker, pid %s', pid))) using pgqueue._background_error(pid, error);
end
$$;
comment on function pgqueue._raise_tracked(int, jsonb) is 'Raises the error of a tracked job';

create function pgqueue._require_readable(want_pid int, job jsonb, version text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if job ->> 'kept' = 'none' then
    raise exception 'results are disabled for PID % (submitted via %)', want_pid, case version when '1.8' then 'submit_v2' else 'pg_background_submit' end
      using errcode = '0A000';
  elsif not (job ->> 'known')::boolean then
    perform pgqueue._untrack_now(jsonb_build_object('pid', want_pid));
    raise exception 'lost connection to worker process with PID %', want_pid
      using errcode = '08006', detail = 'Retention has removed its result (pgqueue.result_ttl).';
  end if;
end
$$;
comment on function pgqueue._require_readable(int, jsonb, text) is 'Refuses to wait for a result that will not come';

create function pgqueue._read_tracked(want_pid int, want_cookie bigint, version text, out is_first boolean, out reader text, out rows jsonb, out tags text[],
                                      out answer jsonb, out job jsonb, out old_settings jsonb)
  returns setof record
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  request jsonb := jsonb_build_object('session_id', pgqueue._tracker(), 'pid', want_pid, 'cookie', want_cookie, 'mismatch', case version when '1.8' then '42704' else '55000' end, 'read', true);
  began timestamptz := clock_timestamp();
  since timestamptz := began;
  waiting jsonb;
  has_rows boolean;
begin
  loop
    waiting := pgqueue._with_wait(request, began);
    job := null;
    answer := null;
    is_first := true;
    for rows in select c from pgqueue._call('tracked', waiting) c loop
      if job is null then
        job := rows;
        perform pgqueue._require_readable(want_pid, job, version);
      elsif answer is null then
        answer := rows;
        perform pgqueue._forward_notices(answer -> 'notices');
        if answer ->> 'state' <> 'succeeded' then
          perform pgqueue._consume_result(pgqueue._handle_of(job));
          perform pgqueue._raise_tracked(want_pid, answer -> 'error');
        end if;
        reader := pgqueue._result_reader(answer);
        has_rows := jsonb_typeof(answer -> 'columns') = 'array';
        tags := case when has_rows then '{}' else array(select jsonb_array_elements_text(answer -> 'command_tags')) end;
        -- Values are read back under the settings under which they were printed.
        old_settings := pgqueue._swap_settings(answer -> 'output_settings');
      else
        return next;
        is_first := false;
      end if;
    end loop;
    exit when answer is not null;
    continue when waiting ? 'wait_ms' and job ->> 'run_key' is null;
    since := pgqueue._doze((job ->> 'run_key')::bigint, since, 60);
  end loop;
  if is_first then
    rows := case when has_rows then '[]'::jsonb end;
    return next;
  end if;
end
$$;
comment on function pgqueue._read_tracked(int, bigint, text) is
  'Waits, then gives the result of a tracked job in chunks, and the query that makes rows of each. Raises the error of a job that failed. After the last comes pgqueue._end_of_reading';

create function pgqueue._end_of_reading(job jsonb, old_settings jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._swap_settings(old_settings);
  perform pgqueue._consume_result(pgqueue._handle_of(job));
end
$$;
comment on function pgqueue._end_of_reading(jsonb, jsonb) is 'The result of a tracked job was read to its end: now it is consumed, and the job no longer tracked';

create function pgqueue._spare_tracked(job jsonb)
  returns int
  language sql volatile
begin atomic
  select pgqueue._untrack_now(jsonb_build_object('pid', job -> 'pid', 'cookie', job -> 'cookie', 'spare', true));
end;
comment on function pgqueue._spare_tracked(jsonb) is
  'A job whose result was asked for with a column definition list that does not fit can be read again, but its handle may be gone with the statement: it counts no more';

create function pgqueue._create_reader(signature text, call text)
  returns void
  language plpgsql volatile
as $create$
begin
  -- Only the function that the user calls knows the column definition list, so each must be the one that returns the rows.
  execute pg_catalog.format($sql$
    create function %s returns setof record language plpgsql volatile strict as $body$
    declare
      part pg_catalog.record;
      job pg_catalog.jsonb;
      reader pg_catalog.text;
      casts pg_catalog.text[];
      misfit pg_catalog.text;
      old_settings pg_catalog.jsonb;
    begin
      for part in select * from %s loop
        if part.is_first then
          job := part.job;
          reader := part.reader;
          old_settings := part.old_settings;
          loop
            begin
              return query execute reader using '[]'::pg_catalog.jsonb, '{}'::pg_catalog.text[];
              exit;
            exception
              when datatype_mismatch then
                get stacked diagnostics misfit = pg_exception_detail;
              when feature_not_supported then
                perform pgqueue._spare_tracked(job);
                perform pgqueue._refuse_place();
            end;
            -- A length or a precision that only the list has is applied to the values.
            casts := pgqueue._fit_casts(part.answer, casts, misfit);
            if casts is null then
              perform pgqueue._spare_tracked(job);
              raise exception using errcode = '42804', message = pgqueue._misfit(part.answer), hint = pgqueue._result_hint(part.answer);
            end if;
            reader := pgqueue._result_reader(part.answer, casts);
          end loop;
        end if;
        return query execute reader using part.rows, part.tags;
      end loop;
      perform pgqueue._end_of_reading(job, old_settings);
    end
    $body$ $sql$, signature, call);
end
$create$;
comment on function pgqueue._create_reader(text, text) is 'Creates a function that returns the result of a tracked job';

select pgqueue._create_reader('pgqueue._tracked_result(pid int, cookie bigint)', 'pgqueue._read_tracked(pid, cookie, ''2.0'')');
comment on function pgqueue._tracked_result(int, bigint) is 'pg_background_result';
