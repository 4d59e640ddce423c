-- after: locks
-- Wake-ups of idle workers: notifications, sent only if a worker sleeps.

create or replace function pgqueue._queue_channel(queue text)
  returns text
  language sql immutable
begin atomic
  select 'pgqueue.q.' || hashtext(queue);
end;
comment on function pgqueue._queue_channel(text) is 'The NOTIFY channel on which idle workers of a queue are woken';
grant execute on function pgqueue._queue_channel(text) to pgqueue_user;

create or replace function pgqueue._send_notice()
  returns trigger
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from pgqueue.notice n where n.id = new.id;
  if current_query() !~* E'\\mprepare\\M.*\\mtransaction\\M' then
    perform pg_notify(new.channel, '');
  end if;
  return null;
end
$$;
comment on function pgqueue._send_notice() is 'Sends a notification at the end of its transaction, unless the transaction is prepared';

create or replace function pgqueue._notify_at_commit(channel text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- PREPARE TRANSACTION refuses a transaction that has sent a notification, and a transaction cannot know how it will end. If
  -- prepared transactions are possible, a deferred trigger decides: before a commit it notifies; a prepared transaction leaves
  -- its messages to the polls of the workers, once every naptime.
  if current_setting('max_prepared_transactions')::int = 0 then
    perform pg_notify(channel, '');
  elsif coalesce(strpos(current_setting('pgqueue.noticed', true), channel || ' ') > 0, false) is false then
    insert into pgqueue.notice (channel) values (_notify_at_commit.channel);
    perform set_config('pgqueue.noticed', concat(current_setting('pgqueue.noticed', true), channel, ' '), true);
  end if;
end
$$;
comment on function pgqueue._notify_at_commit(text) is
  'Notifies when the transaction commits. A prepared transaction (two-phase commit) sends no notification';
grant execute on function pgqueue._notify_at_commit(text) to pgqueue_user;

create or replace function pgqueue._wake(queue text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- An idle worker holds this lock exclusively. Publishers share it until they commit. So a worker that gets it knows that every
  -- message published before is visible to it, and a later publisher finds it taken: no wake-up is lost.
  if not pg_try_advisory_xact_lock_shared(pgqueue._lock_class('sleeper'), hashtext(queue)) then
    perform pgqueue._notify_at_commit(pgqueue._queue_channel(queue));
  end if;
end
$$;
comment on function pgqueue._wake(text) is 'Notifies the workers of a queue at commit, if one of them is idle';
grant execute on function pgqueue._wake(text) to pgqueue_user;

create or replace function pgqueue._nobody_sleeps(queue text)
  returns boolean
  language sql volatile
begin atomic
  select pg_try_advisory_xact_lock_shared(pgqueue._lock_class('sleeper'), hashtext(queue));
end;
comment on function pgqueue._nobody_sleeps(text) is 'The check of pgqueue._wake, within a statement. False: call pgqueue._wake';
grant execute on function pgqueue._nobody_sleeps(text) to pgqueue_user;

create or replace function pgqueue._announce(queue text, id bigint, kept pgqueue.result_kept)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not pgqueue._nobody_sleeps(queue) then
    -- Somebody waits for the result, so an executor claims this job by its number (pgqueue._claim_announced). Of jobs that nobody waits
    -- for, a claim that brings many costs less.
    perform pg_notify(pgqueue._queue_channel(queue), case when kept = 'none' then '' else 'job ' || id end);
  end if;
end
$$;
comment on function pgqueue._announce(text, bigint, pgqueue.result_kept) is
  'pgqueue._wake for one job in a transaction of its own, which is never prepared: an idle worker can begin it at once';

create or replace function pgqueue._wake_for(queue text, due_at timestamptz)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Idle workers poll at least once every naptime, and then see when the next message is due.
  if due_at is null or due_at < clock_timestamp() + pgqueue._naptime() * 2 then
    perform pgqueue._wake(queue);
  end if;
end
$$;
comment on function pgqueue._wake_for(text, timestamptz) is
  'Wakes a worker for a message, unless the message is due so late that the workers will see it by polling';
grant execute on function pgqueue._wake_for(text, timestamptz) to pgqueue_user;

create or replace function pgqueue._seconds_to_next_due()
  returns float8
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  select extract(epoch from m.due_at - clock_timestamp())::float8
  from pgqueue.message m
  where m.state = 'delayed'
  order by m.due_at
  limit 1
$$;
comment on function pgqueue._seconds_to_next_due() is 'How long until a delayed message of any queue is due; NULL: there is none';

create or replace function pgqueue._take_sleep_locks(queues text[], sleeps int[], waits int[])
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  key int;
  asleep boolean := true;
begin
  for key in select distinct hashtext(q) from unnest(queues) q loop
    continue when key = any (sleeps);
    -- One session can hold the sleep lock of a queue. It covers the other idle workers as well, because a notification wakes all
    -- of them. They share the second lock, so that the first, when it wakes up, knows that it must notify them. Taking the second
    -- lock before looking at the first leaves no moment in which it could miss them.
    if key <> all (waits) and not pg_try_advisory_lock_shared(pgqueue._lock_class('next_sleeper'), key) then
      asleep := false;
    elsif pg_try_advisory_lock(pgqueue._lock_class('sleeper'), key) then
      perform pg_advisory_unlock_shared(pgqueue._lock_class('next_sleeper'), key);
    elsif not exists (select from pgqueue._advisory_locks(pgqueue._lock_class('sleeper')) l where l.objid = key and l.mode = 'ExclusiveLock') then
      asleep := false;
    end if;
  end loop;
  if not asleep then
    perform pgqueue._wake_up(array(select q from unnest(queues) q where hashtext(q) <> all (sleeps)));
  end if;
  return asleep;
end
$$;
comment on function pgqueue._take_sleep_locks(text[], int[], int[]) is
  'Takes the sleep locks of these queues for the session, or the second lock if another session has the first. sleeps, waits: those that it holds, as of pgqueue._own_sleep_locks. The caller claims once more before it sleeps. False: publishers are about to commit, poll again soon';

create or replace function pgqueue._wake_up(queues text[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  held record;
  queue text;
begin
  select * into held from pgqueue._own_sleep_locks();
  -- Two queues may have the same key.
  for queue in select min(q) from unnest(queues) q group by hashtext(q) loop
    if hashtext(queue) = any (held.waits) then
      perform pg_advisory_unlock_shared(pgqueue._lock_class('next_sleeper'), hashtext(queue));
    end if;
    if hashtext(queue) = any (held.sleeps) then
      perform pg_advisory_unlock(pgqueue._lock_class('sleeper'), hashtext(queue));
      if not pg_try_advisory_xact_lock(pgqueue._lock_class('next_sleeper'), hashtext(queue)) then
        perform pgqueue._hand_over(queue);
      end if;
    end if;
  end loop;
end
$$;
comment on function pgqueue._wake_up(text[]) is 'Gives back the sleep locks of these queues, and notifies the idle workers behind them';
grant execute on function pgqueue._wake_up(text[]) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._hand_over(queue text)
  returns void
  language sql volatile
begin atomic
  select pg_notify(pgqueue._queue_channel(queue), 'sleep again');
end;
comment on function pgqueue._hand_over(text) is 'Notifies the idle workers of a queue that the session that covered them is awake or gone';
