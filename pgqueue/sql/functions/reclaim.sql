-- Messages of workers that are gone become ready again.

create or replace function pgqueue._reclaim_grace()
  returns interval
  language sql immutable
begin atomic
  select interval '1 s';
end;
comment on function pgqueue._reclaim_grace() is
  'How long a process whose session was found gone may take to register again, before other workers may have its running tasks';

create or replace function pgqueue._reclaim(max_deliveries int)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
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
  -- It is one statement, whose snapshot is older than its reading of pg_locks, and a worker takes its lock before it claims. So a
  -- claim without a lock is a dead worker's, and a worker that registers meanwhile is not among them.
  update pgqueue.worker w
  set lost_at = clock_timestamp()
  where w.id = any (array(
    select g.id from pgqueue.worker g
    where g.lost_at is null
      and not exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = g.id and l.pid = g.pid)
    for update of g skip locked));
  select array_agg(distinct c.worker_id) into lost
  from (
    -- A live process that lost only its session registers again at once, and keeps its running tasks.
    select w.id as worker_id from pgqueue.worker w where w.lost_at < clock_timestamp() - pgqueue._reclaim_grace()
    union all
    -- A worker keeps its row while it has claims, except one that ends while it claims. So from time to time all claims are read,
    -- including the many finished ones that a held snapshot keeps.
    select m.worker_id from pgqueue.message m
    where m.state = 'claimed' and is_thorough and not exists (select from pgqueue.worker w where w.id = m.worker_id)
  ) c;
  if lost is null then
    return 0;
  end if;
  -- The transaction of a running job has locked its row, which is skipped until that has ended. A job that has run since its
  -- claim was locked by another transaction than the claim's. The other jobs are not the cause of the loss, no more than messages
  -- that no worker had claimed.
  for found_claim in
    select m as message, m.xmax::text not in ('0', m.xmin::text) as has_begun
    from pgqueue.message m where m.state = 'claimed' and m.worker_id = any (lost) for update skip locked
  loop
    held := found_claim.message;
    has_begun := found_claim.has_begun or held.kind = 'task';
    -- The job was claimed under a number that its process no longer has, and began outside a transaction: it continues there.
    select s.id into living_id
    from pgqueue.worker w join pgqueue.worker s on s.id = w.successor and s.lost_at is null
    where w.id = held.worker_id and held.kind = 'job' and exists (select from pgqueue.activity a where a.id = held.id and a.token = held.token);
    if found then
      update pgqueue.message r set worker_id = living_id where r.id = held.id;
      continue;
    end if;
    if held.kind = 'job' and pgqueue._is_given_up(held.id, pgqueue._max_attempts(held)) then
      perform pgqueue._give_up(held, jsonb_build_object('sqlstate', '08006', 'message', format('lost connection to the session of job %s', held.id)));
    elsif held.kind = 'job' and has_begun
      and held.deliveries - coalesce((select l.acquittals from pgqueue.lost_session l where l.id = held.id), 0)
          >= coalesce(pgqueue._configured_for_queue(held.queue, held.submitter, 'max_deliveries')::int, max_deliveries)
    then
      perform pgqueue._fail_for_good(held, jsonb_build_object(
        'sqlstate', '08006', 'message', format('lost connection to the worker of job %s %s times', held.id, held.deliveries),
        'hint', 'The job seems to end the worker or the server. It was given up.'));
    elsif held.acked then
      delete from pgqueue.message d where d.id = held.id;  -- Celery acked it before it ran: it is lost with its worker, as without limits.
      perform pgqueue._end_member(held);
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
  -- The session may have covered other idle workers, and can no longer notify them.
  perform pgqueue._hand_over(q), pgqueue._promote_followers('task', q, 1), pgqueue._promote_followers('job', q, 1)
  from (select distinct unnest(w.queues) from pgqueue.worker w where w.id = any (lost)) l (q);
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
comment on function pgqueue._reclaim(int) is
  'Makes the messages of lost workers ready again; a job that was lost too often fails, such a task becomes a dead letter';
