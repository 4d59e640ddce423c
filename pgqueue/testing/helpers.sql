-- The functions of the test kit, in databases for tests only: an installation never makes them.
--
-- They run as the role that installed pgqueue, and any role may call them. So one session of a test can look at the queue and
-- play a worker in its own open transaction, whatever role it has.

create schema if not exists pgqueue_testing;
grant usage on schema pgqueue_testing to public;

create or replace function pgqueue_testing.is_own(xmin xid)
  returns boolean
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  -- The transaction of a row that is visible and still in progress is this one. The number of this transaction gives the epoch.
  select case when pg_current_xact_id_if_assigned() is null then false
              else pg_xact_status((pg_current_xact_id_if_assigned()::text::bigint >> 32 << 32 | xmin::text::bigint)::text::xid8) = 'in progress' end
$$;
comment on function pgqueue_testing.is_own(xid) is 'Whether the open transaction of this session has written a row that it sees';

create or replace function pgqueue_testing.waiting()
  returns table (id bigint, kind text, queue text, state text, priority int, label text, due_at timestamptz, submitter text, sql text, params text[],
                 message json, is_own boolean)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  -- Celery's remote control and its events are no work of an application.
  select m.id, m.kind::text, m.queue, m.state::text, m.priority, m.label, m.due_at, pg_get_userbyid(m.submitter)::text, m.sql, m.params, m.payload,
         pgqueue_testing.is_own(m.xmin)
  from pgqueue.message m
  where m.queue !~ '[.]pidbox$|^celeryev[.]'
  order by m.id
$$;
comment on function pgqueue_testing.waiting() is 'The jobs and tasks that have not ended';

create or replace function pgqueue_testing.register()
  returns int
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  select pgqueue._register_worker('pgqueue.testing', 1)
$$;
comment on function pgqueue_testing.register() is 'Makes this session a worker';

create or replace function pgqueue_testing.consume(worker_id int, queues text[])
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  select pgqueue._set_worker_queues(worker_id, queues)
$$;
comment on function pgqueue_testing.consume(int, text[]) is 'Records which queues the worker consumes: what a job waits for is claimed only from these';

create or replace function pgqueue_testing.unregister(worker_id int)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._unregister_worker(worker_id);
  perform pg_advisory_unlock(pgqueue._lock_class('worker'), worker_id);
end
$$;
comment on function pgqueue_testing.unregister(int) is 'Ends the worker of this session';

create or replace function pgqueue_testing.claim(worker_id int, wanted text, queues text[])
  returns table (id bigint, token bigint, kind text, queue text, earlier_deliveries int, lane text, document json, sql text, label text, submitter text)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  claimed record;
begin
  for claimed in
    select c.* from pgqueue._ack_and_claim(claim.worker_id, '{}', '{}', json_build_array(json_build_object('kind', wanted, 'queues', claim.queues, 'room', 1))::jsonb) c
    where c.id is not null
  loop
    -- This is a statement of its own, which sees the claim.
    return query
    select m.id, m.token, m.kind::text, m.queue, claimed.earlier_deliveries, claimed.lane::text,
           case m.kind when 'task' then m.payload else pgqueue._running_message(m.id, m.token) -> 'headers' -> 'job' end,
           m.sql, m.label, pg_get_userbyid(m.submitter)::text
    from pgqueue.message m where m.id = claimed.id and m.token = claimed.token;
  end loop;
end
$$;
comment on function pgqueue_testing.claim(int, text, text[]) is
  'Claims one message as a worker does (pgqueue._ack_and_claim), and returns it in full, in whichever lane it runs';

create or replace function pgqueue_testing.settle(id bigint, token bigint, verdict text)
  returns int
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  select case verdict when 'ack' then pgqueue._ack(array[id], array[token])
                      when 'fail' then pgqueue._ack(array[id], array[token], array[id])
                      when 'reject' then pgqueue._reject(array[id], array[token])
                      else pgqueue._release(array[id], array[token], false) end
$$;
comment on function pgqueue_testing.settle(bigint, bigint, text) is 'Ends the claim of a task: ack, fail (an ack of one that has not succeeded), reject or requeue';

create or replace function pgqueue_testing.make_due(until timestamptz, queues text[], own_only boolean)
  returns timestamptz
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  next_at timestamptz := (
    select min(m.due_at) from pgqueue.message m
    where m.state = 'delayed' and m.due_at <= until and m.queue = any (queues) and (pgqueue_testing.is_own(m.xmin) or not own_only));
begin
  -- The due time stays as it is: the history shows it.
  update pgqueue.message m set state = 'ready'
  where m.state = 'delayed' and m.due_at <= next_at and m.queue = any (queues) and (pgqueue_testing.is_own(m.xmin) or not own_only);
  return next_at;
end
$$;
comment on function pgqueue_testing.make_due(timestamptz, text[], boolean) is
  'Makes those delayed messages ready that are due next, if that is not after an instant; returns when they would have been due';

create or replace function pgqueue_testing.error_of(id bigint)
  returns json
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce((select h.error from pgqueue.history h where h.id = error_of.id), (select m.last_error from pgqueue.message m where m.id = error_of.id))::json
$$;
comment on function pgqueue_testing.error_of(bigint) is 'The error of a job that has failed or will be tried again';

create or replace function pgqueue_testing.clear()
  returns bigint
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  with gone as (delete from pgqueue.message m returning m.id) select count(*) from gone
$$;
comment on function pgqueue_testing.clear() is 'Deletes all that is queued, and returns how much that was';

-- The session of a test plays a worker, and its login is the application's. Elsewhere such a login may observe, but not run jobs.
create or replace function pgqueue._is_worker_login()
  returns boolean
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select true
$$;
comment on function pgqueue._is_worker_login() is 'Of a database for tests: any login may play a worker';
