-- after: limit_turns
-- The claim of a queue that has limits, or keys: the keys of a role take turns, and nothing is claimed beyond a limit.
--
-- Nothing here has a SET clause: those of pgqueue._claim apply.

create or replace function pgqueue._note_limit_wait(seconds float8)
  returns void
  language plpgsql volatile
as $$
begin
  perform set_config('pgqueue.limit_wait', least(seconds, nullif(current_setting('pgqueue.limit_wait', true), '')::float8)::text, true);
end
$$;
comment on function pgqueue._note_limit_wait(float8) is
  'Records for the end of the transaction that messages wait for a limit, and when to look again (pgqueue._ack_and_claim)';

create or replace function pgqueue._take_turns(kind pgqueue.message_kind, queue text, role oid, rule pgqueue.limit_rule, max_count int,
                                     pending bigint[])
  returns bigint[]
  language plpgsql volatile
as $$
declare
  -- So many full keys are looked at at most, before the next claim goes on with the others: fewer if this one has found some.
  most_full constant int := 500;
  enough_full constant int := 100;
  most_starts constant int := 16;
  -- Where the last walks over the keys of the queue began, the oldest first, if they met full keys, and where the last one ended.
  memory jsonb := coalesce(nullif(current_setting('pgqueue.limit_turns', true), '')::jsonb, '{}');
  place text := concat(role, ' ', kind, ' ', queue);
  starts pg_catalog.text[] := array(select jsonb_array_elements_text(memory -> place -> 'starts'));
  -- The keys that this session took long ago are the ones that are free again, and they stand together: so a walk mostly begins where
  -- its oldest one began, and now and then goes on to the others.
  is_again boolean := starts <> '{}' and random() < 0.7;
  begun_after text := coalesce(case when is_again then starts[1] else memory -> place ->> 'after' end, '');
  after text := begun_after;
  full_count int := 0;
  has_begun boolean := false;
  is_last boolean := false;
  counts boolean := coalesce(rule.per_key, rule.rate) is not null;
  step int;
  keys pg_catalog.text[];
  turn pgqueue.limit_turn;
  turns pgqueue.limit_turn[] := '{}';
  chosen pg_catalog.text[] := '{}';
  shares int[];
  total pgqueue.limit_turn;
  wait pg_catalog.float8;
  ids bigint[];
  places int[];
begin
  if rule.max_running is not null then
    turns := pgqueue._limit_turns(rule, rule.role, true, '{""}');
    total := turns[1];
    if total.holder_id is null and total.room > 0 then
      perform pgqueue._note_limit_wait(0.01);
      return '{}';
    end if;
    turns := '{}';
    -- Those that this claim has taken before are not marked as claimed yet.
    total.ids := total.ids || pending;
    max_count := least(max_count, total.room - cardinality(pending));
    if max_count <= 0 then
      perform pgqueue._note_limit_wait(0.1);
      return '{}';
    end if;
  end if;
  while cardinality(chosen) < max_count and not is_last loop
    -- Some more, if some are expected to be full.
    step := max_count - cardinality(chosen) + case when starts = '{}' then 0 else 20 end;
    keys := pgqueue._keys_after(kind, queue, role, after, step);
    if has_begun then
      -- Those that had their turn are left out by their order: those after the start, the empty one, those up to the start. The first
      -- one may be gone, so to look for it would not end.
      keys := array(select k.key from unnest(keys) with ordinality k (key, n)
                    where (case when k.key > begun_after collate "C" then 0 when k.key = '' then 1 else 2 end, k.key collate "C")
                        > (case when after > begun_after collate "C" then 0 when after = '' then 1 else 2 end, after)
                    order by k.n);
    end if;
    is_last := cardinality(keys) < step;
    exit when keys = '{}';
    has_begun := true;
    if not counts then
      chosen := chosen || keys[:max_count - cardinality(chosen)];
      after := chosen[cardinality(chosen)];
      continue;
    end if;
    foreach turn in array pgqueue._limit_turns(rule, role, false, keys) loop
      after := turn.limit_key;
      if turn.holder_id is not null then
        chosen := chosen || turn.limit_key;
        turns := turns || turn;
        exit when cardinality(chosen) >= max_count;
      elsif turn.room > 0 then
        wait := least(wait, 0.01);
      else
        full_count := full_count + 1;
        wait := least(wait, case when turn.seconds > 0 then turn.seconds else 0.1 end);
      end if;
    end loop;
    if full_count > (case when chosen = '{}' then most_full else enough_full end) and not is_last then
      wait := 0.005;
      exit;
    end if;
  end loop;
  if chosen <> '{}' then
    -- Each key has an equal share of the room. No more keys were chosen than there is room for.
    shares := array_fill(max_count / cardinality(chosen), array[cardinality(chosen)]);
    for n in 1 .. max_count % cardinality(chosen) loop
      shares[n] := shares[n] + 1;
    end loop;
    if counts then
      shares := array(select least(s.share, t.room) from unnest(shares, turns) with ordinality s (share, t_place, t_key, t_holder, t_seq, t_ids, t_next_at, room, t_seconds, n)
                      cross join lateral (select s.room) t order by s.n);
    end if;
    select array_agg(n.id order by n.nth, n.place), array_agg(n.place order by n.nth, n.place) into ids, places
    from pgqueue._next_of_keys(kind, queue, role, chosen, shares) n;
  end if;
  if ids is null then
    ids := '{}';
  elsif counts then
    with taken as materialized (
      select t.holder_id, t.seq, t.ids, t.next_at, p.ids as more
      from (select u.place, array_agg(u.id) as ids from unnest(ids, places) u (id, place) group by u.place) p
      join unnest(turns) with ordinality t (place, limit_key, holder_id, seq, ids, next_at, room, seconds, n) on t.n = p.place
    ), gone as (
      delete from pgqueue.limit_state s using taken t where s.holder_id = t.holder_id and s.seq = t.seq
    )
    insert into pgqueue.limit_state (holder_id, ids, next_at)
    select t.holder_id, t.ids || t.more,
           case when rule.rate is not null then greatest(t.next_at, clock_timestamp()) + cardinality(t.more) * rule.period / rule.rate end
    from taken t;
  end if;
  -- If the last place of a key was taken, messages of the key may have been left.
  if ids <> '{}' and counts and exists (
       select from unnest(places) p (place) group by p.place having count(*) >= (turns[p.place]).room)
  then
    wait := least(wait, 0.1, extract(epoch from rule.period) / rule.rate);
  end if;
  if cardinality(ids) >= total.room - cardinality(pending) then
    wait := least(wait, 0.1);
  end if;
  if wait is not null then
    perform pgqueue._note_limit_wait(wait);
  end if;
  if ids <> '{}' and total.holder_id is not null then
    insert into pgqueue.limit_state (holder_id, ids) values (total.holder_id, total.ids || ids);
    delete from pgqueue.limit_state s where s.holder_id = total.holder_id and s.seq = total.seq;
  end if;
  if full_count = 0 then
    starts := '{}';
  else
    starts := case when is_again or cardinality(starts) >= most_starts then starts[2:] else starts end || begun_after;
  end if;
  perform set_config('pgqueue.limit_turns', (memory || jsonb_build_object(place, jsonb_build_object('starts', starts, 'after', after)))::text, false);
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
  policy pg_catalog.record;
  seed pg_catalog.bytea := uuid_send(gen_random_uuid());
  roles pg_catalog.oid[];
  role pg_catalog.oid;
  share int;
  room int;
  taken bigint[];
  is_cut boolean := false;
  claimed_count int;
  rule pgqueue.limit_rule;
  counted pg_catalog.oid[] := '{}';
  ids bigint[] := '{}';
begin
  select q.* into switch from pgqueue.queue_switch q where q.name = from_queue;
  if switch.paused then
    return;
  end if;
  roles := pgqueue._keyed_roles(kind, from_queue);
  for n in 1 .. cardinality(roles) loop
    role := roles[n];
    share := ceil((max_count - cardinality(ids)) / (cardinality(roles) - n + 1)::numeric);
    room := least(share, role_limit - coalesce((held ->> role::text)::int, 0));
    continue when room <= 0;
    select l.* into rule from pgqueue.limit_rule l where l.queue = from_queue and l.role in (0, roles[n]) order by l.role limit 1;
    if num_nonnulls(rule.max_running, rule.per_key) > 0 then
      counted := counted || role;
    end if;
    taken := pgqueue._take_turns(kind, from_queue, role, rule, room, case when rule.role = 0 then ids else '{}' end);
    ids := ids || taken;
    is_cut := is_cut or cardinality(taken) >= share;
  end loop;
  if ids = '{}' then
    return;
  end if;
  -- From here on as in pgqueue._claim.
  select p.* into policy from pgqueue._claim_policy(from_queue) p;
  return query
  with picked as materialized (
    select p.id, p.place from unnest(ids) with ordinality p (id, place)
  ), stale as (
    delete from pgqueue.message m using picked p
    where _claim_limited.kind = 'task' and m.id = p.id and m.expires_at <= clock_timestamp()
      and not exists (select from pgqueue.queue q where q.name = m.queue and q.declared_by in (0, m.submitter) and q.dead_letter_exchange is not null)
      and not pgqueue._is_revoked_by_worker(m.payload)
    returning pgqueue._revoke_task(m, 'the time to live of the message was over')
  ), claimed as (
    update pgqueue.message m
    set state = 'claimed', token = pgqueue._seeded_bigint(seed, m.id), worker_id = _claim_limited.worker_id, deliveries = least(m.deliveries + 1, 32767),
        settings = case when policy.is_async and m.kind = 'job' then '{"synchronous_commit": "off"}' || coalesce(m.settings, '{}') else m.settings end,
        queue_timeout = case when policy.of_roles is null then policy.timeout else pgqueue._role_timeout(policy.of_roles, m.submitter) end
    from picked p
    where m.id = p.id
      and case when m.kind = 'task' and m.expires_at <= clock_timestamp() then pgqueue._is_revoked_by_worker(m.payload) else true end
    returning m.*, p.place
  )
  select c.id, c.token, c.queue, c.deliveries - 1,
         case when c.kind = 'task' then c.payload
         when l.lane = 'batch' then
           case when c.deliveries > 1 or c.attempts > 0 or c.last_error is not null or c.snoozes is not null then to_json(c.submitter::bigint)
           else pgqueue._groupable_job(c.submitter, policy.group_commit, policy.of_roles) end
         else pgqueue._job_document(c.id, c.token, c.queue, c.attempts, c.submitter, c.sql, c.params, c.settings, coalesce(c.timeout, c.queue_timeout), c.kept, c.label) end,
         l.lane
  from claimed c
  left join pgqueue.role_key k on k.role = c.submitter
  cross join lateral (select case when c.kind = 'job' then pgqueue._lane(k.runner, c.kept, c.top_level, c.settings, c.params, c.sql) when c.submitter = any (counted) or c.unique_key is not null or c.is_member then 'held' end) l (lane)
  order by c.place;
  get diagnostics claimed_count = row_count;
  if claimed_count < cardinality(ids) then
    -- Some had expired, and others may stand behind them. Those that upkeep moves to dead letters stay until then.
    perform pgqueue._note_limit_wait(0.1);
  elsif is_cut and cardinality(ids) < max_count then
    -- The role may have more than its share, for which the others have left room.
    perform pgqueue._note_limit_wait(0);
  end if;
end
$$;
comment on function pgqueue._claim_limited(int, pgqueue.message_kind, text, int, int, jsonb) is
  'The part of pgqueue._claim for one queue that has limits or keys: gives no more messages than they allow';

create or replace function pgqueue._limited_among(kind pgqueue.message_kind, queues text[])
  returns text[]
  language plpgsql volatile
as $$
begin
  return array(select u.name from unnest(queues) u (name)
               where exists (select from pgqueue.limit_rule l where l.queue = u.name)
                  or exists (select from pgqueue.message m where m.queue = u.name and m.kind = _limited_among.kind and m.state = 'ready' and m.limit_key is not null)
               order by random());
end
$$;
comment on function pgqueue._limited_among(pgqueue.message_kind, text[]) is 'Which of these queues pgqueue._claim_limited serves: those that have limits or keys, in random order';
