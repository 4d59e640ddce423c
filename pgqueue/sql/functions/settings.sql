-- Settings (pgqueue.naptime and others): read where they are used, so that pgqueue.configure, ALTER DATABASE, ALTER ROLE
-- and SET apply without a restart.

create or replace function pgqueue._known_setting()
  returns table (setting text, kind text, fallback text, least_value text, greatest_value text, of_database boolean, of_queue boolean)
  language sql immutable
begin atomic
  values
    ('naptime', 'interval', '3 s', '0.1 s', '1 hour', true, false),
    ('max_items', 'number', '500', '1', '10000', true, false),
    ('max_deliveries', 'number', '20', '1', '32767', true, true),
    ('max_lost_sessions', 'number', '3', '1', '32767', true, false),
    ('max_executors_per_role', 'number', '0', '0', '10000', true, false),
    ('result_ttl', 'interval', '7 days', '1 hour', '1000 years', true, false),
    ('max_messages', 'number', '0', '0', '2147483647', true, false),
    ('max_delayed', 'number', '0', '0', '2147483647', true, false),
    ('max_megabytes', 'number', '0', '0', '2147483647', true, false),
    ('max_queues', 'number', '1000', '0', '2147483647', true, false),
    ('max_exchanges', 'number', '1000', '0', '2147483647', true, false),
    ('max_bindings', 'number', '1000', '0', '2147483647', true, false),
    ('max_schedules', 'number', '1000', '0', '2147483647', true, false),
    ('worker_timeout', 'interval', null, '1 ms', '1000 years', true, false),
    ('max_workers', 'number', null, '0', '2147483647', true, false),
    ('inherit', 'text', null, null, null, false, false),
    ('loopback', 'session|call', 'session', null, null, true, false),
    ('group_commit', 'number', '1', '1', '100', false, true),
    ('max_attempts', 'number', null, '1', '1000', false, true),
    ('timeout', 'interval', null, '1 ms', '1000 years', false, true),
    ('backoff', 'interval', null, '0', '1 year', false, true),
    ('durability', 'sync|async', 'sync', null, null, false, true),
    ('retain_succeeded', 'interval', null, '1 hour', '1000 years', false, true),
    ('retain_failed', 'interval', null, '1 hour', '1000 years', false, true),
    ('retain_canceled', 'interval', null, '1 hour', '1000 years', false, true);
end;
comment on function pgqueue._known_setting() is
  'All settings, with their defaults and bounds, and whether pgqueue.configure sets them for the database, for a queue, or for both. kind: interval, number, text, or the words that a value may be';
grant execute on function pgqueue._known_setting() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._configured_for_all(name text)
  returns text
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  select c.value from pgqueue.configured c where c.queue = '' and c.setting = name and c.role = 0;
end;
comment on function pgqueue._configured_for_all(text) is 'What pgqueue.configure has set for the database';
grant execute on function pgqueue._configured_for_all(text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._configured_for_queue(queue text, submitter oid, name text)
  returns text
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  select c.value from pgqueue.configured c
  where c.queue = _configured_for_queue.queue and c.setting = name and c.role in (0, submitter)
  order by c.role <> 0
  limit 1;
end;
comment on function pgqueue._configured_for_queue(text, oid, text) is
  'What pgqueue.configure has set for the messages of a role in a queue; an administrator counts first';

create or replace function pgqueue._setting(name text, fallback text)
  returns text
  language sql stable
begin atomic
  select coalesce(nullif(current_setting('pgqueue.' || name, true), ''), fallback);
end;
comment on function pgqueue._setting(text, text) is 'A setting with the value of the calling session';
grant execute on function pgqueue._setting(text, text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._session_setting(name text, fallback text)
  returns text
  language sql stable
begin atomic
  select coalesce(pgqueue._setting(name, null), pgqueue._configured_for_all(name), fallback);
end;
comment on function pgqueue._session_setting(text, text) is 'A setting of the calling session, or else of the database';
grant execute on function pgqueue._session_setting(text, text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._worker_setting(name text, fallback text)
  returns text
  language sql stable
begin atomic
  -- A session sees ALTER DATABASE and ALTER ROLE only when it logs in. Workers stay logged in, so they read the catalog.
  select coalesce(
    pgqueue._configured_for_all(name),
    (select nullif(substr(entry, strpos(entry, '=') + 1), '')
     from pg_db_role_setting s, unnest(s.setconfig) entry
     where (s.setdatabase = 0 or s.setdatabase = (select oid from pg_database where datname = current_database()))
       and (s.setrole = 0 or s.setrole = quote_ident(session_user)::regrole)
       and split_part(entry, '=', 1) = 'pgqueue.' || name
     order by s.setrole = 0, s.setdatabase = 0
     limit 1),
    fallback);
end;
comment on function pgqueue._worker_setting(text, text) is
  'The current value of a setting: what pgqueue.configure has set, else the server''s setting of the worker''s role or this database';

create or replace function pgqueue._worker_interval(name text, fallback interval, least_value interval, greatest_value interval)
  returns interval
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return least(greatest_value, greatest(least_value, pgqueue._worker_setting(name, fallback::text)::interval));
exception when data_exception then
  -- The server accepts any text for a setting that it does not know. An invalid value must not stop the workers.
  raise warning 'pgqueue.% is not an interval: "%"', name, pgqueue._worker_setting(name, null);
  return fallback;
end
$$;
comment on function pgqueue._worker_interval(text, interval, interval, interval) is
  'A setting that is an interval, limited to a range; the fallback if it is invalid';

create or replace function pgqueue._worker_number(name text, fallback int, least_value int, greatest_value int)
  returns int
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return least(greatest_value, greatest(least_value, pgqueue._worker_setting(name, fallback::text)::int));
exception when data_exception then
  raise warning 'pgqueue.% is not a number: "%"', name, pgqueue._worker_setting(name, null);
  return fallback;
end
$$;
comment on function pgqueue._worker_number(text, int, int, int) is
  'A setting that is a number, limited to a range; the fallback if it is invalid';

create or replace function pgqueue._limit(name text, fallback int)
  returns int
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  given text;
begin
  given := pgqueue._configured_for_all(name);
  if given is null then
    -- The value of a role is ignored, because the role could set it itself.
    select nullif(substr(entry, strpos(entry, '=') + 1), '') into given
    from pg_db_role_setting s, unnest(s.setconfig) entry
    where s.setrole = 0 and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
      and split_part(entry, '=', 1) = 'pgqueue.' || _limit.name
    order by s.setdatabase = 0
    limit 1;
  end if;
  return greatest(0, coalesce(given::int, fallback));
exception when data_exception then
  raise warning 'pgqueue.% is not a number: "%"', name, given;
  return fallback;
end
$$;
comment on function pgqueue._limit(text, int) is 'A limit that applies to each role, as set for this database or for all';
grant execute on function pgqueue._limit(text, int) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._naptime()
  returns interval
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return pgqueue._session_setting('naptime', '3 s')::interval;
exception when data_exception then
  return interval '3 s';  -- It is read like workers read it.
end
$$;
comment on function pgqueue._naptime() is 'The interval at which workers poll, as far as the calling session knows';
grant execute on function pgqueue._naptime() to pgqueue_user;

create or replace function pgqueue._setting_fault(name text, value text)
  returns text
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  kind text;
  is_queues boolean;
begin
  select k.kind, k.of_queue and not k.of_database into kind, is_queues from pgqueue._known_setting() k where k.setting = name;
  if not found then
    return 'there is no such setting';
  elsif is_queues then
    return 'it is a setting of queues, for pgqueue.configure';
  elsif kind = 'interval' then
    perform nullif(value, '')::interval;
  elsif kind = 'number' then
    perform nullif(value, '')::int;
  elsif kind like '%|%' and value <> '' and value <> all (string_to_array(kind, '|')) then
    return 'it is ' || replace(kind, '|', ' or ');
  end if;
  return null;
exception when data_exception then
  return sqlerrm;
end
$$;
comment on function pgqueue._setting_fault(text, text) is 'The problem with a value of a setting; NULL: none';

create or replace function pgqueue._faulty_settings()
  returns setof text
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  -- The server accepts any name and any text for settings that it does not know.
  select concat(split_part(e.entry, '=', 1), ' = ''', e.value, ''' (set for ',
                concat_ws(' in ', case when s.setrole <> 0 then 'role ' || pg_get_userbyid(s.setrole) end,
                          case when s.setdatabase <> 0 then 'database ' || current_database() end,
                          case when s.setrole = 0 and s.setdatabase = 0 then 'all' end), '): ', f.fault)
  from pg_db_role_setting s
  cross join unnest(s.setconfig) c (entry)
  cross join lateral (select c.entry, substr(c.entry, strpos(c.entry, '=') + 1) as value) e
  cross join lateral pgqueue._setting_fault(substr(split_part(e.entry, '=', 1), 9), e.value) f (fault)
  where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
    and e.entry like 'pgqueue.%' and f.fault is not null
  order by 1;
end;
comment on function pgqueue._faulty_settings() is 'The invalid settings of this database and of roles, for which the defaults are used';
grant execute on function pgqueue._faulty_settings() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
