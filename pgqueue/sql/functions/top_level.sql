-- Which errors move a job from a session of the executors' login to the top level, where it runs once more.
--
-- A job may raise any SQLSTATE with any message. It chooses neither the step of its runner at which the error was raised, which the last
-- lines of the context tell, nor the routine of the server that the protocol names. These decide.

create or replace function pgqueue._runner_step(error jsonb)
  returns text
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- The last line that names the runner is the runner's own: outside of it only code of pgqueue runs. Each language of messages has the
  -- number of the line in another place.
  frame text[] := regexp_match(error ->> 'context', E'^(?:.*\\n)?([^\\n]*)pgqueue_run[.]((?:job|result)_[0-9]+)[(][^)\\n]*[)]([^\\n]*)');
  line int := substring(frame[1] || frame[3] from '[0-9]+');
begin
  return (
    select coalesce(substring(s.text from '-- step: (.*)'), 'begin')
    from pg_proc p, regexp_split_to_table(p.prosrc, E'\\n') with ordinality s (text, n)
    where p.pronamespace = 'pgqueue_run'::regnamespace and p.proname = frame[2] and s.n <= line and (s.n = 1 or s.text ~ '-- step: ')
    order by s.n desc
    limit 1);
end
$$;
comment on function pgqueue._runner_step(jsonb) is
  'The step of the runner at which an error was raised, as the comments in its source name them; NULL: outside of the runner, where no code of a job runs';

create or replace function pgqueue._is_raised_in_run(error jsonb)
  returns boolean
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select error ->> 'context' ~ E'pgqueue_run[.](job_[0-9]+|finish_job)[(]'
$$;
comment on function pgqueue._is_raised_in_run(jsonb) is 'Whether an error came of a job, or of its end; NULL or false: of the call that was to run it';

create or replace function pgqueue._needs_top_level(error jsonb, sql text)
  returns boolean
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  code constant text := error ->> 'sqlstate';
  message constant text := error ->> 'message';
  routine constant text := coalesce(error ->> 'routine', '');
  step constant text := pgqueue._runner_step(error);
  -- The context inside the runner: functions that the job has called, from the inside out, a line each. The last line is its own
  -- statement, here without the text and the comment of the runner, which may have several lines.
  inner_context constant text := regexp_replace(
    replace(substring(error ->> 'context' from E'^((?:.*\\n)?)[^\\n]*pgqueue_run[.](?:job|result)_[0-9]+[(]'), sql, ''), E'\\n-- pgqueue job [0-9]+', '');
  -- That statement raised it, and no function or block that it has called.
  is_direct constant boolean := inner_context !~ E'\\n.*\\n';
begin
  return case
    when step is null then
      case code
        -- The runner was dropped, or made for another login, or changed.
        when '42501' then message ~ E'\\m(jobs?|result)_[0-9]+\\M|\\mcheck_(runner|result)\\M|\\mpgqueue_run\\M'
        when '42883' then message ~ E'\\mpgqueue_run[.]'
        when 'PQ006' then true
        -- The job has made its transaction read-only, so its end cannot be written.
        when '25006' then error ->> 'context' ~ 'pgqueue_run[.](finish_job|finish_result|append_rows)[(]'
        else false end
    -- It is not a statement that can be prepared, or has a parameter that it does not name. Nothing of it has run.
    when step = 'prepare' then code in ('42601', '42P18')
    -- A trigger that deferred work has deferred more.
    when step = 'defer again' then code = '25006' and (routine = 'PreventCommandIfReadOnly' or inner_context = '')
    when step = 'discard' then code = '55006' and routine = 'CheckTableNotInUse'
    when step = 'cursor' then code = '34000' and inner_context = ''
    when step <> 'run' then false
    else
      case code
        -- VACUUM and the like; SET TRANSACTION. A statement may add a line of its own, as REINDEX does that names a partitioned table.
        when '25001' then inner_context !~ E'\\n.*\\n.*\\n' and routine ~ '^(PreventInTransactionBlock|call_(bool|enum|string)_check_hook|ImportSnapshot|SetTransactionSnapshot)$'
        -- A CALL or DO that commits. A query cannot commit anywhere.
        when '2D000' then routine ~ '^_?SPI_(commit|rollback)'
          and sql !~* E'^(\\s|--[^\\n]*\\n|/[*]([^*]|[*][^/])*[*]/)*(select|with|values|table|insert|update|delete|merge)\\M'
        -- Transaction control, COPY: the top level refuses them before anything runs, with a better message.
        when '0A000' then is_direct and routine = 'exec_stmt_dynexecute'
        -- SET ROLE: the login of the submitter may.
        when '42501' then routine ~ '^set_config_' and message ~ '"(role|session_authorization)"'
        -- A rule has made a statement of another kind of it.
        when '42P11' then is_direct and routine = 'SPI_cursor_open_internal'
        else false end
    end;
end
$$;
comment on function pgqueue._needs_top_level(jsonb, text) is
  'Whether an error says that a statement cannot run inside a function. The error has its whole context, and in routine the function of the server that raised it';
grant execute on function pgqueue._needs_top_level(jsonb, text) to pgqueue_worker;
