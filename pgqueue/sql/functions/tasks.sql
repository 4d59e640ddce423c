-- after: task_results, queues, dead_letters, send_task
-- Celery tasks as the queue and the stored results show them, and tasks that are sent again.

create or replace function pgqueue._task_document(content_type text, payload bytea)
  returns jsonb
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  document jsonb;
begin
  if content_type = 'application/json' then
    document := convert_from(payload, 'UTF8')::jsonb;
  end if;
  return case when jsonb_typeof(document) = 'object' then document end;
exception when data_exception or untranslatable_character or character_not_in_repertoire or program_limit_exceeded or statement_too_complex then
  return null;  -- The document is compressed, nests too deeply, or has values that jsonb cannot hold: NUL characters, infinite numbers.
end
$$;
comment on function pgqueue._task_document(text, bytea) is 'A stored result as Celery has written it; NULL: PostgreSQL cannot read it';
grant execute on function pgqueue._task_document(text, bytea) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
grant execute on function pgqueue._text_in(json, text[]), pgqueue._task_name(json), pgqueue._state_rank(text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace view pgqueue.tasks with (security_barrier) as
  with me as materialized (
    select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member') as sees_all,
           pg_has_role('pgqueue_worker', 'member') as reads_errors
  )
  select pgqueue._text_in(m.payload, '{headers,id}') as task_id, pgqueue._task_name(m.payload) as name,
         case when m.queue like '%.dead' then 'FAILURE' when m.state = 'claimed' then 'RECEIVED' when m.redelivered then 'RETRY' else 'PENDING' end as state,
         m.queue, m.launched_at as sent_at, null::timestamptz as started_at, null::timestamptz as ended_at,
         (select w.name from pgqueue.worker w where w.id = m.worker_id) as worker, null::text as error
  from (select k.*, coalesce(pgqueue._text_in(k.payload, '{headers,retries}'), '0') <> '0' as redelivered from pgqueue.message k where k.kind = 'task') m
  where pgqueue._text_in(m.payload, '{headers,task}') is not null and ((select me.sees_all from me) or pg_has_role(m.submitter, 'member'))
  union all
  -- A result has no owner: every role that knows the id of a task may read it, and only operators may list them.
  select r.task_id, left(r.document ->> 'name', 255), r.state, r.document ->> 'queue', null,
         (select min(s.stored_at) from pgqueue.task_result s where s.task_id = r.task_id and s.state = 'STARTED'),
         case when pgqueue._state_rank(r.state) > 0 then r.stored_at end, r.document ->> 'worker',
         case when r.state in ('FAILURE', 'REVOKED')
           then concat(r.document #>> '{result,exc_type}',
                       case when (select me.reads_errors from me) then ': ' || left(coalesce(r.document #>> '{result,exc_message,0}', r.document #>> '{result,exc_message}'), 1000) end) end
  from (
    select distinct on (t.task_id) t.task_id, t.state, t.stored_at, pgqueue._task_document(t.content_type, t.payload) as document
    from pgqueue.task_result t
    where t.expires_at > clock_timestamp() and (select me.sees_all from me)
    order by t.task_id, pgqueue._state_rank(t.state) desc, case when t.state = 'SUCCESS' then t.stored_at end, t.stored_at desc
  ) r
  where pgqueue._state_rank(r.state) > 0
     or r.task_id not in (select i.id from (select pgqueue._text_in(m.payload, '{headers,id}') as id from pgqueue.message m where m.kind = 'task') i where i.id is not null);
comment on view pgqueue.tasks is
  'Celery tasks that are in a queue or have a stored result. A role sees the tasks in queues that it has sent; monitors, workers and administrators see all, and the results. Names, queues and workers of results are known with result_extended';
comment on column pgqueue.tasks.task_id is 'The id of the task';
comment on column pgqueue.tasks.name is 'The name under which the task is registered. NULL: only a result is left, without result_extended or not in JSON';
comment on column pgqueue.tasks.state is 'Celery''s state: of a task in a queue PENDING, RETRY, RECEIVED (a worker has it) or FAILURE (a dead letter); otherwise that of its result';
comment on column pgqueue.tasks.queue is 'The queue of the task. NULL: as for name';
comment on column pgqueue.tasks.sent_at is 'When the message was sent. NULL: the message is no longer in a queue';
comment on column pgqueue.tasks.started_at is 'When the task began. NULL: it has not, or the application does not set task_track_started';
comment on column pgqueue.tasks.ended_at is 'When the task ended. NULL: it has not ended';
comment on column pgqueue.tasks.worker is 'The worker that has or had the task. NULL: none is known';
comment on column pgqueue.tasks.error is 'The type of the exception of a task that failed or was revoked; for members of pgqueue_worker also its first message. NULL: no error';
grant select on pgqueue.tasks to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue.retry_task(task_id text)
  returns text
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  found_result record;
  document jsonb;
begin
  select r.state, pgqueue._task_document(r.content_type, r.payload) as document into found_result
  from pgqueue._task_results(array[retry_task.task_id]) r (id, state, content_type, stored_at, payload);
  if not found then
    raise exception 'no result of task "%" is known', retry_task.task_id using errcode = '42704', hint = 'It has not ended, its result was ignored or has expired, or there is no such task.';
  elsif found_result.state not in ('FAILURE', 'REVOKED') then
    raise exception 'task "%" did not fail, it is %', retry_task.task_id, found_result.state using errcode = '55000', hint = 'Only a task that failed or was revoked is sent again.';
  end if;
  document := found_result.document;
  if document ->> 'name' is null or jsonb_typeof(document -> 'args') is distinct from 'array' or jsonb_typeof(document -> 'kwargs') is distinct from 'object' then
    raise exception 'the result of task "%" does not say how it was called', retry_task.task_id
      using errcode = '55000', hint = 'Let the application set result_extended = True and serialize results as JSON, and send this task again yourself.';
  end if;
  return pgqueue.send_task(document ->> 'name', document -> 'args', document -> 'kwargs', coalesce(document ->> 'queue', 'celery'),
                           headers => jsonb_build_object('retried_from', retry_task.task_id), limit_key => document ->> 'limit_key');
end
$$;
comment on function pgqueue.retry_task(text) is
  'Sends a Celery task again that failed or was revoked, with the name, arguments, queue and limit key of its result, as the caller. Returns the id of the new task, whose header retried_from names the old one. The application needs result_extended';
grant execute on function pgqueue.retry_task(text) to pgqueue_user;
