-- The claim of a job for which a running job waits.

create or replace function pgqueue._claim_awaited(waiter_id bigint, waiter_token bigint, awaited_id bigint)
  returns table (id bigint, token bigint, message json, lane pgqueue.lane)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  waiter pgqueue.message;
  living_id int;
begin
  select m.* into waiter from pgqueue.message m where m.id = waiter_id and m.token = waiter_token and m.kind = 'job';
  if not found then
    return;
  end if;
  -- A job whose transaction is open keeps the number of its worker when that registers again, because its row is locked.
  living_id := (select coalesce(w.successor, w.id) from pgqueue.worker w where w.id = waiter.worker_id);
  -- This includes a job that a worker has claimed and not begun: all executors of that worker may be waiting for this one. That
  -- claim is then void, as if the worker had lost the message: its token is no longer valid.
  return query
  with free as (
    select m.id, m.state from pgqueue.message m
    where m.id = awaited_id and m.kind = 'job' and m.state in ('ready', 'claimed') and pg_has_role(waiter.submitter, m.submitter, 'member')
      and exists (select from pgqueue.worker w where w.id = living_id and m.queue = any (w.queues))
      and not exists (select from pgqueue.queue_switch q where q.name = m.queue and q.paused)
      -- One that waits for its limit goes on waiting: nothing here takes a place for it. One that was claimed has its place.
      and (m.state = 'claimed' or m.limit_key is null and not exists (select from pgqueue.limit_rule l where l.queue = m.queue))
      -- A job that runs outside a transaction locks no row.
      and not exists (select from pgqueue.activity a where a.id = m.id and a.token = m.token)
    for update of m skip locked
  ), claimed as (
    update pgqueue.message m
    set state = 'claimed', token = pgqueue._random_bigint(), worker_id = living_id,
        deliveries = least(m.deliveries + (f.state = 'ready')::int, 32767),
        settings = case when exists (select from pgqueue.queue_switch q where q.name = m.queue and q.durability = 'async')
                        then '{"synchronous_commit": "off"}' || coalesce(m.settings, '{}') else m.settings end,
        queue_timeout = coalesce(pgqueue._configured_for_queue(m.queue, m.submitter, 'timeout'), pgqueue._configured_for_all('worker_timeout'))::interval
    from free f
    where m.id = f.id
    returning m as job
  )
  select j.* from claimed c cross join lateral pgqueue._claimed_job(c.job) j;
end
$$;
comment on function pgqueue._claim_awaited(bigint, bigint, bigint) is
  'Claims a job for which a running job waits, for the worker of the running job, before other messages and also from a worker that has not begun it. The row is that of pgqueue._claimed_job';
grant execute on function pgqueue._claim_awaited(bigint, bigint, bigint) to pgqueue_worker;
