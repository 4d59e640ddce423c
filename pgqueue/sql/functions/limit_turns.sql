-- after: fairness, claim_message
-- The parts of the claim of a queue with limits (pgqueue._claim_limited): the counts of limits, and the keys that have messages.
--
-- One statement reads the newest count of each key and locks it. A claim that changes a count deletes its row and writes a new one, so
-- a row that can still be locked is the newest, and nobody else adds to it until the end of this transaction. A claim waits for no lock,
-- so that two claims cannot block each other: a key that another claim has locked has its turn there.
--
-- Nothing here has a SET clause: those of pgqueue._claim apply. All of it is PL/pgSQL, which keeps its plans for the session, and one
-- statement serves all keys.

create or replace function pgqueue._make_counts(rule pgqueue.limit_rule, role oid, is_total boolean, keys text[])
  returns boolean
  language plpgsql volatile
as $$
begin
  -- One claim at a time makes counts for a rule, and others do not wait for it: two that wait for each other's new rows would be a
  -- deadlock.
  perform from pgqueue.limit_rule l where l.queue = rule.queue and l.role = rule.role for update skip locked;
  if not found then
    return false;
  end if;
  insert into pgqueue.limit_holder (queue, submitter, is_total, limit_key)
  select rule.queue, _make_counts.role, _make_counts.is_total, k.key from unnest(keys) k (key)
  on conflict do nothing;
  insert into pgqueue.limit_state (holder_id, ids)
  select h.id, '{}'
  from unnest(keys) k (key)
  join pgqueue.limit_holder h on h.queue = rule.queue and h.submitter = _make_counts.role and h.is_total = _make_counts.is_total and h.limit_key = k.key collate "C"
  where not exists (select from pgqueue.limit_state s where s.holder_id = h.id);
  return found;
end
$$;
comment on function pgqueue._make_counts(pgqueue.limit_rule, oid, boolean, text[]) is
  'Makes empty counts for keys that have none; false if another claim is doing so, or has done so';

create or replace function pgqueue._limit_turns(rule pgqueue.limit_rule, role oid, is_total boolean, keys text[])
  returns pgqueue.limit_turn[]
  language plpgsql volatile
as $$
declare
  now_at timestamptz := clock_timestamp();
  -- Between two starts of a rate, in seconds.
  gap float8 := extract(epoch from rule.period) / rule.rate;
  most int := case when is_total then rule.max_running else rule.per_key end;
  turns pgqueue.limit_turn[];
  uncounted pg_catalog.text[];
begin
  for attempt in 1 .. 2 loop
    select array_agg(row(k.place, k.key, case when c.is_locked then s.id end, s.seq, s.alive, s.next_at, coalesce(s.room, 1), s.seconds)::pgqueue.limit_turn
                     order by k.place),
           array_agg(k.key) filter (where s.id is null)
    into turns, uncounted
    from unnest(keys) with ordinality k (key, place)
    left join lateral (
      select h.id, n.seq, a.alive, n.next_at,
             least(most - cardinality(a.alive), case when not _limit_turns.is_total then floor(rule.burst - e.early / gap + 0.000001)::int end) as room,
             case when not _limit_turns.is_total then greatest(e.early - (rule.burst - 1) * gap, 0) end as seconds
      from pgqueue.limit_holder h
      cross join lateral (select l.seq, l.ids, l.next_at from pgqueue.limit_state l where l.holder_id = h.id order by l.seq desc limit 1) n
      cross join lateral (select greatest(extract(epoch from n.next_at - now_at), 0)::pg_catalog.float8) e (early)
      -- A message counts that is in the queue and that a worker has. A scalar subquery, and LIMIT below, keep the planner from reading
      -- all that are claimed, and all keys, for each key. OFFSET makes it one look.
      cross join lateral (
        select array(select i.id from unnest(n.ids) i (id) where (select m.state from pgqueue.message m where m.id = i.id) = 'claimed') offset 0
      ) a (alive)
      where h.queue = rule.queue and h.submitter = role and h.is_total = _limit_turns.is_total and h.limit_key = k.key collate "C"
      limit 1
    ) s on true
    left join lateral (
      select true as is_locked from pgqueue.limit_state l where s.room > 0 and l.holder_id = s.id and l.seq = s.seq for update skip locked
    ) c on true;
    exit when uncounted is null or attempt = 2 or not pgqueue._make_counts(rule, role, is_total, uncounted);
  end loop;
  return coalesce(turns, '{}');
end
$$;
comment on function pgqueue._limit_turns(pgqueue.limit_rule, oid, boolean, text[]) is
  'How much the limits of these keys of a role allow now (a rate by the generic cell rate algorithm). Those that have room are locked until the end of the transaction; without a holder_id another claim has the lock. is_total: of all messages under the rule, whose key is empty';

create or replace function pgqueue._keyed_roles(kind pgqueue.message_kind, queue text)
  returns oid[]
  language plpgsql volatile
as $$
begin
  return array(
    with recursive keyed (role) as (
      select (select m.submitter from pgqueue.message m
              where m.queue = _keyed_roles.queue and m.kind = _keyed_roles.kind and m.state = 'ready' and m.limit_key is not null
              order by m.submitter limit 1)
      union all
      select (select m.submitter from pgqueue.message m
              where m.queue = _keyed_roles.queue and m.kind = _keyed_roles.kind and m.state = 'ready' and m.limit_key is not null and m.submitter > k.role
              order by m.submitter limit 1)
      from keyed k where k.role is not null
    )
    select r.role
    from (select k.role from (select k.role from keyed k where k.role is not null limit 1000) k
          union
          select u.role from unnest(pgqueue._ready_roles(kind, queue, 0, 1000, null)) u (role)) r
    -- By chance, so that none is always first. Each gets the same share.
    order by random());
end
$$;
comment on function pgqueue._keyed_roles(pgqueue.message_kind, text) is 'The roles that have ready messages in a queue, with or without keys, in random order';

create or replace function pgqueue._keys_after(kind pgqueue.message_kind, queue text, role oid, after text, max_count int)
  returns text[]
  language plpgsql volatile
as $$
begin
  -- There is one step for each key, however many messages the key has.
  return array(
    with recursive later (key) as (
      select (select m.limit_key from pgqueue.message m
              where m.queue = _keys_after.queue and m.kind = _keys_after.kind and m.state = 'ready' and m.limit_key is not null
                and m.submitter = _keys_after.role and m.limit_key > after collate "C"
              order by m.limit_key limit 1)
      union all
      select (select m.limit_key from pgqueue.message m
              where m.queue = _keys_after.queue and m.kind = _keys_after.kind and m.state = 'ready' and m.limit_key is not null
                and m.submitter = _keys_after.role and m.limit_key > l.key
              order by m.limit_key limit 1)
      from later l where l.key is not null
    ), earlier (key) as (
      select (select m.limit_key from pgqueue.message m
              where m.queue = _keys_after.queue and m.kind = _keys_after.kind and m.state = 'ready' and m.limit_key is not null
                and m.submitter = _keys_after.role and m.limit_key <= after collate "C"
              order by m.limit_key limit 1)
      union all
      select (select m.limit_key from pgqueue.message m
              where m.queue = _keys_after.queue and m.kind = _keys_after.kind and m.state = 'ready' and m.limit_key is not null
                and m.submitter = _keys_after.role and m.limit_key > e.key and m.limit_key <= after collate "C"
              order by m.limit_key limit 1)
      from earlier e where e.key is not null
    )
    select l.key from later l where l.key is not null
    union all
    select '' where exists (select from pgqueue.message m
                            where m.queue = _keys_after.queue and m.kind = _keys_after.kind and m.state = 'ready' and m.limit_key is null
                              and m.submitter = _keys_after.role)
    union all
    select e.key from earlier e where e.key is not null
    limit max_count);
end
$$;
comment on function pgqueue._keys_after(pgqueue.message_kind, text, oid, text, int) is
  'The keys of which a role has ready messages in a queue, those after a given one first. Empty: it has messages without a key';

create or replace function pgqueue._next_of_keys(kind pgqueue.message_kind, queue text, role oid, keys text[], shares int[])
  returns table (id bigint, place int, nth int)
  language plpgsql volatile
  rows 100
as $$
#variable_conflict use_column
declare
  plain int := array_position(keys, '');
begin
  return query
  select m.id, k.place::int, row_number() over (partition by k.place)::int
  from unnest(keys, shares) with ordinality k (key, share, place)
  cross join lateral (
    select r.id from pgqueue.message r
    where r.queue = _next_of_keys.queue and r.kind = _next_of_keys.kind and r.state = 'ready' and r.limit_key is not null
      and r.submitter = _next_of_keys.role and r.limit_key = k.key collate "C"
    order by pgqueue._rank(r.priority, r.id)
    limit k.share
    for update skip locked
  ) m;
  if plain is not null then
    return query
    select n.id, plain, row_number() over ()::int from pgqueue._next_of_role(kind, queue, role, shares[plain], null, -1) n;
  end if;
end
$$;
comment on function pgqueue._next_of_keys(pgqueue.message_kind, text, oid, text[], int[]) is
  'Locks the next ready messages of keys, of each at most so many; of the empty key: those without a key. place: of the key, nth: among its messages';
