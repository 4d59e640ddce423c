-- after: sql_steps, execution
-- SQL jobs that are Celery tasks: the message of a task becomes a job, and the end of the job a message that tells Celery the outcome.
--
-- The id of the task decides: it makes one job, and Celery gets its outcome once, although workers die and messages come more than once.

create or replace function pgqueue._start_sql_task(id bigint, token bigint, step jsonb, previous text)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
  role oid;
  options pgqueue.job_options;
  letter jsonb;
  new_id bigint;
  max_bytes constant int := 60000000;
begin
  -- The end of the message waits for the commit, or comes first: in a batch, the job takes its place.
  select * into m from pgqueue.message q where q.id = _start_sql_task.id and q.token = _start_sql_task.token and q.kind = 'task' for key share;
  if not found then
    return 'gone';
  end if;
  role := pgqueue._sealed_by(step);
  if role is null then
    raise exception 'no role has sealed this SQL step'
      using errcode = '42501', hint = 'Make it with pgqueue.sql() in the program that sends it. A step that was changed, or whose role is not enrolled any more, does not run.';
  end if;
  perform pgqueue._require_login(role);
  perform pgqueue._check_step(step - '{settings,seal}'::text[]);
  -- A message that could not be sent again at the end of the job is refused now: jsonb must hold it, and its outcome needs room.
  letter := m.payload::jsonb #- '{properties,expiration}';
  letter := letter || jsonb_build_object('headers', (letter -> 'headers') || '{"expires": null, "eta": null}');
  if octet_length(letter::text) > max_bytes then
    raise exception 'message of an SQL step has more than 60 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  end if;
  insert into pgqueue.sql_task (task_id, result, payload) values (letter #>> '{headers,id}', step ->> 'result', letter)
  on conflict do nothing;
  if not found then
    return 'known';  -- Another copy of the message has made the job.
  end if;
  options := pgqueue._step_options(step, m.queue, m.priority);
  options.timeout := coalesce(options.timeout, pgqueue._inherited_timeout(step -> 'settings'));
  if pgqueue._is_traceparent(letter #>> '{headers,traceparent}') then
    options.traceparent := letter #>> '{headers,traceparent}';
  end if;
  insert into pgqueue.inbox (submitter, cookie, expires_at, kind, kept, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label, limit_key)
  values (role, pgqueue._random_bigint(), m.expires_at, 'job', 'task', m.priority, options.max_attempts, m.queue, step ->> 'sql',
          pgqueue._step_params(step, previous), pgqueue._settings_of_job(step -> 'settings', options), options.timeout, options.backoff, options.label, m.limit_key)
  returning inbox.id into new_id;
  update pgqueue.sql_task t set job_id = new_id where t.task_id = letter #>> '{headers,id}';
  if m.is_member then
    perform pgqueue._continue_member(m.id, new_id);
  end if;
  perform pgqueue._wake(m.queue);
  return 'started';
end
$$;
comment on function pgqueue._start_sql_task(bigint, bigint, jsonb, text) is
  'Makes a job of a claimed task, as the role that has sealed its step. started; known: the id of the task has made a job before; gone: the claim is lost. previous: the result of the step before, as JSON. For workers';
grant execute on function pgqueue._start_sql_task(bigint, bigint, jsonb, text) to pgqueue_worker;

create or replace function pgqueue._end_sql_task(m pgqueue.message, outcome jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  letter jsonb := (select t.payload from pgqueue.sql_task t where t.job_id = m.id and t.ended_at is null for update);
begin
  if letter is null then
    return;  -- The job runs again (pgqueue.retry): Celery has had the outcome of the first time.
  end if;
  outcome := outcome || jsonb_build_object('seal', (select pgqueue._outcome_seal(k.seal_key, letter #>> '{headers,id}') || ':' || pg_get_userbyid(k.role)
                                                    from pgqueue.role_key k where k.role = m.submitter));
  letter := jsonb_set(letter, '{headers,pgqueue_outcome}', outcome);
  insert into pgqueue.inbox (submitter, queue, kind, priority, payload) values (m.submitter, m.queue, 'task', m.priority, letter::json);
  perform pgqueue._wake(m.queue);
  update pgqueue.sql_task t set ended_at = clock_timestamp(), payload = null, result = null where t.job_id = m.id and t.ended_at is null;
end
$$;
comment on function pgqueue._end_sql_task(pgqueue.message, jsonb) is
  'In the transaction in which a job ends that is a Celery task: sends the message of the task once more, with the outcome. A worker of the queue tells Celery';

create or replace function pgqueue._fail_sql_task(m pgqueue.message, state pgqueue.job_state, error jsonb)
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  select pgqueue._end_sql_task(m, jsonb_build_object(
    'state', case state when 'failed' then 'FAILURE' else 'REVOKED' end,
    'error', jsonb_build_object('sqlstate', error -> 'sqlstate', 'message', error -> 'message', 'detail', error -> 'detail', 'hint', error -> 'hint')))
$$;
comment on function pgqueue._fail_sql_task(pgqueue.message, pgqueue.job_state, jsonb) is 'pgqueue._end_sql_task for a job that failed, was canceled or has expired';

create or replace function pgqueue._json_value(type oid, value text)
  returns jsonb
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  -- Only PostgreSQL's own types are read: this runs as the owner, and the input of another type, or the check of a domain, may call
  -- code of others.
  select case
    when value is null then 'null'
    when type = 'bool'::regtype then to_jsonb(value::bool)
    when type in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'oid'::regtype, 'float4'::regtype, 'float8'::regtype, 'numeric'::regtype) then to_jsonb(value::numeric)
    when type in ('json'::regtype, 'jsonb'::regtype) then value::jsonb
    when type = 'bool[]'::regtype then to_jsonb(value::bool[])
    when type in ('int2[]'::regtype, 'int4[]'::regtype, 'int8[]'::regtype, 'float4[]'::regtype, 'float8[]'::regtype, 'numeric[]'::regtype) then to_jsonb(value::numeric[])
    when type in ('text[]'::regtype, 'varchar[]'::regtype, 'uuid[]'::regtype) then to_jsonb(value::text[])
    else to_jsonb(value) end
$$;
comment on function pgqueue._json_value(oid, text) is
  'A value of a result as JSON: numbers, booleans, JSON and arrays of numbers, booleans and text as such, other types as the text that PostgreSQL prints';

create or replace function pgqueue._sql_task_value(result text, row_count bigint, columns jsonb, rows jsonb)
  returns jsonb
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  names text[];
  types oid[];
begin
  if result = 'none' then
    return 'null';
  elsif result = 'count' then
    return coalesce(to_jsonb(row_count), 'null');
  elsif columns is null then
    return case result when 'rows' then '[]' else 'null' end;
  elsif result = 'scalar' then
    return pgqueue._json_value((columns #>> '{0,oid}')::oid, rows #>> '{0,0}');
  end if;
  select array_agg(c ->> 'name' order by n), array_agg((c ->> 'oid')::oid order by n) into names, types from jsonb_array_elements(columns) with ordinality e (c, n);
  if (select count(distinct name) from unnest(names) name) < cardinality(names) then
    raise exception 'two columns of the result have the same name'
      using errcode = '42701', hint = 'The next step of the canvas gets each row by the names of its columns. Name them with AS.';
  end if;
  return coalesce((
    select jsonb_agg((select coalesce(jsonb_object_agg(names[v.n], pgqueue._json_value(types[v.n], v.value)), '{}')
                      from jsonb_array_elements_text(r.fields) with ordinality v (value, n)) order by r.n)
    from jsonb_array_elements(rows) with ordinality r (fields, n)), '[]');
end
$$;
comment on function pgqueue._sql_task_value(text, bigint, jsonb, jsonb) is 'What Celery gets of the result of a job: its rows, its first value, its number of rows, or nothing';

create or replace function pgqueue._complete_sql_task(m pgqueue.message, row_count bigint, columns jsonb, rows jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  result text := (select t.result from pgqueue.sql_task t where t.job_id = m.id and t.ended_at is null);
  value jsonb;
  max_bytes constant int := 16777216;
begin
  if result is null then
    delete from pgqueue.result r where r.id = m.id;
    return;  -- The job runs again (pgqueue.retry).
  end if;
  -- Of a large result all chunks but the first are in the table.
  if (select sum(octet_length(r.rows::text)) from pgqueue.result r where r.id = m.id and r.seq > 0) > 2 * max_bytes and result = 'rows' then
    perform pgqueue._refuse_large_value();
  end if;
  select _complete_sql_task.rows || coalesce(jsonb_agg(e order by r.seq, n), '[]') into rows
  from pgqueue.result r cross join lateral jsonb_array_elements(r.rows) with ordinality j (e, n)
  where r.id = m.id and r.seq > 0;
  value := pgqueue._sql_task_value(result, row_count, columns, rows);
  if octet_length(value::text) > max_bytes then
    perform pgqueue._refuse_large_value();
  end if;
  delete from pgqueue.result r where r.id = m.id;
  perform pgqueue._end_sql_task(m, jsonb_build_object('state', 'SUCCESS', 'value', value));
end
$$;
comment on function pgqueue._complete_sql_task(pgqueue.message, bigint, jsonb, jsonb) is 'pgqueue._end_sql_task for a job that succeeds, in its transaction: an error here fails the job';

create or replace function pgqueue._refuse_large_value()
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'result of the SQL step has more than 16 MB' using errcode = '54000', hint = 'Write the rows to a table and return what finds them, or ask for result="count" or "none".';
end
$$;
comment on function pgqueue._refuse_large_value() is 'Raises an error for a result that is too large for a message';

create or replace function pgqueue._tell_sql_task(task_id text, seal text, is_counted boolean)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Any role that knows the id of a task can send a message that names an outcome.
  if pgqueue._is_sealed_outcome(task_id, seal) is not true then
    return 'forged';
  end if;
  -- The row of the task may be gone by now (pgqueue._forget_sql_tasks).
  insert into pgqueue.sql_task as t (task_id, ended_at, told_at) values (_tell_sql_task.task_id, clock_timestamp(), clock_timestamp())
  on conflict on constraint sql_task_pkey do update set told_at = excluded.told_at where t.told_at is null;
  return case when found or is_counted then 'told' else 'known' end;
end
$$;
comment on function pgqueue._tell_sql_task(text, text, boolean) is
  'Records that Celery has the outcome of a task, in the transaction that stores the result and sends the next steps. known: it had it before, so this transaction must send nothing; is_counted: unless it is a member of a chord, which counts each once. forged: no job of this task has ended so. For workers';
grant execute on function pgqueue._tell_sql_task(text, text, boolean) to pgqueue_worker;

create or replace function pgqueue._refuse_sql_task(task_id text, is_counted boolean)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  insert into pgqueue.sql_task as t (task_id, ended_at, told_at) values (_refuse_sql_task.task_id, clock_timestamp(), clock_timestamp())
  on conflict do nothing;
  -- A task with a job has its outcome from that, whatever another message with its id contains.
  return case
    when found or is_counted and exists (select from pgqueue.sql_task t where t.task_id = _refuse_sql_task.task_id and t.job_id is null) then 'told'
    else 'known' end;
end
$$;
comment on function pgqueue._refuse_sql_task(text, boolean) is
  'pgqueue._tell_sql_task for a task of which no job was made, because its step is refused. known: Celery had the outcome before, or the task has a job. For workers';
grant execute on function pgqueue._refuse_sql_task(text, boolean) to pgqueue_worker;

create or replace function pgqueue._revoke_sql_tasks(task_ids text[], terminate boolean)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  job_id bigint;
  m pgqueue.message;
begin
  for job_id in select t.job_id from pgqueue.sql_task t where t.task_id = any (task_ids) and t.ended_at is null order by t.job_id loop
    -- A job that runs has locked its row, or its run is noted if it runs outside a transaction.
    select * into m from pgqueue.message q where q.id = job_id for update skip locked;
    if found and not exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token) then
      delete from pgqueue.message q where q.id = m.id;
      perform pgqueue._archive(m, 'canceled', '{"sqlstate": "57014", "message": "the task was revoked"}', null, null);
    elsif terminate then
      insert into pgqueue.request (id, kind) select q.id, 'cancel' from pgqueue.message q where q.id = job_id on conflict do nothing;
      -- The notification is only a hint: workers ask pgqueue._cancel_requests.
      perform pg_notify('pgqueue.w.' || q.worker_id, '') from pgqueue.message q where q.id = job_id and q.worker_id is not null;
    end if;
  end loop;
end
$$;
comment on function pgqueue._revoke_sql_tasks(text[], boolean) is
  'Cancels the jobs of Celery tasks that were revoked and whose jobs have not begun; terminate: those that run too. For workers';
grant execute on function pgqueue._revoke_sql_tasks(text[], boolean) to pgqueue_worker;

create or replace function pgqueue._forget_sql_tasks(ended_before timestamptz)
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  delete from pgqueue.sql_task t
  where t.task_id = any (array(select o.task_id from pgqueue.sql_task o where o.ended_at < ended_before order by o.ended_at limit 20000 for update skip locked))
$$;
comment on function pgqueue._forget_sql_tasks(timestamptz) is 'Deletes what is known of SQL tasks that ended before an instant';
