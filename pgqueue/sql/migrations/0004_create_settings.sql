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
  select encode(sha256(convert_to(own_key || content, 'UTF8')), 'hex');
end;
comment on function pgqueue._sealed(text, text) is 'A digest of a text that only the role with this key can make';

create function pgqueue._session_settings()
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- pg_settings costs 0.3 to 0.4 ms, as much as a small transaction. It is read again only when one of the settings that
  -- jobs inherit has another value than then: asking for the values alone costs a tenth.
  own_key text := (select k.key from pgqueue.own_key k);
  kept text := current_setting('pgqueue.session_settings', true);
  names text := split_part(kept, chr(30), 1);
  captured text := split_part(kept, chr(30), 2);
begin
  if own_key is null then
    perform pgqueue._require_enrolled();
  end if;
  if names <> '' and split_part(kept, chr(30), 3) = pgqueue._sealed(own_key, concat_ws(chr(30), names, captured, pgqueue._values_of(names))) then
    return captured;
  end if;
  select string_agg(s.name, ','), coalesce(jsonb_object_agg(s.name, current_setting(s.name)) filter (where s.source in ('session', 'client')), '{}')
  into names, captured
  from pg_settings s
  where (s.context = 'user' or s.context = 'superuser' and (select rolsuper from pg_roles where rolname = current_user))
    and s.name not in ('search_path', 'application_name', 'client_encoding', 'client_min_messages', 'role', 'session_authorization',
                       'transaction_isolation', 'transaction_read_only', 'transaction_deferrable', 'seed', 'exit_on_error')
    and strpos(s.name, '.') = 0;
  perform set_config('pgqueue.session_settings', coalesce(concat_ws(chr(30), names, captured,
    pgqueue._sealed(own_key, concat_ws(chr(30), names, captured, pgqueue._values_of(names)))), ''), false);
  return captured;
end
$$;
comment on function pgqueue._session_settings() is 'The settings of PostgreSQL that were made in this session, but for search_path';

create function pgqueue._values_of(names text)
  returns text
  language sql stable
begin atomic
  select string_agg(current_setting(n, true), chr(31)) from unnest(string_to_array(names, ',')) n;
end;
comment on function pgqueue._values_of(text) is 'The values of settings as they are now';

create function pgqueue._fingerprint(caller_search_path text)
  returns text
  language sql stable
begin atomic
  -- Within one statement of the client what was captured is captured again only when one of these changed: the row trigger
  -- of a large statement has no time for more. As an array's text no value can pass for another one, nor for what follows.
  select array[statement_timestamp()::text, current_user, caller_search_path, current_setting('TimeZone'), current_setting('DateStyle'),
    current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('work_mem'),
    current_setting('session_replication_role'), current_setting('synchronous_commit'), current_setting('pgqueue.inherit', true),
    current_setting('pgqueue.worker_timeout', true)]::text;
end;
comment on function pgqueue._fingerprint(text) is 'What must be as it was for captured settings to be used again';

create function pgqueue._capture_settings(caller_search_path text)
  returns jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  fingerprint text := pgqueue._fingerprint(caller_search_path);
  kept text := current_setting('pgqueue.captured_settings', true);
  digest bytea;
  captured jsonb;
  custom text;
begin
  -- Anybody can write a setting, also before calling a SECURITY DEFINER function: what is found there has to carry the
  -- digest that only the role that runs can make (pgqueue.own_seal): the first half of it.
  if starts_with(kept, fingerprint) then
    select s.digest into digest from pgqueue.own_seal s;
  end if;
  if encode(substr(digest, 1, 16), 'hex') = current_setting('pgqueue.captured_seal', true) then
    captured := split_part(substr(kept, length(fingerprint) + 1), chr(30), 2);
  else
    captured := pgqueue._session_settings() || jsonb_build_object('search_path', caller_search_path);
    if pgqueue._setting('worker_timeout', null) is not null then
      captured := captured || jsonb_build_object('pgqueue.worker_timeout', pgqueue._setting('worker_timeout', null));
    end if;
    perform pgqueue._keep_captured(concat(fingerprint, chr(30), captured, chr(30)));
  end if;
  -- The server does not list custom settings: those that jobs need are named in pgqueue.inherit.
  if current_setting('pgqueue.inherit', true) <> '' then
    for custom in select distinct trim(n) from string_to_table(current_setting('pgqueue.inherit'), ',') n where trim(n) <> '' loop
      if current_setting(custom, true) is not null then
        captured := captured || jsonb_build_object(custom, current_setting(custom, true));
      end if;
    end loop;
  end if;
  return captured;
end
$$;
comment on function pgqueue._capture_settings(text) is 'The settings made in this session, which its jobs inherit';

create function pgqueue._keep_captured(content text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('pgqueue.captured_settings', content, true);
  perform set_config('pgqueue.captured_seal', coalesce((select encode(substr(s.digest, 1, 16), 'hex') from pgqueue.own_seal s), ''), true);
end
$$;
comment on function pgqueue._keep_captured(text) is 'Keeps what was captured for the rest of the transaction, under the seal of the role that runs';

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
