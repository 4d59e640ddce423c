-- Several jobs in one transaction, where a queue is configured so (group_commit): the runner of a group, and its end.
--
-- A group only ever succeeds. Of a job that fails nothing but its own subtransaction is undone, and it runs again by itself, as it would
-- without groups: that run decides. An error that no single job has caused ends the group, whose jobs then all run by themselves.

create or replace function pgqueue._make_group_runner(role oid)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $make$
begin
  execute format($body$
    create function pgqueue_take.takes_%1$s(ids bigint[], tokens bigint[])
      returns pgqueue_take.job[]
      language plpgsql volatile security definer
      set search_path = pg_catalog, pg_temp
      set plan_cache_mode = force_generic_plan
      set enable_seqscan = off
      set enable_hashjoin = off
      set enable_mergejoin = off
    as $take$
    declare
      jobs pgqueue_take.job[];
    begin
      -- All at once, and in no subtransaction: the locks say which transaction runs them, and a group is canceled as a whole. A session
      -- that waits for one of the jobs waits for its advisory lock (pgqueue._wait_for_run).
      select array_agg(row(t.place, t.id, t.token, case when t.is_due then t.sql end, t.params, t.settings)::pgqueue_take.job order by t.place)
             filter (where pg_advisory_xact_lock(pgqueue._run_key_of(t.id, t.token)) is not null) into jobs
      from (
        select c.place, q.id, q.token, q.sql, q.params, q.settings, coalesce(q.expires_at > clock_timestamp(), true) as is_due
        from unnest(ids, tokens) with ordinality c (id, token, place)
        join pgqueue.message q on q.id = c.id and q.token = c.token
        where q.kind = 'job' and q.submitter = '%1$s'
        for update of q
      ) t;
      if exists (select from pgqueue.request r where r.id = any (ids) and r.kind = 'cancel') then
        -- It ends where it runs by itself, and so does what has expired.
        jobs := array(select row(j.place, j.id, j.token, case when not exists (select from pgqueue.request r where r.id = j.id and r.kind = 'cancel') then j.sql end,
                                 j.params, j.settings)::pgqueue_take.job from unnest(jobs) j order by j.place);
      end if;
      return coalesce(jobs, '{}');
    end
    $take$
  $body$, role);
  execute format($body$
    create function pgqueue_run.group_%1$s(ids bigint[], tokens bigint[], out done_ids bigint[], out done_tokens bigint[], out row_counts bigint[],
                                           out begun_at timestamptz[], out ended_at timestamptz[], out alone bigint[], out tried int, out is_async boolean)
      language plpgsql volatile security definer
    as $run$
    declare
      jobs pgqueue_take.job[];
      job pgqueue_take.job;
      row_count bigint;
      is_set boolean;
      is_off boolean;
      has_run boolean;
      is_cut boolean := false;
      are_deferred boolean;
      are_immediate boolean;
      ignored pg_catalog.text;
      raised_at pg_catalog.text;
      done int := 0;
      failed int := 0;
      now_at timestamp with time zone;
      ends_at timestamp with time zone;
    begin
      -- As in pgqueue_run.job_%1$s: triggers that the session has left for the commit would fire in here. From here on only code of one
      -- role runs, and each job leaves nothing that waits.
      if pg_catalog.pg_current_xact_id_if_assigned() is not null then
        raise exception 'a group of jobs is the first of its transaction' using errcode = '25000', hint = 'Call the procedure pgqueue_run.groups_%1$s.';
      end if;
      done_ids := '{}';
      done_tokens := '{}';
      row_counts := '{}';
      begun_at := '{}';
      ended_at := '{}';
      alone := '{}';
      tried := 0;
      is_async := true;
      -- SET CONSTRAINTS holds for the rest of a transaction, and nothing sets them back to what each was declared. With one kind only, it can be
      -- said what they were; with both, the next job would find some of them otherwise: then there is no group.
      -- Each has a trigger, and there are fewer triggers than constraints to read.
      select pg_catalog.bool_or(t.tginitdeferred), pg_catalog.bool_or(not t.tginitdeferred) into are_deferred, are_immediate
      from pg_catalog.pg_trigger t
      where t.tgdeferrable
        and (select c.relnamespace from pg_catalog.pg_class c where c.oid operator(pg_catalog.=) t.tgrelid) operator(pg_catalog.<>) 'pgqueue'::pg_catalog.regnamespace;
      if are_deferred and are_immediate then
        return;
      end if;
      -- Where there are none, no trigger can defer further work, so a job needs no block for that. The end of the group looks again.
      -- A thief of the executors' login can prepare the session that this is called in.
      discard temp;
      deallocate all;
      jobs := pgqueue_take.takes_%1$s(ids, tokens);
      now_at := pg_catalog.clock_timestamp();
      ends_at := now_at operator(pg_catalog.+) interval '20 ms';
      -- Over an array and not over a query, whose cursor CLOSE ALL would close.
      foreach job in array jobs loop
        is_cut := now_at operator(pg_catalog.>) ends_at;
        exit when is_cut;
        tried := job.place;
        has_run := false;
        row_count := -1;
        if job.sql is null then
          failed := failed operator(pg_catalog.+) 1;
          alone[failed] := job.id;
          continue;
        end if;
        begin
          %2$s
          if pg_catalog.current_setting('pgqueue.snooze_ms', true) operator(pg_catalog.<>) '' then
            raise exception 'a job that is put off runs by itself' using errcode = 'PQ008';  -- That is undone here and done there.
          end if;
          is_off := pg_catalog.current_setting('synchronous_commit') operator(pg_catalog.=) 'off';
          -- As the next job is to find them. Nothing waits, so nothing fires. Where there are none, nothing is to be set.
          if are_deferred then
            set constraints all deferred;
          elsif are_immediate then
            set constraints all immediate;
          end if;
          has_run := true;
        exception when assert_failure or others then
          -- Conflicts between transactions, too few resources, an operator: not one job's doing. Nor is a cancel, which is not caught here.
          -- A job may raise such an error itself: then the innermost line of its context says so, in every language.
          get stacked diagnostics raised_at = pg_exception_context;
          if pg_catalog.left(sqlstate, 2) operator(pg_catalog.=) any (array['40', '53', '57', '58', 'XX'])
            and pg_catalog.split_part(raised_at, E'\n', 1) operator(pg_catalog.!~) E'\\mRAISE\\M'
          then
            raise;
          end if;
        end;
        -- To what the session was opened with, also after an error: no subtransaction takes back locks, prepared statements and the like.
        reset all;
        discard sequences;
        deallocate all;
        unlisten *;
        ignored := pg_catalog.pg_advisory_unlock_all();
        if has_run then
          done := done operator(pg_catalog.+) 1;
          done_ids[done] := job.id;
          done_tokens[done] := job.token;
          row_counts[done] := row_count;
          begun_at[done] := now_at;
          now_at := pg_catalog.clock_timestamp();
          ended_at[done] := now_at;
          is_async := is_async and is_off;
        else
          failed := failed operator(pg_catalog.+) 1;
          alone[failed] := job.id;
          now_at := pg_catalog.clock_timestamp();
        end if;
      end loop;
      -- A trigger that waits for the commit would run as the executors' login. It is still there, because no trigger that has something to do
      -- can be dropped.
      if are_deferred is null and exists (
        select from pg_catalog.pg_trigger t
        where t.tgdeferrable
          and (select c.relnamespace from pg_catalog.pg_class c where c.oid operator(pg_catalog.=) t.tgrelid) operator(pg_catalog.<>) 'pgqueue'::pg_catalog.regnamespace)
      then
        raise exception 'something became deferrable while a group of jobs ran' using errcode = '40001';
      end if;
      if not is_cut then
        tried := pg_catalog.cardinality(ids);
      end if;
    end
    $run$
  $body$, role, pgqueue._job_steps('job.id', 'are_deferred is not null'));
  execute format($body$
    create procedure pgqueue_run.groups_%1$s(ids bigint[], tokens bigint[], worker text, inout alone bigint[], inout tried int, is_new_role boolean default false)
      language plpgsql
    as $run$
    declare
      ran record;
      done text;
    begin
      if is_new_role then
        %2$s
        -- After an error this takes a signal that was meant for an earlier call. Other calls have passed it at their ends.
        done := pgqueue_run.pass_gate();
        commit;
      end if;
      done := pgqueue_run.check_group(%1$s);
      ran := pgqueue_run.group_%1$s(ids, tokens);
      if pg_catalog.cardinality(ran.done_ids) operator(pg_catalog.>) 0 then
        -- Only if no job of the group waits for the disk does the group not wait.
        if ran.is_async then
          done := pg_catalog.set_config('synchronous_commit', 'off', true);
        end if;
        done := pgqueue_run.finish_group(ran.done_ids, ran.done_tokens, ran.row_counts, ran.begun_at, ran.ended_at, worker);
      end if;
      alone := ran.alone;
      tried := ran.tried;
      commit;
      done := pgqueue_run.pass_gate();
      commit;
    end
    $run$
  $body$, role, pgqueue._new_role_steps());
  execute format('revoke all on function pgqueue_take.takes_%1$s, pgqueue_run.group_%1$s from public', role);
  execute format('revoke all on procedure pgqueue_run.groups_%1$s from public', role);
  execute format('grant execute on function pgqueue_take.takes_%s to %s', role, role::regrole);
  execute format('grant execute on function pgqueue_run.group_%s to %I', role, pgqueue._executor_name());
  execute format('grant execute on procedure pgqueue_run.groups_%s to %I', role, pgqueue._executor_name());
end
$make$;
comment on function pgqueue._make_group_runner(oid) is 'Part of pgqueue._make_runner: what runs several jobs of a role in one transaction. The caller hands the function over to the role';

create or replace function pgqueue_run.check_group(role oid)
  returns void
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pgqueue.role_key k where k.role = check_group.role and pgqueue._is_intact(k.group_runner, k.runner_xid, k.role)) then
    perform pgqueue._refuse_runner(role);
  end if;
end
$$;
comment on function pgqueue_run.check_group(oid) is 'Raises PQ006 if what runs groups of jobs of a role was changed since it was enrolled';

create or replace function pgqueue_run.finish_group(ids bigint[], tokens bigint[], row_counts bigint[], begun_at timestamptz[], ended_at timestamptz[], worker text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  -- By index, row by row, whatever the statistics say; planned once in a session.
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  count int;
  is_overdue boolean;
  has_dependants boolean;
  is_canceled boolean;
begin
  -- The monitor cancels what takes this long, and a job may catch that: such a group must not commit.
  if clock_timestamp() - transaction_timestamp() > interval '500 ms' then
    raise exception 'a group of jobs took longer than 500 ms' using errcode = '57014';
  end if;
  -- One statement for all of it, and one for the checks after it: to start one takes as long as to end some jobs.
  with said as materialized (
    delete from pgqueue.activity a where a.id = any (finish_group.ids) returning a.id, a.token, a.progress_pct, a.progress_msg
  ), gone as (
    delete from pgqueue.message q
    using unnest(finish_group.ids, finish_group.tokens, finish_group.row_counts, finish_group.begun_at, finish_group.ended_at) d (id, token, row_count, begun_at, ended_at)
    where q.id = d.id and q.token = d.token
    returning q.id, q.token, q.cookie, q.session_id, q.launched_at, q.due_at, q.submitter, q.kept, q.priority, q.attempts, q.max_attempts, q.queue, q.sql, q.label,
              q.retried_from, q.snoozes, d.row_count, d.begun_at, d.ended_at,
              case when d.ended_at - d.begun_at > interval '2 ms'
                   then d.ended_at - d.begun_at > pgqueue._time_allowed(coalesce(q.timeout, q.queue_timeout), q.settings) end as is_overdue
  ), kept as (
    insert into pgqueue.history (id, cookie, session_id, launched_at, eta, started_at, ended_at, submitter, state, kept, backend_pid, row_count, priority,
                                 attempts, max_attempts, queue, sql, label, progress_pct, progress_msg, worker, retried_from, snoozes)
    select m.id, m.cookie, m.session_id, m.launched_at, m.due_at, m.begun_at, m.ended_at, m.submitter, 'succeeded', m.kept, pg_backend_pid(), nullif(m.row_count, -1),
           m.priority, m.attempts + 1, m.max_attempts, m.queue, m.sql, m.label, s.progress_pct, s.progress_msg, finish_group.worker, m.retried_from, m.snoozes
    from gone m
    left join said s on s.id = m.id and s.token = m.token
  )
  select count(*), bool_or(g.is_overdue) into count, is_overdue from gone g;
  if is_overdue then
    raise exception 'canceling statement due to statement timeout' using errcode = '57014';
  elsif count <> cardinality(ids) then
    -- Those that are no longer ours end where they run by themselves: there nothing is found.
    raise exception 'the claim of a job of a group was lost' using errcode = 'PQ002';
  end if;
  -- Last, when the history is written: as at the end of one job.
  select exists (select from pgqueue.dependency d where d.parent = any (finish_group.ids)) or current_setting('transaction_isolation') not like 'read %',
         exists (select from pgqueue.request r where r.id = any (finish_group.ids) and r.kind = 'cancel')
  into has_dependants, is_canceled;
  if is_canceled then
    raise exception 'canceling statement due to user request' using errcode = '57014';
  elsif has_dependants then
    perform pgqueue._settle_dependants(ids, true);
  end if;
end
$$;
comment on function pgqueue_run.finish_group(bigint[], bigint[], bigint[], timestamptz[], timestamptz[], text) is
  'Last in the transaction of a group: the effects of its jobs and their removal commit together. Raises if one of them may not commit: then each runs by itself. row_count -1: not known';
