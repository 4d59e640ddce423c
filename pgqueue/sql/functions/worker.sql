-- after: locks, observers
-- Workers: registration, liveness, their queues, and their end.

create or replace function pgqueue._register_worker(name text, executors int, predecessor int default null, ids bigint[] default '{}', tokens bigint[] default '{}',
                                         begun bigint[] default '{}')
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  new_id int;
begin
  if pg_is_in_recovery() then
    raise exception 'the server is in recovery' using errcode = '57P03', hint = 'The worker waits until it accepts writes.';
  end if;
  perform pgqueue._require_home();
  if not pgqueue._is_worker_login() then
    if executors <> 0 then
      raise exception 'permission denied to run jobs' using errcode = '42501', hint = 'Let an administrator grant pgqueue_worker to the login of a worker.';
    elsif predecessor is not null then
      perform pgqueue._require_own_worker(predecessor);
    end if;
  end if;
  -- The lock comes first: a session that sees the row sees the lock. Any role can take advisory locks, so a number may be taken.
  loop
    new_id := nextval(pg_get_serial_sequence('pgqueue.worker', 'id'));
    exit when pg_try_advisory_lock(pgqueue._lock_class('worker'), new_id);
  end loop;
  insert into pgqueue.worker (id, name, pid, executors) overriding system value
  values (new_id, _register_worker.name, pg_backend_pid(), _register_worker.executors);
  -- This comes first: messages claimed for the old number from now on are not seen below, and are left to pgqueue._reclaim.
  update pgqueue.worker w set lost_at = '-infinity', successor = new_id
  where w.id = _register_worker.predecessor or w.successor = _register_worker.predecessor;
  -- Running tasks get the new number before any session can find the old session gone without finding this row. The process has
  -- forgotten the rest, which becomes ready at once. Tasks that it had not begun count as not delivered; for jobs, their rows
  -- show that (pgqueue._reclaim).
  update pgqueue.message m
  set worker_id = new_id
  from unnest(_register_worker.ids, _register_worker.tokens) kept (id, token)
  where m.id = kept.id and m.token = kept.token;
  -- Jobs with an open transaction need no change: their rows are locked until they end. Jobs that run outside a transaction hold
  -- no lock.
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
comment on function pgqueue._register_worker(text, int, int, bigint[], bigint[], bigint[]) is
  'Registers this session as a worker: its claims become free soon after the session is gone. predecessor: the previous number of the process; ids, tokens: the claims of the predecessor that it keeps; begun: the tasks of the predecessor that it had begun';
grant execute on function pgqueue._register_worker(text, int, int, bigint[], bigint[], bigint[]) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._keep_claims(worker_id int, ids bigint[], begun bigint[])
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  released int;
begin
  perform pgqueue._require_own_worker(worker_id);
  select pgqueue._release_sorted(array_agg(m.id), array_agg(m.token), array_agg(m.has_begun)) into released
  from (
    select q.id, q.token, case q.kind when 'job' then q.xmax::text not in ('0', q.xmin::text) else q.id = any (_keep_claims.begun) end as has_begun
    from pgqueue.message q
    where q.state = 'claimed' and q.worker_id = _keep_claims.worker_id and q.id <> all (ids)
      -- The worker may have claimed a job that runs outside a transaction for a job that waits for it.
      and not exists (select from pgqueue.activity a where a.id = q.id and a.token = q.token)
    -- The transaction of a running job has locked its row: the job stays this worker's, and this does not wait for it.
    for update skip locked
  ) m
  having count(*) > 0;
  return coalesce(released, 0);
end
$$;
comment on function pgqueue._keep_claims(int, bigint[], bigint[]) is
  'Makes all other messages of a worker ready again: after an error it may hold messages that it does not know of. begun: the tasks that it has begun and forgotten';
grant execute on function pgqueue._keep_claims(int, bigint[], bigint[]) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._set_worker_executors(worker_id int, executors int)
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  update pgqueue.worker w set executors = _set_worker_executors.executors where w.id = worker_id and pgqueue._is_worker_login();
end;
comment on function pgqueue._set_worker_executors(int, int) is
  'Records how many jobs a worker can run at the same time, which changes when its pool is scaled';
grant execute on function pgqueue._set_worker_executors(int, int) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._set_worker_kinds(worker_id int, kinds pgqueue.message_kind[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._require_own_worker(worker_id);
  update pgqueue.worker w set kinds = _set_worker_kinds.kinds where w.id = worker_id;
end
$$;
comment on function pgqueue._set_worker_kinds(int, pgqueue.message_kind[]) is
  'Records that a worker claims messages of these kinds only';
grant execute on function pgqueue._set_worker_kinds(int, pgqueue.message_kind[]) to pgqueue_worker;

create or replace function pgqueue._set_worker_targets(worker_id int, targets text[], has_jobs boolean)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._require_own_worker(worker_id);
  update pgqueue.worker w set relays_to = targets, relays_jobs = has_jobs where w.id = worker_id;
end
$$;
comment on function pgqueue._set_worker_targets(int, text[], boolean) is
  'Records that a worker is a relay, the brokers to which it sends, and whether it sends wake-ups for SQL jobs';
grant execute on function pgqueue._set_worker_targets(int, text[], boolean) to pgqueue_worker;

create or replace function pgqueue._set_worker_queues(worker_id int, queues text[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  dropped text[];
  taken text;
begin
  perform pgqueue._require_own_worker(worker_id);
  perform pgqueue._require_observable(queues);
  -- The row is locked, so that of two processes that begin at the same time the second sees the first.
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
comment on function pgqueue._set_worker_queues(int, text[]) is
  'Records which queues a worker consumes. An exclusive queue has one consuming process only. Auto-delete queues that lose their last consumer are deleted';
grant execute on function pgqueue._set_worker_queues(int, text[]) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._auto_delete(queues text[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._give_up_queue(q.declared_by, q.name) from pgqueue.queue q where q.name = any (queues) and (q.auto_delete or q.exclusive) order by q.declared_by;
end
$$;
comment on function pgqueue._auto_delete(text[]) is 'Deletes those of these queues that are auto-delete or exclusive and have no consumer';

create or replace function pgqueue._role_limit(out executors int, out has_others boolean)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  executors := nullif(pgqueue._worker_number('max_executors_per_role', 0, 0, 10000), 0);
  has_others := (select count(*) > 1 from (select from pgqueue.role_key k limit 2) k);
end
$$;
comment on function pgqueue._role_limit() is
  'How many executors of a worker one role may have (NULL: all but one), and whether more than one role is enrolled: otherwise the role may have all';
grant execute on function pgqueue._role_limit() to pgqueue_worker;

create or replace function pgqueue._unregister_worker(worker_id int, begun bigint[] default '{}')
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  queues text[];
begin
  perform pgqueue._require_own_worker(worker_id);
  -- Messages that a worker gives back in order and has not begun count as not delivered: otherwise restarts would make a dead
  -- letter of a task that waits in workers.
  perform pgqueue._release_sorted(array_agg(m.id), array_agg(m.token), array_agg(m.has_begun))
  from (
    select q.id, q.token, case q.kind when 'job' then q.xmax::text not in ('0', q.xmin::text) else q.id = any (begun) end as has_begun
    from pgqueue.message q
    where q.state = 'claimed' and q.worker_id = _unregister_worker.worker_id
    -- This does not wait for a running job: the next tick after its transaction has ended finds it.
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
  perform pgqueue._step_down(array_agg(k.kind), array_agg(q.name), 1) from unnest(queues) q (name), unnest(array['task', 'job']) k (kind);
  perform pgqueue._auto_delete(queues);
end
$$;
comment on function pgqueue._unregister_worker(int, bigint[]) is
  'Ends a worker: its messages become ready again, except running jobs, which the tick after their end finds. begun: the tasks that it has begun; only these count as delivered once more';
grant execute on function pgqueue._unregister_worker(int, bigint[]) to pgqueue_worker, pgqueue_admin;

create or replace view pgqueue.workers with (security_barrier) as
  select w.name as worker, w.started_at, w.last_seen_at,
         case when pg_is_in_recovery() then 'unknown'  -- A standby does not see the locks of the primary.
              when exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = w.id and l.pid = w.pid)
              then 'online' else 'lost' end as status,
         w.items_processed, w.last_run_at, w.executors,
         array(select a.id from pgqueue.activity a join pgqueue.message m on m.id = a.id and m.token = a.token
               where a.worker_id = w.id
                 and (pg_has_role(m.submitter, 'member')
                      or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member')))
               order by a.started_at) as running,
         case when (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member'))
              then w.queues end as queues,
         (select r.executors from pgqueue.scale_request r where r.worker = w.name) as wanted_executors,
         case when (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member'))
              then w.relays_to end as relays_to,
         case when w.relays_to is not null then w.relays_jobs end as relays_jobs
  from pgqueue.worker w;
comment on view pgqueue.workers is
  'Processes that consume: Celery workers, relays, and programs that listen to events or replies. running counts the running jobs that the role may see. queues and relays_to are shown to monitors, workers and administrators';
comment on column pgqueue.workers.worker is 'The name of the worker, as NAME@HOST; PID@HOST for a process that is not a Celery worker';
comment on column pgqueue.workers.started_at is 'When the process registered';
comment on column pgqueue.workers.last_seen_at is 'When its last heartbeat came; there is one every pgqueue.naptime';
comment on column pgqueue.workers.status is
  'online; lost: its session has ended; unknown: on a hot standby, which does not see the sessions of the primary';
comment on column pgqueue.workers.items_processed is 'How many messages it has finished since it registered';
comment on column pgqueue.workers.last_run_at is 'When it last finished messages. NULL: it has finished none';
comment on column pgqueue.workers.executors is 'How many SQL jobs it can run at the same time; 0: it runs none';
comment on column pgqueue.workers.running is 'The numbers of its running jobs that the role may see, the longest first';
comment on column pgqueue.workers.queues is
  'The queues from which it takes. NULL for roles other than monitors, workers and administrators';
comment on column pgqueue.workers.wanted_executors is
  'How many executors it is asked to have (pgqueue.scale); executors follows within a naptime. NULL: its own number';
comment on column pgqueue.workers.relays_to is
  'Of `pgqueue relay`: the brokers to which it sends, as NAME: URL without login and password. NULL for other processes, and for roles other than monitors, workers and administrators';
comment on column pgqueue.workers.relays_jobs is
  'Of `pgqueue relay`: whether it sends wake-ups for SQL jobs too. NULL for other processes';
grant select on pgqueue.workers to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
