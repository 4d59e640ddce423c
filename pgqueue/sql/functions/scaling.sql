-- after: worker
-- How many executors workers are asked to have.

create or replace function pgqueue.scale(worker text default null, executors int default null, queue text default null)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  told text[];
  processes int;
begin
  if num_nonnulls(worker, queue) <> 1 then
    raise exception '%', case when worker is null then 'neither a worker nor a queue is named' else 'a worker and a queue are named' end
      using errcode = '22023', hint = 'Name one of them: pgqueue.scale(''celery@host'', 8) or pgqueue.scale(queue => ''default'', executors => 8).';
  elsif executors not between 1 and 1000 then
    raise exception 'executors % is out of range', executors
      using errcode = '22023', hint = 'It is 1 to 1000; NULL gives back the worker''s own number. To stop a queue, call pgqueue.pause.';
  end if;
  select coalesce(array_agg(w.name), '{}'), count(*) into told, processes
  from pgqueue.worker w
  -- An observer has no executors.
  where w.lost_at is null and w.executors > 0 and case when scale.queue is null then w.name = scale.worker else scale.queue = any (w.queues) end;
  -- A request for a worker that is away can be taken back.
  if processes = 0 and not (executors is null and exists (select from pgqueue.scale_request r where r.worker = scale.worker)) then
    if queue is null then
      raise exception 'worker "%" is not known', worker using errcode = '42704', hint = 'The view pgqueue.workers lists the workers and their queues.';
    end if;
    raise exception 'no worker takes from queue "%"', queue using errcode = '42704', hint = 'The view pgqueue.workers lists the workers and their queues.';
  end if;
  if executors is null then
    delete from pgqueue.scale_request r where r.worker = scale.worker or r.worker = any (told);
  else
    -- In the order of their names, so that two calls wait for each other in no circle.
    insert into pgqueue.scale_request as r (worker, executors)
    select distinct t.name, scale.executors from unnest(told) t (name) order by 1
    on conflict on constraint scale_request_pkey do update
    set executors = excluded.executors, requested_at = clock_timestamp(), missing_since = null;
  end if;
  return processes;
end
$$;
comment on function pgqueue.scale(text, int, text) is
  'Asks a worker, or all workers that take from a queue now, to have so many executors: to run so many SQL jobs at the same time. They obey within a naptime, stop no job for it, and have the number after a restart under the same name as well. executors NULL: each has its own number again. Returns how many workers are asked';
grant execute on function pgqueue.scale(text, int, text) to pgqueue_admin;

create or replace function pgqueue._wanted_executors(worker_id int)
  returns int
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  select r.executors from pgqueue.worker w join pgqueue.scale_request r on r.worker = w.name where w.id = worker_id;
end;
comment on function pgqueue._wanted_executors(int) is 'How many executors a worker is asked to have; NULL: its own number';

create or replace function pgqueue._forget_scale_requests()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  update pgqueue.scale_request r
  set missing_since = case when r.missing_since is null then clock_timestamp() end
  where r.worker = any (array(
    select s.worker from pgqueue.scale_request s
    where (s.missing_since is null) <> exists (select from pgqueue.worker w where w.name = s.worker)
    for update skip locked));
  delete from pgqueue.scale_request r
  where r.worker = any (array(
    select s.worker from pgqueue.scale_request s where s.missing_since < clock_timestamp() - interval '7 days' for update skip locked));
end
$$;
comment on function pgqueue._forget_scale_requests() is 'Deletes requests for workers that have not been there for 7 days, such as containers with a name for each start';
