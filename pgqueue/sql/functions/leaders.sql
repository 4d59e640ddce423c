-- after: wakeup, limited_claim
-- Idle workers of a shared queue: one of them, the leader, hears the notifications. The others, its followers, sleep until one
-- of them is promoted to be the leader (decision 32). Both roles are for one kind of message of one queue.

create or replace function pgqueue._leader_key(kind text, queue text)
  returns int
  language sql immutable
begin atomic
  select hashtext(kind || ' ' || queue);
end;
comment on function pgqueue._leader_key(text, text) is 'The second key of the locks of the leader and of its followers';

create or replace function pgqueue._limited_queues(queues text[])
  returns text[]
  language sql volatile
begin atomic
  -- A worker that runs a message of such a queue polls when it ends, if it knows that others wait.
  select pgqueue._limited_among('task', queues) || pgqueue._limited_among('job', queues);
end;
comment on function pgqueue._limited_queues(text[]) is 'Which of these queues have limits or keys, so that there are no followers';

create or replace function pgqueue._lead_or_follow(kinds text[], queues text[], steady boolean[], out asleep boolean,
                                             out seconds_to_next_due float8, out roles text[])
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  held record;
  led int[];
  limited text[] := pgqueue._limited_queues(queues);
  heard text[] := '{}';
  queue text;
  key int;
begin
  if not pgqueue._is_worker_login() then
    perform pgqueue._require_observable(queues);
  end if;
  select * into held from pgqueue._own_sleep_locks();
  for n in 1 .. coalesce(cardinality(queues), 0) loop
    key := pgqueue._leader_key(kinds[n], queues[n]);
    roles[n] := 'listener';
    if key = any (held.leads) then
      roles[n] := 'leader';
    elsif steady[n] and queues[n] <> all (limited) then
      -- This lock comes before the attempt at the other. So a leader that leaves sees this session, or this session succeeds it.
      if key <> all (held.follows) and pg_try_advisory_lock_shared(pgqueue._lock_class('follower'), key) then
        held.follows := held.follows || key;
      end if;
      if key = any (held.follows) then
        if pg_try_advisory_lock(pgqueue._lock_class('leader'), key) then
          held.leads := held.leads || key;
          roles[n] := 'leader';
        else
          roles[n] := 'follower';
        end if;
      end if;
    end if;
  end loop;
  if 'follower' = any (roles) then
    -- Any role can take an advisory lock; only a worker leads.
    led := array(select l.objid from pgqueue._advisory_locks(pgqueue._lock_class('leader')) l
                 join pgqueue.worker w on w.pid = l.pid and w.lost_at is null
                 where l.mode = 'ExclusiveLock');
  end if;
  for n in 1 .. coalesce(cardinality(queues), 0) loop
    key := pgqueue._leader_key(kinds[n], queues[n]);
    if roles[n] = 'follower' and key <> all (led) then
      -- Perhaps the leader has left this instant.
      roles[n] := case when pg_try_advisory_lock(pgqueue._lock_class('leader'), key) then 'leader' else 'listener' end;
    end if;
    if roles[n] <> 'follower' then
      heard := heard || queues[n];
      if key = any (held.follows) then
        perform pg_advisory_unlock_shared(pgqueue._lock_class('follower'), key);
        held.follows := array_remove(held.follows, key);
        if roles[n] = 'listener' then
          -- This session may have been promoted meanwhile.
          perform pgqueue._promote_followers(kinds[n], queues[n], 1);
        end if;
      end if;
    end if;
  end loop;
  -- A worker that is not asleep yet hears notifications too, and needs none.
  for queue in select distinct u.name from unnest(queues) u (name) loop
    if queue = any (heard) then
      execute format('listen %I', pgqueue._queue_channel(queue));
    elsif hashtext(queue) <> all (held.sleeps || held.waits) then
      execute format('unlisten %I', pgqueue._queue_channel(queue));
    end if;
  end loop;
  asleep := pgqueue._take_sleep_locks(heard, held.sleeps, held.waits);
  seconds_to_next_due := pgqueue._seconds_to_next_due();
end
$$;
comment on function pgqueue._lead_or_follow(text[], text[], boolean[]) is
  'Puts the session to sleep for these kinds of messages of these queues. roles: leader; listener, where it needs no leader and has no followers; both hold sleep locks as of pgqueue._take_sleep_locks, and the caller claims once more; asleep = false: it could not take them; follower: it sleeps until it is promoted. steady: whether it may be leader or follower';
grant execute on function pgqueue._lead_or_follow(text[], text[], boolean[]) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._promote_followers(kind text, queue text, max_count int)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  key int := pgqueue._leader_key(kind, queue);
  promoted int;
begin
  if pg_try_advisory_xact_lock(pgqueue._lock_class('follower'), key) then
    return 0;  -- There is no other follower.
  end if;
  -- One is promoted in turn; several at random, because they promote others at the same time.
  perform pg_notify('pgqueue.w.' || w.id, kind || ' ' || pgqueue._queue_channel(queue))
  from pgqueue._advisory_locks(pgqueue._lock_class('follower')) l
  join pgqueue.worker w on w.pid = l.pid and w.lost_at is null
  where l.objid = key and l.mode = 'ShareLock' and l.pid <> pg_backend_pid()
    and not exists (select from pgqueue._advisory_locks(pgqueue._lock_class('leader')) o
                    join pgqueue.worker h on h.pid = o.pid and h.lost_at is null
                    where o.objid = key and o.mode = 'ExclusiveLock')
  order by case when max_count > 1 then random() end, l.pid <= pg_backend_pid(), l.pid
  limit max_count;
  get diagnostics promoted = row_count;
  return promoted;
end
$$;
comment on function pgqueue._promote_followers(text, text, int) is
  'Notifies followers, unless there is a leader: they claim, and one of them is the leader then. Returns how many it has notified';

create or replace function pgqueue._replace_leader(kinds text[], queues text[], out replaced boolean[])
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  mine int[] := (select l.leads from pgqueue._own_sleep_locks() l);
  limited text[] := pgqueue._limited_queues(queues);
  queue text;
  key int;
begin
  for n in 1 .. coalesce(cardinality(queues), 0) loop
    key := pgqueue._leader_key(kinds[n], queues[n]);
    replaced[n] := false;
    continue when key <> all (mine) or queues[n] = any (limited);
    continue when pg_try_advisory_xact_lock(pgqueue._lock_class('follower'), key)
      or not pg_try_advisory_lock_shared(pgqueue._lock_class('follower'), key);
    perform pg_advisory_unlock(pgqueue._lock_class('leader'), key);
    mine := array_remove(mine, key);
    if pgqueue._promote_followers(kinds[n], queues[n], 1) = 0 and pg_try_advisory_lock(pgqueue._lock_class('leader'), key) then
      -- The followers have woken up this instant.
      mine := mine || key;
      perform pg_advisory_unlock_shared(pgqueue._lock_class('follower'), key);
    else
      replaced[n] := true;
    end if;
  end loop;
  for queue in select u.name from unnest(queues, replaced) u (name, is_replaced) group by u.name having bool_and(u.is_replaced) loop
    continue when mine && array[pgqueue._leader_key('task', queue), pgqueue._leader_key('job', queue)];
    perform pgqueue._wake_up(array[queue]);
    execute format('unlisten %I', pgqueue._queue_channel(queue));
  end loop;
end
$$;
comment on function pgqueue._replace_leader(text[], text[]) is
  'Promotes the next follower to be the leader in the place of this session, which is a follower from now on. replaced: false where there is none';
grant execute on function pgqueue._replace_leader(text[], text[]) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._step_down(kinds text[], queues text[], successors int)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  held record;
  key int;
begin
  select * into held from pgqueue._own_sleep_locks();
  for n in 1 .. coalesce(cardinality(queues), 0) loop
    key := pgqueue._leader_key(kinds[n], queues[n]);
    if key = any (held.leads) then
      perform pg_advisory_unlock(pgqueue._lock_class('leader'), key);
      held.leads := array_remove(held.leads, key);
    end if;
    if key = any (held.follows) then
      perform pg_advisory_unlock_shared(pgqueue._lock_class('follower'), key);
      held.follows := array_remove(held.follows, key);
    end if;
    -- A follower may have been promoted already.
    perform pgqueue._promote_followers(kinds[n], queues[n], successors);
  end loop;
end
$$;
comment on function pgqueue._step_down(text[], text[], int) is
  'Makes this session neither leader nor follower there, and promotes so many followers if there is no leader now';
grant execute on function pgqueue._step_down(text[], text[], int) to pgqueue_worker, pgqueue_admin;
