-- Settings: read where they are used, so that ALTER DATABASE, ALTER ROLE and SET apply without a restart.

create function pgqueue._setting(name text, fallback text)
  returns text
  language sql stable
begin atomic
  select coalesce(nullif(current_setting('pgqueue.' || name, true), ''), fallback);
end;
comment on function pgqueue._setting(text, text) is 'A setting as the calling session has it';

create function pgqueue._worker_setting(name text, fallback text)
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
comment on function pgqueue._worker_setting(text, text) is 'A setting of this database or of the worker''s role, as it is now';

create function pgqueue._worker_interval(name text, fallback interval, least_value interval, greatest_value interval)
  returns interval
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return least(greatest_value, greatest(least_value, pgqueue._worker_setting(name, fallback::text)::interval));
exception when data_exception then
  -- The server takes any text for a setting it does not know. A slip there must not stop the workers.
  raise warning 'pgqueue.% is not an interval: "%"', name, pgqueue._worker_setting(name, null);
  return fallback;
end
$$;
comment on function pgqueue._worker_interval(text, interval, interval, interval) is 'A setting that is an interval, brought into a range; the fallback when it is none';

create function pgqueue._worker_number(name text, fallback int, least_value int, greatest_value int)
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
comment on function pgqueue._worker_number(text, int, int, int) is 'A setting that is a number, brought into a range; the fallback when it is none';

create function pgqueue._sealed(own_key text, content text)
  returns text
  language sql immutable
begin atomic
  select content || chr(29) || encode(sha256(convert_to(own_key || content, 'UTF8')), 'hex');
end;
comment on function pgqueue._sealed(text, text) is 'A text with a digest that only the role with this key can make';

create function pgqueue._capture_settings(caller_search_path text)
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- pg_settings costs 0.4 ms, too much for each row of a trigger. Within one statement of the client it is read again
  -- only when the role or one of these changed.
  fingerprint text := concat_ws(chr(31), statement_timestamp(), current_user, caller_search_path, current_setting('TimeZone'),
    current_setting('DateStyle'), current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('work_mem'),
    current_setting('session_replication_role'), current_setting('synchronous_commit'), current_setting('pgqueue.inherit', true),
    current_setting('pgqueue.worker_timeout', true));
  -- Anybody can write a setting, also before calling a SECURITY DEFINER function: what is found there has to carry the
  -- digest that only the role that runs can make (pgqueue.own_key).
  own_key text := (select k.key from pgqueue.own_key k);
  cached text := current_setting('pgqueue.captured_settings', true);
  captured jsonb;
  custom text;
begin
  if starts_with(cached, fingerprint || chr(30)) and cached = pgqueue._sealed(own_key, split_part(cached, chr(29), 1)) then
    captured := split_part(substr(cached, length(fingerprint) + 2), chr(29), 1);
  else
    select coalesce(jsonb_object_agg(s.name, current_setting(s.name)), '{}')
    into captured
    from pg_settings s
    where s.source in ('session', 'client')
      and (s.context = 'user' or s.context = 'superuser' and (select rolsuper from pg_roles where rolname = current_user))
      and s.name not in ('search_path', 'application_name', 'client_encoding', 'client_min_messages', 'role', 'session_authorization',
                         'transaction_isolation', 'transaction_read_only', 'transaction_deferrable', 'seed', 'exit_on_error')
      and s.name not like 'pgqueue.%';
    captured := captured || jsonb_build_object('search_path', caller_search_path);
    if pgqueue._setting('worker_timeout', null) is not null then
      captured := captured || jsonb_build_object('pgqueue.worker_timeout', pgqueue._setting('worker_timeout', null));
    end if;
    perform set_config('pgqueue.captured_settings', coalesce(pgqueue._sealed(own_key, fingerprint || chr(30) || captured::text), ''), true);
  end if;
  -- The server does not list custom settings: those that jobs need are named in pgqueue.inherit.
  for custom in select distinct trim(n) from string_to_table(pgqueue._setting('inherit', ''), ',') n where trim(n) <> '' loop
    if current_setting(custom, true) is not null then
      captured := captured || jsonb_build_object(custom, current_setting(custom, true));
    end if;
  end loop;
  return captured;
end
$$;
comment on function pgqueue._capture_settings(text) is 'The settings made in this session, which its jobs inherit';

create function pgqueue._settings()
  returns jsonb
  language plpgsql volatile
as $$
begin
  -- No SET clause here: it would hide the caller's search_path.
  return pgqueue._capture_settings(pg_catalog.current_setting('search_path'));
end
$$;
comment on function pgqueue._settings() is 'The settings that a job of the caller inherits';
