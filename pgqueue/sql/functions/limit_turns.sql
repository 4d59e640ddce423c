-- after: fairness, claim_message
-- The parts of the claim of a queue with limits (pgqueue._claim_limited): the counts of limits, and the keys that have messages.
--
-- A claim locks the rows in pgqueue.limit_holder of what it is about to count, and only then, in a statement of its own, reads what
-- is claimed: its snapshot is younger than the commit of any other claim under the same limit. It waits for no lock, so that two
-- claims cannot block each other: a key that another claim has locked has its turn there.
--
-- Nothing here has a SET clause: those of pgqueue._claim apply. All of it is PL/pgSQL, which keeps its plans for the session, and one
-- statement serves all keys.

create or replace function pgqueue._limit_turns(rule pgqueue.limit_rule, role oid, is_total boolean, keys text[])
  returns pgqueue.limit_turn[]
  language plpgsql volatile
as $$
declare
  now_at timestamptz := clock_timestamp();
  -- Between two starts of a rate, in seconds.
  gap float8 := extract(epoch from rule.period) / rule.rate;
  most int := case when is_total then rule.max_running else rule.per_key end;
begin
  return array(
    select row(k.place, k.key, s.id, s.seq, s.alive, s.next_at,
               least(most - cardinality(s.alive), case when not is_total then floor(rule.burst - s.early / gap + 0.000001)::int end),
               case when not is_total then greatest(s.early - (rule.burst - 1) * gap, 0) end)::pgqueue.limit_turn
    from unnest(keys) with ordinality k (key, place)
    left join lateral (
      select h.id, n.seq, n.next_at, greatest(extract(epoch from n.next_at - now_at), 0)::pg_catalog.float8 as early,
             -- A message counts that is in the queue and that a worker has. A scalar subquery, and LIMIT below, keep the planner from
             -- reading all that are claimed, and all keys, for each key.
             array(select i.id from unnest(n.ids) i (id) where (select m.state from pgqueue.message m where m.id = i.id) = 'claimed') as alive
      from pgqueue.limit_holder h
      left join lateral (select l.seq, l.ids, l.next_at from pgqueue.limit_state l where l.holder_id = h.id order by l.seq desc limit 1) n on true
      where h.queue = rule.queue and h.submitter = role and h.is_total = _limit_turns.is_total and h.limit_key = k.key collate "C"
      limit 1
    ) s on true
    order by k.place);
end
$$;
comment on function pgqueue._limit_turns(pgqueue.limit_rule, oid, boolean, text[]) is
  'How much the limits of these keys of a role allow now (a rate by the generic cell rate algorithm). Exact if the caller has locked the holders in an earlier statement. is_total: of all messages under the rule, whose key is empty';

create or replace function pgqueue._lock_holders(rule pgqueue.limit_rule, role oid, is_total boolean, keys text[])
  returns text[]
  language plpgsql volatile
as $$
declare
  locked pg_catalog.text[];
begin
  for attempt in 1 .. 2 loop
    select array_agg(l.limit_key) into locked
    from (
      select t.limit_key
      from unnest(keys) k (key)
      cross join lateral (
        select h.limit_key from pgqueue.limit_holder h
        where h.queue = rule.queue and h.submitter = _lock_holders.role and h.is_total = _lock_holders.is_total and h.limit_key = k.key collate "C"
        limit 1
        for update skip locked
      ) t
    ) l;
    exit when cardinality(locked) = cardinality(keys) or attempt = 2;
    -- One claim at a time makes holders for a rule, and others do not wait for it: two that wait for each other's new rows would be
    -- a deadlock.
    perform from pgqueue.limit_rule l where l.queue = rule.queue and l.role = rule.role for update skip locked;
    exit when not found;
    insert into pgqueue.limit_holder (queue, submitter, is_total, limit_key)
    select rule.queue, _lock_holders.role, _lock_holders.is_total, k.key
    from unnest(keys) k (key)
    where (select h.id from pgqueue.limit_holder h
           where h.queue = rule.queue and h.submitter = _lock_holders.role and h.is_total = _lock_holders.is_total and h.limit_key = k.key collate "C") is null
    on conflict do nothing;
    exit when not found;
  end loop;
  return coalesce(array(select k.key from unnest(keys) with ordinality k (key, place) where k.key = any (locked) order by k.place), '{}');
end
$$;
comment on function pgqueue._lock_holders(pgqueue.limit_rule, oid, boolean, text[]) is
  'Locks what a limit counts until the end of the transaction, and returns these keys; not those that another claim has locked';

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
