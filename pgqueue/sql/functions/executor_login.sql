-- The login of the batch lane's sessions, and the login of the worker that `pgqueue up` starts.

create or replace function pgqueue._executor_name()
  returns text
  language sql stable
begin atomic
  select 'pgqueue_executor_' || d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database();
end;
comment on function pgqueue._executor_name() is 'The login of the executors. Roles belong to the whole cluster, so each database has one of its own';

create or replace function pgqueue._repair_executor()
  returns text
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text := pgqueue._executor_name();
  known pgqueue.login;
  owner regrole := (select n.nspowner::regrole from pg_namespace n where n.nspname = 'pgqueue');
  must_join boolean;
begin
  select * into known from pgqueue.login l where l.purpose = 'executor';
  if known.role is distinct from name then
    -- It is the first login, or that of the database of which this one is a copy.
    if to_regrole(known.role) is not null then
      execute format('revoke all on schema pgqueue_run from %I', known.role);
      execute format('revoke all on all routines in schema pgqueue_run from %I', known.role);
    end if;
    insert into pgqueue.login as l (purpose, role, password)
    values ('executor', name, replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))
    on conflict on constraint login_pkey do update set role = excluded.role, password = excluded.password
    returning l.* into known;
  end if;
  execute format('%s role %I login noinherit password %L', case when to_regrole(name) is null then 'create' else 'alter' end, name, known.password);
  execute format('grant usage on schema pgqueue_run to %I', name);
  execute format('grant execute on function pgqueue_run.check_runner(oid), pgqueue_run.pass_gate(), pgqueue_run.forget_role(), pgqueue_run.finish_job(bigint, bigint, text, text) to %I', name);
  execute format('grant execute on function pgqueue_run.check_group(oid), pgqueue_run.finish_group(bigint[], bigint[], bigint[], timestamptz[], timestamptz[], text) to %I', name);
  execute format('grant execute on function pgqueue_run.check_result(oid), pgqueue_run.append_rows(bigint, bigint, int, jsonb), pgqueue_run.fail_result(bigint, bigint, jsonb, float8, jsonb), pgqueue_run.finish_result(bigint, bigint, text[], bigint, jsonb, jsonb, jsonb, jsonb, boolean, bigint) to %I', name);
  -- The owner's functions cancel queries of its sessions, and see since when they run.
  select not r.rolsuper and not pg_has_role(owner::oid, to_regrole(name)::oid, 'usage') into must_join from pg_roles r where r.oid = owner;
  if must_join then
    execute format('grant %I to %s%s', name, owner,
                   case when current_setting('server_version_num')::int >= 160000 then ' with inherit true, set false' else '' end);
  end if;
  perform pgqueue._make_runner(k.role)
  from pgqueue.role_key k
  where k.runner is not null
    and not (pgqueue._is_intact(k.runner, k.runner_xid, k.role) and has_function_privilege(name, k.runner, 'execute')
             and pgqueue._is_intact(k.group_runner, k.runner_xid, k.role) and has_function_privilege(name, k.group_runner, 'execute')
             and pgqueue._is_intact(k.result_runner, k.runner_xid, k.role) and has_function_privilege(name, k.result_runner, 'execute'));
  return name;
end
$$;
comment on function pgqueue._repair_executor() is
  'Creates the executors'' login, with only the rights that it needs. Returns its name. For the installer, and after a database was copied';

create or replace function pgqueue._make_worker_login(out role text, out password text)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text := 'pgqueue_worker_' || (select d.oid from pg_database d where d.datname = current_database());
begin
  insert into pgqueue.login as l (purpose, role, password)
  values ('worker', name, replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))
  on conflict on constraint login_pkey do update
  -- The database may be a copy of another.
  set role = name, password = case when l.role = name then l.password else excluded.password end
  returning l.role, l.password into role, password;
  execute format('%s role %I login password %L', case when to_regrole(name) is null then 'create' else 'alter' end, role, password);
  if not pg_has_role(role, 'pgqueue_worker', 'member') then
    execute format('grant pgqueue_worker to %I', role);
  end if;
end
$$;
comment on function pgqueue._make_worker_login() is
  'Creates a login that may run workers and nothing else, and returns its password. For the owner of pgqueue: a worker may not log in as the owner';

create or replace function pgqueue._executor_fault(out problem text, out sqlstate text, out hint text)
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text := (select l.role from pgqueue.login l where l.purpose = 'executor');
  owner oid := (select n.nspowner from pg_namespace n where n.nspname = 'pgqueue');
begin
  sqlstate := '55000';
  hint := 'Run: pgqueue upgrade';
  if name is distinct from pgqueue._executor_name() then
    problem := 'the executors'' login is that of another database: this one is a copy';
  elsif to_regrole(name) is null then
    problem := format('the executors'' login %s does not exist', name);
  else
    -- Code of any submitter runs in its sessions, so it must have no rights worth abusing.
    select format('the executors'' login %s %s', name, case
      when r.rolsuper then 'is a superuser'
      when r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls then 'has a right that it does not need'
      -- A right that an ordinary role has granted to it (ADMIN OPTION) is that role's own risk: otherwise any role could stop
      -- every worker.
      when exists (select from pg_auth_members m left join pg_roles g on g.oid = m.grantor
                   where m.member = r.oid and (g.oid is null or g.rolsuper or g.rolcreaterole or g.oid = owner)) then 'is a member of another role'
      when exists (select from pg_shdepend d where d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid and d.deptype = 'o') then 'owns something' end)
    into problem
    from pg_roles r where r.rolname = name;
    if problem ~ '[^ ]$' then
      sqlstate := '42501';
      hint := 'Let a superuser take that away, or drop the role and run: pgqueue upgrade';
    else
      problem := null;
    end if;
  end if;
end
$$;
comment on function pgqueue._executor_fault() is 'The problem of the executors'' login; NULL: none';
grant execute on function pgqueue._executor_fault() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._executor_login(out role text, out password text)
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  worker oid := quote_ident(session_user)::regrole::oid;
  owner oid := (select n.nspowner from pg_namespace n where n.nspname = 'pgqueue');
  problem text;
  fault record;
begin
  problem := case
    when (select r.rolsuper from pg_roles r where r.oid = worker) then 'a superuser'
    when worker = owner then 'the owner of pgqueue'
    when pg_has_role(worker, owner, 'member') then format('a member of %s, the owner of pgqueue', owner::regrole) end;
  if problem is not null then
    raise exception 'role % may not run SQL jobs: it is %', session_user, problem
      using errcode = '42501', hint = 'Let the worker log in as a role that has nothing but pgqueue_worker: create role my_worker login password ''...'' in role pgqueue_worker';
  end if;
  select f.* into fault from pgqueue._executor_fault() f;
  if fault.problem is not null then
    raise exception '%', fault.problem using errcode = fault.sqlstate, hint = fault.hint;
  end if;
  select l.role, l.password into role, password from pgqueue.login l where l.purpose = 'executor';
end
$$;
comment on function pgqueue._executor_login() is
  'The login of a worker''s executors. Refused (42501) to superusers and to the owner: code of other roles must not run next to their sessions';
grant execute on function pgqueue._executor_login() to pgqueue_worker;
