-- The batch lane: jobs run inside the server, one session for all roles, one commit each, and no round trip between them.
--
-- The boundary is a function for each enrolled role, its runner: owned by that role, SECURITY DEFINER, it takes the number and the
-- token of a job and runs the job if its own role submitted it. Inside it SET ROLE and SET SESSION AUTHORIZATION fail, so no job can climb.
-- Behind it stands a second one: the session is that of a login which may call the runners and nothing else.

create schema pgqueue_run;
comment on schema pgqueue_run is 'What the executors'' login may call, and nobody else. For each enrolled role: job_*, which the role owns and which runs one of its jobs; jobs_*, which calls it for job after job';
revoke all on schema pgqueue_run from public;

create schema pgqueue_take;
comment on schema pgqueue_take is 'For each enrolled role: take_*, by which the role''s runner reads the job that it is to run';
revoke all on schema pgqueue_take from public;

create table pgqueue.login (
  purpose text primary key,
  role text not null,
  password text not null,
  constraint login_purpose_is_known check (purpose in ('executor', 'worker'))
);
comment on table pgqueue.login is
  'How executors log in (pgqueue._executor_login), and the worker of pgqueue up (pgqueue._make_worker_login). Only the owner reads it';

create table pgqueue.run_gate ();
comment on table pgqueue.run_gate is
  'Has no rows: sessions that run jobs lock it for a moment between two jobs (pgqueue_run.pass_gate), whoever cancels one locks it against that (pgqueue._stop_run)';

create function pgqueue._executor_name()
  returns text
  language sql stable
begin atomic
  select 'pgqueue_executor_' || d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database();
end;
comment on function pgqueue._executor_name() is 'The login of the executors. Roles belong to the whole cluster, so each database has one of its own';

create function pgqueue._drop_runner(role oid)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text;
begin
  -- The owner of a schema may drop what is in it. Each by itself: DROP OWNED BY may have dropped some. IF EXISTS would say so each
  -- time that a role is enrolled.
  for name in
    select p.oid::regprocedure::text
    from pg_proc p
    where p.pronamespace in ('pgqueue_run'::regnamespace, 'pgqueue_take'::regnamespace)
      and p.proname in ('jobs_' || role, 'job_' || role, 'take_' || role)
  loop
    execute format('drop routine %s', name);
  end loop;
end
$$;
comment on function pgqueue._drop_runner(oid) is 'Drops the runner of a role';

create function pgqueue._make_runner(role oid)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $make$
declare
  version int := current_setting('server_version_num');
  is_ours boolean := pg_has_role(current_user, role, case when version >= 160000 then 'set' else 'member' end);
begin
  perform pgqueue._drop_runner(role);
  execute format($body$
    create function pgqueue_take.take_%1$s(id bigint, token bigint, out sql text, out params text[], out settings jsonb)
      language plpgsql volatile security definer
      set search_path = pg_catalog, pg_temp
    as $take$
    declare
      expires_at timestamptz;
      is_locked boolean;
    begin
      -- The lock says who runs the job: the transaction that holds it (pgqueue._runs). So it is taken in no subtransaction.
      select q.sql, q.params, q.settings, q.expires_at into sql, params, settings, expires_at
      from pgqueue.message q where q.id = take_%1$s.id and q.token = take_%1$s.token and q.kind = 'job' and q.submitter = '%1$s' for update;
      if not found then
        return;
      elsif exists (select from pgqueue.request r where r.id = take_%1$s.id and r.kind = 'cancel') then
        sql := pgqueue._end_job(id, 'canceled', '{"sqlstate": "57014", "message": "canceling statement due to user request"}');
        return;
      elsif expires_at <= clock_timestamp() then
        sql := pgqueue._end_job(id, 'expired', jsonb_build_object('sqlstate', '57014', 'message', format('job expired at %%s before a worker began it', expires_at)));
        return;
      end if;
      -- Who waits for the job waits for this lock (pgqueue._wait_for_run). Nobody has it but, for a moment, who looks whether the job runs.
      is_locked := pg_advisory_xact_lock(pgqueue._run_key_of(id, token)) is not null;
    end
    $take$
  $body$, role);
  execute format($body$
    create function pgqueue_run.job_%1$s(id bigint, token bigint)
      returns bigint
      language plpgsql volatile security definer
    as $run$
    declare
      job record;
      row_count bigint := -1;
      is_set boolean;
    begin
      -- What this session has written in the transaction before may have triggers that wait for the commit. They would fire in here,
      -- before PostgreSQL 18 as this function's owner. Whoever has written something has a transaction id.
      if pg_catalog.pg_current_xact_id_if_assigned() is not null then
        raise exception 'a job is the first of its transaction' using errcode = '25000', hint = 'Call the procedure pgqueue_run.jobs_%1$s.';
      end if;
      job := pgqueue_take.take_%1$s(id, token);
      if job.sql is null then
        return null;
      end if;
      -- Whoever has the executors' login can prepare the session that this is called in. What lies there must not be taken for
      -- what the job names, nor the quotes in its text for something else.
      discard temp;
      deallocate all;
      -- An expression for what every job has, and a query, which costs three times that, for other settings only.
      is_set := pg_catalog.concat(
        pg_catalog.set_config('pgqueue.job_id', id::pg_catalog.text, true), pg_catalog.set_config('standard_conforming_strings', 'on', true),
        pg_catalog.set_config('search_path', coalesce(job.settings operator(pg_catalog.->>) 'search_path', 'pg_catalog, pg_temp'), true)) is not null;
      if job.settings operator(pg_catalog.-) 'search_path' operator(pg_catalog.<>) '{}' then
        perform pg_catalog.set_config(s.key, s.value, true) from pg_catalog.jsonb_each_text(job.settings) s;
      end if;
      if job.params is null then
        execute job.sql;
        get diagnostics row_count = row_count;
      else
        -- Prepared, so that the server finds out the types of the parameters.
        execute pg_catalog.concat('prepare pgqueue_job(', pg_catalog.rtrim(pg_catalog.repeat('unknown,', pg_catalog.cardinality(job.params)), ','), ') as ', job.sql);
        execute pg_catalog.concat('execute pgqueue_job(',
          (select pg_catalog.string_agg(pg_catalog.quote_nullable(p.value), ',' order by p.n) from pg_catalog.unnest(job.params) with ordinality p (value, n)), ')');
      end if;
      -- What a job leaves for the commit is its own: it fails here. What a trigger defers at the end would run at the commit, and up to
      -- PostgreSQL 17 as the executors' login: here it runs in a block in which it can write to no table but a temporary one, and so
      -- leave nothing behind that DISCARD accepts. Then cursors are closed, also those that a trigger has declared: the commit would
      -- compute the rest of a holdable one as the executors' login.
      set constraints all immediate;
      begin
        set transaction read only;
        set constraints all immediate;
      exception when assert_failure then
        raise;  -- a subtransaction is what the block is for: with it the read-only mode ends
      end;
      discard temp;
      execute 'close all';
      return row_count;
    end
    $run$
  $body$, role);
  execute format($body$
    create procedure pgqueue_run.jobs_%1$s(ids bigint[], tokens bigint[], worker text)
      language plpgsql
    as $run$
    declare
      row_count bigint;
      is_async boolean;
      done text;
    begin
      done := pgqueue_run.check_runner(%1$s);
      for n in 1 .. pg_catalog.cardinality(ids) loop
        done := pgqueue_run.pass_gate();
        commit;
        row_count := pgqueue_run.job_%1$s(ids[n], tokens[n]);
        if row_count is not null then
          is_async := pg_catalog.current_setting('synchronous_commit') operator(pg_catalog.=) 'off';
          -- To what the session was opened with: first of all the search_path, which the job may have set.
          reset all;
          discard sequences;
          deallocate all;
          unlisten *;
          done := pg_catalog.pg_advisory_unlock_all();
          if is_async then
            done := pg_catalog.set_config('synchronous_commit', 'off', true);
          end if;
          done := pgqueue_run.finish_job(ids[n], tokens[n], row_count, worker);
        end if;
        commit;
      end loop;
      -- So that a cancel of the last job does not hit what the session does then.
      done := pgqueue_run.pass_gate();
      commit;
    end
    $run$
  $body$, role);
  -- Nobody but the role can take its jobs, and with the token only: a runner that comes to belong to another role runs nothing.
  execute format('revoke all on function pgqueue_take.take_%1$s, pgqueue_run.job_%1$s from public', role);
  execute format('revoke all on procedure pgqueue_run.jobs_%1$s from public', role);
  execute format('grant execute on function pgqueue_take.take_%s to %s', role, role::regrole);
  execute format('grant execute on function pgqueue_run.job_%s to %I', role, pgqueue._executor_name());
  execute format('grant execute on procedure pgqueue_run.jobs_%s to %I', role, pgqueue._executor_name());
  -- To hand the runner over one must be able to become the role, and the role to create functions here: for a moment. The role may
  -- not use the schema, so it cannot name its function to alter it.
  if not is_ours then
    execute format('grant %s to %I', role::regrole, current_user);
  end if;
  execute format('grant create on schema pgqueue_run to %s', role::regrole);
  execute format('alter function pgqueue_run.job_%s owner to %s', role, role::regrole);
  execute format('revoke create on schema pgqueue_run from %s', role::regrole);
  if not is_ours then
    execute format('revoke %s from %I', role::regrole, current_user);
  end if;
  update pgqueue.role_key k set runner = p.oid, runner_xid = p.xmin
  from pg_proc p
  where k.role = _make_runner.role and p.oid = format('pgqueue_run.job_%s(bigint, bigint)', _make_runner.role)::regprocedure;
end
$make$;
comment on function pgqueue._make_runner(oid) is 'Makes the runner of a role, if this role may hand a function over to it (else 42501)';

create function pgqueue._is_intact(runner oid, runner_xid xid, role oid)
  returns boolean
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  -- Whatever is changed of a function, its body included, makes another version of its row.
  select coalesce((select p.xmin = runner_xid and p.proowner = role and p.prosecdef and p.proconfig is null from pg_proc p where p.oid = runner), false)
$$;
comment on function pgqueue._is_intact(oid, xid, oid) is 'Whether the runner of a role is the one that pgqueue._make_runner made';

create function pgqueue_run.check_runner(role oid)
  returns void
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pgqueue.role_key k where k.role = check_runner.role and pgqueue._is_intact(k.runner, k.runner_xid, k.role)) then
    raise exception 'the runner of role % is not as pgqueue made it', role::regrole
      using errcode = 'PQ006', hint = format('Enroll the role again: select pgqueue.enroll(%L)', role::regrole);
  end if;
end
$$;
comment on function pgqueue_run.check_runner(oid) is 'Raises PQ006 if the runner of a role was changed since it was enrolled';

create function pgqueue_run.pass_gate()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Whoever cancels a job locks this, and sends the signal to a session that runs the job: a signal that comes too late hits a session
  -- here, between two jobs. No role but the owner can lock it.
  lock table pgqueue.run_gate in row share mode;
end
$$;
comment on function pgqueue_run.pass_gate() is 'Between two jobs, in a transaction of its own: waits until nobody cancels what this session has run';

create function pgqueue_run.forget_role()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text;
begin
  perform setseed(uuid_hash_extended(gen_random_uuid(), 0) / 9223372036854775808.0);
  perform pgqueue._dblink_disconnect(c) from unnest(pgqueue._dblink_connections()) c;
  begin
    perform pgqueue._dblink_disconnect_unnamed();
  exception when connection_does_not_exist then
    null;
  end;
  if exists (select from pg_extension e where e.extname = 'postgres_fdw') then
    select p.oid::regprocedure::text into name
    from pg_extension e
    join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
    join pg_proc p on p.oid = d.objid and p.proname = 'postgres_fdw_disconnect_all' and has_function_privilege(p.oid, 'execute')
    where e.extname = 'postgres_fdw';
    if found then
      execute format('select %s', name);
    end if;
  end if;
end
$$;
comment on function pgqueue_run.forget_role() is
  'Between jobs of two roles: takes from the session what neither RESET nor DISCARD reaches, the state of random() and connections of dblink and postgres_fdw';

create function pgqueue._repair_executor()
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
    -- The first, or that of the database of which this one is a copy.
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
  execute format('grant execute on function pgqueue_run.check_runner(oid), pgqueue_run.pass_gate(), pgqueue_run.forget_role(), pgqueue_run.finish_job(bigint, bigint, bigint, text) to %I', name);
  -- The owner's functions cancel what its sessions run, and see since when.
  select not r.rolsuper and not pg_has_role(owner::oid, to_regrole(name)::oid, 'usage') into must_join from pg_roles r where r.oid = owner;
  if must_join then
    execute format('grant %I to %s%s', name, owner,
                   case when current_setting('server_version_num')::int >= 160000 then ' with inherit true, set false' else '' end);
  end if;
  perform pgqueue._make_runner(k.role)
  from pgqueue.role_key k
  where k.runner is not null
    and not (pgqueue._is_intact(k.runner, k.runner_xid, k.role) and has_function_privilege(name, k.runner, 'execute'));
  return name;
end
$$;
comment on function pgqueue._repair_executor() is
  'Makes the executors'' login, with what it may call and nothing else. Returns its name. For the installer, and after a database was copied';

create function pgqueue._make_worker_login(out role text, out password text)
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
  'Makes a login that may run workers and nothing else, and tells its password. For whoever owns pgqueue: a worker may not log in as the owner';

create function pgqueue._executor_fault(out problem text, out sqlstate text, out hint text)
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
    -- Code of any submitter runs in its sessions, so it must have nothing worth having.
    select format('the executors'' login %s %s', name, case
      when r.rolsuper then 'is a superuser'
      when r.rolcreaterole or r.rolcreatedb or r.rolreplication or r.rolbypassrls then 'has a right that it does not need'
      -- What an ordinary role has granted it (ADMIN OPTION) is that role's own risk: else any of them could stop every worker.
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
comment on function pgqueue._executor_fault() is 'What is wrong with the executors'' login; NULL: nothing';

create function pgqueue._changed_runners()
  returns setof text
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select pg_get_userbyid(k.role) from pgqueue.role_key k where k.runner is not null and not pgqueue._is_intact(k.runner, k.runner_xid, k.role) order by 1
$$;
comment on function pgqueue._changed_runners() is 'Roles whose runner was changed or dropped since they were enrolled: their jobs run at the top level until they are enrolled again';

create function pgqueue._executor_login(out role text, out password text)
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
  'How a worker''s executors log in. Refused (42501) to superusers and to the owner: their sessions must not be near code of others';

create function pgqueue._end_job(id bigint, state pgqueue.job_state, error jsonb)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
begin
  delete from pgqueue.message q where q.id = _end_job.id returning * into m;
  perform pgqueue._archive(m, state, error, null, null);
  return null;
end
$$;
comment on function pgqueue._end_job(bigint, pgqueue.job_state, jsonb) is 'Ends a job that did not begin. Returns NULL';

create function pgqueue_run.finish_job(id bigint, token bigint, row_count bigint, worker text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  said pgqueue.activity;
begin
  -- Only of a job that took a while can anybody have noted that it runs, or written its progress from another session.
  if clock_timestamp() > transaction_timestamp() + interval '2 ms' then
    delete from pgqueue.activity a where a.id = finish_job.id returning * into said;
    if said.token <> finish_job.token then
      said := null;
    end if;
    perform pgqueue._refuse_overdue(id);
  end if;
  with gone as (
    delete from pgqueue.message q where q.id = finish_job.id and q.token = finish_job.token
    returning q.id, q.cookie, q.session_id, q.launched_at, q.due_at, q.submitter, q.kept, q.priority, q.attempts, q.max_attempts, q.queue, q.sql, q.label
  )
  insert into pgqueue.history (id, cookie, session_id, launched_at, eta, started_at, submitter, state, kept, backend_pid, row_count, priority,
                               attempts, max_attempts, queue, sql, label, progress_pct, progress_msg, worker)
  select m.id, m.cookie, m.session_id, m.launched_at, m.due_at, transaction_timestamp(), m.submitter, 'succeeded', m.kept, pg_backend_pid(),
         nullif(finish_job.row_count, -1), m.priority, m.attempts + 1, m.max_attempts, m.queue, m.sql, m.label, said.progress_pct, said.progress_msg, finish_job.worker
  from gone m;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  -- Last, when the history is written. Who cancels looks 10 ms later than the request was committed, whether the job still runs: of one that
  -- is over by then the end tells, and one that began later has seen the request.
  if clock_timestamp() not between transaction_timestamp() and transaction_timestamp() + interval '2 ms' then
    perform pgqueue._refuse_canceled(id);
  end if;
end
$$;
comment on function pgqueue_run.finish_job(bigint, bigint, bigint, text) is 'Last in the transaction of a job in the batch lane: its effects and its removal commit together. row_count -1: not known';

create function pgqueue._settle_run(ids bigint[], tokens bigint[], error jsonb, is_jobs boolean, run_seconds float8, pid int)
  returns table (id bigint, token bigint, verdict text, label text)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  m pgqueue.message;
  called_at timestamptz := clock_timestamp() - run_seconds * interval '1 s';
begin
  -- They run in this order, and one that has ended is gone: the first that is left is the one that ran.
  if is_jobs then
    select q.* into m
    from unnest(ids, tokens) with ordinality c (id, token, n)
    join pgqueue.message q on q.id = c.id and q.token = c.token
    order by c.n
    limit 1
    for update of q;
    if m.id is null then
      perform pgqueue._suspect_unclaimed(ids, error);
    elsif pgqueue._needs_top_level(error, m.params)
      -- A job of a role that may not log in would wait there for ever: what it has raised itself is its end.
      and (pgqueue._may_log_in(m.submitter) or pgqueue._is_raised_in_run(error) is not true)
    then
      update pgqueue.message q
      set top_level = true, state = 'ready', token = null, worker_id = null, deliveries = q.deliveries - 1
      where q.id = m.id;
      delete from pgqueue.activity a where a.id = m.id;
      perform pgqueue._wake(m.queue);
      return query select m.id, m.token, 'handed over', m.label;
    else
      perform pgqueue._forget_earlier_runs(array[m.id]);
      insert into pgqueue.activity (id, token, worker_id, backend_pid, started_at)
      values (m.id, m.token, m.worker_id, pid, coalesce((select max(h.ended_at) from pgqueue.history h where h.id = any (ids) and h.ended_at >= called_at), called_at))
      on conflict do nothing;
      return query select m.id, m.token, pgqueue._fail_any_job(m.id, m.token, pgqueue._without_runner(error, m.sql)), m.label;
    end if;
  end if;
  return query
  select c.id, c.token, null::text, q.label
  from unnest(ids, tokens) with ordinality c (id, token, n)
  join pgqueue.message q on q.id = c.id and q.token = c.token
  where q.id is distinct from m.id
  order by c.n;
end
$$;
comment on function pgqueue._settle_run(bigint[], bigint[], jsonb, boolean, float8, int) is
  'After a call that runs jobs ended with an error: what became of the job that raised it, and the jobs that are still to be run (verdict NULL)';

create function pgqueue._without_runner(error jsonb, sql text)
  returns jsonb
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- The context says, from the inside out: what the job called, the statement of the job, its runner, ...
  context text := regexp_replace(error ->> 'context', E'(^|\n)[^\n]*pgqueue_run[.].*', '');
  statement text := '"' || sql || '"';
begin
  if right(context, length(statement)) = statement then
    context := regexp_replace(left(context, -length(statement)), E'(^|\n)[^\n]*$', '');
  end if;
  return case when context = '' then error - 'context' when context is null then error else error || jsonb_build_object('context', context) end;
end
$$;
comment on function pgqueue._without_runner(jsonb, text) is 'The error of a job, its context as it would be at the top level';

create function pgqueue._is_raised_in_run(error jsonb)
  returns boolean
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select error ->> 'context' ~ E'pgqueue_run[.](job_[0-9]+|finish_job)[(]'
$$;
comment on function pgqueue._is_raised_in_run(jsonb) is 'Whether an error came of a job, or of its end; NULL or false: of the call that was to run it';

create function pgqueue._needs_top_level(error jsonb, params text[])
  returns boolean
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case error ->> 'sqlstate'
    when '25001' then true  -- VACUUM and the like
    when '2D000' then true  -- a CALL or DO that commits
    when '25006' then true  -- it made its transaction read-only, or deferred more than once
    when '55006' then true  -- or that with a temporary table
    when '0A000' then true  -- transaction control, COPY, DISCARD ALL: refused there, with a better message
    -- SET ROLE: the login of the submitter may. Or the executors may not call the runner: the job may have tables of such names.
    when '42501' then error ->> 'message' ~ '"(role|session_authorization)"'
      or error ->> 'message' ~ E'\\mjobs?_[0-9]+\\M|\\mpgqueue_run\\M' and pgqueue._is_raised_in_run(error) is not true
    when '42601' then params is not null  -- not a statement that can be prepared
    when '42883' then error ->> 'message' ~ 'pgqueue_run[.]'  -- unenrolled meanwhile
    when 'PQ006' then true  -- its runner was changed
    when '42P18' then params is not null  -- a parameter that it does not name
    else false end
$$;
comment on function pgqueue._needs_top_level(jsonb, text[]) is 'Whether an error says that a statement cannot run inside a function';

create function pgqueue._runs(id bigint, token bigint, pid int)
  returns boolean
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- The row is locked by the transaction that runs the job, and the server says whose transaction that is. No other can lock it.
  select exists (
    select from pgqueue.message m
    join pg_locks l on l.locktype = 'transactionid' and l.transactionid = m.xmax and l.granted and l.mode = 'ExclusiveLock'
    where m.id = _runs.id and m.token = _runs.token and l.pid = _runs.pid)
$$;
comment on function pgqueue._runs(bigint, bigint, int) is 'Whether this session runs this job in the batch lane now';

create function pgqueue._oversee(ids bigint[], tokens bigint[], pids int[], least_ms int, grace_ms int)
  returns table (id bigint, token bigint, pid int, run_for_ms float8, is_canceled boolean, is_overdue boolean, is_final boolean)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  runs record;
begin
  -- First the sessions that have been in a transaction for a while: mostly there are none.
  select array_agg(m.id) as ids, array_agg(m.token) as tokens, array_agg(s.pid) as pids, array_agg(s.xact_start) as started_at into runs
  from (
    select a.pid, a.xact_start, a.backend_xid
    from (select distinct p from unnest(pids) p) p
    cross join lateral pg_stat_get_activity(p.p) a
    where a.xact_start < clock_timestamp() - least_ms * interval '1 ms' and a.backend_xid is not null
  ) s
  join unnest(ids, tokens, pids) r (id, token, pid) on r.pid = s.pid
  join pgqueue.message m on m.id = r.id and m.token = r.token and m.xmax = s.backend_xid;
  if runs.ids is null then
    return;
  end if;
  perform set_config('synchronous_commit', 'off', true);
  perform pgqueue._forget_earlier_runs(runs.ids);
  insert into pgqueue.activity (id, token, worker_id, backend_pid, started_at)
  select m.id, m.token, m.worker_id, r.pid, r.started_at
  from unnest(runs.ids, runs.tokens, runs.pids, runs.started_at) r (id, token, pid, started_at)
  join pgqueue.message m on m.id = r.id and m.token = r.token
  on conflict do nothing;
  return query
  select m.id, m.token, r.pid, extract(epoch from o.run_for)::float8 * 1000, q.id is not null,
         coalesce(o.run_for > o.timeout, false),
         coalesce(q.terminate_at <= clock_timestamp(), false) or coalesce(o.run_for - o.timeout > grace_ms * interval '1 ms', false)
  from unnest(runs.ids, runs.tokens, runs.pids, runs.started_at) r (id, token, pid, started_at)
  join pgqueue.message m on m.id = r.id and m.token = r.token
  cross join lateral (
    select clock_timestamp() - r.started_at as run_for,
           pgqueue._time_allowed(m.timeout, m.settings) as timeout
  ) o
  left join pgqueue.request q on q.id = m.id and q.kind = 'cancel';
end
$$;
comment on function pgqueue._oversee(bigint[], bigint[], int[], int, int) is
  'Which of these jobs run in the batch lane, and since when: makes them visible as running, and says which are to be stopped: canceled, or past their timeout; is_final: for so long that their session is to be ended';

create function pgqueue._stop_run(id bigint, token bigint, pid int, is_final boolean)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  has_gate boolean := false;
begin
  -- While this is held no session begins a job. It is never waited for, since whoever waited would hold up all of them.
  for attempt in 1 .. 50 loop
    begin
      lock table pgqueue.run_gate in exclusive mode nowait;
      has_gate := true;
      exit;
    exception when lock_not_available then
      perform pg_sleep(0.001);
    end;
  end loop;
  if not has_gate or not pgqueue._runs(id, token, pid) then
    return false;
  end if;
  return case when is_final then pg_terminate_backend(pid) else pg_cancel_backend(pid) end;
end
$$;
comment on function pgqueue._stop_run(bigint, bigint, int, boolean) is
  'Cancels a job that runs in the batch lane, or ends its session; never another job. False: it does not run, or the next look tries again';

create function pgqueue._set_run_progress(id bigint, token bigint, pid int, pct int, msg text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- What a session says of a job is believed while that job runs in it.
  if pgqueue._runs(id, token, pid) then
    perform set_config('synchronous_commit', 'off', true);
    insert into pgqueue.activity as a (id, token, worker_id, backend_pid, progress_pct, progress_msg)
    select m.id, m.token, m.worker_id, pid, greatest(0, least(100, pct)), pgqueue._cut(msg, 63)
    from pgqueue.message m where m.id = _set_run_progress.id and m.token = _set_run_progress.token
    on conflict on constraint activity_pkey do update
    set token = excluded.token, worker_id = excluded.worker_id, backend_pid = excluded.backend_pid,
        started_at = case when a.token = excluded.token then a.started_at else excluded.started_at end,
        progress_pct = excluded.progress_pct, progress_msg = excluded.progress_msg;
  end if;
end
$$;
comment on function pgqueue._set_run_progress(bigint, bigint, int, int, text) is 'Writes the progress of a job that runs in the batch lane, from another session than its own';

create function pgqueue._release_waiting(ids bigint[], tokens bigint[])
  returns bigint[]
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  free bigint[];
begin
  select array_agg(m.id) into free
  from (select q.id from unnest(ids, tokens) c (id, token) join pgqueue.message q on q.id = c.id and q.token = c.token
        for update of q skip locked) m;
  perform pgqueue._release(array_agg(c.id), array_agg(c.token), true) from unnest(ids, tokens) c (id, token) where c.id = any (free);
  return free;
end
$$;
comment on function pgqueue._release_waiting(bigint[], bigint[]) is 'Gives back those of these jobs that do not run: they wait behind a long one. Returns them';

create function pgqueue._ended_jobs(ids bigint[], detailed int)
  returns table (id bigint, label text, preview text, attempts int, state text, started_at float8, ended_at float8, command_tag text, error jsonb)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select j.id, j.label, case when j.has_details then left(j.sql, 200) end, j.attempts::int, j.state::text,
         extract(epoch from coalesce(j.started_at, j.ended_at))::float8, extract(epoch from j.ended_at)::float8,
         case when j.has_details then coalesce(array_to_string(j.command_tags[1:10], ', '), pgqueue._command_tag(j.sql, j.row_count)) end, j.error
  -- Thousands are asked for at once: nobody reads the statements of that many.
  from (select h.*, row_number() over () <= detailed or h.state <> 'succeeded' as has_details from pgqueue.history h where h.id = any (ids)) j
$$;
comment on function pgqueue._ended_jobs(bigint[], int) is 'What monitors are told of ended jobs; of those that succeeded, the statement and its tag for so many';

create function pgqueue._retried_jobs(ids bigint[])
  returns table (id bigint, label text, preview text, attempts int)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select m.id, m.label, left(m.sql, 200), m.attempts::int from pgqueue.message m where m.id = any (ids)
  union all
  select h.id, h.label, left(h.sql, 200), h.attempts::int from pgqueue.history h where h.id = any (ids)
$$;
comment on function pgqueue._retried_jobs(bigint[]) is 'What monitors are told of jobs that failed and are tried again, or have been since';

create function pgqueue._task_fates(task_ids text[], workers text[], seen_at float8[])
  returns table (task_id text, fate text, queue text, outcome jsonb)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  with gone as materialized (
    select distinct a.id
    from unnest(task_ids, workers, seen_at) a (id, worker, seen)
    -- A worker of that name may be another process by now.
    where not exists (select from pgqueue.workers w where w.worker = a.worker and w.status <> 'lost' and extract(epoch from w.started_at) <= a.seen)
  ), job as materialized (
    select g.id, substr(g.id, 5)::bigint as number from gone g where g.id ~ '^job-[0-9]{1,18}$'
  ), held as materialized (
    select j.id, m.state, m.queue from job j join pgqueue.message m on m.id = j.number and m.kind = 'job'
    union all
    -- Only what a worker has had, or was put aside: what waits for its first worker is none of these, and may be very much.
    select t.id, t.state, t.queue
    from (select pgqueue._text_in(m.payload, '{headers,id}') as id, m.state, m.queue
          from pgqueue.message m
          where m.kind = 'task' and (m.deliveries > 0 or m.queue like '%.dead') and exists (select from gone where id !~ '^job-')) t
    join gone g on g.id = t.id
  )
  select g.id,
         case when h.state = 'claimed' then 'held'
              when h.queue like '%.dead' then 'dead'
              when h.state is not null then 'waits'
              when j.id is not null then case when exists (select from pgqueue.history e where e.id = j.number) then 'ended' else 'lost' end
              else coalesce(r.state, 'lost') end,
         h.queue, case when r.state = 'FAILURE' then pgqueue.task_result(g.id) end
  from gone g
  left join job j on j.id = g.id
  left join lateral (select * from held where held.id = g.id order by held.state = 'claimed' desc limit 1) h on true
  left join lateral (select f.state from pgqueue._task_results(array[g.id]) f
                     where h.id is null and j.id is null and pgqueue._state_rank(f.state) > 0) r on true
$$;
comment on function pgqueue._task_fates(text[], text[], float8[]) is
  'For monitors: what became of tasks that a worker had which is gone. held: another has it; waits; dead: a dead letter; ended: a job; SUCCESS, FAILURE, REVOKED: its result; lost: nothing is left of it';

create function pgqueue._running_message(id bigint, token bigint)
  returns json
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select pgqueue._job_message(m.id, m.token, m.queue, m.priority, m.deliveries, m.attempts, m.submitter, m.sql, m.params, m.settings,
                              m.timeout, m.kept, m.label)
  from pgqueue.message m
  where m.id = _running_message.id and m.token = _running_message.token
$$;
comment on function pgqueue._running_message(bigint, bigint) is 'A job of the batch lane that takes long, as a message for Celery';

select pgqueue._repair_executor();
-- Roles that were enrolled before this lane existed.
select pgqueue._make_runner(k.role) from pgqueue.role_key k;

revoke all on all functions in schema pgqueue from public;
revoke all on all procedures in schema pgqueue from public;
revoke all on all functions in schema pgqueue_run from public;
revoke all on pgqueue.run_gate from public;
grant usage on schema pgqueue_take to pgqueue_user;
grant execute on function
  pgqueue._executor_login(), pgqueue._settle_run(bigint[], bigint[], jsonb, boolean, float8, int),
  pgqueue._oversee(bigint[], bigint[], int[], int, int),
  pgqueue._stop_run(bigint, bigint, int, boolean), pgqueue._release_waiting(bigint[], bigint[]), pgqueue._set_run_progress(bigint, bigint, int, int, text),
  pgqueue._ended_jobs(bigint[], int), pgqueue._retried_jobs(bigint[]), pgqueue._running_message(bigint, bigint),
  pgqueue._task_fates(text[], text[], float8[])
  to pgqueue_worker;
grant execute on function pgqueue._executor_fault(), pgqueue._changed_runners() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
