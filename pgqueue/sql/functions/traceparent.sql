-- The trace of a job or a task: a traceparent, as W3C Trace Context writes it.

create or replace function pgqueue._is_traceparent(value text)
  returns boolean
  language sql immutable
begin atomic
  -- Version ff and numbers that are 0 are not valid.
  select value ~ '^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$';
end;
comment on function pgqueue._is_traceparent(text) is 'Whether a text is a traceparent';
grant execute on function pgqueue._is_traceparent(text) to pgqueue_user;

create or replace function pgqueue._ambient_settings()
  returns jsonb
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  worker_timeout text := current_setting('pgqueue.worker_timeout', true);
  traceparent text := current_setting('pgqueue.traceparent', true);
begin
  return case when worker_timeout <> '' then jsonb_build_object('pgqueue.worker_timeout', worker_timeout) else '{}' end
    -- A program sets it from whatever its caller has sent. An invalid one is ignored, because it must not fail a transaction.
    || case when pgqueue._is_traceparent(traceparent) then jsonb_build_object('pgqueue.traceparent', traceparent) else '{}' end;
end
$$;
comment on function pgqueue._ambient_settings() is 'What a job takes from settings of pgqueue in the session or the transaction that submits it';
grant execute on function pgqueue._ambient_settings() to pgqueue_user;

create or replace function pgqueue._with_trace(headers jsonb)
  returns jsonb
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  ambient text := current_setting('pgqueue.traceparent', true);
begin
  if headers ? 'traceparent' then
    if pgqueue._is_traceparent(headers ->> 'traceparent') is not true then
      perform pgqueue._refuse_traceparent(headers ->> 'traceparent');
    end if;
    return headers;
  end if;
  return case when pgqueue._is_traceparent(ambient) then coalesce(headers, '{}') || jsonb_build_object('traceparent', ambient) else headers end;
end
$$;
comment on function pgqueue._with_trace(jsonb) is 'The headers of a task with the trace of the transaction, if they name none';
grant execute on function pgqueue._with_trace(jsonb) to pgqueue_user;

create or replace function pgqueue._refuse_traceparent(value text)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'traceparent "%" is not one', value
    using errcode = '22023', hint = 'W3C Trace Context has it as version, trace id, parent id and flags: 00-<32 hex digits>-<16 hex digits>-01.';
end
$$;
comment on function pgqueue._refuse_traceparent(text) is 'Says that a text is no traceparent';
grant execute on function pgqueue._refuse_traceparent(text) to pgqueue_user;

create or replace function pgqueue._traced_jobs(ids bigint[], tokens bigint[])
  returns table (id bigint, traceparent text, queue text, attempt int, first_traceparent text)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select m.id, m.settings ->> 'pgqueue.traceparent', m.queue, m.attempts + 1,
         (select a.error ->> 'traceparent' from pgqueue.attempt a where a.id = m.id and m.attempts > 0 order by a.attempt limit 1)
  from unnest(ids, tokens) c (id, token)
  join pgqueue.message m on m.id = c.id and m.token = c.token
  where m.settings ? 'pgqueue.traceparent'
$$;
comment on function pgqueue._traced_jobs(bigint[], bigint[]) is
  'Those of these claims that belong to a trace, and the span of the first attempt that failed. For workers that make spans';
grant execute on function pgqueue._traced_jobs(bigint[], bigint[]) to pgqueue_worker;
