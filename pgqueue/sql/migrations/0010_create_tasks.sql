-- Celery messages: exchanges, queues and bindings that all processes share, publishing, and sending a task from SQL.

create function pgqueue._is_operator(role oid)
  returns boolean
  language sql stable
begin atomic
  -- Asked by functions that run as the owner, who may do what administrators may.
  select coalesce(pg_has_role(role, 'pgqueue_worker', 'member') or pg_has_role(role, 'pgqueue_admin', 'member') or role = quote_ident(current_user)::regrole::oid, false);
end;
comment on function pgqueue._is_operator(oid) is 'Whether a role is a worker, an administrator or the owner: what it declares holds for all messages';

create function pgqueue._require_part(role oid)
  returns void
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not pgqueue._is_operator(role) and not exists (select from pgqueue.role_key k where k.role = _require_part.role) then
    perform pgqueue._refuse_stranger(role);
  end if;
end
$$;
comment on function pgqueue._require_part(oid) is 'Raises 42501 unless a role is enrolled in this database, or is a worker or an administrator';

create function pgqueue._declared(queue text, role oid)
  returns setof pgqueue.queue
  language plpgsql stable security definer
  rows 1
  set search_path = pg_catalog, pg_temp
as $$
begin
  return query
  select * from pgqueue.queue d
  where d.name = _declared.queue and d.declared_by in (0, _declared.role)
  order by d.declared_by <> 0, d.id desc
  limit 1;
end
$$;
comment on function pgqueue._declared(text, oid) is 'The declaration of a queue that counts for the messages of a role: that of workers and administrators, or else its own. No row: there is none';

create function pgqueue._limit(name text, fallback int)
  returns int
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  given text;
begin
  -- Not what is set for a role: that it could set itself.
  select nullif(substr(entry, strpos(entry, '=') + 1), '') into given
  from pg_db_role_setting s, unnest(s.setconfig) entry
  where s.setrole = 0 and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
    and split_part(entry, '=', 1) = 'pgqueue.' || _limit.name
  order by s.setdatabase = 0
  limit 1;
  return greatest(0, coalesce(given::int, fallback));
exception when data_exception then
  raise warning 'pgqueue.% is not a number: "%"', name, given;
  return fallback;
end
$$;
comment on function pgqueue._limit(text, int) is 'A limit that holds for each role, as it is set for this database or for all';

create function pgqueue._require_quota(role oid)
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
comment on function pgqueue._require_quota(oid) is 'Raises 53400 for a role that is over one of its quotas, unless it is a worker or an administrator. For what does not go through pgqueue.outbox';

create function pgqueue._note_usage()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  max_messages bigint := nullif(pgqueue._limit('max_messages', 0), 0);
  max_delayed bigint := nullif(pgqueue._limit('max_delayed', 0), 0);
  max_bytes bigint := nullif(pgqueue._limit('max_megabytes', 0)::bigint, 0) * 1024 * 1024;
  begun_at timestamptz := clock_timestamp();
  -- Of a large table a part stands for all: 20,000 pages are 160 MB.
  part float8 := least(100, 100 * 20000 * 8192.0 / greatest(pg_relation_size('pgqueue.message'), 1));
begin
  if num_nonnulls(max_messages, max_delayed, max_bytes) = 0 then
    if exists (select from pgqueue.role_usage) or exists (select from pgqueue.role_key k where k.over_quota is not null) then
      delete from pgqueue.role_usage;
      update pgqueue.role_key k set over_quota = null where k.over_quota is not null;
    end if;
    return;
  end if;
  -- Counting gets a fiftieth of the time.
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
  'Counts what each role has in the queues, where a quota is set, and notes who is over: the doors refuse those until it is counted again';

create function pgqueue._require_room(role oid, what text, present bigint)
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  setting text := 'max_' || what;
  allowed int := pgqueue._limit(setting, 1000);
begin
  if present >= allowed then
    raise exception 'role "%" has % % and may have no more', pg_get_userbyid(role), present, what
      using errcode = '53400',
            hint = format('Delete some, or let the owner of the database raise the limit: alter database %I set pgqueue.%s = %s.', current_database(), setting, greatest(2 * allowed, 1));
  end if;
end
$$;
comment on function pgqueue._require_room(oid, text, bigint) is 'Raises 53400 when a role has as many queues, exchanges or bindings as one role may have';

create function pgqueue._refuse_change(what text, name text)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'permission denied for % "%"', what, name
    using errcode = '42501', hint = 'Workers and administrators have declared it, and may change it.';
end
$$;
comment on function pgqueue._refuse_change(text, text) is 'Raises 42501';

create function pgqueue._interval_argument(arguments jsonb, name text)
  returns interval
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  milliseconds float8 := arguments ->> name;
begin
  if not milliseconds between 0 and 3e13 then
    raise exception 'argument % is out of range', name using errcode = '22023', hint = 'It counts milliseconds.';
  end if;
  return milliseconds * interval '1 ms';
end
$$;
comment on function pgqueue._interval_argument(jsonb, text) is 'x-expires or x-message-ttl of a queue';

create function pgqueue._check_short_text(what text, given text)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if octet_length(given) > 255 then
    raise exception '% has more than 255 bytes', what using errcode = '22023', hint = 'AMQP has no longer ones either.';
  end if;
end
$$;
comment on function pgqueue._check_short_text(text, text) is 'Raises 22023 for a name or a routing key that is too long';

create function pgqueue._check_queue(name text, arguments jsonb)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  unsupported text := (select min(a) from jsonb_object_keys(arguments) a where a in ('x-max-length', 'x-max-length-bytes', 'x-single-active-consumer'));
begin
  if name = '' then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  end if;
  perform pgqueue._check_short_text('queue name', name);
  -- What would be ignored is refused: whoever asks for it counts on it.
  if unsupported is not null then
    raise exception 'queue "%" cannot have the argument %: pgqueue does not have it', name, unsupported
      using errcode = '0A000', hint = 'Leave it out. Messages that are too old can be dropped by x-message-ttl.';
  end if;
end
$$;
comment on function pgqueue._check_queue(text, jsonb) is 'Raises when a queue cannot be made as it is declared';

create function pgqueue._note_exchange(holder oid, wanted_name text, wanted jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  present text := (select e.type from pgqueue.exchange e where e.name = wanted_name and e.declared_by in (0, holder) order by e.declared_by <> 0, e.id desc limit 1);
begin
  perform pgqueue._check_short_text('exchange name', wanted_name);
  if wanted ->> 'type' not in ('direct', 'topic', 'fanout') then
    raise exception 'exchange "%" cannot be of the type %', wanted_name, wanted ->> 'type'
      using errcode = '0A000', hint = 'Exchanges are direct, topic or fanout.';
  elsif present <> wanted ->> 'type' then
    raise exception 'exchange "%" exists as % and not as %', wanted_name, present, wanted ->> 'type'
      using errcode = 'PQ004', hint = 'Delete it first, or declare it as it is.';
  elsif present is null then
    if holder <> 0 then
      perform pgqueue._require_room(holder, 'exchanges', (select count(*) from pgqueue.exchange e where e.declared_by = holder));
    end if;
    insert into pgqueue.exchange (name, declared_by, type, durable, auto_delete, arguments)
    values (wanted_name, holder, wanted ->> 'type', (wanted ->> 'durable')::boolean, (wanted ->> 'auto_delete')::boolean, coalesce(nullif(wanted -> 'arguments', 'null'), '{}'));
  end if;
end
$$;
comment on function pgqueue._note_exchange(oid, text, jsonb) is 'Makes an exchange; PQ004 when it exists with another type';

create function pgqueue._drop_exchange(holder oid, unwanted text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  dropped int;
begin
  -- Whatever is deleted here: what somebody else is about to change is left to them, and not waited for.
  delete from pgqueue.exchange e
  where e.id = any (array(select d.id from pgqueue.exchange d where d.name = unwanted and (d.declared_by = holder or holder = 0) for update skip locked));
  get diagnostics dropped = row_count;
  if dropped = 0 and exists (select from pgqueue.exchange e where e.name = unwanted and e.declared_by = 0) then
    perform pgqueue._refuse_change('exchange', unwanted);
  end if;
  delete from pgqueue.binding b
  where b.id = any (array(select d.id from pgqueue.binding d where d.exchange = unwanted and (d.declared_by = holder or holder = 0) for update skip locked));
end
$$;
comment on function pgqueue._drop_exchange(oid, text) is 'Deletes an exchange and its bindings. Workers and administrators: those of all roles';

create function pgqueue._note_queue(holder oid, wanted_name text, wanted jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  given jsonb := coalesce(nullif(wanted -> 'arguments', 'null'), '{}');
  limit_ numeric := given ->> 'x-delivery-limit';
  present pgqueue.queue;
  noted bigint;
begin
  perform pgqueue._check_queue(wanted_name, given);
  select * into present from pgqueue._declared(wanted_name, holder);
  if (present.durable, present.exclusive, present.auto_delete, present.arguments)
     is not distinct from ((wanted ->> 'durable')::boolean, (wanted ->> 'exclusive')::boolean, (wanted ->> 'auto_delete')::boolean, given) then
    -- Every publisher declares its queues: a declaration that changes nothing writes nothing. But declaring a queue is using it.
    if present.expires_after is not null then
      update pgqueue.queue d set used_at = clock_timestamp()
      where d.id = (select u.id from pgqueue.queue u where u.id = present.id for update skip locked);
    end if;
    return;
  elsif present.declared_by = 0 and holder <> 0 then
    perform pgqueue._refuse_change('queue', wanted_name);
  elsif present.id is null and holder <> 0 then
    perform pgqueue._require_room(holder, 'queues', (select count(*) from pgqueue.queue d where d.declared_by = holder));
  end if;
  insert into pgqueue.queue (name, declared_by, durable, exclusive, auto_delete, arguments, expires_after, message_ttl, max_deliveries,
                                      dead_letter_exchange, dead_letter_routing_key)
  values (wanted_name, holder, (wanted ->> 'durable')::boolean, (wanted ->> 'exclusive')::boolean, (wanted ->> 'auto_delete')::boolean, given,
          pgqueue._interval_argument(given, 'x-expires'), pgqueue._interval_argument(given, 'x-message-ttl'),
          -- RabbitMQ counts how often a message came back. A limit below 0 is none.
          case when limit_ between 0 and 1000000 then limit_::int + 1 when given ? 'x-delivery-limit' then 2147483647 end,
          given ->> 'x-dead-letter-exchange', given ->> 'x-dead-letter-routing-key')
  returning id into noted;
  delete from pgqueue.queue d
  where d.id = any (array(select o.id from pgqueue.queue o where o.name = wanted_name and o.declared_by = holder and o.id < noted for update skip locked));
end
$$;
comment on function pgqueue._note_queue(oid, text, jsonb) is 'Makes a queue, or changes its attributes';

create function pgqueue._note_binding(holder oid, wanted_queue text, wanted_exchange text, wanted_key text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._check_short_text('routing key', wanted_key);
  if exists (select from pgqueue.binding b
             where b.exchange = wanted_exchange and b.declared_by in (0, holder) and b.queue = wanted_queue and b.routing_key = wanted_key) then
    return;
  elsif holder <> 0 and (wanted_exchange = 'celeryev' or right(wanted_exchange, 7) = '.pidbox') then
    raise exception 'permission denied for exchange "%"', wanted_exchange
      using errcode = '42501', hint = 'Celery''s events and control commands are for workers and administrators: grant pgqueue_worker or pgqueue_admin.';
  elsif not exists (select from pgqueue._declared(wanted_queue, holder)) then
    raise exception 'queue "%" does not exist', wanted_queue using errcode = '23503', hint = 'Declare it first.';
  elsif not exists (select from pgqueue.exchange e where e.name = wanted_exchange and e.declared_by in (0, holder)) then
    raise exception 'exchange "%" does not exist', wanted_exchange using errcode = '23503', hint = 'Declare it first.';
  end if;
  if holder <> 0 then
    perform pgqueue._require_room(holder, 'bindings', (select count(*) from pgqueue.binding b where b.declared_by = holder));
  end if;
  insert into pgqueue.binding (exchange, declared_by, routing_key, queue) values (wanted_exchange, holder, wanted_key, wanted_queue);
  if holder = 0 then
    -- Workers remember where nobody listens: events cost nothing then.
    perform pgqueue._notify_at_commit('pgqueue.bindings');
  end if;
end
$$;
comment on function pgqueue._note_binding(oid, text, text, text) is 'Feeds a queue from an exchange';

create function pgqueue._drop_binding(holder oid, unwanted_queue text, unwanted_exchange text, unwanted_key text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  dropped int;
begin
  delete from pgqueue.binding b
  where b.id = any (array(
    select d.id from pgqueue.binding d
    where d.exchange = unwanted_exchange and d.queue = unwanted_queue and d.routing_key = unwanted_key and (d.declared_by = holder or holder = 0)
    for update skip locked));
  get diagnostics dropped = row_count;
  if dropped = 0 and exists (select from pgqueue.binding b
                             where b.exchange = unwanted_exchange and b.queue = unwanted_queue and b.routing_key = unwanted_key and b.declared_by = 0) then
    perform pgqueue._refuse_change('queue', unwanted_queue);
  end if;
end
$$;
comment on function pgqueue._drop_binding(oid, text, text, text) is 'Undoes pgqueue._note_binding';

create function pgqueue._carry_out()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- Workers and administrators declare for all.
  holder oid := case when pgqueue._is_operator(new.role) then 0 else new.role end;
begin
  perform pgqueue._require_part(new.role);
  case new.act
    when 'declare exchange' then perform pgqueue._note_exchange(holder, new.name, new.attributes);
    when 'delete exchange' then perform pgqueue._drop_exchange(holder, new.name);
    when 'declare queue' then perform pgqueue._note_queue(holder, new.name, new.attributes);
    when 'bind' then perform pgqueue._note_binding(holder, new.name, new.attributes ->> 'exchange', coalesce(new.attributes ->> 'routing_key', ''));
    when 'unbind' then perform pgqueue._drop_binding(holder, new.name, new.attributes ->> 'exchange', coalesce(new.attributes ->> 'routing_key', ''));
    else raise exception 'act "%" is not known', new.act using errcode = '22023', hint = 'Use the functions of the schema pgqueue.';
  end case;
  return new;
end
$$;
comment on function pgqueue._carry_out() is 'Does what a role has inserted into pgqueue.declaration, for that role and its messages';
create trigger carry_out instead of insert on pgqueue.declaration for each row execute function pgqueue._carry_out();

create function pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.declaration (act, name, attributes)
  values ('declare exchange', _declare_exchange.name,
          jsonb_build_object('type', _declare_exchange.type, 'durable', _declare_exchange.durable, 'auto_delete', _declare_exchange.auto_delete, 'arguments', _declare_exchange.arguments));
end;
comment on function pgqueue._declare_exchange(text, text, boolean, boolean, jsonb) is 'Makes an exchange; PQ004 when it exists with another type';

create function pgqueue._exchange_exists(name text)
  returns boolean
  language sql stable security definer
begin atomic
  select exists (select from pgqueue.exchange e where e.name = _exchange_exists.name);
end;
comment on function pgqueue._exchange_exists(text) is 'Whether an exchange was declared';

create function pgqueue._delete_exchange(name text)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.declaration (act, name) values ('delete exchange', _delete_exchange.name);
end;
comment on function pgqueue._delete_exchange(text) is 'Deletes an exchange and its bindings';

create function pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.declaration (act, name, attributes)
  values ('declare queue', _declare_queue.queue,
          jsonb_build_object('durable', _declare_queue.durable, 'exclusive', _declare_queue.exclusive, 'auto_delete', _declare_queue.auto_delete, 'arguments', _declare_queue.arguments));
end;
comment on function pgqueue._declare_queue(text, boolean, boolean, boolean, jsonb) is
  'Makes a queue, or changes its attributes. They hold for the caller''s messages; if it is a worker or an administrator, for all';

create function pgqueue._queue_exists(queue text)
  returns boolean
  language sql stable security definer
begin atomic
  select exists (select from pgqueue.queue q where q.name = queue) or exists (select from pgqueue.queue_switch q where q.name = queue);
end;
comment on function pgqueue._queue_exists(text) is 'Whether a queue was declared';

create function pgqueue._queue_size(queue text)
  returns int
  language sql stable
begin atomic
  select count(*)::int from pgqueue.own_task t where t.queue = _queue_size.queue;
end;
comment on function pgqueue._queue_size(text) is 'How many tasks of a queue are ready, of those that the caller has sent; for workers and administrators, of all';

create function pgqueue._queue_consumers(queue text)
  returns int
  language sql stable security definer
begin atomic
  select count(*)::int from pgqueue.worker w where _queue_consumers.queue = any (w.queues);
end;
comment on function pgqueue._queue_consumers(text) is 'How many workers, and other processes that consume, take from a queue';

create function pgqueue._purge(queue text)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  purged int;
begin
  with gone as (
    -- But for what tells a worker to end the chord of a task that was purged before.
    delete from pgqueue.message m
    where m.queue = _purge.queue and m.kind = 'task' and m.state <> 'claimed' and pgqueue._text_in(m.payload, '{headers,pgqueue_end,state}') is null
    returning m as message
  )
  select count(pgqueue._end_task(g.message, 'REVOKED', 'the queue was purged')) into purged from gone g;
  return purged;
end
$$;
comment on function pgqueue._purge(text) is 'Deletes the tasks of a queue that no worker has: they end as REVOKED. SQL jobs stay: cancel those';

create function pgqueue._delete_queue(queue text, if_unused boolean, if_empty boolean)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  unclaimed int;
  deleted int;
begin
  if if_unused and exists (select from pgqueue.worker w where _delete_queue.queue = any (w.queues))
     or if_empty and exists (select from pgqueue.message m where m.queue = _delete_queue.queue and m.kind = 'task') then
    return 0;
  end if;
  delete from pgqueue.binding b
  where b.id = any (array(select d.id from pgqueue.binding d where d.queue = _delete_queue.queue for update skip locked));
  delete from pgqueue.queue q
  where q.id = any (array(select d.id from pgqueue.queue d where d.name = _delete_queue.queue for update skip locked));
  delete from pgqueue.queue_switch q where q.name = (select s.name from pgqueue.queue_switch s where s.name = _delete_queue.queue for update skip locked);
  with gone as (
    delete from pgqueue.message m where m.queue = _delete_queue.queue and m.kind = 'task' returning m as message, m.state as before
  )
  -- What a worker has it runs, and tells how that ended.
  select count(case when g.before = 'claimed' then null else pgqueue._end_task(g.message, 'REVOKED', 'the queue was deleted') end), count(*)
  into unclaimed, deleted from gone g;
  return deleted;
end
$$;
comment on function pgqueue._delete_queue(text, boolean, boolean) is 'Deletes a queue, its bindings and its tasks, whosever they are: for workers. SQL jobs stay: cancel those';

create function pgqueue._give_up_queue(holder oid, queue text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  unclaimed int;
begin
  if holder = 0 then
    perform pgqueue._delete_queue(queue, true, false);
  elsif not exists (select from pgqueue.worker w where _give_up_queue.queue = any (w.queues)) then
    delete from pgqueue.binding b
    where b.id = any (array(select d.id from pgqueue.binding d where d.queue = _give_up_queue.queue and d.declared_by = holder for update skip locked));
    delete from pgqueue.queue q
    where q.id = any (array(select d.id from pgqueue.queue d where d.name = _give_up_queue.queue and d.declared_by = holder for update skip locked));
    if not exists (select from pgqueue.queue q where q.name = _give_up_queue.queue and q.declared_by = 0) then
      with gone as (
        delete from pgqueue.message m where m.queue = _give_up_queue.queue and m.kind = 'task' and m.submitter = holder and m.state <> 'claimed'
        returning m as message
      )
      select count(pgqueue._end_task(g.message, 'REVOKED', 'the queue was deleted')) into unclaimed from gone g;
    end if;
  end if;
end
$$;
comment on function pgqueue._give_up_queue(oid, text) is
  'Deletes a queue that nobody consumes any more (x-expires, auto-delete): if an ordinary role has declared it, that declaration and the tasks of that role';

create function pgqueue._bind(queue text, exchange text, routing_key text)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.declaration (act, name, attributes)
  values ('bind', _bind.queue, jsonb_build_object('exchange', _bind.exchange, 'routing_key', _bind.routing_key));
end;
comment on function pgqueue._bind(text, text, text) is 'Feeds a queue from an exchange, with the caller''s messages; if it is a worker or an administrator, with all';

create function pgqueue._unbind(queue text, exchange text, routing_key text)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.declaration (act, name, attributes)
  values ('unbind', _unbind.queue, jsonb_build_object('exchange', _unbind.exchange, 'routing_key', _unbind.routing_key));
end;
comment on function pgqueue._unbind(text, text, text) is 'Undoes pgqueue._bind';

create function pgqueue._bindings(exchange text)
  returns table (routing_key text, pattern text, queue text)
  language sql stable
begin atomic
  select distinct b.routing_key, b.pattern, b.queue from pgqueue.own_binding b where b.exchange = _bindings.exchange order by b.queue, b.routing_key;
end;
comment on function pgqueue._bindings(text) is 'The bindings of an exchange that the caller has made; for workers and administrators, all of them';

create function pgqueue._route(exchange text, routing_key text, submitter oid)
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

create function pgqueue._message_ttl(queue text, submitter name)
  returns interval
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Not a function in SQL: that would be planned at each call, and this is asked for each message.
  return (select d.message_ttl from pgqueue.queue d
          where d.name = queue and d.declared_by in (0, quote_ident(submitter)::regrole::oid)
          order by d.declared_by <> 0, d.id desc
          limit 1);
end
$$;
comment on function pgqueue._message_ttl(text, name) is 'The x-message-ttl of a queue for the messages of a role; NULL: it has none';

create function pgqueue._put_task(submitter oid, queue text, message json, priority int, due_at timestamptz, expires timestamptz)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not pgqueue._may_enter(submitter, queue, null) then
    raise exception 'permission denied to control workers'
      using errcode = '42501', hint = format('Control messages can stop workers and cancel the jobs of any role. If this role may: grant pgqueue_worker to %I.', pg_get_userbyid(submitter));
  end if;
  insert into pgqueue.inbox (submitter, queue, kind, state, priority, due_at, expires_at, payload)
  values (_put_task.submitter, _put_task.queue, 'task', case when _put_task.due_at is null then 'ready' else 'delayed' end::pgqueue.message_state,
          least(greatest(coalesce(_put_task.priority, 0), 0), 9), _put_task.due_at, _put_task.expires, message);
  if due_at is null then
    perform pgqueue._wake(queue);
  else
    perform pgqueue._wake_for(queue, due_at);
  end if;
end
$$;
comment on function pgqueue._put_task(oid, text, json, int, timestamptz, timestamptz) is 'Puts a kombu message of a role into a queue, in the caller''s transaction';

create function pgqueue._dispatch()
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
    perform pgqueue._put_task(new.submitter, target.queue, new.payload, new.priority, new.due_at, least(new.expires_at, clock_timestamp() + target.message_ttl));
    new.reached := new.reached + 1;
  end loop;
  return new;
end
$$;
comment on function pgqueue._dispatch() is 'Routes what a role has inserted into pgqueue.dispatch';
create trigger dispatch instead of insert on pgqueue.dispatch for each row execute function pgqueue._dispatch();

create function pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority int, eta timestamptz, expires timestamptz)
  returns int
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  reached int;
begin
  insert into pgqueue.dispatch as d (exchange, routing_key, payload, priority, due_at, expires_at)
  values (_publish_otherwise.exchange, _publish_otherwise.routing_key, message, _publish_otherwise.priority, case when eta > clock_timestamp() then eta end, expires)
  returning d.reached into reached;
  return reached;
end
$$;
comment on function pgqueue._publish_otherwise(text, text, json, int, timestamptz, timestamptz) is
  'Publishes what is routed by an exchange, has a due time or is a control command';

create function pgqueue._goes_straight(exchange text, routing_key text, eta timestamptz)
  returns boolean
  language sql immutable
begin atomic
  select exchange = '' and right(routing_key, 7) <> '.pidbox' and eta is null;
end;
comment on function pgqueue._goes_straight(text, text, timestamptz) is 'Whether a message is a row in the queue that its routing key names, and no more';

create function pgqueue._publish(exchange text, routing_key text, message json, priority int, eta timestamptz, expires timestamptz)
  returns int
  language plpgsql volatile
as $$
declare
  nobody_sleeps pg_catalog.bool;
begin
  -- What nearly all messages do is one statement, as in pgqueue._enqueue: each expression and each SET clause more would cost something.
  if pgqueue._goes_straight(exchange, routing_key, eta) then
    insert into pgqueue.outbox (queue, kind, priority, expires_at, payload)
    values (routing_key, 'task', least(greatest(coalesce(priority, 0), 0), 9),
            least(expires, pg_catalog.clock_timestamp() operator(pg_catalog.+) pgqueue._message_ttl(routing_key, current_user)), message)
    returning pgqueue._nobody_sleeps(routing_key) into nobody_sleeps;
    if not nobody_sleeps then
      perform pgqueue._wake(routing_key);
    end if;
    return 1;
  end if;
  return pgqueue._publish_otherwise(exchange, routing_key, message, priority, eta, expires);
end
$$;
comment on function pgqueue._publish(text, text, json, int, timestamptz, timestamptz) is
  'Publishes a kombu message in the caller''s transaction. Returns how many queues it reached; exchange '''' is straight to the queue named by the routing key';

-- Dead letters: tasks that expired or were rejected in a queue that has an exchange for them, and tasks that came back too often.

create function pgqueue._max_deliveries(queue text, submitter oid)
  returns int
  language sql stable security definer
begin atomic
  select coalesce((select d.max_deliveries from pgqueue._declared(queue, submitter) d), pgqueue._worker_number('max_deliveries', 20, 1, 32767));
end;
comment on function pgqueue._max_deliveries(text, oid) is 'How often a task of a role may be handed out in a queue';

create function pgqueue._text_in(payload json, path text[])
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
comment on function pgqueue._text_in(json, text[]) is 'A part of a message, if PostgreSQL can read it: JSON may hold characters that no text can';

create function pgqueue._readdressed(payload json, exchange text, routing_key text)
  returns json
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_set(payload::jsonb, '{properties,delivery_info}',
                   coalesce(payload::jsonb #> '{properties,delivery_info}', '{}') || jsonb_build_object('exchange', exchange, 'routing_key', routing_key))::json
$$;
comment on function pgqueue._readdressed(json, text, text) is 'A kombu message as if it had been published there';

create function pgqueue._with_death(payload json, queue text, reason text, exchange text, routing_key text, detail text)
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
comment on function pgqueue._with_death(json, text, text, text, text, text) is 'A kombu message that says where and why it died';

create function pgqueue._dead_letter(held pgqueue.message, reason text, detail text default null)
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
    return false;  -- somebody else did it
  end if;
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
  -- Whoever sent the message chose the key by which it is routed now, and this runs in a worker's upkeep.
  targets := case when exchange is not null
             then array(select r.queue from pgqueue._route(exchange, routing_key, held.submitter) r
                        where octet_length(r.queue) between 1 and 255 and pgqueue._may_enter(held.submitter, r.queue, held.payload)) end;
  if coalesce(targets, '{}') = '{}' then
    -- There is no exchange for them, or it leads nowhere, or where the sender may not send to.
    exchange := '';
    routing_key := pgqueue._cut(held.queue, 250) || '.dead';
    targets := array[routing_key];
  end if;
  begin
    letter := pgqueue._with_death(held.payload, held.queue, reason, exchange, routing_key, detail);
    if octet_length(letter::text) > 67108864 then
      letter := held.payload;  -- what is written into it makes it larger than a message may be
    end if;
    if reason = 'expired' and not exists (
         select from json_array_elements(letter #> '{headers,x-death}') d where d ->> 'reason' <> 'expired') then
      -- As in RabbitMQ: what goes round by itself, with nobody rejecting it, ends.
      targets := array(select t from unnest(targets) t
                       except select d ->> 'queue' from json_array_elements(letter #> '{headers,x-death}') d);
    end if;
  exception when data_exception or program_limit_exceeded then
    letter := held.payload;  -- headers that are not what RabbitMQ makes of them, or that jsonb cannot hold
  end;
  for target in select t.queue, d.message_ttl from unnest(targets) t (queue) left join lateral pgqueue._declared(t.queue, held.submitter) d on true loop
    insert into pgqueue.inbox (queue, kind, priority, submitter, payload, expires_at)
    values (target.queue, 'task', held.priority, held.submitter, letter, clock_timestamp() + target.message_ttl);
    perform pgqueue._wake(target.queue);
  end loop;
  return true;
end
$$;
comment on function pgqueue._dead_letter(pgqueue.message, text, text) is
  'Moves a task out of its queue: to the queue''s dead letter exchange; without one it is gone, or, if it came back too often or detail says why nobody takes it, in the queue "<queue>.dead"';

create function pgqueue._reject(ids bigint[], tokens bigint[], detail text default null)
  returns int
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  select count(*) filter (where pgqueue._dead_letter(m, 'rejected', detail))::int
  from pgqueue.message m, unnest(ids, tokens) done (id, token)
  where m.id = done.id and m.token = done.token
$$;
comment on function pgqueue._reject(bigint[], bigint[], text) is
  'Claimed messages that nobody wants: dead letters, if their queue has an exchange for them or detail says why';

create function pgqueue._is_revoked_by_worker(payload json)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  expires text := pgqueue._text_in(payload, '{headers,expires}');
begin
  -- A worker looks at the same header. What has no offset from UTC is for the worker's time zone to say.
  return pgqueue._text_in(payload, '{headers,task}') is not null
    and pgqueue._text_in(payload, '{headers,ignore_result}') is distinct from 'true'
    and case when expires ~ '(Z|[+-][0-9]{2}:?[0-9]{2})$' then expires::timestamptz <= clock_timestamp() else false end;
exception when data_exception then
  return false;
end
$$;
comment on function pgqueue._is_revoked_by_worker(json) is
  'Whether a task has expired by Celery''s own header and somebody may wait for its end: a worker is to get it, which stores the state REVOKED and fails its chord';

create function pgqueue._expire_messages(queues text[], max_count int)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  expired_until timestamptz := clock_timestamp();  -- a value, not a volatile call: the index can stop there
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
comment on function pgqueue._expire_messages(text[], int) is 'Removes messages that nobody took in time, or makes dead letters of them; tasks whose end somebody may wait for are ready for a worker, which revokes them. queues NULL: of all queues';

create function pgqueue.redrive(queue text)
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
      where m.queue = redrive.queue and m.kind = 'task' and m.state = 'ready'
      for update of m skip locked
    ), back as (
      -- What a letter says of where it came from, its sender can have written: it goes where its sender may send to, and no further.
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
  'Sends the dead letters that a queue has back to the queues that they come from, if their senders may send there. Returns how many';

create function pgqueue._python_string_repr(value text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  quote text := case when strpos(value, '''') > 0 and strpos(value, '"') = 0 then '"' else '''' end;
begin
  value := replace(value, E'\\', E'\\\\');
  if quote = '''' then
    value := replace(value, '''', E'\\''');
  end if;
  if value ~ E'[\\u0001-\\u001f\\u007f-\\u00a0\\u00ad]' then
    value := (select string_agg(
                case when char = chr(10) then E'\\n' when char = chr(9) then E'\\t' when char = chr(13) then E'\\r'
                  when char ~ E'[\\u0001-\\u001f\\u007f-\\u00a0\\u00ad]' then E'\\x' || lpad(to_hex(ascii(char)), 2, '0') else char end, '' order by n)
              from string_to_table(value, null) with ordinality c (char, n));
  end if;
  return quote || value || quote;
end
$$;
comment on function pgqueue._python_string_repr(text) is 'A string as Python would print it';

create function pgqueue._python_repr(value jsonb)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  kind text := jsonb_typeof(value);
  plain text;
begin
  if kind = 'number' then
    plain := value::text;
    -- A fraction is a float to Python. One too long to be a float is not worth an error.
    if strpos(plain, '.') = 0 or length(plain) > 300 then
      return plain;
    end if;
    plain := plain::float8::text;
    return case when plain ~ '[.e]' then plain else plain || '.0' end;
  elsif kind = 'string' then
    return pgqueue._python_string_repr(value #>> '{}');
  elsif kind = 'null' then
    return 'None';
  elsif kind = 'boolean' then
    return initcap(value::text);
  elsif value in ('[]', '{}') then
    return value::text;
  elsif kind = 'array' then
    return (select '[' || string_agg(pgqueue._python_repr(v), ', ' order by n) || ']' from jsonb_array_elements(value) with ordinality e (v, n));
  else
    return (select '{' || string_agg(pgqueue._python_string_repr(k) || ': ' || pgqueue._python_repr(v), ', ') || '}' from jsonb_each(value) e (k, v));
  end if;
end
$$;
comment on function pgqueue._python_repr(jsonb) is 'A value as Python would print it, for argsrepr and kwargsrepr';

create function pgqueue._shown(repr text)
  returns text
  language sql immutable
begin atomic
  select case when length(repr) > 1024 then left(repr, 1021) || '...' else repr end;
end;
comment on function pgqueue._shown(text) is 'What Celery shows of arguments: 1024 characters';

create function pgqueue._utc_text(instant timestamptz)
  returns text
  language sql stable
begin atomic
  select to_char(instant at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"');
end;
comment on function pgqueue._utc_text(timestamptz) is 'An instant in ISO 8601, whatever the session''s settings';

create function pgqueue._list_scheduled(queues text[], max_count int)
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
comment on function pgqueue._list_scheduled(text[], int) is 'What waits in these queues until it is due, the next first';

create function pgqueue._callback(task text)
  returns jsonb
  language sql immutable
begin atomic
  select case when task is null then 'null' else jsonb_build_array(jsonb_build_object(
    'task', task, 'args', '[]'::jsonb, 'kwargs', '{}'::jsonb, 'options', '{}'::jsonb, 'subtask_type', null, 'immutable', false)) end;
end;
comment on function pgqueue._callback(text) is 'A task by its name as a list of one Celery signature, JSON null for none';

create function pgqueue._args_repr(args jsonb)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  list text := pgqueue._python_repr(args);
begin
  -- A list becomes a tuple: (), (1,), (1, 2).
  return pgqueue._shown('(' || substr(list, 2, length(list) - 2) || case jsonb_array_length(args) when 1 then ',)' else ')' end);
end
$$;
comment on function pgqueue._args_repr(jsonb) is 'The argsrepr of a task: its arguments as Python would print them';

create function pgqueue._kwargs_repr(kwargs jsonb)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return pgqueue._shown(pgqueue._python_repr(kwargs));
end
$$;
comment on function pgqueue._kwargs_repr(jsonb) is 'The kwargsrepr of a task: its keyword arguments as Python would print them';

create function pgqueue._task_message(task text, args jsonb, kwargs jsonb, queue text, priority int, due_at timestamptz, expires timestamptz,
                                      task_id text, headers jsonb, ignore_result boolean, link text, errback text)
  returns json
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  callbacks jsonb := pgqueue._callback(link);
  errbacks jsonb := pgqueue._callback(errback);
begin
  -- Celery's message protocol, version 2. The due time is the queue's business: the worker is told no eta, the task is.
  return json_build_object(
    'body', json_build_array(args, kwargs, json_build_object('callbacks', callbacks, 'errbacks', errbacks, 'chain', null, 'chord', null))::text,
    'content-type', 'application/json',
    'content-encoding', 'utf-8',
    'headers', jsonb_build_object(
      'lang', 'py', 'task', task, 'id', task_id, 'shadow', null, 'eta', null, 'expires', pgqueue._utc_text(expires),
      'group', null, 'group_index', null, 'retries', 0, 'timelimit', '[null, null]'::jsonb, 'root_id', task_id, 'parent_id', null,
      'argsrepr', pgqueue._args_repr(args), 'kwargsrepr', pgqueue._kwargs_repr(kwargs),
      'origin', concat(pg_backend_pid(), '@', current_database()),
      'ignore_result', ignore_result, 'replaced_task_nesting', 0, 'stamped_headers', null, 'stamps', '{}'::jsonb)
      || case when due_at is null then '{}' else jsonb_build_object('published_eta', pgqueue._utc_text(due_at)) end || coalesce(headers, '{}'),
    'properties', json_build_object(
      'correlation_id', task_id, 'reply_to', '', 'delivery_mode', 2, 'priority', priority,
      'delivery_info', json_build_object('exchange', '', 'routing_key', queue)));
end
$$;
comment on function pgqueue._task_message(text, jsonb, jsonb, text, int, timestamptz, timestamptz, text, jsonb, boolean, text, text) is
  'A task as a Celery message (protocol 2)';

create function pgqueue._prints_alike(json_text text)
  returns boolean
  language sql immutable
begin atomic
  -- Whole numbers, short decimal fractions, and strings in which nothing needs to be escaped.
  select length(json_text) <= 1000
    and json_text ~ E'^(?:[][{}:, ]|-?[0-9]+[],}]|-?[0-9]{1,9}\\.[0-9]{0,3}[1-9][],}]|"[^"''\\\\\\u007f-\\u00a0\\u00ad]*")*$';
end;
comment on function pgqueue._prints_alike(text) is 'Whether Python would print these arguments as JSON does, but for the kind of quotes';

create function pgqueue._plain_task_message(task text, args jsonb, kwargs jsonb, queue text, priority int, task_id text, ignore_result boolean)
  returns json
  language sql stable
begin atomic
  -- What pgqueue._task_message makes, as a part of the statement that inserts it and with few expressions: each costs a transaction something.
  select concat(
    '{"body": ', to_json(concat('[', args, ', ', kwargs, ', {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]')),
    ', "content-type": "application/json", "content-encoding": "utf-8", "headers": {"lang": "py", "task": ', to_json(task), ', "id": ', to_json(task_id),
    ', "shadow": null, "eta": null, "expires": null, "group": null, "group_index": null, "retries": 0, "timelimit": [null, null], "root_id": ', to_json(task_id),
    ', "parent_id": null, "argsrepr": ', to_json(
      case when pgqueue._prints_alike(args::text)
        then concat('(', substr(translate(args::text, '"', ''''), 2, length(args::text) - 2), case when jsonb_array_length(args) = 1 then ',)' else ')' end)
        else pgqueue._args_repr(args) end),
    ', "kwargsrepr": ', to_json(case when pgqueue._prints_alike(kwargs::text) then translate(kwargs::text, '"', '''') else pgqueue._kwargs_repr(kwargs) end),
    ', "origin": ', to_json(concat(pg_backend_pid(), '@', current_database())), ', "ignore_result": ', to_json(coalesce(ignore_result, false)),
    ', "replaced_task_nesting": 0, "stamped_headers": null, "stamps": {}}, "properties": {"correlation_id": ', to_json(task_id),
    ', "reply_to": "", "delivery_mode": 2, "priority": ', priority, ', "delivery_info": {"exchange": "", "routing_key": ', to_json(queue), '}}}')::json;
end;
comment on function pgqueue._plain_task_message(text, jsonb, jsonb, text, int, text, boolean) is
  'A task as a Celery message: pgqueue._task_message without due time, expiry, headers and callbacks';

create view pgqueue.sent_listener with (security_barrier) as
  select b.exchange from pgqueue.binding b where b.exchange = 'celeryev' and b.declared_by = 0 and '.task.sent' ~ b.pattern;
comment on view pgqueue.sent_listener is 'A row for each binding by which Celery''s monitors hear of tasks that are sent. Workers listen to each other there as well';

create function pgqueue._tell_sent(message json, queue text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  headers json := message -> 'headers';
  -- One name for all sessions: monitors keep counters by name, and never forget one.
  sender text := concat('sql@', current_database());
begin
  if not exists (select from pgqueue.sent_listener) then
    return;
  end if;
  perform pgqueue._publish('celeryev', 'task.sent', json_build_object(
    'body', json_build_object(
      'type', 'task-sent', 'timestamp', extract(epoch from clock_timestamp()), 'hostname', sender, 'pid', pg_backend_pid(),
      'uuid', headers ->> 'id', 'root_id', headers ->> 'root_id', 'parent_id', null, 'name', headers ->> 'task', 'args', headers ->> 'argsrepr',
      'kwargs', headers ->> 'kwargsrepr', 'retries', 0, 'eta', headers ->> 'published_eta', 'expires', headers ->> 'expires',
      'queue', queue, 'exchange', '', 'routing_key', queue)::text,
    'content-type', 'application/json',
    'content-encoding', 'utf-8',
    'headers', json_build_object('hostname', sender),
    'properties', json_build_object(
      'delivery_mode', 1, 'priority', 0, 'delivery_info', json_build_object('exchange', 'celeryev', 'routing_key', 'task.sent'))),
    0, null, null);
end
$$;
comment on function pgqueue._tell_sent(json, text) is 'Tells Celery''s monitors of a task that was sent, if there are any: Flower, celery events';

create function pgqueue._send_otherwise(task text, args jsonb, kwargs jsonb, queue text, priority int, delay interval, eta timestamptz, expires timestamptz,
                                        task_id text, headers jsonb, ignore_result boolean, link text, errback text)
  returns text
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  id text := coalesce(task_id, gen_random_uuid()::text);
  due_at timestamptz;
  message json;
begin
  if task is null or trim(task) = '' then
    raise exception 'task cannot be NULL or empty' using errcode = case when task is null then '22004' else '22023' end;
  elsif args is null or jsonb_typeof(args) <> 'array' then
    raise exception 'args must be a JSON array' using errcode = '22023', hint = 'For example jsonb_build_array(1, ''a'').';
  elsif kwargs is null or jsonb_typeof(kwargs) <> 'object' then
    raise exception 'kwargs must be a JSON object' using errcode = '22023', hint = 'For example jsonb_build_object(''name'', ''a'').';
  elsif headers is not null and jsonb_typeof(headers) <> 'object' then
    raise exception 'headers must be a JSON object' using errcode = '22023';
  elsif trim(link) = '' or trim(errback) = '' then
    raise exception '% cannot be empty', case when trim(link) = '' then 'link' else 'errback' end
      using errcode = '22023', hint = 'Name a task, or leave it out.';
  end if;
  due_at := pgqueue._check_options('task', queue, priority, delay, eta, expires, null, null, null, null);
  perform pgqueue._require_enrolled();
  message := pgqueue._task_message(task, args, kwargs, queue, priority, coalesce(due_at, eta), expires, id, headers, coalesce(ignore_result, false), link, errback);
  insert into pgqueue.outbox (queue, kind, state, priority, due_at, expires_at, payload)
  values (_send_otherwise.queue, 'task', case when due_at is null then 'ready' else 'delayed' end::pgqueue.message_state, _send_otherwise.priority, due_at,
          _send_otherwise.expires, message);
  perform pgqueue._wake_for(queue, due_at);
  perform pgqueue._tell_sent(message, queue);
  return id;
end
$$;
comment on function pgqueue._send_otherwise(text, jsonb, jsonb, text, int, interval, timestamptz, timestamptz, text, jsonb, boolean, text, text) is
  'Sends a task that has options, or says what is wrong with it';

create function pgqueue._is_plain_task(task text, args jsonb, kwargs jsonb, queue text, priority int, delay interval, eta timestamptz, expires timestamptz,
                                       headers jsonb, link text, errback text)
  returns boolean
  language sql immutable
begin atomic
  select trim(task) <> '' and jsonb_typeof(args) = 'array' and jsonb_typeof(kwargs) = 'object' and queue is not null and priority between 0 and 9
    and num_nonnulls(delay, eta, expires, headers, link, errback) = 0;
end;
comment on function pgqueue._is_plain_task(text, jsonb, jsonb, text, int, interval, timestamptz, timestamptz, jsonb, text, text) is
  'Whether a task makes sense and has no option but its queue, priority and id';

create function pgqueue.send_task(task text, args jsonb default '[]', kwargs jsonb default '{}', queue text default 'celery',
                                  priority int default 0, delay interval default null, eta timestamptz default null,
                                  expires timestamptz default null, task_id text default null, headers jsonb default null,
                                  ignore_result boolean default false, link text default null, errback text default null)
  returns text
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  id pg_catalog.text;
  nothing_left pg_catalog.bool;
begin
  -- The usual task is one statement, as in pgqueue._enqueue: each expression and each SET clause more would cost something, so
  -- whatever could be shadowed stands in functions and views that are bound to what they call.
  if pgqueue._is_plain_task(task, args, kwargs, queue, priority, delay, eta, expires, headers, link, errback) is not true then
    return pgqueue._send_otherwise(task, args, kwargs, queue, priority, delay, eta, expires, task_id, headers, ignore_result, link, errback);
  end if;
  id := coalesce(task_id, pg_catalog.gen_random_uuid()::pg_catalog.text);
  insert into pgqueue.outbox (queue, kind, priority, payload)
  select queue, 'task', priority, pgqueue._plain_task_message(task, args, kwargs, queue, priority, id, ignore_result)
  from pgqueue.own_key
  returning pgqueue._nobody_sleeps(queue) and not exists (select from pgqueue.sent_listener) into nothing_left;
  if nothing_left then
    return id;
  elsif nothing_left is null then
    -- Nothing was inserted: the role is not enrolled, or has been only since.
    return pgqueue._send_otherwise(task, args, kwargs, queue, priority, delay, eta, expires, id, headers, ignore_result, link, errback);
  end if;
  perform pgqueue._wake(queue);
  perform pgqueue._tell_sent(pgqueue._plain_task_message(task, args, kwargs, queue, priority, id, ignore_result), queue);
  return id;
end
$$;
comment on function pgqueue.send_task(text, jsonb, jsonb, text, int, interval, timestamptz, timestamptz, text, jsonb, boolean, text, text) is
  'Sends a Celery task when the caller commits, never if it rolls back. Returns the task id';

create function pgqueue._ack_and_claim(worker_id int, ids bigint[], tokens bigint[], demand jsonb)
  returns table (acked int, kind text, id bigint, token bigint, queue text, earlier_deliveries int, message text)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  of_session text := current_setting('synchronous_commit');
  wish record;
  must_last boolean := ids <> '{}';
begin
  acked := case when ids = '{}' then 0 else pgqueue._ack(ids, tokens) end;
  return next;
  for wish in select * from jsonb_to_recordset(demand) d (kind text, queues text[], room int, role_limit int, held jsonb) loop
    return query
    select null::int, wish.kind, c.id, c.token, c.queue, c.earlier_deliveries, c.message::text
    from pgqueue._claim(_ack_and_claim.worker_id, wish.kind, wish.queues, wish.room, wish.role_limit, wish.held) c;
    must_last := must_last or found and wish.kind = 'task';
  end loop;
  if must_last then
    -- A task must not run again because the server crashed after its ack, nor unflagged because it crashed after its claim. A job
    -- that is handed out again has had no effect.
    perform set_config('synchronous_commit', of_session, true);
  end if;
end
$$;
comment on function pgqueue._ack_and_claim(int, bigint[], bigint[], jsonb) is
  'pgqueue._ack and pgqueue._claim in one transaction. The first row says how many acks were in time, the others are claims';
