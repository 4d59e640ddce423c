-- The claim: messages go to a worker, with a token each. Also the acks that travel with it.

create or replace function pgqueue._claim(worker_id int, kind pgqueue.message_kind, queues text[], max_count int, role_limit int default null,
                                          held jsonb default null)
  returns table (id bigint, token bigint, queue text, earlier_deliveries int, message json, lane pgqueue.lane)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  -- A generic plan by index, row by row, is right for any statistics. Planning each claim took two thirds of its time.
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  -- The bounds that this session keeps while claims are expensive: {kind: {full_at, seconds, bounds: {queue: {role: {level:
  -- rank}}}}}.
  memories jsonb := coalesce(nullif(current_setting('pgqueue.claim_memory', true), ''), '{}')::jsonb;
  memory jsonb := memories -> kind::text;
  bounds jsonb := case when (memory ->> 'full_at')::float8 > extract(epoch from clock_timestamp()) then memory -> 'bounds' end;
  begun_at timestamptz;
  seed bytea;
  seconds float8;
  look_seconds float8;
  usual_seconds float8;
  ids bigint[] := '{}';
  roles oid[];
  -- One claim in ten serves messages that have waited for long behind higher priorities.
  is_generous boolean := random() < 0.1;
  passed_by text[];
  setting text;
  is_registered boolean;
  is_due boolean;
  has_dead_letters boolean;
  is_ready boolean;
  is_limited boolean;
  limited text[];
  share int;
  got int;
  -- The queues that this claim has still to look at, those that it looks at next, and those of them that may have more than their share.
  turns text[];
  next_queues text[];
  deeper text[];
  room int;
  held_now jsonb := held;
  role oid;
begin
  -- If a crash of the server loses a claim, the message is ready again, so the claim need not wait for the disk. For tasks the
  -- caller decides otherwise.
  setting := set_config('synchronous_commit', 'off', true);
  begun_at := clock_timestamp();
  -- A worker whose session was seen to be gone may not claim either: other workers are about to get its messages. The error
  -- reaches it while it can still keep its running tasks. One statement makes all decisions for the rest, because one statement
  -- for each would cost as much as all of them.
  select exists (select from pgqueue.worker w where w.id = _claim.worker_id and w.lost_at is null),
         exists (select from pgqueue.message d where d.state = 'delayed' and d.due_at <= begun_at),
         exists (select from pgqueue.queue q where q.name = any (_claim.queues) and q.declared_by = 0 and q.dead_letter_exchange is not null),
         bounds is not null
           or exists (select from pgqueue.message m where m.state = 'ready' and m.limit_key is null and m.kind = _claim.kind and m.queue = any (_claim.queues)),
         -- Queues with limits or keys have a claim of their own. Both tests end at once where no queue has any.
         exists (select from pgqueue.limit_rule) or exists (select from pgqueue.message m where m.state = 'ready' and m.limit_key is not null)
  into is_registered, is_due, has_dead_letters, is_ready, is_limited;
  look_seconds := extract(epoch from clock_timestamp() - begun_at);
  if not is_registered then
    raise exception 'worker % is no longer registered', worker_id using errcode = 'PQ003', hint = 'Register again.';
  end if;
  if is_limited then
    limited := pgqueue._limited_among(kind, queues);
    is_limited := limited <> '{}';
  end if;
  if not (is_ready or is_due or has_dead_letters or is_limited) and clock_timestamp() < begun_at + interval '5 ms' then
    -- A publisher that wakes a worker has mostly published only tasks or only jobs: starting the rest costs more than this check.
    -- An expensive claim continues, and is measured.
    return;
  end if;
  if is_due then
    -- The check comes first, because starting an update that finds no row costs much more.
    perform pgqueue._promote(1000);
  end if;
  -- Messages under a declaration of their own sender are moved by upkeep.
  if has_dead_letters then
    perform pgqueue._expire_messages(_claim.queues, 1000);
  end if;
  if is_due then
    limited := pgqueue._limited_among(kind, queues);  -- Those that were due may have keys.
  end if;
  if is_limited or limited <> '{}' then
    for n in 1 .. cardinality(limited) loop
      -- A part of the room for each of those that are left, and one for the other queues if they may have messages.
      share := greatest(max_count / (cardinality(limited) - n + 1 + (is_ready and cardinality(queues) > cardinality(limited))::int), 1);
      return query select * from pgqueue._claim_limited(worker_id, kind, limited[n], share, role_limit, held);
      get diagnostics got = row_count;
      if got >= share and got < max_count then
        -- There may be more than its share. The worker must not take this queue for empty if the others leave room.
        perform pgqueue._note_limit_wait(0);
      end if;
      max_count := max_count - got;
      exit when max_count <= 0;
    end loop;
    queues := array(select u.name from unnest(queues) u (name) where u.name <> all (limited));
    if queues = '{}' or max_count <= 0 then
      return;
    end if;
  end if;
  seed := uuid_send(gen_random_uuid());
  loop
    room := max_count - cardinality(ids);
    if role_limit is not null and roles <> '{}' then
      held_now := pgqueue._count_held(held_now, roles);
    end if;
    if turns is null then
      begun_at := clock_timestamp();
      turns := case when cardinality(queues) = 1 then queues else array(select u.name from (select distinct n as name from unnest(queues) n) u order by random()) end;
      share := pgqueue._share_of_room(room, room, 16);
    else
      share := ceil(room / cardinality(turns)::numeric);
    end if;
    -- As many as fill the room if each has its share. A message that is looked at is locked, so more would be too many.
    if cardinality(turns) = 1 then
      next_queues := turns;
      turns := '{}';
    else
      select n.chosen, n.rest into next_queues, turns
      from pgqueue._next_queues(kind, turns, ceil(room / share::numeric)::int, bounds is null, role_limit, held_now) n;
    end if;
    share := greatest(share, ceil(room / greatest(cardinality(next_queues), 1)::numeric));
    deeper := null;
    passed_by := null;
    roles := '{}';
    for id, token, queue, earlier_deliveries, message, lane, role, passed_by, deeper in
    with wanted as materialized (
      -- This comes first: no message of a paused queue is to be locked.
      select u.name, least(share, room - (u.n - 1) * share)::int as share, p.is_async, p.group_commit, p.timeout, p.of_roles
      from unnest(next_queues[:ceil(room / share::numeric)]) with ordinality u (name, n)
      cross join lateral pgqueue._claim_policy(u.name) p
      where not exists (select from pgqueue.queue_switch q where q.name = u.name and q.paused)
    ), candidate as materialized (
      select c.id, row_number() over (partition by wanted.name order by c.place) as place, wanted.name, wanted.share, wanted.is_async, wanted.group_commit, wanted.timeout,
             wanted.of_roles
      from wanted
      cross join lateral pgqueue._next_ready(_claim.kind, wanted.name, wanted.share,
                                             case when bounds is not null then coalesce(bounds -> wanted.name, '{}') end, role_limit, held_now) c
      union all
      select o.id, 0, wanted.name, wanted.share, wanted.is_async, wanted.group_commit, wanted.timeout, wanted.of_roles
      from wanted
      cross join lateral pgqueue._next_overdue(_claim.kind, wanted.name, 1 + share / 10,
                                               case when bounds is not null then coalesce(bounds -> wanted.name, '{}') end, role_limit, held_now) o
      where is_generous
    ), picked as materialized (
      -- The queues take turns: the first messages of each come before the second ones, and no queue is always first.
      select c.* from candidate c order by c.place, random() limit room
    ), stale as (
      delete from pgqueue.message m using picked p
      where _claim.kind = 'task' and m.id = p.id and m.expires_at <= clock_timestamp()
        -- These go to the queue's dead letters. They expired this instant, so the next claim moves them.
        and not exists (select from pgqueue.queue q where q.name = m.queue and q.declared_by in (0, m.submitter) and q.dead_letter_exchange is not null)
        and not pgqueue._is_revoked_by_worker(m.payload)
      returning pgqueue._revoke_task(m, 'the time to live of the message was over')
    ), claimed as (
      update pgqueue.message m
      set state = 'claimed', token = pgqueue._seeded_bigint(seed, m.id), worker_id = _claim.worker_id, deliveries = least(m.deliveries + 1, 32767),
          -- The job itself or its session decides, else its queue.
          settings = case when p.is_async and m.kind = 'job' then '{"synchronous_commit": "off"}' || coalesce(m.settings, '{}') else m.settings end,
          queue_timeout = case when p.of_roles is null then p.timeout else pgqueue._role_timeout(p.of_roles, m.submitter) end
      from picked p
      where m.id = p.id
        and case when m.kind = 'task' and m.expires_at <= clock_timestamp() then pgqueue._is_revoked_by_worker(m.payload) else true end
      returning m.id, m.token, m.queue, m.deliveries, m.kind, m.payload, m.attempts, m.submitter, m.sql, m.params, m.settings, m.timeout, m.queue_timeout, m.kept, m.label,
                m.priority, m.top_level, m.unique_key, m.is_member, m.last_error, m.snoozes, p.place, p.group_commit, p.of_roles
    )
    select c.id, c.token, c.queue, c.deliveries - 1,
           case when c.kind = 'task' then c.payload
           when l.lane = 'batch' then
             -- A job that has failed, or whose worker or session was lost while it ran, runs by itself, so that a second failure is known to be its own. So does one
             -- that may put itself off again.
             case when c.deliveries > 1 or c.attempts > 0 or c.last_error is not null or c.snoozes is not null then to_json(c.submitter::bigint)
             else pgqueue._groupable_job(c.submitter, c.group_commit, c.of_roles) end
           else pgqueue._job_document(c.id, c.token, c.queue, c.attempts, c.submitter, c.sql, c.params, c.settings, coalesce(c.timeout, c.queue_timeout), c.kept, c.label) end,
           l.lane, c.submitter,
           case when (select count(*) from candidate) > (select count(*) from picked)
                then array(select distinct d.name from candidate d where not exists (select from picked p where p.id = d.id)) end,
           array(select d.name from candidate d where d.place = d.share)
    from claimed c
    left join pgqueue.role_key k on k.role = c.submitter
    cross join lateral (select case when c.kind = 'job' then pgqueue._lane(k.runner, c.kept, c.top_level, c.settings, c.params, c.sql)
                                    when c.unique_key is not null or c.is_member then 'held' end) l (lane)
    order by c.place, pgqueue._rank(c.priority, c.id)
    loop
      ids := ids || id;
      roles := roles || role;
      return next;
    end loop;
    -- A worker that polled meanwhile and went to sleep did not see the messages that this claim has locked and leaves to others.
    perform pgqueue._wake(u.name) from unnest(passed_by) u (name);
    -- Then the other queues, and what those leave goes to those that have more than their share.
    turns := next_queues[ceil(room / share::numeric) + 1:] || turns || deeper;
    if turns <> '{}' and cardinality(ids) < max_count then
      continue;
    end if;
    turns := null;
    -- The last look claimed no message although some were ready: perhaps all of the chosen ones had expired, and more of them
    -- precede others.
    continue when bounds is null and cardinality(ids) = max_count - room and pgqueue._expire_messages(_claim.queues, 1000) > 0;
    exit when bounds is null or cardinality(ids) >= max_count or (memory ->> 'seconds')::float8 > 0.05;
    -- Or fewer were claimed because of the share of a role.
    exit when role_limit <= any (array(select h.value::int from jsonb_each_text(pgqueue._count_held(held_now, roles)) h));
    -- There is room for more than the messages above the bounds, and the caller may sleep now. So messages that came back below
    -- are looked for at once, unless that takes so long that it has to keep to 2 % of the time.
    bounds := null;
  end loop;
  seconds := extract(epoch from clock_timestamp() - begun_at);
  usual_seconds := 0.005 + 0.00004 * cardinality(ids) + 0.0001 * cardinality(_claim.queues);
  if bounds is not null then
    memory := jsonb_set(memory, '{bounds}', pgqueue._raise_bounds(bounds, ids, false));
  elsif current_setting('pgqueue.claim_memory', true) is null then
    -- The first claim of a session includes planning, so its duration says nothing about dead rows.
    perform set_config('pgqueue.claim_memory', '{}', false);
    return;
  elsif (look_seconds > 0.0005 + 0.00001 * cardinality(_claim.queues) or seconds > usual_seconds)
    and pgqueue._may_be_bounded(_claim.queues, greatest(3 * look_seconds, seconds - usual_seconds))
  then
    -- The claim is expensive: it has read past many finished messages, which a snapshot held elsewhere keeps VACUUM from
    -- removing. The look for the first ready message shows that soonest, but only of one queue. Messages that come back below
    -- the bounds (a retry, a lost worker's message, a late commit) are found by a full read, which takes at most 2 % of the time
    -- while there are enough messages above the bounds.
    if memory is null then
      -- A single slow claim may be due to a busy machine and not to the rows that were read. Messages that came back would then
      -- wait 50 times as long.
      memory := jsonb_build_object('seconds', seconds);
    else
      memory := memory || jsonb_build_object(
        'bounds', pgqueue._bound_roles(_claim.kind, _claim.queues, pgqueue._raise_bounds(memory -> 'bounds', ids, cardinality(ids) >= max_count)));
      -- A read grows with the rows, and one that a busy machine has delayed counts twice the last one at most.
      seconds := least(extract(epoch from clock_timestamp() - begun_at) + look_seconds, 2 * (memory ->> 'seconds')::float8);
      memory := memory || jsonb_build_object('full_at', extract(epoch from clock_timestamp()) + 50 * seconds, 'seconds', seconds);
    end if;
  elsif memory is null then
    return;
  else
    memory := null;
  end if;
  perform set_config('pgqueue.claim_memory', (case when memory is null then memories - kind::text else jsonb_set(memories, array[kind::text], memory) end)::text, false);
end
$$;
comment on function pgqueue._claim(int, pgqueue.message_kind, text[], int, int, jsonb) is
  'Gives up to max_count ready messages of these queues to a worker: the queues take turns, the roles of a queue take turns, and within a role higher priorities come first. role_limit: at most this many of one role, together with those that it already has by held ({role: count}). message: for a task its message, for a job of the batch lane the number of its submitter, or that number and how many such jobs may share a transaction, else the document of the job';
grant execute on function pgqueue._claim(int, pgqueue.message_kind, text[], int, int, jsonb) to pgqueue_worker;

create or replace function pgqueue._ack_and_claim(worker_id int, ids bigint[], tokens bigint[], demand jsonb, failed bigint[] default '{}')
  returns table (acked int, kind pgqueue.message_kind, id bigint, token bigint, queue text, earlier_deliveries int, message text, lane pgqueue.lane)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  of_session text := current_setting('synchronous_commit');
  wish record;
  must_last boolean := ids <> '{}';
  wait text;
begin
  if not pgqueue._is_worker_login() then
    perform pgqueue._require_observers_claim(worker_id, demand);
  end if;
  acked := case when ids = '{}' then 0 else pgqueue._ack(ids, tokens, failed) end;
  return next;
  for wish in select * from jsonb_to_recordset(demand) d (kind pgqueue.message_kind, queues text[], room int, role_limit int, held jsonb) loop
    return query
    select null::int, wish.kind, c.id, c.token, c.queue, c.earlier_deliveries, c.message::text, c.lane
    from pgqueue._claim(_ack_and_claim.worker_id, wish.kind, wish.queues, wish.room, wish.role_limit, wish.held) c;
    must_last := must_last or found and wish.kind = 'task';
  end loop;
  wait := nullif(current_setting('pgqueue.limit_wait', true), '');
  if wait is not null then
    return query select null::int, null::pgqueue.message_kind, null::bigint, null::bigint, null, null::int, wait, null::pgqueue.lane;
  end if;
  if must_last then
    -- A task must not run again because the server crashed after its ack, nor run without the flag redelivered because the server
    -- crashed after its claim. A job that is claimed again has had no effect.
    perform set_config('synchronous_commit', of_session, true);
  end if;
end
$$;
comment on function pgqueue._ack_and_claim(int, bigint[], bigint[], jsonb, bigint[]) is
  'pgqueue._ack and pgqueue._claim in one transaction. The first row says how many acks were in time, the other rows are claims. A row without a kind: messages wait for limits, and message says after how many seconds to look again';
grant execute on function pgqueue._ack_and_claim(int, bigint[], bigint[], jsonb, bigint[]) to pgqueue_worker, pgqueue_admin;
