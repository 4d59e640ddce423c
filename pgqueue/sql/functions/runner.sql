-- The runners of the batch lane, in which jobs run inside the server.
--
-- The boundary is a function for each enrolled role, its runner: owned by that role, SECURITY DEFINER, it takes the number and
-- the token of a job and runs the job if its own role submitted it. Inside it SET ROLE and SET SESSION AUTHORIZATION fail, so no
-- job can get other rights. A second boundary is the session: its login may call the runners and nothing else.

create or replace function pgqueue._drop_runner(role oid)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text;
begin
  -- The owner of a schema may drop its objects. Each is dropped separately, because DROP OWNED BY may have dropped some. IF
  -- EXISTS would raise a notice each time that a role is enrolled.
  for name in
    select p.oid::regprocedure::text
    from pg_proc p
    where p.pronamespace in ('pgqueue_run'::regnamespace, 'pgqueue_take'::regnamespace)
      and p.proname in ('jobs_' || role, 'job_' || role, 'groups_' || role, 'group_' || role, 'take_' || role, 'takes_' || role, 'result_' || role)
  loop
    execute format('drop routine %s', name);
  end loop;
end
$$;
comment on function pgqueue._drop_runner(oid) is 'Drops the runner of a role';

create or replace function pgqueue._setting_steps(job_id text)
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select replace($steps$
    -- One expression handles the settings that every job has. A query, which costs three times as much, is only for other settings.
    if pg_catalog.concat(
      pg_catalog.set_config('pgqueue.job_id', <job_id>::pg_catalog.text, true), pg_catalog.set_config('standard_conforming_strings', 'on', true),
      pg_catalog.set_config('search_path', coalesce(job.settings operator(pg_catalog.->>) 'search_path', 'pg_catalog, pg_temp'), true)) operator(pg_catalog.<>) ''
      and job.settings operator(pg_catalog.-) 'search_path' operator(pg_catalog.<>) '{}'
    then
      perform pg_catalog.set_config(s.key, s.value, true) from pg_catalog.jsonb_each_text(job.settings) s;
      -- A worker that makes a span for the job has set its own: what the job submits belongs to that.
      if job.settings operator(pg_catalog.?) 'pgqueue.traceparent' and pg_catalog.current_setting('pgqueue.run_traceparent', true) operator(pg_catalog.<>) '' then
        is_set := pg_catalog.set_config('pgqueue.traceparent', pg_catalog.current_setting('pgqueue.run_traceparent'), true) is not null;
      end if;
    end if;
$steps$, '<job_id>', job_id)
$$;
comment on function pgqueue._setting_steps(text) is 'What a runner does to give a job its settings: a part of pgqueue._job_steps and of what _make_result_runner makes';

create or replace function pgqueue._ending_steps(is_deferring text)
  returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select replace(replace(replace($steps$
    -- Deferred work of a job runs here, within the job. A trigger that defers further work would run it at the commit, up to PostgreSQL 17 as the
    -- executors' login: here it runs in a block in which it can write only to temporary tables, so that nothing is left that DISCARD accepts.
    -- Then cursors are closed, including those that a trigger has declared: the commit would compute the rest of a holdable one as that login.
    -- step: defer
    if <is_deferring> then
    set constraints all immediate;
    <declare>
    begin
      set transaction read only;
      -- step: defer again
      set constraints all immediate;
      <check>
    exception when assert_failure then
      raise;  -- The block has a subtransaction, at whose end the read-only mode ends.
    end;
    end if;
    -- step: discard
    if pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0::pg_catalog.oid then
      discard temp;
    end if;
$steps$,
    -- Up to PostgreSQL 15, RESET ends the read-only mode. There the block may write nothing: a subtransaction that has written has an id,
    -- on which it holds a lock. Locks are counted only in databases in which something can be deferred.
    '<declare>', case when current_setting('server_version_num')::int < 160000 then $declare$
    declare
      own_xids bigint := case when exists (select from pg_catalog.pg_trigger t where t.tgdeferrable)
                    then (select pg_catalog.count(*) from pg_catalog.pg_locks l where l.locktype operator(pg_catalog.=) 'transactionid' and l.pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()) end;
$declare$ else '' end),
    '<check>', case when current_setting('server_version_num')::int < 160000 then $check$
      if own_xids operator(pg_catalog.<) (select pg_catalog.count(*) from pg_catalog.pg_locks l where l.locktype operator(pg_catalog.=) 'transactionid' and l.pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()) then
        raise exception 'a trigger that was deferred twice has written something' using errcode = '25006';
      end if;
$check$ else '' end), '<is_deferring>', is_deferring)
$$;
comment on function pgqueue._ending_steps(text) is 'What a runner does when the statement of a job has run: a part of pgqueue._job_steps and of what _make_result_runner makes. is_deferring: the condition under which a trigger may have deferred further work';

create or replace function pgqueue._job_steps(job_id text, is_deferring text)
  returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select pgqueue._setting_steps(job_id) || replace($steps$
    -- Comments name the steps for pgqueue._runner_step.
    if job.params is null then
      -- step: run
      -- The server says with each notice which statement raised it. The number of the job in that text tells the worker which job it was.
      execute pg_catalog.concat(job.sql, E'\n-- pgqueue job ', <job_id>);
      get diagnostics row_count = row_count;
    else
      -- It is prepared, so that the server determines the types of the parameters.
      -- step: prepare
      execute pg_catalog.concat('prepare pgqueue_job(', pg_catalog.rtrim(pg_catalog.repeat('unknown,', pg_catalog.cardinality(job.params)), ','), ') as ', job.sql);
      -- step: run
      execute pg_catalog.concat('execute pgqueue_job(',
        (select pg_catalog.string_agg(pg_catalog.quote_nullable(p.value), ',' order by p.n) from pg_catalog.unnest(job.params) with ordinality p (value, n)), E')\n-- pgqueue job ', <job_id>);
    end if;
$steps$, '<job_id>', job_id) || pgqueue._ending_steps(is_deferring) || $steps$
    -- step: close
    execute 'close all';
$steps$
$$;
comment on function pgqueue._job_steps(text, text) is 'What a runner does to run one job: a part of the bodies that _make_runner and _make_group_runner make. job_id: the expression for the number of the job; its other values are in the variable job; is_deferring: as in pgqueue._ending_steps';

create or replace function pgqueue._make_runner(role oid)
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
    create function pgqueue_take.take_%1$s(id bigint, token bigint, out sql text, out params text[], out settings jsonb, out has_dependants boolean)
      language plpgsql volatile security definer
      set search_path = pg_catalog, pg_temp
      -- A plan that was made while the table of dependants was empty would read all of it later. And the first five plans of a session
      -- would be made for their parameters alone: each role has a function of its own, so that is a millisecond for each.
      set enable_seqscan = off
      set plan_cache_mode = force_generic_plan
    as $take$
    declare
      expires_at timestamptz;
    begin
      -- The lock shows which session runs the job: the transaction that holds it (pgqueue._runs). So it is not taken in a
      -- subtransaction. A canceling session locks the row for a moment, too, so that its signal reaches no job that begins (pgqueue._stop_run).
      -- Earlier statements of this transaction may have triggers that wait for the commit. They would run within the job, before
      -- PostgreSQL 18 as its submitter. A transaction that has written something has a transaction id, so it finds no job.
      select q.sql, q.params, q.settings, q.expires_at into sql, params, settings, expires_at
      from pgqueue.message q
      where q.id = case when pg_current_xact_id_if_assigned() is null then take_%1$s.id end and q.token = take_%1$s.token and q.kind = 'job' and q.submitter = '%1$s'
      for update;
      -- One query for what most jobs have in common, because each is prepared again in each transaction. It sees what those have committed
      -- who had the row before. A session that waits for the job waits for the advisory lock (pgqueue._wait_for_run); others hold it only for
      -- a moment, to see whether the job runs.
      if found and not exists (select from pgqueue.request r where r.id = take_%1$s.id and r.kind = 'cancel')
        and not exists (select from pgqueue.dependency d where d.parent = take_%1$s.id) and current_setting('transaction_isolation') like 'read %%'
        and coalesce(expires_at > clock_timestamp(), true) and pg_advisory_xact_lock(pgqueue._run_key_of(id, token)) is not null
      then
        return;
      end if;
      has_dependants := pgqueue._begin_other(id, token, sql is not null, expires_at);
      sql := case when has_dependants then sql end;
    end
    $take$
  $body$, role);
  execute format($body$
    create function pgqueue_run.job_%1$s(id bigint, token bigint)
      returns text
      language plpgsql volatile security definer
    as $run$
    declare
      job record;
      row_count bigint := -1;
      is_set boolean;
    begin
      -- step: take
      job := pgqueue_take.take_%1$s(id, token);
      -- step: begin
      -- A program with the executors' login can prepare the session in which this is called. Objects there must not be taken for
      -- those that the job names, and its settings must not change how the job's quotes are read.
      if job.sql is null or pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0::pg_catalog.oid then
        if job.sql is null then
          return null;
        end if;
        discard temp;
      end if;
      deallocate all;
      %2$s
      -- The end of the job needs these: the rows, whether to wait for the disk, whether other jobs wait for it, and for how long a job that has
      -- called pgqueue.snooze is put off. One expression reads it all, because each one is prepared again in each transaction.
      return pg_catalog.concat(row_count, ' ', pg_catalog.current_setting('synchronous_commit'), ' ', job.has_dependants,
                               pg_catalog.current_setting('pgqueue.snooze_ms', true), pg_catalog.pg_advisory_unlock_all());
    end
    $run$
  $body$, role, pgqueue._job_steps('id', 'true'));
  execute format($body$
    create procedure pgqueue_run.jobs_%1$s(ids bigint[], tokens bigint[], worker text, is_new_role boolean default false)
      language plpgsql
    as $run$
    declare
      note text;
      done text;
    begin
      if is_new_role then
        %2$s
      end if;
      done := pgqueue_run.check_runner(%1$s);
      done := pgqueue_run.pass_gate();
      commit;
      for n in 1 .. pg_catalog.cardinality(ids) loop
        note := pgqueue_run.job_%1$s(ids[n], tokens[n]);
        -- The settings return to those with which the session was opened: first the search_path, which the job may have set.
        reset all;
        discard sequences;
        unlisten *;
        done := pgqueue_run.finish_job(ids[n], tokens[n], note, worker);
        commit;
      end loop;
      deallocate all;
      -- So a cancel of the last job does not hit the next statement of the session.
      done := pgqueue_run.pass_gate();
      commit;
    end
    $run$
  $body$, role, pgqueue._new_role_steps());
  perform pgqueue._make_group_runner(role);
  perform pgqueue._make_result_runner(role);
  -- Only the role itself can take its jobs, and only with the token: a runner that comes to belong to another role runs nothing.
  execute format('revoke all on function pgqueue_take.take_%1$s, pgqueue_run.job_%1$s from public', role);
  execute format('revoke all on procedure pgqueue_run.jobs_%1$s from public', role);
  execute format('grant execute on function pgqueue_take.take_%s to %s', role, role::regrole);
  execute format('grant execute on function pgqueue_run.job_%s to %I', role, pgqueue._executor_name());
  execute format('grant execute on procedure pgqueue_run.jobs_%s to %I', role, pgqueue._executor_name());
  -- To give the runner to the role, the owner must be able to become the role, and the role to create functions here: both for a
  -- moment. The role may not use the schema, so it cannot name its function to alter it.
  if not is_ours then
    execute format('grant %s to %I', role::regrole, current_user);
  end if;
  execute format('grant create on schema pgqueue_run to %s', role::regrole);
  execute format('alter function pgqueue_run.job_%s owner to %s', role, role::regrole);
  execute format('alter function pgqueue_run.group_%s owner to %s', role, role::regrole);
  execute format('alter function pgqueue_run.result_%s owner to %s', role, role::regrole);
  execute format('revoke create on schema pgqueue_run from %s', role::regrole);
  if not is_ours then
    execute format('revoke %s from %I', role::regrole, current_user);
  end if;
  update pgqueue.role_key k
  set runner = p.oid, runner_xid = p.xmin, group_runner = format('pgqueue_run.group_%s(bigint[], bigint[])', _make_runner.role)::regprocedure,
      result_runner = format('pgqueue_run.result_%s(bigint, bigint, text)', _make_runner.role)::regprocedure
  from pg_proc p
  where k.role = _make_runner.role and p.oid = format('pgqueue_run.job_%s(bigint, bigint)', _make_runner.role)::regprocedure;
end
$make$;
comment on function pgqueue._make_runner(oid) is 'Creates the runner of a role, if this role may give a function to it (otherwise 42501)';

create or replace function pgqueue._is_intact(runner oid, runner_xid xid, role oid)
  returns boolean
  language sql stable
begin atomic
  -- Every change of a function, its body included, makes another version of its row.
  select coalesce((select p.xmin = runner_xid and p.proowner = role and p.prosecdef and p.proconfig is null from pg_catalog.pg_proc p where p.oid = runner), false);
end;
comment on function pgqueue._is_intact(oid, xid, oid) is 'Whether the runner of a role is the one that pgqueue._make_runner made';

create or replace function pgqueue._refuse_runner(role oid)
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'the runner of role % is not as pgqueue made it', role::regrole
    using errcode = 'PQ006', hint = format('Enroll the role again: select pgqueue.enroll(%L)', role::regrole);
end
$$;
comment on function pgqueue._refuse_runner(oid) is 'Raises PQ006: what runs the jobs of a role was changed since it was enrolled';

create or replace function pgqueue_run.check_runner(role oid)
  returns void
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pgqueue.role_key k where k.role = check_runner.role and pgqueue._is_intact(k.runner, k.runner_xid, k.role)) then
    perform pgqueue._refuse_runner(role);
  end if;
end
$$;
comment on function pgqueue_run.check_runner(oid) is 'Raises PQ006 if the runner of a role was changed since it was enrolled';

create or replace function pgqueue._changed_runners()
  returns setof text
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select pg_get_userbyid(k.role) from pgqueue.role_key k
  where k.runner is not null and not (pgqueue._is_intact(k.runner, k.runner_xid, k.role) and pgqueue._is_intact(k.group_runner, k.runner_xid, k.role)
                                     and pgqueue._is_intact(k.result_runner, k.runner_xid, k.role))
  order by 1
$$;
comment on function pgqueue._changed_runners() is
  'The roles whose runner was changed or dropped since they were enrolled: their jobs run at the top level until they are enrolled again';
grant execute on function pgqueue._changed_runners() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
