-- Which roles may submit jobs: enroll, unenroll, and the checks that refuse the others.

create or replace function pgqueue._minute_key(key text, minutes_ago int)
  returns text
  language sql volatile
begin atomic
  -- The key also depends on this database: the loopback of a copy leads to the original until it is repaired, and must not get
  -- the copy's jobs there.
  select encode(sha256(convert_to(concat_ws(' ', key, current_database(), extract(epoch from pg_postmaster_start_time()),
                                            floor(extract(epoch from clock_timestamp()) / 60)::bigint - minutes_ago), 'UTF8')), 'hex');
end;
comment on function pgqueue._minute_key(text, int) is 'The key of a role in this database for one minute of this server process';

create or replace view pgqueue.own_key with (security_barrier) as
  select k.role, encode(sha256(convert_to(concat_ws(' ', k.key, current_database(), extract(epoch from pg_postmaster_start_time()),
                                          floor(extract(epoch from clock_timestamp()) / 60)::bigint), 'UTF8')), 'hex') as key,
         -- pgqueue._session_setting, without a call of a function for each.
         coalesce(nullif(current_setting('pgqueue.loopback', true), ''),
                  (select c.value from pgqueue.configured c where c.queue = '' and c.setting = 'loopback' and c.role = 0), 'session') as loopback,
         coalesce(nullif(current_setting('pgqueue.max_workers', true), ''),
                  (select c.value from pgqueue.configured c where c.queue = '' and c.setting = 'max_workers' and c.role = 0)) as max_workers
  from pgqueue.role_key k
  where k.role = quote_ident(current_user)::regrole::oid;
comment on view pgqueue.own_key is
  'Proves the current role: a view does not change current_user, so each role sees only its own key. Valid for 1 min. Also the settings that a request over the loopback needs';
grant select on pgqueue.own_key to pgqueue_user;

create or replace function pgqueue._check_enrollable(role regrole)
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
  -- Jobs of the owner of pgqueue can do everything in it, and jobs of a superuser can do everything.
  select r.rolname, r.rolsuper or r.rolname = current_user into name, is_powerful from pg_roles r where r.oid = role;
  if name is null then
    raise exception 'role % does not exist', role using errcode = '42704';
  elsif name ~ '^pg_' or name in ('pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin', 'pgqueue_gate', 'pgbackground_role')
     or name ~ '^pgqueue_(gate|executor|worker)_[0-9]+$' then
    raise exception 'role % cannot submit jobs', role
      using errcode = '42501', hint = 'It is one of the roles of PostgreSQL or of pgqueue itself. Name the role that logs in.';
  elsif is_powerful and session_user <> name and not (select r.rolsuper from pg_roles r where r.rolname = session_user) then
    raise exception 'permission denied to enroll or unenroll the role %', role
      using errcode = '42501', hint = 'It is a superuser or the owner of pgqueue. Only a superuser may do that.';
  end if;
end
$$;
comment on function pgqueue._check_enrollable(regrole) is
  'Refuses to enroll or unenroll a role that is no login of an application, or that has more rights than an administrator';

create or replace function pgqueue._admit(role regrole, may_enter boolean)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Only one session at a time: all change the same row of the catalog.
  perform from pgqueue.migration m where m.version = 1 for update;
  if may_enter then
    execute format('grant usage on schema pgqueue to %s', role);
  else
    execute format('revoke usage on schema pgqueue from %s', role);
  end if;
end
$$;
comment on function pgqueue._admit(regrole, boolean) is 'Grants a role the usage of the schema in this database, or revokes it';

create or replace function pgqueue.enroll(role regrole)
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
comment on function pgqueue.enroll(regrole) is 'Allows a role to submit jobs and tasks in this database. Its jobs run with its rights';
grant execute on function pgqueue.enroll(regrole) to pgqueue_admin;

create or replace function pgqueue.unenroll(role regrole)
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
  -- It remains a member of pgqueue_user, which gives no rights by itself: it may be enrolled in another database.
  perform pgqueue._admit(role, false);
end
$$;
comment on function pgqueue.unenroll(regrole) is 'Revokes what pgqueue.enroll allows. Waiting jobs of the role stay queued until it is enrolled again';
grant execute on function pgqueue.unenroll(regrole) to pgqueue_admin;

create or replace function pgqueue._require_enrolled()
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pgqueue.own_key) then
    perform pgqueue._refuse_stranger(quote_ident(current_user)::regrole);
  end if;
end
$$;
comment on function pgqueue._require_enrolled() is 'Raises 42501 unless the role that runs is enrolled';
grant execute on function pgqueue._require_enrolled() to pgqueue_user;

create or replace function pgqueue._refuse_stranger(role oid)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'role "%" is not enrolled in pgqueue', pg_get_userbyid(role)
    using errcode = '42501', hint = format('Let an administrator run: select pgqueue.enroll(%L)', quote_ident(pg_get_userbyid(role)));
end
$$;
comment on function pgqueue._refuse_stranger(oid) is 'Raises 42501';
grant execute on function pgqueue._refuse_stranger(oid) to pgqueue_user;

create or replace function pgqueue._require_operator(role oid)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- One function in the conditions of a view, and not three: each costs every INSERT, though few roles get here.
  return pg_has_role(role, 'pgqueue_worker', 'member') or pg_has_role(role, 'pgqueue_admin', 'member') or pgqueue._refuse_stranger(role);
end
$$;
comment on function pgqueue._require_operator(oid) is 'Whether a role that is not enrolled is a worker or an administrator; otherwise raises 42501';
grant execute on function pgqueue._require_operator(oid) to pgqueue_user;

create or replace function pgqueue._is_operator(role oid)
  returns boolean
  language sql stable
begin atomic
  -- Functions that run as the owner call this; the owner may do what administrators may.
  select coalesce(pg_has_role(role, 'pgqueue_worker', 'member') or pg_has_role(role, 'pgqueue_admin', 'member') or role = quote_ident(current_user)::regrole::oid, false);
end;
comment on function pgqueue._is_operator(oid) is
  'Whether a role is a worker, an administrator or the owner: its declarations apply to all messages';

create or replace function pgqueue._require_part(role oid)
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

create or replace function pgqueue._may_log_in(role oid)
  returns boolean
  language sql stable
begin atomic
  select r.rolcanlogin from pg_roles r where r.oid = role;
end;
comment on function pgqueue._may_log_in(oid) is 'Whether a session of this role can be opened';
grant execute on function pgqueue._may_log_in(oid) to pgqueue_user;

create or replace function pgqueue._may_keep_result(role oid)
  returns boolean
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from pgqueue.role_key k where k.role = _may_keep_result.role and k.result_runner is not null) or pgqueue._may_log_in(role);
end
$$;
comment on function pgqueue._may_keep_result(oid) is 'Whether there is a session in which a job of this role can run that keeps its result: its own, or one of the executors'' login';
grant execute on function pgqueue._may_keep_result(oid) to pgqueue_user;

create or replace function pgqueue._require_login(role oid)
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Without a runner, a job that keeps its result runs in a session of its submitter: this one would wait forever.
  if not pgqueue._may_log_in(role) and not pgqueue._may_keep_result(role) then
    raise exception 'role "%" may not log in, so its jobs cannot keep a result', pg_get_userbyid(role)
      using errcode = '55000', hint = format('Use pgqueue.submit, or pgqueue.enqueue without keep_result. Or grant the role to the owner of pgqueue and enroll it again, so that any worker can run its jobs. Or let workers log in as the role: alter role %I login.', pg_get_userbyid(role));
  end if;
end
$$;
comment on function pgqueue._require_login(oid) is 'Raises 55000 for a role whose jobs cannot keep a result';
grant execute on function pgqueue._require_login(oid) to pgqueue_user;
