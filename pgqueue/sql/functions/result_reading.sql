-- The caller's half of reading a result: its rows as the caller's column definition list describes them.

create or replace function pgqueue._fetch_result(handle pgqueue.handle, may_hold boolean default false, out seq bigint, out answer jsonb)
  returns setof record
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  began timestamptz := clock_timestamp();
  since timestamptz := began;
  request jsonb;
  live jsonb;
  holds boolean := may_hold and (select k.loopback from pgqueue.own_key k) is distinct from 'call';
  asked jsonb := case when holds then pgqueue._request(handle) || '{"hold": true}' else pgqueue._request(handle) end;
  is_told boolean := nullif(current_setting('pgqueue.job_id', true), '') is null;
begin
  loop
    live := null;
    request := case when is_told then pgqueue._with_wait(asked, began) else asked end;
    begin
      for answer, seq in select c.answer, c.n - 1 from pgqueue._call('result', request, holds) with ordinality c (answer, n) loop
        if holds and seq = 0 and not answer ? 'held' then
          perform pgqueue._end_hold(true);
        end if;
        if seq = 0 and answer ? 'live' then
          live := answer;
        else
          return next;
        end if;
      end loop;
    exception when undefined_object then
      perform pgqueue._status(handle);  -- It gives a better error for a job that this transaction has enqueued.
      raise;
    end;
    if live is null then
      if is_told then
        perform pgqueue._tell_wait(null);
      end if;
      exit;
    elsif not is_told then
      perform pgqueue._tell_wait(handle.id);
      is_told := true;
      continue;
    end if;
    continue when request ? 'wait_ms' and live ->> 'run_key' is null;
    since := pgqueue._doze((live ->> 'run_key')::bigint, since, 60);
  end loop;
end
$$;
comment on function pgqueue._fetch_result(pgqueue.handle, boolean) is
  'Waits, then reads the result: a description (seq 0), then chunks of rows. The caller must then consume it with pgqueue._consume_result; or with pgqueue._end_hold if the description says held, which needs may_hold';
grant execute on function pgqueue._fetch_result(pgqueue.handle, boolean) to pgqueue_user;

create or replace function pgqueue._consume_result(handle pgqueue.handle, is_held boolean default false)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if is_held and pgqueue._end_hold(true) then
    return;
  end if;
  if not (select c.answer::boolean from pgqueue._call('consume', pgqueue._request(handle)) c (answer)) then
    raise exception 'the result of job % is gone', handle.id
      using errcode = '42704', hint = 'Another session has read it at the same time. The result of a launched job can be read once.';
  end if;
end
$$;
comment on function pgqueue._consume_result(pgqueue.handle, boolean) is 'Ends a read of a result';
grant execute on function pgqueue._consume_result(pgqueue.handle, boolean) to pgqueue_user;

create or replace function pgqueue.result(handle pgqueue.handle)
  returns setof record
  language plpgsql volatile
as $$
declare
  chunk pg_catalog.record;
  answer pg_catalog.jsonb;
  reader pg_catalog.text;
  casts pg_catalog.text[];
  misfit pg_catalog.text;
  old_settings pg_catalog.jsonb;
  is_held boolean;
  is_checked boolean := false;
  is_the_jobs boolean := false;
  code pg_catalog.text;
  message pg_catalog.text;
  detail pg_catalog.text;
  hint pg_catalog.text;
begin
  loop
    is_held := true;  -- It may be held, until the answer says so.
    misfit := null;
    begin
      for chunk in select * from pgqueue._fetch_result(handle, true) f loop
        if chunk.seq operator(pg_catalog.=) 0 then
          answer := chunk.answer;
          is_held := answer operator(pg_catalog.?) 'held';
          if casts is null and pg_catalog.jsonb_typeof(answer operator(pg_catalog.->) 'notices') operator(pg_catalog.=) 'array' then
            perform pgqueue._forward_notices(answer operator(pg_catalog.->) 'notices');
          end if;
          if answer operator(pg_catalog.->>) 'state' operator(pg_catalog.<>) 'succeeded' then
            perform pgqueue._consume_result(handle, is_held);
            is_held := false;
            is_the_jobs := true;
            execute pgqueue._raiser(pgqueue._said_at(handle, answer)) using pgqueue._error_of(handle, answer);
          end if;
          reader := pgqueue._result_reader(answer, casts);
          -- Values are read under the settings under which they were printed.
          old_settings := pgqueue._swap_settings(answer operator(pg_catalog.->) 'output_settings');
          -- A result of rows has at least one chunk, and the first one checks the caller's column definition list.
          continue when pg_catalog.jsonb_typeof(answer operator(pg_catalog.->) 'columns') operator(pg_catalog.=) 'array';
        end if;
        if chunk.seq operator(pg_catalog.=) 0 then
          return query execute reader using null::pg_catalog.jsonb,
            array(select pg_catalog.jsonb_array_elements_text(answer operator(pg_catalog.->) 'command_tags'));
        else
          return query execute reader using chunk.answer, array[]::pg_catalog.text[];
        end if;
        is_checked := true;
      end loop;
      if old_settings operator(pg_catalog.<>) '{}' then
        perform pgqueue._swap_settings(old_settings);
      end if;
      perform pgqueue._consume_result(handle, is_held);
      is_held := false;
      return;
    exception
      when query_canceled then
        -- The cancel may have come during a request, whose answer was then not read.
        if is_held then
          perform pgqueue._end_hold(false);
        end if;
        raise;
      when others then
        if is_held and answer is not null then
          perform pgqueue._end_hold(false);
        end if;
        if reader is null and not is_the_jobs then
          get stacked diagnostics code = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
          if pgqueue._raise_again(code, message, detail, hint) then
            null;
          end if;
        elsif sqlstate operator(pg_catalog.<>) '42804' and sqlstate operator(pg_catalog.<>) '0A000' or reader is null or is_checked then
          raise;
        end if;
        begin
          return query execute reader using '[]'::pg_catalog.jsonb, array[]::pg_catalog.text[];
        exception
          when datatype_mismatch then
            get stacked diagnostics misfit = pg_exception_detail;
          when feature_not_supported then
            perform pgqueue._refuse_place();
        end;
        if misfit is null then
          raise;  -- The error comes from a value, not from the list.
        end if;
    end;
    -- The list may name a length where the job's type has none, or another length: then values are read as of that type.
    -- Otherwise the list does not fit.
    casts := pgqueue._fit_casts(answer, casts, misfit);
    if casts is null then
      raise exception using errcode = '42804', message = pgqueue._misfit(answer), hint = pgqueue._result_hint(answer);
    end if;
  end loop;
end
$$;
comment on function pgqueue.result(pgqueue.handle) is
  'Waits for a job and returns the rows of its last statement, or raises its error. Name the columns: select * from pgqueue.result(h) as (id int, name text)';
grant execute on function pgqueue.result(pgqueue.handle) to pgqueue_user;

create or replace function pgqueue._swap_settings(settings jsonb)
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  old jsonb := '{}';
  setting record;
begin
  -- Arrays are read with their NULLs, whatever array_nulls the reader's session has.
  for setting in select key, value from jsonb_each_text('{"array_nulls": "on"}' || case when jsonb_typeof(settings) = 'object' then settings else '{}' end) loop
    if current_setting(setting.key) <> setting.value then
      old := old || jsonb_build_object(setting.key, current_setting(setting.key));
      perform set_config(setting.key, setting.value, true);
    end if;
  end loop;
  return old;
end
$$;
comment on function pgqueue._swap_settings(jsonb) is
  'Applies settings for the rest of the transaction and returns the previous values of those that differed';
grant execute on function pgqueue._swap_settings(jsonb) to pgqueue_user;

create or replace function pgqueue._read_result(handle pgqueue.handle)
  returns table (seq int, answer jsonb)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  is_held boolean := true;
begin
  for seq, answer in select f.seq, f.answer from pgqueue._fetch_result(handle, true) f loop
    if seq = 0 then
      is_held := answer ? 'held';
    end if;
    return next;
  end loop;
  perform pgqueue._consume_result(handle, is_held);
exception when query_canceled then
  if is_held then
    perform pgqueue._end_hold(false);
  end if;
  raise;
end
$$;
comment on function pgqueue._read_result(pgqueue.handle) is 'pgqueue.result for programs: seq 0 is {state, error, columns, command_tags, ...}, the others are chunks of rows of text. Raises no error of the job';
grant execute on function pgqueue._read_result(pgqueue.handle) to pgqueue_user;
