-- after: declarations
-- The requests of a kombu channel: declare, bind, delete, and whether an object exists.

create or replace function pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.declaration (act, name, attributes)
  values ('declare exchange', _declare_exchange.name,
          jsonb_build_object('type', _declare_exchange.type, 'durable', _declare_exchange.durable, 'auto_delete', _declare_exchange.auto_delete, 'arguments', _declare_exchange.arguments));
end;
comment on function pgqueue._declare_exchange(text, text, boolean, boolean, jsonb) is 'Makes an exchange; PQ004 when it exists with another type';
grant execute on function pgqueue._declare_exchange(text, text, boolean, boolean, jsonb) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._exchange_exists(name text)
  returns boolean
  language sql stable security definer
begin atomic
  select exists (select from pgqueue.exchange e where e.name = _exchange_exists.name);
end;
comment on function pgqueue._exchange_exists(text) is 'Whether an exchange was declared';
grant execute on function pgqueue._exchange_exists(text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._delete_exchange(name text)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.declaration (act, name) values ('delete exchange', _delete_exchange.name);
end;
comment on function pgqueue._delete_exchange(text) is 'Deletes an exchange and its bindings';
grant execute on function pgqueue._delete_exchange(text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.declaration (act, name, attributes)
  values ('declare queue', _declare_queue.queue,
          jsonb_build_object('durable', _declare_queue.durable, 'exclusive', _declare_queue.exclusive, 'auto_delete', _declare_queue.auto_delete, 'arguments', _declare_queue.arguments));
end;
comment on function pgqueue._declare_queue(text, boolean, boolean, boolean, jsonb) is
  'Makes a queue, or changes its attributes. They hold for the caller''s messages; if it is a worker or an administrator, for all';
grant execute on function pgqueue._declare_queue(text, boolean, boolean, boolean, jsonb) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._queue_exists(queue text)
  returns boolean
  language sql stable security definer
begin atomic
  select exists (select from pgqueue.queue q where q.name = queue) or exists (select from pgqueue.queue_switch q where q.name = queue);
end;
comment on function pgqueue._queue_exists(text) is 'Whether a queue was declared';
grant execute on function pgqueue._queue_exists(text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._queue_consumers(queue text)
  returns int
  language sql stable security definer
begin atomic
  select count(*)::int from pgqueue.worker w where _queue_consumers.queue = any (w.queues);
end;
comment on function pgqueue._queue_consumers(text) is 'How many workers, and other processes that consume, take from a queue';
grant execute on function pgqueue._queue_consumers(text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._drop_queue(queue text, if_unused boolean, if_empty boolean)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  deleted int;
begin
  if if_unused and exists (select from pgqueue.worker w where _drop_queue.queue = any (w.queues))
     or if_empty and exists (select from pgqueue.message m where m.queue = _drop_queue.queue and m.kind = 'task') then
    return 0;
  end if;
  delete from pgqueue.binding b
  where b.id = any (array(select d.id from pgqueue.binding d where d.queue = _drop_queue.queue for update skip locked));
  delete from pgqueue.queue q
  where q.id = any (array(select d.id from pgqueue.queue d where d.name = _drop_queue.queue for update skip locked));
  delete from pgqueue.queue_switch q where q.name = (select s.name from pgqueue.queue_switch s where s.name = _drop_queue.queue for update skip locked);
  with gone as (
    delete from pgqueue.message m
    where m.id = any (array(select q.id from pgqueue.message q where q.queue = _drop_queue.queue and q.kind = 'task' order by q.id for update))
    returning m as message, m.state as before
  )
  -- A worker runs the messages that it has, and reports how they end, but not to a batch: that has lost them.
  select count(case when g.before = 'claimed' then pgqueue._end_member(g.message) else pgqueue._revoke_task(g.message, 'the queue was deleted') end)
  into deleted from gone g;
  return deleted;
end
$$;
comment on function pgqueue._drop_queue(text, boolean, boolean) is
  'Deletes a queue, its bindings and its tasks of all roles. SQL jobs stay, and can be canceled';

create or replace function pgqueue._delete_queue(queue text, if_unused boolean, if_empty boolean)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._require_observable(array[queue]);
  return pgqueue._drop_queue(queue, if_unused, if_empty);
end
$$;
comment on function pgqueue._delete_queue(text, boolean, boolean) is
  'Deletes a queue, its bindings and its tasks of all roles: for workers, and for observers if it is one of events or answers';
grant execute on function pgqueue._delete_queue(text, boolean, boolean) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._give_up_queue(holder oid, queue text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  unclaimed int;
begin
  if holder = 0 then
    perform pgqueue._drop_queue(queue, true, false);
  elsif not exists (select from pgqueue.worker w where _give_up_queue.queue = any (w.queues)) then
    delete from pgqueue.binding b
    where b.id = any (array(select d.id from pgqueue.binding d where d.queue = _give_up_queue.queue and d.declared_by = holder for update skip locked));
    delete from pgqueue.queue q
    where q.id = any (array(select d.id from pgqueue.queue d where d.name = _give_up_queue.queue and d.declared_by = holder for update skip locked));
    delete from pgqueue.configured c where c.queue = _give_up_queue.queue and c.role = holder;
    delete from pgqueue.limit_rule l where l.queue = _give_up_queue.queue and l.role = holder;
    if not exists (select from pgqueue.queue q where q.name = _give_up_queue.queue and q.declared_by = 0) then
      with gone as (
        delete from pgqueue.message m
        where m.id = any (array(
          select q.id from pgqueue.message q
          where q.queue = _give_up_queue.queue and q.kind = 'task' and q.submitter = holder and q.state <> 'claimed'
          order by q.id
          for update))
        returning m as message
      )
      select count(pgqueue._revoke_task(g.message, 'the queue was deleted')) into unclaimed from gone g;
    end if;
  end if;
end
$$;
comment on function pgqueue._give_up_queue(oid, text) is
  'Deletes a queue without consumers (x-expires, auto-delete): if an ordinary role has declared it, only that declaration and the tasks of that role';

create or replace function pgqueue._bind(queue text, exchange text, routing_key text)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.declaration (act, name, attributes)
  values ('bind', _bind.queue, jsonb_build_object('exchange', _bind.exchange, 'routing_key', _bind.routing_key));
end;
comment on function pgqueue._bind(text, text, text) is
  'Binds a queue to an exchange, for the caller''s messages; if the caller is a worker or an administrator, for all';
grant execute on function pgqueue._bind(text, text, text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._unbind(queue text, exchange text, routing_key text)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.declaration (act, name, attributes)
  values ('unbind', _unbind.queue, jsonb_build_object('exchange', _unbind.exchange, 'routing_key', _unbind.routing_key));
end;
comment on function pgqueue._unbind(text, text, text) is 'Undoes pgqueue._bind';
grant execute on function pgqueue._unbind(text, text, text) to pgqueue_user, pgqueue_worker;

create or replace view pgqueue.own_binding with (security_barrier) as
  select b.exchange, b.routing_key, b.pattern, b.queue
  from pgqueue.binding b
  where b.declared_by = quote_ident(current_user)::regrole::oid or (select pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.own_binding is 'The bindings that the current role has made; all if it is a worker or an administrator';
grant select on pgqueue.own_binding to pgqueue_user;

create or replace function pgqueue._bindings(exchange text)
  returns table (routing_key text, pattern text, queue text)
  language sql stable
begin atomic
  select distinct b.routing_key, b.pattern, b.queue from pgqueue.own_binding b where b.exchange = _bindings.exchange order by b.queue, b.routing_key;
end;
comment on function pgqueue._bindings(text) is 'The bindings of an exchange that the caller has made; for workers and administrators, all of them';
grant execute on function pgqueue._bindings(text) to pgqueue_user, pgqueue_worker;
