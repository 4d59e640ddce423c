-- Upkeep: its parts, the worker that does it, and failures.

create or replace function pgqueue._do_upkeep(part text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  case part
    when 'delays' then
      perform pgqueue._promote(10000);
    when 'schedules' then
      perform pgqueue._fire_schedules(1000);
    when 'schedule runs' then
      perform pgqueue._forget_schedule_runs(pgqueue._worker_interval('result_ttl', '7 days', '0', '1000 years'));
    when 'rescue' then
      perform pgqueue._reclaim(pgqueue._worker_number('max_deliveries', 20, 1, 32767));
    when 'retention' then
      perform pgqueue._prune_history();
    when 'expiry' then
      perform pgqueue._expire_messages(null, 1000);
    when 'statistics' then
      perform pgqueue._fold_stats();
    when 'proofs' then
      delete from pgqueue.nonce n where n.made_at < clock_timestamp() - interval '5 min';
    when 'roles' then
      perform pgqueue._forget_dropped_roles();
      perform pgqueue._note_roles();
    when 'quotas' then
      perform pgqueue._note_usage();
    when 'requests' then
      -- A detach that committed together with the job has left the result, which the request hides.
      with gone as (
        delete from pgqueue.request r
        where r.requested_at < clock_timestamp() - interval '1 min' and not exists (select from pgqueue.message m where m.id = r.id)
        returning r.id, r.kind
      )
      delete from pgqueue.result d using gone where d.id = gone.id and gone.kind = 'detach';
    when 'activity' then
      delete from pgqueue.activity a where not exists (select from pgqueue.message m where m.id = a.id and m.token = a.token);
      delete from pgqueue.lost_session l where not exists (select from pgqueue.message m where m.id = l.id);
    when 'dependencies' then
      if exists (select from pgqueue.dependency_check) then
        perform pgqueue._check_dependencies(10000);
      end if;
    when 'limits' then
      -- All holders are read, so only now and then.
      if random() < 0.02 then
        perform pgqueue._forget_limits();
      end if;
    when 'keys' then
      -- All rows are read, so only now and then.
      if random() < 0.02 then
        perform pgqueue._forget_keys();
      end if;
    when 'scaling' then
      perform pgqueue._forget_scale_requests();
      perform pgqueue._forget_fleet_hosts();
    when 'relays' then
      perform pgqueue._forget_receipts();
    when 'queues' then
      perform pgqueue._expire_queues();
    when 'new partitions' then
      perform pgqueue._make_partitions();
    when 'old partitions' then
      perform pgqueue._drop_partitions(pgqueue._worker_interval('result_ttl', '7 days', '0', '1000 years'));
  end case;
end
$$;
comment on function pgqueue._do_upkeep(text) is 'Does one part of the upkeep';

create or replace function pgqueue._try_upkeep(part text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- There is a subtransaction for each part: an object that makes one impossible (a publication, an event trigger, a damaged
  -- index) leaves the others alone.
  perform pgqueue._do_upkeep(part);
  delete from pgqueue.upkeep_failure f where f.part = _try_upkeep.part;
exception when others then
  if sqlstate = '55P03' and part in ('queues', 'new partitions', 'old partitions') then
    return;  -- Another session uses the objects to be locked. The next tick tries again; partitions exist three days ahead.
  end if;
  -- The log shows it once, and pgqueue doctor as long as it lasts.
  if not exists (select from pgqueue.upkeep_failure f where f.part = _try_upkeep.part and f.message = sqlerrm) then
    raise warning 'upkeep of pgqueue failed (%): %', part, sqlerrm using errcode = sqlstate;
  end if;
  insert into pgqueue.upkeep_failure as f (part, message) values (_try_upkeep.part, sqlerrm)
  on conflict on constraint upkeep_failure_pkey do update set failed_at = clock_timestamp(), message = excluded.message;
end
$$;
comment on function pgqueue._try_upkeep(text) is 'Does one part of the upkeep; a failure rolls back this part only and is recorded';

create or replace function pgqueue._failing_upkeep()
  returns table (part text, failing_since timestamptz, message text)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  select f.part, f.failing_since, f.message from pgqueue.upkeep_failure f order by f.failing_since, f.part;
end;
comment on function pgqueue._failing_upkeep() is 'The parts of the upkeep that fail now, for pgqueue doctor';
grant execute on function pgqueue._failing_upkeep() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._tick(worker_id int, items_processed bigint, last_run_at timestamptz)
  returns table (naptime float8, max_items int, seconds_to_next_due float8, seconds_to_next_schedule float8, has_schedules_to_plan boolean, wanted_executors int)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  overdue_schedule timestamptz;
  is_chosen boolean := false;
begin
  if not exists (select from pgqueue.worker w where w.id = worker_id and w.lost_at is null
                   and (w.login = quote_ident(session_user)::regrole::oid or pgqueue._is_worker_login())) then
    raise exception 'worker % is no longer registered', worker_id using errcode = 'PQ003', hint = 'Register again.';
  end if;
  update pgqueue.worker w
  set last_seen_at = clock_timestamp(), items_processed = _tick.items_processed, last_run_at = _tick.last_run_at
  where w.id = worker_id
    and (w.items_processed <> _tick.items_processed or w.last_seen_at < clock_timestamp() - interval '10 s');
  overdue_schedule := pgqueue._overdue_schedule();
  -- An observer does no upkeep: it could keep its locks, and hold up that of the workers.
  if pgqueue._is_worker_login() then
    perform pgqueue._try_upkeep('delays');
    if overdue_schedule is not null then
      perform pgqueue._try_upkeep('schedules');
    end if;
    -- Of very many workers about 16 do the rest in each naptime, whichever they are: it costs several times as much as a heartbeat.
    -- Only one worker at a time. The lock is a row that no other role can lock, not an advisory lock, which any role can take.
    if random() * (select count(*) from (select from pgqueue.worker w where w.lost_at is null limit 1000) n) < 16 then
      perform from pgqueue.stat_fold for update skip locked;
      is_chosen := found;
    end if;
    if is_chosen then
      perform pgqueue._try_upkeep(p) from unnest('{rescue,dependencies,expiry,statistics,proofs,roles,quotas,requests,activity,schedule runs,retention,limits,keys,scaling,relays}'::text[]) p;
      -- Creating and dropping partitions locks their parent. A waiting lock request would block the workers behind it, so this does
      -- not wait.
      perform set_config('lock_timeout', '50ms', true);
      perform pgqueue._try_upkeep(p) from unnest('{queues,new partitions,old partitions}'::text[]) p;
    end if;
  end if;
  return query select extract(epoch from case
                        -- A worker was found lost: its claims become ready after the grace period.
                        when exists (select from pgqueue.worker w where w.lost_at > clock_timestamp() - pgqueue._reclaim_grace())
                          then least(pgqueue._reclaim_grace(), pgqueue._worker_interval('naptime', '3 s', '0.1 s', '1 hour'))
                        else pgqueue._worker_interval('naptime', '3 s', '0.1 s', '1 hour') end)::float8,
                      pgqueue._worker_number('max_items', 500, 1, 10000), pgqueue._seconds_to_next_due(),
                      pgqueue._seconds_to_next_schedule(overdue_schedule), pgqueue._has_schedules_to_plan(),
                      pgqueue._wanted_executors(worker_id);
end
$$;
comment on function pgqueue._tick(int, bigint, timestamptz) is
  'Heartbeat and upkeep, once every naptime by each worker. Returns the current settings, when the next delayed message and the next schedule are due, whether schedules are to be planned, and how many executors the worker is asked to have';
grant execute on function pgqueue._tick(int, bigint, timestamptz) to pgqueue_worker, pgqueue_admin;
