-- after: caller, limit_turns
-- Limits of queues, which administrators and the queues' owners set: the rules, what is counted when a rule begins, and the view.
--
-- A change is an INSERT into a view, whose default sees who runs (as in pgqueue.configuring).

create or replace function pgqueue._check_limit(queue text, max_running int, per_key int, rate int, period interval, burst int)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if queue is null or octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  elsif max_running not between 0 and 10000 then
    raise exception 'max_running % is out of range', max_running using errcode = '22023', hint = 'It is 0 to 10000; leave it out for no limit.';
  elsif per_key not between 1 and 10000 then
    raise exception 'per_key % is out of range', per_key using errcode = '22023', hint = 'It is 1 to 10000; leave it out for no limit. To stop a queue, call pgqueue.pause.';
  elsif rate not between 1 and 1000000 then
    raise exception 'rate % is out of range', rate using errcode = '22023', hint = 'It is 1 to 1000000 in a period; leave it out for no limit.';
  elsif rate is not null and (period is null or not isfinite(period) or period not between interval '1 s' and interval '366 days'
        or least(extract(year from period), extract(month from period), extract(day from period), extract(hour from period), extract(minute from period),
                 extract(second from period)) < 0) then
    raise exception 'period "%" is out of range', coalesce(period::text, 'NULL') using errcode = '22023', hint = 'It is 1 second to 366 days, for example interval ''1 min''.';
  elsif burst is not null and rate is null then
    raise exception 'burst is given without rate' using errcode = '22023', hint = 'Give rate, or leave burst out.';
  elsif burst not between 1 and 1000000 then
    raise exception 'burst % is out of range', burst using errcode = '22023', hint = 'It is how many may start at the same moment, 1 to 1000000.';
  end if;
end
$$;
comment on function pgqueue._check_limit(text, int, int, int, interval, int) is 'Raises 22023 unless these limits can be set';

create or replace view pgqueue.limiting as
  select null::oid as role, null::text as queue, null::int as max_running, null::int as per_key, null::int as rate, null::interval as period, null::int as burst,
         null::boolean as had_limits
  where false;
alter view pgqueue.limiting alter column role set default pgqueue._caller();
comment on view pgqueue.limiting is 'Where pgqueue.set_limit inserts the limits that a role wants to set: pgqueue._set_limit does it, and returns them with what it has computed. had_limits: whether there were any';
grant insert (queue, max_running, per_key, rate, period, burst), select (max_running, per_key, rate, period, burst, had_limits) on pgqueue.limiting to pgqueue_user, pgqueue_admin;

create or replace function pgqueue._count_claimed(queue text, role oid)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  holder pgqueue.limit_holder;
begin
  -- Upkeep forgets none of these until the commit (pgqueue._forget_limits): those that it is forgetting now are made again.
  perform from pgqueue.limit_holder h where h.queue = _count_claimed.queue and role in (0, h.submitter) for key share;
  insert into pgqueue.limit_holder (queue, submitter, is_total, limit_key)
  select _count_claimed.queue, g.submitter, g.is_total, g.key
  from (select m.submitter, false as is_total, coalesce(m.limit_key, '') as key from pgqueue.message m
        where m.queue = _count_claimed.queue and m.state = 'claimed' and role in (0, m.submitter) group by 1, 3
        union all select role, true, '') g
  on conflict do nothing;
  for holder in
    select * from pgqueue.limit_holder h
    where h.queue = _count_claimed.queue and (role = 0 and not h.is_total or h.submitter = role) order by h.id
  loop
    -- A claim that has locked the newest count ends first, and has then written another. Claims wait for no lock, so that this cannot be
    -- in a circle with them.
    loop
      perform from pgqueue.limit_state s
      where s.holder_id = holder.id and s.seq = (select max(n.seq) from pgqueue.limit_state n where n.holder_id = holder.id) for update;
      exit when found or not exists (select from pgqueue.limit_state n where n.holder_id = holder.id);
    end loop;
    insert into pgqueue.limit_state (holder_id, ids, next_at)
    select holder.id,
           array(select m.id from pgqueue.message m
                 where m.queue = holder.queue and m.state = 'claimed'
                   and case when holder.is_total then holder.submitter in (0, m.submitter) else m.submitter = holder.submitter and coalesce(m.limit_key, '') = holder.limit_key end),
           (select s.next_at from pgqueue.limit_state s where s.holder_id = holder.id order by s.seq desc limit 1);
    delete from pgqueue.limit_state s
    where s.holder_id = holder.id and s.seq < (select max(n.seq) from pgqueue.limit_state n where n.holder_id = holder.id);
  end loop;
end
$$;
comment on function pgqueue._count_claimed(text, oid) is 'Counts what workers have of a queue when its limits change: a limit that was not there has counted nothing';

create or replace function pgqueue._set_limit()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  holder oid := pgqueue._settings_holder(new.role);
begin
  perform pgqueue._check_limit(new.queue, new.max_running, new.per_key, new.rate, new.period, new.burst);
  if holder <> 0 then
    perform pgqueue._require_part(holder);
    if not pgqueue._is_own_queue(new.queue, holder) then
      raise exception 'permission denied for queue "%"', new.queue
        using errcode = '42501', hint = 'Administrators limit queues, and a role those that it has declared itself, for its own messages.';
    elsif exists (select from pgqueue.limit_rule l where l.queue = new.queue and l.role = 0) then
      raise exception 'permission denied for the limits of queue "%"', new.queue using errcode = '42501', hint = 'An administrator has set them.';
    end if;
  end if;
  new.had_limits := exists (select from pgqueue.limit_rule l where l.queue = new.queue and l.role = holder);
  if new.rate is null then
    new.period := null;
  else
    -- Workers that come up to 3 s late, a naptime, make up for it.
    new.burst := coalesce(new.burst, least(ceil(new.rate * 3 / extract(epoch from new.period)), new.rate));
  end if;
  if num_nonnulls(new.max_running, new.per_key, new.rate) = 0 then
    delete from pgqueue.limit_rule l where l.queue = new.queue and l.role = holder;
  else
    insert into pgqueue.limit_rule (queue, role, max_running, per_key, rate, period, burst)
    values (new.queue, holder, new.max_running, new.per_key, new.rate, new.period, new.burst)
    on conflict (queue, role) do update
    set max_running = excluded.max_running, per_key = excluded.per_key, rate = excluded.rate, period = excluded.period, burst = excluded.burst;
    perform pgqueue._count_claimed(new.queue, holder);
  end if;
  perform pgqueue._wake(new.queue);
  return new;
end
$$;
comment on function pgqueue._set_limit() is 'Does what a role has inserted into pgqueue.limiting: for all messages of a queue if it is an administrator, else for its own';

create or replace trigger set_limit instead of insert on pgqueue.limiting for each row execute function pgqueue._set_limit();

create or replace function pgqueue.set_limit(queue text, max_running int default null, per_key int default null, rate int default null,
                                  period interval default interval '1 min', burst int default null)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.limiting (queue, max_running, per_key, rate, period, burst)
  values (set_limit.queue, set_limit.max_running, set_limit.per_key, set_limit.rate, set_limit.period, set_limit.burst);
end;
comment on function pgqueue.set_limit(text, int, int, int, interval, int) is
  'Limits a queue for all workers together, in place of earlier limits; with none, the queue has no limits. max_running: how many of its jobs and tasks may be claimed at a time; per_key: how many of one limit_key of a role; rate: how many of one limit_key of a role may begin in a period, burst of them at the same moment (as many as the rate allows in 3 s). Messages without a limit_key count as one key of their role. Administrators set it for all messages of the queue, a role that has declared the queue for its own';
grant execute on function pgqueue.set_limit(text, int, int, int, interval, int) to pgqueue_user, pgqueue_admin;

create or replace view pgqueue.limits with (security_barrier) as
  with me as materialized (
    select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member') as sees_all
  ), rule as materialized (
    select l.* from pgqueue.limit_rule l
    where l.role = 0
       or (pg_has_role(l.role, 'member') or (select me.sees_all from me))
         -- The limits of an administrator hold for all roles.
         and not exists (select from pgqueue.limit_rule o where o.queue = l.queue and o.role = 0)
  ), counted as (
    select m.queue, m.submitter, m.limit_key, count(*) filter (where m.state = 'claimed') as running, count(*) filter (where m.state = 'ready') as waiting
    from pgqueue.message m
    where m.queue in (select r.queue from rule r) and ((select me.sees_all from me) or pg_has_role(m.submitter, 'member'))
    group by m.queue, m.submitter, m.limit_key
  )
  select r.queue, null::text as limit_key, coalesce(sum(c.running), 0)::bigint as running, coalesce(sum(c.waiting), 0)::bigint as waiting,
         r.max_running, r.per_key, r.rate, r.period, r.burst, case when r.role <> 0 then pg_get_userbyid(r.role) end as role
  from rule r
  left join counted c on c.queue = r.queue and r.role in (0, c.submitter)
  group by r.queue, r.role, r.max_running, r.per_key, r.rate, r.period, r.burst
  union all
  select r.queue, c.limit_key, c.running, c.waiting, r.max_running, r.per_key, r.rate, r.period, r.burst, pg_get_userbyid(c.submitter)
  from rule r
  join counted c on c.queue = r.queue and r.role in (0, c.submitter)
  where c.limit_key is not null;
comment on view pgqueue.limits is
  'The limits of queues, and what they count: a row for each queue (limit_key NULL), and one for each key that has messages. A role counts its own messages and those of roles that it is a member of';
comment on column pgqueue.limits.queue is 'The name of the queue';
comment on column pgqueue.limits.limit_key is 'The key; NULL: the row counts all messages under the limits';
comment on column pgqueue.limits.running is 'How many workers have now: what counts for max_running and per_key';
comment on column pgqueue.limits.waiting is 'How many are ready';
comment on column pgqueue.limits.max_running is 'How many workers may have of the queue at a time. NULL: any number';
comment on column pgqueue.limits.per_key is 'How many of one key of a role. NULL: any number';
comment on column pgqueue.limits.rate is 'How many of one key of a role may begin in a period. NULL: any number';
comment on column pgqueue.limits.period is 'The period of the rate. NULL: there is no rate';
comment on column pgqueue.limits.burst is 'How many may begin at the same moment. NULL: there is no rate';
comment on column pgqueue.limits.role is 'The role whose messages the row counts; NULL: those of all roles';
grant select on pgqueue.limits to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._forget_limits()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A count that can be locked is the newest, as for a claim (pgqueue._limit_turns).
  with idle as materialized (
    select h.id
    from pgqueue.limit_holder h
    cross join lateral (select * from pgqueue.limit_state l where l.holder_id = h.id order by l.seq desc limit 1) n
    cross join lateral (select from pgqueue.limit_state l where l.holder_id = n.holder_id and l.seq = n.seq for update skip locked) locked
    where n.written_at < clock_timestamp() - interval '10 min' and coalesce(n.next_at <= clock_timestamp(), true)
      and not exists (select from unnest(n.ids) i (id) where (select m.state from pgqueue.message m where m.id = i.id) = 'claimed')
    limit 1000
    for update of h skip locked
  ), gone as (
    delete from pgqueue.limit_holder h using idle i where h.id = i.id
  )
  delete from pgqueue.limit_state s using idle i where s.holder_id = i.id;
end
$$;
comment on function pgqueue._forget_limits() is 'Deletes the counts of keys of which nothing was claimed for 10 min';
