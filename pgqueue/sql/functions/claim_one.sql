-- Claims of one job by its number, for an executor that runs it at once.

create or replace function pgqueue._claim_one(worker_id int, job_id bigint, is_delivery boolean)
  returns table (id bigint, token bigint, message json, lane pgqueue.lane)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  -- If a crash of the server loses a claim, the message is ready again, so the claim need not wait for the disk.
  perform set_config('synchronous_commit', 'off', true);
  return query
  with claimed as (
    update pgqueue.message m
    set state = 'claimed', token = pgqueue._random_bigint(), worker_id = _claim_one.worker_id,
        deliveries = least(m.deliveries + is_delivery::int, 32767),
        settings = case when p.is_async then '{"synchronous_commit": "off"}' || coalesce(m.settings, '{}') else m.settings end,
        queue_timeout = case when p.of_roles is null then p.timeout else pgqueue._role_timeout(p.of_roles, m.submitter) end
    from (select q.queue as name from pgqueue.message q where q.id = _claim_one.job_id) n cross join lateral pgqueue._claim_policy(n.name) p
    where m.id = _claim_one.job_id
    returning m as job
  )
  select j.* from claimed c cross join lateral pgqueue._claimed_job(c.job) j;
end
$$;
comment on function pgqueue._claim_one(int, bigint, boolean) is
  'Gives a worker a message whose row the caller has locked. is_delivery: it was not claimed yet. The row is that of pgqueue._claimed_job';

create or replace function pgqueue._claim_announced(worker_id int, queues text[], announced_id bigint)
  returns table (id bigint, token bigint, message json, lane pgqueue.lane)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  -- Any role can notify, so the number may be that of any message. Only pgqueue._claim decides which job of a queue with limits is next.
  perform from pgqueue.message m
  -- CASE, because an index of ready messages may look cheaper than the primary key, and is not where many are ready.
  where m.id = announced_id and case when m.state = 'ready' then m.kept <> 'none' and m.limit_key is null end
    and m.queue = any (_claim_announced.queues)
    and exists (select from pgqueue.worker w where w.id = _claim_announced.worker_id and w.lost_at is null)
    and not exists (select from pgqueue.queue_switch q where q.name = m.queue and q.paused)
    and not exists (select from pgqueue.limit_rule l where l.queue = m.queue)
  for update of m skip locked;
  if found then
    return query select * from pgqueue._claim_one(worker_id, announced_id, true);
  end if;
end
$$;
comment on function pgqueue._claim_announced(int, text[], bigint) is
  'Claims a job that pgqueue._announce has named, for a worker that knows of no other ready job of these queues. No row: another worker has it, or pgqueue._claim has to decide. The row is that of pgqueue._claimed_job';
grant execute on function pgqueue._claim_announced(int, text[], bigint) to pgqueue_worker;

create or replace function pgqueue._claim_awaited(waiter_id bigint, waiter_token bigint, awaited_id bigint)
  returns table (id bigint, token bigint, message json, lane pgqueue.lane)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  waiter pgqueue.message;
  living_id int;
  state pgqueue.message_state;
begin
  select m.* into waiter from pgqueue.message m where m.id = waiter_id and m.token = waiter_token and m.kind = 'job';
  if not found then
    return;
  end if;
  -- A job whose transaction is open keeps the number of its worker when that registers again, because its row is locked.
  living_id := (select coalesce(w.successor, w.id) from pgqueue.worker w where w.id = waiter.worker_id);
  -- This includes a job that a worker has claimed and not begun: all executors of that worker may be waiting for this one. That
  -- claim is then void, as if the worker had lost the message: its token is no longer valid.
  select m.state into state from pgqueue.message m
  where m.id = awaited_id and m.kind = 'job' and m.state in ('ready', 'claimed') and pg_has_role(waiter.submitter, m.submitter, 'member')
    and exists (select from pgqueue.worker w where w.id = living_id and m.queue = any (w.queues))
    and not exists (select from pgqueue.queue_switch q where q.name = m.queue and q.paused)
    -- One that waits for its limit goes on waiting: nothing here takes a place for it. One that was claimed has its place.
    and (m.state = 'claimed' or m.limit_key is null and not exists (select from pgqueue.limit_rule l where l.queue = m.queue))
    -- A job that runs outside a transaction locks no row.
    and not exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token)
  for update of m skip locked;
  if found then
    return query select * from pgqueue._claim_one(living_id, awaited_id, state = 'ready');
  end if;
end
$$;
comment on function pgqueue._claim_awaited(bigint, bigint, bigint) is
  'Claims a job for which a running job waits, for the worker of the running job, before other messages and also from a worker that has not begun it. The row is that of pgqueue._claimed_job';
grant execute on function pgqueue._claim_awaited(bigint, bigint, bigint) to pgqueue_worker;
