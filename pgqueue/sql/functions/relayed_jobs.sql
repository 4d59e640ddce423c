-- SQL jobs of a relay: it holds their claims and sends wake-ups, and the worker that gets a wake-up takes the claim over.
--
-- The token of a claim is the handle in the wake-up: valid for one job, once, and until the relay gives the claim up.

create or replace function pgqueue._take_over_job(worker_id int, job_id bigint, claim bigint)
  returns table (id bigint, token bigint, message json, lane pgqueue.lane)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  m pgqueue.message;
begin
  perform pgqueue._require_own_worker(_take_over_job.worker_id);
  if not exists (select from pgqueue.worker w where w.id = _take_over_job.worker_id and w.lost_at is null) then
    raise exception 'worker % is no longer registered', _take_over_job.worker_id using errcode = 'PQ003', hint = 'Register again.';
  end if;
  -- Another copy of the wake-up that is taking the job over has locked it, and so has the run of a job that another job waits for.
  select q.* into m from pgqueue.message q
  where q.id = job_id and q.token = claim and q.kind = 'job' and q.state = 'claimed'
    and exists (select from pgqueue.worker r where r.id = q.worker_id and r.relays_jobs)
  for update skip locked;
  if not found then
    return;
  end if;
  if exists (select from pgqueue.queue_switch s where s.name = m.queue and s.paused) then
    -- The relay claims it again when the queue is resumed, and sends another wake-up.
    perform pgqueue._release(array[m.id], array[m.token], true);
    return;
  end if;
  update pgqueue.message q set token = pgqueue._random_bigint(), worker_id = _take_over_job.worker_id where q.id = m.id
  returning q.* into m;
  return query select j.* from pgqueue._claimed_job(m) j;
  update pgqueue.worker w set queues = w.queues || m.queue where w.id = _take_over_job.worker_id and m.queue <> all (w.queues);
end
$$;
comment on function pgqueue._take_over_job(int, bigint, bigint) is
  'Gives a worker the claim that a relay has on a job; no row if the relay has it no more. claim: the token of the wake-up. The row is that of pgqueue._claimed_job';
grant execute on function pgqueue._take_over_job(int, bigint, bigint) to pgqueue_worker;

create or replace function pgqueue._kept_jobs(ids bigint[], tokens bigint[])
  returns table (id bigint, priority int)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
  -- A generic plan is forced, so the table is read by index even after it has grown.
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  select m.id, m.priority::int from pgqueue.message m, unnest(ids, tokens) k (id, token) where m.id = k.id and m.token = k.token
$$;
comment on function pgqueue._kept_jobs(bigint[], bigint[]) is
  'Which of these claims are still valid, with the priorities of their messages: the others were taken over, given back, or have ended';
grant execute on function pgqueue._kept_jobs(bigint[], bigint[]) to pgqueue_worker;

create or replace function pgqueue._run_ending(id bigint)
  returns pgqueue.ending
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce((select 'released' from pgqueue.message m where m.id = _run_ending.id),
                  (select h.state::text from pgqueue.history h where h.id = _run_ending.id and h.ended_at > clock_timestamp() - interval '1 hour' limit 1),
                  'gone')::pgqueue.ending
$$;
comment on function pgqueue._run_ending(bigint) is
  'How a run of a job ended a moment ago of which the worker knows only that it is over: the state of the job, released if it is in the queue, gone if nothing is known of it';
grant execute on function pgqueue._run_ending(bigint) to pgqueue_worker;
