-- Jobs and Celery tasks that wait for jobs. The transaction that ends a job deletes its rows in pgqueue.dependency, and releases or cancels what
-- waited for no other job. Nothing here waits for the transaction of a submitter, which may last.

create or replace function pgqueue._release_dependant(job_id bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  released record;
begin
  update pgqueue.message m
  set state = case when m.due_at > clock_timestamp() then 'delayed' else 'ready' end::pgqueue.message_state
  where m.id = job_id and m.state = 'waiting'
  returning m.queue, m.due_at into released;
  if found then
    perform pgqueue._wake_for(released.queue, case when released.due_at > clock_timestamp() then released.due_at end);
  end if;
end
$$;
comment on function pgqueue._release_dependant(bigint) is 'Queues a job or a task that has waited for others';

create or replace function pgqueue._settle_child(child bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
begin
  -- The end of another parent deletes its own row, so with that row locked here it comes after this transaction, sees what was
  -- deleted here, and decides. The newest one mostly ends last: so few finished rows are read, which an old snapshot may keep.
  perform from pgqueue.dependency d where d.child = _settle_child.child order by d.parent desc limit 1 for key share skip locked;
  if found then
    return;
  end if;
  -- No other parent is left, or each of them is ending now. Those take turns here, and the last one finds no row.
  perform from pgqueue.message m where m.id = _settle_child.child and m.state = 'waiting' for update;
  if found and not exists (select from pgqueue.dependency d where d.child = _settle_child.child) then
    perform pgqueue._release_dependant(_settle_child.child);
  end if;
end
$$;
comment on function pgqueue._settle_child(bigint) is 'After a parent of a waiting job has ended: releases the job if it waits for no other one';

create or replace function pgqueue._lock_with_dependants(ids bigint[])
  returns setof bigint
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  -- Sessions that end overlapping sets of jobs lock the same rows, also those of jobs that wait for jobs that wait. Each locks all that it
  -- may change at once, in the order of their numbers, so none waits for another that waits for it.
  return query
  with recursive affected (id, is_canceled) as (
    select u.id, true from unnest(ids) u (id)
    union
    select d.child, d.on_parent_failure = 'cancel' from affected a join pgqueue.dependency d on d.parent = a.id
    where a.is_canceled and d.on_parent_failure is not null
  )
  select m.id from pgqueue.message m where m.id = any (array(select a.id from affected a)) and m.state <> 'claimed' order by m.id for update;
end
$$;
comment on function pgqueue._lock_with_dependants(bigint[]) is
  'Locks those of these jobs that no worker has, and the jobs that are canceled or may be released with them. Returns what it has locked';

create or replace function pgqueue._cancel_dependants(ids bigint[], causes bigint[])
  returns bigint[]
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  found_job record;
  canceled bigint[] := '{}';
begin
  for found_job in
    select m as message, c.cause
    from (select u.id, min(u.cause) as cause from unnest(ids, causes) u (id, cause) group by u.id) c
    join pgqueue.message m on m.id = c.id
    where m.state = 'waiting'
    order by m.id
    for update of m
  loop
    delete from pgqueue.message m where m.id = (found_job.message).id;
    -- The rows in which it is the child stay until its other parents end: those that end now have locked them.
    if (found_job.message).kind = 'task' then
      perform pgqueue._end_task(found_job.message, 'REVOKED', concat('job ', found_job.cause, ', for which it waited, did not succeed'));
    else
      perform pgqueue._write_end(found_job.message, 'canceled', jsonb_build_object(
        'sqlstate', '57014', 'message', format('canceled because job %s, for which it waited, did not succeed', found_job.cause),
        'hint', 'With on_parent_failure => ''run'' it would have run.'), null, null);
    end if;
    canceled := canceled || (found_job.message).id;
  end loop;
  return canceled;
end
$$;
comment on function pgqueue._cancel_dependants(bigint[], bigint[]) is 'Cancels those of these jobs and tasks that still wait. causes: for each the job that did not succeed';

create or replace function pgqueue._settle_dependants(parents bigint[], have_succeeded boolean)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  ended bigint[] := parents;
  is_success boolean := have_succeeded;
  doomed bigint[];
  causes bigint[];
  waiting bigint[];
  batches bigint[];
  all_waiting bigint[] := '{}';
  all_batches bigint[] := '{}';
begin
  if current_setting('transaction_isolation') not like 'read %' then
    -- The snapshot of this transaction may be older than a row of a job that waits. Upkeep sees all.
    insert into pgqueue.dependency_check (parent) select p from unnest(parents) p;
    return;
  end if;
  if not have_succeeded then
    perform pgqueue._lock_with_dependants(parents);
  end if;
  -- A canceled job may have dependants of its own. It is a loop, because a chain may be longer than the stack allows.
  while ended <> '{}' loop
    with gone as (
      delete from pgqueue.dependency d where d.parent = any (ended) returning d.parent, d.child, d.on_parent_failure
    ), noted as (
      insert into pgqueue.batch_outcome (batch_id, job_id, has_succeeded)
      select g.child, g.parent, is_success from gone g where g.on_parent_failure is null
      on conflict do nothing
    )
    select array_agg(g.child) filter (where g.on_parent_failure = 'cancel' and not is_success),
           array_agg(g.parent) filter (where g.on_parent_failure = 'cancel' and not is_success),
           array_agg(g.child) filter (where g.on_parent_failure = 'run' or g.on_parent_failure = 'cancel' and is_success),
           array_agg(g.child) filter (where g.on_parent_failure is null)
    into doomed, causes, waiting, batches
    from gone g;
    all_waiting := all_waiting || coalesce(waiting, '{}');
    all_batches := all_batches || coalesce(batches, '{}');
    ended := case when doomed is null then '{}' else pgqueue._cancel_dependants(doomed, causes) end;
    is_success := false;
  end loop;
  perform pgqueue._settle_child(c) from (select distinct u from unnest(all_waiting) u order by u) w (c);
  perform pgqueue._settle_batch(c) from (select distinct u from unnest(all_batches) u order by u) b (c);
end
$$;
comment on function pgqueue._settle_dependants(bigint[], boolean) is
  'In the transaction that ends these jobs: releases or cancels the jobs that wait for them, and ends batches that have no other unfinished job';

create or replace function pgqueue._is_own_row(xmin xid)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  own bigint := pg_current_xact_id()::text::bigint;
begin
  -- The transaction of a row that is visible and still in progress is this one. The number of this transaction gives the epoch.
  return xmin::text::bigint = own & 4294967295
    or pg_xact_status((own >> 32 << 32 | xmin::text::bigint)::text::xid8) = 'in progress';
exception when invalid_parameter_value then
  return false;  -- A number of an earlier epoch.
end
$$;
comment on function pgqueue._is_own_row(xid) is 'Whether the open transaction of this session has written a row that it sees';

create or replace function pgqueue._find_parents(role oid, parents pgqueue.handle[], out unfinished bigint[], out committed bigint[], out unsuccessful bigint[])
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  parent pgqueue.handle;
  m record;
  ended pgqueue.history;
begin
  unfinished := '{}';
  committed := '{}';
  unsuccessful := '{}';
  foreach parent in array parents loop
    if parent.cookie is null then
      parent.cookie := pgqueue._cookie_of(role, parent.id);
    end if;
    select q.submitter, q.cookie, pgqueue._is_own_row(q.xmin) as is_own into m from pgqueue.message q where q.id = parent.id and q.kind = 'job';
    if found then
      perform pgqueue._check_handle(role, parent, m.submitter, m.cookie, '55000', true);
      unfinished := unfinished || parent.id;
      if not m.is_own then
        committed := committed || parent.id;
      end if;
    else
      -- A job moves from the queue to the history and never back, so reading the history second finds it.
      ended := pgqueue._ended_job(parent.id);
      perform pgqueue._check_handle(role, parent, ended.submitter, ended.cookie, '55000', true);
      if ended.state <> 'succeeded' then
        unsuccessful := unsuccessful || parent.id;
      end if;
    end if;
  end loop;
end
$$;
comment on function pgqueue._find_parents(oid, pgqueue.handle[]) is
  'The jobs of these handles, after the checks: those that have not ended, those of them that another transaction has committed, and those that ended without success';

create or replace function pgqueue._link(role oid, ids bigint[], after pgqueue.handle[], on_parent_failure text, batch bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  parents record;
  mode text := coalesce(on_parent_failure, 'cancel');
begin
  if batch is not null then
    perform pgqueue._open_batch(role, batch);
    insert into pgqueue.dependency (parent, child) select u.id, batch from unnest(ids) u (id);
  end if;
  if after <> '{}' then
    parents := pgqueue._find_parents(role, after);
    if mode = 'run' then
      parents.unsuccessful := '{}'::bigint[];
    end if;
    insert into pgqueue.dependency (parent, child, on_parent_failure)
    select distinct p, u.id, mode from unnest(parents.unfinished || parents.unsuccessful) p, unnest(ids) u (id);
    -- Such a parent may be ending now, in a transaction that does not see this one.
    insert into pgqueue.dependency_check (parent) select distinct p from unnest(parents.committed) p;
    if parents.unsuccessful <> '{}' then
      perform pgqueue._settle_dependants(parents.unsuccessful, false);
    elsif parents.unfinished = '{}' then
      perform pgqueue._release_dependant(u.id) from unnest(ids) u (id);
    end if;
  end if;
end
$$;
comment on function pgqueue._link(oid, bigint[], pgqueue.handle[], text, bigint) is
  'Makes messages that a role has inserted just now wait for jobs (after) and members of a batch. One whose parents have all ended is released or canceled at once';

create or replace function pgqueue._depend(ids bigint[], cookies bigint[], options pgqueue.job_options)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  roles oid[];
  count bigint;
begin
  -- A caller that knows the cookies has submitted the jobs. They were inserted just now, so no worker has them.
  select array_agg(distinct m.submitter), count(*) into roles, count
  from unnest(ids, cookies) c (id, cookie) join pgqueue.message m on m.id = c.id and m.cookie = c.cookie and m.kind = 'job'
  where pgqueue._is_own_row(m.xmin) and m.state in ('ready', 'delayed');
  if count <> cardinality(ids) or cardinality(roles) <> 1 then
    raise exception 'these jobs were not submitted just now' using errcode = '42501', hint = 'Give after and batch when you submit a job.';
  end if;
  if options.after <> '{}' then
    update pgqueue.message m set state = 'waiting' where m.id = any (ids);
  end if;
  perform pgqueue._link(roles[1], ids, options.after, options.on_parent_failure, options.batch);
end
$$;
comment on function pgqueue._depend(bigint[], bigint[], pgqueue.job_options) is
  'pgqueue._link for jobs that the caller has inserted into pgqueue.outbox';
grant execute on function pgqueue._depend(bigint[], bigint[], pgqueue.job_options) to pgqueue_user;
