-- The loopback: a second session to this database through dblink, in which launch, wait, result and cancel act apart from the
-- caller's transaction. It logs in as a role that can do nothing but call pgqueue._gate, and what it hands in must be proven.
--
-- Any code of a session can send anything over its loopback, so a request carries a proof: a digest of the request, keyed with
-- what the view pgqueue.own_key shows to the role that runs, and to no other. The key of the view is good for a minute.

-- Roles are known by number, and a number is another role's in another cluster. So the database knows where it is at home, and
-- what the roles were called whose numbers stand in it.

create table pgqueue.home (
  only_row boolean primary key default true,
  system_identifier bigint not null,
  database bigint not null,
  constraint home_has_one_row check (only_row)
);
comment on table pgqueue.home is 'The cluster and the database in which the numbers of roles are right; those of a copy or a restored dump are another''s';
insert into pgqueue.home (system_identifier, database)
select c.system_identifier, d.oid::bigint from pg_control_system() c, pg_database d where d.datname = current_database();

create table pgqueue.role_name (
  role oid primary key,
  name text
);
comment on table pgqueue.role_name is 'What roles are called whose numbers stand in other tables, for a dump (pgqueue._repair_home). Numbers from 4294900000 on are of roles that are not in this cluster';

create function pgqueue._is_at_home()
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pgqueue.home h, pg_control_system() c, pg_database d
    where h.system_identifier = c.system_identifier and d.datname = current_database() and h.database = d.oid::bigint)
$$;
comment on function pgqueue._is_at_home() is 'Whether the numbers of roles in this database are those of this cluster. False: it was copied or restored, and not repaired';

create function pgqueue._require_home()
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not pgqueue._is_at_home() then
    raise exception 'database "%" was copied or restored from elsewhere, and its roles are not known yet', current_database()
      using errcode = '55000', hint = 'Let its owner run: pgqueue upgrade';
  end if;
end
$$;
comment on function pgqueue._require_home() is 'Raises 55000 in a database that was copied or restored, and not repaired since';

create function pgqueue._note_roles()
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  insert into pgqueue.role_name as n (role, name)
  select r.oid, r.rolname
  from (select k.role from pgqueue.role_key k union select q.declared_by from pgqueue.queue q union select e.declared_by from pgqueue.exchange e
        union select b.declared_by from pgqueue.binding b union select n.role from pgqueue.role_name n) used (role)
  join pg_roles r on r.oid = used.role
  on conflict on constraint role_name_pkey do update set name = excluded.name where n.name is distinct from excluded.name;
  delete from pgqueue.role_name n where n.role < 4294900000 and not exists (select from pg_roles r where r.oid = n.role);
$$;
comment on function pgqueue._note_roles() is 'Notes what the roles are called whose numbers stand in other tables, also after ALTER ROLE ... RENAME';

create function pgqueue._role_here(number oid)
  returns oid
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  -- A dump names the owner of a runner as it is called when the dump is made; what was noted may be a moment older.
  select coalesce(
    (select p.proowner from pg_proc p join pg_namespace s on s.oid = p.pronamespace
     where s.nspname = 'pgqueue_run' and p.proname = 'job_' || number and p.proowner <> s.nspowner),
    (select r.oid from pgqueue.role_name n join pg_roles r on r.rolname = n.name where n.role = number))
$$;
comment on function pgqueue._role_here(oid) is 'Which role of this cluster had this number where the database comes from; NULL: none that is here';

create function pgqueue._renumber_roles(old_numbers oid[], new_numbers oid[])
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  keys pgqueue.role_key[];
  totals pgqueue.stat_total[];
  -- What was handed in here before the repair has a number of here already. A restore grants rights when all rows are in.
  granted_age int := (select age(c.xmin) from pg_class c where c.oid = 'pgqueue.jobs'::regclass and c.relacl is not null);
begin
  -- In two steps, for numbers may change places.
  update pgqueue.message m set submitter = 4294000000 + t.n
  from unnest(old_numbers) with ordinality t (number, n)
  where m.submitter = t.number and (granted_age is null or age(m.xmin) >= granted_age or m.submitter >= 4294900000);
  update pgqueue.message m set submitter = new_numbers[m.submitter::bigint - 4294000000]
  where m.submitter::bigint between 4294000001 and 4294899999;
  update pgqueue.history h set submitter = t.new_number
  from unnest(old_numbers, new_numbers) t (old_number, new_number)
  where h.submitter = t.old_number and (granted_age is null or age(h.xmin) >= granted_age or h.submitter >= 4294900000);
  update pgqueue.queue q set declared_by = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where q.declared_by = t.old_number;
  update pgqueue.exchange e set declared_by = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where e.declared_by = t.old_number;
  update pgqueue.binding b set declared_by = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where b.declared_by = t.old_number;
  update pgqueue.schedule s set owner = 4294000000 + t.n from unnest(old_numbers) with ordinality t (number, n) where s.owner = t.number;
  update pgqueue.schedule s set owner = new_numbers[s.owner::bigint - 4294000000] where s.owner::bigint between 4294000001 and 4294899999;
  update pgqueue.schedule_run r set owner = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where r.owner = t.old_number;
  keys := array(select k from pgqueue.role_key k);
  delete from pgqueue.role_key;
  insert into pgqueue.role_key (role, key, seal_key, enrolled_at)
  select coalesce(t.new_number, k.role), k.key, k.seal_key, k.enrolled_at
  from unnest(keys) k left join unnest(old_numbers, new_numbers) t (old_number, new_number) on t.old_number = k.role
  on conflict do nothing;
  totals := array(select s from pgqueue.stat_total s);
  delete from pgqueue.stat_total;
  insert into pgqueue.stat_total (submitter, queue, completed, failed, canceled, expired, timed_jobs, total_ms)
  select coalesce(t.new_number, s.submitter), s.queue, sum(s.completed), sum(s.failed), sum(s.canceled), sum(s.expired), sum(s.timed_jobs), sum(s.total_ms)
  from unnest(totals) s left join unnest(old_numbers, new_numbers) t (old_number, new_number) on t.old_number = s.submitter
  group by 1, 2;
end
$$;
comment on function pgqueue._renumber_roles(oid[], oid[]) is 'Puts other numbers in the place of those of roles, wherever they stand';

create function pgqueue._settle_here(is_elsewhere boolean)
  returns text[]
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  used record;
  found_role oid;
  nobody bigint := (select coalesce(min(n.role::bigint), 4294967295) from pgqueue.role_name n where n.role >= 4294900000);
  old_numbers oid[] := '{}';
  new_numbers oid[] := '{}';
  names text[] := '{}';
  missing text[] := '{}';
  routine text;
begin
  for used in
    select u.number, n.name
    from (select m.submitter from pgqueue.message m union select h.submitter from pgqueue.history h union select s.submitter from pgqueue.stat_total s
          union select k.role from pgqueue.role_key k union select q.declared_by from pgqueue.queue q union select e.declared_by from pgqueue.exchange e
          union select b.declared_by from pgqueue.binding b union select r.role from pgqueue.role_name r) u (number)
    left join pgqueue.role_name n on n.role = u.number
    where u.number >= case when is_elsewhere then 1 else 4294900000 end
  loop
    found_role := pgqueue._role_here(used.number);
    if found_role is null then
      missing := missing || used.name;
      if used.number >= 4294900000 then
        found_role := used.number;
      else
        -- Another role may have that number here.
        nobody := nobody - 1;
        found_role := nobody;
      end if;
    end if;
    old_numbers := old_numbers || used.number;
    new_numbers := new_numbers || found_role;
    names := names || used.name;
  end loop;
  missing := array(select distinct m from unnest(missing) m where m is not null order by m);
  -- Under the numbers of there they were counted; the numbers of transactions, too, are others here.
  perform pgqueue._fold_stats();
  if old_numbers <> new_numbers then
    perform pgqueue._renumber_roles(old_numbers, new_numbers);
    delete from pgqueue.role_name n where n.role = any (old_numbers);
    insert into pgqueue.role_name (role, name) select t.number, t.name from unnest(new_numbers, names) t (number, name) on conflict do nothing;
  end if;
  if not is_elsewhere then
    return missing;
  end if;
  update pgqueue.history h set xact = '3' where h.xact >= pg_snapshot_xmax(pg_current_snapshot());
  update pgqueue.stat_fold f set snapshot = pg_current_snapshot();
  -- No session of there is one of here.
  delete from pgqueue.stat_session;
  delete from pgqueue.tracked_job;
  -- Runners bear numbers of there, and may be written for another version of the server.
  for routine in
    select p.oid::regprocedure::text from pg_proc p join pg_namespace s on s.oid = p.pronamespace
    where s.nspname in ('pgqueue_run', 'pgqueue_take') and p.proname ~ '^(job|jobs|take)_[0-9]+$'
  loop
    execute format('drop routine %s', routine);
  end loop;
  update pgqueue.role_key k set runner = null, runner_xid = null;
  return missing;
end
$$;
comment on function pgqueue._settle_here(boolean) is 'After a dump was restored in another cluster: gives all roles the numbers that they have here; else those that were missing. Returns the names of those that are not here';

create function pgqueue._repair_home()
  returns text[]
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  missing text[] := '{}';
  gate text := 'pgqueue_gate_' || (select d.oid from pg_database d where d.datname = current_database());
  password text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  enrolled oid;
begin
  lock table pgqueue.home in exclusive mode;
  if not has_schema_privilege('pgqueue_worker', 'pgqueue', 'usage') then
    raise exception 'the rights of pgqueue''s roles were not restored'
      using errcode = '55000', hint = 'Restore the roles first (pg_dumpall --roles-only, or pgqueue install in another database), then the database, with its privileges.';
  end if;
  if not exists (select from pgqueue.home h, pg_control_system() c where h.system_identifier = c.system_identifier) then
    missing := pgqueue._settle_here(true);
    -- Of its password only this database knows.
    execute format('%s role %I login password %L', case when to_regrole(gate) is null then 'create' else 'alter' end, gate, password);
    execute format('grant pgqueue_gate to %I', gate);
    execute 'drop user mapping for current_user server pgqueue_loopback';
    execute format('create user mapping for current_user server pgqueue_loopback options (user %L, password %L)', gate, password);
  elsif exists (select from pgqueue.role_name n join pg_roles r on r.rolname = n.name where n.role >= 4294900000) then
    missing := pgqueue._settle_here(false);  -- some that were missing are there now
  end if;
  update pgqueue.home h
  set system_identifier = c.system_identifier, database = d.oid::bigint
  from pg_control_system() c, pg_database d
  where d.datname = current_database() and (h.system_identifier, h.database) is distinct from (c.system_identifier, d.oid::bigint);
  perform pgqueue._note_roles();
  -- A dump of the database alone has no memberships.
  for enrolled in
    select k.role from pgqueue.role_key k join pg_roles r on r.oid = k.role
    where not (pg_has_role(k.role, 'pgqueue_user', 'member') and has_schema_privilege(k.role, 'pgqueue', 'usage'))
  loop
    execute format('grant pgqueue_user to %s', enrolled::regrole);
    perform pgqueue._admit(enrolled::regrole, true);
  end loop;
  perform pgqueue._repair_executor();
  for enrolled in select k.role from pgqueue.role_key k join pg_roles r on r.oid = k.role where k.runner is null loop
    begin
      perform pgqueue._make_runner(enrolled);
    exception when insufficient_privilege then
      null;  -- its jobs run where a worker can log in as it, as pgqueue.enroll has said
    end;
  end loop;
  if missing <> '{}' then
    raise warning 'roles that hand in to pgqueue are missing in this cluster: %', array_to_string(missing, ', ')
      using hint = 'Create them and run again: pgqueue upgrade. Until then their jobs fail.';
  end if;
  return missing;
end
$$;
comment on function pgqueue._repair_home() is
  'Makes a database that was copied or restored usable, but for its loopback: roles by their names, runners, the executors'' login. Returns the names of roles that are missing. For the installer';

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
     or name ~ '^pgqueue_(gate|executor|worker)_[0-9]+$' then
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
  perform pgqueue._require_home();
  insert into pgqueue.role_key (role) values (enroll.role::oid) on conflict do nothing;
  insert into pgqueue.role_name as n (role, name) select r.oid, r.rolname from pg_roles r where r.oid = enroll.role
  on conflict on constraint role_name_pkey do update set name = excluded.name;
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
  perform pgqueue._require_home();
  delete from pgqueue.role_key k where k.role = unenroll.role::oid;
  perform pgqueue._pause_schedules_of(unenroll.role::oid);
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

create function pgqueue._loopback_options()
  returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  -- What is set for the database or the login must not bend the gate. What a version of the server does not know it would refuse.
  select string_agg(format('-c %s=%s', s.name, replace(s.value, ' ', chr(92) || ' ')), ' ' order by s.name)
  from (values
    ('default_transaction_read_only', 'off'), ('default_transaction_isolation', 'read committed'), ('default_transaction_deferrable', 'off'),
    ('statement_timeout', '0'), ('transaction_timeout', '0'), ('idle_session_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('search_path', 'pg_catalog'), ('row_security', 'on'), ('restrict_nonsystem_relation_kind', ''), ('DateStyle', 'ISO, MDY'),
    ('IntervalStyle', 'postgres'), ('standard_conforming_strings', 'on'), ('transform_null_equals', 'off'), ('array_nulls', 'on'),
    ('quote_all_identifiers', 'off'), ('extra_float_digits', '1'), ('bytea_output', 'hex'), ('log_parameter_max_length_on_error', '0'),
    -- What the caller''s own transaction holds is never waited for: it would wait for this call in turn.
    ('lock_timeout', '5s')) s (name, value)
  where current_setting(s.name, true) is not null
$$;
comment on function pgqueue._loopback_options() is 'The settings with which the loopback logs in';

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
                 current_database(), 'pgqueue loopback', '10', pgqueue._loopback_options());
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
  -- The server may be of another version by now.
  execute format('alter server pgqueue_loopback options (set options %L)', pgqueue._loopback_options());
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
