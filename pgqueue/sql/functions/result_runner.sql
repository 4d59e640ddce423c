-- Results in a session of the executors' login: the runner of a job that keeps its result, and the functions that store it.
--
-- The worker opens a transaction, calls the runner of the submitter, asks the server what the columns of its cursor are, calls the
-- runner again to close it, and stores the result. Values become text inside the runner: what the text of a value depends on (a
-- search_path, the rights in the schemas that it names) is that of the job.

create or replace function pgqueue._make_result_runner(role oid)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $make$
begin
  execute format($body$
    create function pgqueue_run.result_%1$s(id bigint, token bigint, form text)
      returns setof text
      language plpgsql volatile security definer
    as $run$
    declare
      job pg_catalog.record;
      answer pg_catalog.record;
      place pg_catalog.refcursor := 'pgqueue_result';
      opened pg_catalog.text;
      line pg_catalog.text;
      row_count bigint := 0;
      is_set boolean;
      ignored pg_catalog.text;
    begin
      if id is null then
        -- The columns are known. Cursors that the job has left are closed as its role. The settings return to those with which the
        -- session was opened: first the search_path, which the job may have set.
        reset all;
        execute 'close all';
        discard sequences;
        deallocate all;
        unlisten *;
        ignored := pg_catalog.pg_advisory_unlock_all();
        return;
      end if;
      -- As in pgqueue_run.job_%1$s: triggers that the session has left for the commit would fire in here.
      if pg_catalog.pg_current_xact_id_if_assigned() is not null then
        raise exception 'a job is the first of its transaction' using errcode = '25000';
      end if;
      job := pgqueue_take.take_%1$s(id, token);
      if job.sql is null then
        return;
      end if;
      -- A thief of the executors' login can prepare the session that this is called in.
      discard temp;
      deallocate all;
      %2$s
      -- step: run
      if form operator(pg_catalog.=) 'nothing' then
        execute job.sql;
        get diagnostics row_count = row_count;
      else
        if form operator(pg_catalog.=) 'utility' then
          opened := job.sql;
        elsif job.params is null then
          -- step: prepare
          execute pg_catalog.concat('prepare pgqueue_job as ', job.sql);
          opened := 'execute pgqueue_job';
        else
          -- The server determines the types of the parameters.
          -- step: prepare
          execute pg_catalog.concat('prepare pgqueue_job(', pg_catalog.rtrim(pg_catalog.repeat('unknown,', pg_catalog.cardinality(job.params)), ','), ') as ', job.sql);
          opened := pg_catalog.concat('execute pgqueue_job(',
            (select pg_catalog.string_agg(pg_catalog.quote_nullable(p.value), ',' order by p.n) from pg_catalog.unnest(job.params) with ordinality p (value, n)), ')');
        end if;
        -- The cursor is of a utility statement, so the first FETCH runs it to its end and keeps the rows: it leaves no plan that
        -- could go on later, as another role.
        -- step: run
        open place for execute opened;
        loop
          fetch place into answer;
          exit when not found;
          row_count := row_count operator(pg_catalog.+) 1;
          -- This is what the server sends for each value, with the quotes of a record.
          line := answer::pg_catalog.text;
          if line operator(pg_catalog.=) '()' and pg_catalog.row_to_json(answer)::pg_catalog.text operator(pg_catalog.=) '{}' then
            line := '[]';
          end if;
          return next line;
        end loop;
      end if;
      %3$s
      -- No code of the job runs after this. The worker asks for the columns of the cursor, for which the server reads the statement that
      -- the cursor executes, and analyzes it again if something has changed. That would be outside of this function, so it must find one
      -- that names nothing; and a deferred trigger may have put another cursor in the place of this one.
      -- step: cursor
      deallocate all;
      if opened is not null then
        execute 'prepare pgqueue_job as select';
        if (select c.statement operator(pg_catalog.=) opened from pg_catalog.pg_cursor() c where c.name operator(pg_catalog.=) 'pgqueue_result') is not true then
          raise exception 'a trigger of the job has closed the cursor of its result' using errcode = '34000';
        end if;
      end if;
      ignored := pg_catalog.set_config('client_encoding', 'UTF8', true);
      return next pg_catalog.json_build_object(
        'row_count', row_count, 'snooze_ms', pg_catalog.substring(pg_catalog.current_setting('pgqueue.snooze_ms', true), '^[0-9]{1,12}$'), 'synchronous_commit', pg_catalog.current_setting('synchronous_commit'), 'output_settings', pg_catalog.json_build_object(
          'DateStyle', pg_catalog.current_setting('DateStyle'), 'IntervalStyle', pg_catalog.current_setting('IntervalStyle'), 'TimeZone', pg_catalog.current_setting('TimeZone')))::pg_catalog.text;
    end
    $run$
  $body$, role, pgqueue._setting_steps('id'), pgqueue._ending_steps('true'));
  execute format('revoke all on function pgqueue_run.result_%s from public', role);
  execute format('grant execute on function pgqueue_run.result_%s to %I', role, pgqueue._executor_name());
end
$make$;
comment on function pgqueue._make_result_runner(oid) is 'Part of pgqueue._make_runner: what runs a job of a role and returns its rows. The caller hands the function over to the role';

create or replace function pgqueue_run.check_result(role oid)
  returns void
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pgqueue.role_key k where k.role = check_result.role and pgqueue._is_intact(k.result_runner, k.runner_xid, k.role)) then
    perform pgqueue._refuse_runner(role);
  end if;
end
$$;
comment on function pgqueue_run.check_result(oid) is 'Raises PQ006 if what runs jobs of a role that keep their results was changed since it was enrolled';

create or replace function pgqueue_run.append_rows(id bigint, token bigint, seq int, rows jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pgqueue.message q where q.id = append_rows.id and q.token = append_rows.token) then
    perform pgqueue._claim_lost(id);
  end if;
  perform pgqueue._append_rows(id, seq, rows);
end
$$;
comment on function pgqueue_run.append_rows(bigint, bigint, int, jsonb) is 'pgqueue._append_result for a session of the executors'' login';

create or replace function pgqueue_run.finish_result(id bigint, token bigint, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb,
                                                     notices jsonb, is_async boolean, snooze_ms bigint)
  returns pgqueue.ending
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
begin
  if is_async then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  if snooze_ms is not null then
    perform pgqueue._put_off(id, token, snooze_ms);
    perform pgqueue._refuse_canceled(id);
    return 'snoozed';
  end if;
  delete from pgqueue.message q where q.id = finish_result.id and q.token = finish_result.token returning * into m;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  if notices is not null then
    perform pgqueue._put_notices(m, notices);
  end if;
  perform pgqueue._put_result(m, command_tags, row_count, columns, rows, output_settings);
  perform pgqueue._refuse_canceled(m.id);
  return 'succeeded';
end
$$;
comment on function pgqueue_run.finish_result(bigint, bigint, text[], bigint, jsonb, jsonb, jsonb, jsonb, boolean, bigint) is
  'Last in the transaction of a job that keeps its result, in a session of the executors'' login: its effects, its result and its removal commit together. is_async: the commit does not wait for the disk. snooze_ms: the job has called pgqueue.snooze, so it is delayed instead';

create or replace function pgqueue_run.fail_result(id bigint, token bigint, error jsonb, run_s float8, notices jsonb)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
begin
  select * into m from pgqueue.message q where q.id = fail_result.id and q.token = fail_result.token;
  if notices is not null and found then
    perform pgqueue._put_notices(m, notices);
  end if;
  if run_s is not null then
    perform pgqueue._note_run(id, token, pg_backend_pid(), run_s);
  end if;
  return pgqueue._fail_any_job(id, token, error);
end
$$;
comment on function pgqueue_run.fail_result(bigint, bigint, jsonb, float8, jsonb) is
  'pgqueue._fail_any_job for a session of the executors'' login, after the rollback. run_s: how long the job ran; NULL: it did not begin';

create or replace function pgqueue._roles_without_runner()
  returns setof text
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select r.rolname::text from pgqueue.role_key k join pg_roles r on r.oid = k.role where k.result_runner is null order by 1
$$;
comment on function pgqueue._roles_without_runner() is 'The enrolled roles whose jobs run only where a worker can log in as them: the owner of pgqueue may not give them a function';
grant execute on function pgqueue._roles_without_runner() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
