-- after: wakeup, limited_claim
-- Idle workers of a shared queue: one of them is on the lookout and hears the notifications, the others stand by until they are
-- called up (decision 32). Both roles are for one kind of message of one queue.

create or replace function pgqueue._lookout_key(kind text, queue text)
  returns int
  language sql immutable
begin atomic
  select hashtext(kind || ' ' || queue);
end;
comment on function pgqueue._lookout_key(text, text) is 'The second key of the locks of the lookout and of those that stand by';

create or replace function pgqueue._limited_queues(queues text[])
  returns text[]
  language sql volatile
begin atomic
  -- Who runs a message of such a queue must hear of the others, so that the next one starts when it ends.
  select pgqueue._limited_among('task', queues) || pgqueue._limited_among('job', queues);
end;
comment on function pgqueue._limited_queues(text[]) is 'Which of these queues have limits or keys, so that no worker stands by there';

create or replace function pgqueue._stand_by(kinds text[], queues text[], steady boolean[], out asleep boolean,
                                             out seconds_to_next_due float8, out roles text[])
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  lookout int := pgqueue._lock_class('lookout');
  standby int := pgqueue._lock_class('standby');
  mine int[];
  behind int[];
  kept int[];
  watched int[];
  limited text[] := pgqueue._limited_queues(queues);
  heard text[] := '{}';
  queue text;
  key int;
begin
  if not pgqueue._is_worker_login() then
    perform pgqueue._require_observable(queues);
  end if;
  select coalesce(array_agg(l.objid) filter (where l.class = lookout and l.mode = 'ExclusiveLock'), '{}'),
         coalesce(array_agg(l.objid) filter (where l.class = standby and l.mode = 'ShareLock'), '{}'),
         coalesce(array_agg(l.objid) filter (where l.class in (pgqueue._lock_class('sleeper'), pgqueue._lock_class('next_sleeper'))), '{}')
  into mine, behind, kept
  from pgqueue._own_advisory_locks() l;
  for n in 1 .. coalesce(cardinality(queues), 0) loop
    key := pgqueue._lookout_key(kinds[n], queues[n]);
    roles[n] := 'listener';
    if key = any (mine) then
      roles[n] := 'lookout';
    elsif steady[n] and queues[n] <> all (limited) then
      -- This lock comes before the look at the other. So a lookout that leaves sees this session, or this session takes its place.
      if key <> all (behind) and pg_try_advisory_lock_shared(standby, key) then
        behind := behind || key;
      end if;
      if key = any (behind) then
        if pg_try_advisory_lock(lookout, key) then
          mine := mine || key;
          roles[n] := 'lookout';
        else
          roles[n] := 'standby';
        end if;
      end if;
    end if;
  end loop;
  if 'standby' = any (roles) then
    -- Any role can take an advisory lock; only a worker looks out.
    watched := array(select l.objid from pgqueue._advisory_locks(lookout) l join pgqueue.worker w on w.pid = l.pid and w.lost_at is null
                     where l.mode = 'ExclusiveLock');
  end if;
  for n in 1 .. coalesce(cardinality(queues), 0) loop
    key := pgqueue._lookout_key(kinds[n], queues[n]);
    if roles[n] = 'standby' and key <> all (watched) then
      roles[n] := 'listener';
    end if;
    if roles[n] <> 'standby' then
      heard := heard || queues[n];
      if key = any (behind) then
        perform pg_advisory_unlock_shared(standby, key);
        behind := array_remove(behind, key);
      end if;
    end if;
  end loop;
  -- A worker that is not asleep yet hears notifications too, and needs none.
  for queue in select distinct u.name from unnest(queues) u (name) loop
    if queue = any (heard) then
      execute format('listen %I', pgqueue._queue_channel(queue));
    elsif hashtext(queue) <> all (kept) then
      execute format('unlisten %I', pgqueue._queue_channel(queue));
    end if;
  end loop;
  if heard = '{}' and queues <> '{}' then
    asleep := true;
    seconds_to_next_due := pgqueue._seconds_to_next_due();
  else
    select f.asleep, f.seconds_to_next_due into asleep, seconds_to_next_due from pgqueue._fall_asleep(heard) f;
  end if;
end
$$;
comment on function pgqueue._stand_by(text[], text[], boolean[]) is
  'Puts the session to sleep for these kinds of messages of these queues. roles: lookout, or listener where nobody can look out for it: both hold sleep locks as of pgqueue._fall_asleep, and the caller claims once more; standby: it sleeps until it is called up. steady: whether it can rely on others, and they on it';
grant execute on function pgqueue._stand_by(text[], text[], boolean[]) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._call_up(kind text, queue text, max_count int)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  lookout int := pgqueue._lock_class('lookout');
  standby int := pgqueue._lock_class('standby');
  key int := pgqueue._lookout_key(kind, queue);
  called int;
begin
  if pg_try_advisory_xact_lock(standby, key) then
    return 0;  -- Nobody else stands by.
  end if;
  -- One is called in turn; several at random, because they call others at the same time.
  perform pg_notify('pgqueue.w.' || w.id, kind || ' ' || pgqueue._queue_channel(queue))
  from pgqueue._advisory_locks(standby) l
  join pgqueue.worker w on w.pid = l.pid and w.lost_at is null
  where l.objid = key and l.mode = 'ShareLock' and l.pid <> pg_backend_pid()
    and not exists (select from pgqueue._advisory_locks(lookout) o join pgqueue.worker h on h.pid = o.pid and h.lost_at is null
                    where o.objid = key and o.mode = 'ExclusiveLock')
  order by case when max_count > 1 then random() end, l.pid <= pg_backend_pid(), l.pid
  limit max_count;
  get diagnostics called = row_count;
  return called;
end
$$;
comment on function pgqueue._call_up(text, text, int) is
  'Notifies workers that stand by, unless one is on the lookout: they claim, and one of them looks out then. Returns how many it has notified';

create or replace function pgqueue._relieve(kinds text[], queues text[], out relieved boolean[])
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  lookout int := pgqueue._lock_class('lookout');
  standby int := pgqueue._lock_class('standby');
  mine int[] := array(select l.objid from pgqueue._own_advisory_locks() l where l.class = lookout and l.mode = 'ExclusiveLock');
  limited text[] := pgqueue._limited_queues(queues);
  queue text;
  key int;
begin
  for n in 1 .. coalesce(cardinality(queues), 0) loop
    key := pgqueue._lookout_key(kinds[n], queues[n]);
    relieved[n] := false;
    continue when key <> all (mine) or queues[n] = any (limited);
    continue when pg_try_advisory_xact_lock(standby, key) or not pg_try_advisory_lock_shared(standby, key);
    perform pg_advisory_unlock(lookout, key);
    mine := array_remove(mine, key);
    if pgqueue._call_up(kinds[n], queues[n], 1) = 0 and pg_try_advisory_lock(lookout, key) then
      -- Those that stood by have woken up this instant.
      mine := mine || key;
      perform pg_advisory_unlock_shared(standby, key);
    else
      relieved[n] := true;
    end if;
  end loop;
  for queue in select u.name from unnest(queues, relieved) u (name, is_relieved) group by u.name having bool_and(u.is_relieved) loop
    continue when mine && array[pgqueue._lookout_key('task', queue), pgqueue._lookout_key('job', queue)];
    perform pgqueue._wake_up(array[queue]);
    execute format('unlisten %I', pgqueue._queue_channel(queue));
  end loop;
end
$$;
comment on function pgqueue._relieve(text[], text[]) is
  'Calls up the next of those that stand by to look out in the place of this session, which stands by from now on. relieved: false where none stands by';
grant execute on function pgqueue._relieve(text[], text[]) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._stand_down(kinds text[], queues text[], successors int)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  lookout int := pgqueue._lock_class('lookout');
  standby int := pgqueue._lock_class('standby');
  mine int[];
  behind int[];
  key int;
begin
  select array_agg(l.objid) filter (where l.class = lookout and l.mode = 'ExclusiveLock'),
         array_agg(l.objid) filter (where l.class = standby and l.mode = 'ShareLock')
  into mine, behind
  from pgqueue._own_advisory_locks() l;
  for n in 1 .. coalesce(cardinality(queues), 0) loop
    key := pgqueue._lookout_key(kinds[n], queues[n]);
    if key = any (mine) then
      perform pg_advisory_unlock(lookout, key);
      mine := array_remove(mine, key);
    end if;
    if key = any (behind) then
      perform pg_advisory_unlock_shared(standby, key);
      behind := array_remove(behind, key);
    end if;
    -- Also one that stands by may have been called up to look out.
    perform pgqueue._call_up(kinds[n], queues[n], successors);
  end loop;
end
$$;
comment on function pgqueue._stand_down(text[], text[], int) is
  'Ends that this session looks out or stands by there, and calls up so many others if nobody looks out now';
grant execute on function pgqueue._stand_down(text[], text[], int) to pgqueue_worker, pgqueue_admin;
