-- Results of Celery tasks, groups and chords, and who waits for which result. Every rule of the result backend is here.

create table pgqueue.task_result (
  task_id text not null,
  stored_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  state text not null,
  content_type text not null,
  payload bytea not null
) partition by range (stored_at);
comment on table pgqueue.task_result is
  'States of Celery tasks. Appended to, never updated: reading decides which of a task''s rows counts (pgqueue._task_results); retention drops a day at a time';
comment on column pgqueue.task_result.payload is 'Celery''s result document, as its serializer wrote it, compressed if Celery compressed it';
create index task_result_task_id on pgqueue.task_result (task_id);
comment on index pgqueue.task_result_task_id is 'pgqueue._task_results: the rows of a task';

create table pgqueue.task_result_default partition of pgqueue.task_result default;
comment on table pgqueue.task_result_default is 'Catches what ends on a day for which no worker made a partition';

create table pgqueue.task_group (
  id text primary key,
  expires_at timestamptz not null,
  payload bytea not null
);
comment on table pgqueue.task_group is 'Groups of Celery tasks that were saved';
create index task_group_expires_at on pgqueue.task_group (expires_at);
comment on index pgqueue.task_group_expires_at is 'pgqueue._drop_partitions: what has expired';

create table pgqueue.chord (
  group_id text primary key,
  size int,
  added int not null default 0,
  returned int not null default 0,
  expires_at timestamptz not null,
  dispatched_at timestamptz
);
comment on table pgqueue.chord is 'Chords: how many parts they have, how many have returned, and whether the callback was sent';
comment on column pgqueue.chord.size is 'Known once the last part was sent; parts may return before';
comment on column pgqueue.chord.added is 'Parts that tasks of the chord added to it';
create index chord_expires_at on pgqueue.chord (expires_at);
comment on index pgqueue.chord_expires_at is 'pgqueue._drop_partitions: what has expired';

create table pgqueue.chord_part (
  group_id text not null references pgqueue.chord on delete cascade,
  place int not null,
  task_id text not null,
  returned_at timestamptz not null default clock_timestamp(),
  payload bytea not null,
  primary key (group_id, place, task_id)
);
comment on table pgqueue.chord_part is 'What the parts of unfinished chords returned, in the order of the header';

create unlogged table pgqueue.result_waiter (
  task_id text not null,
  pid int not null,
  waits_since timestamptz not null default clock_timestamp(),
  seen_until timestamptz not null default '-infinity',
  primary key (task_id, pid)
);
comment on table pgqueue.result_waiter is
  'Which session wants to hear of which task. Unlogged: after a crash of the server nobody waits, and those who come back say so again';
create index result_waiter_pid on pgqueue.result_waiter (pid);
comment on index pgqueue.result_waiter_pid is 'pgqueue._collect_results: what a session waits for';

create or replace function pgqueue._lock_class(purpose text)
  returns int
  language sql immutable
begin atomic
  -- 'pgq' and a number: the first key of pgqueue's advisory locks.
  select case purpose when 'worker' then 1886417201 when 'sleeper' then 1886417202 when 'upkeep' then 1886417204
    when 'next_sleeper' then 1886417205 when 'storing' then 1886417206 when 'result_waiter' then 1886417207 end;
end;
comment on function pgqueue._lock_class(text) is
  'The first key of an advisory lock: worker (liveness), sleeper and next_sleeper (wake-ups), upkeep, storing and result_waiter (results)';

create or replace function pgqueue._make_partitions()
  returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  parent text;
  day date;
  today date := (clock_timestamp() at time zone 'UTC')::date;
begin
  foreach parent in array array['history', 'result', 'task_result'] loop
    for day in select today + n from generate_series(0, 3) n loop
      if to_regclass(format('pgqueue.%I', pgqueue._partition_name(parent, day))) is null then
        begin
          execute format('create table pgqueue.%I partition of pgqueue.%I for values from (%L) to (%L)',
                         pgqueue._partition_name(parent, day), parent, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
          -- A partition has row security of its own.
          execute format('alter table pgqueue.%I enable row level security', pgqueue._partition_name(parent, day));
          -- There is no key: without this a publication for all tables would forbid to delete.
          execute format('alter table pgqueue.%I replica identity full', pgqueue._partition_name(parent, day));
        exception when check_violation then
          null;  -- the default partition has rows of that day already, and keeps them
        end;
      end if;
    end loop;
  end loop;
end
$$;

create or replace function pgqueue._drop_partitions(older_than interval)
  returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  part record;
  keep_from timestamptz := clock_timestamp() - older_than;
begin
  for part in
    select c.relname, to_date(right(c.relname, 8), 'YYYYMMDD') as day
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent in ('pgqueue.history'::regclass, 'pgqueue.result'::regclass, 'pgqueue.task_result'::regclass) and c.relname ~ '_[0-9]{8}$'
  loop
    if ((part.day + 1)::timestamp at time zone 'UTC') <= keep_from then
      perform pgqueue._fold_stats();
      execute format('drop table pgqueue.%I', part.relname);
    end if;
  end loop;
  delete from pgqueue.history_default where ended_at < keep_from;
  delete from pgqueue.result_default where ended_at < keep_from;
  delete from pgqueue.task_result_default where stored_at < keep_from;
  delete from pgqueue.stat_session where folded_at < keep_from;
  delete from pgqueue.tracked_job where tracked_at < keep_from;
  delete from pgqueue.tracked_timeout where counted_at < keep_from;
  perform pgqueue._expire_task_results();
end
$$;
comment on function pgqueue._drop_partitions(interval) is 'Drops the days of history and results that are wholly older than this, and what else has expired';

create function pgqueue._expire_task_results()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  expired_until timestamptz := clock_timestamp();  -- a value, not a volatile call: the indexes can be used
begin
  -- Whoever holds one of them in an open transaction does not hold up the others.
  delete from pgqueue.task_group g
  where g.id = any (array(select e.id from pgqueue.task_group e where e.expires_at < expired_until for update skip locked));
  delete from pgqueue.chord c
  where c.group_id = any (array(select e.group_id from pgqueue.chord e where e.expires_at < expired_until for update skip locked));
  -- Sessions that waited and are gone. One with the same number may have begun since.
  delete from pgqueue.result_waiter w
  where not exists (select from pg_stat_activity a where a.pid = w.pid and coalesce(a.backend_start <= w.waits_since, true));
end
$$;
comment on function pgqueue._expire_task_results() is 'Deletes groups and chords that have expired, and what lost sessions waited for';

create function pgqueue._state_rank(state text)
  returns int
  language sql immutable
begin atomic
  select case when state = 'SUCCESS' then 2 when state in ('FAILURE', 'REVOKED') then 1 else 0 end;
end;
comment on function pgqueue._state_rank(text) is 'Which of a task''s states counts: a success above everything, an end above what is on the way';

create function pgqueue._task_results(task_ids text[])
  returns table (task_id text, state text, content_type text, stored_at timestamptz, payload bytea)
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- planning for all the partitions takes ten times as long as looking
as $$
#variable_conflict use_column
begin
  -- Not a function in SQL: that would be planned anew, with all its partitions, at each call.
  return query
  select wanted.id, best.state, best.content_type, best.stored_at, best.payload
  from (select distinct unnest(task_ids)) wanted (id)
  cross join lateral (
    select r.*
    from pgqueue.task_result r
    where r.task_id = wanted.id and r.expires_at > clock_timestamp()
    -- The first success stays; otherwise the latest state counts.
    order by pgqueue._state_rank(r.state) desc, case when r.state = 'SUCCESS' then r.stored_at end, r.stored_at desc
    limit 1
  ) best;
end
$$;
comment on function pgqueue._task_results(text[]) is 'The state that counts of each of these tasks; a task of which nothing is known has no row';

create function pgqueue.task_result(task_id text)
  returns jsonb
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  found_result record;
  document jsonb;
  summary jsonb;
begin
  select * into found_result from pgqueue._task_results(array[task_result.task_id]);
  if not found then
    return null;
  end if;
  summary := jsonb_build_object('task_id', task_result.task_id, 'state', found_result.state);
  begin
    if found_result.content_type = 'application/json' then
      document := convert_from(found_result.payload, 'UTF8')::jsonb - 'status';
    end if;
  exception when data_exception or untranslatable_character or character_not_in_repertoire then
    null;  -- compressed, or with what jsonb cannot hold: NUL characters, infinite numbers
  end;
  return coalesce(document, jsonb_build_object(
    'result', null, 'traceback', null, 'children', null, 'content_type', found_result.content_type,
    'date_done', case when pgqueue._state_rank(found_result.state) > 0 then found_result.stored_at end)) || summary;
end
$$;
comment on function pgqueue.task_result(text) is
  'What the result backend knows of a Celery task: task_id, state, result, traceback, children, date_done. NULL: nothing. Only JSON can be read here';

create function pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text default '200ms')
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  waiter int;
  old_timeout text := current_setting('lock_timeout');
begin
  -- Shared until the commit: a session that begins to wait passes through this lock after it has said so, and so either
  -- reads this result or is seen here.
  if not pg_try_advisory_xact_lock_shared(pgqueue._lock_class('storing'), hashtext(task_id) & 63) and patience is not null then
    begin
      perform set_config('lock_timeout', patience, true);
      perform pg_advisory_xact_lock_shared(pgqueue._lock_class('storing'), hashtext(task_id) & 63);
    exception when lock_not_available then
      null;  -- any role can take it and keep it; who waits finds the result at the next look
    end;
    perform set_config('lock_timeout', old_timeout, true);
  end if;
  insert into pgqueue.task_result (task_id, state, content_type, payload, expires_at)
  values (task_id, state, content_type, payload, coalesce(clock_timestamp() + lifetime, 'infinity'));
  for waiter in select w.pid from pgqueue.result_waiter w where w.task_id = _store_task_result.task_id loop
    -- Held exclusively by a session that sleeps. One that is awake looks again before it sleeps, when this has committed.
    if not pg_try_advisory_xact_lock_shared(pgqueue._lock_class('result_waiter'), waiter) then
      perform pg_notify('pgqueue.r.' || waiter, '');
    end if;
  end loop;
end
$$;
comment on function pgqueue._store_task_result(text, text, text, bytea, interval, text) is
  'Appends a state of a task, and notifies those who wait for it and sleep. Which state counts is decided by reading';

create function pgqueue._end_task(m pgqueue.message, state text, reason text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  task_id text := pgqueue._text_in(m.payload, '{headers,id}');
  embed jsonb;
  is_awaited boolean;
  letter json;
begin
  if task_id is null or m.kind <> 'task' or pgqueue._text_in(m.payload, '{headers,task}') is null
    or pgqueue._text_in(m.payload, '{headers,pgqueue_end,state}') is not null
  then
    return;
  end if;
  is_awaited := pgqueue._text_in(m.payload, '{headers,ignore_result}') is distinct from 'true';
  begin
    if m.payload ->> 'content-type' = 'application/json' and m.payload #>> '{properties,body_encoding}' is null
      and m.payload #>> '{headers,compression}' is null
    then
      embed := (m.payload ->> 'body')::jsonb -> 2;
    end if;
    -- What a body that cannot be read here holds, a worker finds out. A revoked task calls no errbacks and ends no chain, as with Celery.
    if embed is null and (m.payload #>> '{headers,group}' is not null or state = 'FAILURE')
      or jsonb_typeof(embed -> 'chord') = 'object'
      or state = 'FAILURE' and (embed -> 'errbacks' ->> 0 is not null or embed -> 'chain' ->> 0 is not null)
    then
      letter := jsonb_set(m.payload::jsonb, '{headers,pgqueue_end}', jsonb_build_object('state', state, 'reason', reason))::json;
    end if;
  exception when data_exception or program_limit_exceeded or statement_too_complex then
    null;  -- nothing that a worker could read either
  end;
  if letter is not null then
    insert into pgqueue.inbox (queue, kind, priority, submitter, payload) values (m.queue, 'task', m.priority, m.submitter, letter);
    perform pgqueue._wake(m.queue);
  end if;
  if is_awaited then
    -- JSON whatever the application's serializer is: how it begins tells its backend (results/backend.py). Nobody waits for a lock here:
    -- upkeep and claims end many tasks at once, and any role can hold one.
    perform pgqueue._store_task_result(
      task_id, state, 'application/json',
      convert_to(json_build_object(
        'ended_by', 'pgqueue', 'status', state,
        'result', json_build_object('exc_type', case state when 'FAILURE' then 'WorkerLostError' else 'TaskRevokedError' end,
                                    'exc_message', json_build_array(reason), 'exc_module', 'celery.exceptions'),
        'traceback', null, 'children', '[]'::json, 'date_done', pgqueue._utc_text(clock_timestamp()), 'task_id', task_id)::text, 'UTF8'),
      interval '1 day', null);
  end if;
end
$$;
comment on function pgqueue._end_task(pgqueue.message, text, text) is
  'Says of a task that no worker will run how it ended: FAILURE or REVOKED, and why. What hangs on it (its chord, errbacks, the rest of its chain) a worker of its queue is told to end';

create function pgqueue._forget_task_result(task_id text)
  returns void
  language sql volatile security definer
begin atomic
  delete from pgqueue.task_result r where r.task_id = _forget_task_result.task_id;
end;
comment on function pgqueue._forget_task_result(text) is 'Deletes what is known of a task';

create function pgqueue._await_results(task_ids text[])
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
comment on function pgqueue._await_results(text[]) is 'Says, once it has committed, that this session waits for these tasks';

create function pgqueue._collect_results(new_ids text[], was_asleep boolean)
  returns table (asleep boolean, task_id text, state text, payload bytea)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan  -- planning for all the partitions takes ten times as long as looking
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
      -- Whoever stored without having seen that we wait has committed when this lock is ours.
      perform set_config('lock_timeout', '1s', true);
      for bucket in select distinct hashtext(t) & 63 from unnest(new_ids) t loop
        perform pg_advisory_lock(storing, bucket);
        perform pg_advisory_unlock(storing, bucket);
      end loop;
    exception when lock_not_available then
      null;  -- somebody stored in a transaction that stays open; the fallback look will find it
    end;
  end if;
  if not is_asleep then
    is_asleep := pg_try_advisory_lock(waiter, pg_backend_pid());
  end if;
  -- A statement of its own, so it sees what those locks waited for.
  for task_id, state, payload in
    with news as materialized (
      select r.task_id, r.state, r.payload, r.stored_at
      from pgqueue.result_waiter w
      cross join lateral (
        select r.*
        from pgqueue.task_result r
        where r.task_id = w.task_id and (r.stored_at > w.seen_until or pgqueue._state_rank(r.state) > 0)
          and r.expires_at > clock_timestamp()
        offset 0  -- task by task: a join would go through all results once there are many waits
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
    -- First what was on the way, then the end that counts.
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
  'News of the tasks that this session waits for. None: one row without a task, which says whether this session may sleep now until it is notified; if not, look again soon';

create function pgqueue._stop_awaiting(task_ids text[], was_asleep boolean)
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
comment on function pgqueue._stop_awaiting(text[], boolean) is 'This session no longer waits for these tasks, and for now does not sleep: nobody notifies it';

create function pgqueue._save_task_group(group_id text, payload bytea, lifetime interval)
  returns void
  language sql volatile security definer
begin atomic
  insert into pgqueue.task_group as g (id, payload, expires_at)
  values (group_id, _save_task_group.payload, coalesce(clock_timestamp() + lifetime, 'infinity'))
  on conflict (id) do update
  set payload = excluded.payload, expires_at = excluded.expires_at;
end;
comment on function pgqueue._save_task_group(text, bytea, interval) is 'Keeps a group of tasks, or replaces it';

create function pgqueue._task_group(group_id text)
  returns bytea
  language sql volatile security definer
begin atomic
  select g.payload from pgqueue.task_group g where g.id = group_id and g.expires_at > clock_timestamp();
end;
comment on function pgqueue._task_group(text) is 'A group that was kept; NULL: there is none';

create function pgqueue._delete_task_group(group_id text)
  returns void
  language sql volatile security definer
begin atomic
  delete from pgqueue.task_group g where g.id = group_id;
end;
comment on function pgqueue._delete_task_group(text) is 'Forgets a group';

create function pgqueue._set_chord_size(group_id text, size int, lifetime interval)
  returns void
  language sql volatile security definer
begin atomic
  insert into pgqueue.chord as c (group_id, size, expires_at)
  values (_set_chord_size.group_id, _set_chord_size.size, coalesce(clock_timestamp() + lifetime, 'infinity'))
  -- A chord that is called again has the same group.
  on conflict (group_id) do update
  set size = excluded.size, expires_at = excluded.expires_at, dispatched_at = null;
end;
comment on function pgqueue._set_chord_size(text, int, interval) is 'Says how many parts a chord has';

create function pgqueue._grow_chord(group_id text, lifetime interval)
  returns void
  language sql volatile security definer
begin atomic
  insert into pgqueue.chord as c (group_id, added, expires_at)
  values (_grow_chord.group_id, 1, coalesce(clock_timestamp() + lifetime, 'infinity'))
  on conflict (group_id) do update
  set added = c.added + 1;
end;
comment on function pgqueue._grow_chord(text, interval) is 'A task of a chord adds a part to it';

create function pgqueue._add_chord_part(group_id text, place int, task_id text, payload bytea, lifetime interval)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  present pgqueue.chord;
begin
  -- The row of the chord stays locked to the end of the transaction: one part after the other decides.
  insert into pgqueue.chord as c (group_id, expires_at)
  values (_add_chord_part.group_id, coalesce(clock_timestamp() + lifetime, 'infinity'))
  on conflict (group_id) do nothing;
  select * into present from pgqueue.chord c where c.group_id = _add_chord_part.group_id for update;
  if present.dispatched_at is not null then
    return false;
  end if;
  insert into pgqueue.chord_part (group_id, place, task_id, payload)
  values (_add_chord_part.group_id, coalesce(_add_chord_part.place, 2147483647), _add_chord_part.task_id, _add_chord_part.payload)
  on conflict do nothing;
  if found then
    update pgqueue.chord c set returned = c.returned + 1 where c.group_id = _add_chord_part.group_id returning * into present;
  end if;
  return coalesce(present.returned = present.size + present.added, false);
end
$$;
comment on function pgqueue._add_chord_part(text, int, text, bytea, interval) is
  'A part of a chord has returned. True: it is complete, and the caller sends the callback and calls _finish_chord in this same transaction';

create function pgqueue._chord_parts(group_id text)
  returns setof bytea
  language sql stable security definer
begin atomic
  select p.payload from pgqueue.chord_part p where p.group_id = _chord_parts.group_id order by p.place, p.returned_at;
end;
comment on function pgqueue._chord_parts(text) is 'What the parts of a chord returned, in the order of its header';

create function pgqueue._finish_chord(group_id text)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  was_open boolean;
begin
  -- The row stays for a while: a part that returns twice must not begin the chord anew.
  update pgqueue.chord c
  set dispatched_at = clock_timestamp(), returned = 0, added = 0
  where c.group_id = _finish_chord.group_id and c.dispatched_at is null;
  was_open := found;
  delete from pgqueue.chord_part p where p.group_id = _finish_chord.group_id;
  return was_open;
end
$$;
comment on function pgqueue._finish_chord(text) is 'The callback of a chord was sent, or its errors were; parts that return later are ignored';

select pgqueue._make_partitions();

-- Who may: whoever may send tasks may store and read results by their ids, as on every result backend of Celery.

revoke all on pgqueue.task_result, pgqueue.task_result_default, pgqueue.task_group, pgqueue.chord, pgqueue.chord_part, pgqueue.result_waiter from public;
revoke all on function
  pgqueue._expire_task_results(), pgqueue._end_task(pgqueue.message, text, text), pgqueue._state_rank(text), pgqueue._task_results(text[]), pgqueue.task_result(text),
  pgqueue._store_task_result(text, text, text, bytea, interval, text), pgqueue._forget_task_result(text), pgqueue._await_results(text[]),
  pgqueue._collect_results(text[], boolean), pgqueue._stop_awaiting(text[], boolean), pgqueue._save_task_group(text, bytea, interval),
  pgqueue._task_group(text), pgqueue._delete_task_group(text), pgqueue._set_chord_size(text, int, interval), pgqueue._grow_chord(text, interval),
  pgqueue._add_chord_part(text, int, text, bytea, interval), pgqueue._chord_parts(text), pgqueue._finish_chord(text)
  from public;
grant execute on function
  pgqueue._task_results(text[]), pgqueue.task_result(text),
  pgqueue._store_task_result(text, text, text, bytea, interval, text), pgqueue._forget_task_result(text), pgqueue._await_results(text[]),
  pgqueue._collect_results(text[], boolean), pgqueue._stop_awaiting(text[], boolean), pgqueue._save_task_group(text, bytea, interval),
  pgqueue._task_group(text), pgqueue._delete_task_group(text), pgqueue._set_chord_size(text, int, interval), pgqueue._grow_chord(text, interval),
  pgqueue._add_chord_part(text, int, text, bytea, interval), pgqueue._chord_parts(text), pgqueue._finish_chord(text)
  to pgqueue_user, pgqueue_worker;
