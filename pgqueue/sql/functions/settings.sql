-- Settings (pgqueue.naptime and others): read where they are used, so that ALTER DATABASE, ALTER ROLE and SET apply
-- without a restart.

create or replace function pgqueue._setting(name text, fallback text)
  returns text
  language sql stable
begin atomic
  select coalesce(nullif(current_setting('pgqueue.' || name, true), ''), fallback);
end;
comment on function pgqueue._setting(text, text) is 'A setting with the value of the calling session';
grant execute on function pgqueue._setting(text, text) to pgqueue_user;

create or replace function pgqueue._worker_setting(name text, fallback text)
  returns text
  language sql stable
begin atomic
  -- A session sees ALTER DATABASE and ALTER ROLE only when it logs in. Workers stay logged in, so they read the catalog.
  select coalesce(
    (select nullif(substr(entry, strpos(entry, '=') + 1), '')
     from pg_db_role_setting s, unnest(s.setconfig) entry
     where (s.setdatabase = 0 or s.setdatabase = (select oid from pg_database where datname = current_database()))
       and (s.setrole = 0 or s.setrole = quote_ident(session_user)::regrole)
       and split_part(entry, '=', 1) = 'pgqueue.' || name
     order by s.setrole = 0, s.setdatabase = 0
     limit 1),
    fallback);
end;
comment on function pgqueue._worker_setting(text, text) is 'The current value of a setting of this database or of the worker''s role';

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
  -- The value of a role is ignored, because the role could set it itself.
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
comment on function pgqueue._limit(text, int) is 'A limit that applies to each role, as set for this database or for all';
grant execute on function pgqueue._limit(text, int) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._naptime()
  returns interval
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return pgqueue._setting('naptime', '3 s')::interval;
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
begin
  if name in ('naptime', 'result_ttl', 'worker_timeout') then
    perform nullif(value, '')::interval;
  elsif name in ('max_items', 'max_deliveries', 'max_lost_sessions', 'max_workers', 'max_queues', 'max_exchanges', 'max_bindings', 'max_schedules', 'max_executors_per_role', 'max_messages', 'max_delayed', 'max_megabytes') then
    perform nullif(value, '')::int;
  elsif name = 'loopback' and value not in ('', 'session', 'call') then
    return 'it is session or call';
  elsif name not in ('inherit', 'loopback') then
    return 'there is no such setting';
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
