-- How a message moves: claim, ack, release; who is alive; who sleeps. Every change of state is one statement here.

create function pgqueue._lock_class(purpose text)
  returns int
  language sql immutable
begin atomic
  -- 'pgq' and a number: the first key of pgqueue's advisory locks.
  select case purpose when 'worker' then 1886417201 when 'sleeper' then 1886417202 when 'upkeep' then 1886417204
    when 'next_sleeper' then 1886417205 end;
end;
comment on function pgqueue._lock_class(text) is
  'The first key of an advisory lock: worker (liveness), sleeper and next_sleeper (wake-ups), upkeep';

create function pgqueue._advisory_locks(class int)
  returns table (objid int, pid int, mode text)
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  select (case when l.objid::bigint > 2147483647 then l.objid::bigint - 4294967296 else l.objid::bigint end)::int, l.pid, l.mode
  from pg_locks l
  where l.locktype = 'advisory' and l.classid::bigint = class and l.objsubid = 2 and l.granted
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
$$;
comment on function pgqueue._advisory_locks(int) is 'Who holds pgqueue''s advisory locks of a class. Not bound to a snapshot';

create function pgqueue._queue_channel(queue text)
  returns text
  language sql immutable
begin atomic
  select 'pgqueue.q.' || hashtext(queue);
end;
comment on function pgqueue._queue_channel(text) is 'The NOTIFY channel on which sleeping workers of a queue are woken';

create unlogged table pgqueue.notice (
  id bigint generated always as identity primary key,
  channel text not null
);
comment on table pgqueue.notice is 'Notifications that a transaction of now will send, where there can be prepared transactions (pgqueue._notify_at_commit)';

create function pgqueue._send_notice()
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
comment on function pgqueue._send_notice() is 'Sends a notification at the end of its transaction, unless that is prepared';

create constraint trigger notice_is_sent after insert on pgqueue.notice
  deferrable initially deferred for each row execute function pgqueue._send_notice();

create function pgqueue._notify_at_commit(channel text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- PREPARE TRANSACTION refuses a transaction that has sent a notification, and nothing says beforehand how one will end. Where there can
  -- be prepared ones, what runs at the end decides: before a commit it notifies; a prepared transaction leaves its messages to the workers,
  -- who look once every naptime.
  if current_setting('max_prepared_transactions')::int = 0 then
    perform pg_notify(channel, '');
  elsif coalesce(strpos(current_setting('pgqueue.noticed', true), channel || ' ') > 0, false) is false then
    insert into pgqueue.notice (channel) values (_notify_at_commit.channel);
    perform set_config('pgqueue.noticed', concat(current_setting('pgqueue.noticed', true), channel, ' '), true);
  end if;
end
$$;
comment on function pgqueue._notify_at_commit(text) is 'Notifies when the transaction commits. One that is prepared (two-phase commit) notifies nobody';

create function pgqueue._wake(queue text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A sleeping worker holds this lock exclusively. Publishers share it until they commit, so a worker that gets it knows that
  -- every message published before is visible to it, and one that published after finds it taken: no wake-up is lost.
  if not pg_try_advisory_xact_lock_shared(pgqueue._lock_class('sleeper'), hashtext(queue)) then
    perform pgqueue._notify_at_commit(pgqueue._queue_channel(queue));
  end if;
end
$$;
comment on function pgqueue._wake(text) is 'Notifies the workers of a queue at commit, if one of them sleeps';

create function pgqueue._fall_asleep(queues text[], out asleep boolean, out seconds_to_next_due float8)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  sleeper int := pgqueue._lock_class('sleeper');
  next_sleeper int := pgqueue._lock_class('next_sleeper');
  mine int[] := array(select l.objid from pgqueue._advisory_locks(sleeper) l where l.pid = pg_backend_pid() and l.mode = 'ExclusiveLock');
  waiting int[] := array(select l.objid from pgqueue._advisory_locks(next_sleeper) l where l.pid = pg_backend_pid() and l.mode = 'ShareLock');
  key int;
begin
  asleep := true;
  for key in select distinct hashtext(q) from unnest(queues) q loop
    continue when key = any (mine);
    -- One session can hold the sleepers' lock of a queue. It covers the other sleepers as well, for a notification wakes all.
    -- They hold the second lock together, so that the first, when it wakes up, knows to tell them. Taking the second before
    -- looking at the first leaves no moment in which it could miss them.
    if key <> all (waiting) and not pg_try_advisory_lock_shared(next_sleeper, key) then
      asleep := false;
    elsif pg_try_advisory_lock(sleeper, key) then
      perform pg_advisory_unlock_shared(next_sleeper, key);
    elsif not exists (select from pgqueue._advisory_locks(sleeper) l where l.objid = key and l.mode = 'ExclusiveLock') then
      asleep := false;
    end if;
  end loop;
  if not asleep then
    perform pgqueue._wake_up(array(select q from unnest(queues) q where hashtext(q) <> all (mine)));
  end if;
  seconds_to_next_due := pgqueue._seconds_to_next_due();
end
$$;
comment on function pgqueue._fall_asleep(text[]) is
  'Takes the sleepers'' locks of these queues for the session, or stands behind who has them. The caller claims once more before it sleeps; asleep = false: publishers are about to commit, look again soon';

create function pgqueue._seconds_to_next_due()
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

create function pgqueue._wake_up(queues text[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  sleeper int := pgqueue._lock_class('sleeper');
  next_sleeper int := pgqueue._lock_class('next_sleeper');
  queue text;
begin
  perform pg_advisory_unlock_shared(next_sleeper, l.objid)
  from pgqueue._advisory_locks(next_sleeper) l
  where l.pid = pg_backend_pid() and l.mode = 'ShareLock' and l.objid = any (array(select hashtext(q) from unnest(queues) q));
  for queue in
    select min(q) from unnest(queues) q
    join pgqueue._advisory_locks(sleeper) l on l.objid = hashtext(q) and l.pid = pg_backend_pid() and l.mode = 'ExclusiveLock'
    group by hashtext(q)
  loop
    perform pg_advisory_unlock(sleeper, hashtext(queue));
    if not pg_try_advisory_xact_lock(next_sleeper, hashtext(queue)) then
      perform pgqueue._hand_over(queue);
    end if;
  end loop;
end
$$;
comment on function pgqueue._wake_up(text[]) is 'Gives the sleepers'' locks of these queues back, and tells who stands behind them';

create function pgqueue._hand_over(queue text)
  returns void
  language sql volatile
begin atomic
  select pg_notify(pgqueue._queue_channel(queue), 'sleep again');
end;
comment on function pgqueue._hand_over(text) is 'Tells the sleepers of a queue that the session that covered them is awake or gone';

create function pgqueue._register_worker(name text, executors int, predecessor int default null, ids bigint[] default '{}', tokens bigint[] default '{}',
                                         begun bigint[] default '{}')
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  new_id int;
begin
  if pg_is_in_recovery() then
    raise exception 'the server is in recovery' using errcode = '57P03', hint = 'The worker waits until it accepts writes.';
  end if;
  perform pgqueue._require_home();
  -- The lock comes first: whoever sees the row sees the lock. Any role can take advisory locks, so a number may be taken.
  loop
    new_id := nextval(pg_get_serial_sequence('pgqueue.worker', 'id'));
    exit when pg_try_advisory_lock(pgqueue._lock_class('worker'), new_id);
  end loop;
  insert into pgqueue.worker (id, name, pid, executors) overriding system value
  values (new_id, _register_worker.name, pg_backend_pid(), _register_worker.executors);
  -- First: what is claimed for the old number from now on is not seen below, and left to pgqueue._reclaim.
  update pgqueue.worker w set lost_at = '-infinity', successor = new_id
  where w.id = _register_worker.predecessor or w.successor = _register_worker.predecessor;
  -- What the process still runs goes over before anybody can find its old session gone without finding this row. The rest
  -- it has forgotten: nobody needs to wait for that. Tasks that it had not begun are as if they had not been handed out; of jobs
  -- their rows tell (pgqueue._reclaim).
  update pgqueue.message m
  set worker_id = new_id
  from unnest(_register_worker.ids, _register_worker.tokens) kept (id, token)
  where m.id = kept.id and m.token = kept.token;
  -- Jobs whose transactions are open need not: their rows are locked until they end. What runs outside a transaction locks nothing.
  update pgqueue.message m
  set worker_id = new_id
  where m.id = any (array(
    select q.id from pgqueue.message q
    where q.state = 'claimed' and q.worker_id = _register_worker.predecessor and q.kind = 'job'
      and exists (select from pgqueue.activity a where a.id = q.id and a.token = q.token)
    for update skip locked));
  perform pgqueue._release(array_agg(m.id), array_agg(m.token), true)
  from (
    select q.id, q.token from pgqueue.message q
    where q.state = 'claimed' and q.worker_id = _register_worker.predecessor and q.kind = 'task' and q.id <> all (_register_worker.begun)
    for update skip locked
  ) m
  having count(*) > 0;
  return new_id;
end
$$;
comment on function pgqueue._register_worker(text, int, int, bigint[], bigint[], bigint[]) is
  'Makes this session the life of a worker: its claims are free soon after the session is gone. predecessor: as which worker its process was known before; ids, tokens: the claims of then that it keeps; begun: the tasks of then that it had begun';

create function pgqueue._set_worker_executors(worker_id int, executors int)
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  update pgqueue.worker w set executors = _set_worker_executors.executors where w.id = worker_id;
end;
comment on function pgqueue._set_worker_executors(int, int) is 'Says how many jobs a worker can run at the same time, which changes when its pool is scaled';

create function pgqueue._set_worker_queues(worker_id int, queues text[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  dropped text[];
  taken text;
begin
  -- Locked, so that of two processes that begin at the same time the second sees the first.
  perform from pgqueue.queue q where q.name = any (_set_worker_queues.queues) and q.exclusive order by q.id for update;
  if found then
    select min(q.name) into taken
    from pgqueue.queue q
    join pgqueue.worker w on q.name = any (w.queues)
    where q.exclusive and q.name = any (_set_worker_queues.queues) and w.id <> worker_id and w.lost_at is null
      and exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = w.id and l.pid = w.pid);
    if taken is not null then
      raise exception 'queue "%" is exclusive, and another process consumes it', taken using errcode = '55006', hint = 'Wait until that has ended, or use a queue of another name.';
    end if;
  end if;
  select array(select unnest(w.queues) except select unnest(_set_worker_queues.queues)) into dropped
  from pgqueue.worker w where w.id = worker_id;
  update pgqueue.worker w set queues = _set_worker_queues.queues where w.id = worker_id;
  update pgqueue.queue q set used_at = clock_timestamp()
  where q.id = any (array(select u.id from pgqueue.queue u
                          where u.name = any (_set_worker_queues.queues) and u.expires_after is not null for update skip locked));
  perform pgqueue._auto_delete(dropped);
end
$$;
comment on function pgqueue._set_worker_queues(int, text[]) is 'Says which queues a worker consumes. One that is exclusive only one process consumes. Auto-delete queues that lose their last consumer go';

create function pgqueue._auto_delete(queues text[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._give_up_queue(q.declared_by, q.name) from pgqueue.queue q where q.name = any (queues) and (q.auto_delete or q.exclusive) order by q.declared_by;
end
$$;
comment on function pgqueue._auto_delete(text[]) is 'Deletes those of these queues that are auto-delete or exclusive and that nobody consumes';

create function pgqueue._promote(max_count int)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  due_until timestamptz := clock_timestamp();  -- a value, not a volatile call: the index can stop there
  promoted int;
begin
  update pgqueue.message m
  set state = 'ready'
  from (
    select d.id from pgqueue.message d
    where d.state = 'delayed' and d.due_at <= due_until
    order by d.due_at
    limit max_count
    for update skip locked
  ) due
  where m.id = due.id;
  get diagnostics promoted = row_count;
  return promoted;
end
$$;
comment on function pgqueue._promote(int) is 'Makes delayed messages that are due ready';

-- The functions of a claim, down to pgqueue._claim, have no settings of their own: to enter one that has costs as much as to find a message.
-- Theirs are those of pgqueue._claim.
create function pgqueue._ready_roles(kind pgqueue.message_kind, queue text, after oid, max_count int, bounds jsonb)
  returns oid[]
  language plpgsql volatile
as $$
#variable_conflict use_column
begin
  if bounds is null then
    -- One step for each role, however many messages it has.
    return array(
      with recursive later (role) as (
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.submitter > after
                order by m.submitter limit 1)
        union all
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.submitter > l.role
                order by m.submitter limit 1)
        from later l where l.role is not null
      ), earlier (role) as (
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.submitter <= after
                order by m.submitter limit 1)
        union all
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready'
                  and m.submitter > e.role and m.submitter <= after
                order by m.submitter limit 1)
        from earlier e where e.role is not null
      )
      select l.role from later l where l.role is not null
      union all
      select e.role from earlier e where e.role is not null
      limit max_count);
  end if;
  -- Of a role that has bounds only what is above them is looked at; of the others, which lie between those, the first.
  return array(
    with known as materialized (
      select k.role, lead(k.role, 1, 4294967295::oid) over (order by k.role) as next_role
      from (select 0::pg_catalog.oid as role union all select b.key::pg_catalog.oid from jsonb_each(bounds) b) k
    )
    select r.role
    from (
      select k.role from known k
      where k.role <> 0 and exists (
        select from generate_series(0, 9) p (level)
        cross join lateral (
          select from pgqueue.message m
          where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.submitter = k.role
            and pgqueue._rank(m.priority, m.id) > pgqueue._bound(bounds -> k.role::text, p.level)
            and pgqueue._rank(m.priority, m.id) < (p.level + 1)::bigint << 58
          limit 1
        ) above)
      union all
      select n.role from known k
      cross join lateral (
        select m.submitter from pgqueue.message m
        where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready'
          and m.submitter > k.role and m.submitter < k.next_role
        order by m.submitter limit 1
      ) n (role)
    ) r
    order by r.role <= after, r.role
    limit max_count);
end
$$;
comment on function pgqueue._ready_roles(pgqueue.message_kind, text, oid, int, jsonb) is
  'The roles that have something ready in a queue, those after a certain one first. bounds: as in pgqueue._next_ready';

create function pgqueue._bound(bounds jsonb, level int)
  returns bigint
  language sql immutable
begin atomic
  select coalesce((bounds ->> level::text)::bigint, level::bigint << 58 | coalesce((bounds ->> '*')::bigint, 0));
end;
comment on function pgqueue._bound(jsonb, int) is
  'Above which rank to look in a level, by the bounds of a role: its own, else the number that stands for all levels';

create function pgqueue._next_of_role(kind pgqueue.message_kind, queue text, role oid, max_count int, bounds jsonb, above bigint)
  returns table (id bigint, rank bigint)
  language plpgsql volatile
  rows 1  -- few, or the claim's cached plan for a table that was small then goes through all of one that has grown
as $$
#variable_conflict use_column
begin
  if bounds is null then
    return query
    select m.id, pgqueue._rank(m.priority, m.id)
    from pgqueue.message m
    where m.queue = _next_of_role.queue and m.kind = _next_of_role.kind and m.state = 'ready' and m.submitter = _next_of_role.role
      and pgqueue._rank(m.priority, m.id) > above
    order by pgqueue._rank(m.priority, m.id)
    limit max_count
    for update skip locked;
  else
    -- In each priority above what was claimed before, so that what was done since some old snapshot is not read again and again.
    return query
    select m.id, m.rank
    from generate_series(greatest(above >> 58, 0)::int, 9) p (level)
    cross join lateral (
      select r.id, pgqueue._rank(r.priority, r.id) as rank
      from pgqueue.message r
      where r.queue = _next_of_role.queue and r.kind = _next_of_role.kind and r.state = 'ready' and r.submitter = _next_of_role.role
        and pgqueue._rank(r.priority, r.id) > greatest(pgqueue._bound(bounds, p.level), above)
        and pgqueue._rank(r.priority, r.id) < (p.level + 1)::bigint << 58
      order by pgqueue._rank(r.priority, r.id)
      limit max_count
      for update skip locked
    ) m
    limit max_count;
  end if;
end
$$;
comment on function pgqueue._next_of_role(pgqueue.message_kind, text, oid, int, jsonb, bigint) is
  'Locks the next ready messages of a role in a queue that nobody else has locked: those above a rank. bounds: above which rank to look, for each level (9 - priority)';

create function pgqueue._role_after(queue text)
  returns oid
  language sql stable
begin atomic
  select coalesce((nullif(current_setting('pgqueue.claim_turns', true), '')::jsonb ->> queue)::oid, 0);
end;
comment on function pgqueue._role_after(text) is 'Whose turn it was last in a queue, as far as this session claims; 0: nobody''s';

create function pgqueue._next_ready(kind pgqueue.message_kind, queue text, max_count int, bounds jsonb, role_limit int, held jsonb)
  returns table (id bigint, place bigint)
  language plpgsql volatile
  rows 1
as $$
#variable_conflict use_column
declare
  most_roles constant int := 50;
  after pg_catalog.oid;
  first_role pg_catalog.oid;
  roles pg_catalog.oid[];
  is_last boolean;
  rooms int[];
  taken int[];
  last_ranks bigint[];
  active int[];
  still_active int[];
  n int;
  share int;
  got int;
begin
  if bounds is null then
    -- The usual case at once: one role has handed in all that is here. The last one is looked for, since what is done stands in front: to find
    -- the first would be to read past it once more.
    return query
    with last_role as materialized (
      select m.submitter from pgqueue.message m
      where m.queue = _next_ready.queue and m.kind = _next_ready.kind and m.state = 'ready'
      order by m.submitter desc limit 1
    )
    select m.id, pgqueue._rank(m.priority, m.id)
    from pgqueue.message m
    where m.queue = _next_ready.queue and m.kind = _next_ready.kind and m.state = 'ready'
      and m.submitter = (select l.submitter from last_role l)
      and not exists (select from pgqueue.message e
                      where e.queue = _next_ready.queue and e.kind = _next_ready.kind and e.state = 'ready'
                        and e.submitter < (select l.submitter from last_role l))
    order by pgqueue._rank(m.priority, m.id)
    limit case when role_limit is null then max_count
          else greatest(least(max_count, role_limit - coalesce((held ->> (select l.submitter::pg_catalog.text from last_role l))::int, 0)), 0) end
    for update skip locked;
    if found then
      return;
    end if;
  end if;
  after := pgqueue._role_after(queue);
  while max_count > 0 loop
    -- At least two: of a role that is alone nothing is noted.
    roles := pgqueue._ready_roles(kind, queue, after, least(greatest(max_count, 2), most_roles), bounds);
    is_last := cardinality(roles) < least(greatest(max_count, 2), most_roles);
    if first_role is null then
      exit when roles = '{}';
      if roles[2] is null then
        return query
        select m.id, m.rank
        from pgqueue._next_of_role(kind, queue, roles[1], greatest(least(max_count, role_limit - coalesce((held ->> roles[1]::text)::int, 0)), 0),
                                   case when bounds is not null then coalesce(bounds -> roles[1]::text, '{}') end, -1) m;
        return;
      end if;
      first_role := roles[1];
    elsif first_role = any (roles) then
      roles := roles[:array_position(roles, first_role) - 1];
      is_last := true;
    end if;
    roles := roles[:max_count];
    exit when roles = '{}';
    select array_agg(least(max_count, role_limit - coalesce((held ->> r.role::text)::int, 0)) order by r.n),
           array_agg(0 order by r.n), array_agg(-1::bigint order by r.n), array_agg(r.n::int order by r.n)
    into rooms, taken, last_ranks, active
    from unnest(roles) with ordinality r (role, n);
    -- To each an equal share. What one has no use for is shared among the others.
    while active <> '{}' and max_count > 0 loop
      still_active := '{}';
      for i in 1 .. cardinality(active) loop
        n := active[i];
        share := least(ceil(max_count / (cardinality(active) - i + 1)::numeric), rooms[n]);
        continue when share <= 0;
        got := 0;
        for id, place in
          select m.id, m.rank
          from pgqueue._next_of_role(kind, queue, roles[n], share, case when bounds is not null then coalesce(bounds -> roles[n]::text, '{}') end, last_ranks[n]) m
        loop
          last_ranks[n] := place;
          taken[n] := taken[n] + 1;
          got := got + 1;
          -- The first of each before the second.
          place := taken[n] * 1000 + n;
          return next;
        end loop;
        max_count := max_count - got;
        rooms[n] := rooms[n] - got;
        if got = share then
          still_active := still_active || n;
        end if;
      end loop;
      active := still_active;
    end loop;
    -- Next time another one is the first: when all had a turn the second of these, else who comes after the last.
    after := case when is_last then first_role else roles[cardinality(roles)] end;
    exit when is_last;
  end loop;
  if first_role is not null then
    perform set_config('pgqueue.claim_turns',
                       (coalesce(nullif(current_setting('pgqueue.claim_turns', true), ''), '{}')::pg_catalog.jsonb || jsonb_build_object(queue, after::text))::text, false);
  end if;
end
$$;
comment on function pgqueue._next_ready(pgqueue.message_kind, text, int, jsonb, int, jsonb) is
  'Locks the next ready messages of a queue that nobody else has locked, a turn for each role, and says in which order they are handed out. bounds: above which rank to look, for each role and level; role_limit: how many of one role at most, beside those that are held';

create function pgqueue._next_overdue(kind pgqueue.message_kind, queue text, max_count int, bounds jsonb, role_limit int, held jsonb)
  returns table (id bigint)
  language plpgsql volatile
  rows 1
as $$
#variable_conflict use_column
declare
  -- Of one role: the others are not behind its priorities.
  role oid := (select r.role from unnest(pgqueue._ready_roles(kind, queue, pgqueue._role_after(queue), 20, bounds)) r (role) order by random() limit 1);
  of_role jsonb := case when bounds is not null then coalesce(bounds -> role::text, '{}') end;
  room int := greatest(least(max_count, role_limit - coalesce((held ->> role::text)::int, 0)), 0);
  first_level int := (select (n.rank >> 58)::int from pgqueue._next_of_role(kind, queue, role, 1, of_role, -1) n);
begin
  if first_level < 9 then
    return query
    select m.id
    -- Any of the lower levels, lest one of them is always passed over.
    from pgqueue._next_of_role(kind, queue, role, room, of_role, (first_level + 1 + floor(random() * (9 - first_level))::bigint << 58) - 1) n
    join pgqueue.message m on m.id = n.id
    where greatest(m.launched_at, m.due_at) < clock_timestamp() - interval '1 minute';
  end if;
end
$$;
comment on function pgqueue._next_overdue(pgqueue.message_kind, text, int, jsonb, int, jsonb) is
  'Locks some messages of a role in a queue that have waited for more than a minute behind its higher priorities';

create function pgqueue._raise_bounds(bounds jsonb, ids bigint[], must_lower boolean)
  returns jsonb
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(bounds, '{}') || coalesce(jsonb_object_agg(q.queue, coalesce(bounds -> q.queue, '{}') || q.raised), '{}')
  from (
    select r.queue, jsonb_object_agg(r.role, coalesce(bounds -> r.queue -> r.role, '{}') || r.raised) as raised
    from (
      select c.queue, c.role, jsonb_object_agg(c.level, case when must_lower then c.last_rank
                                                        else greatest(c.last_rank, (bounds -> c.queue -> c.role ->> c.level::text)::bigint) end) as raised
      from (select m.queue, m.submitter::text as role, 9 - m.priority as level, max(pgqueue._rank(m.priority, m.id)) as last_rank
            from pgqueue.message m where m.id = any (ids) group by 1, 2, 3) c
      group by c.queue, c.role
    ) r
    group by r.queue
  ) q
$$;
comment on function pgqueue._raise_bounds(jsonb, bigint[], boolean) is 'The bounds of all queues after these messages were claimed';

create function pgqueue._bound_roles(kind pgqueue.message_kind, queues text[], bounds jsonb)
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  -- Not the last numbers: their transactions may be about to commit.
  seen_until bigint := (select greatest(s.last_value - 1000, 0) from pgqueue.message_id_seq s);
  queue text;
  ready oid[];
  known jsonb;
begin
  foreach queue in array queues loop
    ready := pgqueue._ready_roles(kind, queue, 0, 1000, null);
    select jsonb_object_agg(r.role, case when r.role = any (ready) then coalesce(bounds -> queue -> r.role::text, '{}')
                                         else jsonb_build_object('*', seen_until) end) into known
    from (select unnest(ready) as role union (select k.role from pgqueue.role_key k order by k.role limit 1000)) r;
    bounds := bounds || jsonb_build_object(queue, coalesce(bounds -> queue, '{}') || coalesce(known, '{}'));
  end loop;
  return bounds;
end
$$;
comment on function pgqueue._bound_roles(pgqueue.message_kind, text[], jsonb) is
  'The bounds with those of all roles that have something ready now or may have soon. What enrolled roles that have nothing had before is not read again';

create function pgqueue._claim(worker_id int, kind text, queues text[], max_count int, role_limit int default null, held jsonb default null)
  returns table (id bigint, token bigint, queue text, earlier_deliveries int, message json)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  -- Planned once, and whatever the statistics say: by index, row by row. Planning it for each claim took two thirds of the time of one.
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  wanted_kind pgqueue.message_kind := case kind when 'batch' then 'job' else kind end;
  -- What this session remembers while claims are dear: {kind: {full_at, seconds, bounds: {queue: {role: {level: rank}}}}}.
  memories jsonb := coalesce(nullif(current_setting('pgqueue.claim_memory', true), ''), '{}')::jsonb;
  memory jsonb := memories -> kind;
  bounds jsonb := case when (memory ->> 'full_at')::float8 > extract(epoch from clock_timestamp()) then memory -> 'bounds' end;
  begun_at timestamptz;
  seconds float8;
  last_seconds float8;
  ids bigint[] := '{}';
  -- Now and then those get a turn who would wait for ever behind higher priorities.
  is_generous boolean := random() < 0.1;
  has_passed_some boolean := false;
  setting text;
  is_registered boolean;
  is_due boolean;
  has_dead_letters boolean;
  is_ready boolean;
begin
  -- A claim that a crash of the server loses is a message that is ready again: it need not wait for the disk. For tasks the caller
  -- decides otherwise.
  setting := set_config('synchronous_commit', 'off', true);
  begun_at := clock_timestamp();
  -- One whose session was seen to be gone may not claim either: others are about to have what it holds. It hears so while it may still take
  -- that along. In one statement what decides on what is to follow: each by itself would cost as much as all of them.
  select exists (select from pgqueue.worker w where w.id = _claim.worker_id and w.lost_at is null),
         exists (select from pgqueue.message d where d.state = 'delayed' and d.due_at <= begun_at),
         exists (select from pgqueue.queue q where q.name = any (_claim.queues) and q.declared_by = 0 and q.dead_letter_exchange is not null),
         memory is not null
           or exists (select from pgqueue.message m where m.state = 'ready' and m.kind = wanted_kind and m.queue = any (_claim.queues))
  into is_registered, is_due, has_dead_letters, is_ready;
  if not is_registered then
    raise exception 'worker % is no longer registered', worker_id using errcode = 'PQ003', hint = 'Register again.';
  end if;
  if not (is_ready or is_due or has_dead_letters) and clock_timestamp() < begun_at + interval '5 ms' then
    -- Who wakes a worker has published tasks or jobs, seldom both: starting what follows costs more than this look. One that is
    -- dear itself goes on, and is measured.
    return;
  end if;
  if is_due then
    -- Not without that look: starting an update that finds nothing costs much more.
    perform pgqueue._promote(1000);
  end if;
  -- What only the role that sent it has declared so, upkeep moves.
  if has_dead_letters then
    perform pgqueue._expire_messages(_claim.queues, 1000);
  end if;
  loop
    begun_at := clock_timestamp();
    for id, token, queue, earlier_deliveries, message, has_passed_some in
    with wanted as materialized (
      -- First of all: nothing of a paused queue is to be locked.
      select distinct u.name, exists (select from pgqueue.queue_switch q where q.name = u.name and q.durability = 'async') as is_async
      from unnest(_claim.queues) u (name)
      where not exists (select from pgqueue.queue_switch q where q.name = u.name and q.paused)
    ), candidate as materialized (
      select c.id, row_number() over (partition by wanted.name order by c.place) as place, wanted.is_async
      from wanted
      cross join lateral pgqueue._next_ready(wanted_kind, wanted.name, max_count - cardinality(ids),
                                             case when bounds is not null then coalesce(bounds -> wanted.name, '{}') end, role_limit, held) c
      union all
      select o.id, 0, wanted.is_async
      from wanted
      cross join lateral pgqueue._next_overdue(wanted_kind, wanted.name, 1 + (max_count - cardinality(ids)) / 10,
                                               case when bounds is not null then coalesce(bounds -> wanted.name, '{}') end, role_limit, held) o
      where is_generous
    ), picked as materialized (
      -- A turn for each queue, the first messages of each before the second, and no queue always before the others.
      select c.id, c.place, c.is_async from candidate c order by c.place, random() limit max_count - cardinality(ids)
    ), stale as (
      delete from pgqueue.message m using picked p
      where m.id = p.id and m.kind = 'task' and m.expires_at <= clock_timestamp()
        -- These go to the queue's dead letters. They expired this instant: the next claim moves them.
        and not exists (select from pgqueue.queue q where q.name = m.queue and q.declared_by in (0, m.submitter) and q.dead_letter_exchange is not null)
        and not pgqueue._is_revoked_by_worker(m.payload)
      returning pgqueue._end_task(m, 'REVOKED', 'the time to live of the message was over')
    ), claimed as (
      update pgqueue.message m
      set state = 'claimed', token = pgqueue._random_bigint(), worker_id = _claim.worker_id, deliveries = least(m.deliveries + 1, 32767),
          -- As the job itself or its session said, else as its queue says.
          settings = case when p.is_async and m.kind = 'job' then '{"synchronous_commit": "off"}' || coalesce(m.settings, '{}') else m.settings end
      from picked p
      where m.id = p.id
        and case when m.kind = 'task' and m.expires_at <= clock_timestamp() then pgqueue._is_revoked_by_worker(m.payload) else true end
      returning m.*, p.place
    )
    select c.id, c.token, c.queue, c.deliveries - 1,
           case when c.kind = 'task' then c.payload
           when _claim.kind = 'batch' and k.runner is not null and c.kept = 'none' and not c.top_level
                -- These must be known before the transaction begins; and parameters are bound to one prepared statement.
                and not c.settings ?| array['default_transaction_isolation', 'default_transaction_read_only', 'default_transaction_deferrable']
                and (c.params is null or strpos(rtrim(c.sql, E'; \t\r\n'), ';') = 0)
             then to_json(c.submitter::bigint)
           when _claim.kind = 'batch' then pgqueue._job_document(c.id, c.token, c.queue, c.attempts, c.submitter, c.sql, c.params, c.settings, c.timeout,
                                                                 c.kept, c.label)
           else pgqueue._job_message(c.id, c.token, c.queue, c.priority, c.deliveries, c.attempts, c.submitter, c.sql, c.params, c.settings,
                                     c.timeout, c.kept, c.label) end,
           (select count(*) from candidate) > (select count(*) from picked)
    from claimed c
    left join pgqueue.role_key k on k.role = c.submitter
    order by c.place, pgqueue._rank(c.priority, c.id)
    loop
      ids := ids || id;
      return next;
    end loop;
    if has_passed_some then
      -- What this has locked and leaves to others, a worker that looked meanwhile and went to sleep did not see.
      perform pgqueue._wake(u.name) from unnest(_claim.queues) u (name)
      where exists (select from pgqueue.message m where m.state = 'ready' and m.kind = wanted_kind and m.queue = u.name);
    end if;
    -- Nothing, although something was ready: all that was picked had expired, maybe, and more stands in front of what has not.
    continue when bounds is null and cardinality(ids) = 0 and pgqueue._expire_messages(_claim.queues, 1000) > 0;
    exit when bounds is null or cardinality(ids) >= max_count or (memory ->> 'seconds')::float8 > 0.05;
    -- Or less was taken because a role has its share.
    exit when role_limit <= any (array(select count(*) + coalesce((held ->> m.submitter::text)::int, 0) from pgqueue.message m where m.id = any (ids) group by m.submitter)
                                || array(select h.value::bigint from jsonb_each_text(held) h));
    -- There is room for more than what is above the bounds, and the caller may sleep now: what came back below is looked for
    -- at once, unless that takes so long that it has to keep to its fiftieth of the time.
    bounds := null;
  end loop;
  seconds := extract(epoch from clock_timestamp() - begun_at);
  if bounds is not null then
    memory := jsonb_set(memory, '{bounds}', pgqueue._raise_bounds(bounds, ids, false));
  elsif current_setting('pgqueue.claim_memory', true) is null then
    -- The first claim of a session is planned, which says nothing of how much is dead.
    perform set_config('pgqueue.claim_memory', '{}', false);
    return;
  elsif seconds > 0.005 + 0.00004 * cardinality(ids) then
    -- Dear: it has read past much that is done, which a snapshot held elsewhere keeps VACUUM from removing. What comes back
    -- below the bounds (a retry, a lost worker's message, a late commit) is found by a look at everything, which gets
    -- a fiftieth of the time while there is enough above them.
    if memory is null then
      -- Once may be the machine, which was busy, and not what was read: what came back would wait fifty times as long for that.
      memory := jsonb_build_object('seconds', seconds);
    else
      last_seconds := (memory ->> 'seconds')::float8;
      memory := jsonb_build_object('bounds', pgqueue._bound_roles(wanted_kind, _claim.queues, pgqueue._raise_bounds(memory -> 'bounds', ids, cardinality(ids) >= max_count)));
      seconds := least(extract(epoch from clock_timestamp() - begun_at), last_seconds);
      memory := memory || jsonb_build_object('full_at', extract(epoch from clock_timestamp()) + 50 * seconds, 'seconds', seconds);
    end if;
  elsif memory is null then
    return;
  else
    memory := null;
  end if;
  perform set_config('pgqueue.claim_memory', (case when memory is null then memories - kind else jsonb_set(memories, array[kind], memory) end)::text, false);
end
$$;
comment on function pgqueue._claim(int, text, text[], int, int, jsonb) is
  'Hands up to max_count ready messages of these queues to a worker: a turn for each queue, in it for each role, of that high priority first. role_limit: at most so many of one role, with those that it has by held ({role: count}). kind batch: jobs, and only the submitter for those that the batch lane can run';

create function pgqueue._role_limit(out executors int, out has_others boolean)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  executors := nullif(pgqueue._worker_number('max_executors_per_role', 0, 0, 10000), 0);
  has_others := (select count(*) > 1 from (select from pgqueue.role_key k limit 2) k);
end
$$;
comment on function pgqueue._role_limit() is
  'How many executors of a worker one role may have (NULL: all but one), and whether more than one role is enrolled: else it may have all';

create function pgqueue._job_document(id bigint, token bigint, queue text, attempts smallint, submitter oid, sql text, params text[], settings jsonb,
                                      timeout interval, kept pgqueue.result_kept, label text)
  returns json
  language sql stable
begin atomic
  select json_build_object(
    'id', id, 'token', token, 'sql', sql, 'params', params, 'settings', settings, 'submitter', pg_get_userbyid(submitter),
    'role', submitter::bigint, 'timeout_ms', (extract(epoch from timeout) * 1000)::bigint, 'keep_result', kept <> 'none', 'attempt', attempts + 1,
    'queue', queue, 'label', label);
end;
comment on function pgqueue._job_document(bigint, bigint, text, smallint, oid, text, text[], jsonb, interval, pgqueue.result_kept, text)
  is 'A job as an executor of the top-level lane needs it';

create function pgqueue._job_message(id bigint, token bigint, queue text, priority smallint, deliveries smallint, attempts smallint,
                                     submitter oid, sql text, params text[], settings jsonb, timeout interval,
                                     kept pgqueue.result_kept, label text)
  returns json
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select json_build_object(
    'body', json_build_array(json_build_array(left(sql, 200)), '{}'::json,
                             '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'::json)::text,
    'content-type', 'application/json',
    'content-encoding', 'utf-8',
    'headers', json_build_object(
      'lang', 'sql', 'task', 'pgqueue.job', 'id', 'job-' || id, 'root_id', 'job-' || id, 'parent_id', null, 'group', null,
      'shadow', label, 'argsrepr', left(sql, 200), 'kwargsrepr', '{}', 'origin', pg_get_userbyid(submitter), 'retries', attempts,
      'eta', null, 'expires', null, 'timelimit', json_build_array(null, null), 'ignore_result', true,
      'job', pgqueue._job_document(id, token, queue, attempts, submitter, sql, params, settings, timeout, kept, label)),
    'properties', json_build_object(
      'delivery_mode', 2, 'priority', priority, 'correlation_id', 'job-' || id, 'reply_to', null,
      'delivery_info', json_build_object('exchange', '', 'routing_key', queue, 'redelivered', deliveries > 1)))
$$;
comment on function pgqueue._job_message(bigint, bigint, text, smallint, smallint, smallint, oid, text, text[], jsonb, interval, pgqueue.result_kept, text)
  is 'A job as a Celery message (protocol 2) for the task pgqueue.job';

create function pgqueue._ack(ids bigint[], tokens bigint[])
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  -- The plan stays when a small table has grown, so it is by index from the first.
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  acked int;
begin
  delete from pgqueue.message m
  using unnest(ids, tokens) done (id, token)
  where m.id = done.id and m.token = done.token;
  get diagnostics acked = row_count;
  return acked;
end
$$;
comment on function pgqueue._ack(bigint[], bigint[]) is 'Deletes claimed messages. One whose token is no longer current is left alone';

create function pgqueue._release(ids bigint[], tokens bigint[], undelivered boolean)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  released text[];
  dead_letters int;
begin
  select count(pgqueue._dead_letter(m, 'delivery_limit')) into dead_letters
  from pgqueue.message m, unnest(ids, tokens) done (id, token)
  where m.id = done.id and m.token = done.token
    and not undelivered and m.kind = 'task' and m.deliveries >= pgqueue._max_deliveries(m.queue, m.submitter);
  with back as (
    update pgqueue.message m
    set state = 'ready', token = null, worker_id = null, deliveries = m.deliveries - undelivered::int
    from unnest(ids, tokens) done (id, token)
    -- Only claimed messages have a token. Not said here, lest the planner goes through all of them.
    where m.id = done.id and m.token = done.token
    returning m.queue
  )
  select array_agg(queue) into released from back;
  perform pgqueue._wake(q) from (select distinct unnest(released)) r (q);
  return coalesce(cardinality(released), 0) + dead_letters;
end
$$;
comment on function pgqueue._release(bigint[], bigint[], boolean) is
  'Makes claimed messages ready again; tasks that came back too often become dead letters. undelivered: nobody began them, so they are not flagged as redelivered';

create function pgqueue._release_sorted(ids bigint[], tokens bigint[], have_begun boolean[])
  returns int
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- A row for each of the two, so that both are released.
  select coalesce(sum(pgqueue._release(g.ids, g.tokens, not g.has_begun)), 0)::int
  from (select r.has_begun, array_agg(r.id) as ids, array_agg(r.token) as tokens from unnest(ids, tokens, have_begun) r (id, token, has_begun) group by r.has_begun) g
$$;
comment on function pgqueue._release_sorted(bigint[], bigint[], boolean[]) is
  'Makes claimed messages ready again. Only those that were begun have been delivered once more, and are flagged as redelivered';

create function pgqueue._keep_claims(worker_id int, ids bigint[], begun bigint[])
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  released int;
begin
  select pgqueue._release_sorted(array_agg(m.id), array_agg(m.token), array_agg(m.has_begun)) into released
  from (
    select q.id, q.token, case q.kind when 'job' then q.xmax::text not in ('0', q.xmin::text) else q.id = any (_keep_claims.begun) end as has_begun
    from pgqueue.message q
    where q.state = 'claimed' and q.worker_id = _keep_claims.worker_id and q.id <> all (ids)
      -- What runs outside a transaction, its worker may have claimed for a job that waits for it.
      and not exists (select from pgqueue.activity a where a.id = q.id and a.token = q.token)
    -- The row of a job that runs is locked by its transaction: that stays ours, and is not waited for.
    for update skip locked
  ) m
  having count(*) > 0;
  return coalesce(released, 0);
end
$$;
comment on function pgqueue._keep_claims(int, bigint[], bigint[]) is
  'Makes ready again what a worker holds but for these: after an error it may hold messages that it knows nothing of. begun: the tasks that it has begun and forgotten';

create function pgqueue._postpone(id bigint, token bigint, due_at timestamptz)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  queue text;
begin
  -- By the clock that will make it ready.
  if due_at <= clock_timestamp() then
    return false;
  end if;
  update pgqueue.message m
  set state = 'delayed', token = null, worker_id = null, deliveries = greatest(m.deliveries - 1, 0), due_at = _postpone.due_at
  where m.id = _postpone.id and m.token = _postpone.token
  returning m.queue into queue;
  if found then
    perform pgqueue._wake_for(queue, due_at);
  end if;
  return true;
end
$$;
comment on function pgqueue._postpone(bigint, bigint, timestamptz) is
  'A claimed task says itself that it is due later, and was published without that: it waits here, not in the worker. False: it is due now';

create function pgqueue._unregister_worker(worker_id int, begun bigint[] default '{}')
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  queues text[];
begin
  -- What a worker hands back in order and has not begun was not delivered: restarts would make a dead letter of a task that waits in workers.
  perform pgqueue._release_sorted(array_agg(m.id), array_agg(m.token), array_agg(m.has_begun))
  from (
    select q.id, q.token, case q.kind when 'job' then q.xmax::text not in ('0', q.xmin::text) else q.id = any (begun) end as has_begun
    from pgqueue.message q
    where q.state = 'claimed' and q.worker_id = _unregister_worker.worker_id
    -- A job that still runs is not waited for: the next tick after its transaction has ended finds it.
    for update skip locked
  ) m
  having count(*) > 0;
  update pgqueue.worker w set lost_at = '-infinity'
  where w.id = worker_id and exists (select from pgqueue.message m where m.state = 'claimed' and m.worker_id = w.id)
  returning w.queues into queues;
  if not found then
    delete from pgqueue.worker w where w.id = worker_id returning w.queues into queues;
  end if;
  perform pgqueue._wake_up(queues);
  perform pgqueue._auto_delete(queues);
end
$$;
comment on function pgqueue._unregister_worker(int, bigint[]) is
  'A worker ends: what it still holds is ready again, but for jobs that run, which the tick after their end finds. begun: the tasks that it has begun; only these have been delivered once more';

create function pgqueue._reclaim_grace()
  returns interval
  language sql immutable
begin atomic
  select interval '1 s';
end;
comment on function pgqueue._reclaim_grace() is 'How long a process whose session was found gone has to register anew, before others may have what it runs';

create function pgqueue._reclaim(max_deliveries int)
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
  -- One statement: its snapshot is older than what it reads of pg_locks, and a worker locks before it claims. So a claim
  -- without a lock is a dead worker's, and a worker that registers meanwhile is not among them.
  update pgqueue.worker w
  set lost_at = clock_timestamp()
  where w.id = any (array(
    select g.id from pgqueue.worker g
    where g.lost_at is null
      and not exists (select from pgqueue._advisory_locks(pgqueue._lock_class('worker')) l where l.objid = g.id and l.pid = g.pid)
    for update of g skip locked));
  select array_agg(distinct c.worker_id) into lost
  from (
    -- A process that lives and lost only its session registers anew at once, and takes along what it runs.
    select w.id as worker_id from pgqueue.worker w where w.lost_at < clock_timestamp() - pgqueue._reclaim_grace()
    union all
    -- A worker keeps its row while it has claims, but for one that ends while it claims. Now and then: all claims, also the
    -- many that are done and that a held snapshot keeps.
    select m.worker_id from pgqueue.message m
    where m.state = 'claimed' and is_thorough and not exists (select from pgqueue.worker w where w.id = m.worker_id)
  ) c;
  if lost is null then
    return 0;
  end if;
  -- The row of a job that runs is locked by its transaction: it is skipped until that has ended. One that has run, since it was claimed, has
  -- been locked by another transaction than the claim's; the others are no more to blame for the loss than what nobody had claimed.
  for found_claim in
    select m as message, m.xmax::text not in ('0', m.xmin::text) as has_begun
    from pgqueue.message m where m.state = 'claimed' and m.worker_id = any (lost) for update skip locked
  loop
    held := found_claim.message;
    has_begun := found_claim.has_begun or held.kind = 'task';
    -- Claimed for a number that its process no longer has, and begun outside a transaction: it runs on there.
    select s.id into living_id
    from pgqueue.worker w join pgqueue.worker s on s.id = w.successor and s.lost_at is null
    where w.id = held.worker_id and held.kind = 'job' and exists (select from pgqueue.activity a where a.id = held.id and a.token = held.token);
    if found then
      update pgqueue.message r set worker_id = living_id where r.id = held.id;
      continue;
    end if;
    if held.kind = 'job' and pgqueue._is_given_up(held.id, held.max_attempts) then
      perform pgqueue._give_up(held, jsonb_build_object('sqlstate', '08006', 'message', format('lost connection to the session of job %s', held.id)));
    elsif held.kind = 'job' and has_begun and held.deliveries >= max_deliveries
      and held.deliveries - coalesce((select l.acquittals from pgqueue.lost_session l where l.id = held.id), 0) >= max_deliveries
    then
      delete from pgqueue.message d where d.id = held.id;
      perform pgqueue._archive(held, 'failed', jsonb_build_object(
        'sqlstate', '08006', 'message', format('lost connection to the worker of job %s %s times', held.id, held.deliveries),
        'hint', 'The job seems to end the worker or the server. It was given up.'), null, null);
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
  -- It covered other sleepers, maybe, and could not tell them any more.
  perform pgqueue._hand_over(q) from (select distinct unnest(w.queues) from pgqueue.worker w where w.id = any (lost)) l (q);
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
  'Makes the messages of workers that are gone ready again; a job that was lost too often fails, such a task becomes a dead letter';

create table pgqueue.upkeep_failure (
  part text primary key,
  failing_since timestamptz not null default clock_timestamp(),
  failed_at timestamptz not null default clock_timestamp(),
  message text not null
);
comment on table pgqueue.upkeep_failure is 'Parts of the upkeep that failed when they were tried last';

create function pgqueue._do_upkeep(part text)
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
      -- A detach that committed while the job did has left the result, which the request hides.
      with gone as (
        delete from pgqueue.request r
        where r.requested_at < clock_timestamp() - interval '1 min' and not exists (select from pgqueue.message m where m.id = r.id)
        returning r.id, r.kind
      )
      delete from pgqueue.result d using gone where d.id = gone.id and gone.kind = 'detach';
    when 'activity' then
      delete from pgqueue.activity a where not exists (select from pgqueue.message m where m.id = a.id and m.token = a.token);
      delete from pgqueue.lost_session l where not exists (select from pgqueue.message m where m.id = l.id);
    when 'queues' then
      perform pgqueue._expire_queues();
    when 'new partitions' then
      perform pgqueue._make_partitions();
    when 'old partitions' then
      perform pgqueue._drop_partitions(pgqueue._worker_interval('result_ttl', '7 days', '0', '1000 years'));
  end case;
end
$$;
comment on function pgqueue._do_upkeep(text) is 'One part of the upkeep';

create function pgqueue._try_upkeep(part text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A subtransaction for each part: what makes one impossible (a publication, an event trigger, a damaged index) leaves the others alone.
  perform pgqueue._do_upkeep(part);
  delete from pgqueue.upkeep_failure f where f.part = _try_upkeep.part;
exception when others then
  if sqlstate = '55P03' and part in ('queues', 'new partitions', 'old partitions') then
    return;  -- somebody uses what is to be locked. The next tick tries again; there are three days of partitions ahead
  end if;
  -- In the log once, and as long as it lasts in pgqueue doctor.
  if not exists (select from pgqueue.upkeep_failure f where f.part = _try_upkeep.part and f.message = sqlerrm) then
    raise warning 'upkeep of pgqueue failed (%): %', part, sqlerrm using errcode = sqlstate;
  end if;
  insert into pgqueue.upkeep_failure as f (part, message) values (_try_upkeep.part, sqlerrm)
  on conflict on constraint upkeep_failure_pkey do update set failed_at = clock_timestamp(), message = excluded.message;
end
$$;
comment on function pgqueue._try_upkeep(text) is 'Does one part of the upkeep; its failure undoes nothing else and is noted';

create function pgqueue._failing_upkeep()
  returns table (part text, failing_since timestamptz, message text)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  select f.part, f.failing_since, f.message from pgqueue.upkeep_failure f order by f.failing_since, f.part;
end;
comment on function pgqueue._failing_upkeep() is 'The parts of the upkeep that fail now, for pgqueue doctor';

create function pgqueue._tick(worker_id int, items_processed bigint, last_run_at timestamptz)
  returns table (naptime float8, max_items int, seconds_to_next_due float8, seconds_to_next_schedule float8, has_schedules_to_plan boolean)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  overdue_schedule timestamptz;
begin
  if not exists (select from pgqueue.worker w where w.id = worker_id and w.lost_at is null) then
    raise exception 'worker % is no longer registered', worker_id using errcode = 'PQ003', hint = 'Register again.';
  end if;
  update pgqueue.worker w
  set last_seen_at = clock_timestamp(), items_processed = _tick.items_processed, last_run_at = _tick.last_run_at
  where w.id = worker_id
    and (w.items_processed <> _tick.items_processed or w.last_seen_at < clock_timestamp() - interval '10 s');
  perform pgqueue._try_upkeep('delays');
  overdue_schedule := pgqueue._overdue_schedule();
  if overdue_schedule is not null then
    perform pgqueue._try_upkeep('schedules');
  end if;
  -- One worker at a time. The lock is a row that nobody else can lock, not an advisory lock, which any role can take.
  perform from pgqueue.stat_fold for update skip locked;
  if found then
    perform pgqueue._try_upkeep(p) from unnest('{rescue,expiry,statistics,proofs,roles,quotas,requests,activity,schedule runs}'::text[]) p;
    -- Making and dropping partitions locks their parent: never queue for that lock in front of the workers.
    perform set_config('lock_timeout', '50ms', true);
    perform pgqueue._try_upkeep(p) from unnest('{queues,new partitions,old partitions}'::text[]) p;
  end if;
  return query select extract(epoch from case
                        -- A worker was found lost: its claims are to come back when the grace is over.
                        when exists (select from pgqueue.worker w where w.lost_at > clock_timestamp() - pgqueue._reclaim_grace())
                          then least(pgqueue._reclaim_grace(), pgqueue._worker_interval('naptime', '3 s', '0.1 s', '1 hour'))
                        else pgqueue._worker_interval('naptime', '3 s', '0.1 s', '1 hour') end)::float8,
                      pgqueue._worker_number('max_items', 500, 1, 10000), pgqueue._seconds_to_next_due(),
                      pgqueue._seconds_to_next_schedule(overdue_schedule), pgqueue._has_schedules_to_plan();
end
$$;
comment on function pgqueue._tick(int, bigint, timestamptz) is 'Heartbeat and upkeep, once every naptime by each worker. Returns the settings of now, when the next delayed message and the next schedule are due, and whether schedules are to be planned';

create function pgqueue._expire_queues()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  unused record;
begin
  update pgqueue.queue q set used_at = clock_timestamp()
  where q.id = any (array(
    select u.id from pgqueue.queue u
    where u.expires_after is not null and u.used_at < clock_timestamp() - u.expires_after / 2
      and exists (select from pgqueue.worker w where u.name = any (w.queues))
    for update of u skip locked));
  for unused in
    select q.declared_by, q.name from pgqueue.queue q
    where q.expires_after is not null and q.used_at < clock_timestamp() - q.expires_after
      -- Not one that has been declared otherwise since.
      and not exists (select from pgqueue.queue n where n.name = q.name and n.declared_by = q.declared_by and n.id > q.id)
    for update skip locked
  loop
    perform pgqueue._give_up_queue(unused.declared_by, unused.name);
  end loop;
end
$$;
comment on function pgqueue._expire_queues() is 'Deletes queues that nobody consumed for as long as their x-expires';

create function pgqueue._forget_dropped_roles()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Not those that are missing here but may come (pgqueue._repair_home).
  perform pgqueue._pause_schedules_of(k.role) from pgqueue.role_key k where k.role < 4294900000 and not exists (select from pg_roles r where r.oid = k.role);
  delete from pgqueue.role_key k where k.role < 4294900000 and not exists (select from pg_roles r where r.oid = k.role);
  delete from pgqueue.queue d where d.declared_by between 1 and 4294899999 and not exists (select from pg_roles r where r.oid = d.declared_by);
  delete from pgqueue.exchange e where e.declared_by between 1 and 4294899999 and not exists (select from pg_roles r where r.oid = e.declared_by);
  delete from pgqueue.binding b where b.declared_by between 1 and 4294899999 and not exists (select from pg_roles r where r.oid = b.declared_by);
end
$$;
comment on function pgqueue._forget_dropped_roles() is 'Deletes the secrets and the declarations of roles that do not exist any more';
