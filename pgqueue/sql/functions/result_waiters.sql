-- The sessions that wait for results of tasks, and their notifications.

create or replace function pgqueue._await_results(task_ids text[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  insert into pgqueue.result_waiter (task_id, pid)
  select distinct unnest(task_ids), pg_backend_pid()
  on conflict do nothing;
end
$$;
comment on function pgqueue._await_results(text[]) is 'Records that, from its commit on, this session waits for these tasks';
grant execute on function pgqueue._await_results(text[]) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._collect_results(new_ids text[], was_asleep boolean)
  returns table (asleep boolean, task_id text, state text, payload bytea)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- Planning for all partitions takes ten times as long as reading them.
as $$
#variable_conflict use_column
declare
  waiter int := pgqueue._lock_class('result_waiter');
  storing int := pgqueue._lock_class('storing');
  bucket int;
  is_asleep boolean := was_asleep;
  has_news boolean := false;
begin
  perform set_config('synchronous_commit', 'off', true);
  if cardinality(new_ids) > 0 then
    begin
      -- A session that stored a result without seeing this wait has committed when this lock is taken.
      perform set_config('lock_timeout', '1s', true);
      for bucket in select distinct hashtext(t) & 63 from unnest(new_ids) t loop
        perform pg_advisory_lock(storing, bucket);
        perform pg_advisory_unlock(storing, bucket);
      end loop;
    exception when lock_not_available then
      null;  -- A session stored a result in a transaction that stays open; the fallback poll will find it.
    end;
  end if;
  if not is_asleep then
    is_asleep := pg_try_advisory_lock(waiter, pg_backend_pid());
  end if;
  -- It is a separate statement, so it sees the results of the sessions that those locks waited for.
  for task_id, state, payload in
    with news as materialized (
      select r.task_id, r.state, r.payload, r.stored_at
      from pgqueue.result_waiter w
      cross join lateral (
        select r.*
        from pgqueue.task_result r
        where r.task_id = w.task_id and (r.stored_at > w.seen_until or pgqueue._state_rank(r.state) > 0)
          and r.expires_at > clock_timestamp()
        offset 0  -- Each task is looked up separately: a join would read all results once there are many waits.
      ) r
      where w.pid = pg_backend_pid()
    ), seen as (
      update pgqueue.result_waiter w set seen_until = n.latest
      from (select n.task_id, max(n.stored_at) as latest from news n group by n.task_id
            having max(pgqueue._state_rank(n.state)) = 0) n
      where w.task_id = n.task_id and w.pid = pg_backend_pid()
    ), ended as (
      delete from pgqueue.result_waiter w
      using (select distinct n.task_id from news n where pgqueue._state_rank(n.state) > 0) n
      where w.task_id = n.task_id and w.pid = pg_backend_pid()
    )
    select n.task_id, n.state, n.payload
    from news n
    -- Intermediate states come first, then the end that counts.
    order by n.task_id, pgqueue._state_rank(n.state) = 0 desc, pgqueue._state_rank(n.state) desc,
             case when n.state = 'SUCCESS' then n.stored_at end, case when pgqueue._state_rank(n.state) = 1 then n.stored_at end desc, n.stored_at
  loop
    if is_asleep then
      perform pg_advisory_unlock(waiter, pg_backend_pid());
      is_asleep := false;
    end if;
    has_news := true;
    asleep := false;
    return next;
  end loop;
  if not has_news then
    asleep := is_asleep;
    task_id := null;
    return next;
  end if;
end
$$;
comment on function pgqueue._collect_results(text[], boolean) is
  'The new states of the tasks that this session waits for. None: one row without a task, which says whether this session may sleep until it is notified; if not, poll again soon';
grant execute on function pgqueue._collect_results(text[], boolean) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._stop_awaiting(task_ids text[], was_asleep boolean)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  delete from pgqueue.result_waiter w where w.pid = pg_backend_pid() and w.task_id = any (task_ids);
  if was_asleep then
    perform pg_advisory_unlock(pgqueue._lock_class('result_waiter'), pg_backend_pid());
  end if;
end
$$;
comment on function pgqueue._stop_awaiting(text[], boolean) is
  'Records that this session no longer waits for these tasks, and for now does not sleep: no session notifies it';
grant execute on function pgqueue._stop_awaiting(text[], boolean) to pgqueue_user, pgqueue_worker;
