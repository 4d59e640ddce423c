-- after: limit_turns
-- The claim of a queue that has limits, or keys: the keys of a role take turns, and nothing is claimed beyond a limit.
--
-- Nothing here has a SET clause: those of pgqueue._claim apply.

create or replace function pgqueue._take_turns(kind pgqueue.message_kind, queue text, role oid, rule pgqueue.limit_rule, max_count int,
                                     pending bigint[])
  returns bigint[]
  language plpgsql volatile
as $$
declare
  -- So many keys are looked at for nothing at most, before the next claim goes on with the others.
  most_keys constant int := 500;
  turns jsonb := coalesce(nullif(current_setting('pgqueue.limit_turns', true), '')::jsonb, '{}');
  place text := concat(role, ' ', kind, ' ', queue);
  after text := coalesce(turns ->> place, '');
  now_at timestamptz := clock_timestamp();
  counts boolean := coalesce(rule.per_key, rule.rate) is not null;
  key text;
  keys text[];
  chosen text[] := '{}';
  turn pgqueue.limit_turn;
  taking pgqueue.limit_turn[];
  holders bigint[];
  total pgqueue.limit_turn;
  ids bigint[] := '{}';
  taken int[] := '{}';
  passed int := 0;
begin
  if rule.max_running is not null then
    holders := pgqueue._lock_holders(rule, rule.role, true, '{""}');
    if holders = '{}' then
      perform pgqueue._note_limit_wait(0.01);
      return '{}';
    end if;
    total := pgqueue._limit_turn(0, null, holders[1], rule, now_at);
    -- Those that this claim has taken before are not marked as claimed yet.
    total.ids := total.ids || pending;
    max_count := least(max_count, total.room - cardinality(pending));
    if max_count <= 0 then
      perform pgqueue._note_limit_wait(0.1);
      return '{}';
    end if;
  end if;
  keys := pgqueue._keys_after(kind, queue, role, after, most_keys + max_count);
  foreach key in array keys loop
    exit when cardinality(chosen) >= max_count or passed >= most_keys;
    after := key;
    if counts then
      -- Not locked, so it is only a first look: what it finds full is full, or was a moment ago.
      turn := (select pgqueue._limit_turn(0, key, h.id, rule, now_at)
               from pgqueue.limit_holder h where h.queue = _take_turns.queue and h.submitter = role and not h.is_total and h.limit_key = key collate "C");
      if turn.room < 1 then
        passed := passed + 1;
        perform pgqueue._note_limit_wait(coalesce(turn.seconds, 0.1));
        continue;
      end if;
    end if;
    chosen := chosen || key;
  end loop;
  if passed >= most_keys then
    perform pgqueue._note_limit_wait(0.005);
  end if;
  if chosen = '{}' then
    taking := '{}';
  elsif counts then
    holders := pgqueue._lock_holders(rule, role, false, chosen);
    if cardinality(holders) < cardinality(chosen) then
      perform pgqueue._note_limit_wait(0.01);
    end if;
    select array_agg(t.turn) into taking
    from (select pgqueue._limit_turn(o.place::int, h.limit_key, h.id, rule, now_at) as turn
          from unnest(holders) with ordinality o (id, place) join pgqueue.limit_holder h on h.id = o.id offset 0) t
    where coalesce((t.turn).room, 1) > 0;
  else
    taking := array(select row(c.place, c.key, null, null, null, null, null, null)::pgqueue.limit_turn from unnest(chosen) with ordinality c (key, place));
  end if;
  -- Each key has an equal share of the room. No more keys were chosen than there is room for.
  select array_agg(n.id order by n.nth, n.place), array_agg(n.place order by n.nth, n.place) into ids, taken
  from (
    select g.place, m.id, row_number() over (partition by g.place) as nth
    from (
      select t.place, t.limit_key, least(t.room, max_count / cardinality(taking) + (row_number() over (order by t.place) <= max_count % cardinality(taking))::int) as share
      from unnest(taking) t
    ) g
    cross join lateral pgqueue._next_of_key(kind, queue, role, g.limit_key, g.share) m
  ) n;
  ids := coalesce(ids, '{}');
  if ids <> '{}' and counts then
    insert into pgqueue.limit_state (holder_id, ids, next_at)
    select t.holder_id, t.ids || p.ids,
           case when rule.rate is not null then greatest(t.next_at, now_at) + cardinality(p.ids) * rule.period / rule.rate end
    from (select g.place, array_agg(g.id) as ids from unnest(ids, taken) g (id, place) group by g.place) p
    join unnest(taking) t on t.place = p.place;
    delete from pgqueue.limit_state s using unnest(taking) t where s.holder_id = t.holder_id and s.seq = t.seq and t.place = any (taken);
  end if;
  if ids <> '{}' and total.holder_id is not null then
    insert into pgqueue.limit_state (holder_id, ids) values (total.holder_id, total.ids || ids);
    delete from pgqueue.limit_state s where s.holder_id = total.holder_id and s.seq = total.seq;
  end if;
  perform set_config('pgqueue.limit_turns', (turns || jsonb_build_object(place, after))::text, false);
  return ids;
end
$$;
comment on function pgqueue._take_turns(pgqueue.message_kind, text, oid, pgqueue.limit_rule, int, bigint[]) is
  'Locks the next messages of a role in a queue that its limits allow, a turn for each key, and counts them. pending: what the same claim has taken under the same rule before';

create or replace function pgqueue._claim_limited(worker_id int, kind pgqueue.message_kind, from_queue text, max_count int, role_limit int, held jsonb)
  returns table (id bigint, token bigint, queue text, earlier_deliveries int, message json, lane pgqueue.lane)
  language plpgsql volatile
as $$
#variable_conflict use_column
declare
  switch pgqueue.queue_switch;
  group_sizes jsonb;
  roles oid[];
  role oid;
  room int;
  rule pgqueue.limit_rule;
  counted oid[] := '{}';
  ids bigint[] := '{}';
begin
  select q.* into switch from pgqueue.queue_switch q where q.name = from_queue;
  if switch.paused then
    return;
  end if;
  roles := pgqueue._keyed_roles(kind, from_queue);
  for n in 1 .. cardinality(roles) loop
    role := roles[n];
    room := least(ceil((max_count - cardinality(ids)) / (cardinality(roles) - n + 1)::numeric), role_limit - coalesce((held ->> role::text)::int, 0));
    continue when room <= 0;
    rule := pgqueue._limit_rule(from_queue, role);
    if num_nonnulls(rule.max_running, rule.per_key) > 0 then
      counted := counted || role;
    end if;
    ids := ids || pgqueue._take_turns(kind, from_queue, role, rule, room, case when rule.role = 0 then ids else '{}' end);
  end loop;
  if ids = '{}' then
    return;
  end if;
  select jsonb_object_agg(g.role, g.value) into group_sizes from pgqueue.configured g where g.queue = from_queue and g.setting = 'group_commit';
  -- From here on as in pgqueue._claim.
  return query
  with picked as materialized (
    select p.id, p.place from unnest(ids) with ordinality p (id, place)
  ), stale as (
    delete from pgqueue.message m using picked p
    where m.id = p.id and m.kind = 'task' and m.expires_at <= clock_timestamp()
      and not exists (select from pgqueue.queue q where q.name = m.queue and q.declared_by in (0, m.submitter) and q.dead_letter_exchange is not null)
      and not pgqueue._is_revoked_by_worker(m.payload)
    returning pgqueue._end_task(m, 'REVOKED', 'the time to live of the message was over')
  ), claimed as (
    update pgqueue.message m
    set state = 'claimed', token = pgqueue._random_bigint(), worker_id = _claim_limited.worker_id, deliveries = least(m.deliveries + 1, 32767),
        settings = case when switch.durability = 'async' and m.kind = 'job' then '{"synchronous_commit": "off"}' || coalesce(m.settings, '{}') else m.settings end
    from picked p
    where m.id = p.id
      and case when m.kind = 'task' and m.expires_at <= clock_timestamp() then pgqueue._is_revoked_by_worker(m.payload) else true end
    returning m.*, p.place
  )
  select c.id, c.token, c.queue, c.deliveries - 1,
         case when c.kind = 'task' then c.payload
         when l.lane = 'batch' then
           case when group_sizes is not null and c.deliveries = 1 and c.attempts = 0 and c.last_error is null
           then json_build_array(c.submitter::bigint, coalesce(group_sizes ->> '0', group_sizes ->> c.submitter::text, '1')::int)
           else to_json(c.submitter::bigint) end
         else pgqueue._job_document(c.id, c.token, c.queue, c.attempts, c.submitter, c.sql, c.params, c.settings, c.timeout, c.kept, c.label) end,
         l.lane
  from claimed c
  left join pgqueue.role_key k on k.role = c.submitter
  cross join lateral (select case when c.kind = 'job' then pgqueue._lane(k.runner, c.kept, c.top_level, c.settings, c.params, c.sql) when c.submitter = any (counted) then 'held' end) l (lane)
  order by c.place;
end
$$;
comment on function pgqueue._claim_limited(int, pgqueue.message_kind, text, int, int, jsonb) is
  'The part of pgqueue._claim for one queue that has limits or keys: gives no more messages than they allow';

create or replace function pgqueue._limited_among(kind pgqueue.message_kind, queues text[])
  returns text[]
  language sql volatile
as $$
  select array(select u.name from unnest(queues) u (name)
               where exists (select from pgqueue.limit_rule l where l.queue = u.name)
                  or exists (select from pgqueue.message m where m.queue = u.name and m.kind = _limited_among.kind and m.state = 'ready' and m.limit_key is not null)
               order by random())
$$;
comment on function pgqueue._limited_among(pgqueue.message_kind, text[]) is 'Which of these queues pgqueue._claim_limited serves';
