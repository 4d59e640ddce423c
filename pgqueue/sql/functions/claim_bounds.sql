-- The moving lower bound of an expensive claim: how far a session has claimed, by queue, role and priority.

create or replace function pgqueue._bound(bounds jsonb, level int)
  returns bigint
  language sql immutable
begin atomic
  select coalesce((bounds ->> level::text)::bigint, level::bigint << 58 | coalesce((bounds ->> '*')::bigint, 0));
end;
comment on function pgqueue._bound(jsonb, int) is
  'The rank above which a level is read: the bound of the level, else the one that stands for all levels of the role';

create or replace function pgqueue._raise_bounds(bounds jsonb, ids bigint[], must_lower boolean)
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

create or replace function pgqueue._may_be_bounded(queues text[], excess_seconds float8)
  returns boolean
  language sql stable
begin atomic
  -- There is a bound for each role in each queue, which costs each claim some time: to make and to read many takes longer than to read past
  -- dead rows. And on a busy machine a claim takes long though there are none.
  select n.bounds <= 2000 and excess_seconds > 0.00007 * n.bounds
  from (select cardinality(queues) * count(*) as bounds from (select from pgqueue.role_key limit 1000) k) n;
end;
comment on function pgqueue._may_be_bounded(text[], float8) is
  'Whether so few roles may have messages in these queues that their bounds are worth while for a claim that takes this much longer than usual';

create or replace function pgqueue._bound_roles(kind pgqueue.message_kind, queues text[], bounds jsonb)
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  -- The last numbers are left out: their transactions may be about to commit.
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
  'The bounds, extended by all roles that have a ready message now or may have one soon. Roles without messages before are not read again';
