CREATE SCHEMA pgqueue;

COMMENT ON SCHEMA pgqueue IS 'Any SQL statement and any Celery task, queued in PostgreSQL and run by Celery workers';

CREATE TYPE pgqueue.handle AS (
	id bigint,
	cookie bigint
);

COMMENT ON TYPE pgqueue.handle IS 'What launch, submit and enqueue return: the number of the job and its secret';

CREATE TYPE pgqueue.job_state AS ENUM (
    'queued',
    'running',
    'succeeded',
    'failed',
    'canceled',
    'expired'
);

COMMENT ON TYPE pgqueue.job_state IS 'Where a job stands, as pgqueue.jobs shows it';

CREATE TYPE pgqueue.message_kind AS ENUM (
    'job',
    'task'
);

COMMENT ON TYPE pgqueue.message_kind IS 'A job is an SQL string that pgqueue runs, a task is a Celery message that Celery runs';

CREATE TYPE pgqueue.message_state AS ENUM (
    'ready',
    'delayed',
    'claimed'
);

COMMENT ON TYPE pgqueue.message_state IS 'Where a message of the queue stands; one that is done has no row';

CREATE TYPE pgqueue.result_kept AS ENUM (
    'none',
    'once',
    'many'
);

COMMENT ON TYPE pgqueue.result_kept IS 'How often the result of a job may be read: never (submit), once (launch), until retention (enqueue with keep_result)';

CREATE FUNCTION pgqueue._handle(id smallint) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return pgqueue._handle(id::bigint);
end
$$;

COMMENT ON FUNCTION pgqueue._handle(id smallint) IS 'As of a bigint. Drivers send small numbers as smallint';

CREATE FUNCTION pgqueue._handle(id integer) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return pgqueue._handle(id::bigint);
end
$$;

COMMENT ON FUNCTION pgqueue._handle(id integer) IS 'As of a bigint';

CREATE FUNCTION pgqueue._handle(id bigint) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (id, (select (c.answer ->> 'cookie')::bigint from pgqueue._call('cookie', jsonb_build_object('id', id)) c (answer)));
end
$$;

COMMENT ON FUNCTION pgqueue._handle(id bigint) IS 'The handle of a job, without its cookie for roles that may not use it';

CREATE FUNCTION pgqueue._ack(ids bigint[], tokens bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
  acked int;
begin
  delete from pgqueue.message m
  using unnest(ids, tokens) done (id, token)
  where m.id = done.id and m.token = done.token;
  get diagnostics acked = row_count;
  return acked;
end
$$;

COMMENT ON FUNCTION pgqueue._ack(ids bigint[], tokens bigint[]) IS 'Deletes claimed messages. One whose token is no longer current is left alone';

CREATE FUNCTION pgqueue._ack_and_claim(worker_id integer, ids bigint[], tokens bigint[], demand jsonb) RETURNS TABLE(acked integer, kind text, id bigint, token bigint, queue text, earlier_deliveries integer, message text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
  of_session text := current_setting('synchronous_commit');
  wish record;
  must_last boolean := ids <> '{}';
begin
  acked := case when ids = '{}' then 0 else pgqueue._ack(ids, tokens) end;
  return next;
  for wish in select * from jsonb_to_recordset(demand) d (kind text, queues text[], room int, role_limit int, held jsonb) loop
    return query
    select null::int, wish.kind, c.id, c.token, c.queue, c.earlier_deliveries, c.message::text
    from pgqueue._claim(_ack_and_claim.worker_id, wish.kind, wish.queues, wish.room, wish.role_limit, wish.held) c;
    must_last := must_last or found and wish.kind = 'task';
  end loop;
  if must_last then
    -- A task must not run again because the server crashed after its ack, nor unflagged because it crashed after its claim. A job
    -- that is handed out again has had no effect.
    perform set_config('synchronous_commit', of_session, true);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._ack_and_claim(worker_id integer, ids bigint[], tokens bigint[], demand jsonb) IS 'pgqueue._ack and pgqueue._claim in one transaction. The first row says how many acks were in time, the others are claims';

CREATE FUNCTION pgqueue._acquit(ids bigint[], tokens bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  ran bigint;
  is_rescued boolean;
begin
  -- They run in this order, and one that has ended is gone.
  select c.id, q.token is distinct from c.token into ran, is_rescued
  from unnest(ids, tokens) with ordinality c (id, token, n)
  join pgqueue.message q on q.id = c.id
  order by c.n
  limit 1;
  perform pgqueue._release(ids, tokens, true);
  if is_rescued then
    -- A worker that was back before us has found it without an owner, and counted that.
    insert into pgqueue.lost_session as l (id, acquittals) values (ran, 1)
    on conflict on constraint lost_session_pkey do update set acquittals = l.acquittals + 1;
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._acquit(ids bigint[], tokens bigint[]) IS 'The server has ended the session that ran the first of these that is left, with all others: they are ready again, and it does not count for any. For workers';

CREATE FUNCTION pgqueue._add_chord_part(group_id text, place integer, task_id text, payload bytea, lifetime interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
  present pgqueue.chord;
begin
  -- The row of the chord stays locked to the end of the transaction: one part after the other decides.
  insert into pgqueue.chord as c (group_id, expires_at)
  values (_add_chord_part.group_id, coalesce(clock_timestamp() + lifetime, 'infinity'))
  on conflict (group_id) do nothing;
  select * into present from pgqueue.chord c where c.group_id = _add_chord_part.group_id for update;
  if present.dispatched_at is not null then
    return false;
  end if;
  insert into pgqueue.chord_part (group_id, place, task_id, payload)
  values (_add_chord_part.group_id, coalesce(_add_chord_part.place, 2147483647), _add_chord_part.task_id, _add_chord_part.payload)
  on conflict do nothing;
  if found then
    update pgqueue.chord c set returned = c.returned + 1 where c.group_id = _add_chord_part.group_id returning * into present;
  end if;
  return coalesce(present.returned = present.size + present.added, false);
end
$$;

COMMENT ON FUNCTION pgqueue._add_chord_part(group_id text, place integer, task_id text, payload bytea, lifetime interval) IS 'A part of a chord has returned. True: it is complete, and the caller sends the callback and calls _finish_chord in this same transaction';

CREATE FUNCTION pgqueue._admit(role regrole, may_enter boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- One at a time: all change the same row of the catalog.
  perform from pgqueue.migration m where m.version = 1 for update;
  if may_enter then
    execute format('grant usage on schema pgqueue to %s', role);
  else
    execute format('revoke usage on schema pgqueue from %s', role);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._admit(role regrole, may_enter boolean) IS 'Lets a role into the schema of this database, or no more';

CREATE FUNCTION pgqueue._advisory_locks(class integer) RETURNS TABLE(objid integer, pid integer, mode text)
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select (case when l.objid::bigint > 2147483647 then l.objid::bigint - 4294967296 else l.objid::bigint end)::int, l.pid, l.mode
  from pg_locks l
  where l.locktype = 'advisory' and l.classid::bigint = class and l.objsubid = 2 and l.granted
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
$$;

COMMENT ON FUNCTION pgqueue._advisory_locks(class integer) IS 'Who holds pgqueue''s advisory locks of a class. Not bound to a snapshot';

CREATE FUNCTION pgqueue._append_result(id bigint, token bigint, seq integer, rows jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  submitter oid;
begin
  select q.submitter into submitter from pgqueue.message q where q.id = _append_result.id and q.token = _append_result.token;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  perform pgqueue._check_runner(id, submitter);
  if (_append_result.seq >= 1) is not true or not pgqueue._are_rows(_append_result.rows) then
    perform pgqueue._refuse_result('rows');
  end if;
  insert into pgqueue.result (id, seq, rows) values (_append_result.id, _append_result.seq, _append_result.rows);
end
$$;

COMMENT ON FUNCTION pgqueue._append_result(id bigint, token bigint, seq integer, rows jsonb) IS 'Adds a chunk of rows, numbered from 1, to the result of the job that runs';

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE pgqueue.message (
    id bigint NOT NULL,
    cookie bigint,
    token bigint,
    session_id bigint,
    due_at timestamp with time zone,
    expires_at timestamp with time zone,
    launched_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    submitter oid DEFAULT ((quote_ident((CURRENT_USER)::text))::regrole)::oid NOT NULL,
    kind pgqueue.message_kind NOT NULL,
    state pgqueue.message_state DEFAULT 'ready'::pgqueue.message_state NOT NULL,
    kept pgqueue.result_kept DEFAULT 'none'::pgqueue.result_kept NOT NULL,
    top_level boolean DEFAULT false NOT NULL,
    worker_id integer,
    priority smallint DEFAULT 0 NOT NULL,
    deliveries smallint DEFAULT 0 NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    max_attempts smallint,
    queue text NOT NULL,
    sql text,
    params text[],
    settings jsonb,
    timeout interval,
    backoff interval,
    label text,
    unique_key text,
    payload json,
    last_error jsonb
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_scale_factor='0.2');

COMMENT ON TABLE pgqueue.message IS 'Jobs and Celery messages that are not done. Hot: a row is inserted, claimed and deleted';

COMMENT ON COLUMN pgqueue.message.token IS 'The fencing token of the current claim; completing needs it';

COMMENT ON COLUMN pgqueue.message.session_id IS 'The session that handed the job in, for pgqueue.stats';

COMMENT ON COLUMN pgqueue.message.submitter IS 'Set by the server, never by the submitter: roles insert through pgqueue.outbox, which lacks this column';

COMMENT ON COLUMN pgqueue.message.top_level IS 'A job that cannot run in the batch lane, as its first try has shown';

COMMENT ON COLUMN pgqueue.message.deliveries IS 'How often it was handed to a worker';

COMMENT ON COLUMN pgqueue.message.attempts IS 'How often a job ran and failed';

CREATE FUNCTION pgqueue._archive(m pgqueue.message, state pgqueue.job_state, error jsonb, command_tags text[], row_count bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  ran pgqueue.activity;
  -- A short run that succeeds was never noted: its transaction says all that there is to say.
  is_own boolean := state = 'succeeded';
  detached boolean := false;
begin
  if current_setting('transaction_isolation') like 'read %' then
    delete from pgqueue.activity a where a.id = m.id returning * into ran;
  else
    begin
      delete from pgqueue.activity a where a.id = m.id returning * into ran;
    exception when serialization_failure then
      -- It has told its progress since its snapshot: the row is newer than what this transaction may delete, and left to pgqueue._tick.
      select a.* into ran from pgqueue.activity a where a.id = m.id;
    end;
  end if;
  if ran.token <> coalesce(m.token, 0) then
    ran := null;
  end if;
  if exists (select from pgqueue.request r where r.id = m.id) then
    -- The end of a run looks for a cancel last of all.
    with gone as (delete from pgqueue.request r where r.id = m.id and not (is_own and r.kind = 'cancel') returning r.kind)
    select coalesce(bool_or(kind = 'detach'), false) into detached from gone;
  end if;
  insert into pgqueue.history (id, cookie, session_id, launched_at, eta, started_at, submitter, state, kept, backend_pid, progress_pct,
                               row_count, priority, attempts, max_attempts, queue, sql, label, worker, progress_msg, command_tags, error)
  values (m.id, m.cookie, m.session_id, m.launched_at, m.due_at, coalesce(ran.started_at, case when is_own then transaction_timestamp() end), m.submitter,
          _archive.state, m.kept, coalesce(ran.backend_pid, case when is_own then pg_backend_pid() end), ran.progress_pct,
          _archive.row_count, m.priority, m.attempts + (ran.id is not null or is_own)::int, m.max_attempts, m.queue, m.sql, m.label,
          (select w.name from pgqueue.worker w where w.id = m.worker_id), ran.progress_msg, _archive.command_tags, _archive.error);
  if detached then
    delete from pgqueue.result r where r.id = m.id;
  elsif m.kept <> 'none' and _archive.state <> 'succeeded' then
    insert into pgqueue.result (id, seq) values (m.id, 0);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._archive(m pgqueue.message, state pgqueue.job_state, error jsonb, command_tags text[], row_count bigint) IS 'The end of a job: from the queue, whose row the caller has deleted, to the history';

CREATE FUNCTION pgqueue._are_notices(notices jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  -- Not PQ001, which is progress: the worker of a reader would take it for the reader's.
  select jsonb_typeof(notices) is not distinct from 'array' and not exists (
    select from jsonb_array_elements(case jsonb_typeof(notices) when 'array' then notices end) n
    where case when jsonb_typeof(n) <> 'object' then true
               else n - '{severity,sqlstate,message,detail,hint}'::text[] <> '{}'
                 or jsonb_path_exists(n, 'strict $.* ? (@.type() <> "string")')
                 or (n ->> 'severity' in ('WARNING', 'NOTICE', 'INFO', 'LOG', 'DEBUG')) is not true
                 or n ->> 'sqlstate' !~ '^[0-9A-Z]{5}$' or n ->> 'sqlstate' = 'PQ001' end)
$_$;

COMMENT ON FUNCTION pgqueue._are_notices(notices jsonb) IS 'Whether these are notices as pgqueue._forward_notices raises them';

CREATE FUNCTION pgqueue._are_rows(rows jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (NOT ((rows @? 'strict $[*][*]?(@.type() != "string" && @.type() != "null")'::jsonpath) IS DISTINCT FROM false));
END;

COMMENT ON FUNCTION pgqueue._are_rows(rows jsonb) IS 'Whether these are rows of a result: lists of texts and NULLs';

CREATE FUNCTION pgqueue._args_repr(args jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  list text := pgqueue._python_repr(args);
begin
  -- A list becomes a tuple: (), (1,), (1, 2).
  return pgqueue._shown('(' || substr(list, 2, length(list) - 2) || case jsonb_array_length(args) when 1 then ',)' else ')' end);
end
$$;

COMMENT ON FUNCTION pgqueue._args_repr(args jsonb) IS 'The argsrepr of a task: its arguments as Python would print them';

CREATE FUNCTION pgqueue._begin_session() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  id bigint := coalesce(pgqueue._current_session_id(), pgqueue._random_bigint());
begin
  perform set_config('pgqueue.session_id', id::text, false);
  return id;
end
$$;

COMMENT ON FUNCTION pgqueue._begin_session() IS 'Numbers this session';

CREATE FUNCTION pgqueue._call(op text, request jsonb, holds boolean DEFAULT false) RETURNS SETOF jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  loopback text := pgqueue._setting('loopback', 'session');
begin
  if loopback not in ('session', 'call') then
    raise exception 'invalid value for parameter "pgqueue.loopback": "%"', loopback using errcode = '22023', hint = 'Available values: session, call.';
  end if;
  return query
  select o.answer
  from pgqueue.own_key k, pgqueue._random_bigint() nonce,
       pgqueue._over_loopback(op, k.role, nonce, request::text,
                              encode(sha256(convert_to(concat_ws(' ', k.key, op, nonce, request), 'UTF8')), 'hex'), holds) o (answer);
  if not found then
    perform pgqueue._require_enrolled();
  end if;
  if loopback = 'call' then
    perform pgqueue._close_loopback();
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._call(op text, request jsonb, holds boolean) IS 'Asks the gate, as the role that runs, apart from the caller''s transaction. holds: see pgqueue._over_loopback';

CREATE FUNCTION pgqueue._session_id() RETURNS bigint
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT COALESCE((NULLIF(current_setting('pgqueue.session_id'::text, true), ''::text))::bigint, pgqueue._begin_session()) AS "coalesce";
END;

COMMENT ON FUNCTION pgqueue._session_id() IS 'The number of this session, for pgqueue.stats';

CREATE FUNCTION pgqueue._tracker() RETURNS bigint
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT COALESCE((- (NULLIF(current_setting('pgqueue.job_id'::text, true), ''::text))::bigint), pgqueue._session_id()) AS "coalesce";
END;

COMMENT ON FUNCTION pgqueue._tracker() IS 'By which number this session, or the job that runs in it, tracks jobs';

CREATE FUNCTION pgqueue._ask_tracked(want_pid integer, want_cookie bigint, mismatch text, sql_length integer DEFAULT 0) RETURNS jsonb
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT c.c
    FROM pgqueue._call('tracked'::text, jsonb_build_object('session_id', pgqueue._tracker(), 'pid', _ask_tracked.want_pid, 'cookie', _ask_tracked.want_cookie, 'mismatch', _ask_tracked.mismatch, 'sql_length', _ask_tracked.sql_length)) c(c);
END;

COMMENT ON FUNCTION pgqueue._ask_tracked(want_pid integer, want_cookie bigint, mismatch text, sql_length integer) IS 'A tracked job as it is now. mismatch: the SQLSTATE for a wrong cookie; NULL: nothing is raised for what is not tracked, and NULL is returned';

CREATE FUNCTION pgqueue._auto_delete(queues text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pgqueue._give_up_queue(q.declared_by, q.name) from pgqueue.queue q where q.name = any (queues) and (q.auto_delete or q.exclusive) order by q.declared_by;
end
$$;

COMMENT ON FUNCTION pgqueue._auto_delete(queues text[]) IS 'Deletes those of these queues that are auto-delete or exclusive and that nobody consumes';

CREATE FUNCTION pgqueue._await_end(role oid, id bigint, max_ms integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  since timestamptz := clock_timestamp();
  until timestamptz := since + least(max_ms, 1000) * interval '1 ms';
  token bigint;
  run_key bigint;
begin
  while clock_timestamp() < until loop
    -- Nobody learns from the time that this takes when another role's job ends.
    select m.token into token from pgqueue.message m
    where m.id = _await_end.id and (pg_has_role(role, m.submitter, 'member') or pg_has_role(role, 'pgqueue_admin', 'member'));
    exit when not found;
    run_key := pgqueue._held_key(id, token);
    if run_key is null then
      -- It does not run yet.
      perform pg_sleep(greatest(0.001, extract(epoch from clock_timestamp() - since) / 20));
    else
      -- Its commit wakes us.
      perform pgqueue._wait_for_run(run_key, ceil(greatest(1, extract(epoch from until - clock_timestamp()) * 1000))::bigint);
    end if;
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue._await_end(role oid, id bigint, max_ms integer) IS 'Sleeps in the gate until a job has ended or so long, a second at most: the caller cannot be canceled meanwhile before PostgreSQL 17';

CREATE FUNCTION pgqueue._await_results(task_ids text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform set_config('synchronous_commit', 'off', true);
  insert into pgqueue.result_waiter (task_id, pid)
  select distinct unnest(task_ids), pg_backend_pid()
  on conflict do nothing;
end
$$;

COMMENT ON FUNCTION pgqueue._await_results(task_ids text[]) IS 'Says, once it has committed, that this session waits for these tasks';

CREATE FUNCTION pgqueue._background_error(pid integer, error jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (jsonb_typeof(error) IS DISTINCT FROM 'object'::text) THEN NULL::jsonb
             WHEN (((error ->> 'sqlstate'::text) = '0A000'::text) AND ((error ->> 'message'::text) ~~ '% in a pgqueue job'::text)) THEN (error || jsonb_build_object('message', replace((error ->> 'message'::text), 'in a pgqueue job'::text, 'in pg_background'::text)))
             WHEN (((error ->> 'sqlstate'::text) = '08006'::text) AND ((error ->> 'message'::text) ~~ 'lost connection to the worker of job %'::text)) THEN (error || jsonb_build_object('message', format('lost connection to worker process with PID %s'::text, pid), 'detail', (error ->> 'message'::text)))
             ELSE error
         END AS error;
END;

COMMENT ON FUNCTION pgqueue._background_error(pid integer, error jsonb) IS 'The error of a job as pg_background words it';

CREATE FUNCTION pgqueue._background_setting(name text, fallback integer, least_value integer, greatest_value integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;

COMMENT ON FUNCTION pgqueue._background_setting(name text, fallback integer, least_value integer, greatest_value integer) IS 'One of pg_background''s settings. The server takes any text for a setting it does not know, so it is checked where it is used';

CREATE FUNCTION pgqueue._begin_any_job(id bigint, token bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  m pgqueue.message;
begin
  select * into m from pgqueue.message q where q.id = _begin_any_job.id and q.token = _begin_any_job.token for update;
  if not found then
    return 'gone';
  end if;
  if exists (select from pgqueue.request r where r.id = m.id and r.kind = 'cancel') then
    delete from pgqueue.message q where q.id = m.id;
    perform pgqueue._archive(m, 'canceled', '{"sqlstate": "57014", "message": "canceling statement due to user request"}', null, null);
    return 'canceled';
  elsif m.expires_at <= clock_timestamp() then
    delete from pgqueue.message q where q.id = m.id;
    perform pgqueue._archive(m, 'expired', jsonb_build_object('sqlstate', '57014', 'message', format('job expired at %s before a worker began it', m.expires_at)), null, null);
    return 'expired';
  end if;
  perform set_config('synchronous_commit', 'off', true);
  insert into pgqueue.activity as a (id, token, worker_id, backend_pid) values (m.id, m.token, m.worker_id, pg_backend_pid())
  on conflict on constraint activity_pkey do update
  set token = excluded.token, worker_id = excluded.worker_id, backend_pid = excluded.backend_pid, started_at = excluded.started_at,
      progress_pct = null, progress_msg = null;
  return 'run';
end
$$;

COMMENT ON FUNCTION pgqueue._begin_any_job(id bigint, token bigint) IS 'Makes a claimed job visible as running. run: go on; gone: forget it; canceled, expired: it has ended so. For workers';

CREATE FUNCTION pgqueue._begin_job(id bigint, token bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  submitter oid := (select q.submitter from pgqueue.message q where q.id = _begin_job.id and q.token = _begin_job.token);
begin
  if submitter is null then
    return 'gone';
  end if;
  perform pgqueue._check_runner(id, submitter);
  return pgqueue._begin_any_job(id, token);
end
$$;

COMMENT ON FUNCTION pgqueue._begin_job(id bigint, token bigint) IS 'pgqueue._begin_any_job for a session that is logged in as the submitter: before a statement that runs in no transaction of pgqueue''s';

CREATE FUNCTION pgqueue._begin_statement(caller_search_path text, settings jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- Values of settings that are not PostgreSQL's own stand in no fingerprint.
  if coalesce(current_setting('pgqueue.inherit', true), '') = '' then
    perform pgqueue._keep_captured(concat(pgqueue._fingerprint(caller_search_path), chr(30), settings, chr(30)));
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._begin_statement(caller_search_path text, settings jsonb) IS 'Keeps captured settings for the rest of this statement';

CREATE VIEW pgqueue.declaration AS
 SELECT NULL::oid AS role,
    NULL::text AS act,
    NULL::text AS name,
    NULL::jsonb AS attributes
  WHERE false;

COMMENT ON VIEW pgqueue.declaration IS 'Where roles insert what they want to declare, bind, unbind or delete: pgqueue._carry_out does it';

CREATE FUNCTION pgqueue._bind(queue text, exchange text, routing_key text) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO pgqueue.declaration (act, name, attributes)
   VALUES ('bind'::text, _bind.queue, jsonb_build_object('exchange', _bind.exchange, 'routing_key', _bind.routing_key));
END;

COMMENT ON FUNCTION pgqueue._bind(queue text, exchange text, routing_key text) IS 'Feeds a queue from an exchange, with the caller''s messages; if it is a worker or an administrator, with all';

CREATE FUNCTION pgqueue._topic_pattern(routing_key text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  -- Words are matched with the dot before them: * is one word, # is none or more (AMQP 0-9-1, 3.1.3.3).
  select '^' || string_agg(case word when '#' then '([.][^.]*)*' when '*' then '[.][^.]+'
                           else '[.]' || regexp_replace(word, '([^[:alnum:]_])', E'\\\\\\1', 'g') end, '' order by n) || '$'
  from string_to_table(routing_key, '.') with ordinality w (word, n)
$_$;

COMMENT ON FUNCTION pgqueue._topic_pattern(routing_key text) IS 'The binding key of a topic exchange as a regular expression for a dot and the routing key';

CREATE TABLE pgqueue.binding (
    id bigint NOT NULL,
    exchange text NOT NULL,
    declared_by oid NOT NULL,
    routing_key text NOT NULL,
    queue text NOT NULL,
    pattern text GENERATED ALWAYS AS (COALESCE(pgqueue._topic_pattern(routing_key), '^[.]$'::text)) STORED NOT NULL,
    CONSTRAINT binding_key_is_at_most_255_bytes CHECK ((octet_length(routing_key) <= 255))
);

COMMENT ON TABLE pgqueue.binding IS 'Which queues an exchange feeds';

COMMENT ON COLUMN pgqueue.binding.declared_by IS 'Whose messages it feeds the queue with. 0: all. So the cost of routing a message does not grow with what strangers have bound';

COMMENT ON COLUMN pgqueue.binding.pattern IS 'The routing key of a topic binding as a regular expression';

CREATE VIEW pgqueue.own_binding WITH (security_barrier='true') AS
 SELECT exchange,
    routing_key,
    pattern,
    queue
   FROM pgqueue.binding b
  WHERE ((declared_by = ((quote_ident((CURRENT_USER)::text))::regrole)::oid) OR ( SELECT (pg_has_role('pgqueue_worker'::name, 'member'::text) OR pg_has_role('pgqueue_admin'::name, 'member'::text))));

COMMENT ON VIEW pgqueue.own_binding IS 'Bindings that the role that runs has made; all if it is a worker or an administrator';

CREATE FUNCTION pgqueue._bindings(exchange text) RETURNS TABLE(routing_key text, pattern text, queue text)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT DISTINCT b.routing_key,
     b.pattern,
     b.queue
    FROM pgqueue.own_binding b
   WHERE (b.exchange = _bindings.exchange)
   ORDER BY b.queue, b.routing_key;
END;

COMMENT ON FUNCTION pgqueue._bindings(exchange text) IS 'The bindings of an exchange that the caller has made; for workers and administrators, all of them';

CREATE FUNCTION pgqueue._bound(bounds jsonb, level integer) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT COALESCE(((bounds ->> (level)::text))::bigint, (((level)::bigint << 58) | COALESCE(((bounds ->> '*'::text))::bigint, (0)::bigint))) AS "coalesce";
END;

COMMENT ON FUNCTION pgqueue._bound(bounds jsonb, level integer) IS 'Above which rank to look in a level, by the bounds of a role: its own, else the number that stands for all levels';

CREATE FUNCTION pgqueue._bound_roles(kind pgqueue.message_kind, queues text[], bounds jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
  -- Not the last numbers: their transactions may be about to commit.
  seen_until bigint := (select greatest(s.last_value - 1000, 0) from pgqueue.message_id_seq s);
  queue text;
  ready oid[];
  known jsonb;
begin
  foreach queue in array queues loop
    ready := pgqueue._ready_roles(kind, queue, 0, 1000, null);
    select jsonb_object_agg(r.role, case when r.role = any (ready) then coalesce(bounds -> queue -> r.role::text, '{}')
                                         else jsonb_build_object('*', seen_until) end) into known
    from (select unnest(ready) as role union (select k.role from pgqueue.role_key k order by k.role limit 1000)) r;
    bounds := bounds || jsonb_build_object(queue, coalesce(bounds -> queue, '{}') || coalesce(known, '{}'));
  end loop;
  return bounds;
end
$$;

COMMENT ON FUNCTION pgqueue._bound_roles(kind pgqueue.message_kind, queues text[], bounds jsonb) IS 'The bounds with those of all roles that have something ready now or may have soon. What enrolled roles that have nothing had before is not read again';

CREATE FUNCTION pgqueue._callback(task text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (task IS NULL) THEN 'null'::jsonb
             ELSE jsonb_build_array(jsonb_build_object('task', task, 'args', '[]'::jsonb, 'kwargs', '{}'::jsonb, 'options', '{}'::jsonb, 'subtask_type', NULL::unknown, 'immutable', false))
         END AS jsonb_build_array;
END;

COMMENT ON FUNCTION pgqueue._callback(task text) IS 'A task by its name as a list of one Celery signature, JSON null for none';

CREATE FUNCTION pgqueue._cancel(role oid, handle pgqueue.handle, grace_ms bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  place record;
  m pgqueue.message;
  ends_at timestamptz := case when grace_ms > 0 then clock_timestamp() + grace_ms * interval '1 ms' end;
begin
  for attempt in 1 .. 400 loop
    select * into place from pgqueue._locate(role, handle, '55000', true) l;
    if not place.live then
      return false;
    end if;
    -- Whoever claims, begins or ends a job locks its row; with the row locked here none of these happens until the commit.
    select * into m from pgqueue.message q where q.id = handle.id for update skip locked;
    if found and m.state <> 'claimed' then
      delete from pgqueue.message q where q.id = handle.id;
      perform pgqueue._archive(m, 'canceled', '{"sqlstate": "57014", "message": "canceling statement due to user request"}', null, null);
      return true;
    elsif found or place.running or (attempt > 1 and place.worker_id is not null) then
      -- Its worker has it: prefetched (pgqueue._lock_job will see the request) or running (the worker is told), also if that was
      -- not noted yet. Or it is just ending, and the request comes too late: pgqueue._is_canceled tells.
      insert into pgqueue.request (id, kind, terminate_at) values (handle.id, 'cancel', ends_at) on conflict do nothing;
      if not found and ends_at is not null then
        -- Skipped when the job is just ending: then its row of the request is locked, and about to go.
        update pgqueue.request r set terminate_at = least(r.terminate_at, ends_at)
        where r.id = handle.id and r.kind = 'cancel'
          and exists (select from pgqueue.request l where l.id = handle.id and l.kind = 'cancel' for update skip locked);
      end if;
      -- Only a hint, for anybody can notify: what to do the worker asks pgqueue._cancel_requests. The row is newer than
      -- the place: it may have been claimed between the two.
      perform pg_notify('pgqueue.w.' || coalesce(m.worker_id, place.worker_id), '');
      -- With the row locked here it cannot begin before it sees the request.
      return case when m.id is not null and not exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token) then true end;
    end if;
    perform pg_sleep(0.005);  -- the row is locked by a claim or an end that is about to commit
  end loop;
  raise exception 'job % is busy', handle.id using errcode = '55P03', hint = 'Try again.';
end
$$;

COMMENT ON FUNCTION pgqueue._cancel(role oid, handle pgqueue.handle, grace_ms bigint) IS 'The gate''s half of cancel. True: canceled. False: it had ended. NULL: asked for, pgqueue._is_canceled tells once this is committed';

CREATE FUNCTION pgqueue._cancel_many(criteria jsonb, grace_ms integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._cancel_many(criteria jsonb, grace_ms integer) IS 'pg_background_cancel_all and cancel_by_label';

CREATE TABLE pgqueue.request (
    id bigint NOT NULL,
    kind text NOT NULL,
    requested_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    terminate_at timestamp with time zone,
    CONSTRAINT request_kind_is_known CHECK ((kind = ANY (ARRAY['cancel'::text, 'detach'::text])))
);

COMMENT ON TABLE pgqueue.request IS 'What is asked of a job that a worker has: the row of a running job is locked, so requests stand beside it';

COMMENT ON COLUMN pgqueue.request.terminate_at IS 'Of a cancel with grace: when the session of the job is ended if it still runs';

CREATE FUNCTION pgqueue._cancel_requests(ids bigint[], tokens bigint[]) RETURNS TABLE(id bigint, terminate_at timestamp with time zone, seconds_left double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    BEGIN ATOMIC
 SELECT r.id,
     r.terminate_at,
     (EXTRACT(epoch FROM (r.terminate_at - clock_timestamp())))::double precision AS "extract"
    FROM ((UNNEST(_cancel_requests.ids, _cancel_requests.tokens) held(id, token)
      JOIN pgqueue.request r ON (((r.id = held.id) AND (r.kind = 'cancel'::text))))
      JOIN pgqueue.message m ON (((m.id = held.id) AND (m.token = held.token))));
END;

COMMENT ON FUNCTION pgqueue._cancel_requests(ids bigint[], tokens bigint[]) IS 'Which of these claims are to be canceled, and when to end the session of the job (NULL: never). A worker believes this and no notification';

CREATE FUNCTION pgqueue._cancel_tracked(role oid, args jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  job pgqueue.tracked_job;
  canceled jsonb := '[]';
begin
  for job in
    select * from pgqueue._find_tracked(role, args) t where args ? 'pid' and t.id is not null
    union all
    select * from pgqueue._tracked_jobs(role, args) where not args ? 'pid'
  loop
    if exists (select from pgqueue.message m where m.id = job.id) then
      perform pgqueue._cancel(role, (job.id, job.cookie), (args ->> 'grace_ms')::bigint);
    end if;
    canceled := canceled || jsonb_build_object('id', job.id, 'cookie', job.cookie);
  end loop;
  if (args ->> 'is_timeout')::boolean then
    insert into pgqueue.tracked_timeout as t (session_id, timeouts) values ((args ->> 'session_id')::bigint, 1)
    on conflict (session_id) do update set timeouts = t.timeouts + 1, counted_at = clock_timestamp();
  end if;
  return canceled;
end
$$;

COMMENT ON FUNCTION pgqueue._cancel_tracked(role oid, args jsonb) IS 'Cancels one tracked job, or those of pgqueue._tracked_jobs. Returns their handles, also of those that had ended';

CREATE FUNCTION pgqueue._cancel_tracked_now(want_pid integer, want_cookie bigint, grace_ms integer, is_hard boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._cancel_tracked_now(want_pid integer, want_cookie bigint, grace_ms integer, is_hard boolean) IS 'pg_background_cancel. Hard: what outlasts the grace is stopped by ending its session';

CREATE FUNCTION pgqueue._capture_settings(caller_search_path text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  captured jsonb := pgqueue._session_settings() || jsonb_build_object('search_path', caller_search_path);
  custom text;
begin
  if pgqueue._setting('worker_timeout', null) is not null then
    captured := captured || jsonb_build_object('pgqueue.worker_timeout', pgqueue._setting('worker_timeout', null));
  end if;
  -- The server does not list custom settings: those that jobs need are named in pgqueue.inherit.
  if current_setting('pgqueue.inherit', true) <> '' then
    for custom in select distinct trim(n) from string_to_table(current_setting('pgqueue.inherit'), ',') n where trim(n) <> '' loop
      if current_setting(custom, true) is not null then
        captured := captured || jsonb_build_object(custom, current_setting(custom, true));
      end if;
    end loop;
  end if;
  return captured;
end
$$;

COMMENT ON FUNCTION pgqueue._capture_settings(caller_search_path text) IS 'The settings made in this session, which its jobs inherit';

CREATE FUNCTION pgqueue._carry_out() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  -- Workers and administrators declare for all.
  holder oid := case when pgqueue._is_operator(new.role) then 0 else new.role end;
begin
  perform pgqueue._require_part(new.role);
  case new.act
    when 'declare exchange' then perform pgqueue._note_exchange(holder, new.name, new.attributes);
    when 'delete exchange' then perform pgqueue._drop_exchange(holder, new.name);
    when 'declare queue' then perform pgqueue._note_queue(holder, new.name, new.attributes);
    when 'bind' then perform pgqueue._note_binding(holder, new.name, new.attributes ->> 'exchange', coalesce(new.attributes ->> 'routing_key', ''));
    when 'unbind' then perform pgqueue._drop_binding(holder, new.name, new.attributes ->> 'exchange', coalesce(new.attributes ->> 'routing_key', ''));
    else raise exception 'act "%" is not known', new.act using errcode = '22023', hint = 'Use the functions of the schema pgqueue.';
  end case;
  return new;
end
$$;

COMMENT ON FUNCTION pgqueue._carry_out() IS 'Does what a role has inserted into pgqueue.declaration, for that role and its messages';

CREATE FUNCTION pgqueue._changed_runners() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select pg_get_userbyid(k.role) from pgqueue.role_key k where k.runner is not null and not pgqueue._is_intact(k.runner, k.runner_xid, k.role) order by 1
$$;

COMMENT ON FUNCTION pgqueue._changed_runners() IS 'Roles whose runner was changed or dropped since they were enrolled: their jobs run at the top level until they are enrolled again';

CREATE FUNCTION pgqueue._check_enrollable(role regrole) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  name text;
  is_powerful boolean;
begin
  if role is null then
    raise exception 'role cannot be NULL' using errcode = '22004';
  end if;
  -- What the owner of pgqueue hands in can do everything in it, and what a superuser hands in everything.
  select r.rolname, r.rolsuper or r.rolname = current_user into name, is_powerful from pg_roles r where r.oid = role;
  if name is null then
    raise exception 'role % does not exist', role using errcode = '42704';
  elsif name ~ '^pg_' or name in ('pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin', 'pgqueue_gate', 'pgbackground_role')
     or name ~ '^pgqueue_(gate|executor|worker)_[0-9]+$' then
    raise exception 'role % is none that hands in', role
      using errcode = '42501', hint = 'It is one of the roles of PostgreSQL or of pgqueue itself. Name the role that logs in.';
  elsif is_powerful and session_user <> name and not (select r.rolsuper from pg_roles r where r.rolname = session_user) then
    raise exception 'permission denied to enroll or unenroll the role %', role
      using errcode = '42501', hint = 'It is a superuser or the owner of pgqueue. Only a superuser may do that.';
  end if;
end
$_$;

COMMENT ON FUNCTION pgqueue._check_enrollable(role regrole) IS 'Refuses to enroll or unenroll a role that is nobody''s login, or that is above an administrator';

CREATE FUNCTION pgqueue._check_handle(role oid, handle pgqueue.handle, submitter oid, cookie bigint, wrong_cookie text, by_administrators boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if submitter is null then
    raise exception 'job % is not known', handle.id
      using errcode = '42704', hint = 'Either it never was committed, or retention has removed it (pgqueue.result_ttl).';
  elsif pg_has_role(role, submitter, 'member') is not true and not (by_administrators and pg_has_role(role, 'pgqueue_admin', 'member')) then
    raise exception 'permission denied for job %', handle.id using errcode = '42501', hint = 'It belongs to another role.';
  elsif cookie is distinct from handle.cookie and not (handle.cookie is null and pg_has_role(role, 'pgqueue_admin', 'member')) then
    raise exception 'cookie mismatch for job %', handle.id using errcode = wrong_cookie, hint = 'The handle is not the one that the launcher returned.';
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._check_handle(role oid, handle pgqueue.handle, submitter oid, cookie bigint, wrong_cookie text, by_administrators boolean) IS 'The checks of a handle: 42704 unknown, 42501 another role''s, then the cookie. by_administrators: what they may do with jobs of any role, which is to cancel them';

CREATE FUNCTION pgqueue._check_options(sql text, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, durability text) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if sql is null then
    raise exception 'sql parameter cannot be NULL' using errcode = '22004';
  elsif trim(sql, E' \t\r\n') = '' then
    raise exception 'sql parameter cannot be empty' using errcode = '22023', hint = 'Give one or more SQL statements.';
  elsif octet_length(sql) > 16777216 then
    raise exception 'sql has more than 16 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif queue is null or octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  elsif priority is null or priority not between 0 and 9 then
    raise exception 'priority % is out of range', coalesce(priority::text, 'NULL') using errcode = '22023', hint = 'Priorities are 0 to 9; 9 runs first.';
  elsif delay is not null and eta is not null then
    raise exception 'both delay and eta are given' using errcode = '22023', hint = 'Give delay (from now) or eta (an instant).';
  elsif not isfinite(delay) or not isfinite(eta) then
    raise exception '% is not finite', case when delay is null then 'eta' else 'delay' end
      using errcode = '22023', hint = 'Leave it out to run the job at once.';
  elsif delay < interval '0' then
    raise exception 'delay is negative' using errcode = '22023', hint = 'Leave delay out to run the job at once.';
  elsif expires <= clock_timestamp() then
    raise exception 'expires is in the past' using errcode = '22023', hint = 'The job would never run.';
  elsif timeout <= interval '0' or not isfinite(timeout) then
    raise exception 'timeout must be positive and finite' using errcode = '22023', hint = 'Leave timeout out for none.';
  elsif max_attempts not between 1 and 1000 then
    raise exception 'max_attempts % is out of range', max_attempts using errcode = '22023', hint = 'Attempts are 1 to 1000; 1 never retries.';
  elsif backoff > interval '1 year' then
    raise exception 'backoff is more than a year' using errcode = '22023', hint = 'No wait is longer than an hour.';
  elsif backoff < interval '0' then
    raise exception 'backoff is negative' using errcode = '22023', hint = 'The wait before the second attempt; it doubles with each.';
  elsif durability not in ('sync', 'async') then
    raise exception 'durability "%" is not known', durability using errcode = '22023', hint = 'It is sync (the default) or async.';
  end if;
  -- A due time that has come is no due time: the message is ready.
  return case when coalesce(eta, clock_timestamp() + delay) > clock_timestamp() then coalesce(eta, clock_timestamp() + delay) end;
end
$$;

COMMENT ON FUNCTION pgqueue._check_options(sql text, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, durability text) IS 'Refuses bad options at the door. Returns the instant at which the job is due, NULL for now';

CREATE FUNCTION pgqueue._check_queue(name text, arguments jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  unsupported text := (select min(a) from jsonb_object_keys(arguments) a where a in ('x-max-length', 'x-max-length-bytes', 'x-single-active-consumer'));
begin
  if name = '' then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  end if;
  perform pgqueue._check_short_text('queue name', name);
  -- What would be ignored is refused: whoever asks for it counts on it.
  if unsupported is not null then
    raise exception 'queue "%" cannot have the argument %: pgqueue does not have it', name, unsupported
      using errcode = '0A000', hint = 'Leave it out. Messages that are too old can be dropped by x-message-ttl.';
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._check_queue(name text, arguments jsonb) IS 'Raises when a queue cannot be made as it is declared';

CREATE FUNCTION pgqueue._check_result(columns jsonb, rows jsonb, output_settings jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  -- Each job that keeps a result passes here. What is no number or no list, the server says itself.
  if columns is null then
    if rows is not null then
      perform pgqueue._refuse_result('rows');
    end if;
  elsif (select bool_and(c.name is not null and c.oid is not null and c.typmod is not null) is false or count(*) > 1664
         from jsonb_to_recordset(columns) c (name text, oid oid, typmod int)) then
    perform pgqueue._refuse_result('columns');
  elsif not pgqueue._are_rows(rows) or jsonb_path_exists(rows, 'strict $[*] ? (@.size() <> $n)', jsonb_build_object('n', jsonb_array_length(columns))) then
    perform pgqueue._refuse_result('rows');
  end if;
  -- As a rule they are those that the job has left. Whether others are values of these settings, the server says.
  if output_settings <> jsonb_build_object('DateStyle', current_setting('DateStyle'), 'IntervalStyle', current_setting('IntervalStyle'),
                                           'TimeZone', current_setting('TimeZone')) then
    if jsonb_path_exists(output_settings, 'strict $ ? (@.type() <> "object" || @.*.type() <> "string")')
       or output_settings - '{DateStyle,IntervalStyle,TimeZone}'::text[] <> '{}' then
      perform pgqueue._refuse_result('settings');
    end if;
    perform set_config(s.key, s.value, true) from jsonb_each_text(output_settings) s;
  end if;
end
$_$;

COMMENT ON FUNCTION pgqueue._check_result(columns jsonb, rows jsonb, output_settings jsonb) IS 'Refuses a result that its reader could not take for one';

CREATE FUNCTION pgqueue._check_rows(sql text[], params text[], rows text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  if cardinality(sql) <> 1 then
    raise exception 'rows are the parameters of one statement, and % are given', cardinality(sql)
      using errcode = '22023', hint = 'Give the statement as array[''insert into t values ($1)''].';
  elsif params is not null then
    raise exception 'both params and rows are given' using errcode = '22023', hint = 'Give params (the same for all jobs) or rows (those of each job).';
  elsif array_ndims(rows) <> 2 then
    raise exception 'rows must be a list of lists' using errcode = '22023', hint = 'Give the parameters of each job, as array[array[''a'', ''1''], array[''b'', ''2'']].';
  end if;
end
$_$;

COMMENT ON FUNCTION pgqueue._check_rows(sql text[], params text[], rows text[]) IS 'Refuses rows of parameters that are none';

CREATE FUNCTION pgqueue._check_runner(id bigint, submitter oid) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- session_user, which nobody but a superuser changes. A job was given to a name, and the name may be another role's by now.
  if submitter <> quote_ident(session_user)::regrole::oid then
    raise exception 'permission denied for job %', id using errcode = '42501', hint = 'It belongs to another role.';
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._check_runner(id bigint, submitter oid) IS 'A token is no key for strangers: only a session that is logged in as the submitter may act on its claim. Workers have functions of their own';

CREATE FUNCTION pgqueue._check_short_text(what text, given text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if octet_length(given) > 255 then
    raise exception '% has more than 255 bytes', what using errcode = '22023', hint = 'AMQP has no longer ones either.';
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._check_short_text(what text, given text) IS 'Raises 22023 for a name or a routing key that is too long';

CREATE TABLE pgqueue.chord_part (
    group_id text NOT NULL,
    place integer NOT NULL,
    task_id text NOT NULL,
    returned_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    payload bytea NOT NULL
);

COMMENT ON TABLE pgqueue.chord_part IS 'What the parts of unfinished chords returned, in the order of the header';

CREATE FUNCTION pgqueue._chord_parts(group_id text) RETURNS SETOF bytea
    LANGUAGE sql STABLE SECURITY DEFINER
    BEGIN ATOMIC
 SELECT p.payload
    FROM pgqueue.chord_part p
   WHERE (p.group_id = _chord_parts.group_id)
   ORDER BY p.place, p.returned_at;
END;

COMMENT ON FUNCTION pgqueue._chord_parts(group_id text) IS 'What the parts of a chord returned, in the order of its header';

CREATE FUNCTION pgqueue._claim(worker_id integer, kind text, queues text[], max_count integer, role_limit integer DEFAULT NULL::integer, held jsonb DEFAULT NULL::jsonb) RETURNS TABLE(id bigint, token bigint, queue text, earlier_deliveries integer, message json)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
#variable_conflict use_column
declare
  wanted_kind pgqueue.message_kind := case kind when 'batch' then 'job' else kind end;
  -- What this session remembers while claims are dear: {kind: {full_at, seconds, bounds: {queue: {role: {level: rank}}}}}.
  memories jsonb := coalesce(nullif(current_setting('pgqueue.claim_memory', true), ''), '{}')::jsonb;
  memory jsonb := memories -> kind;
  bounds jsonb := case when (memory ->> 'full_at')::float8 > extract(epoch from clock_timestamp()) then memory -> 'bounds' end;
  begun_at timestamptz;
  seconds float8;
  last_seconds float8;
  ids bigint[] := '{}';
  -- Now and then those get a turn who would wait for ever behind higher priorities.
  is_generous boolean := random() < 0.1;
  has_passed_some boolean := false;
  setting text;
  is_registered boolean;
  is_due boolean;
  has_dead_letters boolean;
  is_ready boolean;
begin
  -- A claim that a crash of the server loses is a message that is ready again: it need not wait for the disk. For tasks the caller
  -- decides otherwise.
  setting := set_config('synchronous_commit', 'off', true);
  begun_at := clock_timestamp();
  -- One whose session was seen to be gone may not claim either: others are about to have what it holds. It hears so while it may still take
  -- that along. In one statement what decides on what is to follow: each by itself would cost as much as all of them.
  select exists (select from pgqueue.worker w where w.id = _claim.worker_id and w.lost_at is null),
         exists (select from pgqueue.message d where d.state = 'delayed' and d.due_at <= begun_at),
         exists (select from pgqueue.queue q where q.name = any (_claim.queues) and q.declared_by = 0 and q.dead_letter_exchange is not null),
         memory is not null
           or exists (select from pgqueue.message m where m.state = 'ready' and m.kind = wanted_kind and m.queue = any (_claim.queues))
  into is_registered, is_due, has_dead_letters, is_ready;
  if not is_registered then
    raise exception 'worker % is no longer registered', worker_id using errcode = 'PQ003', hint = 'Register again.';
  end if;
  if not (is_ready or is_due or has_dead_letters) and clock_timestamp() < begun_at + interval '5 ms' then
    -- Who wakes a worker has published tasks or jobs, seldom both: starting what follows costs more than this look. One that is
    -- dear itself goes on, and is measured.
    return;
  end if;
  if is_due then
    -- Not without that look: starting an update that finds nothing costs much more.
    perform pgqueue._promote(1000);
  end if;
  -- What only the role that sent it has declared so, upkeep moves.
  if has_dead_letters then
    perform pgqueue._expire_messages(_claim.queues, 1000);
  end if;
  loop
    begun_at := clock_timestamp();
    for id, token, queue, earlier_deliveries, message, has_passed_some in
    with wanted as materialized (
      -- First of all: nothing of a paused queue is to be locked.
      select distinct u.name, exists (select from pgqueue.queue_switch q where q.name = u.name and q.durability = 'async') as is_async
      from unnest(_claim.queues) u (name)
      where not exists (select from pgqueue.queue_switch q where q.name = u.name and q.paused)
    ), candidate as materialized (
      select c.id, row_number() over (partition by wanted.name order by c.place) as place, wanted.is_async
      from wanted
      cross join lateral pgqueue._next_ready(wanted_kind, wanted.name, max_count - cardinality(ids),
                                             case when bounds is not null then coalesce(bounds -> wanted.name, '{}') end, role_limit, held) c
      union all
      select o.id, 0, wanted.is_async
      from wanted
      cross join lateral pgqueue._next_overdue(wanted_kind, wanted.name, 1 + (max_count - cardinality(ids)) / 10,
                                               case when bounds is not null then coalesce(bounds -> wanted.name, '{}') end, role_limit, held) o
      where is_generous
    ), picked as materialized (
      -- A turn for each queue, the first messages of each before the second, and no queue always before the others.
      select c.id, c.place, c.is_async from candidate c order by c.place, random() limit max_count - cardinality(ids)
    ), stale as (
      delete from pgqueue.message m using picked p
      where m.id = p.id and m.kind = 'task' and m.expires_at <= clock_timestamp()
        -- These go to the queue's dead letters. They expired this instant: the next claim moves them.
        and not exists (select from pgqueue.queue q where q.name = m.queue and q.declared_by in (0, m.submitter) and q.dead_letter_exchange is not null)
        and not pgqueue._is_revoked_by_worker(m.payload)
      returning pgqueue._end_task(m, 'REVOKED', 'the time to live of the message was over')
    ), claimed as (
      update pgqueue.message m
      set state = 'claimed', token = pgqueue._random_bigint(), worker_id = _claim.worker_id, deliveries = least(m.deliveries + 1, 32767),
          -- As the job itself or its session said, else as its queue says.
          settings = case when p.is_async and m.kind = 'job' then '{"synchronous_commit": "off"}' || coalesce(m.settings, '{}') else m.settings end
      from picked p
      where m.id = p.id
        and case when m.kind = 'task' and m.expires_at <= clock_timestamp() then pgqueue._is_revoked_by_worker(m.payload) else true end
      returning m.*, p.place
    )
    select c.id, c.token, c.queue, c.deliveries - 1,
           case when c.kind = 'task' then c.payload
           when _claim.kind = 'batch' and k.runner is not null and c.kept = 'none' and not c.top_level
                -- These must be known before the transaction begins; and parameters are bound to one prepared statement.
                and not c.settings ?| array['default_transaction_isolation', 'default_transaction_read_only', 'default_transaction_deferrable']
                and (c.params is null or strpos(rtrim(c.sql, E'; \t\r\n'), ';') = 0)
             then to_json(c.submitter::bigint)
           when _claim.kind = 'batch' then pgqueue._job_document(c.id, c.token, c.queue, c.attempts, c.submitter, c.sql, c.params, c.settings, c.timeout,
                                                                 c.kept, c.label)
           else pgqueue._job_message(c.id, c.token, c.queue, c.priority, c.deliveries, c.attempts, c.submitter, c.sql, c.params, c.settings,
                                     c.timeout, c.kept, c.label) end,
           (select count(*) from candidate) > (select count(*) from picked)
    from claimed c
    left join pgqueue.role_key k on k.role = c.submitter
    order by c.place, pgqueue._rank(c.priority, c.id)
    loop
      ids := ids || id;
      return next;
    end loop;
    if has_passed_some then
      -- What this has locked and leaves to others, a worker that looked meanwhile and went to sleep did not see.
      perform pgqueue._wake(u.name) from unnest(_claim.queues) u (name)
      where exists (select from pgqueue.message m where m.state = 'ready' and m.kind = wanted_kind and m.queue = u.name);
    end if;
    -- Nothing, although something was ready: all that was picked had expired, maybe, and more stands in front of what has not.
    continue when bounds is null and cardinality(ids) = 0 and pgqueue._expire_messages(_claim.queues, 1000) > 0;
    exit when bounds is null or cardinality(ids) >= max_count or (memory ->> 'seconds')::float8 > 0.05;
    -- Or less was taken because a role has its share.
    exit when role_limit <= any (array(select count(*) + coalesce((held ->> m.submitter::text)::int, 0) from pgqueue.message m where m.id = any (ids) group by m.submitter)
                                || array(select h.value::bigint from jsonb_each_text(held) h));
    -- There is room for more than what is above the bounds, and the caller may sleep now: what came back below is looked for
    -- at once, unless that takes so long that it has to keep to its fiftieth of the time.
    bounds := null;
  end loop;
  seconds := extract(epoch from clock_timestamp() - begun_at);
  if bounds is not null then
    memory := jsonb_set(memory, '{bounds}', pgqueue._raise_bounds(bounds, ids, false));
  elsif current_setting('pgqueue.claim_memory', true) is null then
    -- The first claim of a session is planned, which says nothing of how much is dead.
    perform set_config('pgqueue.claim_memory', '{}', false);
    return;
  elsif seconds > 0.005 + 0.00004 * cardinality(ids) then
    -- Dear: it has read past much that is done, which a snapshot held elsewhere keeps VACUUM from removing. What comes back
    -- below the bounds (a retry, a lost worker's message, a late commit) is found by a look at everything, which gets
    -- a fiftieth of the time while there is enough above them.
    if memory is null then
      -- Once may be the machine, which was busy, and not what was read: what came back would wait fifty times as long for that.
      memory := jsonb_build_object('seconds', seconds);
    else
      last_seconds := (memory ->> 'seconds')::float8;
      memory := jsonb_build_object('bounds', pgqueue._bound_roles(wanted_kind, _claim.queues, pgqueue._raise_bounds(memory -> 'bounds', ids, cardinality(ids) >= max_count)));
      seconds := least(extract(epoch from clock_timestamp() - begun_at), last_seconds);
      memory := memory || jsonb_build_object('full_at', extract(epoch from clock_timestamp()) + 50 * seconds, 'seconds', seconds);
    end if;
  elsif memory is null then
    return;
  else
    memory := null;
  end if;
  perform set_config('pgqueue.claim_memory', (case when memory is null then memories - kind else jsonb_set(memories, array[kind], memory) end)::text, false);
end
$$;

COMMENT ON FUNCTION pgqueue._claim(worker_id integer, kind text, queues text[], max_count integer, role_limit integer, held jsonb) IS 'Hands up to max_count ready messages of these queues to a worker: a turn for each queue, in it for each role, of that high priority first. role_limit: at most so many of one role, with those that it has by held ({role: count}). kind batch: jobs, and only the submitter for those that the batch lane can run';

CREATE FUNCTION pgqueue._claim_awaited(waiter_id bigint, waiter_token bigint, awaited_id bigint) RETURNS TABLE(id bigint, token bigint, message json)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
  waiter pgqueue.message;
  living_id int;
begin
  select m.* into waiter from pgqueue.message m where m.id = waiter_id and m.token = waiter_token and m.kind = 'job';
  if not found then
    return;
  end if;
  -- A job whose transaction is open keeps the number of its worker when that registers anew: its row is locked.
  living_id := (select coalesce(w.successor, w.id) from pgqueue.worker w where w.id = waiter.worker_id);
  -- Also one that some worker has claimed and not begun: its executors may all wait, for this one too. That claim is void then, as if
  -- the worker had lost it: who comes with its token gets nothing.
  return query
  with free as (
    select m.id, m.state from pgqueue.message m
    where m.id = awaited_id and m.kind = 'job' and m.state in ('ready', 'claimed') and pg_has_role(waiter.submitter, m.submitter, 'member')
      and exists (select from pgqueue.worker w where w.id = living_id and m.queue = any (w.queues))
      and not exists (select from pgqueue.queue_switch q where q.name = m.queue and q.paused)
      -- What runs outside a transaction locks no row.
      and not exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token)
    for update of m skip locked
  ), claimed as (
    update pgqueue.message m
    set state = 'claimed', token = pgqueue._random_bigint(), worker_id = living_id,
        deliveries = least(m.deliveries + (f.state = 'ready')::int, 32767),
        settings = case when exists (select from pgqueue.queue_switch q where q.name = m.queue and q.durability = 'async')
                        then '{"synchronous_commit": "off"}' || coalesce(m.settings, '{}') else m.settings end
    from free f
    where m.id = f.id
    returning m.*
  )
  select c.id, c.token,
         case when k.runner is not null and c.kept = 'none' and not c.top_level
                and not c.settings ?| array['default_transaction_isolation', 'default_transaction_read_only', 'default_transaction_deferrable']
                and (c.params is null or strpos(rtrim(c.sql, E'; \t\r\n'), ';') = 0)
              then to_json(c.submitter::bigint)
              else pgqueue._job_document(c.id, c.token, c.queue, c.attempts, c.submitter, c.sql, c.params, c.settings, c.timeout, c.kept, c.label) end
  from claimed c
  left join pgqueue.role_key k on k.role = c.submitter;
end
$$;

COMMENT ON FUNCTION pgqueue._claim_awaited(waiter_id bigint, waiter_token bigint, awaited_id bigint) IS 'Claims a job for which one that runs waits, for the worker of that one, out of turn and also from a worker that has not begun it. As pgqueue._claim of kind batch';

CREATE FUNCTION pgqueue._claim_lost(id bigint) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  raise exception 'the claim on job % is lost', id using errcode = 'PQ002', hint = 'Another worker has the job, or it has ended. This run must not commit.';
end
$$;

COMMENT ON FUNCTION pgqueue._claim_lost(id bigint) IS 'Raises PQ002';

CREATE FUNCTION pgqueue._close_loopback() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  name text := pgqueue._loopback_name();
begin
  if name is not null then
    perform pgqueue._dblink_disconnect(name);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._close_loopback() IS 'Ends the loopback of this session';

CREATE FUNCTION pgqueue._collect_results(new_ids text[], was_asleep boolean) RETURNS TABLE(asleep boolean, task_id text, state text, payload bytea)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
declare
  waiter int := pgqueue._lock_class('result_waiter');
  storing int := pgqueue._lock_class('storing');
  bucket int;
  is_asleep boolean := was_asleep;
  has_news boolean := false;
begin
  perform set_config('synchronous_commit', 'off', true);
  if cardinality(new_ids) > 0 then
    begin
      -- Whoever stored without having seen that we wait has committed when this lock is ours.
      perform set_config('lock_timeout', '1s', true);
      for bucket in select distinct hashtext(t) & 63 from unnest(new_ids) t loop
        perform pg_advisory_lock(storing, bucket);
        perform pg_advisory_unlock(storing, bucket);
      end loop;
    exception when lock_not_available then
      null;  -- somebody stored in a transaction that stays open; the fallback look will find it
    end;
  end if;
  if not is_asleep then
    is_asleep := pg_try_advisory_lock(waiter, pg_backend_pid());
  end if;
  -- A statement of its own, so it sees what those locks waited for.
  for task_id, state, payload in
    with news as materialized (
      select r.task_id, r.state, r.payload, r.stored_at
      from pgqueue.result_waiter w
      cross join lateral (
        select r.*
        from pgqueue.task_result r
        where r.task_id = w.task_id and (r.stored_at > w.seen_until or pgqueue._state_rank(r.state) > 0)
          and r.expires_at > clock_timestamp()
        offset 0  -- task by task: a join would go through all results once there are many waits
      ) r
      where w.pid = pg_backend_pid()
    ), seen as (
      update pgqueue.result_waiter w set seen_until = n.latest
      from (select n.task_id, max(n.stored_at) as latest from news n group by n.task_id
            having max(pgqueue._state_rank(n.state)) = 0) n
      where w.task_id = n.task_id and w.pid = pg_backend_pid()
    ), ended as (
      delete from pgqueue.result_waiter w
      using (select distinct n.task_id from news n where pgqueue._state_rank(n.state) > 0) n
      where w.task_id = n.task_id and w.pid = pg_backend_pid()
    )
    select n.task_id, n.state, n.payload
    from news n
    -- First what was on the way, then the end that counts.
    order by n.task_id, pgqueue._state_rank(n.state) = 0 desc, pgqueue._state_rank(n.state) desc,
             case when n.state = 'SUCCESS' then n.stored_at end, case when pgqueue._state_rank(n.state) = 1 then n.stored_at end desc, n.stored_at
  loop
    if is_asleep then
      perform pg_advisory_unlock(waiter, pg_backend_pid());
      is_asleep := false;
    end if;
    has_news := true;
    asleep := false;
    return next;
  end loop;
  if not has_news then
    asleep := is_asleep;
    task_id := null;
    return next;
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._collect_results(new_ids text[], was_asleep boolean) IS 'News of the tasks that this session waits for. None: one row without a task, which says whether this session may sleep now until it is notified; if not, look again soon';

CREATE FUNCTION pgqueue._command_tag(sql text, row_count bigint) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE lower(w.word)
             WHEN 'select'::text THEN ('SELECT '::text || _command_tag.row_count)
             WHEN 'insert'::text THEN ('INSERT 0 '::text || _command_tag.row_count)
             WHEN 'update'::text THEN ('UPDATE '::text || _command_tag.row_count)
             WHEN 'delete'::text THEN ('DELETE '::text || _command_tag.row_count)
             WHEN 'merge'::text THEN ('MERGE '::text || _command_tag.row_count)
             WHEN 'refresh'::text THEN 'REFRESH MATERIALIZED VIEW'::text
             WHEN 'truncate'::text THEN 'TRUNCATE TABLE'::text
             WHEN 'notify'::text THEN 'NOTIFY'::text
             WHEN 'call'::text THEN 'CALL'::text
             WHEN 'do'::text THEN 'DO'::text
             ELSE NULL::text
         END AS "case"
    FROM ( SELECT "substring"(_command_tag.sql, '^(?:\s|--[^
]*
|/[*].*?[*]/)*([A-Za-z]+)'::text) AS "substring") w(word)
   WHERE ((_command_tag.row_count IS NOT NULL) AND (strpos(rtrim(_command_tag.sql, '; 	
'::text), ';'::text) = 0));
END;

COMMENT ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) IS 'The command tag of a statement that the batch lane has run; NULL when its text does not say it plainly';

CREATE FUNCTION pgqueue._complete_job(id bigint, token bigint, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb, has_committed boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  m pgqueue.message;
begin
  delete from pgqueue.message q where q.id = _complete_job.id and q.token = _complete_job.token returning * into m;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  perform pgqueue._check_runner(m.id, m.submitter);
  if array_ndims(command_tags) > 1 or array_position(command_tags, null) is not null then
    perform pgqueue._refuse_result('command tags');
  elsif m.kept <> 'none' then
    perform pgqueue._check_result(columns, rows, output_settings);
    insert into pgqueue.result (id, seq, columns, rows, output_settings)
    values (m.id, 0, _complete_job.columns, _complete_job.rows, _complete_job.output_settings);
  end if;
  perform pgqueue._archive(m, 'succeeded', null, command_tags, row_count);
  if has_committed then
    -- A cancel came too late.
    delete from pgqueue.request r where r.id = m.id;
  else
    perform pgqueue._refuse_canceled(m.id);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._complete_job(id bigint, token bigint, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb, has_committed boolean) IS 'Last in the transaction of a job: its effects, its result and its removal commit together. has_committed: it ran outside a transaction';

CREATE FUNCTION pgqueue._connect_loopback(name text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  place record;
  answer jsonb;
  reason text;
  problem text := '';
  is_connected boolean;
begin
  for place in select p.host, p.port from pgqueue._loopback_places() p loop
    is_connected := false;
    begin
      perform pgqueue._dblink_connect(name, pgqueue._loopback_conninfo(place.host, place.port));
      is_connected := true;
      -- Another server may be in the old place by now: the one that this one has followed.
      select * into answer from pgqueue._dblink_query(name, 'select to_jsonb(extract(epoch from pg_postmaster_start_time()))');
      if answer = to_jsonb(extract(epoch from pg_postmaster_start_time())) then
        return format('%s port %s', place.host, place.port);
      end if;
      reason := 'it is another server';
    exception when others then
      get stacked diagnostics reason = pg_exception_detail;
      reason := coalesce(nullif(reason, ''), sqlerrm);
    end;
    if is_connected then
      perform pgqueue._dblink_disconnect(name);
    end if;
    problem := concat(problem, chr(10), place.host, ' port ', place.port, ': ', btrim(reason));
  end loop;
  raise exception 'the server cannot connect to itself as role %', (select o from pg_user_mappings m, unnest(m.umoptions) o where m.srvname = 'pgqueue_loopback' and starts_with(o, 'user=') limit 1)
    using errcode = '08001', detail = btrim(problem, chr(10)),
          hint = 'The owner of pgqueue has to run: select pgqueue._repair_loopback(). Or let members of the role pgqueue_gate log in with a password (scram-sha-256) in pg_hba.conf, or set the address: alter server pgqueue_loopback options (set host ''...'', set port ''...'').';
end
$$;

COMMENT ON FUNCTION pgqueue._connect_loopback(name text) IS 'Connects from the server to itself, wherever it is now. Returns where. 08001: nowhere. Only for the owner''s functions';

CREATE FUNCTION pgqueue._consume(role oid, handle pgqueue.handle) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  ended pgqueue.history := pgqueue._ended_job(handle.id);
begin
  perform pgqueue._check_handle(role, handle, ended.submitter, ended.cookie, '42704');
  if ended.kept <> 'once' then
    return true;
  end if;
  delete from pgqueue.tracked_job t where t.id = handle.id;
  delete from pgqueue.result r
  where r.id = handle.id and r.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and r.ended_at < ended.ended_at + interval '1 h';
  return found;
end
$$;

COMMENT ON FUNCTION pgqueue._consume(role oid, handle pgqueue.handle) IS 'Deletes the result of a launched job. False: somebody else has read it first';

CREATE FUNCTION pgqueue._consume_result(handle pgqueue.handle, is_held boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._consume_result(handle pgqueue.handle, is_held boolean) IS 'Ends a read of a result';

CREATE FUNCTION pgqueue._cookie(seed bytea, n bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT hashtextextended(encode(sha256((seed || int8send(n))), 'hex'::text), (0)::bigint) AS hashtextextended;
END;

COMMENT ON FUNCTION pgqueue._cookie(seed bytea, n bigint) IS '64 bits that only who knows the seed can tell, for the cookies of a set';

CREATE FUNCTION pgqueue._cookie_of(role oid, id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  submitter oid;
  cookie bigint;
  ended pgqueue.history;
begin
  select m.submitter, m.cookie into submitter, cookie from pgqueue.message m where m.id = _cookie_of.id and m.kind = 'job';
  if not found then
    -- A job moves from the queue to the history and never back, so looking there second finds it.
    ended := pgqueue._ended_job(id);
    submitter := ended.submitter;
    cookie := ended.cookie;
  end if;
  return case when pg_has_role(role, submitter, 'member') then cookie end;
end
$$;

COMMENT ON FUNCTION pgqueue._cookie_of(role oid, id bigint) IS 'The cookie of a job, for roles that may use it; else NULL';

CREATE FUNCTION pgqueue._create_pg_background_1_8() RETURNS void
    LANGUAGE plpgsql
    AS $_$
begin
  create type pg_background_handle as (pid int, cookie bigint);
  create type pg_background_stats as (
    workers_launched bigint, workers_completed bigint, workers_failed bigint, workers_canceled bigint, workers_active int,
    avg_execution_ms float8, max_workers int);
  create type pg_background_progress as (progress_pct int, progress_msg text);

  create function pg_background_launch(sql text, queue_size int default 0) returns int language plpgsql volatile strict as $$
  begin
    return (select t.pid from pgqueue._track('once', pgqueue._member_settings(), sql, queue_size, null) t);
  end $$;
  create function pg_background_detach(pid int) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._untrack_now(pg_catalog.jsonb_build_object('pid', pid, 'mismatch', '55000'));
  end $$;

  create function pg_background_launch_v2(sql text, queue_size int default 0) returns pg_background_handle language plpgsql volatile strict as $$
  begin
    return pgqueue._track('once', pgqueue._member_settings(), sql, queue_size, null);
  end $$;
  create function pg_background_submit_v2(sql text, queue_size int default 0) returns pg_background_handle language plpgsql volatile strict as $$
  begin
    return pgqueue._track('none', pgqueue._member_settings(), sql, queue_size, null);
  end $$;
  create function pg_background_detach_v2(pid int, cookie bigint) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._untrack_now(pg_catalog.jsonb_build_object('pid', pid, 'cookie', cookie, 'mismatch', '55000'));
  end $$;
  create function pg_background_cancel_v2(pid int, cookie bigint) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._cancel_tracked_now(pid, cookie, 0, false);
  end $$;
  create function pg_background_cancel_v2_grace(pid int, cookie bigint, grace_ms int) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._cancel_tracked_now(pid, cookie, grace_ms, true);
  end $$;
  create function pg_background_wait_v2(pid int, cookie bigint) returns void language plpgsql volatile strict as $$
  begin
    perform pgqueue._wait_tracked(pid, cookie, null);
  end $$;
  create function pg_background_wait_v2_timeout(pid int, cookie bigint, timeout_ms int) returns boolean language plpgsql volatile strict as $$
  begin
    return pgqueue._wait_tracked(pid, cookie, timeout_ms);
  end $$;
  perform pgqueue._create_reader('pg_background_result(pid int)', 'pgqueue._read_tracked(pid, null, ''1.8'')');
  perform pgqueue._create_reader('pg_background_result_v2(pid int, cookie bigint)', 'pgqueue._read_tracked(pid, cookie, ''1.8'')');

  create function pg_background_list_v2() returns setof record language plpgsql volatile as $$
  begin
    return query
    select l.pid, l.cookie, l.launched_at, l.user_id, l.queue_size, l.state, l.sql_preview, l.last_error, l.consumed from pgqueue._list_tracked() l;
  end $$;
  create function pg_background_stats_v2() returns pg_background_stats language plpgsql volatile as $$
  begin
    return (select (s.workers_launched, s.workers_completed, s.workers_failed, s.workers_canceled, s.workers_active, s.avg_execution_ms,
                    s.max_workers)::pg_catalog.record from pgqueue._tracked_stats() s);
  end $$;
  create function pg_background_progress(pct int, msg text default null) returns void language plpgsql volatile as $$
  begin
    perform pgqueue._report_progress('pg_background_progress', pct, msg);
  end $$;
  create function pg_background_get_progress_v2(pid int, cookie bigint) returns pg_background_progress language plpgsql volatile as $$
  begin
    return pgqueue._progress_of_tracked(pid, cookie);
  end $$;

  create function grant_pg_background_privileges(role_name text, print_commands boolean default false) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
  begin
    return pgqueue._grant_background(role_name, true, print_commands);
  end $$;
  create function revoke_pg_background_privileges(role_name text, print_commands boolean default false) returns boolean
    language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
  begin
    return pgqueue._grant_background(role_name, false, print_commands);
  end $$;
end
$_$;

COMMENT ON FUNCTION pgqueue._create_pg_background_1_8() IS 'Makes the names of pg_background 1.8 in the first schema of search_path';

CREATE FUNCTION pgqueue._create_pg_background_2_0() RETURNS void
    LANGUAGE plpgsql
    AS $_$
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
    -- The caller's column definition list is that of the versions before labels.
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
        perform pgqueue._untrack_now(pg_catalog.jsonb_build_object('pid', run.pid));  -- nobody else has its handle
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
$_$;

COMMENT ON FUNCTION pgqueue._create_pg_background_2_0() IS 'Makes the names of pg_background 2.0 in the first schema of search_path';

CREATE FUNCTION pgqueue._create_reader(signature text, call text) RETURNS void
    LANGUAGE plpgsql
    AS $_$
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
$_$;

COMMENT ON FUNCTION pgqueue._create_reader(signature text, call text) IS 'Creates a function that returns the result of a tracked job';

CREATE FUNCTION pgqueue._create_v2_aliases(others oid[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
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
      and p.oid <> all (others)  -- whatever somebody else has put there under such a name
  loop
    made := pg_catalog.pg_get_functiondef(original.oid);
    execute pg_catalog.format('create function %I.%I(', current_schema(), original.proname || '_v2') || substr(made, length(original.head) + 1);
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue._create_v2_aliases(others oid[]) IS 'Version 2.0 keeps the names of 1.x beside its own, with the suffix _v2. others: functions that lay in the schema before';

CREATE FUNCTION pgqueue._current_session_id() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- A connection outlives a rollback, a setting made in the transaction does not.
  return coalesce(split_part(pgqueue._loopback_name(), ' ', 2), nullif(current_setting('pgqueue.session_id', true), ''))::bigint;
end
$$;

COMMENT ON FUNCTION pgqueue._current_session_id() IS 'The number of this session, NULL before it has handed anything in';

CREATE FUNCTION pgqueue._cut(value text, max_bytes integer) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  value := left(value, max_bytes);
  while octet_length(value) > max_bytes loop
    value := left(value, -1);
  end loop;
  return value;
end
$$;

COMMENT ON FUNCTION pgqueue._cut(value text, max_bytes integer) IS 'The beginning of a text, whole characters within so many bytes';

CREATE FUNCTION pgqueue._dblink_connect(name text, server text) RETURNS text
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT pgqueue_dblink.dblink_connect(name, server) AS dblink_connect;
END;

COMMENT ON FUNCTION pgqueue._dblink_connect(name text, server text) IS 'dblink_connect, wherever dblink is installed';

CREATE FUNCTION pgqueue._dblink_connections() RETURNS text[]
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT pgqueue_dblink.dblink_get_connections() AS dblink_get_connections;
END;

COMMENT ON FUNCTION pgqueue._dblink_connections() IS 'dblink_get_connections, wherever dblink is installed';

CREATE FUNCTION pgqueue._dblink_disconnect(name text) RETURNS text
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT pgqueue_dblink.dblink_disconnect(name) AS dblink_disconnect;
END;

COMMENT ON FUNCTION pgqueue._dblink_disconnect(name text) IS 'dblink_disconnect, wherever dblink is installed';

CREATE FUNCTION pgqueue._dblink_disconnect_unnamed() RETURNS text
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT pgqueue_dblink.dblink_disconnect() AS dblink_disconnect;
END;

COMMENT ON FUNCTION pgqueue._dblink_disconnect_unnamed() IS 'dblink_disconnect without a name, wherever dblink is installed';

CREATE FUNCTION pgqueue._dblink_exec(name text, command text) RETURNS text
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT pgqueue_dblink.dblink_exec(name, command) AS dblink_exec;
END;

COMMENT ON FUNCTION pgqueue._dblink_exec(name text, command text) IS 'dblink_exec, wherever dblink is installed';

CREATE FUNCTION pgqueue._dblink_is_closed() RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ('pgqueue_dblink'::text = 'pgqueue_dblink'::text);
END;

COMMENT ON FUNCTION pgqueue._dblink_is_closed() IS 'Whether dblink lies where only pgqueue reaches it, so that nobody else can have prepared anything in a loopback';

CREATE FUNCTION pgqueue._dblink_query(name text, query text) RETURNS SETOF jsonb
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT t.answer
    FROM pgqueue_dblink.dblink(_dblink_query.name, _dblink_query.query) t(answer jsonb);
END;

COMMENT ON FUNCTION pgqueue._dblink_query(name text, query text) IS 'dblink, wherever dblink is installed, for answers of one jsonb column';

CREATE FUNCTION pgqueue._dead_letter(held pgqueue.message, reason text, detail text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  declared pgqueue.queue;
  exchange text;
  routing_key text;
  targets text[];
  target record;
  letter json;
begin
  delete from pgqueue.message d where d.id = held.id and d.token is not distinct from held.token;
  if not found then
    return false;  -- somebody else did it
  end if;
  if reason = 'delivery_limit' then
    detail := concat('the task was handed to workers ', held.deliveries, ' times and came back each time');
    perform pgqueue._end_task(held, 'FAILURE', detail);
  end if;
  select * into declared from pgqueue._declared(held.queue, held.submitter);
  exchange := declared.dead_letter_exchange;
  routing_key := coalesce(declared.dead_letter_routing_key, pgqueue._text_in(held.payload, '{properties,delivery_info,routing_key}'), held.queue);
  if exchange is null and detail is null or held.kind <> 'task' or pgqueue._text_in(held.payload, '{headers,pgqueue_end,state}') is not null then
    if reason = 'expired' then
      perform pgqueue._end_task(held, 'REVOKED', 'the time to live of the message was over');
    end if;
    return true;
  end if;
  -- Whoever sent the message chose the key by which it is routed now, and this runs in a worker's upkeep.
  targets := case when exchange is not null
             then array(select r.queue from pgqueue._route(exchange, routing_key, held.submitter) r
                        where octet_length(r.queue) between 1 and 255 and pgqueue._may_enter(held.submitter, r.queue, held.payload)) end;
  if coalesce(targets, '{}') = '{}' then
    -- There is no exchange for them, or it leads nowhere, or where the sender may not send to.
    exchange := '';
    routing_key := pgqueue._cut(held.queue, 250) || '.dead';
    targets := array[routing_key];
  end if;
  begin
    letter := pgqueue._with_death(held.payload, held.queue, reason, exchange, routing_key, detail);
    if octet_length(letter::text) > 67108864 then
      letter := held.payload;  -- what is written into it makes it larger than a message may be
    end if;
    if reason = 'expired' and not exists (
         select from json_array_elements(letter #> '{headers,x-death}') d where d ->> 'reason' <> 'expired') then
      -- As in RabbitMQ: what goes round by itself, with nobody rejecting it, ends.
      targets := array(select t from unnest(targets) t
                       except select d ->> 'queue' from json_array_elements(letter #> '{headers,x-death}') d);
    end if;
  exception when data_exception or program_limit_exceeded then
    letter := held.payload;  -- headers that are not what RabbitMQ makes of them, or that jsonb cannot hold
  end;
  for target in select t.queue, d.message_ttl from unnest(targets) t (queue) left join lateral pgqueue._declared(t.queue, held.submitter) d on true loop
    insert into pgqueue.inbox (queue, kind, priority, submitter, payload, expires_at)
    values (target.queue, 'task', held.priority, held.submitter, letter, clock_timestamp() + target.message_ttl);
    perform pgqueue._wake(target.queue);
  end loop;
  return true;
end
$$;

COMMENT ON FUNCTION pgqueue._dead_letter(held pgqueue.message, reason text, detail text) IS 'Moves a task out of its queue: to the queue''s dead letter exchange; without one it is gone, or, if it came back too often or detail says why nobody takes it, in the queue "<queue>.dead"';

CREATE FUNCTION pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO pgqueue.declaration (act, name, attributes)
   VALUES ('declare exchange'::text, _declare_exchange.name, jsonb_build_object('type', _declare_exchange.type, 'durable', _declare_exchange.durable, 'auto_delete', _declare_exchange.auto_delete, 'arguments', _declare_exchange.arguments));
END;

COMMENT ON FUNCTION pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb) IS 'Makes an exchange; PQ004 when it exists with another type';

CREATE FUNCTION pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO pgqueue.declaration (act, name, attributes)
   VALUES ('declare queue'::text, _declare_queue.queue, jsonb_build_object('durable', _declare_queue.durable, 'exclusive', _declare_queue.exclusive, 'auto_delete', _declare_queue.auto_delete, 'arguments', _declare_queue.arguments));
END;

COMMENT ON FUNCTION pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb) IS 'Makes a queue, or changes its attributes. They hold for the caller''s messages; if it is a worker or an administrator, for all';

CREATE TABLE pgqueue.queue (
    id bigint NOT NULL,
    name text NOT NULL,
    declared_by oid NOT NULL,
    durable boolean DEFAULT true NOT NULL,
    exclusive boolean DEFAULT false NOT NULL,
    auto_delete boolean DEFAULT false NOT NULL,
    arguments jsonb DEFAULT '{}'::jsonb NOT NULL,
    expires_after interval,
    message_ttl interval,
    max_deliveries integer,
    dead_letter_exchange text,
    dead_letter_routing_key text,
    used_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT queue_arguments_are_small CHECK ((octet_length((arguments)::text) <= 10000)),
    CONSTRAINT queue_dead_letters_have_an_address CHECK (((octet_length(dead_letter_exchange) <= 255) AND ((COALESCE(octet_length(dead_letter_routing_key), 1) >= 1) AND (COALESCE(octet_length(dead_letter_routing_key), 1) <= 255)))),
    CONSTRAINT queue_expires_in_range CHECK (((expires_after >= '00:00:00'::interval) AND (expires_after <= '1000 years'::interval))),
    CONSTRAINT queue_name_is_1_to_255_bytes CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 255))),
    CONSTRAINT queue_ttl_in_range CHECK (((message_ttl >= '00:00:00'::interval) AND (message_ttl <= '1000 years'::interval)))
);

COMMENT ON TABLE pgqueue.queue IS 'AMQP queues as they were declared; of those with the same name and declarer the last counts';

COMMENT ON COLUMN pgqueue.queue.declared_by IS 'Whose messages it holds for. 0: for all, since a worker or an administrator has declared it; then it counts before all others';

COMMENT ON COLUMN pgqueue.queue.max_deliveries IS 'How often a task of it may be handed out; NULL: as pgqueue.max_deliveries says';

CREATE FUNCTION pgqueue._declared(queue text, role oid) RETURNS SETOF pgqueue.queue
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return query
  select * from pgqueue.queue d
  where d.name = _declared.queue and d.declared_by in (0, _declared.role)
  order by d.declared_by <> 0, d.id desc
  limit 1;
end
$$;

COMMENT ON FUNCTION pgqueue._declared(queue text, role oid) IS 'The declaration of a queue that counts for the messages of a role: that of workers and administrators, or else its own. No row: there is none';

CREATE FUNCTION pgqueue._defer_job(id bigint, token bigint, note text, delay interval, longest interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  m pgqueue.message;
  deferrals int;
begin
  select * into m from pgqueue.message q where q.id = _defer_job.id and q.token = _defer_job.token for update;
  if found and not exists (select from pg_roles r where r.oid = m.submitter) then
    -- Nobody can ever run it. A role that is given the name of the dropped one is another role.
    delete from pgqueue.message q where q.id = m.id;
    perform pgqueue._archive(m, 'failed', jsonb_build_object('sqlstate', '42704', 'message', format('role %s, which handed the job in, does not exist any more', m.submitter)), null, null);
    return true;
  end if;
  -- Each job counts for itself: another worker may be able to run it.
  deferrals := coalesce((m.last_error ->> 'deferrals')::int, 0);
  update pgqueue.message q
  set state = 'delayed', token = null, worker_id = null, deliveries = greatest(q.deliveries - 1, 0),
      due_at = clock_timestamp() + least(longest, delay * power(2, least(deferrals, 20))),
      last_error = jsonb_build_object('sqlstate', '28000', 'message', note, 'deferrals', deferrals + 1)
  where q.id = _defer_job.id and q.token = _defer_job.token;
  return found;
end
$$;

COMMENT ON FUNCTION pgqueue._defer_job(id bigint, token bigint, note text, delay interval, longest interval) IS 'A job that cannot run here now stays queued, and says why. It is tried again after delay, then after twice that, and so on, up to longest';

CREATE FUNCTION pgqueue._delete_exchange(name text) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO pgqueue.declaration (act, name)
   VALUES ('delete exchange'::text, _delete_exchange.name);
END;

COMMENT ON FUNCTION pgqueue._delete_exchange(name text) IS 'Deletes an exchange and its bindings';

CREATE FUNCTION pgqueue._delete_queue(queue text, if_unused boolean, if_empty boolean) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  unclaimed int;
  deleted int;
begin
  if if_unused and exists (select from pgqueue.worker w where _delete_queue.queue = any (w.queues))
     or if_empty and exists (select from pgqueue.message m where m.queue = _delete_queue.queue and m.kind = 'task') then
    return 0;
  end if;
  delete from pgqueue.binding b
  where b.id = any (array(select d.id from pgqueue.binding d where d.queue = _delete_queue.queue for update skip locked));
  delete from pgqueue.queue q
  where q.id = any (array(select d.id from pgqueue.queue d where d.name = _delete_queue.queue for update skip locked));
  delete from pgqueue.queue_switch q where q.name = (select s.name from pgqueue.queue_switch s where s.name = _delete_queue.queue for update skip locked);
  with gone as (
    delete from pgqueue.message m where m.queue = _delete_queue.queue and m.kind = 'task' returning m as message, m.state as before
  )
  -- What a worker has it runs, and tells how that ended.
  select count(case when g.before = 'claimed' then null else pgqueue._end_task(g.message, 'REVOKED', 'the queue was deleted') end), count(*)
  into unclaimed, deleted from gone g;
  return deleted;
end
$$;

COMMENT ON FUNCTION pgqueue._delete_queue(queue text, if_unused boolean, if_empty boolean) IS 'Deletes a queue, its bindings and its tasks, whosever they are: for workers. SQL jobs stay: cancel those';

CREATE TABLE pgqueue.task_group (
    id text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    payload bytea NOT NULL
);

COMMENT ON TABLE pgqueue.task_group IS 'Groups of Celery tasks that were saved';

CREATE FUNCTION pgqueue._delete_task_group(group_id text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 DELETE FROM pgqueue.task_group g
   WHERE (g.id = _delete_task_group.group_id);
END;

COMMENT ON FUNCTION pgqueue._delete_task_group(group_id text) IS 'Forgets a group';

CREATE FUNCTION pgqueue._held_key(id bigint, token bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  run_key bigint := pgqueue._run_key_of(id, token);
begin
  if run_key is null then
    return null;
  end if;
  -- A lock that this got is given back with the subtransaction, whatever comes between. A job that begins meanwhile waits that long.
  if pg_try_advisory_xact_lock_shared(run_key) then
    raise assert_failure;
  end if;
  return run_key;
exception when assert_failure then
  return null;
end
$$;

COMMENT ON FUNCTION pgqueue._held_key(id bigint, token bigint) IS 'The key of pgqueue._run_key_of if the job runs in a transaction now, else NULL';

CREATE TABLE pgqueue.activity (
    id bigint NOT NULL,
    token bigint NOT NULL,
    worker_id integer NOT NULL,
    backend_pid integer NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    progress_pct integer,
    progress_msg text
);

COMMENT ON TABLE pgqueue.activity IS 'Jobs that run now. Logged, so that a standby shows them; written for those only that take a while, without waiting for the disk';

COMMENT ON COLUMN pgqueue.activity.token IS 'Of the claim that runs: who notes a run may do so while it ends, and what is said of another claim than the message''s says nothing';

CREATE TABLE pgqueue.history (
    id bigint NOT NULL,
    cookie bigint NOT NULL,
    session_id bigint,
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    launched_at timestamp with time zone NOT NULL,
    eta timestamp with time zone,
    started_at timestamp with time zone,
    ended_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    submitter oid NOT NULL,
    state pgqueue.job_state NOT NULL,
    kept pgqueue.result_kept NOT NULL,
    backend_pid integer,
    progress_pct integer,
    row_count bigint,
    priority smallint NOT NULL,
    attempts smallint NOT NULL,
    max_attempts smallint,
    queue text NOT NULL,
    sql text NOT NULL,
    label text,
    worker text,
    progress_msg text,
    command_tags text[],
    error jsonb
)
PARTITION BY RANGE (ended_at);

ALTER TABLE ONLY pgqueue.history REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.history IS 'Jobs that ended. Appended to, never updated; retention drops a day at a time';

COMMENT ON COLUMN pgqueue.history.xact IS 'Which transaction ended the job, so that statistics count it exactly once (pgqueue._fold_stats)';

CREATE UNLOGGED TABLE pgqueue.tracked_job (
    session_id bigint NOT NULL,
    pid integer NOT NULL,
    id bigint NOT NULL,
    cookie bigint NOT NULL,
    submitter oid NOT NULL,
    kept pgqueue.result_kept NOT NULL,
    queue_size integer NOT NULL,
    is_spared boolean DEFAULT false NOT NULL,
    tracked_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE pgqueue.tracked_job IS 'Jobs launched with pg_background''s calls and neither read nor detached. Unlogged: no session outlives the server. Retention removes those of sessions that left';

COMMENT ON COLUMN pgqueue.tracked_job.is_spared IS 'Its result was asked for in a way that does not fit, maybe with a handle that is gone: it counts no more for pg_background.max_workers';

CREATE FUNCTION pgqueue._describe_tracked(job pgqueue.tracked_job, sql_length integer) RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 SELECT jsonb_build_object('id', (_describe_tracked.job).id, 'pid', (_describe_tracked.job).pid, 'cookie', (_describe_tracked.job).cookie, 'user_id', (_describe_tracked.job).submitter, 'kept', (_describe_tracked.job).kept, 'queue_size', (_describe_tracked.job).queue_size, 'live', COALESCE(((j.ended_at IS NULL) AND (j.id IS NOT NULL)), false), 'running', COALESCE(j.is_running, false), 'state',
         CASE
             WHEN ((j.ended_at IS NOT NULL) OR (j.id IS NULL)) THEN 'stopped'::text
             WHEN j.is_running THEN 'running'::text
             ELSE 'starting'::text
         END, 'run_key', j.run_key, 'known', (j.id IS NOT NULL), 'launched_at', COALESCE(j.launched_at, (_describe_tracked.job).tracked_at), 'started_at', j.started_at, 'ended_at', j.ended_at, 'label', j.label, 'sql', "left"(j.sql, COALESCE(_describe_tracked.sql_length, 0)), 'backend_pid', j.backend_pid, 'progress_pct', j.progress_pct, 'progress_msg', j.progress_msg, 'row_count', j.row_count, 'command_tags', j.command_tags, 'error',
         CASE
             WHEN (j.ended_at IS NOT NULL) THEN j.error
             ELSE NULL::jsonb
         END) AS jsonb_build_object
    FROM (( SELECT) one_row
      LEFT JOIN ( SELECT m.id,
             m.launched_at,
             a.started_at,
             NULL::timestamp with time zone AS ended_at,
             (a.id IS NOT NULL) AS is_running,
             m.label,
             m.sql,
             a.backend_pid,
             a.progress_pct,
             a.progress_msg,
             NULL::bigint AS row_count,
             NULL::text[] AS command_tags,
             NULL::jsonb AS error,
             pgqueue._held_key(m.id, m.token) AS run_key
            FROM (pgqueue.message m
              LEFT JOIN pgqueue.activity a ON (((a.id = m.id) AND (a.token = m.token))))
           WHERE (m.id = (_describe_tracked.job).id)
         UNION ALL
          SELECT h.id,
             h.launched_at,
             h.started_at,
             h.ended_at,
             false,
             h.label,
             h.sql,
             h.backend_pid,
             h.progress_pct,
             h.progress_msg,
             h.row_count,
             h.command_tags,
             h.error,
             NULL::bigint
            FROM pgqueue.history h
           WHERE (h.id = (_describe_tracked.job).id)) j ON (true));
END;

COMMENT ON FUNCTION pgqueue._describe_tracked(job pgqueue.tracked_job, sql_length integer) IS 'All there is to say about a tracked job, with so many characters of its text';

CREATE FUNCTION pgqueue._detach(role oid, handle pgqueue.handle) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pgqueue._locate(role, handle, '55000');
  insert into pgqueue.request (id, kind) values (handle.id, 'detach') on conflict do nothing;
  delete from pgqueue.tracked_job t where t.id = handle.id;
  delete from pgqueue.result r where r.id = handle.id;
  return true;
end
$$;

COMMENT ON FUNCTION pgqueue._detach(role oid, handle pgqueue.handle) IS 'The gate''s half of detach';

CREATE FUNCTION pgqueue._dispatch() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  target record;
begin
  perform pgqueue._require_part(new.submitter);
  perform pgqueue._require_quota(new.submitter);
  new.reached := 0;
  for target in select * from pgqueue._route(new.exchange, new.routing_key, new.submitter) loop
    perform pgqueue._put_task(new.submitter, target.queue, new.payload, new.priority, new.due_at, least(new.expires_at, clock_timestamp() + target.message_ttl));
    new.reached := new.reached + 1;
  end loop;
  return new;
end
$$;

COMMENT ON FUNCTION pgqueue._dispatch() IS 'Routes what a role has inserted into pgqueue.dispatch';

CREATE FUNCTION pgqueue._do_upkeep(part text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  case part
    when 'delays' then
      perform pgqueue._promote(10000);
    when 'rescue' then
      perform pgqueue._reclaim(pgqueue._worker_number('max_deliveries', 20, 1, 32767));
    when 'expiry' then
      perform pgqueue._expire_messages(null, 1000);
    when 'statistics' then
      perform pgqueue._fold_stats();
    when 'proofs' then
      delete from pgqueue.nonce n where n.made_at < clock_timestamp() - interval '5 min';
    when 'roles' then
      perform pgqueue._forget_dropped_roles();
      perform pgqueue._note_roles();
    when 'quotas' then
      perform pgqueue._note_usage();
    when 'requests' then
      -- A detach that committed while the job did has left the result, which the request hides.
      with gone as (
        delete from pgqueue.request r
        where r.requested_at < clock_timestamp() - interval '1 min' and not exists (select from pgqueue.message m where m.id = r.id)
        returning r.id, r.kind
      )
      delete from pgqueue.result d using gone where d.id = gone.id and gone.kind = 'detach';
    when 'activity' then
      delete from pgqueue.activity a where not exists (select from pgqueue.message m where m.id = a.id and m.token = a.token);
      delete from pgqueue.lost_session l where not exists (select from pgqueue.message m where m.id = l.id);
    when 'queues' then
      perform pgqueue._expire_queues();
    when 'new partitions' then
      perform pgqueue._make_partitions();
    when 'old partitions' then
      perform pgqueue._drop_partitions(pgqueue._worker_interval('result_ttl', '7 days', '0', '1000 years'));
  end case;
end
$$;

COMMENT ON FUNCTION pgqueue._do_upkeep(part text) IS 'One part of the upkeep';

CREATE FUNCTION pgqueue._doze(run_key bigint, since timestamp with time zone, left_s double precision) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if run_key is not null then
    -- Longer than PostgreSQL takes to look for a deadlock. Not for ever: once the job holds its lock any role sees the key, and can
    -- take the lock when the job has ended.
    perform pgqueue._wait_for_run(run_key, ceil(least(left_s, extract(epoch from current_setting('deadlock_timeout')::interval) + 1) * 1000)::bigint);
    -- It has just ended, or is about to be put down as failed: look soon again.
    return clock_timestamp();
  end if;
  -- Short waits are noticed at once, long ones cost next to nothing: a pause is a twentieth of the time waited so far.
  perform pg_sleep(least(left_s, 0.25, greatest(0.001, extract(epoch from clock_timestamp() - since) / 20)));
  return since;
end
$$;

COMMENT ON FUNCTION pgqueue._doze(run_key bigint, since timestamp with time zone, left_s double precision) IS 'Sleeps until a job may have ended, which has been waited for since an instant and holds this lock (NULL: none). Returns that instant, a newer one if it has just stopped running';

CREATE FUNCTION pgqueue._drain(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._drain(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) IS 'pg_background_drain: one deadline for all. The id of a handle is its pid';

CREATE FUNCTION pgqueue._drop_binding(holder oid, unwanted_queue text, unwanted_exchange text, unwanted_key text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  dropped int;
begin
  delete from pgqueue.binding b
  where b.id = any (array(
    select d.id from pgqueue.binding d
    where d.exchange = unwanted_exchange and d.queue = unwanted_queue and d.routing_key = unwanted_key and (d.declared_by = holder or holder = 0)
    for update skip locked));
  get diagnostics dropped = row_count;
  if dropped = 0 and exists (select from pgqueue.binding b
                             where b.exchange = unwanted_exchange and b.queue = unwanted_queue and b.routing_key = unwanted_key and b.declared_by = 0) then
    perform pgqueue._refuse_change('queue', unwanted_queue);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._drop_binding(holder oid, unwanted_queue text, unwanted_exchange text, unwanted_key text) IS 'Undoes pgqueue._note_binding';

CREATE FUNCTION pgqueue._drop_compat(schema text, behavior text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
  surface pgqueue.compat;
  signature text;
begin
  delete from pgqueue.compat c where c.schema_name = schema returning * into surface;
  if not found then
    raise exception 'schema "%" has no names of pg_background that pgqueue made', schema using errcode = '42704',
      hint = coalesce((select 'They are in ' || string_agg(quote_ident(c.schema_name), ', ') || '.' from pgqueue.compat c), 'Nothing is to be removed.');
  end if;
  foreach signature in array surface.objects loop
    execute format('drop %s %s', regexp_replace(signature, '^([a-z]+) ', E'\\1 if exists '), behavior);
  end loop;
  if surface.grants_usage and to_regnamespace(quote_ident(schema)) is not null then
    execute format('revoke usage on schema %I from pgbackground_role', schema);
  end if;
  if not exists (select from pgqueue.compat) then
    perform pgqueue._admit('pgbackground_role', false);
    perform pgqueue._set_background_defaults(false);
    begin
      drop role pgbackground_role;
    exception when dependent_objects_still_exist or insufficient_privilege then
      null;  -- somebody else granted it something, perhaps in another database
    end;
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._drop_compat(schema text, behavior text) IS 'Drops what pgqueue.install_compat has made in a schema; restrict or cascade';

CREATE FUNCTION pgqueue._drop_exchange(holder oid, unwanted text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  dropped int;
begin
  -- Whatever is deleted here: what somebody else is about to change is left to them, and not waited for.
  delete from pgqueue.exchange e
  where e.id = any (array(select d.id from pgqueue.exchange d where d.name = unwanted and (d.declared_by = holder or holder = 0) for update skip locked));
  get diagnostics dropped = row_count;
  if dropped = 0 and exists (select from pgqueue.exchange e where e.name = unwanted and e.declared_by = 0) then
    perform pgqueue._refuse_change('exchange', unwanted);
  end if;
  delete from pgqueue.binding b
  where b.id = any (array(select d.id from pgqueue.binding d where d.exchange = unwanted and (d.declared_by = holder or holder = 0) for update skip locked));
end
$$;

COMMENT ON FUNCTION pgqueue._drop_exchange(holder oid, unwanted text) IS 'Deletes an exchange and its bindings. Workers and administrators: those of all roles';

CREATE FUNCTION pgqueue._drop_partitions(older_than interval) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  part record;
  keep_from timestamptz := clock_timestamp() - older_than;
begin
  for part in
    select c.relname, to_date(right(c.relname, 8), 'YYYYMMDD') as day
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent in ('pgqueue.history'::regclass, 'pgqueue.result'::regclass, 'pgqueue.task_result'::regclass) and c.relname ~ '_[0-9]{8}$'
  loop
    if ((part.day + 1)::timestamp at time zone 'UTC') <= keep_from then
      perform pgqueue._fold_stats();
      execute format('drop table pgqueue.%I', part.relname);
    end if;
  end loop;
  delete from pgqueue.history_default where ended_at < keep_from;
  delete from pgqueue.result_default where ended_at < keep_from;
  delete from pgqueue.task_result_default where stored_at < keep_from;
  delete from pgqueue.stat_session where folded_at < keep_from;
  delete from pgqueue.tracked_job where tracked_at < keep_from;
  delete from pgqueue.tracked_timeout where counted_at < keep_from;
  perform pgqueue._expire_task_results();
end
$_$;

COMMENT ON FUNCTION pgqueue._drop_partitions(older_than interval) IS 'Drops the days of history and results that are wholly older than this, and what else has expired';

CREATE FUNCTION pgqueue._drop_runner(role oid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  name text;
begin
  -- The owner of a schema may drop what is in it. Each by itself: DROP OWNED BY may have dropped some. IF EXISTS would say so each
  -- time that a role is enrolled.
  for name in
    select p.oid::regprocedure::text
    from pg_proc p
    where p.pronamespace in ('pgqueue_run'::regnamespace, 'pgqueue_take'::regnamespace)
      and p.proname in ('jobs_' || role, 'job_' || role, 'take_' || role)
  loop
    execute format('drop routine %s', name);
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue._drop_runner(role oid) IS 'Drops the runner of a role';

CREATE FUNCTION pgqueue._end_hold(is_done boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  name text := pgqueue._loopback_name();
begin
  if name is not null then
    perform pgqueue._dblink_exec(name, case when is_done then 'commit' else 'rollback' end);
    return true;
  end if;
  return false;
exception
  when query_canceled then
    -- dblink leaves it busy with the answer, which nobody will read.
    perform pgqueue._close_loopback();
    raise;
  when others then
    perform pgqueue._close_loopback();
    return false;
end
$$;

COMMENT ON FUNCTION pgqueue._end_hold(is_done boolean) IS 'Ends what pgqueue._over_loopback holds: it is done, or undone. False: the session at the other end is gone. Then it is undone, unless it was lost on its way back';

CREATE FUNCTION pgqueue._end_job(id bigint, state pgqueue.job_state, error jsonb) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  m pgqueue.message;
begin
  delete from pgqueue.message q where q.id = _end_job.id returning * into m;
  perform pgqueue._archive(m, state, error, null, null);
  return null;
end
$$;

COMMENT ON FUNCTION pgqueue._end_job(id bigint, state pgqueue.job_state, error jsonb) IS 'Ends a job that did not begin. Returns NULL';

CREATE FUNCTION pgqueue._end_of_reading(job jsonb, old_settings jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pgqueue._swap_settings(old_settings);
  perform pgqueue._consume_result(pgqueue._handle_of(job));
end
$$;

COMMENT ON FUNCTION pgqueue._end_of_reading(job jsonb, old_settings jsonb) IS 'The result of a tracked job was read to its end: now it is consumed, and the job no longer tracked';

CREATE FUNCTION pgqueue._end_task(m pgqueue.message, state text, reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  task_id text := pgqueue._text_in(m.payload, '{headers,id}');
  embed jsonb;
  is_awaited boolean;
  letter json;
begin
  if task_id is null or m.kind <> 'task' or pgqueue._text_in(m.payload, '{headers,task}') is null
    or pgqueue._text_in(m.payload, '{headers,pgqueue_end,state}') is not null
  then
    return;
  end if;
  is_awaited := pgqueue._text_in(m.payload, '{headers,ignore_result}') is distinct from 'true';
  begin
    if m.payload ->> 'content-type' = 'application/json' and m.payload #>> '{properties,body_encoding}' is null
      and m.payload #>> '{headers,compression}' is null
    then
      embed := (m.payload ->> 'body')::jsonb -> 2;
    end if;
    -- What a body that cannot be read here holds, a worker finds out. A revoked task calls no errbacks and ends no chain, as with Celery.
    if embed is null and (m.payload #>> '{headers,group}' is not null or state = 'FAILURE')
      or jsonb_typeof(embed -> 'chord') = 'object'
      or state = 'FAILURE' and (embed -> 'errbacks' ->> 0 is not null or embed -> 'chain' ->> 0 is not null)
    then
      letter := jsonb_set(m.payload::jsonb, '{headers,pgqueue_end}', jsonb_build_object('state', state, 'reason', reason))::json;
    end if;
  exception when data_exception or program_limit_exceeded or statement_too_complex then
    null;  -- nothing that a worker could read either
  end;
  if letter is not null then
    insert into pgqueue.inbox (queue, kind, priority, submitter, payload) values (m.queue, 'task', m.priority, m.submitter, letter);
    perform pgqueue._wake(m.queue);
  end if;
  if is_awaited then
    -- JSON whatever the application's serializer is: how it begins tells its backend (results/backend.py). Nobody waits for a lock here:
    -- upkeep and claims end many tasks at once, and any role can hold one.
    perform pgqueue._store_task_result(
      task_id, state, 'application/json',
      convert_to(json_build_object(
        'ended_by', 'pgqueue', 'status', state,
        'result', json_build_object('exc_type', case state when 'FAILURE' then 'WorkerLostError' else 'TaskRevokedError' end,
                                    'exc_message', json_build_array(reason), 'exc_module', 'celery.exceptions'),
        'traceback', null, 'children', '[]'::json, 'date_done', pgqueue._utc_text(clock_timestamp()), 'task_id', task_id)::text, 'UTF8'),
      interval '1 day', null);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._end_task(m pgqueue.message, state text, reason text) IS 'Says of a task that no worker will run how it ended: FAILURE or REVOKED, and why. What hangs on it (its chord, errbacks, the rest of its chain) a worker of its queue is told to end';

CREATE FUNCTION pgqueue._ended_job(id bigint) RETURNS pgqueue.history
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  ended pgqueue.history;
begin
  -- Most are asked for as soon as they have ended: then one partition is read, not all of them.
  select h.* into ended from pgqueue.history h
  where h.id = _ended_job.id and h.ended_at > statement_timestamp() - interval '1 h' and h.ended_at < statement_timestamp() + interval '1 min';
  if not found then
    select h.* into ended from pgqueue.history h where h.id = _ended_job.id;
  end if;
  return ended;
end
$$;

COMMENT ON FUNCTION pgqueue._ended_job(id bigint) IS 'A job that has ended; NULLs if there is none';

CREATE FUNCTION pgqueue._ended_jobs(ids bigint[], detailed integer) RETURNS TABLE(id bigint, label text, preview text, attempts integer, state text, started_at double precision, ended_at double precision, command_tag text, error jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select j.id, j.label, case when j.has_details then left(j.sql, 200) end, j.attempts::int, j.state::text,
         extract(epoch from coalesce(j.started_at, j.ended_at))::float8, extract(epoch from j.ended_at)::float8,
         case when j.has_details then coalesce(array_to_string(j.command_tags[1:10], ', '), pgqueue._command_tag(j.sql, j.row_count)) end, j.error
  -- Thousands are asked for at once: nobody reads the statements of that many.
  from (select h.*, row_number() over () <= detailed or h.state <> 'succeeded' as has_details from pgqueue.history h where h.id = any (ids)) j
$$;

COMMENT ON FUNCTION pgqueue._ended_jobs(ids bigint[], detailed integer) IS 'What monitors are told of ended jobs; of those that succeeded, the statement and its tag for so many';

CREATE FUNCTION pgqueue._enqueue(kept pgqueue.result_kept, settings jsonb, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_variable
declare
  handle pgqueue.handle;
  nobody_sleeps boolean;
begin
  if kept operator(pg_catalog.<>) 'none' then
    perform pgqueue._require_login(pg_catalog.quote_ident(current_user)::pg_catalog.regrole);
  end if;
  if pgqueue._is_plain_call(queue, priority, delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability) then
    -- The usual job is one statement, and pgqueue.inbox refuses a bad one. Each expression more would be prepared anew in each
    -- transaction. A SET clause would cost as much, so whatever could be shadowed stands in functions that are bound to what they call.
    insert into pgqueue.outbox (cookie, session_id, kind, kept, queue, sql, params, settings, timeout)
    values (pgqueue._random_bigint(), pgqueue._session_id(), 'job', kept, queue, sql, params, pgqueue._inherited(settings),
            pgqueue._inherited_timeout(settings))
    returning outbox.id, outbox.cookie, pgqueue._nobody_sleeps(queue) into handle.id, handle.cookie, nobody_sleeps;
    if not nobody_sleeps then
      perform pgqueue._wake(queue);
    end if;
    return handle;
  end if;
  return pgqueue._put_job(null, kept, settings, pgqueue._session_id(), sql, params, queue, priority, delay, eta, expires, timeout,
                          max_attempts, backoff, unique_key, label, durability, pgqueue._random_bigint());
end
$$;

COMMENT ON FUNCTION pgqueue._enqueue(kept pgqueue.result_kept, settings jsonb, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) IS 'Inserts a job in the caller''s transaction. That the role is enrolled was seen when its settings were captured';

CREATE FUNCTION pgqueue._enqueue_for_trigger(argv text[], settings jsonb, op text, table_schema text, table_name text, new_row jsonb, old_row jsonb, params text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  columns text[] := pgqueue._trigger_columns(argv);
  name text;
  args jsonb := '[]';
  options jsonb := pgqueue._trigger_options(argv);
begin
  if columns <> '{}' and new_row is null and old_row is null then
    raise exception 'a statement trigger has no row, so it can name no columns' using errcode = '22023',
      hint = 'Use "for each row", or name a transition table: "referencing new table as ...". Or call pgqueue.enqueue_many in a trigger function of your own.';
  end if;
  if argv[0] = 'sql' then
    perform pgqueue._enqueue('none', settings, argv[1], nullif(params, '{}'), coalesce(options ->> 'queue', 'default'), coalesce((options ->> 'priority')::int, 0),
                             (options ->> 'delay')::interval, null, null, (options ->> 'timeout')::interval, (options ->> 'max_attempts')::int,
                             null, null, options ->> 'label', null);
    return;
  end if;
  foreach name in array columns loop
    if coalesce(new_row, old_row) -> name is null then
      raise exception 'column "%" named in the trigger does not exist in %.%', name, table_schema, table_name using errcode = '42703';
    end if;
    args := args || jsonb_build_array(coalesce(new_row, old_row) -> name);
  end loop;
  perform pgqueue.send_task(
    argv[1], args,
    case when columns <> '{}' then '{}' else jsonb_build_object('op', op, 'schema', table_schema, 'table', table_name, 'new', new_row, 'old', old_row) end,
    queue => coalesce(options ->> 'queue', 'celery'), priority => coalesce((options ->> 'priority')::int, 0), delay => (options ->> 'delay')::interval);
end
$$;

COMMENT ON FUNCTION pgqueue._enqueue_for_trigger(argv text[], settings jsonb, op text, table_schema text, table_name text, new_row jsonb, old_row jsonb, params text[]) IS 'Enqueues the job or the task that a trigger asks for';

CREATE FUNCTION pgqueue._enqueue_many(kept pgqueue.result_kept, settings jsonb, sql text[], params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_keys text[], label text, durability text, rows text[] DEFAULT NULL::text[]) RETURNS SETOF pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
  due_at timestamptz;
  state pgqueue.message_state;
  my_session bigint := pgqueue._session_id();
  seed bytea := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
  added_ids bigint[];
  added_cookies bigint[];
  added_keys text[];
  count int := cardinality(sql);
begin
  if kept <> 'none' then
    perform pgqueue._require_login(quote_ident(current_user)::regrole);
  end if;
  due_at := pgqueue._check_options(case when sql is not null then 'many' end, queue, priority, delay, eta, expires, timeout, max_attempts, backoff, durability);
  state := case when due_at is null then 'ready' else 'delayed' end;
  if array_ndims(params) > 1 then
    perform pgqueue._refuse_params();
  end if;
  if rows is not null then
    perform pgqueue._check_rows(sql, params, rows);
    count := coalesce(array_length(rows, 1), 0);
    if count = 0 then
      return;
    end if;
  end if;
  timeout := coalesce(timeout, pgqueue._inherited_timeout(settings));
  settings := pgqueue._inherited(settings);
  if durability is not null then
    settings := pgqueue._with_durability(settings, durability);
  end if;
  if unique_keys is null and rows is null then
    return query
    with added as (
      insert into pgqueue.outbox (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params,
                                  settings, timeout, backoff, label)
      select pgqueue._cookie(seed, s.n), my_session, due_at, expires, 'job', state, kept, priority, max_attempts, queue, s.statement,
             params, settings, timeout, backoff, label
      from unnest(sql) with ordinality s (statement, n)
      order by s.n
      returning outbox.id, outbox.cookie
    )
    select a.id, a.cookie from added a order by a.id;
  else
    if cardinality(unique_keys) <> count or array_ndims(unique_keys) > 1 then
      raise exception 'unique_keys must be as long as %', case when rows is null then 'sql' else 'rows' end using errcode = '22023', hint = 'Give NULL for a statement that has no key.';
    end if;
    with added as (
      insert into pgqueue.outbox (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params,
                                  settings, timeout, backoff, label, unique_key)
      select pgqueue._cookie(seed, s.n), my_session, due_at, expires, 'job', state, kept, priority, max_attempts, queue, s.statement,
             s.row_params, settings, timeout, backoff, label, s.unique_key
      from pgqueue._jobs_of(sql, params, unique_keys, rows) s
      order by s.n
      on conflict do nothing
      returning outbox.id, outbox.cookie, outbox.unique_key
    )
    select array_agg(a.id order by a.id), array_agg(a.cookie order by a.id), array_agg(a.unique_key order by a.id)
    into added_ids, added_cookies, added_keys from added a;
    -- What was not inserted has a key that another job has, or an earlier one of the list. Those without a key were all inserted, in order.
    return query
    select (j.handle).id, (j.handle).cookie
    from (
      select s.n, case when a.id is not null then (a.id, a.cookie)::pgqueue.handle
                  else pgqueue._put_job(null, kept, settings, my_session, s.statement, s.row_params, queue, priority, delay, eta, expires, timeout,
                                        max_attempts, backoff, s.unique_key, label, durability, pgqueue._cookie(seed, s.n)) end as handle
      from (select i.*, case when i.unique_key is null then row_number() over (partition by i.unique_key order by i.n) end as nth
            from pgqueue._jobs_of(sql, params, unique_keys, rows) i) s
      left join (select i.*, case when i.unique_key is null then row_number() over (partition by i.unique_key order by i.id) end as nth
                 from unnest(added_ids, added_cookies, added_keys) i (id, cookie, unique_key)) a
        on coalesce(a.unique_key, '') = coalesce(s.unique_key, '') and coalesce(a.nth, 0) = coalesce(s.nth, 0)
      order by s.n
    ) j;
  end if;
  perform pgqueue._wake_for(queue, due_at);
end
$$;

COMMENT ON FUNCTION pgqueue._enqueue_many(kept pgqueue.result_kept, settings jsonb, sql text[], params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_keys text[], label text, durability text, rows text[]) IS 'Inserts many jobs in the caller''s transaction, in one statement';

CREATE FUNCTION pgqueue._enqueue_row(argv text[], relation oid, row_json jsonb) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
declare
  mine pgqueue.own_statement;
  name pg_catalog.text;
  params pg_catalog.text[];
  nobody_sleeps boolean;
begin
  -- The row trigger of a large statement spends its time here: a job without options, from columns whose text is that of
  -- JSON, is one look and one INSERT. All else takes the longer way. No SET clause: it would hide the search_path.
  if pgqueue._is_plain_trigger(argv) is not true then
    return false;
  end if;
  select s.settings, s.seen, s.cookie into mine from pgqueue.own_statement s;
  if mine.cookie is null then
    perform pgqueue._statement_settings();
    select s.settings, s.seen, s.cookie into mine from pgqueue.own_statement s;
    if mine.cookie is null then
      return false;
    end if;
  end if;
  if not pgqueue._has_seen(mine.seen, relation, argv) then
    if not pgqueue._see_columns(relation, argv) then
      return false;
    end if;
    select s.settings, s.seen, s.cookie into mine from pgqueue.own_statement s;
  end if;
  foreach name in array pg_catalog.string_to_array(coalesce(argv[2], ''), ',') loop
    params := pg_catalog.array_append(params, pg_catalog.jsonb_extract_path_text(row_json, pg_catalog.btrim(name)));
  end loop;
  insert into pgqueue.outbox (cookie, session_id, kind, queue, sql, params, settings, timeout)
  values (mine.cookie, pgqueue._session_id(), 'job', 'default', argv[1], params, pgqueue._inherited(mine.settings),
          pgqueue._inherited_timeout(mine.settings))
  returning pgqueue._nobody_sleeps('default') into nobody_sleeps;
  if not nobody_sleeps then
    perform pgqueue._wake('default');
  end if;
  return true;
end
$$;

COMMENT ON FUNCTION pgqueue._enqueue_row(argv text[], relation oid, row_json jsonb) IS 'Enqueues the job of a row trigger in the short way. False: it takes the long one';

CREATE FUNCTION pgqueue._enroll_member(role oid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  may boolean;
begin
  -- Anybody can ask for anybody here, so it must do no harm: the key is of no use without the rights of pgbackground_role. Superusers are
  -- members of every role and are enrolled on purpose only.
  with recursive membership (oid) as (
    select r.oid from pg_roles r where r.rolname = 'pgbackground_role'
    union
    select m.member from pg_auth_members m join membership on m.roleid = membership.oid
  )
  select exists (select from membership m join pg_roles r on r.oid = m.oid where r.oid = _enroll_member.role and not r.rolsuper) into may;
  -- That role is the whole cluster's: here its members are nobody unless pg_background's names were made here.
  if may and exists (select from pgqueue.compat) then
    insert into pgqueue.role_key (role) values (_enroll_member.role) on conflict do nothing;
  end if;
  return may and exists (select from pgqueue.compat);
end
$$;

COMMENT ON FUNCTION pgqueue._enroll_member(role oid) IS 'Gives a member of pgbackground_role its key. Asked for over the loopback, apart from the caller''s transaction, by a role that has none';

CREATE FUNCTION pgqueue._enroll_self() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pgqueue._over_loopback('enroll_member', quote_ident(current_user)::regrole::oid, 0, '{}', '');
end
$$;

COMMENT ON FUNCTION pgqueue._enroll_self() IS 'Enrolls the role that runs, apart from its transaction, if it is a member of pgbackground_role';

CREATE FUNCTION pgqueue._enter_job(id bigint, token bigint, names text[], setting_values text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  -- Planned once in a session, where the same as a query would be parsed and planned for each job. No SET clause here: it would
  -- take back the search_path that the job is given.
  perform pgqueue._lock_job(id, token);
  perform pg_catalog.set_config(s.name, s.value, false)
  from rows from (pg_catalog.unnest(names), pg_catalog.unnest(setting_values)) as s (name, value);
end
$$;

COMMENT ON FUNCTION pgqueue._enter_job(id bigint, token bigint, names text[], setting_values text[]) IS 'pgqueue._lock_job, and then the settings of the job in this order';

CREATE FUNCTION pgqueue._error_info(want_pid integer, want_cookie bigint, OUT sqlstate text, OUT message text, OUT detail text, OUT hint text, OUT context text, OUT schema_name text, OUT table_name text, OUT column_name text, OUT constraint_name text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._error_info(want_pid integer, want_cookie bigint, OUT sqlstate text, OUT message text, OUT detail text, OUT hint text, OUT context text, OUT schema_name text, OUT table_name text, OUT column_name text, OUT constraint_name text) IS 'pg_background_error_info';

CREATE FUNCTION pgqueue._error_of(handle pgqueue.handle, answer jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select coalesce(nullif(answer -> 'error', 'null'), jsonb_build_object('sqlstate', '57014', 'message', format('job %s is %s', handle.id, answer ->> 'state')))
$$;

COMMENT ON FUNCTION pgqueue._error_of(handle pgqueue.handle, answer jsonb) IS 'The error of a job that has not succeeded';

CREATE TABLE pgqueue.exchange (
    id bigint NOT NULL,
    name text NOT NULL,
    declared_by oid NOT NULL,
    type text NOT NULL,
    durable boolean NOT NULL,
    auto_delete boolean NOT NULL,
    arguments jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT exchange_arguments_are_small CHECK ((octet_length((arguments)::text) <= 10000)),
    CONSTRAINT exchange_name_is_at_most_255_bytes CHECK ((octet_length(name) <= 255)),
    CONSTRAINT exchange_type_is_known CHECK ((type = ANY (ARRAY['direct'::text, 'topic'::text, 'fanout'::text])))
);

COMMENT ON TABLE pgqueue.exchange IS 'AMQP exchanges as they were declared, shared by all processes; of those with the same name and declarer the last counts';

COMMENT ON COLUMN pgqueue.exchange.declared_by IS 'Whose messages it routes. 0: all';

CREATE FUNCTION pgqueue._exchange_exists(name text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM pgqueue.exchange e
           WHERE (e.name = _exchange_exists.name))) AS "exists";
END;

COMMENT ON FUNCTION pgqueue._exchange_exists(name text) IS 'Whether an exchange was declared';

CREATE FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) RETURNS record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  name text := (select l.role from pgqueue.login l where l.purpose = 'executor');
  owner oid := (select n.nspowner from pg_namespace n where n.nspname = 'pgqueue');
begin
  sqlstate := '55000';
  hint := 'Run: pgqueue upgrade';
  if name is distinct from pgqueue._executor_name() then
    problem := 'the executors'' login is that of another database: this one is a copy';
  elsif to_regrole(name) is null then
    problem := format('the executors'' login %s does not exist', name);
  else
    -- Code of any submitter runs in its sessions, so it must have nothing worth having.
    select format('the executors'' login %s %s', name, case
      when r.rolsuper then 'is a superuser'
      when r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls then 'has a right that it does not need'
      -- What an ordinary role has granted it (ADMIN OPTION) is that role's own risk: else any of them could stop every worker.
      when exists (select from pg_auth_members m left join pg_roles g on g.oid = m.grantor
                   where m.member = r.oid and (g.oid is null or g.rolsuper or g.rolcreaterole or g.oid = owner)) then 'is a member of another role'
      when exists (select from pg_shdepend d where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and d.deptype = 'o') then 'owns something' end)
    into problem
    from pg_roles r where r.rolname = name;
    if problem ~ '[^ ]$' then
      sqlstate := '42501';
      hint := 'Let a superuser take that away, or drop the role and run: pgqueue upgrade';
    else
      problem := null;
    end if;
  end if;
end
$_$;

COMMENT ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) IS 'What is wrong with the executors'' login; NULL: nothing';

CREATE FUNCTION pgqueue._executor_login(OUT role text, OUT password text) RETURNS record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  worker oid := quote_ident(session_user)::regrole::oid;
  owner oid := (select n.nspowner from pg_namespace n where n.nspname = 'pgqueue');
  problem text;
  fault record;
begin
  problem := case
    when (select r.rolsuper from pg_roles r where r.oid = worker) then 'a superuser'
    when worker = owner then 'the owner of pgqueue'
    when pg_has_role(worker, owner, 'member') then format('a member of %s, the owner of pgqueue', owner::regrole) end;
  if problem is not null then
    raise exception 'role % may not run SQL jobs: it is %', session_user, problem
      using errcode = '42501', hint = 'Let the worker log in as a role that has nothing but pgqueue_worker: create role my_worker login password ''...'' in role pgqueue_worker';
  end if;
  select f.* into fault from pgqueue._executor_fault() f;
  if fault.problem is not null then
    raise exception '%', fault.problem using errcode = fault.sqlstate, hint = fault.hint;
  end if;
  select l.role, l.password into role, password from pgqueue.login l where l.purpose = 'executor';
end
$$;

COMMENT ON FUNCTION pgqueue._executor_login(OUT role text, OUT password text) IS 'How a worker''s executors log in. Refused (42501) to superusers and to the owner: their sessions must not be near code of others';

CREATE FUNCTION pgqueue._executor_name() RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT ('pgqueue_executor_'::text || d.oid)
    FROM pg_database d
   WHERE (d.datname = current_database());
END;

COMMENT ON FUNCTION pgqueue._executor_name() IS 'The login of the executors. Roles belong to the whole cluster, so each database has one of its own';

CREATE FUNCTION pgqueue._expire_messages(queues text[], max_count integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  expired_until timestamptz := clock_timestamp();  -- a value, not a volatile call: the index can stop there
  held pgqueue.message;
  expired int := 0;
begin
  for held in
    select * from pgqueue.message m
    where m.kind = 'task' and m.state <> 'claimed' and m.expires_at <= expired_until and (queues is null or m.queue = any (queues))
    order by m.expires_at
    limit max_count
    for update skip locked
  loop
    if pgqueue._is_revoked_by_worker(held.payload)
       and not exists (select from pgqueue.queue q where q.name = held.queue and q.declared_by in (0, held.submitter) and q.dead_letter_exchange is not null) then
      update pgqueue.message r set state = 'ready', expires_at = null where r.id = held.id;
      perform pgqueue._wake(held.queue);
    else
      perform pgqueue._dead_letter(held, 'expired');
    end if;
    expired := expired + 1;
  end loop;
  return expired;
end
$$;

COMMENT ON FUNCTION pgqueue._expire_messages(queues text[], max_count integer) IS 'Removes messages that nobody took in time, or makes dead letters of them; tasks whose end somebody may wait for are ready for a worker, which revokes them. queues NULL: of all queues';

CREATE FUNCTION pgqueue._expire_queues() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  unused record;
begin
  update pgqueue.queue q set used_at = clock_timestamp()
  where q.id = any (array(
    select u.id from pgqueue.queue u
    where u.expires_after is not null and u.used_at < clock_timestamp() - u.expires_after / 2
      and exists (select from pgqueue.worker w where u.name = any (w.queues))
    for update of u skip locked));
  for unused in
    select q.declared_by, q.name from pgqueue.queue q
    where q.expires_after is not null and q.used_at < clock_timestamp() - q.expires_after
      -- Not one that has been declared otherwise since.
      and not exists (select from pgqueue.queue n where n.name = q.name and n.declared_by = q.declared_by and n.id > q.id)
    for update skip locked
  loop
    perform pgqueue._give_up_queue(unused.declared_by, unused.name);
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue._expire_queues() IS 'Deletes queues that nobody consumed for as long as their x-expires';

CREATE FUNCTION pgqueue._expire_task_results() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  expired_until timestamptz := clock_timestamp();  -- a value, not a volatile call: the indexes can be used
begin
  -- Whoever holds one of them in an open transaction does not hold up the others.
  delete from pgqueue.task_group g
  where g.id = any (array(select e.id from pgqueue.task_group e where e.expires_at < expired_until for update skip locked));
  delete from pgqueue.chord c
  where c.group_id = any (array(select e.group_id from pgqueue.chord e where e.expires_at < expired_until for update skip locked));
  -- Sessions that waited and are gone. One with the same number may have begun since.
  delete from pgqueue.result_waiter w
  where not exists (select from pg_stat_activity a where a.pid = w.pid and coalesce(a.backend_start <= w.waits_since, true));
end
$$;

COMMENT ON FUNCTION pgqueue._expire_task_results() IS 'Deletes groups and chords that have expired, and what lost sessions waited for';

CREATE FUNCTION pgqueue._fail_any_job(id bigint, token bigint, error jsonb) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  m pgqueue.message;
  sqlstate_ text;
  canceled boolean;
  is_awaited boolean;
  retry boolean;
begin
  error := pgqueue._kept_error(error);
  sqlstate_ := error ->> 'sqlstate';
  select * into m from pgqueue.message q where q.id = _fail_any_job.id and q.token = _fail_any_job.token for update;
  if not found then
    return pgqueue._suspect_unclaimed(array[_fail_any_job.id], error);
  end if;
  -- Whatever it ended with: a job may catch the cancel and fail in its own way.
  canceled := exists (select from pgqueue.request r where r.id = m.id and r.kind = 'cancel');
  if error ? 'session_lost' then
    -- This is no attempt of the job, but it does not go on for ever.
    perform pgqueue._suspect(array[m.id]);
    if not canceled and pgqueue._is_given_up(m.id, m.max_attempts) then
      perform pgqueue._give_up(m, error);
      return 'failed';
    elsif not canceled then
      update pgqueue.message q
      set state = 'ready', token = null, worker_id = null, deliveries = greatest(q.deliveries - 1, 0), last_error = error - 'session_lost'
      where q.id = m.id;
      delete from pgqueue.activity a where a.id = m.id;
      perform pgqueue._wake(m.queue);
      return 'released';
    end if;
    error := error - 'session_lost';
  end if;
  -- Without max_attempts, conflicts with other transactions are retried, and what the server had no room for: neither is the job's own making.
  -- Not a deadlock with whoever waits for the job: it would come again. The server names the lock in every language alike.
  is_awaited := sqlstate_ = '40P01' and strpos(error ->> 'detail', format('[%s,%s,%s,1]',
    (select d.oid from pg_database d where d.datname = current_database()),
    pgqueue._run_key_of(id, token) >> 32 & 4294967295, pgqueue._run_key_of(id, token) & 4294967295)) > 0;
  retry := not canceled and is_awaited is not true and m.attempts + 1 < coalesce(m.max_attempts, case when sqlstate_ in ('40001', '40P01', '53100', '53300') then 10 else 1 end);
  if retry then
    update pgqueue.message q
    set state = 'delayed', token = null, worker_id = null, deliveries = 0, attempts = m.attempts + 1, last_error = error,
        due_at = clock_timestamp() + least(interval '1 hour',
          coalesce(m.backoff, case when m.max_attempts is null and starts_with(sqlstate_, '40') then interval '20 ms' else interval '1 s' end) * power(2, least(m.attempts, 20)) * (0.75 + random() / 2))
    where q.id = m.id;
    delete from pgqueue.activity a where a.id = m.id;
    perform pgqueue._wake(m.queue);
    return 'retried';
  end if;
  delete from pgqueue.message q where q.id = m.id;
  perform pgqueue._archive(m, case when canceled then 'canceled' else 'failed' end::pgqueue.job_state, error, null, null);
  return case when canceled then 'canceled' else 'failed' end;
end
$$;

COMMENT ON FUNCTION pgqueue._fail_any_job(id bigint, token bigint, error jsonb) IS 'A run ended with an error and was rolled back: retried later, failed or canceled. released: it ended with its session and runs again. gone: the claim is lost. For workers';

CREATE FUNCTION pgqueue._fail_job(id bigint, token bigint, error jsonb, run_s double precision DEFAULT NULL::double precision) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  submitter oid := (select q.submitter from pgqueue.message q where q.id = _fail_job.id and q.token = _fail_job.token);
begin
  if submitter is null then
    return 'gone';
  end if;
  perform pgqueue._check_runner(id, submitter);
  if run_s is not null then
    perform pgqueue._note_run(id, token, pg_backend_pid(), run_s);
  end if;
  return pgqueue._fail_any_job(id, token, error);
end
$$;

COMMENT ON FUNCTION pgqueue._fail_job(id bigint, token bigint, error jsonb, run_s double precision) IS 'pgqueue._fail_any_job for a session that is logged in as the submitter. run_s: how long the job ran; NULL: it did not begin';

CREATE TABLE pgqueue.upkeep_failure (
    part text NOT NULL,
    failing_since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    failed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    message text NOT NULL
);

COMMENT ON TABLE pgqueue.upkeep_failure IS 'Parts of the upkeep that failed when they were tried last';

CREATE FUNCTION pgqueue._failing_upkeep() RETURNS TABLE(part text, failing_since timestamp with time zone, message text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT f.part,
     f.failing_since,
     f.message
    FROM pgqueue.upkeep_failure f
   ORDER BY f.failing_since, f.part;
END;

COMMENT ON FUNCTION pgqueue._failing_upkeep() IS 'The parts of the upkeep that fail now, for pgqueue doctor';

CREATE FUNCTION pgqueue._fall_asleep(queues text[], OUT asleep boolean, OUT seconds_to_next_due double precision) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  sleeper int := pgqueue._lock_class('sleeper');
  next_sleeper int := pgqueue._lock_class('next_sleeper');
  mine int[] := array(select l.objid from pgqueue._advisory_locks(sleeper) l where l.pid = pg_backend_pid() and l.mode = 'ExclusiveLock');
  waiting int[] := array(select l.objid from pgqueue._advisory_locks(next_sleeper) l where l.pid = pg_backend_pid() and l.mode = 'ShareLock');
  key int;
begin
  asleep := true;
  for key in select distinct hashtext(q) from unnest(queues) q loop
    continue when key = any (mine);
    -- One session can hold the sleepers' lock of a queue. It covers the other sleepers as well, for a notification wakes all.
    -- They hold the second lock together, so that the first, when it wakes up, knows to tell them. Taking the second before
    -- looking at the first leaves no moment in which it could miss them.
    if key <> all (waiting) and not pg_try_advisory_lock_shared(next_sleeper, key) then
      asleep := false;
    elsif pg_try_advisory_lock(sleeper, key) then
      perform pg_advisory_unlock_shared(next_sleeper, key);
    elsif not exists (select from pgqueue._advisory_locks(sleeper) l where l.objid = key and l.mode = 'ExclusiveLock') then
      asleep := false;
    end if;
  end loop;
  if not asleep then
    perform pgqueue._wake_up(array(select q from unnest(queues) q where hashtext(q) <> all (mine)));
  end if;
  seconds_to_next_due := pgqueue._seconds_to_next_due();
end
$$;

COMMENT ON FUNCTION pgqueue._fall_asleep(queues text[], OUT asleep boolean, OUT seconds_to_next_due double precision) IS 'Takes the sleepers'' locks of these queues for the session, or stands behind who has them. The caller claims once more before it sleeps; asleep = false: publishers are about to commit, look again soon';

CREATE FUNCTION pgqueue._setting_fault(name text, value text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if name in ('naptime', 'result_ttl', 'worker_timeout') then
    perform nullif(value, '')::interval;
  elsif name in ('max_items', 'max_deliveries', 'max_lost_sessions', 'max_workers', 'max_queues', 'max_exchanges', 'max_bindings', 'max_executors_per_role', 'max_messages', 'max_delayed', 'max_megabytes') then
    perform nullif(value, '')::int;
  elsif name = 'loopback' and value not in ('', 'session', 'call') then
    return 'it is session or call';
  elsif name not in ('inherit', 'loopback') then
    return 'there is no such setting';
  end if;
  return null;
exception when data_exception then
  return sqlerrm;
end
$$;

COMMENT ON FUNCTION pgqueue._setting_fault(name text, value text) IS 'What is wrong with a value of a setting; NULL: nothing';

CREATE FUNCTION pgqueue._faulty_settings() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT concat(split_part(e.entry, '='::text, 1), ' = ''', e.value, ''' (set for ', concat_ws(' in '::text,
         CASE
             WHEN (s.setrole <> (0)::oid) THEN ('role '::text || (pg_get_userbyid(s.setrole))::text)
             ELSE NULL::text
         END,
         CASE
             WHEN (s.setdatabase <> (0)::oid) THEN ('database '::text || (current_database())::text)
             ELSE NULL::text
         END,
         CASE
             WHEN ((s.setrole = (0)::oid) AND (s.setdatabase = (0)::oid)) THEN 'all'::text
             ELSE NULL::text
         END), '): ', f.fault) AS concat
    FROM (((pg_db_role_setting s
      CROSS JOIN LATERAL unnest(s.setconfig) c(entry))
      CROSS JOIN LATERAL ( SELECT c.entry,
             substr(c.entry, (strpos(c.entry, '='::text) + 1)) AS value) e)
      CROSS JOIN LATERAL pgqueue._setting_fault(substr(split_part(e.entry, '='::text, 1), 9), e.value) f(fault))
   WHERE ((s.setdatabase = ANY (ARRAY[(0)::oid, ( SELECT d.oid
            FROM pg_database d
           WHERE (d.datname = current_database()))])) AND (e.entry ~~ 'pgqueue.%'::text) AND (f.fault IS NOT NULL))
   ORDER BY (concat(split_part(e.entry, '='::text, 1), ' = ''', e.value, ''' (set for ', concat_ws(' in '::text,
         CASE
             WHEN (s.setrole <> (0)::oid) THEN ('role '::text || (pg_get_userbyid(s.setrole))::text)
             ELSE NULL::text
         END,
         CASE
             WHEN (s.setdatabase <> (0)::oid) THEN ('database '::text || (current_database())::text)
             ELSE NULL::text
         END,
         CASE
             WHEN ((s.setrole = (0)::oid) AND (s.setdatabase = (0)::oid)) THEN 'all'::text
             ELSE NULL::text
         END), '): ', f.fault));
END;

COMMENT ON FUNCTION pgqueue._faulty_settings() IS 'Settings of this database and of roles that cannot be what was meant: the defaults hold';

CREATE FUNCTION pgqueue._fetch_result(handle pgqueue.handle, may_hold boolean DEFAULT false, OUT seq bigint, OUT answer jsonb) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  began timestamptz := clock_timestamp();
  since timestamptz := began;
  request jsonb;
  live jsonb;
  holds boolean := may_hold and pgqueue._setting('loopback', 'session') <> 'call';
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
      perform pgqueue._status(handle);  -- says it better of a job that this transaction has enqueued
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

COMMENT ON FUNCTION pgqueue._fetch_result(handle pgqueue.handle, may_hold boolean, OUT seq bigint, OUT answer jsonb) IS 'Waits, then reads the result: what it is (seq 0), then chunks of rows. It is still to be consumed, with pgqueue._consume_result; if it says held, which needs may_hold, with pgqueue._end_hold';

CREATE FUNCTION pgqueue._find_tracked(role oid, args jsonb) RETURNS pgqueue.tracked_job
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  wanted int := args ->> 'pid';
  job pgqueue.tracked_job;
  is_quiet boolean := args ->> 'mismatch' is null;
begin
  select * into job from pgqueue.tracked_job t where t.session_id = (args ->> 'session_id')::bigint and t.pid = wanted;
  if not found then
    if not is_quiet then
      raise exception 'PID % is not attached to this session', wanted using errcode = '42704';
    end if;
  elsif not pg_has_role(role, job.submitter, 'member') then
    raise exception 'permission denied for background worker with PID "%"', wanted using errcode = '42501';
  elsif job.cookie <> (args ->> 'cookie')::bigint then
    if args ->> 'mismatch' = '42704' then
      raise exception 'PID % is not attached to this session (cookie mismatch)', wanted using errcode = '42704';
    elsif not is_quiet then
      raise exception 'cookie mismatch for PID %', wanted
        using errcode = '55000', hint = 'The worker may have been restarted or the handle is stale.';
    end if;
    job := null;
  end if;
  return job;
end
$$;

COMMENT ON FUNCTION pgqueue._find_tracked(role oid, args jsonb) IS 'A job by its pid, after the checks: 42704 unknown, 42501 another role''s, then the cookie. Without mismatch (an SQLSTATE) NULL instead, but for 42501. Without a cookie none is needed';

CREATE FUNCTION pgqueue._fingerprint(caller_search_path text) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (ARRAY[(statement_timestamp())::text, (CURRENT_USER)::text, caller_search_path, current_setting('TimeZone'::text), current_setting('DateStyle'::text), current_setting('statement_timeout'::text), current_setting('lock_timeout'::text), current_setting('work_mem'::text), current_setting('session_replication_role'::text), current_setting('synchronous_commit'::text), current_setting('pgqueue.inherit'::text, true), current_setting('pgqueue.worker_timeout'::text, true)])::text AS "array";
END;

COMMENT ON FUNCTION pgqueue._fingerprint(caller_search_path text) IS 'What must be as it was for captured settings to be used again';

CREATE FUNCTION pgqueue._finish_chord(group_id text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  was_open boolean;
begin
  -- The row stays for a while: a part that returns twice must not begin the chord anew.
  update pgqueue.chord c
  set dispatched_at = clock_timestamp(), returned = 0, added = 0
  where c.group_id = _finish_chord.group_id and c.dispatched_at is null;
  was_open := found;
  delete from pgqueue.chord_part p where p.group_id = _finish_chord.group_id;
  return was_open;
end
$$;

COMMENT ON FUNCTION pgqueue._finish_chord(group_id text) IS 'The callback of a chord was sent, or its errors were; parts that return later are ignored';

CREATE FUNCTION pgqueue._fit_casts(answer jsonb, casts text[], misfit text) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  -- Only the server knows the list; it says which type it wants where. (In another language than English nothing is found, and the
  -- list has to be exact.)
  said text[] := regexp_match(misfit, '^Returned type .* does not match expected type ([a-z ]+[(][0-9, -]+[)][a-z ]*) in column .*?([0-9]+)[)]?[.]$');
  n int := said[2];
begin
  if said is null or casts[n] is not null or (answer #>> array['columns', (n - 1)::text, 'type']) is null
     or to_regtype(said[1]) is distinct from (answer #>> array['columns', (n - 1)::text, 'oid'])::oid
  then
    return null;
  end if;
  casts[n] := said[1];
  return casts;
end
$_$;

COMMENT ON FUNCTION pgqueue._fit_casts(answer jsonb, casts text[], misfit text) IS 'What columns are read as, after PostgreSQL has refused a column definition list that differs in a type''s length or precision only. NULL: it differs in more';

CREATE FUNCTION pgqueue._fold_stats() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- One statement, one snapshot: what it counts is what pg_current_snapshot() in it says.
  with seen as materialized (
    -- A snapshot does not list its own transaction. What that ended is left to the next time, as if it had been running.
    select case when me.xact >= pg_snapshot_xmax(me.snapshot) then me.snapshot
           else format('%s:%s:%s', least(me.xact, pg_snapshot_xmin(me.snapshot)), pg_snapshot_xmax(me.snapshot),
                       (select string_agg(x::text, ',' order by x) from (select pg_snapshot_xip(me.snapshot) union select me.xact) running (x)))::pg_snapshot
           end as snapshot
    from (select pg_current_snapshot() as snapshot, pg_current_xact_id() as xact) me
  ), ended as materialized (
    select u.* from pgqueue.unfolded u where u.xact <> pg_current_xact_id()
  ), by_total as (
    insert into pgqueue.stat_total as t (submitter, queue, completed, failed, canceled, expired, timed_jobs, total_ms)
    select submitter, queue, count(*) filter (where state = 'succeeded'), count(*) filter (where state = 'failed'),
           count(*) filter (where state = 'canceled'), count(*) filter (where state = 'expired'), count(started_at),
           coalesce(sum(extract(epoch from ended_at - started_at) * 1000), 0)
    from ended group by submitter, queue
    on conflict (submitter, queue) do update
    set completed = t.completed + excluded.completed, failed = t.failed + excluded.failed, canceled = t.canceled + excluded.canceled,
        expired = t.expired + excluded.expired, timed_jobs = t.timed_jobs + excluded.timed_jobs, total_ms = t.total_ms + excluded.total_ms
  ), by_session as (
    insert into pgqueue.stat_session as s (session_id, submitter, completed, failed, canceled, expired, timed_jobs, total_ms)
    select session_id, submitter, count(*) filter (where state = 'succeeded'), count(*) filter (where state = 'failed'),
           count(*) filter (where state = 'canceled'), count(*) filter (where state = 'expired'), count(started_at),
           coalesce(sum(extract(epoch from ended_at - started_at) * 1000), 0)
    from ended where session_id is not null group by session_id, submitter
    on conflict (session_id, submitter) do update
    set completed = s.completed + excluded.completed, failed = s.failed + excluded.failed, canceled = s.canceled + excluded.canceled,
        expired = s.expired + excluded.expired, timed_jobs = s.timed_jobs + excluded.timed_jobs, total_ms = s.total_ms + excluded.total_ms,
        folded_at = clock_timestamp()
  )
  update pgqueue.stat_fold f
  set snapshot = seen.snapshot
  from seen
  where (select count(*) from ended) > 0;
end
$$;

COMMENT ON FUNCTION pgqueue._fold_stats() IS 'Adds what ended since the last time to the totals. One caller at a time (pgqueue._tick)';

CREATE FUNCTION pgqueue._forget_dropped_roles() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- Not those that are missing here but may come (pgqueue._repair_home).
  delete from pgqueue.role_key k where k.role < 4294900000 and not exists (select from pg_roles r where r.oid = k.role);
  delete from pgqueue.queue d where d.declared_by between 1 and 4294899999 and not exists (select from pg_roles r where r.oid = d.declared_by);
  delete from pgqueue.exchange e where e.declared_by between 1 and 4294899999 and not exists (select from pg_roles r where r.oid = e.declared_by);
  delete from pgqueue.binding b where b.declared_by between 1 and 4294899999 and not exists (select from pg_roles r where r.oid = b.declared_by);
end
$$;

COMMENT ON FUNCTION pgqueue._forget_dropped_roles() IS 'Deletes the secrets and the declarations of roles that do not exist any more';

CREATE FUNCTION pgqueue._forget_earlier_runs(ids bigint[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 DELETE FROM pgqueue.activity a
    USING pgqueue.message m
   WHERE ((a.id = ANY (_forget_earlier_runs.ids)) AND (m.id = a.id) AND (m.token <> a.token));
END;

COMMENT ON FUNCTION pgqueue._forget_earlier_runs(ids bigint[]) IS 'Makes room for the runs of now: an earlier one may have been noted just when it failed and was put off';

CREATE TABLE pgqueue.task_result (
    task_id text NOT NULL,
    stored_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    state text NOT NULL,
    content_type text NOT NULL,
    payload bytea NOT NULL
)
PARTITION BY RANGE (stored_at);

ALTER TABLE ONLY pgqueue.task_result REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.task_result IS 'States of Celery tasks. Appended to, never updated: reading decides which of a task''s rows counts (pgqueue._task_results); retention drops a day at a time';

COMMENT ON COLUMN pgqueue.task_result.payload IS 'Celery''s result document, as its serializer wrote it, compressed if Celery compressed it';

CREATE FUNCTION pgqueue._forget_task_result(task_id text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 DELETE FROM pgqueue.task_result r
   WHERE (r.task_id = _forget_task_result.task_id);
END;

COMMENT ON FUNCTION pgqueue._forget_task_result(task_id text) IS 'Deletes what is known of a task';

CREATE FUNCTION pgqueue._forward_notices(notices jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  notice jsonb;
begin
  if pgqueue._are_notices(notices) then
    for notice in select value from jsonb_array_elements(notices) loop
      perform pgqueue._say(notice ->> 'severity', coalesce(notice ->> 'sqlstate', '00000'), coalesce(notice ->> 'message', ''), notice ->> 'detail', notice ->> 'hint');
    end loop;
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._forward_notices(notices jsonb) IS 'Raises what a job said, for its reader';

CREATE FUNCTION pgqueue._full_sql(want_pid integer, want_cookie bigint) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  statement text := pgqueue._ask_tracked(want_pid, want_cookie, '55000', 65537) ->> 'sql';
begin
  return case when octet_length(statement) > 65536 then pgqueue._cut(statement, 65536 - 5) || '[...]' else statement end;
end
$$;

COMMENT ON FUNCTION pgqueue._full_sql(want_pid integer, want_cookie bigint) IS 'pg_background_full_sql: up to 64 KiB';

CREATE FUNCTION pgqueue._gate(op text, role oid, nonce bigint, request text, proof text) RETURNS SETOF jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  args jsonb := request::jsonb;
  handle pgqueue.handle;
  nobody_sleeps boolean;
begin
  if transaction_timestamp() <> statement_timestamp() then
    -- Somebody has sent a BEGIN over the loopback: what is done here would not be committed.
    raise exception 'the loopback is inside a transaction' using errcode = '25001';
  end if;
  if op = 'launch' then
    -- The usual launch, proven and for the first time, is one statement. Of all others this does nothing.
    with proven as (
      select k.role from pgqueue.role_key k
      where k.role = _gate.role and k.over_quota is null and args -> 'priority' = '0' and args ? 'queue' and (args ->> 'kept' = 'none' or pgqueue._may_log_in(_gate.role))
        and not args ?| '{delay,eta,expires,timeout,max_attempts,backoff,unique_key,label,durability,max_workers}'
        and (proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 0), op, _gate.nonce, request), 'UTF8')), 'hex')
             or proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 1), op, _gate.nonce, request), 'UTF8')), 'hex'))
    ), once as (
      insert into pgqueue.nonce (nonce) select _gate.nonce from proven on conflict do nothing returning 1
    ), put as (
      insert into pgqueue.inbox (submitter, cookie, session_id, kind, kept, queue, sql, params, settings, timeout)
      select proven.role, r.cookie, r.session_id, 'job', r.kept, r.queue, r.sql, r.params, pgqueue._inherited(r.settings),
             pgqueue._inherited_timeout(r.settings)
      from proven, once, jsonb_to_record(args) r (cookie bigint, session_id bigint, kept pgqueue.result_kept, queue text, sql text, params text[],
                                                  settings jsonb)
      returning inbox.id, inbox.cookie, pgqueue._nobody_sleeps(inbox.queue) as nobody_sleeps
    )
    select put.id, put.cookie, put.nobody_sleeps into handle.id, handle.cookie, nobody_sleeps from put;
    if found then
      if not nobody_sleeps then
        perform pgqueue._wake(args ->> 'queue');
      end if;
      return next to_jsonb(handle);
      return;
    end if;
  end if;
  handle := ((args ->> 'id')::bigint, (args ->> 'cookie')::bigint);
  if op = 'enroll_member' then
    -- Without proof: who asks has no key yet.
    return query select to_jsonb(pgqueue._enroll_member(role));
    return;
  elsif not exists (
    select from pgqueue.role_key k
    where k.role = _gate.role
      and (proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 0), op, _gate.nonce, request), 'UTF8')), 'hex')
           or proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 1), op, _gate.nonce, request), 'UTF8')), 'hex')))
  then
    raise exception 'request is not proven' using errcode = '42501', hint = 'Call the functions of the schema pgqueue, not its loopback. In a copy of a database its owner has to run: select pgqueue._repair_loopback().';
  end if;
  if op in ('status', 'result') and args ? 'wait_ms' then
    perform pgqueue._await_end(role, handle.id, (args ->> 'wait_ms')::int);
  end if;
  if op = 'status' then
    return query select to_jsonb(l) from pgqueue._locate(role, handle, '55000', true) l;
    return;
  elsif op = 'cookie' then
    return query select jsonb_build_object('cookie', pgqueue._cookie_of(role, handle.id));
    return;
  elsif op = 'canceled' then
    return query select coalesce(to_jsonb(pgqueue._is_canceled(role, handle)), 'null');
    return;
  elsif op = 'progress' then
    return query select to_jsonb(p) from pgqueue._progress_of(role, handle) p;
    return;
  elsif op = 'tracked' and not args ? 'read' then
    return query select * from pgqueue._tracked(role, args);
    return;
  end if;
  if op not in ('launch', 'launch_tracked', 'cancel', 'cancel_tracked') then
    -- What a crash could undo here is a read of a result, which then can be read again: no need to wait for the disk.
    perform set_config('synchronous_commit', 'off', true);
  end if;
  insert into pgqueue.nonce (nonce) values (_gate.nonce) on conflict do nothing;
  if not found then
    -- The answer to this request was lost with the caller's connection, and it was sent again. (Or somebody replays it.)
    if op in ('launch', 'launch_tracked') then
      return query
      select jsonb_strip_nulls(jsonb_build_object('id', d.id, 'cookie', d.cookie, 'pid', (select t.pid from pgqueue.tracked_job t where t.id = d.id)))
      from (select m.id, m.cookie from pgqueue.message m where m.submitter = _gate.role and m.cookie = handle.cookie
            union all
            select h.id, h.cookie from pgqueue.history h where h.submitter = _gate.role and h.cookie = handle.cookie) d
      limit 1;
      if found then
        return;
      end if;
    end if;
    raise exception 'request was handed in before' using errcode = '42501';
  end if;
  case op
    when 'launch' then return query select to_jsonb(l) from pgqueue._launch(role, args) l;
    when 'result' then return query select * from pgqueue._result_of(role, handle, args ? 'hold');
    when 'consume' then return query select to_jsonb(pgqueue._consume(role, handle));
    when 'cancel' then return query select coalesce(to_jsonb(pgqueue._cancel(role, handle, (args ->> 'grace_ms')::bigint)), 'null');
    when 'detach' then return query select to_jsonb(pgqueue._detach(role, handle));
    when 'statement' then return query select to_jsonb(pgqueue._statement_of(role, handle));
    when 'launch_tracked' then return query select pgqueue._launch_tracked(role, args);
    when 'tracked' then return query select * from pgqueue._tracked(role, args);
    when 'cancel_tracked' then return query select pgqueue._cancel_tracked(role, args);
    when 'untrack' then return query select to_jsonb(pgqueue._untrack(role, args));
  end case;
end
$$;

COMMENT ON FUNCTION pgqueue._gate(op text, role oid, nonce bigint, request text, proof text) IS 'All that the loopback''s login may call: checks who asks and that it asks once, then does it';

CREATE FUNCTION pgqueue._give_up(m pgqueue.message, error jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  delete from pgqueue.message q where q.id = m.id;
  perform pgqueue._archive(m, 'failed', error - 'session_lost' ||
    '{"hint": "Its session has ended too often while it ran: the job seems to end it, or the server. It was given up."}', null, null);
end
$$;

COMMENT ON FUNCTION pgqueue._give_up(m pgqueue.message, error jsonb) IS 'Fails a job for good whose session has ended too often';

CREATE FUNCTION pgqueue._give_up_queue(holder oid, queue text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  unclaimed int;
begin
  if holder = 0 then
    perform pgqueue._delete_queue(queue, true, false);
  elsif not exists (select from pgqueue.worker w where _give_up_queue.queue = any (w.queues)) then
    delete from pgqueue.binding b
    where b.id = any (array(select d.id from pgqueue.binding d where d.queue = _give_up_queue.queue and d.declared_by = holder for update skip locked));
    delete from pgqueue.queue q
    where q.id = any (array(select d.id from pgqueue.queue d where d.name = _give_up_queue.queue and d.declared_by = holder for update skip locked));
    if not exists (select from pgqueue.queue q where q.name = _give_up_queue.queue and q.declared_by = 0) then
      with gone as (
        delete from pgqueue.message m where m.queue = _give_up_queue.queue and m.kind = 'task' and m.submitter = holder and m.state <> 'claimed'
        returning m as message
      )
      select count(pgqueue._end_task(g.message, 'REVOKED', 'the queue was deleted')) into unclaimed from gone g;
    end if;
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._give_up_queue(holder oid, queue text) IS 'Deletes a queue that nobody consumes any more (x-expires, auto-delete): if an ordinary role has declared it, that declaration and the tasks of that role';

CREATE FUNCTION pgqueue._goes_straight(exchange text, routing_key text, eta timestamp with time zone) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ((exchange = ''::text) AND ("right"(routing_key, 7) <> '.pidbox'::text) AND (eta IS NULL));
END;

COMMENT ON FUNCTION pgqueue._goes_straight(exchange text, routing_key text, eta timestamp with time zone) IS 'Whether a message is a row in the queue that its routing key names, and no more';

CREATE FUNCTION pgqueue._grant_background(member text, is_grant boolean, print_commands boolean) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  command text := case when is_grant then format('grant pgbackground_role to %I', member) else format('revoke pgbackground_role from %I', member) end;
begin
  if to_regrole(quote_ident(member)) is null then
    raise exception 'role "%" does not exist', member using errcode = '42704';
  end if;
  execute command;
  if print_commands then
    raise info '%', command;
  end if;
  if is_grant and not pgqueue._enroll_member(quote_ident(member)::regrole::oid) then
    perform pgqueue.enroll(quote_ident(member)::regrole);  -- a superuser, whom only superusers enroll
  end if;
  return true;
exception when others then
  raise notice '%', sqlerrm;
  return false;
end
$$;

COMMENT ON FUNCTION pgqueue._grant_background(member text, is_grant boolean, print_commands boolean) IS 'pg_background_grant_privileges and revoke. False: it could not be done, and a notice says why';

CREATE TABLE pgqueue.chord (
    group_id text NOT NULL,
    size integer,
    added integer DEFAULT 0 NOT NULL,
    returned integer DEFAULT 0 NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    dispatched_at timestamp with time zone
);

COMMENT ON TABLE pgqueue.chord IS 'Chords: how many parts they have, how many have returned, and whether the callback was sent';

COMMENT ON COLUMN pgqueue.chord.size IS 'Known once the last part was sent; parts may return before';

COMMENT ON COLUMN pgqueue.chord.added IS 'Parts that tasks of the chord added to it';

CREATE FUNCTION pgqueue._grow_chord(group_id text, lifetime interval) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 INSERT INTO pgqueue.chord AS c (group_id, added, expires_at)
   VALUES (_grow_chord.group_id, 1, COALESCE((clock_timestamp() + _grow_chord.lifetime), 'infinity'::timestamp with time zone)) ON CONFLICT(group_id) DO UPDATE SET added = (c.added + 1);
END;

COMMENT ON FUNCTION pgqueue._grow_chord(group_id text, lifetime interval) IS 'A task of a chord adds a part to it';

CREATE FUNCTION pgqueue._hand_in(kept pgqueue.result_kept, settings jsonb, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  handle pgqueue.handle;
  due_at timestamptz;
  state text;
  message text;
  detail text;
  hint text;
begin
  if sql is null or sql ~ '^[[:space:]]*$'
     or not pgqueue._is_plain_call(queue, priority, delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability)
  then
    -- The gate would refuse the same, but from far away, with a long CONTEXT. And a delay of a day ends in the caller's time zone.
    due_at := pgqueue._check_options(sql, queue, priority, delay, eta, expires, timeout, max_attempts, backoff, durability);
  end if;
  begin
    select (c.answer ->> 'id')::bigint, (c.answer ->> 'cookie')::bigint into handle.id, handle.cookie
    from pgqueue._call('launch', jsonb_strip_nulls(jsonb_build_object(
      'kept', kept, 'settings', settings, 'session_id', pgqueue._session_id(), 'sql', sql, 'params', params, 'queue', queue,
      'priority', priority, 'eta', due_at, 'expires', expires, 'timeout', timeout, 'max_attempts', max_attempts,
      'backoff', backoff, 'unique_key', unique_key, 'label', label, 'durability', durability, 'cookie', pgqueue._random_bigint(),
      'max_workers', pgqueue._setting('max_workers', null)))) c (answer);
  exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    if pgqueue._raise_again(state, message, detail, hint) then
      null;  -- as an expression: PERFORM would stand in the CONTEXT as a statement
    end if;
  end;
  return handle;
end
$_$;

COMMENT ON FUNCTION pgqueue._hand_in(kept pgqueue.result_kept, settings jsonb, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) IS 'Hands a job in over the loopback';

CREATE FUNCTION pgqueue._queue_channel(queue text) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ('pgqueue.q.'::text || hashtext(queue));
END;

COMMENT ON FUNCTION pgqueue._queue_channel(queue text) IS 'The NOTIFY channel on which sleeping workers of a queue are woken';

CREATE FUNCTION pgqueue._hand_over(queue text) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT pg_notify(pgqueue._queue_channel(queue), 'sleep again'::text) AS pg_notify;
END;

COMMENT ON FUNCTION pgqueue._hand_over(queue text) IS 'Tells the sleepers of a queue that the session that covered them is awake or gone';

CREATE FUNCTION pgqueue._handle_of(job jsonb) RETURNS pgqueue.handle
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ROW(((job ->> 'id'::text))::bigint, ((job ->> 'cookie'::text))::bigint)::pgqueue.handle AS "row";
END;

COMMENT ON FUNCTION pgqueue._handle_of(job jsonb) IS 'The handle of a job that was described';

CREATE FUNCTION pgqueue._seen_columns(relation oid, argv text[]) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT concat(chr(31), relation, ' ', hashtext((argv)[2]), chr(31)) AS concat;
END;

COMMENT ON FUNCTION pgqueue._seen_columns(relation oid, argv text[]) IS 'The note that the columns of a trigger were found to be plain';

CREATE FUNCTION pgqueue._has_seen(seen text, relation oid, argv text[]) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT ((COALESCE((argv)[2], ''::text) = ''::text) OR (strpos(seen, pgqueue._seen_columns(relation, argv)) > 0));
END;

COMMENT ON FUNCTION pgqueue._has_seen(seen text, relation oid, argv text[]) IS 'Whether row triggers have looked at these columns in this statement';

CREATE FUNCTION pgqueue._lock_class(purpose text) RETURNS integer
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE purpose
             WHEN 'worker'::text THEN 1886417201
             WHEN 'sleeper'::text THEN 1886417202
             WHEN 'upkeep'::text THEN 1886417204
             WHEN 'next_sleeper'::text THEN 1886417205
             WHEN 'storing'::text THEN 1886417206
             WHEN 'result_waiter'::text THEN 1886417207
             ELSE NULL::integer
         END AS "case";
END;

COMMENT ON FUNCTION pgqueue._lock_class(purpose text) IS 'The first key of an advisory lock: worker (liveness), sleeper and next_sleeper (wake-ups), upkeep, storing and result_waiter (results)';

CREATE TABLE pgqueue.worker (
    id integer NOT NULL,
    name text NOT NULL,
    pid integer NOT NULL,
    executors integer NOT NULL,
    queues text[] DEFAULT '{}'::text[] NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    items_processed bigint DEFAULT 0 NOT NULL,
    last_run_at timestamp with time zone,
    lost_at timestamp with time zone,
    successor integer
);

COMMENT ON TABLE pgqueue.worker IS 'Processes that consume. One lives as long as the session with its pid holds the advisory lock (pgqueue._lock_class_worker, id)';

COMMENT ON COLUMN pgqueue.worker.lost_at IS 'When its session was first seen to be gone; -infinity: its process said so itself';

COMMENT ON COLUMN pgqueue.worker.successor IS 'The number under which its process has registered anew, the last time';

CREATE FUNCTION pgqueue._has_takers(queue text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT (EXISTS ( SELECT
            FROM pgqueue.worker w
           WHERE ((w.executors > 0) AND (_has_takers.queue = ANY (w.queues)) AND (pg_is_in_recovery() OR (EXISTS ( SELECT
                    FROM pgqueue._advisory_locks(pgqueue._lock_class('worker'::text)) l(objid, pid, mode)
                   WHERE ((l.objid = w.id) AND (l.pid = w.pid)))))))) AS "exists";
END;

COMMENT ON FUNCTION pgqueue._has_takers(queue text) IS 'Whether a live worker runs jobs of a queue. Anybody who hands in may ask that of a name that it knows';

CREATE FUNCTION pgqueue._reading_settings(settings jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT jsonb_strip_nulls(jsonb_build_object('DateStyle', (settings -> 'DateStyle'::text), 'IntervalStyle', (settings -> 'IntervalStyle'::text), 'TimeZone', (settings -> 'TimeZone'::text))) AS jsonb_strip_nulls;
END;

COMMENT ON FUNCTION pgqueue._reading_settings(settings jsonb) IS 'Of the settings under which a result was printed, those that its reader needs';

CREATE FUNCTION pgqueue._typed_columns(columns jsonb, stranger oid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- Each type is looked up by itself: a join would be planned to read all of pg_type. And planned once in a session, as a function in
  -- SQL is not.
  return (
    select jsonb_agg(jsonb_build_object('name', c ->> 'name', 'oid', c -> 'oid', 'typmod', c -> 'typmod')
                     || coalesce((
             -- No column definition list can name a pseudo-type (void, record): such columns are read as text. And so is, by
             -- another role than the submitter, what could run code of somebody else.
             select case when t.typtype = 'p' or stranger is not null and t.oid >= 16384 and pgqueue._runs_code(t.oid, stranger)
               then '{"type": "text", "cast": "pg_catalog.text"}'
               -- By way of varchar, for text may have a cast of somebody's making: the type's own input function is what is wanted.
               else jsonb_build_object('type', format_type(t.oid, (c ->> 'typmod')::int), 'cast', concat(
                 case when t.oid >= 16384 then 'pg_catalog.varchar::' end,
                 case when (c ->> 'typmod')::int < 0 then format('%I.%I', n.nspname, t.typname) else format_type(t.oid, (c ->> 'typmod')::int) end)) end
             from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = (c ->> 'oid')::oid),
             '{"type": "text", "cast": "pg_catalog.text"}') order by e.n)
    from jsonb_array_elements(nullif(columns, 'null')) with ordinality e (c, n));
end
$$;

COMMENT ON FUNCTION pgqueue._typed_columns(columns jsonb, stranger oid) IS 'The columns of a result with the names of their types. stranger: who reads it, if not the submitter';

CREATE FUNCTION pgqueue._head_of_result(role oid, ended pgqueue.history, columns jsonb, output_settings jsonb, notices jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT jsonb_build_object('state', (ended).state, 'error', (ended).error, 'command_tags', (ended).command_tags, 'backend_pid', (ended).backend_pid, 'row_count', (ended).row_count, 'output_settings', pgqueue._reading_settings(output_settings), 'notices', notices, 'columns', pgqueue._typed_columns(columns,
         CASE
             WHEN ((ended).submitter <> role) THEN role
             ELSE NULL::oid
         END)) AS jsonb_build_object;
END;

COMMENT ON FUNCTION pgqueue._head_of_result(role oid, ended pgqueue.history, columns jsonb, output_settings jsonb, notices jsonb) IS 'What a result is: how the job ended, and the columns of the rows that follow';

CREATE FUNCTION pgqueue._inheritable_names() RETURNS text[]
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT '{array_nulls,backend_flush_after,backslash_quote,bytea_output,check_function_bodies,client_connection_check_interval,commit_siblings,constraint_exclusion,cpu_index_tuple_cost,cpu_operator_cost,cpu_tuple_cost,createrole_self_grant,cursor_tuple_fraction,DateStyle,debug_logical_replication_streaming,debug_parallel_query,debug_pretty_print,debug_print_parse,debug_print_plan,debug_print_rewritten,default_statistics_target,default_table_access_method,default_tablespace,default_text_search_config,default_toast_compression,default_transaction_deferrable,default_transaction_isolation,default_transaction_read_only,effective_cache_size,effective_io_concurrency,enable_async_append,enable_bitmapscan,enable_distinct_reordering,enable_gathermerge,enable_group_by_reordering,enable_hashagg,enable_hashjoin,enable_incremental_sort,enable_indexonlyscan,enable_indexscan,enable_material,enable_memoize,enable_mergejoin,enable_nestloop,enable_parallel_append,enable_parallel_hash,enable_partition_pruning,enable_partitionwise_aggregate,enable_partitionwise_join,enable_presorted_aggregate,enable_self_join_elimination,enable_seqscan,enable_sort,enable_tidscan,escape_string_warning,extra_float_digits,file_copy_method,from_collapse_limit,geqo,geqo_effort,geqo_generations,geqo_pool_size,geqo_seed,geqo_selection_bias,geqo_threshold,gin_fuzzy_search_limit,gin_pending_list_limit,hash_mem_multiplier,icu_validation_level,idle_in_transaction_session_timeout,idle_session_timeout,IntervalStyle,io_combine_limit,jit,jit_above_cost,jit_expressions,jit_inline_above_cost,jit_optimize_above_cost,jit_tuple_deforming,join_collapse_limit,lc_monetary,lc_numeric,lc_time,local_preload_libraries,lock_timeout,log_parameter_max_length_on_error,logical_decoding_work_mem,maintenance_io_concurrency,maintenance_work_mem,max_parallel_maintenance_workers,max_parallel_workers,max_parallel_workers_per_gather,md5_password_warnings,min_parallel_index_scan_size,min_parallel_table_scan_size,parallel_leader_participation,parallel_setup_cost,parallel_tuple_cost,password_encryption,plan_cache_mode,quote_all_identifiers,random_page_cost,recursive_worktable_factor,restrict_nonsystem_relation_kind,row_security,scram_iterations,seq_page_cost,standard_conforming_strings,statement_timeout,stats_fetch_consistency,synchronize_seqscans,synchronous_commit,tcp_keepalives_count,tcp_keepalives_idle,tcp_keepalives_interval,tcp_user_timeout,temp_buffers,temp_tablespaces,TimeZone,timezone_abbreviations,trace_notify,trace_sort,transaction_timeout,transform_null_equals,vacuum_buffer_usage_limit,vacuum_cost_delay,vacuum_cost_limit,vacuum_cost_page_dirty,vacuum_cost_page_hit,vacuum_cost_page_miss,vacuum_failsafe_age,vacuum_freeze_min_age,vacuum_freeze_table_age,vacuum_max_eager_freeze_failure_rate,vacuum_multixact_failsafe_age,vacuum_multixact_freeze_min_age,vacuum_multixact_freeze_table_age,vacuum_truncate,wal_sender_timeout,wal_skip_threshold,work_mem,xmlbinary,xmloption}'::text[] AS text;
END;

COMMENT ON FUNCTION pgqueue._inheritable_names() IS 'The settings that any role may change and that jobs inherit; search_path is treated apart';

CREATE FUNCTION pgqueue._inherited(captured jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (captured - 'pgqueue.worker_timeout'::text);
END;

COMMENT ON FUNCTION pgqueue._inherited(captured jsonb) IS 'What a job is given of captured settings';

CREATE FUNCTION pgqueue._inherited_timeout(captured jsonb) RETURNS interval
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT NULLIF(((captured ->> 'pgqueue.worker_timeout'::text))::interval, '00:00:00'::interval) AS "nullif";
END;

COMMENT ON FUNCTION pgqueue._inherited_timeout(captured jsonb) IS 'The timeout of a job that is given none: pgqueue.worker_timeout as it was captured';

CREATE FUNCTION pgqueue._interval_argument(arguments jsonb, name text) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  milliseconds float8 := arguments ->> name;
begin
  if not milliseconds between 0 and 3e13 then
    raise exception 'argument % is out of range', name using errcode = '22023', hint = 'It counts milliseconds.';
  end if;
  return milliseconds * interval '1 ms';
end
$$;

COMMENT ON FUNCTION pgqueue._interval_argument(arguments jsonb, name text) IS 'x-expires or x-message-ttl of a queue';

CREATE FUNCTION pgqueue._is_acceptable(m pgqueue.message) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  return (m.kind = 'job') = (m.payload is null)
    and (m.payload is not null and m.sql is null and m.settings is null
         or m.cookie is not null and m.settings is not null and trim(m.sql, E' \t\r\n') <> '')
    and (m.state = 'ready' or m.due_at is not null and m.state = 'delayed' or m.token is not null and m.worker_id is not null and m.state = 'claimed')
    and m.priority between 0 and 9
    and octet_length(m.queue) between 1 and 255
    -- Workers count with these: one infinite value would stop every claim of the queue.
    and (m.due_at is null or isfinite(m.due_at))
    and (m.timeout is null or m.timeout > interval '0' and isfinite(m.timeout))
    and (m.backoff is null or m.backoff between interval '0' and interval '1 year')
    -- One message that is too large to be handed out, or that cannot be retried, would hold up its whole queue.
    and (m.params is null or coalesce(array_ndims(m.params), 1) = 1 and cardinality(m.params) <= 65535
                             and octet_length(array_to_string(m.params, '')) <= 16777216)
    and (m.sql is null or octet_length(m.sql) <= 16777216)
    and (m.payload is null or octet_length(m.payload::text) <= 67108864)
    and (m.settings is null or jsonb_typeof(m.settings) = 'object' and octet_length(m.settings::text) <= 1000000
                               and not jsonb_path_exists(m.settings, 'strict $.* ? (@.type() <> "string")'))
    and (m.label is null or octet_length(m.label) <= 10000)
    and pgqueue._may_enter(m.submitter, m.queue, m.payload);
end
$_$;

COMMENT ON FUNCTION pgqueue._is_acceptable(m pgqueue.message) IS 'The shape of a message, which workers rely on';

CREATE FUNCTION pgqueue._is_at_home() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select exists (
    select from pgqueue.home h, pg_control_system() c, pg_database d
    where h.system_identifier = c.system_identifier and d.datname = current_database() and h.database = d.oid::bigint)
$$;

COMMENT ON FUNCTION pgqueue._is_at_home() IS 'Whether the numbers of roles in this database are those of this cluster. False: it was copied or restored, and not repaired';

CREATE FUNCTION pgqueue._is_canceled(role oid, handle pgqueue.handle) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  place record := pgqueue._locate(role, handle, '55000', true);
  runs boolean;
  is_ending boolean;
begin
  if not place.live then
    return place.state = 'canceled';
  end if;
  -- The request is committed. A job that begins now sees it first of all, one that runs sees it at its end, which goes so: it writes its
  -- history, and then looks for a request. So one that runs and has not begun to write its history will see it.
  with locks as materialized (
    select * from pg_locks
  ), holder as (
    select l.pid, pgqueue._run_key_of(m.id, m.token) as run_key
    from pgqueue.message m join locks l on l.locktype = 'transactionid' and l.transactionid = m.xmax and l.granted and l.mode = 'ExclusiveLock'
    where m.id = handle.id
  )
  select (select exists (select from locks l where l.pid = holder.pid and l.locktype = 'advisory' and l.objsubid = 1 and l.granted
                         and (l.classid::bigint << 32 | l.objid::bigint) = holder.run_key) from holder),
         exists (select from holder join locks l on l.pid = holder.pid and l.locktype = 'relation' and l.relation = 'pgqueue.history'::regclass
                 and l.database = (select d.oid from pg_database d where d.datname = current_database()) and l.mode = 'RowExclusiveLock')
  into runs, is_ending;
  if is_ending or not exists (select from pgqueue.message m where m.id = handle.id) then
    return null;
  elsif runs is not null then
    -- Without the lock of a run it claims the job, gives it back, or puts down what ran outside a transaction.
    return case when runs then true end;
  end if;
  -- What runs outside a transaction holds nothing: its end tells.
  return case when not place.running then true end;
end
$$;

COMMENT ON FUNCTION pgqueue._is_canceled(role oid, handle pgqueue.handle) IS 'Whether a job is canceled for which pgqueue._cancel has committed a request 10 ms ago or longer: true, it will not commit; false, it has ended otherwise; NULL, not known yet';

CREATE FUNCTION pgqueue._is_given_up(id bigint, max_attempts integer) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select exists (
    select from pgqueue.lost_session l
    where l.id = _is_given_up.id and l.suspicions >= greatest(pgqueue._worker_number('max_lost_sessions', 3, 1, 32767), max_attempts))
$$;

COMMENT ON FUNCTION pgqueue._is_given_up(id bigint, max_attempts integer) IS 'Whether a job was suspected so often that it runs no more';

CREATE FUNCTION pgqueue._is_intact(runner oid, runner_xid xid, role oid) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  -- Whatever is changed of a function, its body included, makes another version of its row.
  select coalesce((select p.xmin = runner_xid and p.proowner = role and p.prosecdef and p.proconfig is null from pg_proc p where p.oid = runner), false)
$$;

COMMENT ON FUNCTION pgqueue._is_intact(runner oid, runner_xid xid, role oid) IS 'Whether the runner of a role is the one that pgqueue._make_runner made';

CREATE FUNCTION pgqueue._is_operator(role oid) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE((pg_has_role(role, 'pgqueue_worker'::name, 'member'::text) OR pg_has_role(role, 'pgqueue_admin'::name, 'member'::text) OR (role = ((quote_ident((CURRENT_USER)::text))::regrole)::oid)), false) AS "coalesce";
END;

COMMENT ON FUNCTION pgqueue._is_operator(role oid) IS 'Whether a role is a worker, an administrator or the owner: what it declares holds for all messages';

CREATE FUNCTION pgqueue._is_own_event(payload json) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  event jsonb;
begin
  if payload ->> 'content-type' is distinct from 'application/json' or payload #>> '{headers,compression}' is not null
    or payload #>> '{properties,body_encoding}' is not null
  then
    return false;  -- nobody here could read it
  end if;
  event := (payload ->> 'body')::jsonb;
  -- Of jobs, and in the name of workers, only workers speak. The rest is there lest a monitor stumbles over it.
  return coalesce(jsonb_typeof(event) = 'object' and event ->> 'type' = 'task-sent' and not event ? '__type__'
                  and jsonb_typeof(event -> 'uuid') = 'string' and event ->> 'uuid' not like 'job-%'
                  and jsonb_typeof(event -> 'hostname') = 'string' and jsonb_typeof(event -> 'timestamp') = 'number'
                  and coalesce(jsonb_typeof(event -> 'utcoffset'), 'number') = 'number'
                  and not exists (select from pgqueue.worker w where w.name = event ->> 'hostname'), false);
exception when data_exception or program_limit_exceeded or statement_too_complex then
  return false;
end
$$;

COMMENT ON FUNCTION pgqueue._is_own_event(payload json) IS 'Whether a message is what a program that sends tasks may tell Celery''s monitors: that a task was sent, and not in the name of a worker';

CREATE FUNCTION pgqueue._is_plain(relation oid, columns text[]) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select count(*) = cardinality(columns)
  from unnest(columns) c
  join pg_attribute a on a.attrelid = relation and a.attname = btrim(c) and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  where a.attgenerated <> 'v' and t.typtype in ('b', 'e', 'r', 'm') and t.typcategory <> 'A' and t.oid not in ('json'::regtype, 'jsonb'::regtype)
    and not exists (select from pg_cast k where k.castsource = t.oid and k.casttarget in ('json'::regtype, 'jsonb'::regtype))
$$;

COMMENT ON FUNCTION pgqueue._is_plain(relation oid, columns text[]) IS 'Whether these columns exist and are of types whose text is what JSON shows';

CREATE FUNCTION pgqueue._is_plain_call(queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ((queue IS NOT NULL) AND (priority = 0) AND (num_nonnulls(delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability) = 0));
END;

COMMENT ON FUNCTION pgqueue._is_plain_call(queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) IS 'Whether a job is handed in with no option but its queue';

CREATE FUNCTION pgqueue._is_plain_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, headers jsonb, link text, errback text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ((TRIM(BOTH FROM task) <> ''::text) AND (jsonb_typeof(args) = 'array'::text) AND (jsonb_typeof(kwargs) = 'object'::text) AND (queue IS NOT NULL) AND ((priority >= 0) AND (priority <= 9)) AND (num_nonnulls(delay, eta, expires, headers, link, errback) = 0));
END;

COMMENT ON FUNCTION pgqueue._is_plain_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, headers jsonb, link text, errback text) IS 'Whether a task makes sense and has no option but its queue, priority and id';

CREATE FUNCTION pgqueue._is_plain_trigger(argv text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT (((argv)[0] = 'sql'::text) AND ((argv)[3] IS NULL) AND ((argv)[1] <> ''::text) AND (strpos((argv)[2], '"'::text) = 0));
END;

COMMENT ON FUNCTION pgqueue._is_plain_trigger(argv text[]) IS 'Whether the trigger enqueues a job without options, of columns with plain names';

CREATE FUNCTION pgqueue._is_raised_in_run(error jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select error ->> 'context' ~ E'pgqueue_run[.](job_[0-9]+|finish_job)[(]'
$$;

COMMENT ON FUNCTION pgqueue._is_raised_in_run(error jsonb) IS 'Whether an error came of a job, or of its end; NULL or false: of the call that was to run it';

CREATE FUNCTION pgqueue._is_revoked_by_worker(payload json) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  expires text := pgqueue._text_in(payload, '{headers,expires}');
begin
  -- A worker looks at the same header. What has no offset from UTC is for the worker's time zone to say.
  return pgqueue._text_in(payload, '{headers,task}') is not null
    and pgqueue._text_in(payload, '{headers,ignore_result}') is distinct from 'true'
    and case when expires ~ '(Z|[+-][0-9]{2}:?[0-9]{2})$' then expires::timestamptz <= clock_timestamp() else false end;
exception when data_exception then
  return false;
end
$_$;

COMMENT ON FUNCTION pgqueue._is_revoked_by_worker(payload json) IS 'Whether a task has expired by Celery''s own header and somebody may wait for its end: a worker is to get it, which stores the state REVOKED and fails its chord';

CREATE FUNCTION pgqueue._job_document(id bigint, token bigint, queue text, attempts smallint, submitter oid, sql text, params text[], settings jsonb, timeout interval, kept pgqueue.result_kept, label text) RETURNS json
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT json_build_object('id', id, 'token', token, 'sql', sql, 'params', params, 'settings', settings, 'submitter', pg_get_userbyid(submitter), 'role', (submitter)::bigint, 'timeout_ms', ((EXTRACT(epoch FROM timeout) * (1000)::numeric))::bigint, 'keep_result', (kept <> 'none'::pgqueue.result_kept), 'attempt', (attempts + 1), 'queue', queue, 'label', label) AS json_build_object;
END;

COMMENT ON FUNCTION pgqueue._job_document(id bigint, token bigint, queue text, attempts smallint, submitter oid, sql text, params text[], settings jsonb, timeout interval, kept pgqueue.result_kept, label text) IS 'A job as an executor of the top-level lane needs it';

CREATE FUNCTION pgqueue._job_message(id bigint, token bigint, queue text, priority smallint, deliveries smallint, attempts smallint, submitter oid, sql text, params text[], settings jsonb, timeout interval, kept pgqueue.result_kept, label text) RETURNS json
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select json_build_object(
    'body', json_build_array(json_build_array(left(sql, 200)), '{}'::json,
                             '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'::json)::text,
    'content-type', 'application/json',
    'content-encoding', 'utf-8',
    'headers', json_build_object(
      'lang', 'sql', 'task', 'pgqueue.job', 'id', 'job-' || id, 'root_id', 'job-' || id, 'parent_id', null, 'group', null,
      'shadow', label, 'argsrepr', left(sql, 200), 'kwargsrepr', '{}', 'origin', pg_get_userbyid(submitter), 'retries', attempts,
      'eta', null, 'expires', null, 'timelimit', json_build_array(null, null), 'ignore_result', true,
      'job', pgqueue._job_document(id, token, queue, attempts, submitter, sql, params, settings, timeout, kept, label)),
    'properties', json_build_object(
      'delivery_mode', 2, 'priority', priority, 'correlation_id', 'job-' || id, 'reply_to', null,
      'delivery_info', json_build_object('exchange', '', 'routing_key', queue, 'redelivered', deliveries > 1)))
$$;

COMMENT ON FUNCTION pgqueue._job_message(id bigint, token bigint, queue text, priority smallint, deliveries smallint, attempts smallint, submitter oid, sql text, params text[], settings jsonb, timeout interval, kept pgqueue.result_kept, label text) IS 'A job as a Celery message (protocol 2) for the task pgqueue.job';

CREATE FUNCTION pgqueue._jobs_of(sql text[], params text[], unique_keys text[], rows text[]) RETURNS TABLE(n bigint, statement text, row_params text[], unique_key text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select s.n, coalesce(s.statement, case when rows is not null then sql[1] end), coalesce(r.row_params, params), s.unique_key
  from unnest(case when rows is null then sql else array_fill(null::text, array[array_length(rows, 1)]) end, unique_keys) with ordinality s (statement, unique_key, n)
  left join (select (u.n - 1) / array_length(rows, 2) + 1 as n, array_agg(u.value order by u.n) as row_params
             from unnest(rows) with ordinality u (value, n) group by 1) r on r.n = s.n
$$;

COMMENT ON FUNCTION pgqueue._jobs_of(sql text[], params text[], unique_keys text[], rows text[]) IS 'The jobs that enqueue_many is given: one for each statement, or one for each row of parameters';

CREATE FUNCTION pgqueue._keep_captured(content text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- Anybody can write a setting, also before calling a SECURITY DEFINER function: what is found there has to carry the
  -- digest that only the role that runs can make: the first half of it.
  perform set_config('pgqueue.captured_settings', content, true);
  perform set_config('pgqueue.captured_seal', coalesce((select left(s.digest, 32) from pgqueue.own_seal s), ''), true);
end
$$;

COMMENT ON FUNCTION pgqueue._keep_captured(content text) IS 'Keeps what was captured for the rest of the transaction, under the seal of the role that runs';

CREATE FUNCTION pgqueue._keep_claims(worker_id integer, ids bigint[], begun bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  released int;
begin
  select pgqueue._release_sorted(array_agg(m.id), array_agg(m.token), array_agg(m.has_begun)) into released
  from (
    select q.id, q.token, case q.kind when 'job' then q.xmax::text not in ('0', q.xmin::text) else q.id = any (_keep_claims.begun) end as has_begun
    from pgqueue.message q
    where q.state = 'claimed' and q.worker_id = _keep_claims.worker_id and q.id <> all (ids)
      -- What runs outside a transaction, its worker may have claimed for a job that waits for it.
      and not exists (select from pgqueue.activity a where a.id = q.id and a.token = q.token)
    -- The row of a job that runs is locked by its transaction: that stays ours, and is not waited for.
    for update skip locked
  ) m
  having count(*) > 0;
  return coalesce(released, 0);
end
$$;

COMMENT ON FUNCTION pgqueue._keep_claims(worker_id integer, ids bigint[], begun bigint[]) IS 'Makes ready again what a worker holds but for these: after an error it may hold messages that it knows nothing of. begun: the tasks that it has begun and forgotten';

CREATE FUNCTION pgqueue._keep_notices(id bigint, token bigint, notices jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  m pgqueue.message;
begin
  select * into m from pgqueue.message q where q.id = _keep_notices.id and q.token = _keep_notices.token;
  if not found then
    return;  -- what ends the run will say so
  end if;
  perform pgqueue._check_runner(id, m.submitter);
  if pgqueue._are_notices(notices) is not true then
    perform pgqueue._refuse_result('notices');
  elsif m.kept <> 'none' then
    -- Those of an earlier attempt are not the job's.
    delete from pgqueue.result r where r.id = _keep_notices.id and r.seq = -1;
    insert into pgqueue.result (id, seq, rows) values (_keep_notices.id, -1, _keep_notices.notices);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._keep_notices(id bigint, token bigint, notices jsonb) IS 'What the job has said, for the reader of its result: chunk -1';

CREATE FUNCTION pgqueue._kept_error(error jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  -- The end of a job is never refused: what is no field of an error is left out, and what is no SQLSTATE becomes one.
  select coalesce((
      select jsonb_object_agg(f.key, left(f.value, 65536))
      from jsonb_each_text(case jsonb_typeof(error) when 'object' then error end) f
      where f.value is not null and f.key in ('message', 'detail', 'hint', 'context', 'schema', 'table', 'column', 'datatype', 'constraint', 'session_lost')), '{}')
    || jsonb_build_object('sqlstate', case when error ->> 'sqlstate' ~ '^[0-9A-Z]{5}$' then error ->> 'sqlstate' else 'XX000' end)
$_$;

COMMENT ON FUNCTION pgqueue._kept_error(error jsonb) IS 'The fields of an error that are kept of it, all of them text';

CREATE FUNCTION pgqueue._settings() RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
begin
  -- No SET clause here: it would hide the caller's search_path.
  return pgqueue._capture_settings(pg_catalog.current_setting('search_path'));
end
$$;

COMMENT ON FUNCTION pgqueue._settings() IS 'The settings that a job of the caller inherits';

CREATE FUNCTION pgqueue._known_settings(backend_pid integer, captured jsonb) RETURNS jsonb
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (backend_pid = pg_backend_pid()) THEN captured
             ELSE pgqueue._settings()
         END AS _settings;
END;

COMMENT ON FUNCTION pgqueue._known_settings(backend_pid integer, captured jsonb) IS 'What was captured in this session by whoever says so; if it was another session, what is captured now';

CREATE TABLE pgqueue.queue_switch (
    name text NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    durability text,
    CONSTRAINT queue_durability_is_known CHECK ((durability = ANY (ARRAY['sync'::text, 'async'::text]))),
    CONSTRAINT queue_name_is_1_to_255_bytes CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 255)))
);

COMMENT ON TABLE pgqueue.queue_switch IS 'What administrators have switched for a queue; a queue that merely has messages needs no row';

COMMENT ON COLUMN pgqueue.queue_switch.durability IS 'How jobs of this queue commit that do not say so themselves; NULL as sync';

CREATE FUNCTION pgqueue._knows_queue(queue text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 SELECT ((queue = ANY (ARRAY['default'::text, 'celery'::text])) OR (EXISTS ( SELECT
            FROM pgqueue.queue_switch q
           WHERE (q.name = _knows_queue.queue))) OR (EXISTS ( SELECT
            FROM pgqueue.queue d
           WHERE (d.name = _knows_queue.queue))) OR (EXISTS ( SELECT
            FROM pgqueue.worker w
           WHERE (_knows_queue.queue = ANY (w.queues)))) OR (EXISTS ( SELECT
            FROM pgqueue.message m
           WHERE (m.queue = _knows_queue.queue))));
END;

COMMENT ON FUNCTION pgqueue._knows_queue(queue text) IS 'Whether a queue was declared or set up, a worker takes from it, or a message is in it. Any other may come to be; or its name is a slip';

CREATE FUNCTION pgqueue._kwargs_repr(kwargs jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return pgqueue._shown(pgqueue._python_repr(kwargs));
end
$$;

COMMENT ON FUNCTION pgqueue._kwargs_repr(kwargs jsonb) IS 'The kwargsrepr of a task: its keyword arguments as Python would print them';

CREATE FUNCTION pgqueue._launch(role oid, args jsonb) RETURNS pgqueue.handle
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  max_workers int := (args ->> 'max_workers')::int;
  active bigint;
begin
  perform pgqueue._require_quota(role);
  if max_workers > 0 then
    select count(*) into active from (
      select from pgqueue.message m where m.session_id = (args ->> 'session_id')::bigint limit max_workers) m;
    if active >= max_workers then
      raise exception 'too many background workers'
        using errcode = '53400', detail = format('Current limit is %s unfinished jobs of a session.', max_workers),
              hint = 'Wait for jobs to end, or increase pgqueue.max_workers.';
    end if;
  end if;
  if args ->> 'kept' <> 'none' then
    perform pgqueue._require_login(role);
  end if;
  if args ->> 'durability' = 'async' then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  return pgqueue._put_job(
    role, (args ->> 'kept')::pgqueue.result_kept, args -> 'settings', (args ->> 'session_id')::bigint, args ->> 'sql',
    case when jsonb_typeof(args -> 'params') = 'array' then array(select p #>> '{}' from jsonb_array_elements(args -> 'params') with ordinality e (p, n) order by n) end,
    args ->> 'queue', (args ->> 'priority')::int, (args ->> 'delay')::interval, (args ->> 'eta')::timestamptz,
    (args ->> 'expires')::timestamptz, (args ->> 'timeout')::interval, (args ->> 'max_attempts')::int, (args ->> 'backoff')::interval,
    args ->> 'unique_key', args ->> 'label', args ->> 'durability', (args ->> 'cookie')::bigint);
end
$$;

COMMENT ON FUNCTION pgqueue._launch(role oid, args jsonb) IS 'The gate''s half of launch and submit';

CREATE FUNCTION pgqueue._launch_and_wait(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT finished boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._launch_and_wait(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT finished boolean) IS 'Launches a job and waits. If it outlasts the timeout, it is canceled, and given a second to end';

CREATE FUNCTION pgqueue._launch_tracked(role oid, args jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  session bigint := args ->> 'session_id';
  max_tracked int := args ->> 'max_tracked';
  lowest int := pgqueue._lowest_tracked(session);
  tracked bigint;
  first int;
  handle pgqueue.handle;
  pid int;
begin
  -- The number of a session is what the caller says. What a stranger has tracked under it fills no quota but the stranger's.
  select count(*) filter (where not t.is_spared and pg_has_role(role, t.submitter, 'member')), min(t.pid) into tracked, first
  from pgqueue.tracked_job t where t.session_id = session and t.pid >= lowest;
  if tracked >= max_tracked then
    raise exception 'too many background workers'
      using errcode = '53400', detail = format('Current limit is %s concurrent workers per session.', max_tracked),
            hint = 'Wait for existing workers to complete, or increase pg_background.max_workers.';
  end if;
  handle := pgqueue._launch(role, args);
  pid := (handle.id - 1) % 2147483647 + 1;
  loop
    insert into pgqueue.tracked_job (session_id, pid, id, cookie, submitter, kept, queue_size)
    values (session, pid, handle.id, handle.cookie, role, (args ->> 'kept')::pgqueue.result_kept, (args ->> 'queue_size')::int)
    on conflict on constraint tracked_job_pkey do nothing;
    exit when found;
    pid := pid % 2147483647 + 1;  -- the session still tracks the job from two thousand million jobs ago
  end loop;
  -- Numbers begin anew after two thousand million: then the bound is of no use any more.
  perform set_config('pgqueue.lowest_tracked', session || ' ' || case when pid < lowest then 0 else coalesce(first, pid) end, false);
  return jsonb_build_object('id', handle.id, 'cookie', handle.cookie, 'pid', pid);
end
$$;

COMMENT ON FUNCTION pgqueue._launch_tracked(role oid, args jsonb) IS 'The gate''s half of pg_background_launch and submit';

CREATE FUNCTION pgqueue._limit(name text, fallback integer) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  given text;
begin
  -- Not what is set for a role: that it could set itself.
  select nullif(substr(entry, strpos(entry, '=') + 1), '') into given
  from pg_db_role_setting s, unnest(s.setconfig) entry
  where s.setrole = 0 and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
    and split_part(entry, '=', 1) = 'pgqueue.' || _limit.name
  order by s.setdatabase = 0
  limit 1;
  return greatest(0, coalesce(given::int, fallback));
exception when data_exception then
  raise warning 'pgqueue.% is not a number: "%"', name, given;
  return fallback;
end
$$;

COMMENT ON FUNCTION pgqueue._limit(name text, fallback integer) IS 'A limit that holds for each role, as it is set for this database or for all';

CREATE FUNCTION pgqueue._list_scheduled(queues text[], max_count integer) RETURNS TABLE(queue text, eta text, priority integer, message json)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select m.queue, pgqueue._utc_text(m.due_at), m.priority::int,
         case m.kind when 'task' then m.payload
         else pgqueue._job_message(m.id, 0, m.queue, m.priority, m.deliveries, m.attempts, m.submitter, m.sql, null, null, m.timeout, m.kept, m.label) end
  from pgqueue.message m
  where m.state = 'delayed' and m.queue = any (queues)
  order by m.due_at
  limit max_count
$$;

COMMENT ON FUNCTION pgqueue._list_scheduled(queues text[], max_count integer) IS 'What waits in these queues until it is due, the next first';

CREATE FUNCTION pgqueue._list_tracked(criteria jsonb DEFAULT '{}'::jsonb, OUT pid integer, OUT cookie bigint, OUT launched_at timestamp with time zone, OUT user_id oid, OUT queue_size integer, OUT state text, OUT sql_preview text, OUT last_error text, OUT consumed boolean, OUT label text, OUT backend_pid integer) RETURNS SETOF record
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT ((j.j ->> 'pid'::text))::integer AS int4,
     ((j.j ->> 'cookie'::text))::bigint AS int8,
     ((j.j ->> 'launched_at'::text))::timestamp with time zone AS timestamptz,
     ((j.j ->> 'user_id'::text))::oid AS oid,
     ((j.j ->> 'queue_size'::text))::integer AS int4,
     (j.j ->> 'state'::text),
     pgqueue._cut((j.j ->> 'sql'::text), 120) AS _cut,
     pgqueue._cut((pgqueue._background_error(((j.j ->> 'pid'::text))::integer, (j.j -> 'error'::text)) ->> 'message'::text), 512) AS _cut,
     false,
     (j.j ->> 'label'::text),
         CASE
             WHEN ((j.j ->> 'running'::text))::boolean THEN ((j.j ->> 'backend_pid'::text))::integer
             ELSE NULL::integer
         END AS "case"
    FROM pgqueue._call('tracked'::text, (_list_tracked.criteria || jsonb_build_object('session_id', pgqueue._tracker(), 'sql_length', 120))) j(j);
END;

COMMENT ON FUNCTION pgqueue._list_tracked(criteria jsonb, OUT pid integer, OUT cookie bigint, OUT launched_at timestamp with time zone, OUT user_id oid, OUT queue_size integer, OUT state text, OUT sql_preview text, OUT last_error text, OUT consumed boolean, OUT label text, OUT backend_pid integer) IS 'pg_background_list: the jobs that this session tracks and the role may see. A job that was read is tracked no more, so none is consumed';

CREATE FUNCTION pgqueue._locate(role oid, handle pgqueue.handle, wrong_cookie text, by_administrators boolean DEFAULT false, OUT live boolean, OUT state pgqueue.job_state, OUT kept pgqueue.result_kept, OUT worker_id integer, OUT running boolean, OUT run_key bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  submitter oid;
  cookie bigint;
  ended pgqueue.history;
begin
  live := true;
  select m.submitter, m.cookie, m.kept, m.worker_id, a.id is not null,
         case when a.id is not null then 'running' else 'queued' end, pgqueue._held_key(m.id, m.token)
  into submitter, cookie, kept, worker_id, running, state, run_key
  from pgqueue.message m left join pgqueue.activity a on a.id = m.id and a.token = m.token
  where m.id = handle.id and m.kind = 'job';
  if not found then
    -- A job moves from the queue to the history and never back, so looking there second finds it.
    live := false;
    running := false;
    run_key := null;
    ended := pgqueue._ended_job(handle.id);
    submitter := ended.submitter;
    cookie := ended.cookie;
    kept := ended.kept;
    state := ended.state;
  end if;
  perform pgqueue._check_handle(role, handle, submitter, cookie, wrong_cookie, by_administrators);
end
$$;

COMMENT ON FUNCTION pgqueue._locate(role oid, handle pgqueue.handle, wrong_cookie text, by_administrators boolean, OUT live boolean, OUT state pgqueue.job_state, OUT kept pgqueue.result_kept, OUT worker_id integer, OUT running boolean, OUT run_key bigint) IS 'Where a job is, after the checks: 42704 unknown, 42501 another role''s, then the cookie';

CREATE FUNCTION pgqueue._lock_job(id bigint, token bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  submitter oid;
  expires_at timestamptz;
begin
  select q.submitter, q.expires_at into submitter, expires_at
  from pgqueue.message q where q.id = _lock_job.id and q.token = _lock_job.token for update;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  perform pgqueue._check_runner(id, submitter);
  -- Who waits for the job waits for this lock (pgqueue._wait_for_run). Nobody has it but, for a moment, who looks whether the job runs.
  perform pg_advisory_xact_lock(pgqueue._run_key_of(id, token));
  if exists (select from pgqueue.request r where r.id = _lock_job.id and r.kind = 'cancel') then
    raise exception 'canceling statement due to user request' using errcode = '57014';
  elsif expires_at <= clock_timestamp() then
    raise exception 'job % has expired', id using errcode = 'PQ005', hint = 'pgqueue._begin_job ends it so.';
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._lock_job(id bigint, token bigint) IS 'First in the transaction of a job: while it runs nobody can take its claim';

CREATE FUNCTION pgqueue._loopback_conninfo(host text, port text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select string_agg(concat(split_part(o, '=', 1), '=''', replace(replace(substr(o, strpos(o, '=') + 1), E'\\', E'\\\\'), '''', E'\\'''), ''''), ' ')
  from (
    select given.o
    from pg_foreign_server s join pg_user_mappings m on m.srvid = s.oid and m.usename = current_user
    cross join unnest(s.srvoptions || m.umoptions) given (o)
    where s.srvname = 'pgqueue_loopback' and split_part(given.o, '=', 1) not in ('host', 'port', 'hostaddr')
    union all
    values ('host=' || host), ('port=' || port)
  ) e (o)
$$;

COMMENT ON FUNCTION pgqueue._loopback_conninfo(host text, port text) IS 'How the loopback connects to an address, its password among it. Only for the owner''s functions';

CREATE FUNCTION pgqueue._loopback_name() RETURNS text
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 SELECT c.c
    FROM unnest(pgqueue._dblink_connections()) c(c)
   WHERE starts_with(c.c, 'pgqueue.loopback '::text);
END;

COMMENT ON FUNCTION pgqueue._loopback_name() IS 'The open loopback of this session. Its name ends with the session''s number';

CREATE FUNCTION pgqueue._loopback_options() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  -- What is set for the database or the login must not bend the gate. What a version of the server does not know it would refuse.
  select string_agg(format('-c %s=%s', s.name, replace(s.value, ' ', chr(92) || ' ')), ' ' order by s.name)
  from (values
    ('default_transaction_read_only', 'off'), ('default_transaction_isolation', 'read committed'), ('default_transaction_deferrable', 'off'),
    ('statement_timeout', '0'), ('transaction_timeout', '0'), ('idle_session_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('search_path', 'pg_catalog'), ('row_security', 'on'), ('restrict_nonsystem_relation_kind', ''), ('DateStyle', 'ISO, MDY'),
    ('IntervalStyle', 'postgres'), ('standard_conforming_strings', 'on'), ('transform_null_equals', 'off'), ('array_nulls', 'on'),
    ('quote_all_identifiers', 'off'), ('extra_float_digits', '1'), ('bytea_output', 'hex'), ('log_parameter_max_length_on_error', '0'),
    -- What the caller''s own transaction holds is never waited for: it would wait for this call in turn.
    ('lock_timeout', '5s')) s (name, value)
  where current_setting(s.name, true) is not null
$$;

COMMENT ON FUNCTION pgqueue._loopback_options() IS 'The settings with which the loopback logs in';

CREATE FUNCTION pgqueue._loopback_places() RETURNS TABLE(host text, port text)
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  -- Where the server may be reached from itself: where it was at first, then where it is now. After a failover it is another one, in
  -- another place. No session can set any of these.
  with stored as (
    select (select substr(o, 6) from unnest(s.srvoptions) o where starts_with(o, 'host=')) as host,
           (select substr(o, 6) from unnest(s.srvoptions) o where starts_with(o, 'port=')) as port
    from pg_foreign_server s where s.srvname = 'pgqueue_loopback'
  )
  select h.host, coalesce(h.port, current_setting('port'))
  from (
    select 1 as n, s.host, s.port from stored s
    union all
    select 2, btrim(d), null from string_to_table((
      select current_setting('unix_socket_directories') from pg_roles
      where rolname = current_user and (rolsuper or pg_has_role(oid, 'pg_read_all_settings', 'usage'))), ',') d
    union all
    select 3, host(inet_server_addr()), inet_server_port()::text
    union all
    select 4, btrim(a), null from string_to_table(current_setting('listen_addresses'), ',') a where btrim(a) not in ('*', '0.0.0.0', '::')
    union all
    select 5, '127.0.0.1', null
  ) h
  where h.host <> ''
  group by h.host, coalesce(h.port, current_setting('port'))
  order by min(h.n)
$$;

COMMENT ON FUNCTION pgqueue._loopback_places() IS 'Where to try to connect from the server to itself, in this order';

CREATE FUNCTION pgqueue._lowest_tracked(session bigint) RETURNS integer
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((known.s ~ '^-?[0-9]+ [0-9]{1,9}$'::text) AND (split_part(known.s, ' '::text, 1) = (_lowest_tracked.session)::text)) THEN (split_part(known.s, ' '::text, 2))::integer
             ELSE 0
         END AS "case"
    FROM ( SELECT current_setting('pgqueue.lowest_tracked'::text, true) AS current_setting) known(s);
END;

COMMENT ON FUNCTION pgqueue._lowest_tracked(session bigint) IS 'A pid below which the session whose loopback this is tracks nothing, as its last launch has seen. What it tracked once and nobody has vacuumed is below';

CREATE FUNCTION pgqueue._make_background_role() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  begin
    if to_regrole('pgbackground_role') is null then
      create role pgbackground_role nologin;
    end if;
  exception when duplicate_object or unique_violation then
    null;  -- another database's installer was faster: roles belong to the whole cluster
  end;
  if not exists (select from pg_auth_members m where m.roleid = 'pgqueue_user'::regrole and m.member = 'pgbackground_role'::regrole) then
    grant pgqueue_user to pgbackground_role;
  end if;
  -- In this database, before its members are enrolled by what they call first.
  perform pgqueue._admit('pgbackground_role', true);
end
$$;

COMMENT ON FUNCTION pgqueue._make_background_role() IS 'Makes the role whose members may call pg_background''s names';

CREATE FUNCTION pgqueue._make_partitions() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  parent text;
  day date;
  today date := (clock_timestamp() at time zone 'UTC')::date;
begin
  foreach parent in array array['history', 'result', 'task_result'] loop
    for day in select today + n from generate_series(0, 3) n loop
      if to_regclass(format('pgqueue.%I', pgqueue._partition_name(parent, day))) is null then
        begin
          execute format('create table pgqueue.%I partition of pgqueue.%I for values from (%L) to (%L)',
                         pgqueue._partition_name(parent, day), parent, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
          -- A partition has row security of its own.
          execute format('alter table pgqueue.%I enable row level security', pgqueue._partition_name(parent, day));
          -- There is no key: without this a publication for all tables would forbid to delete.
          execute format('alter table pgqueue.%I replica identity full', pgqueue._partition_name(parent, day));
        exception when check_violation then
          null;  -- the default partition has rows of that day already, and keeps them
        end;
      end if;
    end loop;
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue._make_partitions() IS 'Makes the partitions of today and the next three days';

CREATE FUNCTION pgqueue._make_runner(role oid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  version int := current_setting('server_version_num');
  is_ours boolean := pg_has_role(current_user, role, case when version >= 160000 then 'set' else 'member' end);
begin
  perform pgqueue._drop_runner(role);
  execute format($body$
    create function pgqueue_take.take_%1$s(id bigint, token bigint, out sql text, out params text[], out settings jsonb)
      language plpgsql volatile security definer
      set search_path = pg_catalog, pg_temp
    as $take$
    declare
      expires_at timestamptz;
      is_locked boolean;
    begin
      -- The lock says who runs the job: the transaction that holds it (pgqueue._runs). So it is taken in no subtransaction.
      select q.sql, q.params, q.settings, q.expires_at into sql, params, settings, expires_at
      from pgqueue.message q where q.id = take_%1$s.id and q.token = take_%1$s.token and q.kind = 'job' and q.submitter = '%1$s' for update;
      if not found then
        return;
      elsif exists (select from pgqueue.request r where r.id = take_%1$s.id and r.kind = 'cancel') then
        sql := pgqueue._end_job(id, 'canceled', '{"sqlstate": "57014", "message": "canceling statement due to user request"}');
        return;
      elsif expires_at <= clock_timestamp() then
        sql := pgqueue._end_job(id, 'expired', jsonb_build_object('sqlstate', '57014', 'message', format('job expired at %%s before a worker began it', expires_at)));
        return;
      end if;
      -- Who waits for the job waits for this lock (pgqueue._wait_for_run). Nobody has it but, for a moment, who looks whether the job runs.
      is_locked := pg_advisory_xact_lock(pgqueue._run_key_of(id, token)) is not null;
    end
    $take$
  $body$, role);
  execute format($body$
    create function pgqueue_run.job_%1$s(id bigint, token bigint)
      returns bigint
      language plpgsql volatile security definer
    as $run$
    declare
      job record;
      row_count bigint := -1;
      is_set boolean;
    begin
      -- What this session has written in the transaction before may have triggers that wait for the commit. They would fire in here,
      -- before PostgreSQL 18 as this function's owner. Whoever has written something has a transaction id.
      if pg_catalog.pg_current_xact_id_if_assigned() is not null then
        raise exception 'a job is the first of its transaction' using errcode = '25000', hint = 'Call the procedure pgqueue_run.jobs_%1$s.';
      end if;
      job := pgqueue_take.take_%1$s(id, token);
      if job.sql is null then
        return null;
      end if;
      -- Whoever has the executors' login can prepare the session that this is called in. What lies there must not be taken for
      -- what the job names, nor the quotes in its text for something else.
      discard temp;
      deallocate all;
      -- An expression for what every job has, and a query, which costs three times that, for other settings only.
      is_set := pg_catalog.concat(
        pg_catalog.set_config('pgqueue.job_id', id::pg_catalog.text, true), pg_catalog.set_config('standard_conforming_strings', 'on', true),
        pg_catalog.set_config('search_path', coalesce(job.settings operator(pg_catalog.->>) 'search_path', 'pg_catalog, pg_temp'), true)) is not null;
      if job.settings operator(pg_catalog.-) 'search_path' operator(pg_catalog.<>) '{}' then
        perform pg_catalog.set_config(s.key, s.value, true) from pg_catalog.jsonb_each_text(job.settings) s;
      end if;
      if job.params is null then
        execute job.sql;
        get diagnostics row_count = row_count;
      else
        -- Prepared, so that the server finds out the types of the parameters.
        execute pg_catalog.concat('prepare pgqueue_job(', pg_catalog.rtrim(pg_catalog.repeat('unknown,', pg_catalog.cardinality(job.params)), ','), ') as ', job.sql);
        execute pg_catalog.concat('execute pgqueue_job(',
          (select pg_catalog.string_agg(pg_catalog.quote_nullable(p.value), ',' order by p.n) from pg_catalog.unnest(job.params) with ordinality p (value, n)), ')');
      end if;
      -- What a job leaves for the commit is its own: it fails here. What a trigger defers at the end would run at the commit, and up to
      -- PostgreSQL 17 as the executors' login: here it runs in a block in which it can write to no table but a temporary one, and so
      -- leave nothing behind that DISCARD accepts. Then cursors are closed, also those that a trigger has declared: the commit would
      -- compute the rest of a holdable one as the executors' login.
      set constraints all immediate;
      begin
        set transaction read only;
        set constraints all immediate;
      exception when assert_failure then
        raise;  -- a subtransaction is what the block is for: with it the read-only mode ends
      end;
      discard temp;
      execute 'close all';
      return row_count;
    end
    $run$
  $body$, role);
  execute format($body$
    create procedure pgqueue_run.jobs_%1$s(ids bigint[], tokens bigint[], worker text)
      language plpgsql
    as $run$
    declare
      row_count bigint;
      is_async boolean;
      done text;
    begin
      done := pgqueue_run.check_runner(%1$s);
      for n in 1 .. pg_catalog.cardinality(ids) loop
        done := pgqueue_run.pass_gate();
        commit;
        row_count := pgqueue_run.job_%1$s(ids[n], tokens[n]);
        if row_count is not null then
          is_async := pg_catalog.current_setting('synchronous_commit') operator(pg_catalog.=) 'off';
          -- To what the session was opened with: first of all the search_path, which the job may have set.
          reset all;
          discard sequences;
          deallocate all;
          unlisten *;
          done := pg_catalog.pg_advisory_unlock_all();
          if is_async then
            done := pg_catalog.set_config('synchronous_commit', 'off', true);
          end if;
          done := pgqueue_run.finish_job(ids[n], tokens[n], row_count, worker);
        end if;
        commit;
      end loop;
      -- So that a cancel of the last job does not hit what the session does then.
      done := pgqueue_run.pass_gate();
      commit;
    end
    $run$
  $body$, role);
  -- Nobody but the role can take its jobs, and with the token only: a runner that comes to belong to another role runs nothing.
  execute format('revoke all on function pgqueue_take.take_%1$s, pgqueue_run.job_%1$s from public', role);
  execute format('revoke all on procedure pgqueue_run.jobs_%1$s from public', role);
  execute format('grant execute on function pgqueue_take.take_%s to %s', role, role::regrole);
  execute format('grant execute on function pgqueue_run.job_%s to %I', role, pgqueue._executor_name());
  execute format('grant execute on procedure pgqueue_run.jobs_%s to %I', role, pgqueue._executor_name());
  -- To hand the runner over one must be able to become the role, and the role to create functions here: for a moment. The role may
  -- not use the schema, so it cannot name its function to alter it.
  if not is_ours then
    execute format('grant %s to %I', role::regrole, current_user);
  end if;
  execute format('grant create on schema pgqueue_run to %s', role::regrole);
  execute format('alter function pgqueue_run.job_%s owner to %s', role, role::regrole);
  execute format('revoke create on schema pgqueue_run from %s', role::regrole);
  if not is_ours then
    execute format('revoke %s from %I', role::regrole, current_user);
  end if;
  update pgqueue.role_key k set runner = p.oid, runner_xid = p.xmin
  from pg_proc p
  where k.role = _make_runner.role and p.oid = format('pgqueue_run.job_%s(bigint, bigint)', _make_runner.role)::regprocedure;
end
$_$;

COMMENT ON FUNCTION pgqueue._make_runner(role oid) IS 'Makes the runner of a role, if this role may hand a function over to it (else 42501)';

CREATE FUNCTION pgqueue._make_worker_login(OUT role text, OUT password text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  name text := 'pgqueue_worker_' || (select d.oid from pg_database d where d.datname = current_database());
begin
  insert into pgqueue.login as l (purpose, role, password)
  values ('worker', name, replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))
  on conflict on constraint login_pkey do update
  -- The database may be a copy of another.
  set role = name, password = case when l.role = name then l.password else excluded.password end
  returning l.role, l.password into role, password;
  execute format('%s role %I login password %L', case when to_regrole(name) is null then 'create' else 'alter' end, role, password);
  if not pg_has_role(role, 'pgqueue_worker', 'member') then
    execute format('grant pgqueue_worker to %I', role);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._make_worker_login(OUT role text, OUT password text) IS 'Makes a login that may run workers and nothing else, and tells its password. For whoever owns pgqueue: a worker may not log in as the owner';

CREATE FUNCTION pgqueue._worker_number(name text, fallback integer, least_value integer, greatest_value integer) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return least(greatest_value, greatest(least_value, pgqueue._worker_setting(name, fallback::text)::int));
exception when data_exception then
  raise warning 'pgqueue.% is not a number: "%"', name, pgqueue._worker_setting(name, null);
  return fallback;
end
$$;

COMMENT ON FUNCTION pgqueue._worker_number(name text, fallback integer, least_value integer, greatest_value integer) IS 'A setting that is a number, brought into a range; the fallback when it is none';

CREATE FUNCTION pgqueue._max_deliveries(queue text, submitter oid) RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER
    BEGIN ATOMIC
 SELECT COALESCE(( SELECT d.max_deliveries
            FROM pgqueue._declared(_max_deliveries.queue, _max_deliveries.submitter) d(id, name, declared_by, durable, exclusive, auto_delete, arguments, expires_after, message_ttl, max_deliveries, dead_letter_exchange, dead_letter_routing_key, used_at)), pgqueue._worker_number('max_deliveries'::text, 20, 1, 32767)) AS "coalesce";
END;

COMMENT ON FUNCTION pgqueue._max_deliveries(queue text, submitter oid) IS 'How often a task of a role may be handed out in a queue';

CREATE FUNCTION pgqueue._may_enter(submitter oid, queue text, payload json) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT ((("right"(queue, 7) <> '.pidbox'::text) AND ("left"(queue, 9) <> 'celeryev.'::text)) OR COALESCE((pg_has_role(submitter, 'pgqueue_worker'::name, 'member'::text) OR pg_has_role(submitter, 'pgqueue_admin'::name, 'member'::text)), false) OR (("right"(queue, 7) <> '.pidbox'::text) AND ((payload IS NULL) OR pgqueue._is_own_event(payload))));
END;

COMMENT ON FUNCTION pgqueue._may_enter(submitter oid, queue text, payload json) IS 'The door of the queues: whether a message of this role may be in that queue. Whatever puts a message into a queue asks it, for the message''s submitter and not for who moves it';

CREATE FUNCTION pgqueue._may_log_in(role oid) RETURNS boolean
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT r.rolcanlogin
    FROM pg_roles r
   WHERE (r.oid = _may_log_in.role);
END;

COMMENT ON FUNCTION pgqueue._may_log_in(role oid) IS 'Whether a session of this role can be opened';

CREATE FUNCTION pgqueue._member_settings() RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
begin
  -- No SET clause here: it would hide the caller's search_path.
  return pgqueue._settings();
exception when insufficient_privilege then
  perform pgqueue._enroll_self();
  return pgqueue._settings();
end
$$;

COMMENT ON FUNCTION pgqueue._member_settings() IS 'pgqueue._settings for the first launch of a member of pgbackground_role as well';

CREATE FUNCTION pgqueue._message_ttl(queue text, submitter name) RETURNS interval
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- Not a function in SQL: that would be planned at each call, and this is asked for each message.
  return (select d.message_ttl from pgqueue.queue d
          where d.name = queue and d.declared_by in (0, quote_ident(submitter)::regrole::oid)
          order by d.declared_by <> 0, d.id desc
          limit 1);
end
$$;

COMMENT ON FUNCTION pgqueue._message_ttl(queue text, submitter name) IS 'The x-message-ttl of a queue for the messages of a role; NULL: it has none';

CREATE FUNCTION pgqueue._minute_key(key text, minutes_ago integer) RETURNS text
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT encode(sha256(convert_to(concat_ws(' '::text, key, current_database(), EXTRACT(epoch FROM pg_postmaster_start_time()), ((floor((EXTRACT(epoch FROM clock_timestamp()) / (60)::numeric)))::bigint - minutes_ago)), 'UTF8'::name)), 'hex'::text) AS encode;
END;

COMMENT ON FUNCTION pgqueue._minute_key(key text, minutes_ago integer) IS 'The key of a role in this database for one minute of this server process';

CREATE FUNCTION pgqueue._misfit(answer jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select case when jsonb_typeof(answer -> 'columns') = 'array' then 'remote query result rowtype does not match the specified FROM clause rowtype'
              else 'remote query did not return a result set, but result rowtype is not a single text column' end
$$;

COMMENT ON FUNCTION pgqueue._misfit(answer jsonb) IS 'That a column definition list does not fit a result, in pg_background''s words';

CREATE FUNCTION pgqueue._naptime() RETURNS interval
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return pgqueue._setting('naptime', '3 s')::interval;
exception when data_exception then
  return interval '3 s';  -- as the workers take it
end
$$;

COMMENT ON FUNCTION pgqueue._naptime() IS 'How often workers look by themselves, as far as the calling session knows';

CREATE FUNCTION pgqueue._needs_top_level(error jsonb, params text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select case error ->> 'sqlstate'
    when '25001' then true  -- VACUUM and the like
    when '2D000' then true  -- a CALL or DO that commits
    when '25006' then true  -- it made its transaction read-only, or deferred more than once
    when '55006' then true  -- or that with a temporary table
    when '0A000' then true  -- transaction control, COPY, DISCARD ALL: refused there, with a better message
    -- SET ROLE: the login of the submitter may. Or the executors may not call the runner: the job may have tables of such names.
    when '42501' then error ->> 'message' ~ '"(role|session_authorization)"'
      or error ->> 'message' ~ E'\\mjobs?_[0-9]+\\M|\\mpgqueue_run\\M' and pgqueue._is_raised_in_run(error) is not true
    when '42601' then params is not null  -- not a statement that can be prepared
    when '42883' then error ->> 'message' ~ 'pgqueue_run[.]'  -- unenrolled meanwhile
    when 'PQ006' then true  -- its runner was changed
    when '42P18' then params is not null  -- a parameter that it does not name
    else false end
$$;

COMMENT ON FUNCTION pgqueue._needs_top_level(error jsonb, params text[]) IS 'Whether an error says that a statement cannot run inside a function';

CREATE FUNCTION pgqueue._next_of_role(kind pgqueue.message_kind, queue text, role oid, max_count integer, bounds jsonb, above bigint) RETURNS TABLE(id bigint, rank bigint)
    LANGUAGE plpgsql ROWS 1
    AS $$
#variable_conflict use_column
begin
  if bounds is null then
    return query
    select m.id, pgqueue._rank(m.priority, m.id)
    from pgqueue.message m
    where m.queue = _next_of_role.queue and m.kind = _next_of_role.kind and m.state = 'ready' and m.submitter = _next_of_role.role
      and pgqueue._rank(m.priority, m.id) > above
    order by pgqueue._rank(m.priority, m.id)
    limit max_count
    for update skip locked;
  else
    -- In each priority above what was claimed before, so that what was done since some old snapshot is not read again and again.
    return query
    select m.id, m.rank
    from generate_series(greatest(above >> 58, 0)::int, 9) p (level)
    cross join lateral (
      select r.id, pgqueue._rank(r.priority, r.id) as rank
      from pgqueue.message r
      where r.queue = _next_of_role.queue and r.kind = _next_of_role.kind and r.state = 'ready' and r.submitter = _next_of_role.role
        and pgqueue._rank(r.priority, r.id) > greatest(pgqueue._bound(bounds, p.level), above)
        and pgqueue._rank(r.priority, r.id) < (p.level + 1)::bigint << 58
      order by pgqueue._rank(r.priority, r.id)
      limit max_count
      for update skip locked
    ) m
    limit max_count;
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._next_of_role(kind pgqueue.message_kind, queue text, role oid, max_count integer, bounds jsonb, above bigint) IS 'Locks the next ready messages of a role in a queue that nobody else has locked: those above a rank. bounds: above which rank to look, for each level (9 - priority)';

CREATE FUNCTION pgqueue._next_overdue(kind pgqueue.message_kind, queue text, max_count integer, bounds jsonb, role_limit integer, held jsonb) RETURNS TABLE(id bigint)
    LANGUAGE plpgsql ROWS 1
    AS $$
#variable_conflict use_column
declare
  -- Of one role: the others are not behind its priorities.
  role oid := (select r.role from unnest(pgqueue._ready_roles(kind, queue, pgqueue._role_after(queue), 20, bounds)) r (role) order by random() limit 1);
  of_role jsonb := case when bounds is not null then coalesce(bounds -> role::text, '{}') end;
  room int := greatest(least(max_count, role_limit - coalesce((held ->> role::text)::int, 0)), 0);
  first_level int := (select (n.rank >> 58)::int from pgqueue._next_of_role(kind, queue, role, 1, of_role, -1) n);
begin
  if first_level < 9 then
    return query
    select m.id
    -- Any of the lower levels, lest one of them is always passed over.
    from pgqueue._next_of_role(kind, queue, role, room, of_role, (first_level + 1 + floor(random() * (9 - first_level))::bigint << 58) - 1) n
    join pgqueue.message m on m.id = n.id
    where greatest(m.launched_at, m.due_at) < clock_timestamp() - interval '1 minute';
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._next_overdue(kind pgqueue.message_kind, queue text, max_count integer, bounds jsonb, role_limit integer, held jsonb) IS 'Locks some messages of a role in a queue that have waited for more than a minute behind its higher priorities';

CREATE FUNCTION pgqueue._next_ready(kind pgqueue.message_kind, queue text, max_count integer, bounds jsonb, role_limit integer, held jsonb) RETURNS TABLE(id bigint, place bigint)
    LANGUAGE plpgsql ROWS 1
    AS $$
#variable_conflict use_column
declare
  most_roles constant int := 50;
  after pg_catalog.oid;
  first_role pg_catalog.oid;
  roles pg_catalog.oid[];
  is_last boolean;
  rooms int[];
  taken int[];
  last_ranks bigint[];
  active int[];
  still_active int[];
  n int;
  share int;
  got int;
begin
  if bounds is null then
    -- The usual case at once: one role has handed in all that is here. The last one is looked for, since what is done stands in front: to find
    -- the first would be to read past it once more.
    return query
    with last_role as materialized (
      select m.submitter from pgqueue.message m
      where m.queue = _next_ready.queue and m.kind = _next_ready.kind and m.state = 'ready'
      order by m.submitter desc limit 1
    )
    select m.id, pgqueue._rank(m.priority, m.id)
    from pgqueue.message m
    where m.queue = _next_ready.queue and m.kind = _next_ready.kind and m.state = 'ready'
      and m.submitter = (select l.submitter from last_role l)
      and not exists (select from pgqueue.message e
                      where e.queue = _next_ready.queue and e.kind = _next_ready.kind and e.state = 'ready'
                        and e.submitter < (select l.submitter from last_role l))
    order by pgqueue._rank(m.priority, m.id)
    limit case when role_limit is null then max_count
          else greatest(least(max_count, role_limit - coalesce((held ->> (select l.submitter::pg_catalog.text from last_role l))::int, 0)), 0) end
    for update skip locked;
    if found then
      return;
    end if;
  end if;
  after := pgqueue._role_after(queue);
  while max_count > 0 loop
    -- At least two: of a role that is alone nothing is noted.
    roles := pgqueue._ready_roles(kind, queue, after, least(greatest(max_count, 2), most_roles), bounds);
    is_last := cardinality(roles) < least(greatest(max_count, 2), most_roles);
    if first_role is null then
      exit when roles = '{}';
      if roles[2] is null then
        return query
        select m.id, m.rank
        from pgqueue._next_of_role(kind, queue, roles[1], greatest(least(max_count, role_limit - coalesce((held ->> roles[1]::text)::int, 0)), 0),
                                   case when bounds is not null then coalesce(bounds -> roles[1]::text, '{}') end, -1) m;
        return;
      end if;
      first_role := roles[1];
    elsif first_role = any (roles) then
      roles := roles[:array_position(roles, first_role) - 1];
      is_last := true;
    end if;
    roles := roles[:max_count];
    exit when roles = '{}';
    select array_agg(least(max_count, role_limit - coalesce((held ->> r.role::text)::int, 0)) order by r.n),
           array_agg(0 order by r.n), array_agg(-1::bigint order by r.n), array_agg(r.n::int order by r.n)
    into rooms, taken, last_ranks, active
    from unnest(roles) with ordinality r (role, n);
    -- To each an equal share. What one has no use for is shared among the others.
    while active <> '{}' and max_count > 0 loop
      still_active := '{}';
      for i in 1 .. cardinality(active) loop
        n := active[i];
        share := least(ceil(max_count / (cardinality(active) - i + 1)::numeric), rooms[n]);
        continue when share <= 0;
        got := 0;
        for id, place in
          select m.id, m.rank
          from pgqueue._next_of_role(kind, queue, roles[n], share, case when bounds is not null then coalesce(bounds -> roles[n]::text, '{}') end, last_ranks[n]) m
        loop
          last_ranks[n] := place;
          taken[n] := taken[n] + 1;
          got := got + 1;
          -- The first of each before the second.
          place := taken[n] * 1000 + n;
          return next;
        end loop;
        max_count := max_count - got;
        rooms[n] := rooms[n] - got;
        if got = share then
          still_active := still_active || n;
        end if;
      end loop;
      active := still_active;
    end loop;
    -- Next time another one is the first: when all had a turn the second of these, else who comes after the last.
    after := case when is_last then first_role else roles[cardinality(roles)] end;
    exit when is_last;
  end loop;
  if first_role is not null then
    perform set_config('pgqueue.claim_turns',
                       (coalesce(nullif(current_setting('pgqueue.claim_turns', true), ''), '{}')::pg_catalog.jsonb || jsonb_build_object(queue, after::text))::text, false);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._next_ready(kind pgqueue.message_kind, queue text, max_count integer, bounds jsonb, role_limit integer, held jsonb) IS 'Locks the next ready messages of a queue that nobody else has locked, a turn for each role, and says in which order they are handed out. bounds: above which rank to look, for each role and level; role_limit: how many of one role at most, beside those that are held';

CREATE FUNCTION pgqueue._nobody_sleeps(queue text) RETURNS boolean
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT pg_try_advisory_xact_lock_shared(pgqueue._lock_class('sleeper'::text), hashtext(queue)) AS pg_try_advisory_xact_lock_shared;
END;

COMMENT ON FUNCTION pgqueue._nobody_sleeps(queue text) IS 'As pgqueue._wake asks it, within a statement. False: call that';

CREATE FUNCTION pgqueue._note_binding(holder oid, wanted_queue text, wanted_exchange text, wanted_key text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pgqueue._check_short_text('routing key', wanted_key);
  if exists (select from pgqueue.binding b
             where b.exchange = wanted_exchange and b.declared_by in (0, holder) and b.queue = wanted_queue and b.routing_key = wanted_key) then
    return;
  elsif holder <> 0 and (wanted_exchange = 'celeryev' or right(wanted_exchange, 7) = '.pidbox') then
    raise exception 'permission denied for exchange "%"', wanted_exchange
      using errcode = '42501', hint = 'Celery''s events and control commands are for workers and administrators: grant pgqueue_worker or pgqueue_admin.';
  elsif not exists (select from pgqueue._declared(wanted_queue, holder)) then
    raise exception 'queue "%" does not exist', wanted_queue using errcode = '23503', hint = 'Declare it first.';
  elsif not exists (select from pgqueue.exchange e where e.name = wanted_exchange and e.declared_by in (0, holder)) then
    raise exception 'exchange "%" does not exist', wanted_exchange using errcode = '23503', hint = 'Declare it first.';
  end if;
  if holder <> 0 then
    perform pgqueue._require_room(holder, 'bindings', (select count(*) from pgqueue.binding b where b.declared_by = holder));
  end if;
  insert into pgqueue.binding (exchange, declared_by, routing_key, queue) values (wanted_exchange, holder, wanted_key, wanted_queue);
  if holder = 0 then
    -- Workers remember where nobody listens: events cost nothing then.
    perform pgqueue._notify_at_commit('pgqueue.bindings');
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._note_binding(holder oid, wanted_queue text, wanted_exchange text, wanted_key text) IS 'Feeds a queue from an exchange';

CREATE FUNCTION pgqueue._note_exchange(holder oid, wanted_name text, wanted jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  present text := (select e.type from pgqueue.exchange e where e.name = wanted_name and e.declared_by in (0, holder) order by e.declared_by <> 0, e.id desc limit 1);
begin
  perform pgqueue._check_short_text('exchange name', wanted_name);
  if wanted ->> 'type' not in ('direct', 'topic', 'fanout') then
    raise exception 'exchange "%" cannot be of the type %', wanted_name, wanted ->> 'type'
      using errcode = '0A000', hint = 'Exchanges are direct, topic or fanout.';
  elsif present <> wanted ->> 'type' then
    raise exception 'exchange "%" exists as % and not as %', wanted_name, present, wanted ->> 'type'
      using errcode = 'PQ004', hint = 'Delete it first, or declare it as it is.';
  elsif present is null then
    if holder <> 0 then
      perform pgqueue._require_room(holder, 'exchanges', (select count(*) from pgqueue.exchange e where e.declared_by = holder));
    end if;
    insert into pgqueue.exchange (name, declared_by, type, durable, auto_delete, arguments)
    values (wanted_name, holder, wanted ->> 'type', (wanted ->> 'durable')::boolean, (wanted ->> 'auto_delete')::boolean, coalesce(nullif(wanted -> 'arguments', 'null'), '{}'));
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._note_exchange(holder oid, wanted_name text, wanted jsonb) IS 'Makes an exchange; PQ004 when it exists with another type';

CREATE FUNCTION pgqueue._note_queue(holder oid, wanted_name text, wanted jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  given jsonb := coalesce(nullif(wanted -> 'arguments', 'null'), '{}');
  limit_ numeric := given ->> 'x-delivery-limit';
  present pgqueue.queue;
  noted bigint;
begin
  perform pgqueue._check_queue(wanted_name, given);
  select * into present from pgqueue._declared(wanted_name, holder);
  if (present.durable, present.exclusive, present.auto_delete, present.arguments)
     is not distinct from ((wanted ->> 'durable')::boolean, (wanted ->> 'exclusive')::boolean, (wanted ->> 'auto_delete')::boolean, given) then
    -- Every publisher declares its queues: a declaration that changes nothing writes nothing. But declaring a queue is using it.
    if present.expires_after is not null then
      update pgqueue.queue d set used_at = clock_timestamp()
      where d.id = (select u.id from pgqueue.queue u where u.id = present.id for update skip locked);
    end if;
    return;
  elsif present.declared_by = 0 and holder <> 0 then
    perform pgqueue._refuse_change('queue', wanted_name);
  elsif present.id is null and holder <> 0 then
    perform pgqueue._require_room(holder, 'queues', (select count(*) from pgqueue.queue d where d.declared_by = holder));
  end if;
  insert into pgqueue.queue (name, declared_by, durable, exclusive, auto_delete, arguments, expires_after, message_ttl, max_deliveries,
                                      dead_letter_exchange, dead_letter_routing_key)
  values (wanted_name, holder, (wanted ->> 'durable')::boolean, (wanted ->> 'exclusive')::boolean, (wanted ->> 'auto_delete')::boolean, given,
          pgqueue._interval_argument(given, 'x-expires'), pgqueue._interval_argument(given, 'x-message-ttl'),
          -- RabbitMQ counts how often a message came back. A limit below 0 is none.
          case when limit_ between 0 and 1000000 then limit_::int + 1 when given ? 'x-delivery-limit' then 2147483647 end,
          given ->> 'x-dead-letter-exchange', given ->> 'x-dead-letter-routing-key')
  returning id into noted;
  delete from pgqueue.queue d
  where d.id = any (array(select o.id from pgqueue.queue o where o.name = wanted_name and o.declared_by = holder and o.id < noted for update skip locked));
end
$$;

COMMENT ON FUNCTION pgqueue._note_queue(holder oid, wanted_name text, wanted jsonb) IS 'Makes a queue, or changes its attributes';

CREATE FUNCTION pgqueue._note_roles() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  insert into pgqueue.role_name as n (role, name)
  select r.oid, r.rolname
  from (select k.role from pgqueue.role_key k union select q.declared_by from pgqueue.queue q union select e.declared_by from pgqueue.exchange e
        union select b.declared_by from pgqueue.binding b union select n.role from pgqueue.role_name n) used (role)
  join pg_roles r on r.oid = used.role
  on conflict on constraint role_name_pkey do update set name = excluded.name where n.name is distinct from excluded.name;
  delete from pgqueue.role_name n where n.role < 4294900000 and not exists (select from pg_roles r where r.oid = n.role);
$$;

COMMENT ON FUNCTION pgqueue._note_roles() IS 'Notes what the roles are called whose numbers stand in other tables, also after ALTER ROLE ... RENAME';

CREATE FUNCTION pgqueue._note_run(id bigint, token bigint, pid integer, run_s double precision) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform set_config('synchronous_commit', 'off', true);
  perform pgqueue._forget_earlier_runs(array[id]);
  insert into pgqueue.activity (id, token, worker_id, backend_pid, started_at)
  select m.id, m.token, m.worker_id, _note_run.pid, clock_timestamp() - run_s * interval '1 s'
  from pgqueue.message m
  where m.id = _note_run.id and m.token = _note_run.token
  on conflict do nothing;
end
$$;

COMMENT ON FUNCTION pgqueue._note_run(id bigint, token bigint, pid integer, run_s double precision) IS 'Makes a job visible as running, if it was not, since so many seconds: one that takes a while, tells its progress or fails. For workers';

CREATE FUNCTION pgqueue._note_usage() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  max_messages bigint := nullif(pgqueue._limit('max_messages', 0), 0);
  max_delayed bigint := nullif(pgqueue._limit('max_delayed', 0), 0);
  max_bytes bigint := nullif(pgqueue._limit('max_megabytes', 0)::bigint, 0) * 1024 * 1024;
  begun_at timestamptz := clock_timestamp();
  -- Of a large table a part stands for all: 20,000 pages are 160 MB.
  part float8 := least(100, 100 * 20000 * 8192.0 / greatest(pg_relation_size('pgqueue.message'), 1));
begin
  if num_nonnulls(max_messages, max_delayed, max_bytes) = 0 then
    if exists (select from pgqueue.role_usage) or exists (select from pgqueue.role_key k where k.over_quota is not null) then
      delete from pgqueue.role_usage;
      update pgqueue.role_key k set over_quota = null where k.over_quota is not null;
    end if;
    return;
  end if;
  -- Counting gets a fiftieth of the time.
  if exists (select from pgqueue.role_usage u where u.counted_at + 50 * u.seconds * interval '1 s' > begun_at) then
    return;
  end if;
  delete from pgqueue.role_usage;
  insert into pgqueue.role_usage (role, messages, delayed, bytes, counted_at, seconds)
  select m.submitter, count(*) * 100 / part, count(*) filter (where m.state = 'delayed') * 100 / part,
         sum(100 + coalesce(pg_column_size(m.sql), 0) + coalesce(pg_column_size(m.params), 0) + coalesce(pg_column_size(m.settings), 0)
             + coalesce(pg_column_size(m.payload), 0)) * 100 / part, begun_at, 0
  from pgqueue.message m tablesample system (part)
  group by m.submitter;
  update pgqueue.role_usage u set seconds = extract(epoch from clock_timestamp() - begun_at);
  update pgqueue.role_key k set over_quota = n.over_quota
  from (
    select r.role, case when u.messages >= max_messages then 'messages' when u.delayed >= max_delayed then 'delayed messages'
                        when u.bytes >= max_bytes then 'megabytes of messages' end as over_quota
    from pgqueue.role_key r left join pgqueue.role_usage u on u.role = r.role
  ) n
  where n.role = k.role and n.over_quota is distinct from k.over_quota;
end
$$;

COMMENT ON FUNCTION pgqueue._note_usage() IS 'Counts what each role has in the queues, where a quota is set, and notes who is over: the doors refuse those until it is counted again';

CREATE FUNCTION pgqueue._notify_at_commit(channel text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- PREPARE TRANSACTION refuses a transaction that has sent a notification, and nothing says beforehand how one will end. Where there can
  -- be prepared ones, what runs at the end decides: before a commit it notifies; a prepared transaction leaves its messages to the workers,
  -- who look once every naptime.
  if current_setting('max_prepared_transactions')::int = 0 then
    perform pg_notify(channel, '');
  elsif coalesce(strpos(current_setting('pgqueue.noticed', true), channel || ' ') > 0, false) is false then
    insert into pgqueue.notice (channel) values (_notify_at_commit.channel);
    perform set_config('pgqueue.noticed', concat(current_setting('pgqueue.noticed', true), channel, ' '), true);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._notify_at_commit(channel text) IS 'Notifies when the transaction commits. One that is prepared (two-phase commit) notifies nobody';

CREATE FUNCTION pgqueue._objects_like_pg_background(schema_name text) RETURNS TABLE(kind text, oid oid, signature text, is_helper boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select 'function', p.oid, format('function %s', p.oid::regprocedure), p.proname ~ '(grant|revoke)_'
  from pg_proc p
  where p.pronamespace = to_regnamespace(quote_ident(schema_name)) and p.proname ~ '^(pg_background_|(grant|revoke)_pg_background_)'
  union all
  select case c.relkind when 'v' then 'view' else 'type' end, c.oid,
         format('%s %s', case c.relkind when 'v' then 'view' else 'type' end, c.oid::regclass), false
  from pg_class c
  where c.relnamespace = to_regnamespace(quote_ident(schema_name)) and c.relname ~ '^pg_background_' and c.relkind in ('v', 'c')
$$;

COMMENT ON FUNCTION pgqueue._objects_like_pg_background(schema_name text) IS 'What in a schema has a name of pg_background';

CREATE FUNCTION pgqueue._outcome(want_pid integer, want_cookie bigint, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._outcome(want_pid integer, want_cookie bigint, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) IS 'pg_background_outcome: never raises';

CREATE FUNCTION pgqueue._outcome_of(job jsonb, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) RETURNS record
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ((_outcome_of.job ->> 'pid'::text))::integer AS int4,
     ((_outcome_of.job ->> 'cookie'::text))::bigint AS int8,
     (_outcome_of.job ->> 'state'::text),
     false,
     (NOT ((_outcome_of.job ->> 'live'::text))::boolean),
     COALESCE((jsonb_typeof((_outcome_of.job -> 'error'::text)) = 'object'::text), false) AS "coalesce",
     ((_outcome_of.job ->> 'row_count'::text))::bigint AS int8,
     ((_outcome_of.job -> 'command_tags'::text) ->> '-1'::integer),
     (e.error ->> 'sqlstate'::text),
     (e.error ->> 'message'::text),
     (_outcome_of.job ->> 'label'::text),
     ((_outcome_of.job ->> 'launched_at'::text))::timestamp with time zone AS timestamptz
    FROM ( SELECT pgqueue._background_error(((_outcome_of.job ->> 'pid'::text))::integer, (_outcome_of.job -> 'error'::text)) AS _background_error) e(error)
   WHERE (_outcome_of.job IS NOT NULL);
END;

COMMENT ON FUNCTION pgqueue._outcome_of(job jsonb, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) IS 'What became of a job that was described';

CREATE FUNCTION pgqueue._over_loopback(op text, role oid, nonce bigint, request text, proof text, holds boolean DEFAULT false) RETURNS SETOF jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  name text := (select c from unnest(pgqueue._dblink_connections()) c where starts_with(c, 'pgqueue.loopback '));
  -- Ahead of the request stands as much blank as pg_stat_activity shows, so that no other session reads it there.
  padded text := repeat(' ', 1024 * (1 + pg_size_bytes(current_setting('track_activity_query_size')) / 1024)::int)
    || case when holds then 'begin; ' else '' end
    || format(case when pgqueue._dblink_is_closed() then 'execute pgqueue_gate(%L, %L, %L, %L, %L)' else 'select * from pgqueue._gate(%L, %L, %L, %L, %L)' end,
              op, role, nonce, request, proof);
  is_fresh boolean := false;
  state text;
  message text;
  detail text;
  hint text;
begin
  loop
    if name is null then
      name := 'pgqueue.loopback ' || pgqueue._session_id();
      perform pgqueue._connect_loopback(name);
      if pgqueue._dblink_is_closed() then
        perform pgqueue._dblink_exec(name, 'prepare pgqueue_gate (text, oid, bigint, text, text) as select * from pgqueue._gate($1, $2, $3, $4, $5)');
      end if;
      is_fresh := true;
    end if;
    begin
      return query select * from pgqueue._dblink_query(name, padded);
      return;
    exception when others then
      get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
      if holds then
        perform pgqueue._end_hold(false);
      end if;
      if is_fresh or state not in ('08000', '08006', '08003', '57P01', '57P02', '25001', '25P02', '26000', 'XX000') then
        -- The same error without the context of the other session, which says nothing to the caller.
        perform pgqueue._raise(jsonb_build_object('sqlstate', state, 'message', message, 'detail', nullif(detail, ''), 'hint', nullif(hint, '')));
      end if;
    end;
    -- The session at the other end is gone, or busy with what a cancel has left (XX000), or somebody opened a transaction in it or
    -- took the prepared statement away. A request is accepted once, so sending it again is safe.
    perform pgqueue._close_loopback();
    name := null;
  end loop;
end
$_$;

COMMENT ON FUNCTION pgqueue._over_loopback(op text, role oid, nonce bigint, request text, proof text, holds boolean) IS 'Asks the gate over the loopback of this session, and connects it first if need be. holds: what it does stays undone until pgqueue._end_hold, unless it raises';

CREATE FUNCTION pgqueue._oversee(ids bigint[], tokens bigint[], pids integer[], least_ms integer, grace_ms integer) RETURNS TABLE(id bigint, token bigint, pid integer, run_for_ms double precision, is_canceled boolean, is_overdue boolean, is_final boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
#variable_conflict use_column
declare
  runs record;
begin
  -- First the sessions that have been in a transaction for a while: mostly there are none.
  select array_agg(m.id) as ids, array_agg(m.token) as tokens, array_agg(s.pid) as pids, array_agg(s.xact_start) as started_at into runs
  from (
    select a.pid, a.xact_start, a.backend_xid
    from (select distinct p from unnest(pids) p) p
    cross join lateral pg_stat_get_activity(p.p) a
    where a.xact_start < clock_timestamp() - least_ms * interval '1 ms' and a.backend_xid is not null
  ) s
  join unnest(ids, tokens, pids) r (id, token, pid) on r.pid = s.pid
  join pgqueue.message m on m.id = r.id and m.token = r.token and m.xmax = s.backend_xid;
  if runs.ids is null then
    return;
  end if;
  perform set_config('synchronous_commit', 'off', true);
  perform pgqueue._forget_earlier_runs(runs.ids);
  insert into pgqueue.activity (id, token, worker_id, backend_pid, started_at)
  select m.id, m.token, m.worker_id, r.pid, r.started_at
  from unnest(runs.ids, runs.tokens, runs.pids, runs.started_at) r (id, token, pid, started_at)
  join pgqueue.message m on m.id = r.id and m.token = r.token
  on conflict do nothing;
  return query
  select m.id, m.token, r.pid, extract(epoch from o.run_for)::float8 * 1000, q.id is not null,
         coalesce(o.run_for > o.timeout, false),
         coalesce(q.terminate_at <= clock_timestamp(), false) or coalesce(o.run_for - o.timeout > grace_ms * interval '1 ms', false)
  from unnest(runs.ids, runs.tokens, runs.pids, runs.started_at) r (id, token, pid, started_at)
  join pgqueue.message m on m.id = r.id and m.token = r.token
  cross join lateral (
    select clock_timestamp() - r.started_at as run_for,
           pgqueue._time_allowed(m.timeout, m.settings) as timeout
  ) o
  left join pgqueue.request q on q.id = m.id and q.kind = 'cancel';
end
$$;

COMMENT ON FUNCTION pgqueue._oversee(ids bigint[], tokens bigint[], pids integer[], least_ms integer, grace_ms integer) IS 'Which of these jobs run in the batch lane, and since when: makes them visible as running, and says which are to be stopped: canceled, or past their timeout; is_final: for so long that their session is to be ended';

CREATE FUNCTION pgqueue._partition_name(parent text, day date) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ((parent || '_'::text) || to_char((day)::timestamp with time zone, 'YYYYMMDD'::text));
END;

COMMENT ON FUNCTION pgqueue._partition_name(parent text, day date) IS 'The name of the partition of a day';

CREATE FUNCTION pgqueue._peek(queue text, max_count integer) RETURNS TABLE(id bigint, kind text, name text, state text, submitter text, priority integer, launched_at timestamp with time zone, eta timestamp with time zone, deliveries integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select w.id, w.kind::text, case w.kind when 'job' then w.label else pgqueue._task_name(w.payload) end, w.state::text,
         pg_get_userbyid(w.submitter), w.priority::int, w.launched_at, w.due_at, w.deliveries::int
  from (
    select n.* from unnest(pgqueue._ready_roles('job', _peek.queue, 0, max_count, null)) r (role) cross join lateral
      (select m.*, row_number() over (order by pgqueue._rank(m.priority, m.id)) as turn from pgqueue.message m
       where m.queue = _peek.queue and m.kind = 'job' and m.state = 'ready' and m.submitter = r.role order by pgqueue._rank(m.priority, m.id) limit max_count) n
    union all
    select n.* from unnest(pgqueue._ready_roles('task', _peek.queue, 0, max_count, null)) r (role) cross join lateral
      (select m.*, row_number() over (order by pgqueue._rank(m.priority, m.id)) as turn from pgqueue.message m
       where m.queue = _peek.queue and m.kind = 'task' and m.state = 'ready' and m.submitter = r.role order by pgqueue._rank(m.priority, m.id) limit max_count) n
    union all
    (select m.*, 0 from pgqueue.message m where m.queue = _peek.queue and m.state = 'delayed' order by m.due_at limit max_count)
  ) w
  order by w.state = 'delayed', case when w.state = 'delayed' then w.due_at end, w.turn, pgqueue._rank(w.priority, w.id)
  limit max_count
$$;

COMMENT ON FUNCTION pgqueue._peek(queue text, max_count integer) IS 'What waits in a queue, in the order in which it is handed out; it stays there. The labels of jobs and the names of tasks, no statements and no arguments. For operators';

CREATE FUNCTION pgqueue._prints_alike(json_text text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ((length(json_text) <= 1000) AND (json_text ~ '^(?:[][{}:, ]|-?[0-9]+[],}]|-?[0-9]{1,9}\.[0-9]{0,3}[1-9][],}]|"[^"''\\\u007f-\u00a0\u00ad]*")*$'::text));
END;

COMMENT ON FUNCTION pgqueue._prints_alike(json_text text) IS 'Whether Python would print these arguments as JSON does, but for the kind of quotes';

CREATE FUNCTION pgqueue._plain_task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, task_id text, ignore_result boolean) RETURNS json
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (concat('{"body": ', to_json(concat('[', args, ', ', kwargs, ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]')), ', "content-type": "application/json", "content-encoding": "utf-8", "headers": {"lang": "py", "task": ', to_json(task), ', "id": ', to_json(task_id), ', "shadow": null, "eta": null, "expires": null, "group": null, "group_index": null, "retries": 0, "timelimit": [null, null], "root_id": ', to_json(task_id), ', "parent_id": null, "argsrepr": ', to_json(
         CASE
             WHEN pgqueue._prints_alike((args)::text) THEN concat('(', substr(translate((args)::text, '"'::text, ''''::text), 2, (length((args)::text) - 2)),
             CASE
                 WHEN (jsonb_array_length(args) = 1) THEN ',)'::text
                 ELSE ')'::text
             END)
             ELSE pgqueue._args_repr(args)
         END), ', "kwargsrepr": ', to_json(
         CASE
             WHEN pgqueue._prints_alike((kwargs)::text) THEN translate((kwargs)::text, '"'::text, ''''::text)
             ELSE pgqueue._kwargs_repr(kwargs)
         END), ', "origin": ', to_json(concat(pg_backend_pid(), '@', current_database())), ', "ignore_result": ', to_json(COALESCE(ignore_result, false)), ', "replaced_task_nesting": 0, "stamped_headers": null, "stamps": {}}, "properties": {"correlation_id": ', to_json(task_id), ', "reply_to": "", "delivery_mode": 2, "priority": ', priority, ', "delivery_info": {"exchange": "", "routing_key": ', to_json(queue), '}}}'))::json AS concat;
END;

COMMENT ON FUNCTION pgqueue._plain_task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, task_id text, ignore_result boolean) IS 'A task as a Celery message: pgqueue._task_message without due time, expiry, headers and callbacks';

CREATE FUNCTION pgqueue._postpone(id bigint, token bigint, due_at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  queue text;
begin
  -- By the clock that will make it ready.
  if due_at <= clock_timestamp() then
    return false;
  end if;
  update pgqueue.message m
  set state = 'delayed', token = null, worker_id = null, deliveries = greatest(m.deliveries - 1, 0), due_at = _postpone.due_at
  where m.id = _postpone.id and m.token = _postpone.token
  returning m.queue into queue;
  if found then
    perform pgqueue._wake_for(queue, due_at);
  end if;
  return true;
end
$$;

COMMENT ON FUNCTION pgqueue._postpone(id bigint, token bigint, due_at timestamp with time zone) IS 'A claimed task says itself that it is due later, and was published without that: it waits here, not in the worker. False: it is due now';

CREATE FUNCTION pgqueue._progress_of(role oid, handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pgqueue._locate(role, handle, '55000');
  select a.progress_pct, a.progress_msg into progress_pct, progress_msg
  from pgqueue.activity a join pgqueue.message m on m.id = a.id and m.token = a.token where a.id = handle.id;
  if not found then
    select h.progress_pct, h.progress_msg into progress_pct, progress_msg from pgqueue.history h where h.id = handle.id;
  end if;
exception when undefined_object then
  null;  -- unknown: no progress, as in pg_background
end
$$;

COMMENT ON FUNCTION pgqueue._progress_of(role oid, handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) IS 'The last progress of a job';

CREATE FUNCTION pgqueue._progress_of_tracked(want_pid integer, want_cookie bigint, OUT progress_pct integer, OUT progress_msg text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  job jsonb := pgqueue._ask_tracked(want_pid, want_cookie, null);
begin
  progress_pct := job ->> 'progress_pct';
  progress_msg := job ->> 'progress_msg';
end
$$;

COMMENT ON FUNCTION pgqueue._progress_of_tracked(want_pid integer, want_cookie bigint, OUT progress_pct integer, OUT progress_msg text) IS 'pg_background_get_progress';

CREATE FUNCTION pgqueue._promote(max_count integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  due_until timestamptz := clock_timestamp();  -- a value, not a volatile call: the index can stop there
  promoted int;
begin
  update pgqueue.message m
  set state = 'ready'
  from (
    select d.id from pgqueue.message d
    where d.state = 'delayed' and d.due_at <= due_until
    order by d.due_at
    limit max_count
    for update skip locked
  ) due
  where m.id = due.id;
  get diagnostics promoted = row_count;
  return promoted;
end
$$;

COMMENT ON FUNCTION pgqueue._promote(max_count integer) IS 'Makes delayed messages that are due ready';

CREATE FUNCTION pgqueue._publish(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql
    AS $$
declare
  nobody_sleeps pg_catalog.bool;
begin
  -- What nearly all messages do is one statement, as in pgqueue._enqueue: each expression and each SET clause more would cost something.
  if pgqueue._goes_straight(exchange, routing_key, eta) then
    insert into pgqueue.outbox (queue, kind, priority, expires_at, payload)
    values (routing_key, 'task', least(greatest(coalesce(priority, 0), 0), 9),
            least(expires, pg_catalog.clock_timestamp() operator(pg_catalog.+) pgqueue._message_ttl(routing_key, current_user)), message)
    returning pgqueue._nobody_sleeps(routing_key) into nobody_sleeps;
    if not nobody_sleeps then
      perform pgqueue._wake(routing_key);
    end if;
    return 1;
  end if;
  return pgqueue._publish_otherwise(exchange, routing_key, message, priority, eta, expires);
end
$$;

COMMENT ON FUNCTION pgqueue._publish(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone) IS 'Publishes a kombu message in the caller''s transaction. Returns how many queues it reached; exchange '''' is straight to the queue named by the routing key';

CREATE FUNCTION pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  reached int;
begin
  insert into pgqueue.dispatch as d (exchange, routing_key, payload, priority, due_at, expires_at)
  values (_publish_otherwise.exchange, _publish_otherwise.routing_key, message, _publish_otherwise.priority, case when eta > clock_timestamp() then eta end, expires)
  returning d.reached into reached;
  return reached;
end
$$;

COMMENT ON FUNCTION pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone) IS 'Publishes what is routed by an exchange, has a due time or is a control command';

CREATE FUNCTION pgqueue._purge(queue text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  purged int;
begin
  with gone as (
    -- But for what tells a worker to end the chord of a task that was purged before.
    delete from pgqueue.message m
    where m.queue = _purge.queue and m.kind = 'task' and m.state <> 'claimed' and pgqueue._text_in(m.payload, '{headers,pgqueue_end,state}') is null
    returning m as message
  )
  select count(pgqueue._end_task(g.message, 'REVOKED', 'the queue was purged')) into purged from gone g;
  return purged;
end
$$;

COMMENT ON FUNCTION pgqueue._purge(queue text) IS 'Deletes the tasks of a queue that no worker has: they end as REVOKED. SQL jobs stay: cancel those';

CREATE FUNCTION pgqueue._put_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, cookie bigint) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
  due_at timestamptz := pgqueue._check_options(sql, queue, priority, delay, eta, expires, timeout, max_attempts, backoff, durability);
  handle pgqueue.handle;
begin
  if array_ndims(params) > 1 then
    perform pgqueue._refuse_params();
  end if;
  timeout := coalesce(timeout, pgqueue._inherited_timeout(settings));
  settings := pgqueue._inherited(settings);
  if durability is not null then
    settings := pgqueue._with_durability(settings, durability);
  end if;
  loop
    if submitter is null then
      insert into pgqueue.outbox (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params,
                                  settings, timeout, backoff, label, unique_key)
      values (cookie, session_id, due_at, expires, 'job', case when due_at is null then 'ready' else 'delayed' end::pgqueue.message_state,
              kept, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label, unique_key)
      on conflict do nothing
      returning outbox.id, outbox.cookie into handle.id, handle.cookie;
    else
      insert into pgqueue.inbox (submitter, cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql,
                                   params, settings, timeout, backoff, label, unique_key)
      values (submitter, cookie, session_id, due_at, expires, 'job', case when due_at is null then 'ready' else 'delayed' end::pgqueue.message_state,
              kept, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label, unique_key)
      on conflict do nothing
      returning inbox.id, inbox.cookie into handle.id, handle.cookie;
    end if;
    if handle.id is not null then
      if due_at is null then
        perform pgqueue._wake(queue);
      else
        perform pgqueue._wake_for(queue, due_at);
      end if;
      return handle;
    end if;
    -- The unique key is taken: the handle of the unfinished job that has it. If that job has just ended, insert again.
    if submitter is null then
      select o.id, o.cookie into handle from pgqueue.outbox o where o.unique_key = _put_job.unique_key;
    else
      select m.id, m.cookie into handle from pgqueue.message m where m.submitter = _put_job.submitter and m.unique_key = _put_job.unique_key;
    end if;
    if handle.id is not null then
      return handle;
    end if;
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue._put_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, cookie bigint) IS 'Inserts a job. submitter NULL: as the role that runs, which the table sees by itself';

CREATE FUNCTION pgqueue._put_task(submitter oid, queue text, message json, priority integer, due_at timestamp with time zone, expires timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if not pgqueue._may_enter(submitter, queue, null) then
    raise exception 'permission denied to control workers'
      using errcode = '42501', hint = format('Control messages can stop workers and cancel the jobs of any role. If this role may: grant pgqueue_worker to %I.', pg_get_userbyid(submitter));
  end if;
  insert into pgqueue.inbox (submitter, queue, kind, state, priority, due_at, expires_at, payload)
  values (_put_task.submitter, _put_task.queue, 'task', case when _put_task.due_at is null then 'ready' else 'delayed' end::pgqueue.message_state,
          least(greatest(coalesce(_put_task.priority, 0), 0), 9), _put_task.due_at, _put_task.expires, message);
  if due_at is null then
    perform pgqueue._wake(queue);
  else
    perform pgqueue._wake_for(queue, due_at);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._put_task(submitter oid, queue text, message json, priority integer, due_at timestamp with time zone, expires timestamp with time zone) IS 'Puts a kombu message of a role into a queue, in the caller''s transaction';

CREATE FUNCTION pgqueue._python_repr(value jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  kind text := jsonb_typeof(value);
  plain text;
begin
  if kind = 'number' then
    plain := value::text;
    -- A fraction is a float to Python. One too long to be a float is not worth an error.
    if strpos(plain, '.') = 0 or length(plain) > 300 then
      return plain;
    end if;
    plain := plain::float8::text;
    return case when plain ~ '[.e]' then plain else plain || '.0' end;
  elsif kind = 'string' then
    return pgqueue._python_string_repr(value #>> '{}');
  elsif kind = 'null' then
    return 'None';
  elsif kind = 'boolean' then
    return initcap(value::text);
  elsif value in ('[]', '{}') then
    return value::text;
  elsif kind = 'array' then
    return (select '[' || string_agg(pgqueue._python_repr(v), ', ' order by n) || ']' from jsonb_array_elements(value) with ordinality e (v, n));
  else
    return (select '{' || string_agg(pgqueue._python_string_repr(k) || ': ' || pgqueue._python_repr(v), ', ') || '}' from jsonb_each(value) e (k, v));
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._python_repr(value jsonb) IS 'A value as Python would print it, for argsrepr and kwargsrepr';

CREATE FUNCTION pgqueue._python_string_repr(value text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  quote text := case when strpos(value, '''') > 0 and strpos(value, '"') = 0 then '"' else '''' end;
begin
  value := replace(value, E'\\', E'\\\\');
  if quote = '''' then
    value := replace(value, '''', E'\\''');
  end if;
  if value ~ E'[\\u0001-\\u001f\\u007f-\\u00a0\\u00ad]' then
    value := (select string_agg(
                case when char = chr(10) then E'\\n' when char = chr(9) then E'\\t' when char = chr(13) then E'\\r'
                  when char ~ E'[\\u0001-\\u001f\\u007f-\\u00a0\\u00ad]' then E'\\x' || lpad(to_hex(ascii(char)), 2, '0') else char end, '' order by n)
              from string_to_table(value, null) with ordinality c (char, n));
  end if;
  return quote || value || quote;
end
$$;

COMMENT ON FUNCTION pgqueue._python_string_repr(value text) IS 'A string as Python would print it';

CREATE FUNCTION pgqueue._queue_consumers(queue text) RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER
    BEGIN ATOMIC
 SELECT (count(*))::integer AS count
    FROM pgqueue.worker w
   WHERE (_queue_consumers.queue = ANY (w.queues));
END;

COMMENT ON FUNCTION pgqueue._queue_consumers(queue text) IS 'How many workers, and other processes that consume, take from a queue';

CREATE FUNCTION pgqueue._queue_exists(queue text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    BEGIN ATOMIC
 SELECT ((EXISTS ( SELECT
            FROM pgqueue.queue q
           WHERE (q.name = _queue_exists.queue))) OR (EXISTS ( SELECT
            FROM pgqueue.queue_switch q
           WHERE (q.name = _queue_exists.queue))));
END;

COMMENT ON FUNCTION pgqueue._queue_exists(queue text) IS 'Whether a queue was declared';

CREATE VIEW pgqueue.own_task WITH (security_barrier='true') AS
 SELECT queue
   FROM pgqueue.message m
  WHERE ((kind = 'task'::pgqueue.message_kind) AND (state = 'ready'::pgqueue.message_state) AND (pg_has_role(submitter, 'member'::text) OR ( SELECT (pg_has_role('pgqueue_worker'::name, 'member'::text) OR pg_has_role('pgqueue_admin'::name, 'member'::text)))));

COMMENT ON VIEW pgqueue.own_task IS 'The queues of the ready tasks of the role that runs and of roles it is a member of; of all if it is a worker or an administrator';

CREATE FUNCTION pgqueue._queue_size(queue text) RETURNS integer
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (count(*))::integer AS count
    FROM pgqueue.own_task t
   WHERE (t.queue = _queue_size.queue);
END;

COMMENT ON FUNCTION pgqueue._queue_size(queue text) IS 'How many tasks of a queue are ready, of those that the caller has sent; for workers and administrators, of all';

CREATE FUNCTION pgqueue._raise(error jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- RAISE takes no NULL for an option, and an empty DETAIL or HINT would be shown.
  if error ->> 'detail' is not null and error ->> 'hint' is not null then
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''), detail = error ->> 'detail', hint = error ->> 'hint',
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  elsif error ->> 'detail' is not null then
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''), detail = error ->> 'detail',
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  elsif error ->> 'hint' is not null then
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''), hint = error ->> 'hint',
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  else
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''),
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._raise(error jsonb) IS 'Raises the error of a job with its fields';

CREATE FUNCTION pgqueue._raise_again(state text, message text, detail text, hint text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if detail <> '' and hint <> '' then
    raise exception using errcode = state, message = message, detail = detail, hint = hint;
  elsif detail <> '' then
    raise exception using errcode = state, message = message, detail = detail;
  elsif hint <> '' then
    raise exception using errcode = state, message = message, hint = hint;
  end if;
  raise exception using errcode = state, message = message;
end
$$;

COMMENT ON FUNCTION pgqueue._raise_again(state text, message text, detail text, hint text) IS 'Raises an error that was caught, so that its CONTEXT does not say which functions of pgqueue have called each other';

CREATE FUNCTION pgqueue._raise_bounds(bounds jsonb, ids bigint[], must_lower boolean) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select coalesce(bounds, '{}') || coalesce(jsonb_object_agg(q.queue, coalesce(bounds -> q.queue, '{}') || q.raised), '{}')
  from (
    select r.queue, jsonb_object_agg(r.role, coalesce(bounds -> r.queue -> r.role, '{}') || r.raised) as raised
    from (
      select c.queue, c.role, jsonb_object_agg(c.level, case when must_lower then c.last_rank
                                                        else greatest(c.last_rank, (bounds -> c.queue -> c.role ->> c.level::text)::bigint) end) as raised
      from (select m.queue, m.submitter::text as role, 9 - m.priority as level, max(pgqueue._rank(m.priority, m.id)) as last_rank
            from pgqueue.message m where m.id = any (ids) group by 1, 2, 3) c
      group by c.queue, c.role
    ) r
    group by r.queue
  ) q
$$;

COMMENT ON FUNCTION pgqueue._raise_bounds(bounds jsonb, ids bigint[], must_lower boolean) IS 'The bounds of all queues after these messages were claimed';

CREATE FUNCTION pgqueue._raise_tracked(pid integer, error jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  execute pgqueue._raiser(concat_ws(chr(10), error ->> 'context', format('background worker, pid %s', pid))) using pgqueue._background_error(pid, error);
end
$$;

COMMENT ON FUNCTION pgqueue._raise_tracked(pid integer, error jsonb) IS 'Raises the error of a tracked job';

CREATE FUNCTION pgqueue._raiser(said_at text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  comment text := replace(replace(said_at, '/*', '/ *'), '*/', '* /');
begin
  -- RAISE cannot set CONTEXT, but the text of a statement stands in it: what the job's error said is a comment there. A text in which
  -- neither mark of a comment occurs can end none and begin none, so it is never read as SQL.
  if strpos(comment, '/*') > 0 or strpos(comment, '*/') > 0 then
    comment := '';
  end if;
  return 'select pgqueue._raise($1) /* ' || comment || ' */';
end
$_$;

COMMENT ON FUNCTION pgqueue._raiser(said_at text) IS 'The statement that raises an error whose CONTEXT says where it was raised at first';

CREATE FUNCTION pgqueue._random_bigint() RETURNS bigint
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT uuid_hash_extended(gen_random_uuid(), (0)::bigint) AS uuid_hash_extended;
END;

COMMENT ON FUNCTION pgqueue._random_bigint() IS '64 unpredictable bits, for cookies and fencing tokens';

CREATE FUNCTION pgqueue._rank(priority smallint, id bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT ((((9 - priority))::bigint << 58) | id);
END;

COMMENT ON FUNCTION pgqueue._rank(priority smallint, id bigint) IS 'The order of a role''s messages in a queue: high priority first, then by id. One value, so that no other index has this order';

CREATE FUNCTION pgqueue._read_result(handle pgqueue.handle) RETURNS TABLE(seq integer, answer jsonb)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._read_result(handle pgqueue.handle) IS 'pgqueue.result for programs: seq 0 is {state, error, columns, command_tags, ...}, the others are chunks of rows of text. Raises no error of the job';

CREATE FUNCTION pgqueue._read_tracked(want_pid integer, want_cookie bigint, version text, OUT is_first boolean, OUT reader text, OUT rows jsonb, OUT tags text[], OUT answer jsonb, OUT job jsonb, OUT old_settings jsonb) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._read_tracked(want_pid integer, want_cookie bigint, version text, OUT is_first boolean, OUT reader text, OUT rows jsonb, OUT tags text[], OUT answer jsonb, OUT job jsonb, OUT old_settings jsonb) IS 'Waits, then gives the result of a tracked job in chunks, and the query that makes rows of each. Raises the error of a job that failed. After the last comes pgqueue._end_of_reading';

CREATE FUNCTION pgqueue._readdressed(payload json, exchange text, routing_key text) RETURNS json
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select jsonb_set(payload::jsonb, '{properties,delivery_info}',
                   coalesce(payload::jsonb #> '{properties,delivery_info}', '{}') || jsonb_build_object('exchange', exchange, 'routing_key', routing_key))::json
$$;

COMMENT ON FUNCTION pgqueue._readdressed(payload json, exchange text, routing_key text) IS 'A kombu message as if it had been published there';

CREATE FUNCTION pgqueue._ready_roles(kind pgqueue.message_kind, queue text, after oid, max_count integer, bounds jsonb) RETURNS oid[]
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
begin
  if bounds is null then
    -- One step for each role, however many messages it has.
    return array(
      with recursive later (role) as (
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.submitter > after
                order by m.submitter limit 1)
        union all
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.submitter > l.role
                order by m.submitter limit 1)
        from later l where l.role is not null
      ), earlier (role) as (
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.submitter <= after
                order by m.submitter limit 1)
        union all
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready'
                  and m.submitter > e.role and m.submitter <= after
                order by m.submitter limit 1)
        from earlier e where e.role is not null
      )
      select l.role from later l where l.role is not null
      union all
      select e.role from earlier e where e.role is not null
      limit max_count);
  end if;
  -- Of a role that has bounds only what is above them is looked at; of the others, which lie between those, the first.
  return array(
    with known as materialized (
      select k.role, lead(k.role, 1, 4294967295::oid) over (order by k.role) as next_role
      from (select 0::pg_catalog.oid as role union all select b.key::pg_catalog.oid from jsonb_each(bounds) b) k
    )
    select r.role
    from (
      select k.role from known k
      where k.role <> 0 and exists (
        select from generate_series(0, 9) p (level)
        cross join lateral (
          select from pgqueue.message m
          where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.submitter = k.role
            and pgqueue._rank(m.priority, m.id) > pgqueue._bound(bounds -> k.role::text, p.level)
            and pgqueue._rank(m.priority, m.id) < (p.level + 1)::bigint << 58
          limit 1
        ) above)
      union all
      select n.role from known k
      cross join lateral (
        select m.submitter from pgqueue.message m
        where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready'
          and m.submitter > k.role and m.submitter < k.next_role
        order by m.submitter limit 1
      ) n (role)
    ) r
    order by r.role <= after, r.role
    limit max_count);
end
$$;

COMMENT ON FUNCTION pgqueue._ready_roles(kind pgqueue.message_kind, queue text, after oid, max_count integer, bounds jsonb) IS 'The roles that have something ready in a queue, those after a certain one first. bounds: as in pgqueue._next_ready';

CREATE FUNCTION pgqueue._reclaim(max_deliveries integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  lost int[];
  is_thorough boolean := random() < 0.02;
  held pgqueue.message;
  has_begun boolean;
  living_id int;
  found_claim record;
  queues text[];
  reclaimed int := 0;
begin
  -- One statement: its snapshot is older than what it reads of pg_locks, and a worker locks before it claims. So a claim
  -- without a lock is a dead worker's, and a worker that registers meanwhile is not among them.
  update pgqueue.worker w
  set lost_at = clock_timestamp()
  where w.id = any (array(
    select g.id from pgqueue.worker g
    where g.lost_at is null
      and not exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = g.id and l.pid = g.pid)
    for update of g skip locked));
  select array_agg(distinct c.worker_id) into lost
  from (
    -- A process that lives and lost only its session registers anew at once, and takes along what it runs.
    select w.id as worker_id from pgqueue.worker w where w.lost_at < clock_timestamp() - pgqueue._reclaim_grace()
    union all
    -- A worker keeps its row while it has claims, but for one that ends while it claims. Now and then: all claims, also the
    -- many that are done and that a held snapshot keeps.
    select m.worker_id from pgqueue.message m
    where m.state = 'claimed' and is_thorough and not exists (select from pgqueue.worker w where w.id = m.worker_id)
  ) c;
  if lost is null then
    return 0;
  end if;
  -- The row of a job that runs is locked by its transaction: it is skipped until that has ended. One that has run, since it was claimed, has
  -- been locked by another transaction than the claim's; the others are no more to blame for the loss than what nobody had claimed.
  for found_claim in
    select m as message, m.xmax::text not in ('0', m.xmin::text) as has_begun
    from pgqueue.message m where m.state = 'claimed' and m.worker_id = any (lost) for update skip locked
  loop
    held := found_claim.message;
    has_begun := found_claim.has_begun or held.kind = 'task';
    -- Claimed for a number that its process no longer has, and begun outside a transaction: it runs on there.
    select s.id into living_id
    from pgqueue.worker w join pgqueue.worker s on s.id = w.successor and s.lost_at is null
    where w.id = held.worker_id and held.kind = 'job' and exists (select from pgqueue.activity a where a.id = held.id and a.token = held.token);
    if found then
      update pgqueue.message r set worker_id = living_id where r.id = held.id;
      continue;
    end if;
    if held.kind = 'job' and pgqueue._is_given_up(held.id, held.max_attempts) then
      perform pgqueue._give_up(held, jsonb_build_object('sqlstate', '08006', 'message', format('lost connection to the session of job %s', held.id)));
    elsif held.kind = 'job' and has_begun and held.deliveries >= max_deliveries
      and held.deliveries - coalesce((select l.acquittals from pgqueue.lost_session l where l.id = held.id), 0) >= max_deliveries
    then
      delete from pgqueue.message d where d.id = held.id;
      perform pgqueue._archive(held, 'failed', jsonb_build_object(
        'sqlstate', '08006', 'message', format('lost connection to the worker of job %s %s times', held.id, held.deliveries),
        'hint', 'The job seems to end the worker or the server. It was given up.'), null, null);
    elsif held.kind = 'task' and held.deliveries >= pgqueue._max_deliveries(held.queue, held.submitter) then
      perform pgqueue._dead_letter(held, 'delivery_limit');
    else
      update pgqueue.message r
      set state = 'ready', token = null, worker_id = null, deliveries = case when has_begun then held.deliveries else greatest(held.deliveries - 1, 0) end
      where r.id = held.id;
      perform pgqueue._wake(held.queue);
      delete from pgqueue.activity a where a.id = held.id;
    end if;
    reclaimed := reclaimed + 1;
  end loop;
  -- It covered other sleepers, maybe, and could not tell them any more.
  perform pgqueue._hand_over(q) from (select distinct unnest(w.queues) from pgqueue.worker w where w.id = any (lost)) l (q);
  with gone as (
    delete from pgqueue.worker w
    where w.id = any (lost) and not exists (select from pgqueue.message m where m.state = 'claimed' and m.worker_id = w.id)
    returning w.queues
  )
  select array(select distinct q from gone, unnest(gone.queues) q) into queues;
  perform pgqueue._auto_delete(queues);
  return reclaimed;
end
$$;

COMMENT ON FUNCTION pgqueue._reclaim(max_deliveries integer) IS 'Makes the messages of workers that are gone ready again; a job that was lost too often fails, such a task becomes a dead letter';

CREATE FUNCTION pgqueue._reclaim_grace() RETURNS interval
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT '00:00:01'::interval AS "interval";
END;

COMMENT ON FUNCTION pgqueue._reclaim_grace() IS 'How long a process whose session was found gone has to register anew, before others may have what it runs';

CREATE FUNCTION pgqueue._refuse_canceled(id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- By now the transaction has written to the history, which whoever cancels sees in pg_locks (pgqueue._is_canceled).
  if current_setting('transaction_isolation') like 'read %' then
    if not exists (select from pgqueue.request r where r.id = _refuse_canceled.id and r.kind = 'cancel') then
      return;
    end if;
  else
    -- The snapshot is older than a request may be. The index is not.
    begin
      insert into pgqueue.request (id, kind) values (_refuse_canceled.id, 'cancel');
      delete from pgqueue.request r where r.id = _refuse_canceled.id and r.kind = 'cancel';
      return;
    exception when unique_violation or serialization_failure then
      null;
    end;
  end if;
  raise exception 'canceling statement due to user request' using errcode = '57014';
end
$$;

COMMENT ON FUNCTION pgqueue._refuse_canceled(id bigint) IS 'At the end of a run, when its history is written: a job for which a cancel was committed does not commit';

CREATE FUNCTION pgqueue._refuse_change(what text, name text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  raise exception 'permission denied for % "%"', what, name
    using errcode = '42501', hint = 'Workers and administrators have declared it, and may change it.';
end
$$;

COMMENT ON FUNCTION pgqueue._refuse_change(what text, name text) IS 'Raises 42501';

CREATE FUNCTION pgqueue._refuse_excess(role oid, over_quota text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if pg_has_role(role, 'pgqueue_worker', 'member') or pg_has_role(role, 'pgqueue_admin', 'member') then
    return false;  -- as these they may hand in
  end if;
  raise exception 'role "%" has more % than one role may have', pg_get_userbyid(role), over_quota
    using errcode = '53400',
          hint = format('Cancel or purge some, wait until workers have taken some, or let the owner of the database raise pgqueue.max_%s.',
                        case over_quota when 'delayed messages' then 'delayed' when 'megabytes of messages' then 'megabytes' else over_quota end);
end
$$;

COMMENT ON FUNCTION pgqueue._refuse_excess(role oid, over_quota text) IS 'Raises 53400 for a role that is over its quota; false for workers and administrators';

CREATE FUNCTION pgqueue._refuse_message(m pgqueue.message) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- What is the caller's fault is said as the functions say it. What is left then is the fault of whoever writes the outbox directly.
  if not pgqueue._may_enter(m.submitter, m.queue, null) then
    raise exception 'permission denied for queue "%"', m.queue
      using errcode = '42501', hint = 'Control commands are for workers and administrators: grant pgqueue_worker or pgqueue_admin.';
  elsif m.queue like 'celeryev.%' and not pgqueue._is_own_event(m.payload) then
    raise exception 'permission denied to tell monitors of the work of others'
      using errcode = '42501', hint = 'Events are sent by workers, but for those about tasks that were sent. If this role works: grant pgqueue_worker.';
  elsif m.kind = 'job' or m.payload is null then
    perform pgqueue._check_options(m.sql, m.queue, m.priority, null, m.due_at, null, m.timeout, null, m.backoff, null);
  else
    perform pgqueue._check_options('task', m.queue, m.priority, null, m.due_at, null, null, null, null, null);
  end if;
  if array_ndims(m.params) > 1 then
    perform pgqueue._refuse_params();
  elsif cardinality(m.params) > 65535 or octet_length(array_to_string(m.params, '')) > 16777216 then
    raise exception 'params are more than 65535 or have more than 16 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif octet_length(m.label) > 10000 then
    raise exception 'label has more than 10000 bytes' using errcode = '54000', hint = 'A label is a short name.';
  elsif octet_length(m.payload::text) > 67108864 then
    raise exception 'message has more than 64 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif octet_length(m.settings::text) > 1000000 then
    raise exception 'settings have more than 1 MB' using errcode = '54000', hint = 'Name fewer or shorter settings in pgqueue.inherit.';
  end if;
  raise exception 'message has not the shape that workers rely on'
    using errcode = '23514', schema = 'pgqueue', table = 'message',
          hint = 'Hand in with pgqueue.enqueue or pgqueue.send_task instead of writing pgqueue.outbox.';
end
$$;

COMMENT ON FUNCTION pgqueue._refuse_message(m pgqueue.message) IS 'Says what is wrong with a message that pgqueue.inbox does not take';

CREATE FUNCTION pgqueue._refuse_overdue(id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if exists (select from pgqueue.message m
             where m.id = _refuse_overdue.id and clock_timestamp() - transaction_timestamp() > pgqueue._time_allowed(m.timeout, m.settings)) then
    raise exception 'canceling statement due to statement timeout' using errcode = '57014';
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._refuse_overdue(id bigint) IS 'At the end of a run in the batch lane: a job that has caught its timeout, or was not stopped in time, does not commit';

CREATE FUNCTION pgqueue._refuse_params() RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  raise exception 'params must be one list' using errcode = '22023', hint = 'Give $1, $2 and so on as array[''a'', ''b''].';
end
$_$;

COMMENT ON FUNCTION pgqueue._refuse_params() IS 'Says that parameters may not have more than one dimension';

CREATE FUNCTION pgqueue._refuse_place() RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  raise exception 'function returning record called in context that cannot accept type record'
    using errcode = '0A000', hint = 'Call it in FROM with a column definition list.';
end
$$;

COMMENT ON FUNCTION pgqueue._refuse_place() IS 'Says that a result is read where no columns can be named';

CREATE FUNCTION pgqueue._refuse_result(what text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  raise exception '% of the result are not what a worker hands in', what using errcode = '22023', hint = 'Results are stored by workers, not by jobs.';
end
$$;

COMMENT ON FUNCTION pgqueue._refuse_result(what text) IS 'Says that a result is none';

CREATE FUNCTION pgqueue._refuse_stranger(role oid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  raise exception 'role "%" is not enrolled in pgqueue', pg_get_userbyid(role)
    using errcode = '42501', hint = format('Let an administrator run: select pgqueue.enroll(%L)', quote_ident(pg_get_userbyid(role)));
end
$$;

COMMENT ON FUNCTION pgqueue._refuse_stranger(role oid) IS 'Raises 42501';

CREATE FUNCTION pgqueue._refuse_virtual(relation oid, columns text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  missing text := (select min(a.attname) from pg_attribute a
                   where a.attrelid = relation and a.attgenerated = 'v' and not a.attisdropped and (columns = '{}' or a.attname = any (columns)));
begin
  if missing is not null then
    raise exception 'column "%" of % is generated when it is read, so a trigger does not see it', missing, relation::regclass
      using errcode = '0A000', hint = 'Name the columns that it is generated from, or generate it as STORED.';
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._refuse_virtual(relation oid, columns text[]) IS 'Refuses virtual generated columns (PostgreSQL 18), named or in the whole row: the rows of triggers have NULL in their place';

CREATE FUNCTION pgqueue._register_worker(name text, executors integer, predecessor integer DEFAULT NULL::integer, ids bigint[] DEFAULT '{}'::bigint[], tokens bigint[] DEFAULT '{}'::bigint[], begun bigint[] DEFAULT '{}'::bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  new_id int;
begin
  if pg_is_in_recovery() then
    raise exception 'the server is in recovery' using errcode = '57P03', hint = 'The worker waits until it accepts writes.';
  end if;
  perform pgqueue._require_home();
  -- The lock comes first: whoever sees the row sees the lock. Any role can take advisory locks, so a number may be taken.
  loop
    new_id := nextval(pg_get_serial_sequence('pgqueue.worker', 'id'));
    exit when pg_try_advisory_lock(pgqueue._lock_class('worker'), new_id);
  end loop;
  insert into pgqueue.worker (id, name, pid, executors) overriding system value
  values (new_id, _register_worker.name, pg_backend_pid(), _register_worker.executors);
  -- First: what is claimed for the old number from now on is not seen below, and left to pgqueue._reclaim.
  update pgqueue.worker w set lost_at = '-infinity', successor = new_id
  where w.id = _register_worker.predecessor or w.successor = _register_worker.predecessor;
  -- What the process still runs goes over before anybody can find its old session gone without finding this row. The rest
  -- it has forgotten: nobody needs to wait for that. Tasks that it had not begun are as if they had not been handed out; of jobs
  -- their rows tell (pgqueue._reclaim).
  update pgqueue.message m
  set worker_id = new_id
  from unnest(_register_worker.ids, _register_worker.tokens) kept (id, token)
  where m.id = kept.id and m.token = kept.token;
  -- Jobs whose transactions are open need not: their rows are locked until they end. What runs outside a transaction locks nothing.
  update pgqueue.message m
  set worker_id = new_id
  where m.id = any (array(
    select q.id from pgqueue.message q
    where q.state = 'claimed' and q.worker_id = _register_worker.predecessor and q.kind = 'job'
      and exists (select from pgqueue.activity a where a.id = q.id and a.token = q.token)
    for update skip locked));
  perform pgqueue._release(array_agg(m.id), array_agg(m.token), true)
  from (
    select q.id, q.token from pgqueue.message q
    where q.state = 'claimed' and q.worker_id = _register_worker.predecessor and q.kind = 'task' and q.id <> all (_register_worker.begun)
    for update skip locked
  ) m
  having count(*) > 0;
  return new_id;
end
$$;

COMMENT ON FUNCTION pgqueue._register_worker(name text, executors integer, predecessor integer, ids bigint[], tokens bigint[], begun bigint[]) IS 'Makes this session the life of a worker: its claims are free soon after the session is gone. predecessor: as which worker its process was known before; ids, tokens: the claims of then that it keeps; begun: the tasks of then that it had begun';

CREATE FUNCTION pgqueue._reject(ids bigint[], tokens bigint[], detail text DEFAULT NULL::text) RETURNS integer
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select count(*) filter (where pgqueue._dead_letter(m, 'rejected', detail))::int
  from pgqueue.message m, unnest(ids, tokens) done (id, token)
  where m.id = done.id and m.token = done.token
$$;

COMMENT ON FUNCTION pgqueue._reject(ids bigint[], tokens bigint[], detail text) IS 'Claimed messages that nobody wants: dead letters, if their queue has an exchange for them or detail says why';

CREATE FUNCTION pgqueue._release(ids bigint[], tokens bigint[], undelivered boolean) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  released text[];
  dead_letters int;
begin
  select count(pgqueue._dead_letter(m, 'delivery_limit')) into dead_letters
  from pgqueue.message m, unnest(ids, tokens) done (id, token)
  where m.id = done.id and m.token = done.token
    and not undelivered and m.kind = 'task' and m.deliveries >= pgqueue._max_deliveries(m.queue, m.submitter);
  with back as (
    update pgqueue.message m
    set state = 'ready', token = null, worker_id = null, deliveries = m.deliveries - undelivered::int
    from unnest(ids, tokens) done (id, token)
    -- Only claimed messages have a token. Not said here, lest the planner goes through all of them.
    where m.id = done.id and m.token = done.token
    returning m.queue
  )
  select array_agg(queue) into released from back;
  perform pgqueue._wake(q) from (select distinct unnest(released)) r (q);
  return coalesce(cardinality(released), 0) + dead_letters;
end
$$;

COMMENT ON FUNCTION pgqueue._release(ids bigint[], tokens bigint[], undelivered boolean) IS 'Makes claimed messages ready again; tasks that came back too often become dead letters. undelivered: nobody began them, so they are not flagged as redelivered';

CREATE FUNCTION pgqueue._release_sorted(ids bigint[], tokens bigint[], have_begun boolean[]) RETURNS integer
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  -- A row for each of the two, so that both are released.
  select coalesce(sum(pgqueue._release(g.ids, g.tokens, not g.has_begun)), 0)::int
  from (select r.has_begun, array_agg(r.id) as ids, array_agg(r.token) as tokens from unnest(ids, tokens, have_begun) r (id, token, has_begun) group by r.has_begun) g
$$;

COMMENT ON FUNCTION pgqueue._release_sorted(ids bigint[], tokens bigint[], have_begun boolean[]) IS 'Makes claimed messages ready again. Only those that were begun have been delivered once more, and are flagged as redelivered';

CREATE FUNCTION pgqueue._release_waiting(ids bigint[], tokens bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  free bigint[];
begin
  select array_agg(m.id) into free
  from (select q.id from unnest(ids, tokens) c (id, token) join pgqueue.message q on q.id = c.id and q.token = c.token
        for update of q skip locked) m;
  perform pgqueue._release(array_agg(c.id), array_agg(c.token), true) from unnest(ids, tokens) c (id, token) where c.id = any (free);
  return free;
end
$$;

COMMENT ON FUNCTION pgqueue._release_waiting(ids bigint[], tokens bigint[]) IS 'Gives back those of these jobs that do not run: they wait behind a long one. Returns them';

CREATE FUNCTION pgqueue._renumber_roles(old_numbers oid[], new_numbers oid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  keys pgqueue.role_key[];
  totals pgqueue.stat_total[];
  -- What was handed in here before the repair has a number of here already. A restore grants rights when all rows are in.
  granted_age int := (select age(c.xmin) from pg_class c where c.oid = 'pgqueue.jobs'::regclass and c.relacl is not null);
begin
  -- In two steps, for numbers may change places.
  update pgqueue.message m set submitter = 4294000000 + t.n
  from unnest(old_numbers) with ordinality t (number, n)
  where m.submitter = t.number and (granted_age is null or age(m.xmin) >= granted_age or m.submitter >= 4294900000);
  update pgqueue.message m set submitter = new_numbers[m.submitter::bigint - 4294000000]
  where m.submitter::bigint between 4294000001 and 4294899999;
  update pgqueue.history h set submitter = t.new_number
  from unnest(old_numbers, new_numbers) t (old_number, new_number)
  where h.submitter = t.old_number and (granted_age is null or age(h.xmin) >= granted_age or h.submitter >= 4294900000);
  update pgqueue.queue q set declared_by = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where q.declared_by = t.old_number;
  update pgqueue.exchange e set declared_by = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where e.declared_by = t.old_number;
  update pgqueue.binding b set declared_by = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where b.declared_by = t.old_number;
  keys := array(select k from pgqueue.role_key k);
  delete from pgqueue.role_key;
  insert into pgqueue.role_key (role, key, seal_key, enrolled_at)
  select coalesce(t.new_number, k.role), k.key, k.seal_key, k.enrolled_at
  from unnest(keys) k left join unnest(old_numbers, new_numbers) t (old_number, new_number) on t.old_number = k.role
  on conflict do nothing;
  totals := array(select s from pgqueue.stat_total s);
  delete from pgqueue.stat_total;
  insert into pgqueue.stat_total (submitter, queue, completed, failed, canceled, expired, timed_jobs, total_ms)
  select coalesce(t.new_number, s.submitter), s.queue, sum(s.completed), sum(s.failed), sum(s.canceled), sum(s.expired), sum(s.timed_jobs), sum(s.total_ms)
  from unnest(totals) s left join unnest(old_numbers, new_numbers) t (old_number, new_number) on t.old_number = s.submitter
  group by 1, 2;
end
$$;

COMMENT ON FUNCTION pgqueue._renumber_roles(old_numbers oid[], new_numbers oid[]) IS 'Puts other numbers in the place of those of roles, wherever they stand';

CREATE FUNCTION pgqueue._repair_executor() RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  name text := pgqueue._executor_name();
  known pgqueue.login;
  owner regrole := (select n.nspowner::regrole from pg_namespace n where n.nspname = 'pgqueue');
  must_join boolean;
begin
  select * into known from pgqueue.login l where l.purpose = 'executor';
  if known.role is distinct from name then
    -- The first, or that of the database of which this one is a copy.
    if to_regrole(known.role) is not null then
      execute format('revoke all on schema pgqueue_run from %I', known.role);
      execute format('revoke all on all routines in schema pgqueue_run from %I', known.role);
    end if;
    insert into pgqueue.login as l (purpose, role, password)
    values ('executor', name, replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))
    on conflict on constraint login_pkey do update set role = excluded.role, password = excluded.password
    returning l.* into known;
  end if;
  execute format('%s role %I login noinherit password %L', case when to_regrole(name) is null then 'create' else 'alter' end, name, known.password);
  execute format('grant usage on schema pgqueue_run to %I', name);
  execute format('grant execute on function pgqueue_run.check_runner(oid), pgqueue_run.pass_gate(), pgqueue_run.forget_role(), pgqueue_run.finish_job(bigint, bigint, bigint, text) to %I', name);
  -- The owner's functions cancel what its sessions run, and see since when.
  select not r.rolsuper and not pg_has_role(owner::oid, to_regrole(name)::oid, 'usage') into must_join from pg_roles r where r.oid = owner;
  if must_join then
    execute format('grant %I to %s%s', name, owner,
                   case when current_setting('server_version_num')::int >= 160000 then ' with inherit true, set false' else '' end);
  end if;
  perform pgqueue._make_runner(k.role)
  from pgqueue.role_key k
  where k.runner is not null
    and not (pgqueue._is_intact(k.runner, k.runner_xid, k.role) and has_function_privilege(name, k.runner, 'execute'));
  return name;
end
$$;

COMMENT ON FUNCTION pgqueue._repair_executor() IS 'Makes the executors'' login, with what it may call and nothing else. Returns its name. For the installer, and after a database was copied';

CREATE FUNCTION pgqueue._repair_home() RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  missing text[] := '{}';
  gate text := 'pgqueue_gate_' || (select d.oid from pg_database d where d.datname = current_database());
  password text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  enrolled oid;
begin
  lock table pgqueue.home in exclusive mode;
  if not has_schema_privilege('pgqueue_worker', 'pgqueue', 'usage') then
    raise exception 'the rights of pgqueue''s roles were not restored'
      using errcode = '55000', hint = 'Restore the roles first (pg_dumpall --roles-only, or pgqueue install in another database), then the database, with its privileges.';
  end if;
  if not exists (select from pgqueue.home h, pg_control_system() c where h.system_identifier = c.system_identifier) then
    missing := pgqueue._settle_here(true);
    -- Of its password only this database knows.
    execute format('%s role %I login password %L', case when to_regrole(gate) is null then 'create' else 'alter' end, gate, password);
    execute format('grant pgqueue_gate to %I', gate);
    execute 'drop user mapping for current_user server pgqueue_loopback';
    execute format('create user mapping for current_user server pgqueue_loopback options (user %L, password %L)', gate, password);
  elsif exists (select from pgqueue.role_name n join pg_roles r on r.rolname = n.name where n.role >= 4294900000) then
    missing := pgqueue._settle_here(false);  -- some that were missing are there now
  end if;
  update pgqueue.home h
  set system_identifier = c.system_identifier, database = d.oid::bigint
  from pg_control_system() c, pg_database d
  where d.datname = current_database() and (h.system_identifier, h.database) is distinct from (c.system_identifier, d.oid::bigint);
  perform pgqueue._note_roles();
  -- A dump of the database alone has no memberships.
  for enrolled in
    select k.role from pgqueue.role_key k join pg_roles r on r.oid = k.role
    where not (pg_has_role(k.role, 'pgqueue_user', 'member') and has_schema_privilege(k.role, 'pgqueue', 'usage'))
  loop
    execute format('grant pgqueue_user to %s', enrolled::regrole);
    perform pgqueue._admit(enrolled::regrole, true);
  end loop;
  perform pgqueue._repair_executor();
  for enrolled in select k.role from pgqueue.role_key k join pg_roles r on r.oid = k.role where k.runner is null loop
    begin
      perform pgqueue._make_runner(enrolled);
    exception when insufficient_privilege then
      null;  -- its jobs run where a worker can log in as it, as pgqueue.enroll has said
    end;
  end loop;
  if missing <> '{}' then
    raise warning 'roles that hand in to pgqueue are missing in this cluster: %', array_to_string(missing, ', ')
      using hint = 'Create them and run again: pgqueue upgrade. Until then their jobs fail.';
  end if;
  return missing;
end
$$;

COMMENT ON FUNCTION pgqueue._repair_home() IS 'Makes a database that was copied or restored usable, but for its loopback: roles by their names, runners, the executors'' login. Returns the names of roles that are missing. For the installer';

CREATE FUNCTION pgqueue._repair_loopback() RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  place text;
begin
  if (select count(*) from pg_foreign_server s, unnest(s.srvoptions) o where s.srvname = 'pgqueue_loopback' and o = 'dbname=' || current_database()) = 0 then
    execute format('alter server pgqueue_loopback options (set dbname %L)', current_database());
  end if;
  -- The server may be of another version by now.
  execute format('alter server pgqueue_loopback options (set options %L)', pgqueue._loopback_options());
  place := pgqueue._connect_loopback('pgqueue.probe');
  perform pgqueue._dblink_disconnect('pgqueue.probe');
  perform pgqueue._set_loopback(regexp_replace(place, ' port .*', ''), regexp_replace(place, '.* port ', ''));
  return place;
end
$$;

COMMENT ON FUNCTION pgqueue._repair_loopback() IS 'Points the loopback at this database and tries it. Returns where it connects. For the installer, and after a database was copied or renamed';

CREATE FUNCTION pgqueue._report_progress(caller text, pct integer, msg text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if nullif(current_setting('pgqueue.job_id', true), '') is null then
    raise exception '% can only be called from a background worker', caller using errcode = '0A000';
  end if;
  perform pgqueue.progress(pct, msg);
end
$$;

COMMENT ON FUNCTION pgqueue._report_progress(caller text, pct integer, msg text) IS 'pg_background_progress and pg_background_report_progress';

CREATE FUNCTION pgqueue._request(handle pgqueue.handle) RETURNS jsonb
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT jsonb_build_object('id', (handle).id, 'cookie', (handle).cookie) AS jsonb_build_object;
END;

COMMENT ON FUNCTION pgqueue._request(handle pgqueue.handle) IS 'A handle as the gate takes it';

CREATE FUNCTION pgqueue._request_cancel(id bigint, token bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  insert into pgqueue.request (id, kind)
  select q.id, 'cancel' from pgqueue.message q where q.id = _request_cancel.id and q.token = _request_cancel.token
  on conflict do nothing;
  return exists (select from pgqueue.request r where r.id = _request_cancel.id and r.kind = 'cancel');
end
$$;

COMMENT ON FUNCTION pgqueue._request_cancel(id bigint, token bigint) IS 'A worker was told by Celery to revoke a job that it has: the job ends as canceled';

CREATE FUNCTION pgqueue._require_enrolled() RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if not exists (select from pgqueue.own_key) then
    perform pgqueue._refuse_stranger(quote_ident(current_user)::regrole);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._require_enrolled() IS 'Raises 42501 unless the role that runs is enrolled';

CREATE FUNCTION pgqueue._require_home() RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if not pgqueue._is_at_home() then
    raise exception 'database "%" was copied or restored from elsewhere, and its roles are not known yet', current_database()
      using errcode = '55000', hint = 'Let its owner run: pgqueue upgrade';
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._require_home() IS 'Raises 55000 in a database that was copied or restored, and not repaired since';

CREATE FUNCTION pgqueue._require_login(role oid) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- A job that keeps its result runs in a session of its submitter: this one would wait for ever.
  if not pgqueue._may_log_in(role) then
    raise exception 'role "%" may not log in, so its jobs cannot keep a result', pg_get_userbyid(role)
      using errcode = '55000', hint = format('Use pgqueue.submit, or pgqueue.enqueue without keep_result. Or let workers log in as the role: alter role %I login.', pg_get_userbyid(role));
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._require_login(role oid) IS 'Raises 55000 for a role whose jobs cannot keep a result';

CREATE FUNCTION pgqueue._require_part(role oid) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if not pgqueue._is_operator(role) and not exists (select from pgqueue.role_key k where k.role = _require_part.role) then
    perform pgqueue._refuse_stranger(role);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._require_part(role oid) IS 'Raises 42501 unless a role is enrolled in this database, or is a worker or an administrator';

CREATE FUNCTION pgqueue._require_quota(role oid) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  over_quota text := (select k.over_quota from pgqueue.role_key k where k.role = _require_quota.role);
begin
  if over_quota is not null then
    perform pgqueue._refuse_excess(role, over_quota);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._require_quota(role oid) IS 'Raises 53400 for a role that is over one of its quotas, unless it is a worker or an administrator. For what does not go through pgqueue.outbox';

CREATE FUNCTION pgqueue._require_readable(want_pid integer, job jsonb, version text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._require_readable(want_pid integer, job jsonb, version text) IS 'Refuses to wait for a result that will not come';

CREATE FUNCTION pgqueue._require_room(role oid, what text, present bigint) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  setting text := 'max_' || what;
  allowed int := pgqueue._limit(setting, 1000);
begin
  if present >= allowed then
    raise exception 'role "%" has % % and may have no more', pg_get_userbyid(role), present, what
      using errcode = '53400',
            hint = format('Delete some, or let the owner of the database raise the limit: alter database %I set pgqueue.%s = %s.', current_database(), setting, greatest(2 * allowed, 1));
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._require_room(role oid, what text, present bigint) IS 'Raises 53400 when a role has as many queues, exchanges or bindings as one role may have';

CREATE FUNCTION pgqueue._reset_session() RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  -- DISCARD ALL but for DISCARD PLANS: planning pgqueue's own functions again would cost each job some milliseconds. First the
  -- search_path, which the job may have set; so this function has none of its own.
  reset all;
  execute 'close all';
  set session authorization default;
  deallocate all;
  unlisten *;
  discard temp;
  discard sequences;
  perform pg_catalog.pg_advisory_unlock_all();
end
$$;

COMMENT ON FUNCTION pgqueue._reset_session() IS 'Forgets what a job has left in its session';

CREATE FUNCTION pgqueue._result_hint(answer jsonb) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select case when jsonb_typeof(answer -> 'columns') = 'array'
    then format('The job returned (%s).', (select string_agg(format('%I %s', c ->> 'name', c ->> 'type'), ', ' order by n)
                                           from jsonb_array_elements(answer -> 'columns') with ordinality e (c, n)))
    else 'Its command tags can be read as (result text).' end
$$;

COMMENT ON FUNCTION pgqueue._result_hint(answer jsonb) IS 'Which column definition list fits a result';

CREATE FUNCTION pgqueue._result_info(want_pid integer, want_cookie bigint, OUT row_count bigint, OUT command_tag text, OUT completed boolean, OUT has_error boolean, OUT started_at timestamp with time zone, OUT finished_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  job jsonb := pgqueue._ask_tracked(want_pid, want_cookie, '55000');
begin
  select o.row_count, o.command_tag, o.completed, o.has_error into row_count, command_tag, completed, has_error from pgqueue._outcome_of(job) o;
  started_at := job ->> 'started_at';
  finished_at := job ->> 'ended_at';
end
$$;

COMMENT ON FUNCTION pgqueue._result_info(want_pid integer, want_cookie bigint, OUT row_count bigint, OUT command_tag text, OUT completed boolean, OUT has_error boolean, OUT started_at timestamp with time zone, OUT finished_at timestamp with time zone) IS 'pg_background_result_info';

CREATE FUNCTION pgqueue._result_of(role oid, handle pgqueue.handle, holds boolean DEFAULT false) RETURNS SETOF jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  ended pgqueue.history;
  chunk record;
  notices jsonb;
  kept pgqueue.result_kept;
  run_key bigint;
  has_result boolean := false;
  is_detached boolean;
  head record;
begin
  if exists (select from pgqueue.message m where m.id = handle.id) then
    select l.kept, l.run_key into kept, run_key from pgqueue._locate(role, handle, '42704') l where l.live;
  end if;
  if kept is null then
    ended := pgqueue._ended_job(handle.id);
    perform pgqueue._check_handle(role, handle, ended.submitter, ended.cookie, '42704');
    kept := ended.kept;
  end if;
  if kept = 'none' then
    raise exception 'results are disabled for job %', handle.id
      using errcode = '0A000', hint = 'Jobs keep a result when they are launched with pgqueue.launch, or enqueued with keep_result => true.';
  elsif ended.id is null then
    return query select jsonb_build_object('live', true, 'run_key', run_key);
    return;
  end if;
  -- A detach stands until upkeep if it came while the job was about to commit.
  is_detached := exists (select from pgqueue.request q where q.id = handle.id and q.kind = 'detach');
  if holds and kept = 'once' and not is_detached then
    -- Who reads it holds this transaction until it was read. Not with types whose functions might use the loopback meanwhile.
    for chunk in
      delete from pgqueue.result r
      where r.id = handle.id and r.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and r.ended_at < ended.ended_at + interval '1 h'
        and not exists (
          select from pgqueue.result o
          where o.id = handle.id and o.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and o.ended_at < ended.ended_at + interval '1 h'
            and (o.seq > 0 or exists (select from jsonb_array_elements(nullif(o.columns, 'null')) c where (c ->> 'oid')::oid >= 16384)))
      returning r.seq, r.columns, r.rows, r.output_settings
    loop
      if chunk.seq < 0 then
        notices := chunk.rows;
      else
        head := chunk;
        has_result := true;
      end if;
    end loop;
    if has_result then
      delete from pgqueue.tracked_job t where t.id = handle.id;
      return next pgqueue._head_of_result(role, ended, head.columns, head.output_settings, notices) || '{"held": true}';
      if head.rows is not null then
        return next head.rows;
      end if;
      return;
    end if;
  end if;
  for chunk in
    select r.seq, r.columns, r.rows, r.output_settings from pgqueue.result r
    where r.id = handle.id and r.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and r.ended_at < ended.ended_at + interval '1 h'
      and not is_detached
    order by r.seq
  loop
    if chunk.seq < 0 then
      notices := chunk.rows;
      continue;
    elsif chunk.seq = 0 then
      has_result := true;
      return next pgqueue._head_of_result(role, ended, chunk.columns, chunk.output_settings, notices);
    end if;
    if chunk.rows is not null then
      return next chunk.rows;
    end if;
  end loop;
  if not has_result then
    raise exception 'the result of job % is gone', handle.id
      using errcode = '42704', hint = 'It was read or detached before. The result of a launched job can be read once.';
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._result_of(role oid, handle pgqueue.handle, holds boolean) IS 'The result of an ended job: what it is, then its rows in chunks. Of another: {live, run_key}. holds: consumes it if it is small and plain, which the head then says';

CREATE FUNCTION pgqueue._result_reader(answer jsonb, casts text[] DEFAULT NULL::text[]) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  if jsonb_typeof(answer -> 'columns') = 'array' then
    -- Of a list's own types the values are read as input is: what is too long is refused, not cut.
    return format('select %s from pg_catalog.jsonb_array_elements($1) with ordinality r (v, n) where pg_catalog.cardinality($2) operator(pg_catalog.=) 0 order by n',
                  (select string_agg(format(case when casts[n] is null then '(v operator(pg_catalog.->>) %s)::%s'
                     else '(select x.x from pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object(''x'', v operator(pg_catalog.->) %s)) x (x %s))' end,
                     n - 1, coalesce(casts[n], c ->> 'cast')), ', ' order by n)
                   from jsonb_array_elements(answer -> 'columns') with ordinality e (c, n)));
  end if;
  return 'select tag from pg_catalog.unnest($2) with ordinality t (tag, n) where $1 is null or true order by n';
end
$_$;

COMMENT ON FUNCTION pgqueue._result_reader(answer jsonb, casts text[]) IS 'The query that turns a chunk of rows into the columns of a job, with their exact types, or with those of pgqueue._fit_casts';

CREATE FUNCTION pgqueue._retried_jobs(ids bigint[]) RETURNS TABLE(id bigint, label text, preview text, attempts integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select m.id, m.label, left(m.sql, 200), m.attempts::int from pgqueue.message m where m.id = any (ids)
  union all
  select h.id, h.label, left(h.sql, 200), h.attempts::int from pgqueue.history h where h.id = any (ids)
$$;

COMMENT ON FUNCTION pgqueue._retried_jobs(ids bigint[]) IS 'What monitors are told of jobs that failed and are tried again, or have been since';

CREATE FUNCTION pgqueue._retry_deferred(role oid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  queues text[];
begin
  with waiting as (
    select m.id from pgqueue.message m
    where m.state = 'delayed' and m.submitter = role and m.last_error ? 'deferrals'
    for update skip locked
  ), ready as (
    update pgqueue.message m set state = 'ready' from waiting w where m.id = w.id returning m.queue
  )
  select array_agg(r.queue) into queues from ready r;
  perform pgqueue._wake(q) from (select distinct unnest(queues)) r (q);
  return coalesce(cardinality(queues), 0);
end
$$;

COMMENT ON FUNCTION pgqueue._retry_deferred(role oid) IS 'What the jobs of a role that could not run have waited for has come: they are ready at once. Returns how many they are';

CREATE FUNCTION pgqueue._role_after(queue text) RETURNS oid
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE((((NULLIF(current_setting('pgqueue.claim_turns'::text, true), ''::text))::jsonb ->> queue))::oid, (0)::oid) AS "coalesce";
END;

COMMENT ON FUNCTION pgqueue._role_after(queue text) IS 'Whose turn it was last in a queue, as far as this session claims; 0: nobody''s';

CREATE FUNCTION pgqueue._role_here(number oid) RETURNS oid
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  -- A dump names the owner of a runner as it is called when the dump is made; what was noted may be a moment older.
  select coalesce(
    (select p.proowner from pg_proc p join pg_namespace s on s.oid = p.pronamespace
     where s.nspname = 'pgqueue_run' and p.proname = 'job_' || number and p.proowner <> s.nspowner),
    (select r.oid from pgqueue.role_name n join pg_roles r on r.rolname = n.name where n.role = number))
$$;

COMMENT ON FUNCTION pgqueue._role_here(number oid) IS 'Which role of this cluster had this number where the database comes from; NULL: none that is here';

CREATE FUNCTION pgqueue._role_limit(OUT executors integer, OUT has_others boolean) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  executors := nullif(pgqueue._worker_number('max_executors_per_role', 0, 0, 10000), 0);
  has_others := (select count(*) > 1 from (select from pgqueue.role_key k limit 2) k);
end
$$;

COMMENT ON FUNCTION pgqueue._role_limit(OUT executors integer, OUT has_others boolean) IS 'How many executors of a worker one role may have (NULL: all but one), and whether more than one role is enrolled: else it may have all';

CREATE FUNCTION pgqueue._route(exchange text, routing_key text, submitter oid) RETURNS TABLE(queue text, message_ttl interval)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
  type text;
begin
  if coalesce(exchange, '') = '' then
    return query select _route.routing_key, (select d.message_ttl from pgqueue._declared(_route.routing_key, submitter) d);
    return;
  end if;
  select e.type into type from pgqueue.exchange e where e.name = _route.exchange and e.declared_by in (0, submitter) order by e.declared_by <> 0, e.id desc limit 1;
  return query
  select b.queue, d.message_ttl
  from (
    select distinct b.queue
    from pgqueue.binding b
    where b.exchange = _route.exchange and b.declared_by in (0, submitter)
      and (type = 'fanout' or type = 'direct' and b.routing_key = coalesce(_route.routing_key, '')
           or type = 'topic' and '.' || coalesce(_route.routing_key, '') ~ b.pattern)
  ) b
  cross join lateral pgqueue._declared(b.queue, submitter) d;
end
$$;

COMMENT ON FUNCTION pgqueue._route(exchange text, routing_key text, submitter oid) IS 'The queues that a message of a role reaches (AMQP 0-9-1, 3.1.3)';

CREATE FUNCTION pgqueue._row_params(argv text[], row_json jsonb, relation oid) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  columns text[] := pgqueue._trigger_columns(argv);
  params text[] := '{}';
  name text;
  value jsonb;
begin
  if columns <> '{}' or argv[0] = 'task' then
    perform pgqueue._refuse_virtual(relation, columns);
  end if;
  if argv[0] = 'task' then
    return params;
  elsif exists (select from pg_attribute a join pg_type t on t.oid = a.atttypid
                where a.attrelid = relation and a.attname = any (columns)
                  and (a.atttypid in ('json'::regtype, 'jsonb'::regtype) or t.typtype = 'd')) then
    return null;  -- a string within json has quotes in its text
  end if;
  foreach name in array columns loop
    value := row_json -> name;
    if value is null then
      raise exception 'column "%" named in the trigger does not exist in %', name, relation::regclass using errcode = '42703';
    elsif jsonb_typeof(value) in ('array', 'object') then
      return null;  -- an array, a composite or a json value: its text is not what JSON shows
    end if;
    params := params || (value #>> '{}');
  end loop;
  return params;
end
$$;

COMMENT ON FUNCTION pgqueue._row_params(argv text[], row_json jsonb, relation oid) IS 'The columns that an ''sql'' trigger names, as text. NULL: ask with pgqueue._row_params_query';

CREATE FUNCTION pgqueue._row_params_query(argv text[]) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  select 'select array[' || string_agg(format('($1).%I::pg_catalog.text', c), ', ' order by n) || ']' from unnest(pgqueue._trigger_columns(argv)) with ordinality u (c, n)
$_$;

COMMENT ON FUNCTION pgqueue._row_params_query(argv text[]) IS 'The query that turns a row into text parameters, for types whose text is not that of JSON';

CREATE FUNCTION pgqueue._run_key_of(id bigint, token bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT hashint8extended(hashint8extended(id, token), token) AS hashint8extended;
END;

COMMENT ON FUNCTION pgqueue._run_key_of(id bigint, token bigint) IS 'The key of the advisory lock that a job holds while it runs. Before it does nobody can know the key, and the next run has another';

CREATE FUNCTION pgqueue._run_query(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, col_def text, OUT reader text, OUT pid integer, OUT cookie bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;

COMMENT ON FUNCTION pgqueue._run_query(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, col_def text, OUT reader text, OUT pid integer, OUT cookie bigint) IS 'pg_background_run_query but for the rows: the query that returns them, NULL without a column definition';

CREATE FUNCTION pgqueue._run_tracked(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT run_label text, OUT launched_at timestamp with time zone, OUT timed_out boolean, OUT elapsed_ms bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._run_tracked(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT run_label text, OUT launched_at timestamp with time zone, OUT timed_out boolean, OUT elapsed_ms bigint) IS 'pg_background_run';

CREATE FUNCTION pgqueue._running_message(id bigint, token bigint) RETURNS json
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select pgqueue._job_message(m.id, m.token, m.queue, m.priority, m.deliveries, m.attempts, m.submitter, m.sql, m.params, m.settings,
                              m.timeout, m.kept, m.label)
  from pgqueue.message m
  where m.id = _running_message.id and m.token = _running_message.token
$$;

COMMENT ON FUNCTION pgqueue._running_message(id bigint, token bigint) IS 'A job of the batch lane that takes long, as a message for Celery';

CREATE FUNCTION pgqueue._runs(id bigint, token bigint, pid integer) RETURNS boolean
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  -- The row is locked by the transaction that runs the job, and the server says whose transaction that is. No other can lock it.
  select exists (
    select from pgqueue.message m
    join pg_locks l on l.locktype = 'transactionid' and l.transactionid = m.xmax and l.granted and l.mode = 'ExclusiveLock'
    where m.id = _runs.id and m.token = _runs.token and l.pid = _runs.pid)
$$;

COMMENT ON FUNCTION pgqueue._runs(id bigint, token bigint, pid integer) IS 'Whether this session runs this job in the batch lane now';

CREATE FUNCTION pgqueue._runs_code(type oid, reader oid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- What a type consists of, down to the types that came with PostgreSQL. A check of a domain may call anything, and so may a cast that
  -- somebody has made from varchar. Superusers are trusted, and so is the reader.
  return exists (
    with recursive part (oid) as (
      select type
      union
      select x.oid
      from part p
      join pg_type t on t.oid = p.oid
      cross join lateral (
        select t.typbasetype where t.typtype = 'd'
        union all select t.typelem where t.typelem <> 0
        union all select a.atttypid from pg_attribute a where t.typrelid <> 0 and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        union all select r.rngsubtype from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)
      ) x (oid)
      where p.oid >= 16384
    )
    select from part p join pg_type t on t.oid = p.oid join pg_roles o on o.oid = t.typowner
    where p.oid >= 16384 and not o.rolsuper and o.oid <> reader
      and (exists (select from pg_constraint c where c.contypid = t.oid and c.contype = 'c')
           or exists (select from pg_cast k where k.casttarget = t.oid and k.castsource = 'varchar'::regtype)));
end
$$;

COMMENT ON FUNCTION pgqueue._runs_code(type oid, reader oid) IS 'Whether reading a value of this type could run what neither the reader nor a superuser has made';

CREATE FUNCTION pgqueue._said_at(handle pgqueue.handle, answer jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select concat_ws(chr(10), answer #>> '{error,context}', format('background worker, job %s, pid %s', handle.id, coalesce(answer ->> 'backend_pid', 'none')))
$$;

COMMENT ON FUNCTION pgqueue._said_at(handle pgqueue.handle, answer jsonb) IS 'What becomes part of the CONTEXT of the error of a job';

CREATE FUNCTION pgqueue._save_task_group(group_id text, payload bytea, lifetime interval) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 INSERT INTO pgqueue.task_group AS g (id, payload, expires_at)
   VALUES (_save_task_group.group_id, _save_task_group.payload, COALESCE((clock_timestamp() + _save_task_group.lifetime), 'infinity'::timestamp with time zone)) ON CONFLICT(id) DO UPDATE SET payload = excluded.payload, expires_at = excluded.expires_at;
END;

COMMENT ON FUNCTION pgqueue._save_task_group(group_id text, payload bytea, lifetime interval) IS 'Keeps a group of tasks, or replaces it';

CREATE FUNCTION pgqueue._say(level text, code text, message text, detail text, hint text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- The level of RAISE is part of its text, and it takes no NULL for an option. What was said is data, whoever has written it.
  case level
    when 'WARNING' then
      if detail <> '' and hint <> '' then
        raise warning using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise warning using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise warning using errcode = code, message = message, hint = hint;
      else
        raise warning using errcode = code, message = message;
      end if;
    when 'NOTICE' then
      if detail <> '' and hint <> '' then
        raise notice using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise notice using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise notice using errcode = code, message = message, hint = hint;
      else
        raise notice using errcode = code, message = message;
      end if;
    when 'INFO' then
      if detail <> '' and hint <> '' then
        raise info using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise info using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise info using errcode = code, message = message, hint = hint;
      else
        raise info using errcode = code, message = message;
      end if;
    when 'LOG' then
      if detail <> '' and hint <> '' then
        raise log using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise log using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise log using errcode = code, message = message, hint = hint;
      else
        raise log using errcode = code, message = message;
      end if;
    else
      if detail <> '' and hint <> '' then
        raise debug using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise debug using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise debug using errcode = code, message = message, hint = hint;
      else
        raise debug using errcode = code, message = message;
      end if;
  end case;
end
$$;

COMMENT ON FUNCTION pgqueue._say(level text, code text, message text, detail text, hint text) IS 'Raises one notice; detail and hint may be empty or NULL';

CREATE FUNCTION pgqueue._seconds_to_next_due() RETURNS double precision
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select extract(epoch from m.due_at - clock_timestamp())::float8
  from pgqueue.message m
  where m.state = 'delayed'
  order by m.due_at
  limit 1
$$;

COMMENT ON FUNCTION pgqueue._seconds_to_next_due() IS 'How long until a delayed message of any queue is due; NULL: there is none';

CREATE FUNCTION pgqueue._see_columns(relation oid, argv text[]) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if pgqueue._is_plain(relation, string_to_array(argv[2], ',')) then
    perform pgqueue._keep_captured(current_setting('pgqueue.captured_settings', true) || pgqueue._seen_columns(relation, argv));
    return true;
  end if;
  return false;
end
$$;

COMMENT ON FUNCTION pgqueue._see_columns(relation oid, argv text[]) IS 'Looks at the columns of a trigger, once in a statement. False: their text is not that of JSON';

CREATE FUNCTION pgqueue._send_notice() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  delete from pgqueue.notice n where n.id = new.id;
  if current_query() !~* E'\\mprepare\\M.*\\mtransaction\\M' then
    perform pg_notify(new.channel, '');
  end if;
  return null;
end
$$;

COMMENT ON FUNCTION pgqueue._send_notice() IS 'Sends a notification at the end of its transaction, unless that is prepared';

CREATE FUNCTION pgqueue._send_otherwise(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  id text := coalesce(task_id, gen_random_uuid()::text);
  due_at timestamptz;
  message json;
begin
  if task is null or trim(task) = '' then
    raise exception 'task cannot be NULL or empty' using errcode = case when task is null then '22004' else '22023' end;
  elsif args is null or jsonb_typeof(args) <> 'array' then
    raise exception 'args must be a JSON array' using errcode = '22023', hint = 'For example jsonb_build_array(1, ''a'').';
  elsif kwargs is null or jsonb_typeof(kwargs) <> 'object' then
    raise exception 'kwargs must be a JSON object' using errcode = '22023', hint = 'For example jsonb_build_object(''name'', ''a'').';
  elsif headers is not null and jsonb_typeof(headers) <> 'object' then
    raise exception 'headers must be a JSON object' using errcode = '22023';
  elsif trim(link) = '' or trim(errback) = '' then
    raise exception '% cannot be empty', case when trim(link) = '' then 'link' else 'errback' end
      using errcode = '22023', hint = 'Name a task, or leave it out.';
  end if;
  due_at := pgqueue._check_options('task', queue, priority, delay, eta, expires, null, null, null, null);
  perform pgqueue._require_enrolled();
  message := pgqueue._task_message(task, args, kwargs, queue, priority, coalesce(due_at, eta), expires, id, headers, coalesce(ignore_result, false), link, errback);
  insert into pgqueue.outbox (queue, kind, state, priority, due_at, expires_at, payload)
  values (_send_otherwise.queue, 'task', case when due_at is null then 'ready' else 'delayed' end::pgqueue.message_state, _send_otherwise.priority, due_at,
          _send_otherwise.expires, message);
  perform pgqueue._wake_for(queue, due_at);
  perform pgqueue._tell_sent(message, queue);
  return id;
end
$$;

COMMENT ON FUNCTION pgqueue._send_otherwise(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) IS 'Sends a task that has options, or says what is wrong with it';

CREATE FUNCTION pgqueue._session_settings() RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  captured jsonb;
  others text;
  name text;
  usual text;
  begun_with text[] := array['default_transaction_isolation', 'default_transaction_read_only', 'default_transaction_deferrable'];
begin
  select s.captured into captured from pgqueue.own_session s;
  if found then
    return captured;
  end if;
  -- pg_settings costs 0.3 to 0.4 ms, as much as a small transaction: it is read when the session hands in for the first time, and
  -- when one of the settings that jobs inherit has another value than then.
  perform pgqueue._require_enrolled(), pgqueue._require_home();
  select coalesce(jsonb_object_agg(s.name, current_setting(s.name)) filter (where s.source in ('session', 'client', 'user', 'database user')
                                                                           -- Jobs of the batch lane run in sessions that do without these.
                                                                           or s.source in ('database', 'global', 'configuration file') and s.setting is distinct from s.boot_val
                                                                              and s.name in ('statement_timeout', 'lock_timeout', 'default_transaction_isolation',
                                                                                             'default_transaction_read_only', 'default_transaction_deferrable')), '{}'),
         string_agg(s.name, ',') filter (where s.name <> all (pgqueue._inheritable_names()))
  into captured, others
  from pg_settings s
  where (s.context = 'user' or s.context = 'superuser' and (select rolsuper from pg_roles where rolname = current_user))
    and s.name not in ('search_path', 'application_name', 'client_encoding', 'client_min_messages', 'role', 'session_authorization',
                       'transaction_isolation', 'transaction_read_only', 'transaction_deferrable', 'seed', 'exit_on_error')
    and strpos(s.name, '.') = 0;
  -- A login takes what SET refuses, a tablespace that was dropped, say: a job that was given it could never run.
  for name in
    select s.name from pg_settings s where s.source in ('client', 'user', 'database user') and captured ? s.name
  loop
    begin
      perform set_config(name, current_setting(name), true);
      raise exception using errcode = 'PQ000';  -- it is undone
    exception
      when sqlstate 'PQ000' then
        null;
      when others then
        raise warning 'jobs do not inherit the setting "%": %', name, sqlerrm
          using errcode = sqlstate, hint = 'The login has brought it, but it cannot be set any more. Change it with ALTER ROLE or ALTER DATABASE.';
        captured := captured - name;
    end;
  end loop;
  -- A transaction begins with these, so a job that has them needs a session of its submitter: this one would wait for ever.
  if captured ?| begun_with and not pgqueue._may_log_in(quote_ident(current_user)::regrole) then
    select s.name, s.boot_val into name, usual from pg_settings s where s.name = any (begun_with) and captured ? s.name and s.setting is distinct from s.boot_val limit 1;
    if found then
      raise exception 'role "%" may not log in, so its jobs cannot inherit the setting "%"', current_user, name
        using errcode = '55000', hint = format('Say "set %s to default" or "set %s = %L" first. Or let workers log in as the role: alter role %I login.',
                                               name, name, usual, current_user);
    end if;
    captured := captured - begun_with;
  end if;
  perform set_config('pgqueue.session_settings', concat(captured, chr(30), others, chr(30), quote_ident(current_user)::regrole::oid), false);
  perform set_config('pgqueue.session_seal', (select s.seal from pgqueue.own_session_seal s), false);
  return captured;
end
$$;

COMMENT ON FUNCTION pgqueue._session_settings() IS 'The settings of PostgreSQL that were made in this session, or for its login by ALTER ROLE, but for search_path';

CREATE FUNCTION pgqueue._set_background_defaults(is_set boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  setting record;
  given text;
begin
  for setting in values ('pg_background.max_workers', '16'), ('pg_background.default_queue_size', '64kB'), ('pg_background.worker_timeout', '0') loop
    select substr(entry, strpos(entry, '=') + 1) into given
    from pg_db_role_setting s, unnest(s.setconfig) entry
    where s.setdatabase = (select d.oid from pg_database d where d.datname = current_database()) and s.setrole = 0
      and split_part(entry, '=', 1) = setting.column1;
    if is_set and given is null then
      execute format('alter database %I set %s = %L', current_database(), setting.column1, setting.column2);
    elsif not is_set and given = setting.column2 then
      execute format('alter database %I reset %s', current_database(), setting.column1);
    end if;
  end loop;
exception when insufficient_privilege then
  -- A setting that the server does not know is a superuser's to set for a database.
  raise notice 'SHOW pg_background.max_workers and the like will work in a session from its first launch on'
    using hint = (select 'To have them in every session, let a superuser run: '
                    || string_agg(format('alter database %I set pg_background.%s = %L', current_database(), s.name, s.value), '; ')
                  from (values ('max_workers', '16'), ('default_queue_size', '64kB'), ('worker_timeout', '0')) s (name, value));
end
$$;

COMMENT ON FUNCTION pgqueue._set_background_defaults(is_set boolean) IS 'Sets the defaults of pg_background''s settings for the database, where nothing is set, or takes them back, so that SHOW works in every session';

CREATE FUNCTION pgqueue._set_chord_size(group_id text, size integer, lifetime interval) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 INSERT INTO pgqueue.chord AS c (group_id, size, expires_at)
   VALUES (_set_chord_size.group_id, _set_chord_size.size, COALESCE((clock_timestamp() + _set_chord_size.lifetime), 'infinity'::timestamp with time zone)) ON CONFLICT(group_id) DO UPDATE SET size = excluded.size, expires_at = excluded.expires_at, dispatched_at = NULL::timestamp with time zone;
END;

COMMENT ON FUNCTION pgqueue._set_chord_size(group_id text, size integer, lifetime interval) IS 'Says how many parts a chord has';

CREATE FUNCTION pgqueue._set_loopback(host text, port text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  option text;
begin
  foreach option in array array['host', 'port'] loop
    execute format('alter server pgqueue_loopback options (%s %I %L)',
      case when exists (select from pg_foreign_server s, unnest(s.srvoptions) o where s.srvname = 'pgqueue_loopback' and o like option || '=%')
           then 'set' else 'add' end,
      option, case option when 'host' then host else port end);
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue._set_loopback(host text, port text) IS 'Sets the address of the loopback';

CREATE FUNCTION pgqueue._set_paused(queue text, paused boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  changed boolean;
begin
  if queue is null or octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  end if;
  if not pgqueue._knows_queue(queue) then
    if not paused then
      raise notice 'queue "%" is not known', queue using hint = 'The view pgqueue.queues lists those that are.';
      return false;
    end if;
    raise notice 'no message and no worker knows queue "%" yet', queue using hint = 'It is paused for those that come. If the name was a slip, resume it.';
  end if;
  insert into pgqueue.queue_switch as q (name, paused) values (_set_paused.queue, _set_paused.paused)
  on conflict (name) do update set paused = excluded.paused where q.paused <> excluded.paused;
  changed := found;
  if not paused then
    perform pgqueue._wake(queue);
  end if;
  return changed;
end
$$;

COMMENT ON FUNCTION pgqueue._set_paused(queue text, paused boolean) IS 'Pauses or resumes a queue';

CREATE FUNCTION pgqueue._set_progress(id bigint, token bigint, pct integer, msg text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform set_config('synchronous_commit', 'off', true);
  update pgqueue.activity a
  set progress_pct = greatest(0, least(100, pct)), progress_msg = pgqueue._cut(msg, 63)
  where a.id = _set_progress.id and a.token = _set_progress.token;
end
$$;

COMMENT ON FUNCTION pgqueue._set_progress(id bigint, token bigint, pct integer, msg text) IS 'Writes the progress of a running job, from another session than its own';

CREATE FUNCTION pgqueue._set_run_progress(id bigint, token bigint, pid integer, pct integer, msg text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- What a session says of a job is believed while that job runs in it.
  if pgqueue._runs(id, token, pid) then
    perform set_config('synchronous_commit', 'off', true);
    insert into pgqueue.activity as a (id, token, worker_id, backend_pid, progress_pct, progress_msg)
    select m.id, m.token, m.worker_id, pid, greatest(0, least(100, pct)), pgqueue._cut(msg, 63)
    from pgqueue.message m where m.id = _set_run_progress.id and m.token = _set_run_progress.token
    on conflict on constraint activity_pkey do update
    set token = excluded.token, worker_id = excluded.worker_id, backend_pid = excluded.backend_pid,
        started_at = case when a.token = excluded.token then a.started_at else excluded.started_at end,
        progress_pct = excluded.progress_pct, progress_msg = excluded.progress_msg;
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._set_run_progress(id bigint, token bigint, pid integer, pct integer, msg text) IS 'Writes the progress of a job that runs in the batch lane, from another session than its own';

CREATE FUNCTION pgqueue._set_worker_executors(worker_id integer, executors integer) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    BEGIN ATOMIC
 UPDATE pgqueue.worker w SET executors = _set_worker_executors.executors
   WHERE (w.id = _set_worker_executors.worker_id);
END;

COMMENT ON FUNCTION pgqueue._set_worker_executors(worker_id integer, executors integer) IS 'Says how many jobs a worker can run at the same time, which changes when its pool is scaled';

CREATE FUNCTION pgqueue._set_worker_queues(worker_id integer, queues text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  dropped text[];
  taken text;
begin
  -- Locked, so that of two processes that begin at the same time the second sees the first.
  perform from pgqueue.queue q where q.name = any (_set_worker_queues.queues) and q.exclusive order by q.id for update;
  if found then
    select min(q.name) into taken
    from pgqueue.queue q
    join pgqueue.worker w on q.name = any (w.queues)
    where q.exclusive and q.name = any (_set_worker_queues.queues) and w.id <> worker_id and w.lost_at is null
      and exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = w.id and l.pid = w.pid);
    if taken is not null then
      raise exception 'queue "%" is exclusive, and another process consumes it', taken using errcode = '55006', hint = 'Wait until that has ended, or use a queue of another name.';
    end if;
  end if;
  select array(select unnest(w.queues) except select unnest(_set_worker_queues.queues)) into dropped
  from pgqueue.worker w where w.id = worker_id;
  update pgqueue.worker w set queues = _set_worker_queues.queues where w.id = worker_id;
  update pgqueue.queue q set used_at = clock_timestamp()
  where q.id = any (array(select u.id from pgqueue.queue u
                          where u.name = any (_set_worker_queues.queues) and u.expires_after is not null for update skip locked));
  perform pgqueue._auto_delete(dropped);
end
$$;

COMMENT ON FUNCTION pgqueue._set_worker_queues(worker_id integer, queues text[]) IS 'Says which queues a worker consumes. One that is exclusive only one process consumes. Auto-delete queues that lose their last consumer go';

CREATE FUNCTION pgqueue._setting(name text, fallback text) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE(NULLIF(current_setting(('pgqueue.'::text || name), true), ''::text), fallback) AS "coalesce";
END;

COMMENT ON FUNCTION pgqueue._setting(name text, fallback text) IS 'A setting as the calling session has it';

CREATE FUNCTION pgqueue._settle_here(is_elsewhere boolean) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  used record;
  found_role oid;
  nobody bigint := (select coalesce(min(n.role::bigint), 4294967295) from pgqueue.role_name n where n.role >= 4294900000);
  old_numbers oid[] := '{}';
  new_numbers oid[] := '{}';
  names text[] := '{}';
  missing text[] := '{}';
  routine text;
begin
  for used in
    select u.number, n.name
    from (select m.submitter from pgqueue.message m union select h.submitter from pgqueue.history h union select s.submitter from pgqueue.stat_total s
          union select k.role from pgqueue.role_key k union select q.declared_by from pgqueue.queue q union select e.declared_by from pgqueue.exchange e
          union select b.declared_by from pgqueue.binding b union select r.role from pgqueue.role_name r) u (number)
    left join pgqueue.role_name n on n.role = u.number
    where u.number >= case when is_elsewhere then 1 else 4294900000 end
  loop
    found_role := pgqueue._role_here(used.number);
    if found_role is null then
      missing := missing || used.name;
      if used.number >= 4294900000 then
        found_role := used.number;
      else
        -- Another role may have that number here.
        nobody := nobody - 1;
        found_role := nobody;
      end if;
    end if;
    old_numbers := old_numbers || used.number;
    new_numbers := new_numbers || found_role;
    names := names || used.name;
  end loop;
  missing := array(select distinct m from unnest(missing) m where m is not null order by m);
  -- Under the numbers of there they were counted; the numbers of transactions, too, are others here.
  perform pgqueue._fold_stats();
  if old_numbers <> new_numbers then
    perform pgqueue._renumber_roles(old_numbers, new_numbers);
    delete from pgqueue.role_name n where n.role = any (old_numbers);
    insert into pgqueue.role_name (role, name) select t.number, t.name from unnest(new_numbers, names) t (number, name) on conflict do nothing;
  end if;
  if not is_elsewhere then
    return missing;
  end if;
  update pgqueue.history h set xact = '3' where h.xact >= pg_snapshot_xmax(pg_current_snapshot());
  update pgqueue.stat_fold f set snapshot = pg_current_snapshot();
  -- No session of there is one of here.
  delete from pgqueue.stat_session;
  delete from pgqueue.tracked_job;
  -- Runners bear numbers of there, and may be written for another version of the server.
  for routine in
    select p.oid::regprocedure::text from pg_proc p join pg_namespace s on s.oid = p.pronamespace
    where s.nspname in ('pgqueue_run', 'pgqueue_take') and p.proname ~ '^(job|jobs|take)_[0-9]+$'
  loop
    execute format('drop routine %s', routine);
  end loop;
  update pgqueue.role_key k set runner = null, runner_xid = null;
  return missing;
end
$_$;

COMMENT ON FUNCTION pgqueue._settle_here(is_elsewhere boolean) IS 'After a dump was restored in another cluster: gives all roles the numbers that they have here; else those that were missing. Returns the names of those that are not here';

CREATE FUNCTION pgqueue._settle_run(ids bigint[], tokens bigint[], error jsonb, is_jobs boolean, run_seconds double precision, pid integer) RETURNS TABLE(id bigint, token bigint, verdict text, label text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
  m pgqueue.message;
  called_at timestamptz := clock_timestamp() - run_seconds * interval '1 s';
begin
  -- They run in this order, and one that has ended is gone: the first that is left is the one that ran.
  if is_jobs then
    select q.* into m
    from unnest(ids, tokens) with ordinality c (id, token, n)
    join pgqueue.message q on q.id = c.id and q.token = c.token
    order by c.n
    limit 1
    for update of q;
    if m.id is null then
      perform pgqueue._suspect_unclaimed(ids, error);
    elsif pgqueue._needs_top_level(error, m.params)
      -- A job of a role that may not log in would wait there for ever: what it has raised itself is its end.
      and (pgqueue._may_log_in(m.submitter) or pgqueue._is_raised_in_run(error) is not true)
    then
      update pgqueue.message q
      set top_level = true, state = 'ready', token = null, worker_id = null, deliveries = q.deliveries - 1
      where q.id = m.id;
      delete from pgqueue.activity a where a.id = m.id;
      perform pgqueue._wake(m.queue);
      return query select m.id, m.token, 'handed over', m.label;
    else
      perform pgqueue._forget_earlier_runs(array[m.id]);
      insert into pgqueue.activity (id, token, worker_id, backend_pid, started_at)
      values (m.id, m.token, m.worker_id, pid, coalesce((select max(h.ended_at) from pgqueue.history h where h.id = any (ids) and h.ended_at >= called_at), called_at))
      on conflict do nothing;
      return query select m.id, m.token, pgqueue._fail_any_job(m.id, m.token, pgqueue._without_runner(error, m.sql)), m.label;
    end if;
  end if;
  return query
  select c.id, c.token, null::text, q.label
  from unnest(ids, tokens) with ordinality c (id, token, n)
  join pgqueue.message q on q.id = c.id and q.token = c.token
  where q.id is distinct from m.id
  order by c.n;
end
$$;

COMMENT ON FUNCTION pgqueue._settle_run(ids bigint[], tokens bigint[], error jsonb, is_jobs boolean, run_seconds double precision, pid integer) IS 'After a call that runs jobs ended with an error: what became of the job that raised it, and the jobs that are still to be run (verdict NULL)';

CREATE FUNCTION pgqueue._shown(repr text) RETURNS text
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (length(repr) > 1024) THEN ("left"(repr, 1021) || '...'::text)
             ELSE repr
         END AS repr;
END;

COMMENT ON FUNCTION pgqueue._shown(repr text) IS 'What Celery shows of arguments: 1024 characters';

CREATE FUNCTION pgqueue._untrack_now(request jsonb) RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT (c.c)::integer AS c
    FROM pgqueue._call('untrack'::text, (_untrack_now.request || jsonb_build_object('session_id', pgqueue._tracker()))) c(c);
END;

COMMENT ON FUNCTION pgqueue._untrack_now(request jsonb) IS 'pg_background_detach, detach_all and purge: the request says which';

CREATE FUNCTION pgqueue._spare_tracked(job jsonb) RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT pgqueue._untrack_now(jsonb_build_object('pid', (job -> 'pid'::text), 'cookie', (job -> 'cookie'::text), 'spare', true)) AS _untrack_now;
END;

COMMENT ON FUNCTION pgqueue._spare_tracked(job jsonb) IS 'A job whose result was asked for with a column definition list that does not fit can be read again, but its handle may be gone with the statement: it counts no more';

CREATE FUNCTION pgqueue._state_rank(state text) RETURNS integer
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (state = 'SUCCESS'::text) THEN 2
             WHEN (state = ANY (ARRAY['FAILURE'::text, 'REVOKED'::text])) THEN 1
             ELSE 0
         END AS "case";
END;

COMMENT ON FUNCTION pgqueue._state_rank(state text) IS 'Which of a task''s states counts: a success above everything, an end above what is on the way';

CREATE FUNCTION pgqueue._statement_of(role oid, handle pgqueue.handle) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pgqueue._locate(role, handle, '42704');
  return coalesce((select m.sql from pgqueue.message m where m.id = handle.id), (select h.sql from pgqueue.history h where h.id = handle.id));
end
$$;

COMMENT ON FUNCTION pgqueue._statement_of(role oid, handle pgqueue.handle) IS 'The whole text of a job';

CREATE FUNCTION pgqueue._statement_settings() RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  settings pg_catalog.jsonb;
begin
  -- No SET clause here: it would hide the search_path that the job inherits.
  select s.settings into settings from pgqueue.own_statement s;
  if settings is null then
    settings := pgqueue._settings();
    perform pgqueue._begin_statement(pg_catalog.current_setting('search_path'), settings);
  end if;
  return settings;
end
$$;

COMMENT ON FUNCTION pgqueue._statement_settings() IS 'pgqueue._settings for triggers: looked at anew when a statement begins, or a setting of pgqueue._fingerprint changed';

CREATE FUNCTION pgqueue._status(handle pgqueue.handle, wait jsonb DEFAULT '{}'::jsonb, OUT state pgqueue.job_state, OUT live boolean, OUT run_key bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  answer jsonb;
  code text;
  message text;
  detail text;
  hint text;
begin
  if handle is null or handle.id is null then
    raise exception 'handle cannot be NULL' using errcode = '22004';
  end if;
  begin
    select * into answer from pgqueue._call('status', pgqueue._request(handle) || wait);
  exception when others then
    -- Nobody else sees it. If the caller does, its own open transaction has enqueued it.
    if sqlstate = '42704' and exists (select from pgqueue.outbox o where o.id = handle.id) then
      raise exception 'job % was enqueued by this transaction, which has not committed', handle.id
        using errcode = '55000', hint = 'Commit first, or use pgqueue.launch, which does not wait for the commit.';
    end if;
    get stacked diagnostics code = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    if pgqueue._raise_again(code, message, detail, hint) then
      null;
    end if;
  end;
  state := answer ->> 'state';
  live := answer ->> 'live';
  run_key := answer ->> 'run_key';
end
$$;

COMMENT ON FUNCTION pgqueue._status(handle pgqueue.handle, wait jsonb, OUT state pgqueue.job_state, OUT live boolean, OUT run_key bigint) IS 'The state of a job as it is now, in any isolation level; wait: of pgqueue._with_wait';

CREATE FUNCTION pgqueue._stop_awaiting(task_ids text[], was_asleep boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform set_config('synchronous_commit', 'off', true);
  delete from pgqueue.result_waiter w where w.pid = pg_backend_pid() and w.task_id = any (task_ids);
  if was_asleep then
    perform pg_advisory_unlock(pgqueue._lock_class('result_waiter'), pg_backend_pid());
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._stop_awaiting(task_ids text[], was_asleep boolean) IS 'This session no longer waits for these tasks, and for now does not sleep: nobody notifies it';

CREATE FUNCTION pgqueue._stop_run(id bigint, token bigint, pid integer, is_final boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  has_gate boolean := false;
begin
  -- While this is held no session begins a job. It is never waited for, since whoever waited would hold up all of them.
  for attempt in 1 .. 50 loop
    begin
      lock table pgqueue.run_gate in exclusive mode nowait;
      has_gate := true;
      exit;
    exception when lock_not_available then
      perform pg_sleep(0.001);
    end;
  end loop;
  if not has_gate or not pgqueue._runs(id, token, pid) then
    return false;
  end if;
  return case when is_final then pg_terminate_backend(pid) else pg_cancel_backend(pid) end;
end
$$;

COMMENT ON FUNCTION pgqueue._stop_run(id bigint, token bigint, pid integer, is_final boolean) IS 'Cancels a job that runs in the batch lane, or ends its session; never another job. False: it does not run, or the next look tries again';

CREATE FUNCTION pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text DEFAULT '200ms'::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  waiter int;
  old_timeout text := current_setting('lock_timeout');
begin
  -- Shared until the commit: a session that begins to wait passes through this lock after it has said so, and so either
  -- reads this result or is seen here.
  if not pg_try_advisory_xact_lock_shared(pgqueue._lock_class('storing'), hashtext(task_id) & 63) and patience is not null then
    begin
      perform set_config('lock_timeout', patience, true);
      perform pg_advisory_xact_lock_shared(pgqueue._lock_class('storing'), hashtext(task_id) & 63);
    exception when lock_not_available then
      null;  -- any role can take it and keep it; who waits finds the result at the next look
    end;
    perform set_config('lock_timeout', old_timeout, true);
  end if;
  insert into pgqueue.task_result (task_id, state, content_type, payload, expires_at)
  values (task_id, state, content_type, payload, coalesce(clock_timestamp() + lifetime, 'infinity'));
  for waiter in select w.pid from pgqueue.result_waiter w where w.task_id = _store_task_result.task_id loop
    -- Held exclusively by a session that sleeps. One that is awake looks again before it sleeps, when this has committed.
    if not pg_try_advisory_xact_lock_shared(pgqueue._lock_class('result_waiter'), waiter) then
      perform pg_notify('pgqueue.r.' || waiter, '');
    end if;
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text) IS 'Appends a state of a task, and notifies those who wait for it and sleep. Which state counts is decided by reading';

CREATE FUNCTION pgqueue._suspect(ids bigint[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  insert into pgqueue.lost_session as l (id, suspicions)
  select m.id, 1 from unnest(ids) with ordinality c (id, n) join pgqueue.message m on m.id = c.id order by c.n limit 1
  on conflict on constraint lost_session_pkey do update set suspicions = l.suspicions + 1
$$;

COMMENT ON FUNCTION pgqueue._suspect(ids bigint[]) IS 'The session that ran the first of these jobs that is left has ended, and nobody knows why: the job, an operator, or the kernel that needed memory';

CREATE FUNCTION pgqueue._suspect_unclaimed(ids bigint[], error jsonb) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  m pgqueue.message;
begin
  if error ? 'session_lost' then
    perform pgqueue._suspect(ids);
    -- What runs again is looked at when that run ends.
    select q.* into m from pgqueue.message q
    where q.id = (select r.id from unnest(ids) with ordinality c (id, n) join pgqueue.message r on r.id = c.id order by c.n limit 1)
      and q.state in ('ready', 'delayed')
    for update skip locked;
    if found and pgqueue._is_given_up(m.id, m.max_attempts) then
      perform pgqueue._give_up(m, error);
      return 'failed';
    end if;
  end if;
  return 'gone';
end
$$;

COMMENT ON FUNCTION pgqueue._suspect_unclaimed(ids bigint[], error jsonb) IS 'pgqueue._suspect of jobs whose claims are lost: the crash of the server has undone them, or another worker was back earlier. failed: the job was given up';

CREATE FUNCTION pgqueue._swap_settings(settings jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  old jsonb := '{}';
  setting record;
begin
  -- Arrays are read with their NULLs, whatever the reader's session takes NULL for.
  for setting in select key, value from jsonb_each_text('{"array_nulls": "on"}' || case when jsonb_typeof(settings) = 'object' then settings else '{}' end) loop
    if current_setting(setting.key) <> setting.value then
      old := old || jsonb_build_object(setting.key, current_setting(setting.key));
      perform set_config(setting.key, setting.value, true);
    end if;
  end loop;
  return old;
end
$$;

COMMENT ON FUNCTION pgqueue._swap_settings(settings jsonb) IS 'Sets settings for the rest of the transaction and returns what those were that had other values';

CREATE FUNCTION pgqueue._task_fates(task_ids text[], workers text[], seen_at double precision[]) RETURNS TABLE(task_id text, fate text, queue text, outcome jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  with gone as materialized (
    select distinct a.id
    from unnest(task_ids, workers, seen_at) a (id, worker, seen)
    -- A worker of that name may be another process by now.
    where not exists (select from pgqueue.workers w where w.worker = a.worker and w.status <> 'lost' and extract(epoch from w.started_at) <= a.seen)
  ), job as materialized (
    select g.id, substr(g.id, 5)::bigint as number from gone g where g.id ~ '^job-[0-9]{1,18}$'
  ), held as materialized (
    select j.id, m.state, m.queue from job j join pgqueue.message m on m.id = j.number and m.kind = 'job'
    union all
    -- Only what a worker has had, or was put aside: what waits for its first worker is none of these, and may be very much.
    select t.id, t.state, t.queue
    from (select pgqueue._text_in(m.payload, '{headers,id}') as id, m.state, m.queue
          from pgqueue.message m
          where m.kind = 'task' and (m.deliveries > 0 or m.queue like '%.dead') and exists (select from gone where id !~ '^job-')) t
    join gone g on g.id = t.id
  )
  select g.id,
         case when h.state = 'claimed' then 'held'
              when h.queue like '%.dead' then 'dead'
              when h.state is not null then 'waits'
              when j.id is not null then case when exists (select from pgqueue.history e where e.id = j.number) then 'ended' else 'lost' end
              else coalesce(r.state, 'lost') end,
         h.queue, case when r.state = 'FAILURE' then pgqueue.task_result(g.id) end
  from gone g
  left join job j on j.id = g.id
  left join lateral (select * from held where held.id = g.id order by held.state = 'claimed' desc limit 1) h on true
  left join lateral (select f.state from pgqueue._task_results(array[g.id]) f
                     where h.id is null and j.id is null and pgqueue._state_rank(f.state) > 0) r on true
$_$;

COMMENT ON FUNCTION pgqueue._task_fates(task_ids text[], workers text[], seen_at double precision[]) IS 'For monitors: what became of tasks that a worker had which is gone. held: another has it; waits; dead: a dead letter; ended: a job; SUCCESS, FAILURE, REVOKED: its result; lost: nothing is left of it';

CREATE FUNCTION pgqueue._task_group(group_id text) RETURNS bytea
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 SELECT g.payload
    FROM pgqueue.task_group g
   WHERE ((g.id = _task_group.group_id) AND (g.expires_at > clock_timestamp()));
END;

COMMENT ON FUNCTION pgqueue._task_group(group_id text) IS 'A group that was kept; NULL: there is none';

CREATE FUNCTION pgqueue._task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, due_at timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) RETURNS json
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  callbacks jsonb := pgqueue._callback(link);
  errbacks jsonb := pgqueue._callback(errback);
begin
  -- Celery's message protocol, version 2. The due time is the queue's business: the worker is told no eta, the task is.
  return json_build_object(
    'body', json_build_array(args, kwargs, json_build_object('callbacks', callbacks, 'errbacks', errbacks, 'chain', null, 'chord', null))::text,
    'content-type', 'application/json',
    'content-encoding', 'utf-8',
    'headers', jsonb_build_object(
      'lang', 'py', 'task', task, 'id', task_id, 'shadow', null, 'eta', null, 'expires', pgqueue._utc_text(expires),
      'group', null, 'group_index', null, 'retries', 0, 'timelimit', '[null, null]'::jsonb, 'root_id', task_id, 'parent_id', null,
      'argsrepr', pgqueue._args_repr(args), 'kwargsrepr', pgqueue._kwargs_repr(kwargs),
      'origin', concat(pg_backend_pid(), '@', current_database()),
      'ignore_result', ignore_result, 'replaced_task_nesting', 0, 'stamped_headers', null, 'stamps', '{}'::jsonb)
      || case when due_at is null then '{}' else jsonb_build_object('published_eta', pgqueue._utc_text(due_at)) end || coalesce(headers, '{}'),
    'properties', json_build_object(
      'correlation_id', task_id, 'reply_to', '', 'delivery_mode', 2, 'priority', priority,
      'delivery_info', json_build_object('exchange', '', 'routing_key', queue)));
end
$$;

COMMENT ON FUNCTION pgqueue._task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, due_at timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) IS 'A task as a Celery message (protocol 2)';

CREATE FUNCTION pgqueue._task_name(payload json) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return left(payload -> 'headers' ->> 'task', 255);
exception when others then
  return null;  -- one that nests too deeply, say
end
$$;

COMMENT ON FUNCTION pgqueue._task_name(payload json) IS 'The task that a message calls; NULL: it is none, or cannot be read';

CREATE FUNCTION pgqueue._task_results(task_ids text[]) RETURNS TABLE(task_id text, state text, content_type text, stored_at timestamp with time zone, payload bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
begin
  -- Not a function in SQL: that would be planned anew, with all its partitions, at each call.
  return query
  select wanted.id, best.state, best.content_type, best.stored_at, best.payload
  from (select distinct unnest(task_ids)) wanted (id)
  cross join lateral (
    select r.*
    from pgqueue.task_result r
    where r.task_id = wanted.id and r.expires_at > clock_timestamp()
    -- The first success stays; otherwise the latest state counts.
    order by pgqueue._state_rank(r.state) desc, case when r.state = 'SUCCESS' then r.stored_at end, r.stored_at desc
    limit 1
  ) best;
end
$$;

COMMENT ON FUNCTION pgqueue._task_results(task_ids text[]) IS 'The state that counts of each of these tasks; a task of which nothing is known has no row';

CREATE FUNCTION pgqueue._tell_sent(message json, queue text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  headers json := message -> 'headers';
  -- One name for all sessions: monitors keep counters by name, and never forget one.
  sender text := concat('sql@', current_database());
begin
  if not exists (select from pgqueue.sent_listener) then
    return;
  end if;
  perform pgqueue._publish('celeryev', 'task.sent', json_build_object(
    'body', json_build_object(
      'type', 'task-sent', 'timestamp', extract(epoch from clock_timestamp()), 'hostname', sender, 'pid', pg_backend_pid(),
      'uuid', headers ->> 'id', 'root_id', headers ->> 'root_id', 'parent_id', null, 'name', headers ->> 'task', 'args', headers ->> 'argsrepr',
      'kwargs', headers ->> 'kwargsrepr', 'retries', 0, 'eta', headers ->> 'published_eta', 'expires', headers ->> 'expires',
      'queue', queue, 'exchange', '', 'routing_key', queue)::text,
    'content-type', 'application/json',
    'content-encoding', 'utf-8',
    'headers', json_build_object('hostname', sender),
    'properties', json_build_object(
      'delivery_mode', 1, 'priority', 0, 'delivery_info', json_build_object('exchange', 'celeryev', 'routing_key', 'task.sent'))),
    0, null, null);
end
$$;

COMMENT ON FUNCTION pgqueue._tell_sent(message json, queue text) IS 'Tells Celery''s monitors of a task that was sent, if there are any: Flower, celery events';

CREATE FUNCTION pgqueue._tell_wait(id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if nullif(current_setting('pgqueue.job_id', true), '') is not null then
    -- An INFO reaches the client in the middle of a statement. The client is the worker: it gives the job's place to another.
    raise info using errcode = 'PQ007', message = jsonb_build_object('job', current_setting('pgqueue.job_id'), 'waits_for', id)::text;
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._tell_wait(id bigint) IS 'Inside a job: tells its worker for which other job it waits from now on, NULL for none';

CREATE FUNCTION pgqueue._text_in(payload json, path text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return payload #>> path;
exception when data_exception or program_limit_exceeded then
  return null;
end
$$;

COMMENT ON FUNCTION pgqueue._text_in(payload json, path text[]) IS 'A part of a message, if PostgreSQL can read it: JSON may hold characters that no text can';

CREATE FUNCTION pgqueue._tick(worker_id integer, items_processed bigint, last_run_at timestamp with time zone) RETURNS TABLE(naptime double precision, max_items integer, seconds_to_next_due double precision)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if not exists (select from pgqueue.worker w where w.id = worker_id and w.lost_at is null) then
    raise exception 'worker % is no longer registered', worker_id using errcode = 'PQ003', hint = 'Register again.';
  end if;
  update pgqueue.worker w
  set last_seen_at = clock_timestamp(), items_processed = _tick.items_processed, last_run_at = _tick.last_run_at
  where w.id = worker_id
    and (w.items_processed <> _tick.items_processed or w.last_seen_at < clock_timestamp() - interval '10 s');
  perform pgqueue._try_upkeep('delays');
  -- One worker at a time. The lock is a row that nobody else can lock, not an advisory lock, which any role can take.
  perform from pgqueue.stat_fold for update skip locked;
  if found then
    perform pgqueue._try_upkeep(p) from unnest('{rescue,expiry,statistics,proofs,roles,quotas,requests,activity}'::text[]) p;
    -- Making and dropping partitions locks their parent: never queue for that lock in front of the workers.
    perform set_config('lock_timeout', '50ms', true);
    perform pgqueue._try_upkeep(p) from unnest('{queues,new partitions,old partitions}'::text[]) p;
  end if;
  return query select extract(epoch from case
                        -- A worker was found lost: its claims are to come back when the grace is over.
                        when exists (select from pgqueue.worker w where w.lost_at > clock_timestamp() - pgqueue._reclaim_grace())
                          then least(pgqueue._reclaim_grace(), pgqueue._worker_interval('naptime', '3 s', '0.1 s', '1 hour'))
                        else pgqueue._worker_interval('naptime', '3 s', '0.1 s', '1 hour') end)::float8,
                      pgqueue._worker_number('max_items', 500, 1, 10000), pgqueue._seconds_to_next_due();
end
$$;

COMMENT ON FUNCTION pgqueue._tick(worker_id integer, items_processed bigint, last_run_at timestamp with time zone) IS 'Heartbeat and upkeep, once every naptime by each worker. Returns the settings of now and when the next delayed message is due';

CREATE FUNCTION pgqueue._time_allowed(timeout interval, settings jsonb) RETURNS interval
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT LEAST(timeout,
         CASE
             WHEN ((settings ->> 'statement_timeout'::text) ~ '^([1-9][0-9]{0,9}ms|[1-9][0-9]{0,8}(s|min|h|d))$'::text) THEN ((settings ->> 'statement_timeout'::text))::interval
             ELSE NULL::interval
         END) AS "least";
END;

COMMENT ON FUNCTION pgqueue._time_allowed(timeout interval, settings jsonb) IS 'How long a job of the batch lane may take; NULL: as long as it likes';

CREATE FUNCTION pgqueue._track(kept pgqueue.result_kept, settings jsonb, sql text, queue_size integer, label text, OUT pid integer, OUT cookie bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._track(kept pgqueue.result_kept, settings jsonb, sql text, queue_size integer, label text, OUT pid integer, OUT cookie bigint) IS 'pg_background_launch and submit';

CREATE FUNCTION pgqueue._tracked(role oid, args jsonb) RETURNS SETOF jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  job pgqueue.tracked_job;
  described jsonb;
begin
  if args ? 'pid' then
    job := pgqueue._find_tracked(role, args);
    if job.id is not null then
      if args ? 'wait_ms' then
        perform pgqueue._await_end(role, job.id, (args ->> 'wait_ms')::int);
      end if;
      described := pgqueue._describe_tracked(job, (args ->> 'sql_length')::int);
      return next described;
      if args ? 'read' and (described ->> 'ended_at') is not null and job.kept <> 'none' then
        return query select * from pgqueue._result_of(role, (job.id, job.cookie));
      end if;
    end if;
  elsif args ? 'stats' then
    -- The view is about the session that looks. This one looks for another.
    perform set_config('pgqueue.session_id', args ->> 'session_id', true);
    return query
    select to_jsonb(s) || jsonb_build_object('workers_timed_out', coalesce(
      (select t.timeouts from pgqueue.tracked_timeout t where t.session_id = (args ->> 'session_id')::bigint), 0))
    from pgqueue.stats s;
  else
    return query select pgqueue._describe_tracked(t, (args ->> 'sql_length')::int) from pgqueue._tracked_jobs(role, args) t;
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._tracked(role oid, args jsonb) IS 'What a session asks about the jobs it tracks: one of them, with its result if it has ended; all of them; or how many there were';

CREATE FUNCTION pgqueue._tracked_jobs(role oid, args jsonb) RETURNS SETOF pgqueue.tracked_job
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 SELECT t.session_id,
     t.pid,
     t.id,
     t.cookie,
     t.submitter,
     t.kept,
     t.queue_size,
     t.is_spared,
     t.tracked_at
    FROM (pgqueue.tracked_job t
      LEFT JOIN pgqueue.message m ON ((m.id = t.id)))
   WHERE ((t.session_id = ((_tracked_jobs.args ->> 'session_id'::text))::bigint) AND pg_has_role(_tracked_jobs.role, t.submitter, 'member'::text) AND (((_tracked_jobs.args ->> 'label'::text) IS NULL) OR (COALESCE(m.label, ( SELECT h.label
            FROM pgqueue.history h
           WHERE ((h.id = t.id) AND (m.id IS NULL)))) ~~ (_tracked_jobs.args ->> 'label'::text))) AND (((_tracked_jobs.args ->> 'ended'::text) IS NULL) OR ((m.id IS NULL) = ((_tracked_jobs.args ->> 'ended'::text))::boolean)))
   ORDER BY t.tracked_at, t.pid;
END;

COMMENT ON FUNCTION pgqueue._tracked_jobs(role oid, args jsonb) IS 'The jobs that a session tracks and the role may see; those with a label like this; those that have ended or have not';

CREATE FUNCTION pgqueue._tracked_result(pid integer, cookie bigint) RETURNS SETOF record
    LANGUAGE plpgsql STRICT
    AS $$
    declare
      part pg_catalog.record;
      job pg_catalog.jsonb;
      reader pg_catalog.text;
      casts pg_catalog.text[];
      misfit pg_catalog.text;
      old_settings pg_catalog.jsonb;
    begin
      for part in select * from pgqueue._read_tracked(pid, cookie, '2.0') loop
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
    $$;

COMMENT ON FUNCTION pgqueue._tracked_result(pid integer, cookie bigint) IS 'pg_background_result';

CREATE FUNCTION pgqueue._tracked_stats(OUT workers_launched bigint, OUT workers_completed bigint, OUT workers_failed bigint, OUT workers_canceled bigint, OUT workers_timed_out bigint, OUT workers_active integer, OUT avg_execution_ms double precision, OUT max_workers integer) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  select (s ->> 'workers_launched')::bigint, (s ->> 'workers_completed')::bigint, (s ->> 'workers_failed')::bigint, (s ->> 'workers_canceled')::bigint,
         (s ->> 'workers_timed_out')::bigint, (s ->> 'workers_active')::int, (s ->> 'avg_execution_ms')::float8
  into workers_launched, workers_completed, workers_failed, workers_canceled, workers_timed_out, workers_active, avg_execution_ms
  from pgqueue._call('tracked', jsonb_build_object('session_id', pgqueue._tracker(), 'stats', true)) s;
  max_workers := pgqueue._background_setting('max_workers', 16, 1, 1000);
end
$$;

COMMENT ON FUNCTION pgqueue._tracked_stats(OUT workers_launched bigint, OUT workers_completed bigint, OUT workers_failed bigint, OUT workers_canceled bigint, OUT workers_timed_out bigint, OUT workers_active integer, OUT avg_execution_ms double precision, OUT max_workers integer) IS 'pg_background_stats: the jobs that this session handed in';

CREATE FUNCTION pgqueue._transition_query(argv text[], op text, relation oid, trigger_name text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  columns text[] := pgqueue._trigger_columns(argv);
  transition text := (select case when op = 'DELETE' then t.tgoldtable else coalesce(t.tgnewtable, t.tgoldtable) end
                      from pg_trigger t where t.tgrelid = relation and t.tgname = trigger_name);
  unknown text := (select min(c) from unnest(columns) c
                   where not exists (select from pg_attribute a where a.attrelid = relation and a.attname = c and a.attnum > 0 and not a.attisdropped));
begin
  if columns = '{}' or transition is null then
    return null;
  elsif unknown is not null then
    raise exception 'column "%" named in the trigger does not exist in %', unknown, relation::regclass using errcode = '42703';
  end if;
  perform pgqueue._refuse_virtual(relation, columns);
  if argv[0] = 'task' then
    -- Of the columns that it names only: the whole row may have some that are generated when they are read.
    return format('select pg_catalog.count(pgqueue._enqueue_for_trigger($11, null, $12, $13, $14, pg_catalog.to_jsonb(s), null, null)::pg_catalog.text) from (select %s from %I r) s',
                  (select string_agg(format('r.%I', c), ', ' order by c) from (select distinct unnest(columns)) u (c)), transition);
  end if;
  return format($query$insert into pgqueue.outbox (cookie, session_id, due_at, kind, state, priority, max_attempts, queue, sql, params, settings, timeout, label)
                       select $15, $1, $2, 'job', $3, $4, $5, $6, $7, array[%s], $8, $9, $10 from %I r$query$,
                (select string_agg(format('r.%I::pg_catalog.text', c), ', ' order by n) from unnest(columns) with ordinality u (c, n)), transition);
end
$_$;

COMMENT ON FUNCTION pgqueue._transition_query(argv text[], op text, relation oid, trigger_name text) IS 'The query by which a statement trigger enqueues for each row of its transition table. NULL: it has none or names no columns';

CREATE FUNCTION pgqueue._trigger_columns(argv text[]) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  return case
    when coalesce(argv[2], '') in ('', '*') then '{}'
    when strpos(argv[2], '"') = 0 then string_to_array(regexp_replace(trim(argv[2]), '[[:space:]]*,[[:space:]]*', ',', 'g'), ',')
    else array(select coalesce(replace(name[1], '""', '"'), name[2])
               from regexp_matches(argv[2], '[[:space:]]*(?:"((?:[^"]|"")+)"|([^,"[:space:]](?:[^,]*[^,[:space:]])?))[[:space:]]*(?:,|$)', 'g') with ordinality m (name, n)
               order by n) end;
end
$_$;

COMMENT ON FUNCTION pgqueue._trigger_columns(argv text[]) IS 'The columns that a trigger names; none means the whole row, for a task';

CREATE VIEW pgqueue.inbox AS
 SELECT id,
    cookie,
    token,
    session_id,
    due_at,
    expires_at,
    launched_at,
    submitter,
    kind,
    state,
    kept,
    top_level,
    worker_id,
    priority,
    deliveries,
    attempts,
    max_attempts,
    queue,
    sql,
    params,
    settings,
    timeout,
    backoff,
    label,
    unique_key,
    payload,
    last_error
   FROM pgqueue.message
  WHERE
        CASE
            WHEN ((state = 'ready'::pgqueue.message_state) AND ((priority >= 0) AND (priority <= 9)) AND (num_nonnulls(due_at, timeout, backoff, label) = 0) AND ((octet_length(queue) >= 1) AND (octet_length(queue) <= 255)) AND ("right"(queue, 7) <> '.pidbox'::text) AND ("left"(queue, 9) <> 'celeryev.'::text) AND
            CASE
                WHEN (payload IS NULL) THEN ((kind = 'job'::pgqueue.message_kind) AND (cookie IS NOT NULL) AND (strpos(' 	
'::text, "left"(sql, 1)) = 0) AND (octet_length(sql) <= 16777216) AND (pg_column_size(settings) <= 2000) AND (NOT jsonb_path_exists(settings, 'strict $?(@.type() != "object" || @.*.type() != "string")'::jsonpath)) AND ((params IS NULL) OR ((array_ndims(params) = 1) AND (pg_column_size(params) <= 2000))))
                ELSE ((kind = 'task'::pgqueue.message_kind) AND (pg_column_size(payload) <= 100000) AND (num_nonnulls(sql, settings, params) = 0))
            END) THEN true
            ELSE (pgqueue._is_acceptable(message.*) OR pgqueue._refuse_message(message.*))
        END
  WITH CASCADED CHECK OPTION;

COMMENT ON VIEW pgqueue.inbox IS 'The shape of a message that is handed in, which workers rely on. Everything that inserts does it through here; what does not fit is refused by pgqueue._refuse_message';

CREATE FUNCTION pgqueue._trigger_job(argv text[], settings jsonb) RETURNS pgqueue.inbox
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  options jsonb := pgqueue._trigger_options(argv);
  job pgqueue.inbox;
begin
  if argv[0] = 'task' then
    return job;
  end if;
  -- Nobody is given the handles of these jobs: one cookie does for all.
  job.cookie := pgqueue._random_bigint();
  job.session_id := pgqueue._session_id();
  job.queue := coalesce(options ->> 'queue', 'default');
  job.priority := coalesce((options ->> 'priority')::int, 0);
  job.max_attempts := (options ->> 'max_attempts')::int;
  job.label := options ->> 'label';
  job.due_at := pgqueue._check_options(argv[1], job.queue, job.priority, (options ->> 'delay')::interval, null, null,
                                       (options ->> 'timeout')::interval, job.max_attempts, null, null);
  job.state := case when job.due_at is null then 'ready' else 'delayed' end;
  job.sql := argv[1];
  job.settings := pgqueue._inherited(settings);
  job.timeout := coalesce((options ->> 'timeout')::interval, pgqueue._inherited_timeout(settings));
  perform pgqueue._wake_for(job.queue, job.due_at);
  return job;
end
$$;

COMMENT ON FUNCTION pgqueue._trigger_job(argv text[], settings jsonb) IS 'What the jobs of one firing of a statement trigger have in common; wakes a worker for them';

CREATE FUNCTION pgqueue._trigger_options(argv text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  name text;
  options jsonb := '{}';
begin
  if argv[0] is null or argv[0] not in ('sql', 'task') or coalesce(argv[1], '') = '' then
    raise exception 'pgqueue.enqueue_trigger needs ''sql'' and a statement, or ''task'' and the name of a Celery task' using errcode = '22023',
      hint = 'For example: execute function pgqueue.enqueue_trigger(''sql'', ''insert into audit (id) values ($1)'', ''id'').';
  end if;
  for i in 3 .. coalesce(array_upper(argv, 1), 0) loop
    name := split_part(argv[i], '=', 1);
    if name not in ('queue', 'priority', 'delay', 'label', 'timeout', 'max_attempts') or strpos(argv[i], '=') = 0 then
      raise exception 'option "%" of pgqueue.enqueue_trigger is not known', argv[i]
        using errcode = '22023', hint = 'Options are queue, priority, delay, label, timeout and max_attempts, each as name=value.';
    end if;
    options := options || jsonb_build_object(name, substr(argv[i], strpos(argv[i], '=') + 1));
  end loop;
  return options;
end
$_$;

COMMENT ON FUNCTION pgqueue._trigger_options(argv text[]) IS 'The options of a trigger, once its arguments are found to make sense';

CREATE FUNCTION pgqueue._try_upkeep(part text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- A subtransaction for each part: what makes one impossible (a publication, an event trigger, a damaged index) leaves the others alone.
  perform pgqueue._do_upkeep(part);
  delete from pgqueue.upkeep_failure f where f.part = _try_upkeep.part;
exception when others then
  if sqlstate = '55P03' and part in ('queues', 'new partitions', 'old partitions') then
    return;  -- somebody uses what is to be locked. The next tick tries again; there are three days of partitions ahead
  end if;
  -- In the log once, and as long as it lasts in pgqueue doctor.
  if not exists (select from pgqueue.upkeep_failure f where f.part = _try_upkeep.part and f.message = sqlerrm) then
    raise warning 'upkeep of pgqueue failed (%): %', part, sqlerrm using errcode = sqlstate;
  end if;
  insert into pgqueue.upkeep_failure as f (part, message) values (_try_upkeep.part, sqlerrm)
  on conflict on constraint upkeep_failure_pkey do update set failed_at = clock_timestamp(), message = excluded.message;
end
$$;

COMMENT ON FUNCTION pgqueue._try_upkeep(part text) IS 'Does one part of the upkeep; its failure undoes nothing else and is noted';

CREATE FUNCTION pgqueue._unbind(queue text, exchange text, routing_key text) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO pgqueue.declaration (act, name, attributes)
   VALUES ('unbind'::text, _unbind.queue, jsonb_build_object('exchange', _unbind.exchange, 'routing_key', _unbind.routing_key));
END;

COMMENT ON FUNCTION pgqueue._unbind(queue text, exchange text, routing_key text) IS 'Undoes pgqueue._bind';

CREATE FUNCTION pgqueue._unregister_worker(worker_id integer, begun bigint[] DEFAULT '{}'::bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  queues text[];
begin
  -- What a worker hands back in order and has not begun was not delivered: restarts would make a dead letter of a task that waits in workers.
  perform pgqueue._release_sorted(array_agg(m.id), array_agg(m.token), array_agg(m.has_begun))
  from (
    select q.id, q.token, case q.kind when 'job' then q.xmax::text not in ('0', q.xmin::text) else q.id = any (begun) end as has_begun
    from pgqueue.message q
    where q.state = 'claimed' and q.worker_id = _unregister_worker.worker_id
    -- A job that still runs is not waited for: the next tick after its transaction has ended finds it.
    for update skip locked
  ) m
  having count(*) > 0;
  update pgqueue.worker w set lost_at = '-infinity'
  where w.id = worker_id and exists (select from pgqueue.message m where m.state = 'claimed' and m.worker_id = w.id)
  returning w.queues into queues;
  if not found then
    delete from pgqueue.worker w where w.id = worker_id returning w.queues into queues;
  end if;
  perform pgqueue._wake_up(queues);
  perform pgqueue._auto_delete(queues);
end
$$;

COMMENT ON FUNCTION pgqueue._unregister_worker(worker_id integer, begun bigint[]) IS 'A worker ends: what it still holds is ready again, but for jobs that run, which the tick after their end finds. begun: the tasks that it has begun; only these have been delivered once more';

CREATE FUNCTION pgqueue._untrack(role oid, args jsonb) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  job pgqueue.tracked_job;
  untracked int := 0;
begin
  for job in
    select * from pgqueue._find_tracked(role, args) t where args ? 'pid' and t.id is not null
    union all
    select * from pgqueue._tracked_jobs(role, args) where not args ? 'pid'
  loop
    if args ? 'spare' then
      update pgqueue.tracked_job t set is_spared = true where t.session_id = job.session_id and t.pid = job.pid;
      continue;
    end if;
    delete from pgqueue.tracked_job t where t.session_id = job.session_id and t.pid = job.pid;
    if job.kept <> 'none' then
      begin
        perform pgqueue._detach(role, (job.id, job.cookie));
      exception when undefined_object then
        null;  -- retention has removed it
      end;
    end if;
    untracked := untracked + 1;
  end loop;
  return untracked;
end
$$;

COMMENT ON FUNCTION pgqueue._untrack(role oid, args jsonb) IS 'Forgets one tracked job, or those of pgqueue._tracked_jobs, and gives up their results. They run on. Returns how many';

CREATE FUNCTION pgqueue._utc_text(instant timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT to_char((instant AT TIME ZONE 'UTC'::text), 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'::text) AS to_char;
END;

COMMENT ON FUNCTION pgqueue._utc_text(instant timestamp with time zone) IS 'An instant in ISO 8601, whatever the session''s settings';

CREATE FUNCTION pgqueue._wait_any(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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

COMMENT ON FUNCTION pgqueue._wait_any(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint) IS 'pg_background_wait_any. The id of a handle is its pid';

CREATE FUNCTION pgqueue._wait_for_run(run_key bigint, max_ms bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform set_config('lock_timeout', max_ms::text, true), pg_advisory_xact_lock_shared(run_key);
  -- With the subtransaction ends what this has set and got, also after a cancel.
  raise assert_failure;
exception when assert_failure or lock_not_available then
  null;
end
$$;

COMMENT ON FUNCTION pgqueue._wait_for_run(run_key bigint, max_ms bigint) IS 'Sleeps until the transaction of a running job has ended, at most so long. A job that waits for the caller in turn is a deadlock, and found';

CREATE FUNCTION pgqueue._wait_on(handle pgqueue.handle, timeout interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  began timestamptz := clock_timestamp();
  since timestamptz := began;
  until timestamptz := began + timeout;
  is_told boolean := nullif(current_setting('pgqueue.job_id', true), '') is null;
  left_s float8;
  wait jsonb := '{}';
  is_live boolean;
  run_key bigint;
begin
  loop
    left_s := greatest(0.001, coalesce(extract(epoch from until - clock_timestamp()), 60));
    -- One that is to be told at once that this waits has to know first whether it does.
    wait := case when run_key is null and is_told then pgqueue._with_wait('{}', began, least(left_s, coalesce(extract(epoch from timeout), 60))) else '{}' end;
    select s.live, s.run_key into is_live, run_key from pgqueue._status(handle, wait) s;
    if not is_live or clock_timestamp() >= until then
      if is_told then
        perform pgqueue._tell_wait(null);
      end if;
      return not is_live;
    elsif not is_told then
      perform pgqueue._tell_wait(handle.id);
      is_told := true;
      continue;
    end if;
    if run_key is not null or wait = '{}' then
      since := pgqueue._doze(run_key, since, greatest(0.001, coalesce(extract(epoch from until - clock_timestamp()), 60)));
      -- What it ran for is over.
      run_key := null;
    end if;
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue._wait_on(handle pgqueue.handle, timeout interval) IS 'Waits until a job has ended. False: the timeout came first';

CREATE FUNCTION pgqueue._wait_tracked(want_pid integer, want_cookie bigint, timeout_ms integer) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  job jsonb := pgqueue._ask_tracked(want_pid, want_cookie, '55000');
begin
  return not (job ->> 'live')::boolean or pgqueue._wait_on(pgqueue._handle_of(job), greatest(0, least(86400000, timeout_ms)) * interval '1 ms');
end
$$;

COMMENT ON FUNCTION pgqueue._wait_tracked(want_pid integer, want_cookie bigint, timeout_ms integer) IS 'pg_background_wait. NULL waits for ever';

CREATE FUNCTION pgqueue._wake(queue text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- A sleeping worker holds this lock exclusively. Publishers share it until they commit, so a worker that gets it knows that
  -- every message published before is visible to it, and one that published after finds it taken: no wake-up is lost.
  if not pg_try_advisory_xact_lock_shared(pgqueue._lock_class('sleeper'), hashtext(queue)) then
    perform pgqueue._notify_at_commit(pgqueue._queue_channel(queue));
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._wake(queue text) IS 'Notifies the workers of a queue at commit, if one of them sleeps';

CREATE FUNCTION pgqueue._wake_for(queue text, due_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- Sleepers look at least once every naptime, and then see when the next message is due.
  if due_at is null or due_at < clock_timestamp() + pgqueue._naptime() * 2 then
    perform pgqueue._wake(queue);
  end if;
end
$$;

COMMENT ON FUNCTION pgqueue._wake_for(queue text, due_at timestamp with time zone) IS 'Wakes a worker for a message, unless it is due so late that the workers will see it by themselves';

CREATE FUNCTION pgqueue._wake_up(queues text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  sleeper int := pgqueue._lock_class('sleeper');
  next_sleeper int := pgqueue._lock_class('next_sleeper');
  queue text;
begin
  perform pg_advisory_unlock_shared(next_sleeper, l.objid)
  from pgqueue._advisory_locks(next_sleeper) l
  where l.pid = pg_backend_pid() and l.mode = 'ShareLock' and l.objid = any (array(select hashtext(q) from unnest(queues) q));
  for queue in
    select min(q) from unnest(queues) q
    join pgqueue._advisory_locks(sleeper) l on l.objid = hashtext(q) and l.pid = pg_backend_pid() and l.mode = 'ExclusiveLock'
    group by hashtext(q)
  loop
    perform pg_advisory_unlock(sleeper, hashtext(queue));
    if not pg_try_advisory_xact_lock(next_sleeper, hashtext(queue)) then
      perform pgqueue._hand_over(queue);
    end if;
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue._wake_up(queues text[]) IS 'Gives the sleepers'' locks of these queues back, and tells who stands behind them';

CREATE FUNCTION pgqueue._with_death(payload json, queue text, reason text, exchange text, routing_key text, detail text) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  message jsonb := pgqueue._readdressed(payload, exchange, routing_key);
  headers jsonb := coalesce(message -> 'headers', '{}');
  deaths jsonb := coalesce(headers -> 'x-death', '[]');
begin
  -- RabbitMQ's x-death: one entry for each queue and reason, the latest first.
  deaths := jsonb_build_array(jsonb_build_object(
      'queue', queue, 'reason', reason, 'time', clock_timestamp(),
      'exchange', payload #>> '{properties,delivery_info,exchange}',
      'routing-keys', jsonb_build_array(payload #>> '{properties,delivery_info,routing_key}'),
      'count', 1 + coalesce((select (d ->> 'count')::int from jsonb_array_elements(deaths) d
                             where d ->> 'queue' = queue and d ->> 'reason' = reason limit 1), 0))
      || case when detail is null then '{}' else jsonb_build_object('detail', detail) end)
    || coalesce((select jsonb_agg(d order by n) from jsonb_array_elements(deaths) with ordinality e (d, n)
                 where (d ->> 'queue', d ->> 'reason') is distinct from (queue, reason)), '[]');
  headers := jsonb_build_object('x-first-death-queue', queue, 'x-first-death-reason', reason,
                                'x-first-death-exchange', payload #>> '{properties,delivery_info,exchange}')
    || headers || jsonb_build_object('x-death', deaths);
  return (message #- '{properties,expiration}') || jsonb_build_object('headers', headers);
end
$$;

COMMENT ON FUNCTION pgqueue._with_death(payload json, queue text, reason text, exchange text, routing_key text, detail text) IS 'A kombu message that says where and why it died';

CREATE FUNCTION pgqueue._with_durability(settings jsonb, durability text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    RETURN CASE WHEN (durability = 'async'::text) THEN (settings || '{"synchronous_commit": "off"}'::jsonb) WHEN ((durability = 'sync'::text) AND (COALESCE((settings ->> 'synchronous_commit'::text), 'off'::text) = 'off'::text)) THEN (settings || '{"synchronous_commit": "on"}'::jsonb) ELSE settings END;

COMMENT ON FUNCTION pgqueue._with_durability(settings jsonb, durability text) IS 'The settings of a job that says how durable it is to be';

CREATE FUNCTION pgqueue._with_wait(request jsonb, since timestamp with time zone, left_s double precision DEFAULT 60) RETURNS jsonb
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (clock_timestamp() < (since + '00:00:01'::interval)) THEN (request || jsonb_build_object('wait_ms', (LEAST((100)::double precision, GREATEST((0)::double precision, ceil((left_s * (1000)::double precision)))))::integer))
             ELSE request
         END AS request;
END;

COMMENT ON FUNCTION pgqueue._with_wait(request jsonb, since timestamp with time zone, left_s double precision) IS 'A request about a job that has been waited for since an instant: in the first second the gate waits a moment for its end';

CREATE FUNCTION pgqueue._without_runner(error jsonb, sql text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  -- The context says, from the inside out: what the job called, the statement of the job, its runner, ...
  context text := regexp_replace(error ->> 'context', E'(^|\n)[^\n]*pgqueue_run[.].*', '');
  statement text := '"' || sql || '"';
begin
  if right(context, length(statement)) = statement then
    context := regexp_replace(left(context, -length(statement)), E'(^|\n)[^\n]*$', '');
  end if;
  return case when context = '' then error - 'context' when context is null then error else error || jsonb_build_object('context', context) end;
end
$_$;

COMMENT ON FUNCTION pgqueue._without_runner(error jsonb, sql text) IS 'The error of a job, its context as it would be at the top level';

CREATE FUNCTION pgqueue._worker_interval(name text, fallback interval, least_value interval, greatest_value interval) RETURNS interval
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return least(greatest_value, greatest(least_value, pgqueue._worker_setting(name, fallback::text)::interval));
exception when data_exception then
  -- The server takes any text for a setting it does not know. A slip there must not stop the workers.
  raise warning 'pgqueue.% is not an interval: "%"', name, pgqueue._worker_setting(name, null);
  return fallback;
end
$$;

COMMENT ON FUNCTION pgqueue._worker_interval(name text, fallback interval, least_value interval, greatest_value interval) IS 'A setting that is an interval, brought into a range; the fallback when it is none';

CREATE FUNCTION pgqueue._worker_setting(name text, fallback text) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE(( SELECT NULLIF(substr(entry.entry, (strpos(entry.entry, '='::text) + 1)), ''::text) AS "nullif"
            FROM pg_db_role_setting s,
             LATERAL unnest(s.setconfig) entry(entry)
           WHERE (((s.setdatabase = (0)::oid) OR (s.setdatabase = ( SELECT pg_database.oid
                    FROM pg_database
                   WHERE (pg_database.datname = current_database())))) AND ((s.setrole = (0)::oid) OR (s.setrole = ((quote_ident((SESSION_USER)::text))::regrole)::oid)) AND (split_part(entry.entry, '='::text, 1) = ('pgqueue.'::text || _worker_setting.name)))
           ORDER BY (s.setrole = (0)::oid), (s.setdatabase = (0)::oid)
          LIMIT 1), fallback) AS "coalesce";
END;

COMMENT ON FUNCTION pgqueue._worker_setting(name text, fallback text) IS 'A setting of this database or of the worker''s role, as it is now';

CREATE FUNCTION pgqueue.cancel(handle pgqueue.handle, grace interval DEFAULT '00:00:00'::interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  is_canceled boolean;
  pause float8 := 0.01;
begin
  if grace is null or grace < interval '0' then
    raise exception 'grace must not be negative' using errcode = '22023';
  end if;
  perform pgqueue._status(handle);
  select nullif(c.answer, 'null')::boolean into is_canceled
  from pgqueue._call('cancel', pgqueue._request(handle) || jsonb_build_object('grace_ms', least(3600000, (extract(epoch from grace) * 1000)::bigint))) c (answer);
  -- A job that runs may be at its end just now: then its end tells.
  while is_canceled is null loop
    perform pg_sleep(pause);
    pause := least(pause * 1.5, 0.2);
    select nullif(c.answer, 'null')::boolean into is_canceled from pgqueue._call('canceled', pgqueue._request(handle)) c (answer);
  end loop;
  if is_canceled and grace > interval '0' then
    -- After the grace the worker ends the session of the job. That takes a moment.
    perform pgqueue.wait(handle, grace + interval '2 s');
  end if;
  return is_canceled;
end
$$;

COMMENT ON FUNCTION pgqueue.cancel(handle pgqueue.handle, grace interval) IS 'Cancels a job, queued or running, at once and whatever becomes of the caller''s transaction. True: it will not commit. False: it has ended. With grace it waits that long, then ends the job''s session';

CREATE FUNCTION pgqueue.detach(handle pgqueue.handle) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  status record := pgqueue._status(handle);
begin
  perform pgqueue._call('detach', pgqueue._request(handle));
end
$$;

COMMENT ON FUNCTION pgqueue.detach(handle pgqueue.handle) IS 'Gives up the result of a job. It runs on and commits';

CREATE FUNCTION pgqueue.enqueue(sql text, params text[] DEFAULT NULL::text[], queue text DEFAULT 'default'::text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, unique_key text DEFAULT NULL::text, label text DEFAULT NULL::text, durability text DEFAULT NULL::text, keep_result boolean DEFAULT false) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    AS $$
declare
  settings pg_catalog.jsonb;
begin
  -- No SET clause here: it would hide the search_path that the job inherits.
  select s.settings into settings from pgqueue.own_settings s;
  return pgqueue._enqueue(case when keep_result then 'many' else 'none' end::pgqueue.result_kept, coalesce(settings, pgqueue._settings()), sql,
                          params, queue, priority, delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability);
end
$$;

COMMENT ON FUNCTION pgqueue.enqueue(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, keep_result boolean) IS 'Runs SQL after the caller has committed, never if it rolls back. keep_result: its result can be read until retention';

CREATE FUNCTION pgqueue.enqueue_many(sql text[], params text[] DEFAULT NULL::text[], queue text DEFAULT 'default'::text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, unique_keys text[] DEFAULT NULL::text[], label text DEFAULT NULL::text, durability text DEFAULT NULL::text, keep_result boolean DEFAULT false, rows text[] DEFAULT NULL::text[]) RETURNS SETOF pgqueue.handle
    LANGUAGE plpgsql
    AS $$
begin
  return query select * from pgqueue._enqueue_many(
    case when keep_result then 'many' else 'none' end::pgqueue.result_kept, pgqueue._settings(), sql, params, queue, priority, delay, eta,
    expires, timeout, max_attempts, backoff, unique_keys, label, durability, rows);
end
$$;

COMMENT ON FUNCTION pgqueue.enqueue_many(sql text[], params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_keys text[], label text, durability text, keep_result boolean, rows text[]) IS 'pgqueue.enqueue for many statements at once, in their order, all with the same parameters; or for one statement and rows, the parameters of each job. All take the same options; unique_keys has a key for each, NULL for none';

CREATE FUNCTION pgqueue.enqueue_trigger() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
  fired pg_catalog.jsonb;
  params pg_catalog.text[];
  per_row pg_catalog.text;
  job pg_catalog.record;
begin
  -- No SET clause here: it would hide the search_path that the job inherits. Nor a type of pgqueue's above: whoever may not use the
  -- schema would be shown all of this as the place of the error.
  if not pg_catalog.has_schema_privilege('pgqueue', 'usage') then
    raise exception 'role "%" is not enrolled in pgqueue', current_user
      using errcode = '42501', hint = pg_catalog.format('Let an administrator run: select pgqueue.enroll(%L)', pg_catalog.quote_ident(current_user));
  end if;
  if tg_level operator(pg_catalog.=) 'STATEMENT' then
    per_row := pgqueue._transition_query(tg_argv, tg_op, tg_relid, tg_name);
    if per_row is null then
      perform pgqueue._enqueue_for_trigger(
        tg_argv, case when tg_argv[0] operator(pg_catalog.=) 'sql' then pgqueue._statement_settings() end, tg_op, tg_table_schema, tg_table_name, null, null, null);
    else
      -- Only a function that was called as the trigger sees the transition table.
      select j.* into job from pgqueue._trigger_job(tg_argv, case when tg_argv[0] operator(pg_catalog.=) 'sql' then pgqueue._statement_settings() end) j;
      execute per_row using job.session_id, job.due_at, job.state, job.priority, job.max_attempts, job.queue, job.sql, job.settings,
        job.timeout, job.label, tg_argv, tg_op, tg_table_schema, tg_table_name, job.cookie;
    end if;
    return null;
  elsif tg_op operator(pg_catalog.=) 'DELETE' then
    fired := pg_catalog.to_jsonb(old);
  else
    fired := pg_catalog.to_jsonb(new);
  end if;
  if not pgqueue._enqueue_row(tg_argv, tg_relid, fired) then
    params := pgqueue._row_params(tg_argv, fired, tg_relid);
    if params is null and tg_op operator(pg_catalog.=) 'DELETE' then
      execute pgqueue._row_params_query(tg_argv) into params using old;
    elsif params is null then
      execute pgqueue._row_params_query(tg_argv) into params using new;
    end if;
    perform pgqueue._enqueue_for_trigger(
      tg_argv, case when tg_argv[0] operator(pg_catalog.=) 'sql' then pgqueue._statement_settings() end, tg_op, tg_table_schema, tg_table_name,
      case when tg_op operator(pg_catalog.<>) 'DELETE' then fired end,
      case when tg_op operator(pg_catalog.<>) 'INSERT' then pg_catalog.to_jsonb(old) end, params);
  end if;
  if tg_op operator(pg_catalog.=) 'DELETE' then
    return old;
  end if;
  return new;
end
$$;

COMMENT ON FUNCTION pgqueue.enqueue_trigger() IS 'A trigger that enqueues: (''sql'', statement [, columns [, option=value ...]]) a job whose $1, $2 ... are the columns, (''task'', name [, columns [, option=value ...]]) a Celery task. Options: queue, priority, delay, label, timeout, max_attempts';

CREATE FUNCTION pgqueue.enroll(role regrole) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pgqueue._check_enrollable(role);
  perform pgqueue._require_home();
  insert into pgqueue.role_key (role) values (enroll.role::oid) on conflict do nothing;
  insert into pgqueue.role_name as n (role, name) select r.oid, r.rolname from pg_roles r where r.oid = enroll.role
  on conflict on constraint role_name_pkey do update set name = excluded.name;
  execute format('grant pgqueue_user to %s', role);
  perform pgqueue._admit(role, true);
  begin
    perform pgqueue._make_runner(role);
  exception when insufficient_privilege then
    raise notice 'jobs of role % run only where a worker can log in as it', role
      using detail = sqlerrm, hint = format('To let any worker run them, grant the role to the owner of pgqueue (grant %s to %I) and enroll it again.', role, current_user);
  end;
  perform pgqueue._retry_deferred(role);
end
$$;

COMMENT ON FUNCTION pgqueue.enroll(role regrole) IS 'Lets a role hand in jobs and tasks. Its jobs run with its rights';

CREATE FUNCTION pgqueue.get_progress(handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  answer jsonb;
begin
  select * into answer from pgqueue._call('progress', pgqueue._request(handle));
  progress_pct := answer ->> 'progress_pct';
  progress_msg := answer ->> 'progress_msg';
end
$$;

COMMENT ON FUNCTION pgqueue.get_progress(handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) IS 'What a job said last with pgqueue.progress; NULLs when nothing or unknown';

CREATE FUNCTION pgqueue.install_compat(version text DEFAULT '2.0'::text, schema text DEFAULT 'public'::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
  installed text := (select c.version from pgqueue.compat c where c.schema_name = schema);
  before oid[];
  made record;
  target text;
  can_use boolean;
begin
  if version is null or version not in ('1.8', '2.0') then
    raise exception 'version "%" of pg_background is not known', coalesce(version, 'NULL') using errcode = '22023', hint = 'It is 1.8 or 2.0.';
  elsif to_regnamespace(quote_ident(schema)) is null then
    raise exception 'schema "%" does not exist', schema using errcode = '3F000', hint = format('create schema %I', schema);
  elsif schema = 'pgqueue' then
    raise exception 'the schema pgqueue is pgqueue''s own' using errcode = '22023', hint = 'Choose another schema, for example public.';
  elsif installed = version then
    return;
  elsif installed is not null then
    raise exception 'schema "%" has the names of pg_background %', schema, installed
      using errcode = '42710', hint = format('select pgqueue.uninstall_compat(schema => %L)', schema);
  end if;
  perform pgqueue._make_background_role();
  before := array(select o.oid from pgqueue._objects_like_pg_background(schema) o);
  begin
    -- pg_catalog, which is not named, comes first: what others have put into the schema is taken for nothing that is named here.
    perform set_config('search_path', quote_ident(schema) || ', pg_temp', true);
    if version = '1.8' then
      perform pgqueue._create_pg_background_1_8();
    else
      perform pgqueue._create_pg_background_2_0();
    end if;
  exception when duplicate_object or duplicate_function or duplicate_table then
    raise exception 'schema "%" has a pg_background already', schema
      using errcode = '42710', detail = sqlerrm, hint = 'Choose another schema, or drop the extension: drop extension pg_background.';
  end;
  perform set_config('search_path', 'pg_catalog, pg_temp', true);
  for made in select o.* from pgqueue._objects_like_pg_background(schema) o where o.oid <> all (before) loop
    target := regexp_replace(made.signature, '^view ', 'table ');
    execute format('comment on %s is %L', made.signature, 'pg_background ' || version || ', by pgqueue');
    execute format('revoke all on %s from public', target);
    if not made.is_helper then
      execute format('grant %s on %s to pgbackground_role', case made.kind when 'function' then 'execute' when 'type' then 'usage' else 'select' end, target);
    end if;
  end loop;
  can_use := has_schema_privilege('pgbackground_role', schema, 'usage');
  if not can_use then
    execute format('grant usage on schema %I to pgbackground_role', schema);
  end if;
  insert into pgqueue.compat (schema_name, version, objects, grants_usage)
  select schema, version, array_agg(o.signature order by o.kind = 'type', o.kind = 'function', o.oid), not can_use
  from pgqueue._objects_like_pg_background(schema) o where o.oid <> all (before);
  perform pgqueue._set_background_defaults(true);
end
$$;

COMMENT ON FUNCTION pgqueue.install_compat(version text, schema text) IS 'Makes the names of pg_background 1.8 or 2.0 in a schema: programs written for the extension then run on pgqueue';

CREATE FUNCTION pgqueue.launch(sql text, params text[] DEFAULT NULL::text[], queue text DEFAULT 'default'::text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, unique_key text DEFAULT NULL::text, label text DEFAULT NULL::text, durability text DEFAULT NULL::text) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    AS $$
declare
  settings pg_catalog.jsonb;
begin
  select s.settings into settings from pgqueue.own_settings s;
  return pgqueue._hand_in('once', coalesce(settings, pgqueue._settings()), sql, params, queue, priority, delay, eta, expires, timeout, max_attempts, backoff,
                          unique_key, label, durability);
end
$$;

COMMENT ON FUNCTION pgqueue.launch(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) IS 'Runs SQL in a transaction of its own, at once, whatever becomes of the caller''s. Its result can be read once with pgqueue.result';

CREATE FUNCTION pgqueue.pause(queue text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 SELECT pgqueue._set_paused(queue, true) AS _set_paused;
END;

COMMENT ON FUNCTION pgqueue.pause(queue text) IS 'Workers take nothing more from this queue; what runs goes on. False: it was paused already. A NOTICE says so if nobody knows the queue yet';

CREATE FUNCTION pgqueue.progress(pct integer, msg text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if nullif(current_setting('pgqueue.job_id', true), '') is null then
    raise exception 'pgqueue.progress can only be called from a job' using errcode = '0A000';
  elsif pct is null then
    raise exception 'pct must not be NULL' using errcode = '22004';
  end if;
  -- An INFO reaches the client in the middle of a statement, whatever client_min_messages says. The client is the worker.
  raise info using errcode = 'PQ001', message = jsonb_build_object('job', current_setting('pgqueue.job_id'), 'pct', greatest(0, least(100, pct)), 'msg', pgqueue._cut(msg, 63))::text;
end
$$;

COMMENT ON FUNCTION pgqueue.progress(pct integer, msg text) IS 'Inside a job: says how far it is, 0 to 100. Others see it at once, before the job commits';

CREATE FUNCTION pgqueue.redrive(queue text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  target text;
  redriven bigint;
  total bigint := 0;
  refused bigint := 0;
begin
  for target, redriven in
    with letter as materialized (
      select m.id, o.origin, pgqueue._may_enter(m.submitter, o.origin, m.payload) as may_enter
      from pgqueue.message m, pgqueue._text_in(m.payload, '{headers,x-death,0,queue}') o (origin)
      where m.queue = redrive.queue and m.kind = 'task' and m.state = 'ready'
      for update of m skip locked
    ), back as (
      -- What a letter says of where it came from, its sender can have written: it goes where its sender may send to, and no further.
      update pgqueue.inbox m
      set queue = l.origin, deliveries = 0, expires_at = null, launched_at = clock_timestamp(), payload = pgqueue._readdressed(m.payload, '', l.origin)
      from letter l
      where m.id = l.id and l.origin <> redrive.queue and octet_length(l.origin) between 1 and 255 and l.may_enter
      returning m.queue
    )
    select b.queue, count(*) from back b group by b.queue
    union all
    select null, count(*) from letter l where not l.may_enter
  loop
    if target is null then
      refused := redriven;
    else
      perform pgqueue._wake(target);
      total := total + redriven;
    end if;
  end loop;
  if refused > 0 then
    raise notice '% of the dead letters in queue "%" stay there', refused, queue
      using detail = 'They name a queue that their sender may not send to.', hint = 'Look at them with pgqueue peek.';
  end if;
  return total;
end
$$;

COMMENT ON FUNCTION pgqueue.redrive(queue text) IS 'Sends the dead letters that a queue has back to the queues that they come from, if their senders may send there. Returns how many';

CREATE FUNCTION pgqueue.reset_stats() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform from pgqueue.stat_fold for update;
  perform pgqueue._fold_stats();
  delete from pgqueue.stat_total;
end
$$;

COMMENT ON FUNCTION pgqueue.reset_stats() IS 'Sets pgqueue.stats_total to zero';

CREATE FUNCTION pgqueue.result(handle pgqueue.handle) RETURNS SETOF record
    LANGUAGE plpgsql
    AS $$
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
    is_held := true;  -- maybe, until the answer says it
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
          -- Values are read back under the settings under which they were printed.
          old_settings := pgqueue._swap_settings(answer operator(pg_catalog.->) 'output_settings');
          -- A result of rows has a chunk at least, and the first is the check of the caller's column definition list.
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
        -- Maybe in the middle of a request, whose answer nobody has read then.
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
          raise;  -- a value said so, not the list
        end if;
    end;
    -- The list may name a length where the job's type has none, or another one: then values are read as of that. Else it does not fit.
    casts := pgqueue._fit_casts(answer, casts, misfit);
    if casts is null then
      raise exception using errcode = '42804', message = pgqueue._misfit(answer), hint = pgqueue._result_hint(answer);
    end if;
  end loop;
end
$$;

COMMENT ON FUNCTION pgqueue.result(handle pgqueue.handle) IS 'Waits for a job and returns the rows of its last statement, or raises its error. Name the columns: select * from pgqueue.result(h) as (id int, name text)';

CREATE FUNCTION pgqueue.resume(queue text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    BEGIN ATOMIC
 SELECT pgqueue._set_paused(queue, false) AS _set_paused;
END;

COMMENT ON FUNCTION pgqueue.resume(queue text) IS 'Ends a pause. False: the queue was not paused';

CREATE FUNCTION pgqueue.send_task(task text, args jsonb DEFAULT '[]'::jsonb, kwargs jsonb DEFAULT '{}'::jsonb, queue text DEFAULT 'celery'::text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, task_id text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, ignore_result boolean DEFAULT false, link text DEFAULT NULL::text, errback text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_variable
declare
  id pg_catalog.text;
  nothing_left pg_catalog.bool;
begin
  -- The usual task is one statement, as in pgqueue._enqueue: each expression and each SET clause more would cost something, so
  -- whatever could be shadowed stands in functions and views that are bound to what they call.
  if pgqueue._is_plain_task(task, args, kwargs, queue, priority, delay, eta, expires, headers, link, errback) is not true then
    return pgqueue._send_otherwise(task, args, kwargs, queue, priority, delay, eta, expires, task_id, headers, ignore_result, link, errback);
  end if;
  id := coalesce(task_id, pg_catalog.gen_random_uuid()::pg_catalog.text);
  insert into pgqueue.outbox (queue, kind, priority, payload)
  select queue, 'task', priority, pgqueue._plain_task_message(task, args, kwargs, queue, priority, id, ignore_result)
  from pgqueue.own_key
  returning pgqueue._nobody_sleeps(queue) and not exists (select from pgqueue.sent_listener) into nothing_left;
  if nothing_left then
    return id;
  elsif nothing_left is null then
    -- Nothing was inserted: the role is not enrolled, or has been only since.
    return pgqueue._send_otherwise(task, args, kwargs, queue, priority, delay, eta, expires, id, headers, ignore_result, link, errback);
  end if;
  perform pgqueue._wake(queue);
  perform pgqueue._tell_sent(pgqueue._plain_task_message(task, args, kwargs, queue, priority, id, ignore_result), queue);
  return id;
end
$$;

COMMENT ON FUNCTION pgqueue.send_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) IS 'Sends a Celery task when the caller commits, never if it rolls back. Returns the task id';

CREATE FUNCTION pgqueue.set_durability(queue text, durability text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if queue is null or octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  elsif durability is null or durability not in ('sync', 'async') then
    raise exception 'durability "%" is not known', durability using errcode = '22023', hint = 'It is sync (the default) or async.';
  end if;
  insert into pgqueue.queue_switch as q (name, durability) values (set_durability.queue, set_durability.durability)
  on conflict (name) do update set durability = excluded.durability;
end
$$;

COMMENT ON FUNCTION pgqueue.set_durability(queue text, durability text) IS 'How jobs of a queue commit that do not say so themselves: sync, or async (a crash of the server undoes the last moments)';

CREATE FUNCTION pgqueue.statement(handle pgqueue.handle) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  status record := pgqueue._status(handle);
begin
  return (select c.answer #>> '{}' from pgqueue._call('statement', pgqueue._request(handle)) c (answer));
end
$$;

COMMENT ON FUNCTION pgqueue.statement(handle pgqueue.handle) IS 'The whole text of a job; pgqueue.jobs shows its beginning';

CREATE FUNCTION pgqueue.submit(sql text, params text[] DEFAULT NULL::text[], queue text DEFAULT 'default'::text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, unique_key text DEFAULT NULL::text, label text DEFAULT NULL::text, durability text DEFAULT NULL::text) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    AS $$
declare
  settings pg_catalog.jsonb;
begin
  select s.settings into settings from pgqueue.own_settings s;
  return pgqueue._hand_in('none', coalesce(settings, pgqueue._settings()), sql, params, queue, priority, delay, eta, expires, timeout, max_attempts, backoff,
                          unique_key, label, durability);
end
$$;

COMMENT ON FUNCTION pgqueue.submit(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) IS 'Like pgqueue.launch, but keeps no result: fire and forget. Errors are kept in pgqueue.jobs';

CREATE FUNCTION pgqueue.task_result(task_id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  found_result record;
  document jsonb;
  summary jsonb;
begin
  select * into found_result from pgqueue._task_results(array[task_result.task_id]);
  if not found then
    return null;
  end if;
  summary := jsonb_build_object('task_id', task_result.task_id, 'state', found_result.state);
  begin
    if found_result.content_type = 'application/json' then
      document := convert_from(found_result.payload, 'UTF8')::jsonb - 'status';
    end if;
  exception when data_exception or untranslatable_character or character_not_in_repertoire then
    null;  -- compressed, or with what jsonb cannot hold: NUL characters, infinite numbers
  end;
  return coalesce(document, jsonb_build_object(
    'result', null, 'traceback', null, 'children', null, 'content_type', found_result.content_type,
    'date_done', case when pgqueue._state_rank(found_result.state) > 0 then found_result.stored_at end)) || summary;
end
$$;

COMMENT ON FUNCTION pgqueue.task_result(task_id text) IS 'What the result backend knows of a Celery task: task_id, state, result, traceback, children, date_done. NULL: nothing. Only JSON can be read here';

CREATE FUNCTION pgqueue.unenroll(role regrole) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pgqueue._check_enrollable(role);
  perform pgqueue._require_home();
  delete from pgqueue.role_key k where k.role = unenroll.role::oid;
  perform pgqueue._drop_runner(role);
  -- It stays a member of pgqueue_user, which is worth nothing by itself: it may be enrolled in another database.
  perform pgqueue._admit(role, false);
end
$$;

COMMENT ON FUNCTION pgqueue.unenroll(role regrole) IS 'Takes the right to hand in jobs from a role. Those that wait stay queued until it is enrolled again';

CREATE FUNCTION pgqueue.uninstall_compat(schema text DEFAULT 'public'::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform pgqueue._drop_compat(schema, 'restrict');
end
$$;

COMMENT ON FUNCTION pgqueue.uninstall_compat(schema text) IS 'Removes what pgqueue.install_compat has made in a schema, and nothing else. Jobs stay';

CREATE FUNCTION pgqueue.wait(handle pgqueue.handle, timeout interval DEFAULT NULL::interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if timeout < interval '0' then
    raise exception 'timeout is negative' using errcode = '22023';
  end if;
  return pgqueue._wait_on(handle, timeout);
end
$$;

COMMENT ON FUNCTION pgqueue.wait(handle pgqueue.handle, timeout interval) IS 'Waits until a job has ended. False: the timeout came first';

ALTER TABLE pgqueue.binding ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.binding_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE pgqueue.compat (
    schema_name text NOT NULL,
    version text NOT NULL,
    objects text[] NOT NULL,
    grants_usage boolean NOT NULL,
    installed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT compat_version_is_known CHECK ((version = ANY (ARRAY['1.8'::text, '2.0'::text])))
);

COMMENT ON TABLE pgqueue.compat IS 'Where pgqueue.install_compat has made pg_background''s names';

COMMENT ON COLUMN pgqueue.compat.objects IS 'What was made there, to be dropped in this order';

COMMENT ON COLUMN pgqueue.compat.grants_usage IS 'Whether pgbackground_role was given the usage of the schema';

CREATE VIEW pgqueue.dispatch AS
 SELECT NULL::oid AS submitter,
    NULL::text AS exchange,
    NULL::text AS routing_key,
    NULL::json AS payload,
    NULL::integer AS priority,
    NULL::timestamp with time zone AS due_at,
    NULL::timestamp with time zone AS expires_at,
    NULL::integer AS reached
  WHERE false;

COMMENT ON VIEW pgqueue.dispatch IS 'Where roles insert what they publish by way of an exchange: pgqueue._dispatch routes it. reached: to how many queues';

ALTER TABLE pgqueue.exchange ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.exchange_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE pgqueue.history_default (
    id bigint CONSTRAINT history_id_not_null NOT NULL,
    cookie bigint CONSTRAINT history_cookie_not_null NOT NULL,
    session_id bigint,
    xact xid8 DEFAULT pg_current_xact_id() CONSTRAINT history_xact_not_null NOT NULL,
    launched_at timestamp with time zone CONSTRAINT history_launched_at_not_null NOT NULL,
    eta timestamp with time zone,
    started_at timestamp with time zone,
    ended_at timestamp with time zone DEFAULT clock_timestamp() CONSTRAINT history_ended_at_not_null NOT NULL,
    submitter oid CONSTRAINT history_submitter_not_null NOT NULL,
    state pgqueue.job_state CONSTRAINT history_state_not_null NOT NULL,
    kept pgqueue.result_kept CONSTRAINT history_kept_not_null NOT NULL,
    backend_pid integer,
    progress_pct integer,
    row_count bigint,
    priority smallint CONSTRAINT history_priority_not_null NOT NULL,
    attempts smallint CONSTRAINT history_attempts_not_null NOT NULL,
    max_attempts smallint,
    queue text CONSTRAINT history_queue_not_null NOT NULL,
    sql text CONSTRAINT history_sql_not_null NOT NULL,
    label text,
    worker text,
    progress_msg text,
    command_tags text[],
    error jsonb
);

ALTER TABLE ONLY pgqueue.history_default REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.history_default IS 'Catches what ends on a day for which no worker made a partition';

CREATE TABLE pgqueue.home (
    only_row boolean DEFAULT true NOT NULL,
    system_identifier bigint NOT NULL,
    database bigint NOT NULL,
    CONSTRAINT home_has_one_row CHECK (only_row)
);

COMMENT ON TABLE pgqueue.home IS 'The cluster and the database in which the numbers of roles are right; those of a copy or a restored dump are another''s';

CREATE VIEW pgqueue.jobs WITH (security_barrier='true') AS
 SELECT id,
    state,
    queue,
    (priority)::integer AS priority,
    label,
        CASE
            WHEN pg_has_role(submitter, 'member'::text) THEN pgqueue._cut(sql, 120)
            ELSE NULL::text
        END AS statement,
    pg_get_userbyid(submitter) AS submitter,
    launched_at,
    eta,
    started_at,
    ended_at,
    ((EXTRACT(epoch FROM (COALESCE(ended_at,
        CASE
            WHEN (state = 'running'::pgqueue.job_state) THEN clock_timestamp()
            ELSE NULL::timestamp with time zone
        END) - started_at)) * (1000)::numeric))::double precision AS duration_ms,
    attempts,
    (max_attempts)::integer AS max_attempts,
    worker,
    backend_pid,
    progress_pct,
        CASE
            WHEN pg_has_role(submitter, 'member'::text) THEN progress_msg
            ELSE NULL::text
        END AS progress_msg,
    row_count AS rows,
    COALESCE(command_tags[cardinality(command_tags)], pgqueue._command_tag(sql, row_count)) AS command_tag,
    (error ->> 'sqlstate'::text) AS sqlstate,
        CASE
            WHEN (pg_has_role(submitter, 'member'::text) OR ((state = 'queued'::pgqueue.job_state) AND (error ? 'deferrals'::text))) THEN (error ->> 'message'::text)
            ELSE NULL::text
        END AS error,
        CASE
            WHEN pg_has_role(submitter, 'member'::text) THEN (error ->> 'detail'::text)
            ELSE NULL::text
        END AS error_detail,
        CASE
            WHEN pg_has_role(submitter, 'member'::text) THEN (error ->> 'hint'::text)
            ELSE NULL::text
        END AS error_hint,
        CASE
            WHEN pg_has_role(submitter, 'member'::text) THEN (error ->> 'context'::text)
            ELSE NULL::text
        END AS error_context,
        CASE
            WHEN pg_has_role(submitter, 'member'::text) THEN ROW(id, cookie)::pgqueue.handle
            ELSE NULL::pgqueue.handle
        END AS handle
   FROM ( SELECT m.id,
            m.cookie,
            (
                CASE
                    WHEN (a.id IS NOT NULL) THEN 'running'::text
                    ELSE 'queued'::text
                END)::pgqueue.job_state AS state,
            m.queue,
            m.priority,
            m.label,
            m.sql,
            m.submitter,
            m.launched_at,
            m.due_at AS eta,
            a.started_at,
            NULL::timestamp with time zone AS ended_at,
            (m.attempts + ((a.id IS NOT NULL))::integer) AS attempts,
            m.max_attempts,
            ( SELECT w.name
                   FROM pgqueue.worker w
                  WHERE (w.id = m.worker_id)) AS worker,
            a.backend_pid,
            a.progress_pct,
            a.progress_msg,
            NULL::bigint AS row_count,
            NULL::text[] AS command_tags,
            m.last_error AS error
           FROM (pgqueue.message m
             LEFT JOIN pgqueue.activity a ON (((a.id = m.id) AND (a.token = m.token))))
          WHERE (m.kind = 'job'::pgqueue.message_kind)
        UNION ALL
         SELECT h.id,
            h.cookie,
            h.state,
            h.queue,
            h.priority,
            h.label,
            h.sql,
            h.submitter,
            h.launched_at,
            h.eta,
            h.started_at,
            h.ended_at,
            h.attempts,
            h.max_attempts,
            h.worker,
            h.backend_pid,
            h.progress_pct,
            h.progress_msg,
            h.row_count,
            h.command_tags,
            h.error
           FROM pgqueue.history h) j
  WHERE (pg_has_role(submitter, 'member'::text) OR ( SELECT (pg_has_role('pgqueue_monitor'::name, 'member'::text) OR pg_has_role('pgqueue_admin'::name, 'member'::text))));

COMMENT ON VIEW pgqueue.jobs IS 'The jobs that the role may see: its own and those of roles it is a member of. Queued, running, and ended until retention';

CREATE TABLE pgqueue.login (
    purpose text NOT NULL,
    role text NOT NULL,
    password text NOT NULL,
    CONSTRAINT login_purpose_is_known CHECK ((purpose = ANY (ARRAY['executor'::text, 'worker'::text])))
);

COMMENT ON TABLE pgqueue.login IS 'How executors log in (pgqueue._executor_login), and the worker of pgqueue up (pgqueue._make_worker_login). Only the owner reads it';

CREATE TABLE pgqueue.lost_session (
    id bigint NOT NULL,
    suspicions integer DEFAULT 0 NOT NULL,
    acquittals integer DEFAULT 0 NOT NULL
);

COMMENT ON TABLE pgqueue.lost_session IS 'Jobs whose sessions ended while they ran. Not columns of the message, whose row is locked while it runs again: a worker may find out late';

COMMENT ON COLUMN pgqueue.lost_session.suspicions IS 'How often nobody knows why';

COMMENT ON COLUMN pgqueue.lost_session.acquittals IS 'How often the server ended all sessions, and the job was rescued, which counted, before its worker could say so';

ALTER TABLE pgqueue.message ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.message_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE pgqueue.migration (
    version integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE pgqueue.migration IS 'The migrations that this database has, written by the installer';

CREATE UNLOGGED TABLE pgqueue.nonce (
    nonce bigint NOT NULL,
    made_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE pgqueue.nonce IS 'Requests of the last minutes: each is accepted once. Unlogged: a proof does not outlive the server process';

CREATE UNLOGGED TABLE pgqueue.notice (
    id bigint NOT NULL,
    channel text NOT NULL
);

COMMENT ON TABLE pgqueue.notice IS 'Notifications that a transaction of now will send, where there can be prepared transactions (pgqueue._notify_at_commit)';

ALTER TABLE pgqueue.notice ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.notice_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE pgqueue.role_key (
    role oid NOT NULL,
    key text DEFAULT replace(((gen_random_uuid())::text || (gen_random_uuid())::text), '-'::text, ''::text) NOT NULL,
    seal_key text DEFAULT replace(((gen_random_uuid())::text || (gen_random_uuid())::text), '-'::text, ''::text) NOT NULL,
    enrolled_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    runner oid,
    runner_xid xid,
    over_quota text
);

COMMENT ON TABLE pgqueue.role_key IS 'Enrolled roles, and the secrets from which their proofs and the seals of their settings are made. Only the owner reads it';

COMMENT ON COLUMN pgqueue.role_key.runner IS 'The function that runs its jobs in the batch lane (pgqueue._make_runner). NULL: there is none';

COMMENT ON COLUMN pgqueue.role_key.runner_xid IS 'Which transaction made it: one that was changed since is of another';

COMMENT ON COLUMN pgqueue.role_key.over_quota IS 'Of what it has more than its quota: then nothing that it hands in is accepted. NULL: of nothing. Upkeep writes it (pgqueue._note_usage)';

CREATE VIEW pgqueue.outbox WITH (security_barrier='true') AS
 SELECT id,
    cookie,
    session_id,
    due_at,
    expires_at,
    kind,
    state,
    kept,
    priority,
    max_attempts,
    queue,
    sql,
    params,
    settings,
    timeout,
    backoff,
    label,
    unique_key,
    payload,
    launched_at
   FROM pgqueue.inbox
  WHERE ((submitter = ((quote_ident((CURRENT_USER)::text))::regrole)::oid) AND ((EXISTS ( SELECT
           FROM pgqueue.role_key k
          WHERE ((k.role = inbox.submitter) AND ((k.over_quota IS NULL) OR pgqueue._refuse_excess(inbox.submitter, k.over_quota))))) OR pg_has_role('pgqueue_worker'::name, 'member'::text) OR pg_has_role('pgqueue_admin'::name, 'member'::text) OR pgqueue._refuse_stranger(submitter)))
  WITH LOCAL CHECK OPTION;

COMMENT ON VIEW pgqueue.outbox IS 'Where a role inserts its own messages. The table fills in the submitter: current_user, which a view does not change';

CREATE VIEW pgqueue.own_key WITH (security_barrier='true') AS
 SELECT role,
    encode(sha256(convert_to(concat_ws(' '::text, key, current_database(), EXTRACT(epoch FROM pg_postmaster_start_time()), (floor((EXTRACT(epoch FROM clock_timestamp()) / (60)::numeric)))::bigint), 'UTF8'::name)), 'hex'::text) AS key
   FROM pgqueue.role_key k
  WHERE (role = ((quote_ident((CURRENT_USER)::text))::regrole)::oid);

COMMENT ON VIEW pgqueue.own_key IS 'Proves who runs: a view does not change current_user, so each role sees the key of itself only. Good for a minute';

CREATE VIEW pgqueue.own_seal WITH (security_barrier='true') AS
 SELECT role,
    encode(sha256(convert_to((seal_key || current_setting('pgqueue.captured_settings'::text, true)), 'UTF8'::name)), 'hex'::text) AS digest
   FROM pgqueue.role_key k
  WHERE (role = ((quote_ident((CURRENT_USER)::text))::regrole)::oid);

COMMENT ON VIEW pgqueue.own_seal IS 'A digest of the setting pgqueue.captured_settings that only the role that runs can make';

CREATE VIEW pgqueue.own_session_seal WITH (security_barrier='true') AS
 SELECT k.role,
    "left"(encode(sha256(convert_to(concat(k.seal_key, ' session ', pg_backend_pid(), ' ', length(kept.text), ' ', kept.text, ARRAY( SELECT current_setting(unnest(pgqueue._inheritable_names()), true) AS current_setting),
        CASE
            WHEN ((split_part(kept.text, chr(30), 2) <> ''::text) AND (split_part(kept.text, chr(30), 3) = (k.role)::text)) THEN ARRAY( SELECT current_setting(unnest(string_to_array(split_part(kept.text, chr(30), 2), ','::text)), true) AS current_setting)
            ELSE NULL::text[]
        END), 'UTF8'::name)), 'hex'::text), 32) AS seal
   FROM pgqueue.role_key k,
    current_setting('pgqueue.session_settings'::text, true) kept(text)
  WHERE (k.role = ((quote_ident((CURRENT_USER)::text))::regrole)::oid);

COMMENT ON VIEW pgqueue.own_session_seal IS 'A digest of the setting pgqueue.session_settings, and of the settings that jobs inherit as they are now, that only the role that runs can make';

CREATE VIEW pgqueue.own_session WITH (security_barrier='true') AS
 SELECT (split_part(current_setting('pgqueue.session_settings'::text, true), chr(30), 1))::jsonb AS captured
   FROM pgqueue.own_session_seal s
  WHERE (seal = current_setting('pgqueue.session_seal'::text, true));

COMMENT ON VIEW pgqueue.own_session IS 'What was captured of this session''s settings. No row: nothing yet, or a setting has another value now, or somebody else''s word was put in its place';

CREATE VIEW pgqueue.own_settings WITH (security_barrier='true') AS
 SELECT (((split_part(current_setting('pgqueue.session_settings'::text, true), chr(30), 1))::jsonb || jsonb_build_object('search_path', current_setting('search_path'::text))) ||
        CASE
            WHEN (current_setting('pgqueue.worker_timeout'::text, true) <> ''::text) THEN jsonb_build_object('pgqueue.worker_timeout', current_setting('pgqueue.worker_timeout'::text, true))
            ELSE '{}'::jsonb
        END) AS settings
   FROM pgqueue.own_session_seal s
  WHERE ((seal = current_setting('pgqueue.session_seal'::text, true)) AND (COALESCE(current_setting('pgqueue.inherit'::text, true), ''::text) = ''::text));

COMMENT ON VIEW pgqueue.own_settings IS 'pgqueue._settings in the usual case, in one look. No row: ask that. For functions without a SET clause, which would hide the search_path';

CREATE VIEW pgqueue.own_statement WITH (security_barrier='true') AS
 SELECT (split_part(current_setting('pgqueue.captured_settings'::text, true), chr(30), '-2'::integer))::jsonb AS settings,
    split_part(current_setting('pgqueue.captured_settings'::text, true), chr(30), '-1'::integer) AS seen,
    hashtextextended(digest, (0)::bigint) AS cookie
   FROM pgqueue.own_seal s
  WHERE (("left"(digest, 32) = current_setting('pgqueue.captured_seal'::text, true)) AND starts_with(current_setting('pgqueue.captured_settings'::text, true), pgqueue._fingerprint(current_setting('search_path'::text))));

COMMENT ON VIEW pgqueue.own_statement IS 'What row triggers have captured in this statement, if it still is so, and the cookie of their jobs, made of the half of the digest that is kept nowhere. For functions without a SET clause';

ALTER TABLE pgqueue.queue ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.queue_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW pgqueue.queues WITH (security_barrier='true') AS
 WITH me AS MATERIALIZED (
         SELECT (pg_has_role('pgqueue_monitor'::name, 'member'::text) OR pg_has_role('pgqueue_worker'::name, 'member'::text) OR pg_has_role('pgqueue_admin'::name, 'member'::text)) AS sees_all
        ), visible AS (
         SELECT m.queue,
            m.state,
            m.launched_at
           FROM pgqueue.message m
          WHERE (( SELECT me.sees_all
                   FROM me) OR pg_has_role(m.submitter, 'member'::text))
        )
 SELECT n.queue,
    COALESCE(c.ready, (0)::bigint) AS ready,
    COALESCE(c.delayed, (0)::bigint) AS delayed,
    COALESCE(c.claimed, (0)::bigint) AS claimed,
    c.oldest_ready_at,
    COALESCE(q.paused, false) AS paused,
    ( SELECT count(*) AS count
           FROM pgqueue.worker w
          WHERE (n.queue = ANY (w.queues))) AS consumers,
    COALESCE(q.durability, 'sync'::text) AS durability
   FROM ((( SELECT queue_switch.name AS queue
           FROM pgqueue.queue_switch
          WHERE ( SELECT me.sees_all
                   FROM me)
        UNION
         SELECT queue.name
           FROM pgqueue.queue
          WHERE (( SELECT me.sees_all
                   FROM me) OR ((queue.declared_by <> (0)::oid) AND pg_has_role(queue.declared_by, 'member'::text)))
        UNION
         SELECT DISTINCT visible.queue
           FROM visible) n
     LEFT JOIN pgqueue.queue_switch q ON ((q.name = n.queue)))
     LEFT JOIN ( SELECT v.queue,
            count(*) FILTER (WHERE (v.state = 'ready'::pgqueue.message_state)) AS ready,
            count(*) FILTER (WHERE (v.state = 'delayed'::pgqueue.message_state)) AS delayed,
            count(*) FILTER (WHERE (v.state = 'claimed'::pgqueue.message_state)) AS claimed,
            min(v.launched_at) FILTER (WHERE (v.state = 'ready'::pgqueue.message_state)) AS oldest_ready_at
           FROM visible v
          GROUP BY v.queue) c ON ((c.queue = n.queue)));

COMMENT ON VIEW pgqueue.queues IS 'What waits in each queue. Counts the messages that the role may see: its own and those of roles it is a member of; monitors, workers and administrators see all';

CREATE TABLE pgqueue.role_usage (
    role oid NOT NULL,
    messages bigint NOT NULL,
    delayed bigint NOT NULL,
    bytes bigint NOT NULL,
    counted_at timestamp with time zone NOT NULL,
    seconds double precision NOT NULL
);

COMMENT ON TABLE pgqueue.role_usage IS 'What each role has in the queues, as upkeep counted it last. Empty while no quota is set';

CREATE VIEW pgqueue.quotas WITH (security_barrier='true') AS
 SELECT pg_get_userbyid(k.role) AS role,
    k.over_quota,
    u.messages,
    NULLIF(l.messages, 0) AS max_messages,
    u.delayed,
    NULLIF(l.delayed, 0) AS max_delayed,
    ((u.bytes / 1024) / 1024) AS megabytes,
    NULLIF(l.megabytes, 0) AS max_megabytes,
    ( SELECT count(*) AS count
           FROM pgqueue.queue q
          WHERE (q.declared_by = k.role)) AS queues,
    l.queues AS max_queues,
    ( SELECT count(*) AS count
           FROM pgqueue.exchange e
          WHERE (e.declared_by = k.role)) AS exchanges,
    l.exchanges AS max_exchanges,
    ( SELECT count(*) AS count
           FROM pgqueue.binding b
          WHERE (b.declared_by = k.role)) AS bindings,
    l.bindings AS max_bindings,
    u.counted_at
   FROM ((pgqueue.role_key k
     LEFT JOIN pgqueue.role_usage u ON ((u.role = k.role)))
     CROSS JOIN ( SELECT pgqueue._limit('max_messages'::text, 0) AS messages,
            pgqueue._limit('max_delayed'::text, 0) AS delayed,
            pgqueue._limit('max_megabytes'::text, 0) AS megabytes,
            pgqueue._limit('max_queues'::text, 1000) AS queues,
            pgqueue._limit('max_exchanges'::text, 1000) AS exchanges,
            pgqueue._limit('max_bindings'::text, 1000) AS bindings) l)
  WHERE (pg_has_role(k.role, 'member'::text) OR pg_has_role('pgqueue_monitor'::name, 'member'::text) OR pg_has_role('pgqueue_worker'::name, 'member'::text) OR pg_has_role('pgqueue_admin'::name, 'member'::text));

COMMENT ON VIEW pgqueue.quotas IS 'What each enrolled role has and may have (NULL: any number). Messages are counted by upkeep at counted_at, and only while one of their three quotas is set';

CREATE TABLE pgqueue.result (
    id bigint NOT NULL,
    seq integer NOT NULL,
    ended_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    columns jsonb,
    output_settings jsonb,
    rows jsonb
)
PARTITION BY RANGE (ended_at);

ALTER TABLE ONLY pgqueue.result REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.result IS 'Rows of kept results in chunks; chunk 0 exists for every kept job that ended and describes the columns, chunk -1 holds notices. Reading a launched job''s result deletes it';

CREATE TABLE pgqueue.result_default (
    id bigint CONSTRAINT result_id_not_null NOT NULL,
    seq integer CONSTRAINT result_seq_not_null NOT NULL,
    ended_at timestamp with time zone DEFAULT clock_timestamp() CONSTRAINT result_ended_at_not_null NOT NULL,
    columns jsonb,
    output_settings jsonb,
    rows jsonb
);

ALTER TABLE ONLY pgqueue.result_default REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.result_default IS 'Catches what ends on a day for which no worker made a partition';

CREATE UNLOGGED TABLE pgqueue.result_waiter (
    task_id text NOT NULL,
    pid integer NOT NULL,
    waits_since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    seen_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
);

COMMENT ON TABLE pgqueue.result_waiter IS 'Which session wants to hear of which task. Unlogged: after a crash of the server nobody waits, and those who come back say so again';

CREATE TABLE pgqueue.role_name (
    role oid NOT NULL,
    name text
);

COMMENT ON TABLE pgqueue.role_name IS 'What roles are called whose numbers stand in other tables, for a dump (pgqueue._repair_home). Numbers from 4294900000 on are of roles that are not in this cluster';

CREATE TABLE pgqueue.run_gate (
);

ALTER TABLE ONLY pgqueue.run_gate REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.run_gate IS 'Has no rows: sessions that run jobs lock it for a moment between two jobs (pgqueue_run.pass_gate), whoever cancels one locks it against that (pgqueue._stop_run)';

CREATE VIEW pgqueue.sent_listener WITH (security_barrier='true') AS
 SELECT exchange
   FROM pgqueue.binding b
  WHERE ((exchange = 'celeryev'::text) AND (declared_by = (0)::oid) AND ('.task.sent'::text ~ pattern));

COMMENT ON VIEW pgqueue.sent_listener IS 'A row for each binding by which Celery''s monitors hear of tasks that are sent. Workers listen to each other there as well';

CREATE TABLE pgqueue.stat_fold (
    only_row boolean DEFAULT true NOT NULL,
    snapshot pg_snapshot NOT NULL,
    CONSTRAINT stat_fold_has_one_row CHECK (only_row)
);

COMMENT ON TABLE pgqueue.stat_fold IS 'The snapshot up to which stat_total and stat_session have counted the history';

CREATE TABLE pgqueue.stat_session (
    session_id bigint NOT NULL,
    submitter oid NOT NULL,
    completed bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    canceled bigint DEFAULT 0 NOT NULL,
    expired bigint DEFAULT 0 NOT NULL,
    timed_jobs bigint DEFAULT 0 NOT NULL,
    total_ms double precision DEFAULT 0 NOT NULL,
    folded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE pgqueue.stat_session IS 'Ended jobs by the session that handed them in and by submitter, as of pgqueue.stat_fold';

CREATE TABLE pgqueue.stat_total (
    submitter oid NOT NULL,
    queue text NOT NULL,
    completed bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    canceled bigint DEFAULT 0 NOT NULL,
    expired bigint DEFAULT 0 NOT NULL,
    timed_jobs bigint DEFAULT 0 NOT NULL,
    total_ms double precision DEFAULT 0 NOT NULL
);

COMMENT ON TABLE pgqueue.stat_total IS 'Ended jobs by submitter and queue since the installation, as of pgqueue.stat_fold';

CREATE VIEW pgqueue.unfolded WITH (security_barrier='true') AS
 SELECT h.submitter,
    h.queue,
    h.session_id,
    h.state,
    h.started_at,
    h.ended_at,
    h.xact
   FROM pgqueue.history h
  WHERE (h.xact >= ( SELECT pg_snapshot_xmax(f.snapshot) AS pg_snapshot_xmax
           FROM pgqueue.stat_fold f))
UNION ALL
 SELECT h.submitter,
    h.queue,
    h.session_id,
    h.state,
    h.started_at,
    h.ended_at,
    h.xact
   FROM pgqueue.history h
  WHERE (h.xact = ANY (ARRAY( SELECT pg_snapshot_xip(f.snapshot) AS pg_snapshot_xip
           FROM pgqueue.stat_fold f)));

COMMENT ON VIEW pgqueue.unfolded IS 'Ended jobs that the totals do not count yet';

CREATE VIEW pgqueue.stats AS
 WITH me AS MATERIALIZED (
         SELECT pgqueue._current_session_id() AS session_id
        ), ended AS (
         SELECT s.completed,
            s.failed,
            s.canceled,
            s.expired,
            s.timed_jobs,
            s.total_ms
           FROM pgqueue.stat_session s
          WHERE ((s.session_id = ( SELECT me.session_id
                   FROM me)) AND pg_has_role(s.submitter, 'member'::text))
        UNION ALL
         SELECT ((u.state = 'succeeded'::pgqueue.job_state))::integer AS int4,
            ((u.state = 'failed'::pgqueue.job_state))::integer AS int4,
            ((u.state = 'canceled'::pgqueue.job_state))::integer AS int4,
            ((u.state = 'expired'::pgqueue.job_state))::integer AS int4,
            ((u.started_at IS NOT NULL))::integer AS int4,
            COALESCE((EXTRACT(epoch FROM (u.ended_at - u.started_at)) * (1000)::numeric), (0)::numeric) AS "coalesce"
           FROM pgqueue.unfolded u
          WHERE ((u.session_id = ( SELECT me.session_id
                   FROM me)) AND pg_has_role(u.submitter, 'member'::text))
        ), active AS (
         SELECT count(*) AS n
           FROM pgqueue.message m
          WHERE ((m.session_id = ( SELECT me.session_id
                   FROM me)) AND (m.submitter = ANY (ARRAY( SELECT r.oid
                   FROM pg_roles r
                  WHERE pg_has_role(r.oid, 'member'::text)))))
        )
 SELECT ((COALESCE(sum((((completed + failed) + canceled) + expired)), (0)::numeric) + (( SELECT active.n
           FROM active))::numeric))::bigint AS workers_launched,
    (COALESCE(sum(completed), (0)::numeric))::bigint AS workers_completed,
    (COALESCE(sum((failed + expired)), (0)::numeric))::bigint AS workers_failed,
    (COALESCE(sum(canceled), (0)::numeric))::bigint AS workers_canceled,
    (( SELECT active.n
           FROM active))::integer AS workers_active,
    COALESCE((sum(total_ms) / (NULLIF(sum(timed_jobs), (0)::numeric))::double precision), (0)::double precision) AS avg_execution_ms,
    (NULLIF(current_setting('pgqueue.max_workers'::text, true), ''::text))::integer AS max_workers
   FROM ended e;

COMMENT ON VIEW pgqueue.stats IS 'The jobs that this session handed in as the role that reads, or as one that it is a member of. Reads totals and what the session has unfinished, never the history';

CREATE VIEW pgqueue.stats_total WITH (security_barrier='true') AS
 WITH ended AS (
         SELECT t.submitter,
            t.queue,
            t.completed,
            t.failed,
            t.canceled,
            t.expired,
            t.timed_jobs,
            t.total_ms
           FROM pgqueue.stat_total t
        UNION ALL
         SELECT u.submitter,
            u.queue,
            ((u.state = 'succeeded'::pgqueue.job_state))::integer AS int4,
            ((u.state = 'failed'::pgqueue.job_state))::integer AS int4,
            ((u.state = 'canceled'::pgqueue.job_state))::integer AS int4,
            ((u.state = 'expired'::pgqueue.job_state))::integer AS int4,
            ((u.started_at IS NOT NULL))::integer AS int4,
            COALESCE((EXTRACT(epoch FROM (u.ended_at - u.started_at)) * (1000)::numeric), (0)::numeric) AS "coalesce"
           FROM pgqueue.unfolded u
        UNION ALL
         SELECT m.submitter,
            m.queue,
            0,
            0,
            0,
            0,
            0,
            0
           FROM (pgqueue.activity a_1
             JOIN pgqueue.message m ON (((m.id = a_1.id) AND (m.token = a_1.token))))
        ), active AS (
         SELECT m.submitter,
            m.queue,
            count(*) AS n
           FROM (pgqueue.activity a_1
             JOIN pgqueue.message m ON (((m.id = a_1.id) AND (m.token = a_1.token))))
          GROUP BY m.submitter, m.queue
        )
 SELECT pg_get_userbyid(e.submitter) AS submitter,
    e.queue,
    ((sum((((e.completed + e.failed) + e.canceled) + e.expired)) + (COALESCE(max(a.n), (0)::bigint))::numeric))::bigint AS workers_launched,
    (sum(e.completed))::bigint AS workers_completed,
    (sum((e.failed + e.expired)))::bigint AS workers_failed,
    (sum(e.canceled))::bigint AS workers_canceled,
    (COALESCE(max(a.n), (0)::bigint))::integer AS workers_active,
    COALESCE((sum(e.total_ms) / (NULLIF(sum(e.timed_jobs), (0)::numeric))::double precision), (0)::double precision) AS avg_execution_ms,
    (NULLIF(current_setting('pgqueue.max_workers'::text, true), ''::text))::integer AS max_workers
   FROM (ended e
     LEFT JOIN active a ON (((a.submitter = e.submitter) AND (a.queue = e.queue))))
  WHERE (pg_has_role(e.submitter, 'member'::text) OR ( SELECT (pg_has_role('pgqueue_monitor'::name, 'member'::text) OR pg_has_role('pgqueue_admin'::name, 'member'::text))))
  GROUP BY e.submitter, e.queue;

COMMENT ON VIEW pgqueue.stats_total IS 'Jobs that workers took, by submitter and queue, since the installation or pgqueue.reset_stats. What only waits is in pgqueue.queues';

CREATE TABLE pgqueue.task_result_default (
    task_id text CONSTRAINT task_result_task_id_not_null NOT NULL,
    stored_at timestamp with time zone DEFAULT clock_timestamp() CONSTRAINT task_result_stored_at_not_null NOT NULL,
    expires_at timestamp with time zone CONSTRAINT task_result_expires_at_not_null NOT NULL,
    state text CONSTRAINT task_result_state_not_null NOT NULL,
    content_type text CONSTRAINT task_result_content_type_not_null NOT NULL,
    payload bytea CONSTRAINT task_result_payload_not_null NOT NULL
);

ALTER TABLE ONLY pgqueue.task_result_default REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.task_result_default IS 'Catches what ends on a day for which no worker made a partition';

CREATE UNLOGGED TABLE pgqueue.tracked_timeout (
    session_id bigint NOT NULL,
    timeouts bigint NOT NULL,
    counted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE pgqueue.tracked_timeout IS 'How often pg_background_run and pg_background_run_query gave up in a session';

ALTER TABLE pgqueue.worker ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.worker_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE VIEW pgqueue.workers WITH (security_barrier='true') AS
 SELECT name AS worker,
    started_at,
    last_seen_at,
        CASE
            WHEN pg_is_in_recovery() THEN 'unknown'::text
            WHEN (EXISTS ( SELECT
               FROM pgqueue._advisory_locks(pgqueue._lock_class('worker'::text)) l(objid, pid, mode)
              WHERE ((l.objid = w.id) AND (l.pid = w.pid)))) THEN 'online'::text
            ELSE 'lost'::text
        END AS status,
    items_processed,
    last_run_at,
    executors,
    ARRAY( SELECT a.id
           FROM (pgqueue.activity a
             JOIN pgqueue.message m ON (((m.id = a.id) AND (m.token = a.token))))
          WHERE ((a.worker_id = w.id) AND (pg_has_role(m.submitter, 'member'::text) OR ( SELECT (pg_has_role('pgqueue_monitor'::name, 'member'::text) OR pg_has_role('pgqueue_worker'::name, 'member'::text) OR pg_has_role('pgqueue_admin'::name, 'member'::text)))))
          ORDER BY a.started_at) AS running,
        CASE
            WHEN ( SELECT (pg_has_role('pgqueue_monitor'::name, 'member'::text) OR pg_has_role('pgqueue_worker'::name, 'member'::text) OR pg_has_role('pgqueue_admin'::name, 'member'::text))) THEN queues
            ELSE NULL::text[]
        END AS queues
   FROM pgqueue.worker w;

COMMENT ON VIEW pgqueue.workers IS 'Processes that consume: Celery workers, and programs that listen to events or replies. running: the jobs they run now, of those that the role may see. queues: for monitors, workers and administrators';

ALTER TABLE ONLY pgqueue.history ATTACH PARTITION pgqueue.history_default DEFAULT;

ALTER TABLE ONLY pgqueue.result ATTACH PARTITION pgqueue.result_default DEFAULT;

ALTER TABLE ONLY pgqueue.task_result ATTACH PARTITION pgqueue.task_result_default DEFAULT;

ALTER TABLE ONLY pgqueue.declaration ALTER COLUMN role SET DEFAULT ((quote_ident((CURRENT_USER)::text))::regrole)::oid;

ALTER TABLE ONLY pgqueue.dispatch ALTER COLUMN submitter SET DEFAULT ((quote_ident((CURRENT_USER)::text))::regrole)::oid;

ALTER TABLE ONLY pgqueue.activity
    ADD CONSTRAINT activity_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.binding
    ADD CONSTRAINT binding_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.chord_part
    ADD CONSTRAINT chord_part_pkey PRIMARY KEY (group_id, place, task_id);

ALTER TABLE ONLY pgqueue.chord
    ADD CONSTRAINT chord_pkey PRIMARY KEY (group_id);

ALTER TABLE ONLY pgqueue.compat
    ADD CONSTRAINT compat_pkey PRIMARY KEY (schema_name);

ALTER TABLE ONLY pgqueue.exchange
    ADD CONSTRAINT exchange_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.home
    ADD CONSTRAINT home_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY pgqueue.login
    ADD CONSTRAINT login_pkey PRIMARY KEY (purpose);

ALTER TABLE ONLY pgqueue.lost_session
    ADD CONSTRAINT lost_session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.message
    ADD CONSTRAINT message_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (version);

ALTER TABLE ONLY pgqueue.nonce
    ADD CONSTRAINT nonce_pkey PRIMARY KEY (nonce);

ALTER TABLE ONLY pgqueue.notice
    ADD CONSTRAINT notice_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.queue_switch
    ADD CONSTRAINT queue_switch_pkey PRIMARY KEY (name);

ALTER TABLE ONLY pgqueue.request
    ADD CONSTRAINT request_pkey PRIMARY KEY (id, kind);

ALTER TABLE ONLY pgqueue.result_waiter
    ADD CONSTRAINT result_waiter_pkey PRIMARY KEY (task_id, pid);

ALTER TABLE ONLY pgqueue.role_key
    ADD CONSTRAINT role_key_pkey PRIMARY KEY (role);

ALTER TABLE ONLY pgqueue.role_name
    ADD CONSTRAINT role_name_pkey PRIMARY KEY (role);

ALTER TABLE ONLY pgqueue.role_usage
    ADD CONSTRAINT role_usage_pkey PRIMARY KEY (role);

ALTER TABLE ONLY pgqueue.stat_fold
    ADD CONSTRAINT stat_fold_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY pgqueue.stat_session
    ADD CONSTRAINT stat_session_pkey PRIMARY KEY (session_id, submitter);

ALTER TABLE ONLY pgqueue.stat_total
    ADD CONSTRAINT stat_total_pkey PRIMARY KEY (submitter, queue);

ALTER TABLE ONLY pgqueue.task_group
    ADD CONSTRAINT task_group_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.tracked_job
    ADD CONSTRAINT tracked_job_pkey PRIMARY KEY (session_id, pid);

ALTER TABLE ONLY pgqueue.tracked_timeout
    ADD CONSTRAINT tracked_timeout_pkey PRIMARY KEY (session_id);

ALTER TABLE ONLY pgqueue.upkeep_failure
    ADD CONSTRAINT upkeep_failure_pkey PRIMARY KEY (part);

ALTER TABLE ONLY pgqueue.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (id);

CREATE INDEX binding_declared_by ON pgqueue.binding USING btree (declared_by) WHERE (declared_by <> (0)::oid);

COMMENT ON INDEX pgqueue.binding_declared_by IS 'pgqueue._require_room: how many a role has';

CREATE INDEX binding_exchange ON pgqueue.binding USING btree (exchange, declared_by);

COMMENT ON INDEX pgqueue.binding_exchange IS 'pgqueue._route: where a message may go';

CREATE INDEX binding_queue ON pgqueue.binding USING btree (queue, declared_by);

COMMENT ON INDEX pgqueue.binding_queue IS 'Deleting a queue deletes its bindings';

CREATE INDEX chord_expires_at ON pgqueue.chord USING btree (expires_at);

COMMENT ON INDEX pgqueue.chord_expires_at IS 'pgqueue._drop_partitions: what has expired';

CREATE INDEX exchange_declared_by ON pgqueue.exchange USING btree (declared_by) WHERE (declared_by <> (0)::oid);

COMMENT ON INDEX pgqueue.exchange_declared_by IS 'pgqueue._require_room: how many a role has';

CREATE INDEX exchange_name ON pgqueue.exchange USING btree (name, declared_by, id);

COMMENT ON INDEX pgqueue.exchange_name IS 'pgqueue._route: the type of an exchange';

CREATE INDEX history_id ON ONLY pgqueue.history USING btree (id);

COMMENT ON INDEX pgqueue.history_id IS 'A handle finds its job';

CREATE INDEX history_default_id_idx ON pgqueue.history_default USING btree (id);

CREATE INDEX history_xact ON ONLY pgqueue.history USING btree (xact);

COMMENT ON INDEX pgqueue.history_xact IS 'pgqueue.unfolded: what statistics have not counted yet';

CREATE INDEX history_default_xact_idx ON pgqueue.history_default USING btree (xact);

CREATE INDEX message_claimed ON pgqueue.message USING btree (worker_id) WHERE (state = 'claimed'::pgqueue.message_state);

COMMENT ON INDEX pgqueue.message_claimed IS 'pgqueue._reclaim: what lost workers hold';

CREATE INDEX message_delayed ON pgqueue.message USING btree (due_at) WHERE (state = 'delayed'::pgqueue.message_state);

COMMENT ON INDEX pgqueue.message_delayed IS 'pgqueue._promote: what has become due';

CREATE INDEX message_expiry ON pgqueue.message USING btree (expires_at) WHERE ((kind = 'task'::pgqueue.message_kind) AND (state <> 'claimed'::pgqueue.message_state) AND (expires_at IS NOT NULL));

COMMENT ON INDEX pgqueue.message_expiry IS 'pgqueue._expire_messages: tasks that nobody took in time';

CREATE INDEX message_ready ON pgqueue.message USING btree (queue, kind, submitter, (((((9 - priority))::bigint << 58) | id))) WHERE (state = 'ready'::pgqueue.message_state);

COMMENT ON INDEX pgqueue.message_ready IS 'pgqueue._claim: the next messages of each role in a queue. Delayed and claimed ones are not in it';

CREATE INDEX message_session ON pgqueue.message USING btree (session_id, submitter) WHERE (session_id IS NOT NULL);

COMMENT ON INDEX pgqueue.message_session IS 'pgqueue.stats: the unfinished jobs of this session';

CREATE UNIQUE INDEX message_unique_key ON pgqueue.message USING btree (submitter, unique_key) WHERE (unique_key IS NOT NULL);

COMMENT ON INDEX pgqueue.message_unique_key IS 'One unfinished job for each unique key of a role';

CREATE INDEX queue_declared_by ON pgqueue.queue USING btree (declared_by) WHERE (declared_by <> (0)::oid);

COMMENT ON INDEX pgqueue.queue_declared_by IS 'pgqueue._require_room: how many a role has';

CREATE INDEX queue_name ON pgqueue.queue USING btree (name, declared_by, id);

COMMENT ON INDEX pgqueue.queue_name IS 'pgqueue._declared: the declaration that counts for a message';

CREATE INDEX request_cancel ON pgqueue.request USING btree (id) WHERE (kind = 'cancel'::text);

COMMENT ON INDEX pgqueue.request_cancel IS 'pgqueue._cancel_requests: however many detached jobs there are';

CREATE INDEX result_id ON ONLY pgqueue.result USING btree (id, seq);

COMMENT ON INDEX pgqueue.result_id IS 'A handle finds its result, in order';

CREATE INDEX result_default_id_seq_idx ON pgqueue.result_default USING btree (id, seq);

CREATE INDEX result_waiter_pid ON pgqueue.result_waiter USING btree (pid);

COMMENT ON INDEX pgqueue.result_waiter_pid IS 'pgqueue._collect_results: what a session waits for';

CREATE INDEX task_group_expires_at ON pgqueue.task_group USING btree (expires_at);

COMMENT ON INDEX pgqueue.task_group_expires_at IS 'pgqueue._drop_partitions: what has expired';

CREATE INDEX task_result_task_id ON ONLY pgqueue.task_result USING btree (task_id);

COMMENT ON INDEX pgqueue.task_result_task_id IS 'pgqueue._task_results: the rows of a task';

CREATE INDEX task_result_default_task_id_idx ON pgqueue.task_result_default USING btree (task_id);

CREATE UNIQUE INDEX tracked_job_id ON pgqueue.tracked_job USING btree (id);

COMMENT ON INDEX pgqueue.tracked_job_id IS 'Reading or detaching a job ends the tracking';

CREATE INDEX tracked_job_tracked_at ON pgqueue.tracked_job USING btree (tracked_at);

COMMENT ON INDEX pgqueue.tracked_job_tracked_at IS 'pgqueue._drop_partitions: what sessions have left behind';

ALTER INDEX pgqueue.history_id ATTACH PARTITION pgqueue.history_default_id_idx;

ALTER INDEX pgqueue.history_xact ATTACH PARTITION pgqueue.history_default_xact_idx;

ALTER INDEX pgqueue.result_id ATTACH PARTITION pgqueue.result_default_id_seq_idx;

ALTER INDEX pgqueue.task_result_task_id ATTACH PARTITION pgqueue.task_result_default_task_id_idx;

CREATE TRIGGER carry_out INSTEAD OF INSERT ON pgqueue.declaration FOR EACH ROW EXECUTE FUNCTION pgqueue._carry_out();

CREATE TRIGGER dispatch INSTEAD OF INSERT ON pgqueue.dispatch FOR EACH ROW EXECUTE FUNCTION pgqueue._dispatch();

CREATE CONSTRAINT TRIGGER notice_is_sent AFTER INSERT ON pgqueue.notice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pgqueue._send_notice();

ALTER TABLE ONLY pgqueue.chord_part
    ADD CONSTRAINT chord_part_group_id_fkey FOREIGN KEY (group_id) REFERENCES pgqueue.chord(group_id) ON DELETE CASCADE;

ALTER TABLE pgqueue.activity ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.binding ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.chord ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.chord_part ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.compat ENABLE ROW LEVEL SECURITY;

CREATE POLICY everybody_may_read ON pgqueue.migration FOR SELECT USING (true);

ALTER TABLE pgqueue.exchange ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.history ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.history_default ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.home ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.login ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.lost_session ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.message ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.migration ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.nonce ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.notice ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.queue ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.queue_switch ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.request ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.result ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.result_default ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.result_waiter ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.role_key ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.role_name ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.role_usage ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.run_gate ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.stat_fold ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.stat_session ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.stat_total ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.task_group ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.task_result ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.task_result_default ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.tracked_job ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.tracked_timeout ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.upkeep_failure ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.worker ENABLE ROW LEVEL SECURITY;

GRANT USAGE ON SCHEMA pgqueue TO pgqueue_worker;
GRANT USAGE ON SCHEMA pgqueue TO pgqueue_monitor;
GRANT USAGE ON SCHEMA pgqueue TO pgqueue_admin;
GRANT USAGE ON SCHEMA pgqueue TO pgqueue_gate;

REVOKE ALL ON FUNCTION pgqueue._handle(id smallint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._handle(id smallint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._handle(id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._handle(id integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._handle(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._handle(id bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._ack(ids bigint[], tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ack(ids bigint[], tokens bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._ack_and_claim(worker_id integer, ids bigint[], tokens bigint[], demand jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ack_and_claim(worker_id integer, ids bigint[], tokens bigint[], demand jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._acquit(ids bigint[], tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._acquit(ids bigint[], tokens bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._add_chord_part(group_id text, place integer, task_id text, payload bytea, lifetime interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._add_chord_part(group_id text, place integer, task_id text, payload bytea, lifetime interval) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._add_chord_part(group_id text, place integer, task_id text, payload bytea, lifetime interval) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._admit(role regrole, may_enter boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._advisory_locks(class integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._advisory_locks(class integer) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._advisory_locks(class integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._advisory_locks(class integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._advisory_locks(class integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._append_result(id bigint, token bigint, seq integer, rows jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._append_result(id bigint, token bigint, seq integer, rows jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._archive(m pgqueue.message, state pgqueue.job_state, error jsonb, command_tags text[], row_count bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._are_notices(notices jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._are_notices(notices jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._are_rows(rows jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._args_repr(args jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._args_repr(args jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._begin_session() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._begin_session() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._call(op text, request jsonb, holds boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._call(op text, request jsonb, holds boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._session_id() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._session_id() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._tracker() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tracker() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._ask_tracked(want_pid integer, want_cookie bigint, mismatch text, sql_length integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ask_tracked(want_pid integer, want_cookie bigint, mismatch text, sql_length integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._auto_delete(queues text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._await_end(role oid, id bigint, max_ms integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._await_results(task_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._await_results(task_ids text[]) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._await_results(task_ids text[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._background_error(pid integer, error jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._background_error(pid integer, error jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._background_setting(name text, fallback integer, least_value integer, greatest_value integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._background_setting(name text, fallback integer, least_value integer, greatest_value integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._begin_any_job(id bigint, token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._begin_any_job(id bigint, token bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._begin_job(id bigint, token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._begin_job(id bigint, token bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._begin_statement(caller_search_path text, settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._begin_statement(caller_search_path text, settings jsonb) TO pgqueue_user;

GRANT INSERT(act) ON TABLE pgqueue.declaration TO pgqueue_user;

GRANT INSERT(name) ON TABLE pgqueue.declaration TO pgqueue_user;

GRANT INSERT(attributes) ON TABLE pgqueue.declaration TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._bind(queue text, exchange text, routing_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._bind(queue text, exchange text, routing_key text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._bind(queue text, exchange text, routing_key text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._topic_pattern(routing_key text) FROM PUBLIC;

GRANT SELECT ON TABLE pgqueue.own_binding TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._bindings(exchange text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._bindings(exchange text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._bindings(exchange text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._bound(bounds jsonb, level integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._bound_roles(kind pgqueue.message_kind, queues text[], bounds jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._callback(task text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._callback(task text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cancel(role oid, handle pgqueue.handle, grace_ms bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._cancel_many(criteria jsonb, grace_ms integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cancel_many(criteria jsonb, grace_ms integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cancel_requests(ids bigint[], tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cancel_requests(ids bigint[], tokens bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._cancel_tracked(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._cancel_tracked_now(want_pid integer, want_cookie bigint, grace_ms integer, is_hard boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cancel_tracked_now(want_pid integer, want_cookie bigint, grace_ms integer, is_hard boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._capture_settings(caller_search_path text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._capture_settings(caller_search_path text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._carry_out() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._changed_runners() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._changed_runners() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._changed_runners() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._changed_runners() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._changed_runners() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._check_enrollable(role regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_handle(role oid, handle pgqueue.handle, submitter oid, cookie bigint, wrong_cookie text, by_administrators boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_options(sql text, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, durability text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._check_options(sql text, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, durability text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._check_queue(name text, arguments jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_result(columns jsonb, rows jsonb, output_settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_rows(sql text[], params text[], rows text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._check_rows(sql text[], params text[], rows text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._check_runner(id bigint, submitter oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_short_text(what text, given text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._chord_parts(group_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._chord_parts(group_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._chord_parts(group_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._claim(worker_id integer, kind text, queues text[], max_count integer, role_limit integer, held jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._claim(worker_id integer, kind text, queues text[], max_count integer, role_limit integer, held jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._claim_awaited(waiter_id bigint, waiter_token bigint, awaited_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._claim_awaited(waiter_id bigint, waiter_token bigint, awaited_id bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._claim_lost(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._claim_lost(id bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._close_loopback() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._close_loopback() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._collect_results(new_ids text[], was_asleep boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._collect_results(new_ids text[], was_asleep boolean) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._collect_results(new_ids text[], was_asleep boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._complete_job(id bigint, token bigint, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb, has_committed boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._complete_job(id bigint, token bigint, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb, has_committed boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._connect_loopback(name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._consume(role oid, handle pgqueue.handle) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._consume_result(handle pgqueue.handle, is_held boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._consume_result(handle pgqueue.handle, is_held boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cookie(seed bytea, n bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cookie(seed bytea, n bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cookie_of(role oid, id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._create_pg_background_1_8() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._create_pg_background_2_0() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._create_reader(signature text, call text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._create_v2_aliases(others oid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._current_session_id() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._current_session_id() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._current_session_id() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._current_session_id() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._current_session_id() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._cut(value text, max_bytes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cut(value text, max_bytes integer) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._cut(value text, max_bytes integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._cut(value text, max_bytes integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._cut(value text, max_bytes integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._dblink_connect(name text, server text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_connections() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_disconnect(name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_disconnect_unnamed() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_exec(name text, command text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_is_closed() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_query(name text, query text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dead_letter(held pgqueue.message, reason text, detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._declared(queue text, role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._defer_job(id bigint, token bigint, note text, delay interval, longest interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._defer_job(id bigint, token bigint, note text, delay interval, longest interval) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._delete_exchange(name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._delete_exchange(name text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._delete_exchange(name text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._delete_queue(queue text, if_unused boolean, if_empty boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._delete_queue(queue text, if_unused boolean, if_empty boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._delete_task_group(group_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._delete_task_group(group_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._delete_task_group(group_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._held_key(id bigint, token bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._describe_tracked(job pgqueue.tracked_job, sql_length integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._detach(role oid, handle pgqueue.handle) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dispatch() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._do_upkeep(part text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._doze(run_key bigint, since timestamp with time zone, left_s double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._doze(run_key bigint, since timestamp with time zone, left_s double precision) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._drain(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._drain(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._drop_binding(holder oid, unwanted_queue text, unwanted_exchange text, unwanted_key text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._drop_compat(schema text, behavior text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._drop_exchange(holder oid, unwanted text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._drop_partitions(older_than interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._drop_runner(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._end_hold(is_done boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._end_hold(is_done boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._end_job(id bigint, state pgqueue.job_state, error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._end_of_reading(job jsonb, old_settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._end_of_reading(job jsonb, old_settings jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._end_task(m pgqueue.message, state text, reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._ended_job(id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._ended_jobs(ids bigint[], detailed integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ended_jobs(ids bigint[], detailed integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._enqueue(kept pgqueue.result_kept, settings jsonb, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enqueue(kept pgqueue.result_kept, settings jsonb, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._enqueue_for_trigger(argv text[], settings jsonb, op text, table_schema text, table_name text, new_row jsonb, old_row jsonb, params text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enqueue_for_trigger(argv text[], settings jsonb, op text, table_schema text, table_name text, new_row jsonb, old_row jsonb, params text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._enqueue_many(kept pgqueue.result_kept, settings jsonb, sql text[], params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_keys text[], label text, durability text, rows text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enqueue_many(kept pgqueue.result_kept, settings jsonb, sql text[], params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_keys text[], label text, durability text, rows text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._enqueue_row(argv text[], relation oid, row_json jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enqueue_row(argv text[], relation oid, row_json jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._enroll_member(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._enroll_self() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enroll_self() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._enter_job(id bigint, token bigint, names text[], setting_values text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enter_job(id bigint, token bigint, names text[], setting_values text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._error_info(want_pid integer, want_cookie bigint, OUT sqlstate text, OUT message text, OUT detail text, OUT hint text, OUT context text, OUT schema_name text, OUT table_name text, OUT column_name text, OUT constraint_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._error_info(want_pid integer, want_cookie bigint, OUT sqlstate text, OUT message text, OUT detail text, OUT hint text, OUT context text, OUT schema_name text, OUT table_name text, OUT column_name text, OUT constraint_name text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._error_of(handle pgqueue.handle, answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._error_of(handle pgqueue.handle, answer jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._exchange_exists(name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._exchange_exists(name text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._exchange_exists(name text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._executor_login(OUT role text, OUT password text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._executor_login(OUT role text, OUT password text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._executor_name() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._expire_messages(queues text[], max_count integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._expire_queues() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._expire_task_results() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._fail_any_job(id bigint, token bigint, error jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fail_any_job(id bigint, token bigint, error jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._fail_job(id bigint, token bigint, error jsonb, run_s double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fail_job(id bigint, token bigint, error jsonb, run_s double precision) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._failing_upkeep() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._failing_upkeep() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._failing_upkeep() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._failing_upkeep() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._failing_upkeep() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._fall_asleep(queues text[], OUT asleep boolean, OUT seconds_to_next_due double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fall_asleep(queues text[], OUT asleep boolean, OUT seconds_to_next_due double precision) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._setting_fault(name text, value text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._faulty_settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._faulty_settings() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._faulty_settings() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._faulty_settings() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._faulty_settings() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._fetch_result(handle pgqueue.handle, may_hold boolean, OUT seq bigint, OUT answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fetch_result(handle pgqueue.handle, may_hold boolean, OUT seq bigint, OUT answer jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._find_tracked(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._fingerprint(caller_search_path text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fingerprint(caller_search_path text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._finish_chord(group_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._finish_chord(group_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._finish_chord(group_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._fit_casts(answer jsonb, casts text[], misfit text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fit_casts(answer jsonb, casts text[], misfit text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._fold_stats() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_dropped_roles() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_earlier_runs(ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_task_result(task_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._forget_task_result(task_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._forget_task_result(task_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._forward_notices(notices jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._forward_notices(notices jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._full_sql(want_pid integer, want_cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._full_sql(want_pid integer, want_cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._gate(op text, role oid, nonce bigint, request text, proof text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._gate(op text, role oid, nonce bigint, request text, proof text) TO pgqueue_gate;

REVOKE ALL ON FUNCTION pgqueue._give_up(m pgqueue.message, error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._give_up_queue(holder oid, queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._goes_straight(exchange text, routing_key text, eta timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._goes_straight(exchange text, routing_key text, eta timestamp with time zone) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._goes_straight(exchange text, routing_key text, eta timestamp with time zone) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._grant_background(member text, is_grant boolean, print_commands boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._grow_chord(group_id text, lifetime interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._grow_chord(group_id text, lifetime interval) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._grow_chord(group_id text, lifetime interval) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._hand_in(kept pgqueue.result_kept, settings jsonb, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._hand_in(kept pgqueue.result_kept, settings jsonb, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._queue_channel(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._queue_channel(queue text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._hand_over(queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._handle_of(job jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._handle_of(job jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._seen_columns(relation oid, argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._seen_columns(relation oid, argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._has_seen(seen text, relation oid, argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._has_seen(seen text, relation oid, argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._lock_class(purpose text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._lock_class(purpose text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._lock_class(purpose text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._lock_class(purpose text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._lock_class(purpose text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._has_takers(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._has_takers(queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._has_takers(queue text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._has_takers(queue text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._has_takers(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._reading_settings(settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._typed_columns(columns jsonb, stranger oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._head_of_result(role oid, ended pgqueue.history, columns jsonb, output_settings jsonb, notices jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._inheritable_names() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._inheritable_names() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._inherited(captured jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._inherited(captured jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._inherited_timeout(captured jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._inherited_timeout(captured jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._interval_argument(arguments jsonb, name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_acceptable(m pgqueue.message) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_acceptable(m pgqueue.message) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_at_home() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_at_home() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._is_at_home() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._is_at_home() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._is_at_home() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._is_canceled(role oid, handle pgqueue.handle) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_given_up(id bigint, max_attempts integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_intact(runner oid, runner_xid xid, role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_operator(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_own_event(payload json) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_own_event(payload json) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_plain(relation oid, columns text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_plain(relation oid, columns text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_plain_call(queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_plain_call(queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_plain_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, headers jsonb, link text, errback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_plain_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, headers jsonb, link text, errback text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_plain_trigger(argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_plain_trigger(argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_raised_in_run(error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_revoked_by_worker(payload json) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._job_document(id bigint, token bigint, queue text, attempts smallint, submitter oid, sql text, params text[], settings jsonb, timeout interval, kept pgqueue.result_kept, label text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._job_message(id bigint, token bigint, queue text, priority smallint, deliveries smallint, attempts smallint, submitter oid, sql text, params text[], settings jsonb, timeout interval, kept pgqueue.result_kept, label text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._jobs_of(sql text[], params text[], unique_keys text[], rows text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._jobs_of(sql text[], params text[], unique_keys text[], rows text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._keep_captured(content text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._keep_captured(content text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._keep_claims(worker_id integer, ids bigint[], begun bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._keep_claims(worker_id integer, ids bigint[], begun bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._keep_notices(id bigint, token bigint, notices jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._keep_notices(id bigint, token bigint, notices jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._kept_error(error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._settings() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._known_settings(backend_pid integer, captured jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._known_settings(backend_pid integer, captured jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._knows_queue(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._knows_queue(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._kwargs_repr(kwargs jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._kwargs_repr(kwargs jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._launch(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._launch_and_wait(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT finished boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._launch_and_wait(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT finished boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._launch_tracked(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._limit(name text, fallback integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._limit(name text, fallback integer) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._limit(name text, fallback integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._limit(name text, fallback integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._limit(name text, fallback integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._list_scheduled(queues text[], max_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._list_scheduled(queues text[], max_count integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._list_tracked(criteria jsonb, OUT pid integer, OUT cookie bigint, OUT launched_at timestamp with time zone, OUT user_id oid, OUT queue_size integer, OUT state text, OUT sql_preview text, OUT last_error text, OUT consumed boolean, OUT label text, OUT backend_pid integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._list_tracked(criteria jsonb, OUT pid integer, OUT cookie bigint, OUT launched_at timestamp with time zone, OUT user_id oid, OUT queue_size integer, OUT state text, OUT sql_preview text, OUT last_error text, OUT consumed boolean, OUT label text, OUT backend_pid integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._locate(role oid, handle pgqueue.handle, wrong_cookie text, by_administrators boolean, OUT live boolean, OUT state pgqueue.job_state, OUT kept pgqueue.result_kept, OUT worker_id integer, OUT running boolean, OUT run_key bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lock_job(id bigint, token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._lock_job(id bigint, token bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._loopback_conninfo(host text, port text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._loopback_name() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._loopback_name() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._loopback_name() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._loopback_name() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._loopback_name() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._loopback_options() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._loopback_places() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lowest_tracked(session bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_background_role() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_partitions() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_runner(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_worker_login(OUT role text, OUT password text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._worker_number(name text, fallback integer, least_value integer, greatest_value integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._max_deliveries(queue text, submitter oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._may_enter(submitter oid, queue text, payload json) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._may_enter(submitter oid, queue text, payload json) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._may_log_in(role oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._may_log_in(role oid) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._member_settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._member_settings() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._message_ttl(queue text, submitter name) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._message_ttl(queue text, submitter name) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._message_ttl(queue text, submitter name) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._minute_key(key text, minutes_ago integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._misfit(answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._misfit(answer jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._naptime() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._naptime() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._needs_top_level(error jsonb, params text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._next_of_role(kind pgqueue.message_kind, queue text, role oid, max_count integer, bounds jsonb, above bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._next_overdue(kind pgqueue.message_kind, queue text, max_count integer, bounds jsonb, role_limit integer, held jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._next_ready(kind pgqueue.message_kind, queue text, max_count integer, bounds jsonb, role_limit integer, held jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._nobody_sleeps(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._nobody_sleeps(queue text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._note_binding(holder oid, wanted_queue text, wanted_exchange text, wanted_key text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_exchange(holder oid, wanted_name text, wanted jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_queue(holder oid, wanted_name text, wanted jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_roles() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_run(id bigint, token bigint, pid integer, run_s double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._note_run(id bigint, token bigint, pid integer, run_s double precision) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._note_usage() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._notify_at_commit(channel text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._notify_at_commit(channel text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._objects_like_pg_background(schema_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._outcome(want_pid integer, want_cookie bigint, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._outcome(want_pid integer, want_cookie bigint, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._outcome_of(job jsonb, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._outcome_of(job jsonb, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._over_loopback(op text, role oid, nonce bigint, request text, proof text, holds boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._over_loopback(op text, role oid, nonce bigint, request text, proof text, holds boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._oversee(ids bigint[], tokens bigint[], pids integer[], least_ms integer, grace_ms integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._oversee(ids bigint[], tokens bigint[], pids integer[], least_ms integer, grace_ms integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._partition_name(parent text, day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._peek(queue text, max_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._peek(queue text, max_count integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._peek(queue text, max_count integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._peek(queue text, max_count integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._prints_alike(json_text text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._prints_alike(json_text text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._plain_task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, task_id text, ignore_result boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._plain_task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, task_id text, ignore_result boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._postpone(id bigint, token bigint, due_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._postpone(id bigint, token bigint, due_at timestamp with time zone) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._progress_of(role oid, handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._progress_of_tracked(want_pid integer, want_cookie bigint, OUT progress_pct integer, OUT progress_msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._progress_of_tracked(want_pid integer, want_cookie bigint, OUT progress_pct integer, OUT progress_msg text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._promote(max_count integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._publish(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._publish(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._publish(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._purge(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._purge(queue text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._put_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._put_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._put_task(submitter oid, queue text, message json, priority integer, due_at timestamp with time zone, expires timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._python_repr(value jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._python_repr(value jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._python_string_repr(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._python_string_repr(value text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._queue_consumers(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._queue_consumers(queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._queue_consumers(queue text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._queue_exists(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._queue_exists(queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._queue_exists(queue text) TO pgqueue_worker;

GRANT SELECT ON TABLE pgqueue.own_task TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._queue_size(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._queue_size(queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._queue_size(queue text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._raise(error jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._raise(error jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._raise_again(state text, message text, detail text, hint text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._raise_again(state text, message text, detail text, hint text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._raise_bounds(bounds jsonb, ids bigint[], must_lower boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._raise_tracked(pid integer, error jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._raise_tracked(pid integer, error jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._raiser(said_at text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._raiser(said_at text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._random_bigint() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._random_bigint() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._rank(priority smallint, id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._read_result(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._read_result(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._read_tracked(want_pid integer, want_cookie bigint, version text, OUT is_first boolean, OUT reader text, OUT rows jsonb, OUT tags text[], OUT answer jsonb, OUT job jsonb, OUT old_settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._read_tracked(want_pid integer, want_cookie bigint, version text, OUT is_first boolean, OUT reader text, OUT rows jsonb, OUT tags text[], OUT answer jsonb, OUT job jsonb, OUT old_settings jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._readdressed(payload json, exchange text, routing_key text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._ready_roles(kind pgqueue.message_kind, queue text, after oid, max_count integer, bounds jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._reclaim(max_deliveries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._reclaim_grace() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_canceled(id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_change(what text, name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_excess(role oid, over_quota text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_excess(role oid, over_quota text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_message(m pgqueue.message) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_message(m pgqueue.message) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_overdue(id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_params() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_params() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_place() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_place() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_result(what text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_stranger(role oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_stranger(role oid) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_virtual(relation oid, columns text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_virtual(relation oid, columns text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._register_worker(name text, executors integer, predecessor integer, ids bigint[], tokens bigint[], begun bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._register_worker(name text, executors integer, predecessor integer, ids bigint[], tokens bigint[], begun bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._reject(ids bigint[], tokens bigint[], detail text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._reject(ids bigint[], tokens bigint[], detail text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._release(ids bigint[], tokens bigint[], undelivered boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._release(ids bigint[], tokens bigint[], undelivered boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._release_sorted(ids bigint[], tokens bigint[], have_begun boolean[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._release_waiting(ids bigint[], tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._release_waiting(ids bigint[], tokens bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._renumber_roles(old_numbers oid[], new_numbers oid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._repair_executor() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._repair_home() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._repair_loopback() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._report_progress(caller text, pct integer, msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._report_progress(caller text, pct integer, msg text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._request(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._request(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._request_cancel(id bigint, token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._request_cancel(id bigint, token bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._require_enrolled() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._require_enrolled() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._require_home() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._require_home() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._require_login(role oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._require_login(role oid) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._require_part(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._require_quota(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._require_readable(want_pid integer, job jsonb, version text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._require_readable(want_pid integer, job jsonb, version text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._require_room(role oid, what text, present bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._reset_session() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._reset_session() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._result_hint(answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._result_hint(answer jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._result_info(want_pid integer, want_cookie bigint, OUT row_count bigint, OUT command_tag text, OUT completed boolean, OUT has_error boolean, OUT started_at timestamp with time zone, OUT finished_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._result_info(want_pid integer, want_cookie bigint, OUT row_count bigint, OUT command_tag text, OUT completed boolean, OUT has_error boolean, OUT started_at timestamp with time zone, OUT finished_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._result_of(role oid, handle pgqueue.handle, holds boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._result_reader(answer jsonb, casts text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._result_reader(answer jsonb, casts text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._retried_jobs(ids bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._retried_jobs(ids bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._retry_deferred(role oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._retry_deferred(role oid) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._role_after(queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._role_here(number oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._role_limit(OUT executors integer, OUT has_others boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._role_limit(OUT executors integer, OUT has_others boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._route(exchange text, routing_key text, submitter oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._row_params(argv text[], row_json jsonb, relation oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._row_params(argv text[], row_json jsonb, relation oid) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._row_params_query(argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._row_params_query(argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._run_key_of(id bigint, token bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._run_query(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, col_def text, OUT reader text, OUT pid integer, OUT cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._run_query(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, col_def text, OUT reader text, OUT pid integer, OUT cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._run_tracked(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT run_label text, OUT launched_at timestamp with time zone, OUT timed_out boolean, OUT elapsed_ms bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._run_tracked(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT run_label text, OUT launched_at timestamp with time zone, OUT timed_out boolean, OUT elapsed_ms bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._running_message(id bigint, token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._running_message(id bigint, token bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._runs(id bigint, token bigint, pid integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._runs_code(type oid, reader oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._said_at(handle pgqueue.handle, answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._said_at(handle pgqueue.handle, answer jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._save_task_group(group_id text, payload bytea, lifetime interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._save_task_group(group_id text, payload bytea, lifetime interval) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._save_task_group(group_id text, payload bytea, lifetime interval) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._say(level text, code text, message text, detail text, hint text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._say(level text, code text, message text, detail text, hint text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._seconds_to_next_due() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._see_columns(relation oid, argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._see_columns(relation oid, argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._send_notice() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._send_otherwise(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._send_otherwise(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._session_settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._session_settings() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._set_background_defaults(is_set boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._set_chord_size(group_id text, size integer, lifetime interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_chord_size(group_id text, size integer, lifetime interval) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._set_chord_size(group_id text, size integer, lifetime interval) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._set_loopback(host text, port text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._set_paused(queue text, paused boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._set_progress(id bigint, token bigint, pct integer, msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_progress(id bigint, token bigint, pct integer, msg text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._set_run_progress(id bigint, token bigint, pid integer, pct integer, msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_run_progress(id bigint, token bigint, pid integer, pct integer, msg text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._set_worker_executors(worker_id integer, executors integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_worker_executors(worker_id integer, executors integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._set_worker_queues(worker_id integer, queues text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_worker_queues(worker_id integer, queues text[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._setting(name text, fallback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._setting(name text, fallback text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._settle_here(is_elsewhere boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._settle_run(ids bigint[], tokens bigint[], error jsonb, is_jobs boolean, run_seconds double precision, pid integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._settle_run(ids bigint[], tokens bigint[], error jsonb, is_jobs boolean, run_seconds double precision, pid integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._shown(repr text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._shown(repr text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._untrack_now(request jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._untrack_now(request jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._spare_tracked(job jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._spare_tracked(job jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._state_rank(state text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._statement_of(role oid, handle pgqueue.handle) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._statement_settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._statement_settings() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._status(handle pgqueue.handle, wait jsonb, OUT state pgqueue.job_state, OUT live boolean, OUT run_key bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._status(handle pgqueue.handle, wait jsonb, OUT state pgqueue.job_state, OUT live boolean, OUT run_key bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._stop_awaiting(task_ids text[], was_asleep boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._stop_awaiting(task_ids text[], was_asleep boolean) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._stop_awaiting(task_ids text[], was_asleep boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._stop_run(id bigint, token bigint, pid integer, is_final boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._stop_run(id bigint, token bigint, pid integer, is_final boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._suspect(ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._suspect_unclaimed(ids bigint[], error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._swap_settings(settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._swap_settings(settings jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._task_fates(task_ids text[], workers text[], seen_at double precision[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._task_fates(task_ids text[], workers text[], seen_at double precision[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._task_group(group_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._task_group(group_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._task_group(group_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, due_at timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, due_at timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._task_name(payload json) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._task_results(task_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._task_results(task_ids text[]) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._task_results(task_ids text[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._tell_sent(message json, queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tell_sent(message json, queue text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._tell_wait(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tell_wait(id bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._text_in(payload json, path text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._tick(worker_id integer, items_processed bigint, last_run_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tick(worker_id integer, items_processed bigint, last_run_at timestamp with time zone) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._time_allowed(timeout interval, settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._track(kept pgqueue.result_kept, settings jsonb, sql text, queue_size integer, label text, OUT pid integer, OUT cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._track(kept pgqueue.result_kept, settings jsonb, sql text, queue_size integer, label text, OUT pid integer, OUT cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._tracked(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._tracked_jobs(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._tracked_result(pid integer, cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tracked_result(pid integer, cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._tracked_stats(OUT workers_launched bigint, OUT workers_completed bigint, OUT workers_failed bigint, OUT workers_canceled bigint, OUT workers_timed_out bigint, OUT workers_active integer, OUT avg_execution_ms double precision, OUT max_workers integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tracked_stats(OUT workers_launched bigint, OUT workers_completed bigint, OUT workers_failed bigint, OUT workers_canceled bigint, OUT workers_timed_out bigint, OUT workers_active integer, OUT avg_execution_ms double precision, OUT max_workers integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._transition_query(argv text[], op text, relation oid, trigger_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._transition_query(argv text[], op text, relation oid, trigger_name text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._trigger_columns(argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._trigger_columns(argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._trigger_job(argv text[], settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._trigger_job(argv text[], settings jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._trigger_options(argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._trigger_options(argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._try_upkeep(part text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._unbind(queue text, exchange text, routing_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._unbind(queue text, exchange text, routing_key text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._unbind(queue text, exchange text, routing_key text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._unregister_worker(worker_id integer, begun bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._unregister_worker(worker_id integer, begun bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._untrack(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._utc_text(instant timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._utc_text(instant timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wait_any(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wait_any(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wait_for_run(run_key bigint, max_ms bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wait_for_run(run_key bigint, max_ms bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wait_on(handle pgqueue.handle, timeout interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wait_on(handle pgqueue.handle, timeout interval) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wait_tracked(want_pid integer, want_cookie bigint, timeout_ms integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wait_tracked(want_pid integer, want_cookie bigint, timeout_ms integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wake(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wake(queue text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wake_for(queue text, due_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wake_for(queue text, due_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wake_up(queues text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wake_up(queues text[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._with_death(payload json, queue text, reason text, exchange text, routing_key text, detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._with_durability(settings jsonb, durability text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._with_durability(settings jsonb, durability text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._with_wait(request jsonb, since timestamp with time zone, left_s double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._with_wait(request jsonb, since timestamp with time zone, left_s double precision) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._without_runner(error jsonb, sql text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._worker_interval(name text, fallback interval, least_value interval, greatest_value interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._worker_setting(name text, fallback text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue.cancel(handle pgqueue.handle, grace interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.cancel(handle pgqueue.handle, grace interval) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.detach(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.detach(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.enqueue(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, keep_result boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.enqueue(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, keep_result boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.enqueue_many(sql text[], params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_keys text[], label text, durability text, keep_result boolean, rows text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.enqueue_many(sql text[], params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_keys text[], label text, durability text, keep_result boolean, rows text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.enqueue_trigger() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.enqueue_trigger() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.enroll(role regrole) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.enroll(role regrole) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.get_progress(handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.get_progress(handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.install_compat(version text, schema text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue.launch(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.launch(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.pause(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.pause(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.progress(pct integer, msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.progress(pct integer, msg text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.redrive(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.redrive(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.reset_stats() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.reset_stats() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.result(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.result(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.resume(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.resume(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.send_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.send_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.set_durability(queue text, durability text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.set_durability(queue text, durability text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.statement(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.statement(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.submit(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.submit(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.task_result(task_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.task_result(task_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.task_result(task_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue.unenroll(role regrole) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.unenroll(role regrole) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.uninstall_compat(schema text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue.wait(handle pgqueue.handle, timeout interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.wait(handle pgqueue.handle, timeout interval) TO pgqueue_user;

GRANT INSERT(exchange) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(routing_key) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(payload) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(priority) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(due_at) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(expires_at) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT SELECT(reached) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.jobs TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.jobs TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.jobs TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.jobs TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.migration TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.migration TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.migration TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.migration TO pgqueue_admin;

GRANT SELECT(id) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT SELECT(cookie),INSERT(cookie) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(session_id) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(due_at) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(expires_at) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(kind) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(state) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(kept) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(priority) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(max_attempts) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(queue) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(sql) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(params) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(settings) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(timeout) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(backoff) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(label) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT SELECT(unique_key),INSERT(unique_key) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(payload) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_key TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_seal TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_session_seal TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_session TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_settings TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_statement TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.queues TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.queues TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.queues TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.queues TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.quotas TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.quotas TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.quotas TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.quotas TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.sent_listener TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.stats TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.stats TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.stats TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.stats TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.stats_total TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.stats_total TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.stats_total TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.stats_total TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.workers TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.workers TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.workers TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.workers TO pgqueue_admin;
