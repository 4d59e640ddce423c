-- Which queues a claim looks at next, how much it takes from each, and how much of each role a worker has then.
--
-- Nothing here has a SET clause: those of pgqueue._claim apply.

create or replace function pgqueue._share_of_room(room int, parts int, most int)
  returns int
  language sql immutable
as $$
  -- Of a large room up to an eighth, and up to `most`, even if there are more parts: to read a few messages of each of many costs several times as much
  -- as to read more of some, and jobs of one role that come together run in one call. The next claim begins with other parts.
  select greatest(ceil(room / greatest(parts, 1)::numeric)::int, least((room - 16) / 8, most), 1)
$$;
comment on function pgqueue._share_of_room(int, int, int) is 'How many messages of a claim one of so many queues or roles gets in its turn';

create or replace function pgqueue._next_queues(kind pgqueue.message_kind, queues text[], max_count int, is_cheap boolean, role_limit int, held jsonb,
                                                out chosen text[], out rest text[])
  language plpgsql volatile
as $$
#variable_conflict use_column
declare
  full_roles pg_catalog.oid[] := '{}';
  last_place int;
begin
  if not is_cheap then
    chosen := queues[:max_count];
    rest := queues[max_count + 1:];
    return;
  end if;
  if role_limit is not null then
    full_roles := array(select h.key::pg_catalog.oid as role from jsonb_each_text(held) h where h.value::int >= role_limit order by role);
  end if;
  -- No more are read than are found.
  select coalesce(array_agg(n.queue order by n.place), '{}'), max(n.place) into chosen, last_place
  from (
    select u.queue, u.place
    from unnest(queues) with ordinality u (queue, place)
    where case
      when full_roles <> '{}' then exists (
        -- Messages of a role that has its share are passed over, not read.
        select from unnest(0::pg_catalog.oid || full_roles, full_roles || 4294967295::pg_catalog.oid) gap (after, before)
        cross join lateral (
          select from pgqueue.message m
          where m.queue = u.queue and m.kind = _next_queues.kind and m.state = 'ready' and m.limit_key is null
            and m.submitter > gap.after and m.submitter < gap.before
          limit 1) other)
      -- The last one is searched for, because finished messages stand in front.
      else (select m.id from pgqueue.message m
            where m.queue = u.queue and m.kind = _next_queues.kind and m.state = 'ready' and m.limit_key is null
            order by m.submitter desc limit 1) is not null end
    limit max_count
  ) n;
  rest := case when cardinality(chosen) < max_count then '{}' else queues[last_place + 1:] end;
end
$$;
comment on function pgqueue._next_queues(pgqueue.message_kind, text[], int, boolean, int, jsonb) is
  'The first of these queues that have ready messages of a role which has not its share yet, and the queues behind the last of them; is_cheap false: just the first ones';

create or replace function pgqueue._count_held(held jsonb, roles oid[])
  returns jsonb
  language sql immutable
as $$
  select coalesce(held, '{}') || coalesce(jsonb_object_agg(c.role, c.count + coalesce((held ->> c.role)::int, 0)), '{}')
  from (select r.role::pg_catalog.text as role, count(*) as count from unnest(roles) r (role) group by r.role) c
$$;
comment on function pgqueue._count_held(jsonb, oid[]) is 'How many messages of each role a worker has, {role: count}, when it gets those of these roles in addition';
