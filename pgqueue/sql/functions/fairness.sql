-- The order of messages: the roles of a queue take turns, and messages that have waited too long behind higher priorities are
-- included.
--
-- The functions of a claim, down to pgqueue._claim, have no SET clauses: entering a function with one costs as much as finding a
-- message. The settings of pgqueue._claim apply to them.

create or replace function pgqueue._ready_roles(kind pgqueue.message_kind, queue text, after oid, max_count int, bounds jsonb)
  returns oid[]
  language plpgsql volatile
as $$
#variable_conflict use_column
begin
  if bounds is null then
    -- There is one step for each role, however many messages the role has.
    return array(
      with recursive later (role) as (
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.limit_key is null and m.submitter > after
                order by m.submitter limit 1)
        union all
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.limit_key is null and m.submitter > l.role
                order by m.submitter limit 1)
        from later l where l.role is not null
      ), earlier (role) as (
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.limit_key is null and m.submitter <= after
                order by m.submitter limit 1)
        union all
        select (select m.submitter from pgqueue.message m
                where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.limit_key is null
                  and m.submitter > e.role and m.submitter <= after
                order by m.submitter limit 1)
        from earlier e where e.role is not null
      )
      select l.role from later l where l.role is not null
      union all
      select e.role from earlier e where e.role is not null
      limit max_count);
  end if;
  -- For a role with bounds only the messages above them are read; for the other roles, which lie between them, the first message.
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
          where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.limit_key is null and m.submitter = k.role
            and pgqueue._rank(m.priority, m.id) > pgqueue._bound(bounds -> k.role::text, p.level)
            and pgqueue._rank(m.priority, m.id) < (p.level + 1)::bigint << 58
          limit 1
        ) above)
      union all
      select n.role from known k
      cross join lateral (
        select m.submitter from pgqueue.message m
        where m.queue = _ready_roles.queue and m.kind = _ready_roles.kind and m.state = 'ready' and m.limit_key is null
          and m.submitter > k.role and m.submitter < k.next_role
        order by m.submitter limit 1
      ) n (role)
    ) r
    order by r.role <= after, r.role
    limit max_count);
end
$$;
comment on function pgqueue._ready_roles(pgqueue.message_kind, text, oid, int, jsonb) is
  'The roles that have a ready message in a queue, those after a given one first. bounds: as in pgqueue._next_ready';

create or replace function pgqueue._next_of_role(kind pgqueue.message_kind, queue text, role oid, max_count int, bounds jsonb, above bigint)
  returns table (id bigint, rank bigint)
  language plpgsql volatile
  rows 1  -- The estimate is low, because the claim's cached plan for a table that was small would otherwise read all of a table that has grown.
as $$
#variable_conflict use_column
begin
  if bounds is null then
    return query
    select m.id, pgqueue._rank(m.priority, m.id)
    from pgqueue.message m
    where m.queue = _next_of_role.queue and m.kind = _next_of_role.kind and m.state = 'ready' and m.limit_key is null and m.submitter = _next_of_role.role
      and pgqueue._rank(m.priority, m.id) > above
    order by pgqueue._rank(m.priority, m.id)
    limit max_count
    for update skip locked;
  else
    -- Each priority is read from above the claimed messages, so that rows finished since an old snapshot are not read again and
    -- again.
    return query
    select m.id, m.rank
    from generate_series(greatest(above >> 58, 0)::int, 9) p (level)
    cross join lateral (
      select r.id, pgqueue._rank(r.priority, r.id) as rank
      from pgqueue.message r
      where r.queue = _next_of_role.queue and r.kind = _next_of_role.kind and r.state = 'ready' and r.limit_key is null and r.submitter = _next_of_role.role
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
  'Locks the next ready messages of a role in a queue that no other session has locked: those above a rank. bounds: the rank above which to read, for each level (9 - priority)';

create or replace function pgqueue._role_after(queue text)
  returns oid
  language sql stable
begin atomic
  select coalesce((nullif(current_setting('pgqueue.claim_turns', true), '')::jsonb ->> queue)::oid, 0);
end;
comment on function pgqueue._role_after(text) is 'The role that had the last turn in a queue, for the claims of this session; 0: none';

create or replace function pgqueue._next_ready(kind pgqueue.message_kind, queue text, max_count int, bounds jsonb, role_limit int, held jsonb)
  returns table (id bigint, place bigint)
  language plpgsql volatile
  rows 1
as $$
#variable_conflict use_column
declare
  -- Of the first round. If these have less than their shares, there are more.
  most_roles int := least(greatest(max_count / pgqueue._share_of_room(max_count, max_count, 32), 2), 50);
  last_role pg_catalog.oid;
  begun_after pg_catalog.oid;
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
    -- The usual case comes first: one role has submitted everything here. The last role is searched for, because finished
    -- messages stand in front: finding the first would read past them once more.
    last_role := (select m.submitter from pgqueue.message m
                  where m.queue = _next_ready.queue and m.kind = _next_ready.kind and m.state = 'ready' and m.limit_key is null
                  order by m.submitter desc limit 1);
    if last_role is null then
      return;
    end if;
    return query
    select m.id, pgqueue._rank(m.priority, m.id)
    from pgqueue.message m
    where m.queue = _next_ready.queue and m.kind = _next_ready.kind and m.state = 'ready' and m.limit_key is null
      and m.submitter = last_role
      and not exists (select from pgqueue.message e
                      where e.queue = _next_ready.queue and e.kind = _next_ready.kind and e.state = 'ready' and e.limit_key is null
                        and e.submitter < last_role)
    order by pgqueue._rank(m.priority, m.id)
    limit case when role_limit is null then max_count
          else greatest(least(max_count, role_limit - coalesce((held ->> last_role::pg_catalog.text)::int, 0)), 0) end
    for update skip locked;
    if found then
      return;
    end if;
  end if;
  begun_after := pgqueue._role_after(queue);
  after := begun_after;
  while max_count > 0 loop
    -- At least two roles: for a role that is alone nothing is recorded.
    roles := pgqueue._ready_roles(kind, queue, after, most_roles, bounds);
    if first_role is not null then
      -- Those that had their turn are left out by their order. The first one may be gone, so to look for it would not end.
      roles := array(select r.role from unnest(roles) with ordinality r (role, n)
                     where (r.role <= begun_after, r.role) > (after <= begun_after, after) order by r.n);
    end if;
    is_last := cardinality(roles) < most_roles;
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
    end if;
    roles := roles[:max_count];
    exit when roles = '{}';
    select array_agg(least(max_count, role_limit - coalesce((held ->> r.role::text)::int, 0)) order by r.n),
           array_agg(0 order by r.n), array_agg(-1::bigint order by r.n), array_agg(r.n::int order by r.n)
    into rooms, taken, last_ranks, active
    from unnest(roles) with ordinality r (role, n);
    -- Each role gets an equal share. Unused shares are divided among the others.
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
          -- The first message of each role comes before the second ones.
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
    -- The next claim begins with another role: when all had a turn with the second of these, otherwise with the role after the
    -- last one.
    after := case when is_last then first_role else roles[cardinality(roles)] end;
    exit when is_last;
    most_roles := least(greatest(max_count, 2), 50);
  end loop;
  if first_role is not null then
    perform set_config('pgqueue.claim_turns',
                       (coalesce(nullif(current_setting('pgqueue.claim_turns', true), ''), '{}')::pg_catalog.jsonb || jsonb_build_object(queue, after::text))::text, false);
  end if;
end
$$;
comment on function pgqueue._next_ready(pgqueue.message_kind, text, int, jsonb, int, jsonb) is
  'Locks the next ready messages of a queue that no other session has locked, with turns for the roles, and returns the order in which they are delivered. bounds: the rank above which to read, for each role and level; role_limit: how many of one role at most, beside those that are held';

create or replace function pgqueue._next_overdue(kind pgqueue.message_kind, queue text, max_count int, bounds jsonb, role_limit int, held jsonb)
  returns table (id bigint)
  language plpgsql volatile
  rows 1
as $$
#variable_conflict use_column
declare
  -- It is done for one role: messages of other roles do not wait behind its priorities.
  role oid := (select r.role from unnest(pgqueue._ready_roles(kind, queue, pgqueue._role_after(queue), 20, bounds)) r (role) order by random() limit 1);
  of_role jsonb := case when bounds is not null then coalesce(bounds -> role::text, '{}') end;
  room int := greatest(least(max_count, role_limit - coalesce((held ->> role::text)::int, 0)), 0);
  first_level int := (select (n.rank >> 58)::int from pgqueue._next_of_role(kind, queue, role, 1, of_role, -1) n);
begin
  if first_level < 9 then
    return query
    select m.id
    -- The level is chosen at random, so that none is always passed over.
    from pgqueue._next_of_role(kind, queue, role, room, of_role, (first_level + 1 + floor(random() * (9 - first_level))::bigint << 58) - 1) n
    join pgqueue.message m on m.id = n.id
    where greatest(m.launched_at, m.due_at) < clock_timestamp() - interval '1 minute';
  end if;
end
$$;
comment on function pgqueue._next_overdue(pgqueue.message_kind, text, int, jsonb, int, jsonb) is
  'Locks some messages of a role in a queue that have waited for more than 1 min behind its higher priorities';
