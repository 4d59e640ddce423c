-- after: compat_launch
-- The caller's half of pg_background_result.

create or replace function pgqueue._background_error(pid int, error jsonb)
  returns jsonb
  language sql immutable
begin atomic
  -- Errors in pgqueue's words are replaced by pg_background's words.
  select case
    when jsonb_typeof(error) is distinct from 'object' then null
    when error ->> 'sqlstate' = '0A000' and error ->> 'message' like '% in a pgqueue job'
      then error || jsonb_build_object('message', replace(error ->> 'message', 'in a pgqueue job', 'in pg_background'))
    when error ->> 'sqlstate' = '08006' and error ->> 'message' like 'lost connection to the worker of job %'
      then error || jsonb_build_object('message', format('lost connection to worker process with PID %s', pid), 'detail', error ->> 'message')
    else error end;
end;
comment on function pgqueue._background_error(int, jsonb) is 'The error of a job in pg_background''s words';
grant execute on function pgqueue._background_error(int, jsonb) to pgqueue_user;

create or replace function pgqueue._raise_tracked(pid int, error jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  execute pgqueue._raiser(concat_ws(chr(10), error ->> 'context', format('background worker, pid %s', pid))) using pgqueue._background_error(pid, error);
end
$$;
comment on function pgqueue._raise_tracked(int, jsonb) is 'Raises the error of a tracked job';
grant execute on function pgqueue._raise_tracked(int, jsonb) to pgqueue_user;

create or replace function pgqueue._require_readable(want_pid int, job jsonb, version text)
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
comment on function pgqueue._require_readable(int, jsonb, text) is 'Raises an error if the result can never be read';
grant execute on function pgqueue._require_readable(int, jsonb, text) to pgqueue_user;

create or replace function pgqueue._read_tracked(want_pid int, want_cookie bigint, version text, out is_first boolean, out reader text, out rows jsonb, out tags text[],
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
        -- Values are read under the settings under which they were printed.
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
  'Waits, then returns the result of a tracked job in chunks, and the query that makes rows of each. Raises the error of a failed job. The caller calls pgqueue._end_of_reading after the last one';
grant execute on function pgqueue._read_tracked(int, bigint, text) to pgqueue_user;

create or replace function pgqueue._end_of_reading(job jsonb, old_settings jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._swap_settings(old_settings);
  perform pgqueue._consume_result(pgqueue._handle_of(job));
end
$$;
comment on function pgqueue._end_of_reading(jsonb, jsonb) is
  'Consumes the result of a tracked job after all of it was read, and ends the tracking';
grant execute on function pgqueue._end_of_reading(jsonb, jsonb) to pgqueue_user;

create or replace function pgqueue._spare_tracked(job jsonb)
  returns int
  language sql volatile
begin atomic
  select pgqueue._untrack_now(jsonb_build_object('pid', job -> 'pid', 'cookie', job -> 'cookie', 'spare', true));
end;
comment on function pgqueue._spare_tracked(jsonb) is
  'Marks a job whose result was requested with a column definition list that does not fit: it can be read again, but its handle may be lost with the statement, so it no longer counts';
grant execute on function pgqueue._spare_tracked(jsonb) to pgqueue_user;

create or replace function pgqueue._create_reader(signature text, call text)
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

-- The function is dropped and created again: pgqueue._create_reader replaces none, because it also creates functions in users'
-- schemas.
drop function if exists pgqueue._tracked_result(int, bigint);
select pgqueue._create_reader('pgqueue._tracked_result(pid int, cookie bigint)', 'pgqueue._read_tracked(pid, cookie, ''2.0'')');
comment on function pgqueue._tracked_result(int, bigint) is 'pg_background_result';
grant execute on function pgqueue._tracked_result(int, bigint) to pgqueue_user;
