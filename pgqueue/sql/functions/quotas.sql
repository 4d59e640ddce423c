-- after: settings
-- The quotas of roles in the queues.

create or replace function pgqueue._refuse_excess(role oid, over_quota text)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_has_role(role, 'pgqueue_worker', 'member') or pg_has_role(role, 'pgqueue_admin', 'member') then
    return false;  -- These roles may always submit.
  end if;
  raise exception 'role "%" has more % than one role may have', pg_get_userbyid(role), over_quota
    using errcode = '53400',
          hint = format('Cancel or purge some, wait until workers have taken some, or let a superuser raise pgqueue.max_%s.',
                        case over_quota when 'delayed messages' then 'delayed' when 'megabytes of messages' then 'megabytes' else over_quota end);
end
$$;
comment on function pgqueue._refuse_excess(oid, text) is 'Raises 53400 for a role that is over its quota; false for workers and administrators';
grant execute on function pgqueue._refuse_excess(oid, text) to pgqueue_user;

create or replace function pgqueue._require_quota(role oid)
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  over_quota text := (select k.over_quota from pgqueue.role_key k where k.role = _require_quota.role);
begin
  if over_quota is not null then
    perform pgqueue._refuse_excess(role, over_quota);
  end if;
end
$$;
comment on function pgqueue._require_quota(oid) is
  'Raises 53400 for a role that is over one of its quotas, unless it is a worker or an administrator. For messages that do not go through pgqueue.outbox';

create or replace function pgqueue._note_usage()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  max_messages bigint := nullif(pgqueue._limit('max_messages', 0), 0);
  max_delayed bigint := nullif(pgqueue._limit('max_delayed', 0), 0);
  max_bytes bigint := nullif(pgqueue._limit('max_megabytes', 0)::bigint, 0) * 1024 * 1024;
  begun_at timestamptz := clock_timestamp();
  -- A part of a large table is counted and extrapolated: 20,000 pages are 160 MB.
  part float8 := least(100, 100 * 20000 * 8192.0 / greatest(pg_relation_size('pgqueue.message'), 1));
begin
  if num_nonnulls(max_messages, max_delayed, max_bytes) = 0 then
    if exists (select from pgqueue.role_usage) or exists (select from pgqueue.role_key k where k.over_quota is not null) then
      delete from pgqueue.role_usage;
      update pgqueue.role_key k set over_quota = null where k.over_quota is not null;
    end if;
    return;
  end if;
  -- Counting takes at most 2 % of the time.
  if exists (select from pgqueue.role_usage u where u.counted_at + 50 * u.seconds * interval '1 s' > begun_at) then
    return;
  end if;
  delete from pgqueue.role_usage;
  insert into pgqueue.role_usage (role, messages, delayed, bytes, counted_at, seconds)
  select m.submitter, count(*) * 100 / part, count(*) filter (where m.state = 'delayed') * 100 / part,
         sum(100 + coalesce(pg_column_size(m.sql), 0) + coalesce(pg_column_size(m.params), 0) + coalesce(pg_column_size(m.settings), 0)
             + coalesce(pg_column_size(m.payload), 0)) * 100 / part, begun_at, 0
  from pgqueue.message m tablesample system (part)
  group by m.submitter;
  update pgqueue.role_usage u set seconds = extract(epoch from clock_timestamp() - begun_at);
  update pgqueue.role_key k set over_quota = n.over_quota
  from (
    select r.role, case when u.messages >= max_messages then 'messages' when u.delayed >= max_delayed then 'delayed messages'
                        when u.bytes >= max_bytes then 'megabytes of messages' end as over_quota
    from pgqueue.role_key r left join pgqueue.role_usage u on u.role = r.role
  ) n
  where n.role = k.role and n.over_quota is distinct from k.over_quota;
end
$$;
comment on function pgqueue._note_usage() is
  'Counts the messages of each role, if a quota is set, and records which roles exceed theirs: their new messages are refused until the next count';

create or replace view pgqueue.quotas with (security_barrier) as
  select pg_get_userbyid(k.role) as role, k.over_quota, u.messages, nullif(l.messages, 0) as max_messages, u.delayed, nullif(l.delayed, 0) as max_delayed,
         u.bytes / 1024 / 1024 as megabytes, nullif(l.megabytes, 0) as max_megabytes,
         (select count(*) from pgqueue.queue q where q.declared_by = k.role) as queues, l.queues as max_queues,
         (select count(*) from pgqueue.exchange e where e.declared_by = k.role) as exchanges, l.exchanges as max_exchanges,
         (select count(*) from pgqueue.binding b where b.declared_by = k.role) as bindings, l.bindings as max_bindings,
         u.counted_at
  from pgqueue.role_key k
  left join pgqueue.role_usage u on u.role = k.role
  cross join (select pgqueue._limit('max_messages', 0) as messages, pgqueue._limit('max_delayed', 0) as delayed, pgqueue._limit('max_megabytes', 0) as megabytes,
                     pgqueue._limit('max_queues', 1000) as queues, pgqueue._limit('max_exchanges', 1000) as exchanges,
                     pgqueue._limit('max_bindings', 1000) as bindings) l
  where pg_has_role(k.role, 'member') or pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member');
comment on view pgqueue.quotas is
  'Usage and quotas of each enrolled role (NULL: no limit). Upkeep counts messages at counted_at, and only while one of their three quotas is set';
comment on column pgqueue.quotas.role is 'The enrolled role';
comment on column pgqueue.quotas.over_quota is
  'The quota that the role exceeds, so that its new messages are refused: messages, delayed messages or megabytes of messages. NULL: none';
comment on column pgqueue.quotas.messages is 'How many messages it has in the queues. NULL: not counted';
comment on column pgqueue.quotas.max_messages is 'The limit of messages (pgqueue.max_messages). NULL: no limit';
comment on column pgqueue.quotas.delayed is 'How many of its messages are not due yet. NULL: not counted';
comment on column pgqueue.quotas.max_delayed is 'The limit of delayed messages (pgqueue.max_delayed). NULL: no limit';
comment on column pgqueue.quotas.megabytes is 'The size of its messages in MB (1,048,576 bytes), rounded down. NULL: not counted';
comment on column pgqueue.quotas.max_megabytes is 'The limit of that size in MB (pgqueue.max_megabytes). NULL: no limit';
comment on column pgqueue.quotas.queues is 'How many declarations of queues it has made';
comment on column pgqueue.quotas.max_queues is 'The limit of these declarations (pgqueue.max_queues)';
comment on column pgqueue.quotas.exchanges is 'How many declarations of exchanges it has made';
comment on column pgqueue.quotas.max_exchanges is 'The limit of these declarations (pgqueue.max_exchanges)';
comment on column pgqueue.quotas.bindings is 'How many bindings it has made';
comment on column pgqueue.quotas.max_bindings is 'The limit of bindings (pgqueue.max_bindings)';
comment on column pgqueue.quotas.counted_at is 'When upkeep counted messages, delayed messages and megabytes. NULL: not counted';
grant select on pgqueue.quotas to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
