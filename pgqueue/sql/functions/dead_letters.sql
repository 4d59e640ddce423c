-- after: declarations, settings
-- Dead letters: tasks that expired or were rejected in a queue that has an exchange for them, and tasks that came
-- back too often.

-- Dead letters: tasks that expired or were rejected in a queue that has an exchange for them, and tasks that came back too often.
create or replace function pgqueue._max_deliveries(queue text, submitter oid)
  returns int
  language sql stable security definer
begin atomic
  select coalesce((select d.max_deliveries from pgqueue._declared(queue, submitter) d),
                  pgqueue._configured_for_queue(queue, submitter, 'max_deliveries')::int, pgqueue._worker_number('max_deliveries', 20, 1, 32767));
end;
comment on function pgqueue._max_deliveries(text, oid) is 'How often a task of a role may be delivered in a queue';

create or replace function pgqueue._text_in(payload json, path text[])
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return payload #>> path;
exception when data_exception or program_limit_exceeded then
  return null;
end
$$;
comment on function pgqueue._text_in(json, text[]) is
  'A part of a message, if PostgreSQL can read it: JSON may contain characters that the text type cannot';

create or replace function pgqueue._readdressed(payload json, exchange text, routing_key text)
  returns json
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_set(payload::jsonb, '{properties,delivery_info}',
                   coalesce(payload::jsonb #> '{properties,delivery_info}', '{}') || jsonb_build_object('exchange', exchange, 'routing_key', routing_key))::json
$$;
comment on function pgqueue._readdressed(json, text, text) is 'A kombu message as if it had been published to that address';

create or replace function pgqueue._with_death(payload json, queue text, reason text, exchange text, routing_key text, detail text)
  returns json
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  message jsonb := pgqueue._readdressed(payload, exchange, routing_key);
  headers jsonb := coalesce(message -> 'headers', '{}');
  deaths jsonb := coalesce(headers -> 'x-death', '[]');
begin
  -- RabbitMQ's x-death: one entry for each queue and reason, the latest first.
  deaths := jsonb_build_array(jsonb_build_object(
      'queue', queue, 'reason', reason, 'time', clock_timestamp(),
      'exchange', payload #>> '{properties,delivery_info,exchange}',
      'routing-keys', jsonb_build_array(payload #>> '{properties,delivery_info,routing_key}'),
      'count', 1 + coalesce((select (d ->> 'count')::int from jsonb_array_elements(deaths) d
                             where d ->> 'queue' = queue and d ->> 'reason' = reason limit 1), 0))
      || case when detail is null then '{}' else jsonb_build_object('detail', detail) end)
    || coalesce((select jsonb_agg(d order by n) from jsonb_array_elements(deaths) with ordinality e (d, n)
                 where (d ->> 'queue', d ->> 'reason') is distinct from (queue, reason)), '[]');
  headers := jsonb_build_object('x-first-death-queue', queue, 'x-first-death-reason', reason,
                                'x-first-death-exchange', payload #>> '{properties,delivery_info,exchange}')
    || headers || jsonb_build_object('x-death', deaths);
  return (message #- '{properties,expiration}') || jsonb_build_object('headers', headers);
end
$$;
comment on function pgqueue._with_death(json, text, text, text, text, text) is
  'A kombu message with a header that says where and why it became a dead letter';

create or replace function pgqueue._dead_letter(held pgqueue.message, reason text, detail text default null)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  declared pgqueue.queue;
  exchange text;
  routing_key text;
  targets text[];
  target record;
  letter json;
begin
  delete from pgqueue.message d where d.id = held.id and d.token is not distinct from held.token;
  if not found then
    return false;  -- Another session was faster.
  end if;
  perform pgqueue._end_member(held);
  if reason = 'delivery_limit' then
    detail := concat('the task was handed to workers ', held.deliveries, ' times and came back each time');
    perform pgqueue._end_task(held, 'FAILURE', detail);
  end if;
  select * into declared from pgqueue._declared(held.queue, held.submitter);
  exchange := declared.dead_letter_exchange;
  routing_key := coalesce(declared.dead_letter_routing_key, pgqueue._text_in(held.payload, '{properties,delivery_info,routing_key}'), held.queue);
  if exchange is null and detail is null or held.kind <> 'task' or pgqueue._text_in(held.payload, '{headers,pgqueue_end,state}') is not null then
    if reason = 'expired' then
      perform pgqueue._end_task(held, 'REVOKED', 'the time to live of the message was over');
    end if;
    return true;
  end if;
  -- The sender of the message chose the routing key that is used now, and this runs in a worker's upkeep.
  targets := case when exchange is not null
             then array(select r.queue from pgqueue._route(exchange, routing_key, held.submitter) r
                        where octet_length(r.queue) between 1 and 255 and pgqueue._may_enter(held.submitter, r.queue, held.payload)) end;
  if coalesce(targets, '{}') = '{}' then
    -- There is no dead letter exchange, or it reaches no queue, or only queues to which the sender may not send.
    exchange := '';
    routing_key := pgqueue._cut(held.queue, 250) || '.dead';
    targets := array[routing_key];
  end if;
  begin
    letter := pgqueue._with_death(held.payload, held.queue, reason, exchange, routing_key, detail);
    if octet_length(letter::text) > 67108864 then
      letter := held.payload;  -- The added header makes the message larger than allowed.
    end if;
    if reason = 'expired' and not exists (
         select from json_array_elements(letter #> '{headers,x-death}') d where d ->> 'reason' <> 'expired') then
      -- As in RabbitMQ, a message ends that moves in a circle without being rejected.
      targets := array(select t from unnest(targets) t
                       except select d ->> 'queue' from json_array_elements(letter #> '{headers,x-death}') d);
    end if;
  exception when data_exception or program_limit_exceeded then
    letter := held.payload;  -- The headers do not have RabbitMQ's form, or jsonb cannot hold them.
  end;
  for target in select t.queue, d.message_ttl from unnest(targets) t (queue) left join lateral pgqueue._declared(t.queue, held.submitter) d on true loop
    insert into pgqueue.inbox (queue, kind, priority, submitter, payload, expires_at, limit_key)
    values (target.queue, 'task', held.priority, held.submitter, letter, clock_timestamp() + target.message_ttl, held.limit_key);
    perform pgqueue._wake(target.queue);
  end loop;
  return true;
end
$$;
comment on function pgqueue._dead_letter(pgqueue.message, text, text) is
  'Moves a task out of its queue: to the queue''s dead letter exchange. Without one it is deleted; but if it came back too often, or detail has a reason, it goes to the queue "<queue>.dead"';

create or replace function pgqueue._is_revoked_by_worker(payload json)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  expires text := pgqueue._text_in(payload, '{headers,expires}');
begin
  -- A worker checks the same header. An instant without a UTC offset can only be read in the worker's time zone.
  return pgqueue._text_in(payload, '{headers,task}') is not null
    and pgqueue._text_in(payload, '{headers,ignore_result}') is distinct from 'true'
    and case when expires ~ '(Z|[+-][0-9]{2}:?[0-9]{2})$' then expires::timestamptz <= clock_timestamp() else false end;
exception when data_exception then
  return false;
end
$$;
comment on function pgqueue._is_revoked_by_worker(json) is
  'Whether a task has expired by Celery''s own header and a caller may wait for its end: a worker receives it, which stores the state REVOKED and fails its chord';

create or replace function pgqueue._expire_messages(queues text[], max_count int)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  expired_until timestamptz := clock_timestamp();  -- This is a value, not a volatile call, so the index scan can stop there.
  held pgqueue.message;
  expired int := 0;
begin
  for held in
    select * from pgqueue.message m
    where m.kind = 'task' and m.state <> 'claimed' and m.expires_at <= expired_until and (queues is null or m.queue = any (queues))
    order by m.expires_at
    limit max_count
    for update skip locked
  loop
    if pgqueue._is_revoked_by_worker(held.payload)
       and not exists (select from pgqueue.queue q where q.name = held.queue and q.declared_by in (0, held.submitter) and q.dead_letter_exchange is not null) then
      update pgqueue.message r set state = 'ready', expires_at = null where r.id = held.id;
      perform pgqueue._wake(held.queue);
    else
      perform pgqueue._dead_letter(held, 'expired');
    end if;
    expired := expired + 1;
  end loop;
  return expired;
end
$$;
comment on function pgqueue._expire_messages(text[], int) is
  'Deletes messages that no worker took in time, or makes them dead letters; tasks whose end a caller may wait for become ready for a worker, which revokes them. queues NULL: of all queues';

create or replace function pgqueue.redrive(queue text)
  returns bigint
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  target text;
  redriven bigint;
  total bigint := 0;
  refused bigint := 0;
begin
  for target, redriven in
    with letter as materialized (
      select m.id, o.origin, pgqueue._may_enter(m.submitter, o.origin, m.payload) as may_enter
      from pgqueue.message m, pgqueue._text_in(m.payload, '{headers,x-death,0,queue}') o (origin)
      where m.queue = redrive.queue and m.kind = 'task' and m.state = 'ready' and (m.limit_key is null or m.limit_key is not null)  -- an index for each
      for update of m skip locked
    ), back as (
      -- The sender may have written the origin in a dead letter. So the letter goes only to queues to which its sender may send.
      update pgqueue.inbox m
      set queue = l.origin, deliveries = 0, expires_at = null, launched_at = clock_timestamp(), payload = pgqueue._readdressed(m.payload, '', l.origin)
      from letter l
      where m.id = l.id and l.origin <> redrive.queue and octet_length(l.origin) between 1 and 255 and l.may_enter
      returning m.queue
    )
    select b.queue, count(*) from back b group by b.queue
    union all
    select null, count(*) from letter l where not l.may_enter
  loop
    if target is null then
      refused := redriven;
    else
      perform pgqueue._wake(target);
      total := total + redriven;
    end if;
  end loop;
  if refused > 0 then
    raise notice '% of the dead letters in queue "%" stay there', refused, queue
      using detail = 'They name a queue that their sender may not send to.', hint = 'Look at them with pgqueue peek.';
  end if;
  return total;
end
$$;
comment on function pgqueue.redrive(text) is
  'Sends the dead letters of a queue back to the queues that they come from, if their senders may send there. Returns how many';
grant execute on function pgqueue.redrive(text) to pgqueue_admin;
