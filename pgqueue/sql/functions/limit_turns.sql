-- after: fairness, claim_message
-- What a limit counts, and the keys that have messages: the parts of the claim of a queue with limits (pgqueue._claim_limited).
--
-- A claim locks the rows in pgqueue.limit_holder of what it is about to count, and only then, in a statement of its own, reads what
-- is claimed: its snapshot is younger than the commit of any other claim under the same limit. It waits for no lock, so that two
-- claims cannot block each other: a key that another claim has locked has its turn there.
--
-- Nothing here has a SET clause: those of pgqueue._claim apply.

create or replace function pgqueue._limit_rule(queue text, role oid)
  returns pgqueue.limit_rule
  language sql stable
begin atomic
  select l from pgqueue.limit_rule l where l.queue = _limit_rule.queue and l.role in (0, _limit_rule.role) order by l.role limit 1;
end;
comment on function pgqueue._limit_rule(text, oid) is 'The rule that applies to the messages of a role in a queue: an administrator''s, else the role''s own; NULL: there is none';

create or replace function pgqueue._claimed_of(ids bigint[])
  returns bigint[]
  language sql stable
begin atomic
  select array(select i.id from unnest(ids) i (id) where exists (select from pgqueue.message m where m.id = i.id and m.state = 'claimed'));
end;
comment on function pgqueue._claimed_of(bigint[]) is 'Those of these messages that workers have now: what a limit counts';

create or replace function pgqueue._rate_room(rule pgqueue.limit_rule, next_at timestamptz, now_at timestamptz)
  returns int
  language sql immutable
begin atomic
  select floor(rule.burst - coalesce(greatest(extract(epoch from next_at - now_at), 0), 0) * rule.rate / extract(epoch from rule.period) + 0.000001)::int;
end;
comment on function pgqueue._rate_room(pgqueue.limit_rule, timestamptz, timestamptz) is 'How many starts a rate allows now (GCRA); NULL: there is no rate';

create or replace function pgqueue._rate_seconds(rule pgqueue.limit_rule, next_at timestamptz, now_at timestamptz)
  returns float8
  language sql immutable
begin atomic
  select greatest(extract(epoch from next_at - now_at) - (rule.burst - 1) * extract(epoch from rule.period) / rule.rate, 0)::float8;
end;
comment on function pgqueue._rate_seconds(pgqueue.limit_rule, timestamptz, timestamptz) is 'How long until a rate allows the next start; NULL: there is no rate, or nothing was started';

create or replace function pgqueue._limit_turn(place int, key text, holder_id bigint, rule pgqueue.limit_rule, now_at timestamptz)
  returns pgqueue.limit_turn
  language plpgsql volatile
as $$
declare
  turn pgqueue.limit_turn;
  rate_room int;
begin
  turn.place := place;
  turn.limit_key := key;
  turn.holder_id := holder_id;
  select s.seq, s.ids, s.next_at into turn.seq, turn.ids, turn.next_at
  from pgqueue.limit_state s where s.holder_id = _limit_turn.holder_id order by s.seq desc limit 1;
  turn.ids := pgqueue._claimed_of(turn.ids);
  rate_room := pgqueue._rate_room(rule, turn.next_at, now_at);
  turn.room := least(case when key is null then rule.max_running else rule.per_key end - cardinality(turn.ids), case when key is not null then rate_room end);
  if rate_room < 1 and key is not null then
    turn.seconds := pgqueue._rate_seconds(rule, turn.next_at, now_at);
  end if;
  return turn;
end
$$;
comment on function pgqueue._limit_turn(int, text, bigint, pgqueue.limit_rule, timestamptz) is
  'What a limit allows now. Exact if the caller has locked the holder in an earlier statement. key NULL: of all messages under the rule';

create or replace function pgqueue._next_of_key(kind pgqueue.message_kind, queue text, role oid, key text, max_count int)
  returns table (id bigint)
  language plpgsql volatile
  rows 1
as $$
#variable_conflict use_column
begin
  if key = '' then
    return query select n.id from pgqueue._next_of_role(kind, queue, role, max_count, null, -1) n;
  else
    return query
    select m.id from pgqueue.message m
    where m.queue = _next_of_key.queue and m.kind = _next_of_key.kind and m.state = 'ready' and m.limit_key is not null
      and m.submitter = _next_of_key.role and m.limit_key = _next_of_key.key
    order by pgqueue._rank(m.priority, m.id)
    limit max_count
    for update skip locked;
  end if;
end
$$;
comment on function pgqueue._next_of_key(pgqueue.message_kind, text, oid, text, int) is
  'Locks the next ready messages of a key; empty: of the messages without a key';

create or replace function pgqueue._keyed_roles(kind pgqueue.message_kind, queue text)
  returns oid[]
  language sql volatile
as $$
  select array(
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
    -- By chance, so that none is always first. There are few of them, and each gets the same share.
    order by random())
$$;
comment on function pgqueue._keyed_roles(pgqueue.message_kind, text) is 'The roles that have ready messages in a queue, with or without keys, in random order';

create or replace function pgqueue._keys_after(kind pgqueue.message_kind, queue text, role oid, after text, max_count int)
  returns text[]
  language sql volatile
as $$
  -- There is one step for each key, however many messages the key has.
  select array(
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
    limit max_count)
$$;
comment on function pgqueue._keys_after(pgqueue.message_kind, text, oid, text, int) is
  'The keys of which a role has ready messages in a queue, those after a given one first. Empty: it has messages without a key';

create or replace function pgqueue._lock_holders(rule pgqueue.limit_rule, role oid, is_total boolean, keys text[])
  returns bigint[]
  language plpgsql volatile
as $$
declare
  locked bigint[];
begin
  -- One claim at a time makes holders for a rule, and others do not wait for it: two that wait for each other's new rows would be a
  -- deadlock.
  if exists (select from unnest(keys) k (key)
             where not exists (select from pgqueue.limit_holder h
                               where h.queue = rule.queue and h.submitter = _lock_holders.role and h.is_total = _lock_holders.is_total and h.limit_key = k.key collate "C"))
  then
    perform from pgqueue.limit_rule l where l.queue = rule.queue and l.role = rule.role for update skip locked;
    if found then
      insert into pgqueue.limit_holder (queue, submitter, is_total, limit_key)
      select rule.queue, _lock_holders.role, _lock_holders.is_total, k.key from unnest(keys) k (key)
      on conflict do nothing;
    end if;
  end if;
  select array_agg(h.id order by h.place) into locked
  from (
    select k.place, t.id
    from unnest(keys) with ordinality k (key, place)
    join pgqueue.limit_holder t on t.queue = rule.queue and t.submitter = _lock_holders.role and t.is_total = _lock_holders.is_total and t.limit_key = k.key collate "C"
    for update of t skip locked
  ) h;
  return coalesce(locked, '{}');
end
$$;
comment on function pgqueue._lock_holders(pgqueue.limit_rule, oid, boolean, text[]) is
  'Locks what a limit counts, except what another claim has locked, until the end of the transaction';

create or replace function pgqueue._note_limit_wait(seconds float8)
  returns void
  language sql volatile
as $$
  select set_config('pgqueue.limit_wait', least(seconds, nullif(current_setting('pgqueue.limit_wait', true), '')::float8)::text, true);
$$;
comment on function pgqueue._note_limit_wait(float8) is
  'Records for the end of the transaction that messages wait for a limit, and when to look again (pgqueue._ack_and_claim)';
