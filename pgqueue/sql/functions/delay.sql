-- Delayed messages: they become ready when they are due.

create or replace function pgqueue._promote(max_count int)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  due_until timestamptz := clock_timestamp();  -- This is a value, not a volatile call, so the index scan can stop there.
  promoted int;
begin
  update pgqueue.message m
  set state = 'ready'
  from (
    select d.id from pgqueue.message d
    where d.state = 'delayed' and d.due_at <= due_until
    order by d.due_at
    limit max_count
    for update skip locked
  ) due
  where m.id = due.id;
  get diagnostics promoted = row_count;
  return promoted;
end
$$;
comment on function pgqueue._promote(int) is 'Makes delayed messages that are due ready';

create or replace function pgqueue._postpone(id bigint, token bigint, due_at timestamptz)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  queue text;
begin
  -- The server's clock decides, because it makes the message ready later.
  if due_at <= clock_timestamp() then
    return false;
  end if;
  update pgqueue.message m
  set state = 'delayed', token = null, worker_id = null, deliveries = greatest(m.deliveries - 1, 0), due_at = _postpone.due_at
  where m.id = _postpone.id and m.token = _postpone.token
  returning m.queue into queue;
  if found then
    perform pgqueue._wake_for(queue, due_at);
  end if;
  return true;
end
$$;
comment on function pgqueue._postpone(bigint, bigint, timestamptz) is
  'Delays a claimed task that names a later due time itself, and was published without it: it waits here, not in the worker. False: it is due now';
grant execute on function pgqueue._postpone(bigint, bigint, timestamptz) to pgqueue_worker;

create or replace function pgqueue._utc_text(instant timestamptz)
  returns text
  language sql stable
begin atomic
  select to_char(instant at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"');
end;
comment on function pgqueue._utc_text(timestamptz) is 'An instant in ISO 8601, whatever the session''s settings';
grant execute on function pgqueue._utc_text(timestamptz) to pgqueue_user;

create or replace function pgqueue._list_scheduled(queues text[], max_count int)
  returns table (queue text, eta text, priority int, message json)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select m.queue, pgqueue._utc_text(m.due_at), m.priority::int,
         case m.kind when 'task' then m.payload
         else pgqueue._job_message(m.id, 0, m.queue, m.priority, m.deliveries, m.attempts, m.submitter, m.sql, null, null, m.timeout, m.kept, m.label) end
  from pgqueue.message m
  where m.state = 'delayed' and m.queue = any (queues)
  order by m.due_at
  limit max_count
$$;
comment on function pgqueue._list_scheduled(text[], int) is 'The delayed messages of these queues, the next first';
grant execute on function pgqueue._list_scheduled(text[], int) to pgqueue_worker;
