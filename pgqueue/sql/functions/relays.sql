-- Relays: messages that go on to another broker, and messages that come in from one.

create or replace function pgqueue._check_relay(queue text, target text, exchange text, routing_key text)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if queue is null or octet_length(queue) not between 1 and 255 or queue ~ '[[:cntrl:]]' then
    raise exception 'queue name "%" is not usable in a route', coalesce(queue, 'NULL')
      using errcode = '22023', hint = 'It has 1 to 255 bytes and no control character; * stands for any characters, ? for one.';
  elsif target like '%://%' then
    -- The message does not repeat the URL, which may have a password.
    raise exception 'the target of a route is a name, not a URL'
      using errcode = '22023', hint = 'Give a name such as rabbit, and its URL to the relay: PGQUEUE_RELAY_RABBIT_URL, or a file with --targets.';
  elsif target !~ '^[a-z][a-z0-9_]{0,30}$' then
    raise exception 'target name "%" is not usable', target
      using errcode = '22023', hint = 'It has 1 to 31 lower-case letters, digits and _, and begins with a letter.';
  elsif octet_length(exchange) > 255 or octet_length(routing_key) > 255 then
    raise exception 'the exchange or the routing key of a route is too long' using errcode = '22023', hint = 'Each has at most 255 bytes.';
  elsif target is null and (exchange is not null or routing_key is not null) then
    raise exception 'a route that is removed has no exchange and no routing key' using errcode = '22023', hint = 'Give the target too, or the queue alone.';
  end if;
end
$$;
comment on function pgqueue._check_relay(text, text, text, text) is 'Raises 22023 unless this is a route';

create or replace function pgqueue.relay_to(queue text, target text, exchange text default null, routing_key text default null)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._check_relay(queue, target, exchange, routing_key);
  if target is null then
    delete from pgqueue.relay_route r where r.queue = relay_to.queue;
    return;
  end if;
  insert into pgqueue.relay_route as r (queue, target, exchange, routing_key)
  values (relay_to.queue, relay_to.target, nullif(relay_to.exchange, ''), relay_to.routing_key)
  on conflict on constraint relay_route_pkey do update
  set target = excluded.target, exchange = excluded.exchange, routing_key = excluded.routing_key, changed_at = clock_timestamp();
end
$$;
comment on function pgqueue.relay_to(text, text, text, text) is
  'Lets `pgqueue relay` send the Celery messages of a queue on to another broker. queue: a name, or a pattern with * and ?; target: the name of the broker, whose URL only the relay knows, NULL removes the route; exchange, routing_key: where to there (the queue of the same name). The running relays follow within 5 s';
grant execute on function pgqueue.relay_to(text, text, text, text) to pgqueue_admin;

create or replace view pgqueue.relays with (security_barrier) as
  select r.queue, r.target, r.exchange, r.routing_key, r.changed_at
  from pgqueue.relay_route r;
comment on view pgqueue.relays is 'The queues that `pgqueue relay` sends on to other brokers';
comment on column pgqueue.relays.queue is 'The name of a queue, or a pattern with * and ?';
comment on column pgqueue.relays.target is 'The name of the broker, whose URL only the relay knows';
comment on column pgqueue.relays.exchange is 'The exchange there; NULL: the default exchange';
comment on column pgqueue.relays.routing_key is 'The routing key there; NULL: the name of the queue';
comment on column pgqueue.relays.changed_at is 'When the route was set';
grant select on pgqueue.relays to pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._relay_queues()
  returns setof text
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  -- One step by index for each queue, however many messages there are.
  with recursive plain (queue) as (
    (select m.queue from pgqueue.message m where m.state = 'ready' and m.limit_key is null order by m.queue limit 1)
    union all
    select (select m.queue from pgqueue.message m where m.state = 'ready' and m.limit_key is null and m.queue > p.queue order by m.queue limit 1)
    from plain p where p.queue is not null
  ), keyed (queue) as (
    (select m.queue from pgqueue.message m where m.state = 'ready' and m.limit_key is not null order by m.queue limit 1)
    union all
    select (select m.queue from pgqueue.message m where m.state = 'ready' and m.limit_key is not null and m.queue > k.queue order by m.queue limit 1)
    from keyed k where k.queue is not null
  )
  select p.queue from plain p where p.queue is not null
  union
  select k.queue from keyed k where k.queue is not null
  union
  select q.name from pgqueue.queue q
$$;
comment on function pgqueue._relay_queues() is 'The queues that exist for the patterns of a relay: those with ready messages, and declared ones';
grant execute on function pgqueue._relay_queues() to pgqueue_worker;

create or replace function pgqueue._has_ready_job(queue text)
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select exists (select from pgqueue.message m where m.state = 'ready' and m.limit_key is null and m.queue = _has_ready_job.queue and m.kind = 'job')
$$;
comment on function pgqueue._has_ready_job(text) is 'Whether SQL jobs wait in a queue: a relay leaves them there';
grant execute on function pgqueue._has_ready_job(text) to pgqueue_worker;

create or replace function pgqueue._note_receipts(source text, ids text[])
  returns setof text
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  -- A session that has the same message in an open transaction is waited for. Sorted, two sessions cannot wait for each other.
  insert into pgqueue.relay_receipt (source, message_id)
  select _note_receipts.source, i from (select distinct u.id from unnest(ids) u (id) where u.id is not null order by 1) s (i)
  on conflict do nothing
  returning message_id
$$;
comment on function pgqueue._note_receipts(text, text[]) is
  'Records the ids of messages that come in from another broker; returns those that are new. The messages are stored in the same transaction';
grant execute on function pgqueue._note_receipts(text, text[]) to pgqueue_worker;

create or replace function pgqueue._forget_receipts()
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  delete from pgqueue.relay_receipt r where r.received_at < clock_timestamp() - interval '7 days'
$$;
comment on function pgqueue._forget_receipts() is 'Forgets the ids of messages that came in more than 7 days ago';
