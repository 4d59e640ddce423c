-- The caller's half of the loopback: a second session to this database through dblink, in which launch, wait, result and cancel
-- act outside the caller's transaction. It logs in as a role that may call only pgqueue._gate.
--
-- Any code of a session can send anything over its loopback, so a request carries a proof: a digest of the request, keyed with
-- the value that the view pgqueue.own_key shows to the current role, and to no other. The key of the view is valid for 1 min.

create or replace function pgqueue._loopback_options()
  returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  -- Settings of the database or the login must not change the behavior of the gate. A server refuses settings that it does not
  -- know.
  select string_agg(format('-c %s=%s', s.name, replace(s.value, ' ', chr(92) || ' ')), ' ' order by s.name)
  from (values
    ('default_transaction_read_only', 'off'), ('default_transaction_isolation', 'read committed'), ('default_transaction_deferrable', 'off'),
    ('statement_timeout', '0'), ('transaction_timeout', '0'), ('idle_session_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('search_path', 'pg_catalog'), ('row_security', 'on'), ('restrict_nonsystem_relation_kind', ''), ('DateStyle', 'ISO, MDY'),
    ('IntervalStyle', 'postgres'), ('standard_conforming_strings', 'on'), ('transform_null_equals', 'off'), ('array_nulls', 'on'),
    ('quote_all_identifiers', 'off'), ('extra_float_digits', '1'), ('bytea_output', 'hex'), ('log_parameter_max_length_on_error', '0'),
    -- The loopback never waits for locks of the caller's own transaction, which waits for this call in turn.
    ('lock_timeout', '5s')) s (name, value)
  where current_setting(s.name, true) is not null
$$;
comment on function pgqueue._loopback_options() is 'The settings with which the loopback logs in';

create or replace function pgqueue._loopback_places()
  returns table (host text, port text)
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- The addresses at which the server may reach itself: first the stored one, then the present one. After a failover the server
  -- is another one, at another address. No session can set any of these.
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
comment on function pgqueue._loopback_places() is 'The addresses to try for a connection from the server to itself, in this order';

create or replace function pgqueue._loopback_conninfo(host text, port text)
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
comment on function pgqueue._loopback_conninfo(text, text) is
  'The conninfo of the loopback for an address, with its password. Only for the owner''s functions';

create or replace function pgqueue._connect_loopback(name text)
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
      -- Another server may have the old address by now: the one that this server has followed.
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
comment on function pgqueue._connect_loopback(text) is
  'Connects from the server to itself, at its present address. Returns the address. 08001: none works. Only for the owner''s functions';

create or replace function pgqueue._repair_loopback()
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
  -- The server may be of another version by now.
  execute format('alter server pgqueue_loopback options (set options %L)', pgqueue._loopback_options());
  place := pgqueue._connect_loopback('pgqueue.probe');
  perform pgqueue._dblink_disconnect('pgqueue.probe');
  perform pgqueue._set_loopback(regexp_replace(place, ' port .*', ''), regexp_replace(place, '.* port ', ''));
  return place;
end
$$;
comment on function pgqueue._repair_loopback() is
  'Points the loopback at this database and tests it. Returns its address. For the installer, and after a database was copied or renamed';

create or replace function pgqueue._set_loopback(host text, port text)
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

create or replace function pgqueue._loopback_name()
  returns text
  language sql volatile security definer
begin atomic
  select c from unnest(pgqueue._dblink_connections()) c where starts_with(c, 'pgqueue.loopback ');
end;
comment on function pgqueue._loopback_name() is 'The open loopback of this session. Its name ends with the session''s number';
grant execute on function pgqueue._loopback_name() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._over_loopback(op text, role oid, nonce bigint, request text, proof text, holds boolean default false, closes boolean default false)
  returns setof jsonb
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text := (select c from unnest(pgqueue._dblink_connections()) c where starts_with(c, 'pgqueue.loopback '));
  -- The request follows as many spaces as pg_stat_activity shows characters, so that no other session can read it there.
  padded text := repeat(repeat(' ', 1024), (1 + pg_size_bytes(current_setting('track_activity_query_size')) / 1024)::int)
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
      exit;
    exception when others then
      get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
      if holds then
        perform pgqueue._end_hold(false);
      end if;
      if is_fresh or state not in ('08000', '08006', '08003', '57P01', '57P02', '25001', '25P02', '26000', 'XX000') then
        -- The error is raised without the context of the other session, which does not help the caller.
        perform pgqueue._raise(jsonb_build_object('sqlstate', state, 'message', message, 'detail', nullif(detail, ''), 'hint', nullif(hint, '')));
      end if;
    end;
    -- The session at the other end is gone, or busy with the rest of a canceled request (XX000), or other code opened a
    -- transaction in it or removed the prepared statement. A request is accepted once, so sending it again is safe.
    perform pgqueue._close_loopback();
    name := null;
  end loop;
  if closes then
    perform pgqueue._close_loopback();
  end if;
end
$$;
comment on function pgqueue._over_loopback(text, oid, bigint, text, text, boolean, boolean) is
  'Sends a request to the gate over the loopback of this session, which is connected if necessary. holds: its effects stay uncommitted until pgqueue._end_hold, unless it raises an error. closes: the loopback ends after the answer';
grant execute on function pgqueue._over_loopback(text, oid, bigint, text, text, boolean, boolean) to pgqueue_user;

create or replace function pgqueue._end_hold(is_done boolean)
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
    -- dblink leaves the connection busy with an answer that no code will read.
    perform pgqueue._close_loopback();
    raise;
  when others then
    perform pgqueue._close_loopback();
    return false;
end
$$;
comment on function pgqueue._end_hold(boolean) is
  'Ends the transaction that pgqueue._over_loopback holds: committed, or rolled back. False: the session at the other end is gone. Then it was rolled back, unless only the answer was lost';
grant execute on function pgqueue._end_hold(boolean) to pgqueue_user;

create or replace function pgqueue._close_loopback()
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
grant execute on function pgqueue._close_loopback() to pgqueue_user;

create or replace function pgqueue._refuse_loopback(loopback text)
  returns boolean
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'invalid value for parameter "pgqueue.loopback": "%"', loopback using errcode = '22023', hint = 'Available values: session, call.';
end
$$;
comment on function pgqueue._refuse_loopback(text) is 'Raises the error for a value that pgqueue.loopback cannot have';
grant execute on function pgqueue._refuse_loopback(text) to pgqueue_user;

create or replace function pgqueue._call(op text, request jsonb, holds boolean default false)
  returns setof jsonb
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- One statement: each further one is prepared again in each transaction. The cookie of a new job is random, so it is the nonce too.
  return query
  select o.answer
  from (
    select k.role, k.key, k.loopback, coalesce(case when op in ('launch', 'launch_tracked') then (request ->> 'cookie')::bigint end, pgqueue._random_bigint()) as nonce,
           case when op = 'launch' and k.max_workers is not null then request || jsonb_build_object('max_workers', k.max_workers) else request end::text as text
    from pgqueue.own_key k
    where k.loopback in ('session', 'call') or pgqueue._refuse_loopback(k.loopback)
    offset 0
  ) r,
  pgqueue._over_loopback(op, r.role, r.nonce, r.text, encode(sha256(convert_to(concat_ws(' ', r.key, op, r.nonce, r.text), 'UTF8')), 'hex'),
                         holds, r.loopback = 'call') o (answer);
  if not found then
    perform pgqueue._require_enrolled();
  end if;
end
$$;
comment on function pgqueue._call(text, jsonb, boolean) is
  'Sends a request to the gate as the current role, outside the caller''s transaction. holds: see pgqueue._over_loopback';
grant execute on function pgqueue._call(text, jsonb, boolean) to pgqueue_user;
