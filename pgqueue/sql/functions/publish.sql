-- after: caller
-- Publish: route messages, and put tasks into queues.
--
-- Publishing through an exchange is an INSERT into the view pgqueue.dispatch, whose trigger acts as the owner (see
-- declarations.sql).

create or replace view pgqueue.dispatch as
  select null::oid as submitter, null::text as exchange, null::text as routing_key, null::json as payload, null::int as priority,
         null::timestamptz as due_at, null::timestamptz as expires_at, null::int as reached, null::text as limit_key
  where false;
alter view pgqueue.dispatch alter column submitter set default pgqueue._caller();
comment on view pgqueue.dispatch is
  'The view into which roles insert to publish through an exchange: pgqueue._dispatch routes it. reached: the number of queues';
-- The right is granted by column: with a right on the whole view, LOCK TABLE locks the tables under it.
grant insert (exchange, routing_key, payload, priority, due_at, expires_at, limit_key), select (reached) on pgqueue.dispatch to pgqueue_user;

create or replace function pgqueue._route(exchange text, routing_key text, submitter oid)
  returns table (queue text, message_ttl interval)
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  type text;
begin
  if coalesce(exchange, '') = '' then
    return query select _route.routing_key, (select d.message_ttl from pgqueue._declared(_route.routing_key, submitter) d);
    return;
  end if;
  select e.type into type from pgqueue.exchange e where e.name = _route.exchange and e.declared_by in (0, submitter) order by e.declared_by <> 0, e.id desc limit 1;
  return query
  select b.queue, d.message_ttl
  from (
    select distinct b.queue
    from pgqueue.binding b
    where b.exchange = _route.exchange and b.declared_by in (0, submitter)
      and (type = 'fanout' or type = 'direct' and b.routing_key = coalesce(_route.routing_key, '')
           or type = 'topic' and '.' || coalesce(_route.routing_key, '') ~ b.pattern)
  ) b
  cross join lateral pgqueue._declared(b.queue, submitter) d;
end
$$;
comment on function pgqueue._route(text, text, oid) is 'The queues that a message of a role reaches (AMQP 0-9-1, 3.1.3)';

create or replace function pgqueue._message_ttl(queue text, submitter name)
  returns interval
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- It is not a function in SQL, which would be planned at each call: this is called for each message.
  return (select d.message_ttl from pgqueue.queue d
          where d.name = queue and d.declared_by in (0, quote_ident(submitter)::regrole::oid)
          order by d.declared_by <> 0, d.id desc
          limit 1);
end
$$;
comment on function pgqueue._message_ttl(text, name) is 'The x-message-ttl of a queue for the messages of a role; NULL: it has none';
grant execute on function pgqueue._message_ttl(text, name) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._put_task(submitter oid, queue text, message json, priority int, due_at timestamptz, expires timestamptz,
                                   limit_key text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not pgqueue._may_enter(submitter, queue, null) then
    raise exception 'permission denied to control workers'
      using errcode = '42501', hint = format('Control messages can stop workers and cancel the jobs of any role. If this role may: grant pgqueue_worker to %I.', pg_get_userbyid(submitter));
  end if;
  insert into pgqueue.inbox (submitter, queue, kind, state, priority, due_at, expires_at, payload, limit_key)
  values (_put_task.submitter, _put_task.queue, 'task', case when _put_task.due_at is null then 'ready' else 'delayed' end::pgqueue.message_state,
          least(greatest(coalesce(_put_task.priority, 0), 0), 9), _put_task.due_at, _put_task.expires, message, _put_task.limit_key);
  if due_at is null then
    perform pgqueue._wake(queue);
  else
    perform pgqueue._wake_for(queue, due_at);
  end if;
end
$$;
comment on function pgqueue._put_task(oid, text, json, int, timestamptz, timestamptz, text) is 'Puts a kombu message of a role into a queue, in the caller''s transaction';

create or replace function pgqueue._dispatch()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  target record;
begin
  perform pgqueue._require_part(new.submitter);
  perform pgqueue._require_quota(new.submitter);
  new.reached := 0;
  for target in select * from pgqueue._route(new.exchange, new.routing_key, new.submitter) loop
    perform pgqueue._put_task(new.submitter, target.queue, new.payload, new.priority, new.due_at, least(new.expires_at, clock_timestamp() + target.message_ttl), new.limit_key);
    new.reached := new.reached + 1;
  end loop;
  return new;
end
$$;
comment on function pgqueue._dispatch() is 'Routes what a role has inserted into pgqueue.dispatch';

create or replace trigger dispatch instead of insert on pgqueue.dispatch for each row execute function pgqueue._dispatch();

create or replace function pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority int, eta timestamptz, expires timestamptz,
                                             limit_key text)
  returns int
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  reached int;
begin
  insert into pgqueue.dispatch as d (exchange, routing_key, payload, priority, due_at, expires_at, limit_key)
  values (_publish_otherwise.exchange, _publish_otherwise.routing_key, message, _publish_otherwise.priority, case when eta > clock_timestamp() then eta end, expires, _publish_otherwise.limit_key)
  returning d.reached into reached;
  return reached;
end
$$;
comment on function pgqueue._publish_otherwise(text, text, json, int, timestamptz, timestamptz, text) is
  'Publishes what is routed by an exchange, has a due time or is a control command';
grant execute on function pgqueue._publish_otherwise(text, text, json, int, timestamptz, timestamptz, text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._goes_straight(exchange text, routing_key text, eta timestamptz)
  returns boolean
  language sql immutable
begin atomic
  select exchange = '' and right(routing_key, 7) <> '.pidbox' and eta is null;
end;
comment on function pgqueue._goes_straight(text, text, timestamptz) is
  'Whether a message is one row in the queue that its routing key names';
grant execute on function pgqueue._goes_straight(text, text, timestamptz) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._publish(exchange text, routing_key text, message json, priority int, eta timestamptz, expires timestamptz,
                                   limit_key text default null)
  returns int
  language plpgsql volatile
as $$
declare
  nobody_sleeps pg_catalog.bool;
begin
  -- Nearly all messages need one statement, as in pgqueue._enqueue: each further expression and SET clause would cost time.
  if pgqueue._goes_straight(exchange, routing_key, eta) then
    insert into pgqueue.outbox (queue, kind, priority, expires_at, payload, limit_key)
    values (routing_key, 'task', least(greatest(coalesce(priority, 0), 0), 9),
            least(expires, pg_catalog.clock_timestamp() operator(pg_catalog.+) pgqueue._message_ttl(routing_key, current_user)), message, limit_key)
    returning pgqueue._nobody_sleeps(routing_key) into nobody_sleeps;
    if not nobody_sleeps then
      perform pgqueue._wake(routing_key);
    end if;
    return 1;
  end if;
  return pgqueue._publish_otherwise(exchange, routing_key, message, priority, eta, expires, limit_key);
end
$$;
comment on function pgqueue._publish(text, text, json, int, timestamptz, timestamptz, text) is
  'Publishes a kombu message in the caller''s transaction. Returns how many queues it reached; exchange '''' means the queue that the routing key names';
grant execute on function pgqueue._publish(text, text, json, int, timestamptz, timestamptz, text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._publish_keyed(exchange text, routing_key text, message json, priority int, eta timestamptz, expires timestamptz,
                                                  limit_key text, unique_key text, unique_for interval, on_conflict text, dependence jsonb,
                                                  out reached int, out task_id text)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  outcome text;
begin
  insert into pgqueue.keyed_outbox as k (kind, exchange, queue, payload, priority, due_at, expires_at, limit_key, unique_key, unique_for, on_conflict,
                                         after, on_parent_failure, batch, continues_id, continues_token)
  select 'task', exchange, routing_key, message, _publish_keyed.priority, eta, expires, _publish_keyed.limit_key, _publish_keyed.unique_key,
         _publish_keyed.unique_for, _publish_keyed.on_conflict, d.after, d.on_parent_failure, d.batch, d.continues_id, d.continues_token
  from jsonb_to_record(coalesce(dependence, '{}')) d (after pgqueue.handle[], on_parent_failure text, batch bigint, continues_id bigint, continues_token bigint)
  returning k.task_id, k.outcome into task_id, outcome;
  reached := (outcome <> 'unroutable')::int;
end
$$;
comment on function pgqueue._publish_keyed(text, text, json, int, timestamptz, timestamptz, text, text, interval, text, jsonb) is
  'Publishes a Celery task that has a unique key, waits for jobs, is in a batch or continues a task that is. task_id: of the task that has the key now, which is another one if this one was dropped';
grant execute on function pgqueue._publish_keyed(text, text, json, int, timestamptz, timestamptz, text, text, interval, text, jsonb) to pgqueue_user, pgqueue_worker;
