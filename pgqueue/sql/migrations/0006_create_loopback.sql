-- The loopback: a second session to this database through dblink, in which launch, wait, result and cancel act apart from the
-- caller's transaction. It logs in as a role that can do nothing but call pgqueue._gate, and what it hands in must be proven.
--
-- Any code of a session can send anything over its loopback, so a request carries a proof: a digest of the request, keyed with
-- what the view pgqueue.own_key shows to the role that runs, and to no other. The key of the view is good for a minute.

create unlogged table pgqueue.nonce (
  nonce bigint primary key,
  made_at timestamptz not null default clock_timestamp()
);
comment on table pgqueue.nonce is 'Requests of the last minutes: each is accepted once. Unlogged: a proof does not outlive the server process';

create function pgqueue._minute_key(key text, minutes_ago int)
  returns text
  language sql volatile
begin atomic
  -- Of this database as well: the loopback of a copy leads to the original until it is repaired, which must not take the copy's jobs.
  select encode(sha256(convert_to(concat_ws(' ', key, current_database(), extract(epoch from pg_postmaster_start_time()),
                                            floor(extract(epoch from clock_timestamp()) / 60)::bigint - minutes_ago), 'UTF8')), 'hex');
end;
comment on function pgqueue._minute_key(text, int) is 'The key of a role in this database for one minute of this server process';

create view pgqueue.own_key with (security_barrier) as
  select k.role, encode(sha256(convert_to(concat_ws(' ', k.key, current_database(), extract(epoch from pg_postmaster_start_time()),
                                          floor(extract(epoch from clock_timestamp()) / 60)::bigint), 'UTF8')), 'hex') as key
  from pgqueue.role_key k
  where k.role = quote_ident(current_user)::regrole::oid;
comment on view pgqueue.own_key is 'Proves who runs: a view does not change current_user, so each role sees the key of itself only. Good for a minute';

create view pgqueue.own_seal with (security_barrier) as
  select k.role, encode(sha256(convert_to(k.seal_key || current_setting('pgqueue.captured_settings', true), 'UTF8')), 'hex') as digest
  from pgqueue.role_key k
  where k.role = quote_ident(current_user)::regrole::oid;
comment on view pgqueue.own_seal is 'A digest of the setting pgqueue.captured_settings that only the role that runs can make';

create view pgqueue.own_session_seal with (security_barrier) as
  -- Over what was captured and over the values as they are now. No value passes for another, nor for a piece of what was captured:
  -- that is counted, and an array's text quotes. The word keeps it apart from pgqueue.own_seal.
  -- One session's seal is worth nothing in another.
  select k.role, left(encode(sha256(convert_to(concat(
      k.seal_key, ' session ', pg_backend_pid(), ' ', length(kept.text), ' ', kept.text,
      array(select current_setting(unnest(pgqueue._inheritable_names()), true)),
      -- Not of another role: it may not be allowed to look at all that this one may set.
      case when split_part(kept.text, chr(30), 2) <> '' and split_part(kept.text, chr(30), 3) = k.role::text
        then array(select current_setting(unnest(string_to_array(split_part(kept.text, chr(30), 2), ',')), true)) end), 'UTF8')), 'hex'), 32) as seal
  from pgqueue.role_key k, current_setting('pgqueue.session_settings', true) kept (text)
  where k.role = quote_ident(current_user)::regrole::oid;
comment on view pgqueue.own_session_seal is
  'A digest of the setting pgqueue.session_settings, and of the settings that jobs inherit as they are now, that only the role that runs can make';

create view pgqueue.own_session with (security_barrier) as
  select split_part(current_setting('pgqueue.session_settings', true), chr(30), 1)::jsonb as captured
  from pgqueue.own_session_seal s
  where s.seal = current_setting('pgqueue.session_seal', true);
comment on view pgqueue.own_session is
  'What was captured of this session''s settings. No row: nothing yet, or a setting has another value now, or somebody else''s word was put in its place';

create view pgqueue.own_settings with (security_barrier) as
  -- Not over pgqueue.own_session: a view more would cost each call something.
  select split_part(current_setting('pgqueue.session_settings', true), chr(30), 1)::jsonb || jsonb_build_object('search_path', current_setting('search_path'))
    || case when current_setting('pgqueue.worker_timeout', true) <> ''
         then jsonb_build_object('pgqueue.worker_timeout', current_setting('pgqueue.worker_timeout', true)) else '{}' end as settings
  from pgqueue.own_session_seal s
  where s.seal = current_setting('pgqueue.session_seal', true) and coalesce(current_setting('pgqueue.inherit', true), '') = '';
comment on view pgqueue.own_settings is
  'pgqueue._settings in the usual case, in one look. No row: ask that. For functions without a SET clause, which would hide the search_path';

create function pgqueue._check_enrollable(role regrole)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text;
  is_powerful boolean;
begin
  if role is null then
    raise exception 'role cannot be NULL' using errcode = '22004';
  end if;
  -- What the owner of pgqueue hands in can do everything in it, and what a superuser hands in everything.
  select r.rolname, r.rolsuper or r.rolname = current_user into name, is_powerful from pg_roles r where r.oid = role;
  if name is null then
    raise exception 'role % does not exist', role using errcode = '42704';
  elsif name ~ '^pg_' or name in ('pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin', 'pgqueue_gate', 'pgbackground_role')
     or name ~ '^pgqueue_(gate|executor)_[0-9]+$' then
    raise exception 'role % is none that hands in', role
      using errcode = '42501', hint = 'It is one of the roles of PostgreSQL or of pgqueue itself. Name the role that logs in.';
  elsif is_powerful and session_user <> name and not (select r.rolsuper from pg_roles r where r.rolname = session_user) then
    raise exception 'permission denied to enroll or unenroll the role %', role
      using errcode = '42501', hint = 'It is a superuser or the owner of pgqueue. Only a superuser may do that.';
  end if;
end
$$;
comment on function pgqueue._check_enrollable(regrole) is 'Refuses to enroll or unenroll a role that is nobody''s login, or that is above an administrator';

create function pgqueue._admit(role regrole, may_enter boolean)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- One at a time: all change the same row of the catalog.
  perform from pgqueue.migration m where m.version = 1 for update;
  if may_enter then
    execute format('grant usage on schema pgqueue to %s', role);
  else
    execute format('revoke usage on schema pgqueue from %s', role);
  end if;
end
$$;
comment on function pgqueue._admit(regrole, boolean) is 'Lets a role into the schema of this database, or no more';

create function pgqueue.enroll(role regrole)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._check_enrollable(role);
  insert into pgqueue.role_key (role) values (enroll.role::oid) on conflict do nothing;
  execute format('grant pgqueue_user to %s', role);
  perform pgqueue._admit(role, true);
  begin
    perform pgqueue._make_runner(role);
  exception when insufficient_privilege then
    raise notice 'jobs of role % run only where a worker can log in as it', role
      using detail = sqlerrm, hint = format('To let any worker run them, grant the role to the owner of pgqueue (grant %s to %I) and enroll it again.', role, current_user);
  end;
  perform pgqueue._retry_deferred(role);
end
$$;
comment on function pgqueue.enroll(regrole) is 'Lets a role hand in jobs and tasks. Its jobs run with its rights';

create function pgqueue.unenroll(role regrole)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._check_enrollable(role);
  delete from pgqueue.role_key k where k.role = unenroll.role::oid;
  perform pgqueue._drop_runner(role);
  -- It stays a member of pgqueue_user, which is worth nothing by itself: it may be enrolled in another database.
  perform pgqueue._admit(role, false);
end
$$;
comment on function pgqueue.unenroll(regrole) is 'Takes the right to hand in jobs from a role. Those that wait stay queued until it is enrolled again';

do $$
begin
  if not exists (select from pg_extension where extname = 'dblink') then
    -- In a schema that nobody may use: its functions are everybody's, and with them any code could send what it likes over
    -- the loopback of its session.
    create schema pgqueue_dblink;
    create extension dblink with schema pgqueue_dblink;
  end if;
  -- dblink may live in any schema: these functions are all that name it.
  execute replace($body$
    create function pgqueue._dblink_connect(name text, server text) returns text language sql volatile
      begin atomic select DBLINK.dblink_connect(name, server); end;
    create function pgqueue._dblink_disconnect(name text) returns text language sql volatile
      begin atomic select DBLINK.dblink_disconnect(name); end;
    create function pgqueue._dblink_disconnect_unnamed() returns text language sql volatile
      begin atomic select DBLINK.dblink_disconnect(); end;
    create function pgqueue._dblink_is_closed() returns boolean language sql immutable
      begin atomic select 'pgqueue_dblink' = $name$DBLINK$name$; end;
    create function pgqueue._dblink_exec(name text, command text) returns text language sql volatile
      begin atomic select DBLINK.dblink_exec(name, command); end;
    create function pgqueue._dblink_connections() returns text[] language sql volatile
      begin atomic select DBLINK.dblink_get_connections(); end;
    create function pgqueue._dblink_query(name text, query text) returns setof jsonb language sql volatile
      begin atomic select answer from DBLINK.dblink(name, query) as t (answer jsonb); end;
  $body$, 'DBLINK', (select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'dblink'));
end
$$;
comment on function pgqueue._dblink_connect(text, text) is 'dblink_connect, wherever dblink is installed';
comment on function pgqueue._dblink_disconnect(text) is 'dblink_disconnect, wherever dblink is installed';
comment on function pgqueue._dblink_disconnect_unnamed() is 'dblink_disconnect without a name, wherever dblink is installed';
comment on function pgqueue._dblink_is_closed() is 'Whether dblink lies where only pgqueue reaches it, so that nobody else can have prepared anything in a loopback';
comment on function pgqueue._dblink_exec(text, text) is 'dblink_exec, wherever dblink is installed';
comment on function pgqueue._dblink_connections() is 'dblink_get_connections, wherever dblink is installed';
comment on function pgqueue._dblink_query(text, text) is 'dblink, wherever dblink is installed, for answers of one jsonb column';

do $$
declare
  gate text := 'pgqueue_gate_' || (select oid from pg_database where datname = current_database());
  password text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
begin
  -- A role for each database: its password is known to the user mapping of this database only.
  if to_regrole(gate) is null then
    execute format('create role %I login password %L', gate, password);
  else
    execute format('alter role %I login password %L', gate, password);
  end if;
  execute format('grant pgqueue_gate to %I', gate);
  execute format('create server pgqueue_loopback foreign data wrapper dblink_fdw options (dbname %L, application_name %L, connect_timeout %L, options %L)',
                 current_database(), 'pgqueue loopback', '10',
                 -- What is set for the database or the login must not bend the gate.
                 E'-c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed -c statement_timeout=0 '
                 '-c idle_session_timeout=0 -c idle_in_transaction_session_timeout=0 -c search_path=pg_catalog '
                 -- What the caller''s own transaction holds is never waited for: it would wait for this call in turn.
                 '-c lock_timeout=5s');
  execute format('create user mapping for current_user server pgqueue_loopback options (user %L, password %L)', gate, password);
end
$$;

create function pgqueue._loopback_places()
  returns table (host text, port text)
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- Where the server may be reached from itself: where it was at first, then where it is now. After a failover it is another one, in
  -- another place. No session can set any of these.
  with stored as (
    select (select substr(o, 6) from unnest(s.srvoptions) o where starts_with(o, 'host=')) as host,
           (select substr(o, 6) from unnest(s.srvoptions) o where starts_with(o, 'port=')) as port
    from pg_foreign_server s where s.srvname = 'pgqueue_loopback'
  )
  select h.host, coalesce(h.port, current_setting('port'))
  from (
    select 1 as n, s.host, s.port from stored s
    union all
    select 2, btrim(d), null from string_to_table((
      select current_setting('unix_socket_directories') from pg_roles
      where rolname = current_user and (rolsuper or pg_has_role(oid, 'pg_read_all_settings', 'usage'))), ',') d
    union all
    select 3, host(inet_server_addr()), inet_server_port()::text
    union all
    select 4, btrim(a), null from string_to_table(current_setting('listen_addresses'), ',') a where btrim(a) not in ('*', '0.0.0.0', '::')
    union all
    select 5, '127.0.0.1', null
  ) h
  where h.host <> ''
  group by h.host, coalesce(h.port, current_setting('port'))
  order by min(h.n)
$$;
comment on function pgqueue._loopback_places() is 'Where to try to connect from the server to itself, in this order';

create function pgqueue._loopback_conninfo(host text, port text)
  returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select string_agg(concat(split_part(o, '=', 1), '=''', replace(replace(substr(o, strpos(o, '=') + 1), E'\\', E'\\\\'), '''', E'\\'''), ''''), ' ')
  from (
    select given.o
    from pg_foreign_server s join pg_user_mappings m on m.srvid = s.oid and m.usename = current_user
    cross join unnest(s.srvoptions || m.umoptions) given (o)
    where s.srvname = 'pgqueue_loopback' and split_part(given.o, '=', 1) not in ('host', 'port', 'hostaddr')
    union all
    values ('host=' || host), ('port=' || port)
  ) e (o)
$$;
comment on function pgqueue._loopback_conninfo(text, text) is 'How the loopback connects to an address, its password among it. Only for the owner''s functions';

create function pgqueue._connect_loopback(name text)
  returns text
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  place record;
  answer jsonb;
  reason text;
  problem text := '';
  is_connected boolean;
begin
  for place in select p.host, p.port from pgqueue._loopback_places() p loop
    is_connected := false;
    begin
      perform pgqueue._dblink_connect(name, pgqueue._loopback_conninfo(place.host, place.port));
      is_connected := true;
      -- Another server may be in the old place by now: the one that this one has followed.
      select * into answer from pgqueue._dblink_query(name, 'select to_jsonb(extract(epoch from pg_postmaster_start_time()))');
      if answer = to_jsonb(extract(epoch from pg_postmaster_start_time())) then
        return format('%s port %s', place.host, place.port);
      end if;
      reason := 'it is another server';
    exception when others then
      get stacked diagnostics reason = pg_exception_detail;
      reason := coalesce(nullif(reason, ''), sqlerrm);
    end;
    if is_connected then
      perform pgqueue._dblink_disconnect(name);
    end if;
    problem := concat(problem, chr(10), place.host, ' port ', place.port, ': ', btrim(reason));
  end loop;
  raise exception 'the server cannot connect to itself as role %', (select o from pg_user_mappings m, unnest(m.umoptions) o where m.srvname = 'pgqueue_loopback' and starts_with(o, 'user=') limit 1)
    using errcode = '08001', detail = btrim(problem, chr(10)),
          hint = 'The owner of pgqueue has to run: select pgqueue._repair_loopback(). Or let members of the role pgqueue_gate log in with a password (scram-sha-256) in pg_hba.conf, or set the address: alter server pgqueue_loopback options (set host ''...'', set port ''...'').';
end
$$;
comment on function pgqueue._connect_loopback(text) is 'Connects from the server to itself, wherever it is now. Returns where. 08001: nowhere. Only for the owner''s functions';

create function pgqueue._repair_loopback()
  returns text
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  place text;
begin
  if (select count(*) from pg_foreign_server s, unnest(s.srvoptions) o where s.srvname = 'pgqueue_loopback' and o = 'dbname=' || current_database()) = 0 then
    execute format('alter server pgqueue_loopback options (set dbname %L)', current_database());
  end if;
  place := pgqueue._connect_loopback('pgqueue.probe');
  perform pgqueue._dblink_disconnect('pgqueue.probe');
  perform pgqueue._set_loopback(regexp_replace(place, ' port .*', ''), regexp_replace(place, '.* port ', ''));
  return place;
end
$$;
comment on function pgqueue._repair_loopback() is 'Points the loopback at this database and tries it. Returns where it connects. For the installer, and after a database was copied or renamed';

create function pgqueue._set_loopback(host text, port text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  option text;
begin
  foreach option in array array['host', 'port'] loop
    execute format('alter server pgqueue_loopback options (%s %I %L)',
      case when exists (select from pg_foreign_server s, unnest(s.srvoptions) o where s.srvname = 'pgqueue_loopback' and o like option || '=%')
           then 'set' else 'add' end,
      option, case option when 'host' then host else port end);
  end loop;
end
$$;
comment on function pgqueue._set_loopback(text, text) is 'Sets the address of the loopback';

create function pgqueue._loopback_name()
  returns text
  language sql volatile security definer
begin atomic
  select c from unnest(pgqueue._dblink_connections()) c where starts_with(c, 'pgqueue.loopback ');
end;
comment on function pgqueue._loopback_name() is 'The open loopback of this session. Its name ends with the session''s number';

create function pgqueue._current_session_id()
  returns bigint
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A connection outlives a rollback, a setting made in the transaction does not.
  return coalesce(split_part(pgqueue._loopback_name(), ' ', 2), nullif(current_setting('pgqueue.session_id', true), ''))::bigint;
end
$$;
comment on function pgqueue._current_session_id() is 'The number of this session, NULL before it has handed anything in';

create function pgqueue._begin_session()
  returns bigint
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  id bigint := coalesce(pgqueue._current_session_id(), pgqueue._random_bigint());
begin
  perform set_config('pgqueue.session_id', id::text, false);
  return id;
end
$$;
comment on function pgqueue._begin_session() is 'Numbers this session';

create function pgqueue._session_id()
  returns bigint
  language sql volatile
begin atomic
  select coalesce(nullif(current_setting('pgqueue.session_id', true), '')::bigint, pgqueue._begin_session());
end;
comment on function pgqueue._session_id() is 'The number of this session, for pgqueue.stats';

create function pgqueue._over_loopback(op text, role oid, nonce bigint, request text, proof text, holds boolean default false)
  returns setof jsonb
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text := (select c from unnest(pgqueue._dblink_connections()) c where starts_with(c, 'pgqueue.loopback '));
  -- Ahead of the request stands as much blank as pg_stat_activity shows, so that no other session reads it there.
  padded text := repeat(' ', 1024 * (1 + pg_size_bytes(current_setting('track_activity_query_size')) / 1024)::int)
    || case when holds then 'begin; ' else '' end
    || format(case when pgqueue._dblink_is_closed() then 'execute pgqueue_gate(%L, %L, %L, %L, %L)' else 'select * from pgqueue._gate(%L, %L, %L, %L, %L)' end,
              op, role, nonce, request, proof);
  is_fresh boolean := false;
  state text;
  message text;
  detail text;
  hint text;
begin
  loop
    if name is null then
      name := 'pgqueue.loopback ' || pgqueue._session_id();
      perform pgqueue._connect_loopback(name);
      if pgqueue._dblink_is_closed() then
        perform pgqueue._dblink_exec(name, 'prepare pgqueue_gate (text, oid, bigint, text, text) as select * from pgqueue._gate($1, $2, $3, $4, $5)');
      end if;
      is_fresh := true;
    end if;
    begin
      return query select * from pgqueue._dblink_query(name, padded);
      return;
    exception when others then
      get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
      if holds then
        perform pgqueue._end_hold(false);
      end if;
      if is_fresh or state not in ('08000', '08006', '08003', '57P01', '57P02', '25001', '25P02', '26000', 'XX000') then
        -- The same error without the context of the other session, which says nothing to the caller.
        perform pgqueue._raise(jsonb_build_object('sqlstate', state, 'message', message, 'detail', nullif(detail, ''), 'hint', nullif(hint, '')));
      end if;
    end;
    -- The session at the other end is gone, or busy with what a cancel has left (XX000), or somebody opened a transaction in it or
    -- took the prepared statement away. A request is accepted once, so sending it again is safe.
    perform pgqueue._close_loopback();
    name := null;
  end loop;
end
$$;
comment on function pgqueue._over_loopback(text, oid, bigint, text, text, boolean) is
  'Asks the gate over the loopback of this session, and connects it first if need be. holds: what it does stays undone until pgqueue._end_hold, unless it raises';

create function pgqueue._end_hold(is_done boolean)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text := pgqueue._loopback_name();
begin
  if name is not null then
    perform pgqueue._dblink_exec(name, case when is_done then 'commit' else 'rollback' end);
    return true;
  end if;
  return false;
exception
  when query_canceled then
    -- dblink leaves it busy with the answer, which nobody will read.
    perform pgqueue._close_loopback();
    raise;
  when others then
    perform pgqueue._close_loopback();
    return false;
end
$$;
comment on function pgqueue._end_hold(boolean) is
  'Ends what pgqueue._over_loopback holds: it is done, or undone. False: the session at the other end is gone. Then it is undone, unless it was lost on its way back';

create function pgqueue._close_loopback()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text := pgqueue._loopback_name();
begin
  if name is not null then
    perform pgqueue._dblink_disconnect(name);
  end if;
end
$$;
comment on function pgqueue._close_loopback() is 'Ends the loopback of this session';

create function pgqueue._raise(error jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- RAISE takes no NULL for an option, and an empty DETAIL or HINT would be shown.
  if error ->> 'detail' is not null and error ->> 'hint' is not null then
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''), detail = error ->> 'detail', hint = error ->> 'hint',
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  elsif error ->> 'detail' is not null then
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''), detail = error ->> 'detail',
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  elsif error ->> 'hint' is not null then
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''), hint = error ->> 'hint',
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  else
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''),
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  end if;
end
$$;
comment on function pgqueue._raise(jsonb) is 'Raises the error of a job with its fields';

create function pgqueue._raise_again(state text, message text, detail text, hint text)
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if detail <> '' and hint <> '' then
    raise exception using errcode = state, message = message, detail = detail, hint = hint;
  elsif detail <> '' then
    raise exception using errcode = state, message = message, detail = detail;
  elsif hint <> '' then
    raise exception using errcode = state, message = message, hint = hint;
  end if;
  raise exception using errcode = state, message = message;
end
$$;
comment on function pgqueue._raise_again(text, text, text, text) is 'Raises an error that was caught, so that its CONTEXT does not say which functions of pgqueue have called each other';

create function pgqueue._call(op text, request jsonb, holds boolean default false)
  returns setof jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  loopback text := pgqueue._setting('loopback', 'session');
begin
  if loopback not in ('session', 'call') then
    raise exception 'invalid value for parameter "pgqueue.loopback": "%"', loopback using errcode = '22023', hint = 'Available values: session, call.';
  end if;
  return query
  select o.answer
  from pgqueue.own_key k, pgqueue._random_bigint() nonce,
       pgqueue._over_loopback(op, k.role, nonce, request::text,
                              encode(sha256(convert_to(concat_ws(' ', k.key, op, nonce, request), 'UTF8')), 'hex'), holds) o (answer);
  if not found then
    perform pgqueue._require_enrolled();
  end if;
  if loopback = 'call' then
    perform pgqueue._close_loopback();
  end if;
end
$$;
comment on function pgqueue._call(text, jsonb, boolean) is 'Asks the gate, as the role that runs, apart from the caller''s transaction. holds: see pgqueue._over_loopback';
