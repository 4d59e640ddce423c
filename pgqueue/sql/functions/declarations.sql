-- after: caller
-- Declarations of roles: AMQP exchanges, queues and bindings.
--
-- A declaration is an INSERT into the view pgqueue.declaration. A column's default contains the current role and cannot be given;
-- the trigger then acts as the owner of pgqueue. No role needs a right on a table for it, with which LOCK TABLE could stop every
-- worker, and no role learns the bindings of others.

create or replace view pgqueue.declaration as
  select null::oid as role, null::text as act, null::text as name, null::jsonb as attributes
  where false;
alter view pgqueue.declaration alter column role set default pgqueue._caller();
comment on view pgqueue.declaration is 'The view into which roles insert to declare, bind, unbind or delete: pgqueue._carry_out does it';
-- The right is granted by column: with a right on the whole view, LOCK TABLE locks the tables under it.
grant insert (act, name, attributes) on pgqueue.declaration to pgqueue_user;

create or replace function pgqueue._declared(queue text, role oid)
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
comment on function pgqueue._declared(text, oid) is
  'The declaration of a queue that applies to the messages of a role: that of workers and administrators, or else the role''s own. No row: there is none';

create or replace function pgqueue._require_room(role oid, what text, present bigint)
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
            hint = format('Delete some, or let a superuser raise the limit: alter database %I set pgqueue.%s = %s.', current_database(), setting, greatest(2 * allowed, 1));
  end if;
end
$$;
comment on function pgqueue._require_room(oid, text, bigint) is 'Raises 53400 when a role has as many queues, exchanges or bindings as one role may have';

create or replace function pgqueue._refuse_change(what text, name text)
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

create or replace function pgqueue._interval_argument(arguments jsonb, name text)
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

create or replace function pgqueue._check_short_text(what text, given text)
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

create or replace function pgqueue._check_queue(name text, arguments jsonb)
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
  -- An argument that would be ignored is refused, because the declaring program relies on it.
  if unsupported is not null then
    raise exception 'queue "%" cannot have the argument %: pgqueue does not have it', name, unsupported
      using errcode = '0A000', hint = 'Leave it out. Messages that are too old can be dropped by x-message-ttl.';
  end if;
end
$$;
comment on function pgqueue._check_queue(text, jsonb) is 'Raises when a queue cannot be made as it is declared';

create or replace function pgqueue._note_exchange(holder oid, wanted_name text, wanted jsonb)
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

create or replace function pgqueue._drop_exchange(holder oid, unwanted text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  dropped int;
begin
  -- A row that another session is about to change is left to that session, and not waited for.
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

create or replace function pgqueue._note_queue(holder oid, wanted_name text, wanted jsonb)
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
    -- Every publisher declares its queues: a declaration that changes nothing writes nothing. But declaring a queue counts as
    -- using it.
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
          -- RabbitMQ counts how often a message came back. A negative limit means none.
          case when limit_ between 0 and 1000000 then limit_::int + 1 when given ? 'x-delivery-limit' then 2147483647 end,
          given ->> 'x-dead-letter-exchange', given ->> 'x-dead-letter-routing-key')
  returning id into noted;
  delete from pgqueue.queue d
  where d.id = any (array(select o.id from pgqueue.queue o where o.name = wanted_name and o.declared_by = holder and o.id < noted for update skip locked));
end
$$;
comment on function pgqueue._note_queue(oid, text, jsonb) is 'Makes a queue, or changes its attributes';

create or replace function pgqueue._note_binding(holder oid, wanted_queue text, wanted_exchange text, wanted_key text)
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
    -- Workers remember keys that reach no queue, so that events without a listener cost nothing.
    perform pgqueue._notify_at_commit('pgqueue.bindings');
  end if;
end
$$;
comment on function pgqueue._note_binding(oid, text, text, text) is 'Binds a queue to an exchange';

create or replace function pgqueue._drop_binding(holder oid, unwanted_queue text, unwanted_exchange text, unwanted_key text)
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

create or replace function pgqueue._carry_out()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- Declarations of workers and administrators apply to all roles.
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

create or replace trigger carry_out instead of insert on pgqueue.declaration for each row execute function pgqueue._carry_out();
