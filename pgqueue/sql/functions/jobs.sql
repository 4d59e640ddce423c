-- after: progress
-- The readable data about jobs: the view, their statements, and the data for monitors.

create or replace function pgqueue._command_tag(sql text, row_count bigint)
  returns text
  language sql immutable
begin atomic
  -- In the batch lane the server reports the number of rows, but not the tag. The first word after comments tells the tag for
  -- these statements.
  select case lower(w.word)
    when 'select' then 'SELECT ' || row_count
    when 'insert' then 'INSERT 0 ' || row_count
    when 'update' then 'UPDATE ' || row_count
    when 'delete' then 'DELETE ' || row_count
    when 'merge' then 'MERGE ' || row_count
    when 'refresh' then 'REFRESH MATERIALIZED VIEW'
    when 'truncate' then 'TRUNCATE TABLE'
    when 'notify' then 'NOTIFY'
    when 'call' then 'CALL'
    when 'do' then 'DO' end
  from (select substring(sql from E'^(?:\\s|--[^\n]*\n|/[*].*?[*]/)*([A-Za-z]+)')) w (word)
  where row_count is not null and strpos(rtrim(sql, E'; \t\r\n'), ';') = 0;
end;
comment on function pgqueue._command_tag(text, bigint) is
  'The command tag of a statement that the batch lane has run; NULL if its text does not show it clearly';
grant execute on function pgqueue._command_tag(text, bigint) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace view pgqueue.jobs with (security_barrier) as
  select j.id, j.state, j.queue, j.priority::int as priority, j.label,
         case when pg_has_role(j.submitter, 'member') then pgqueue._cut(j.sql, 120) end as statement,
         pg_get_userbyid(j.submitter) as submitter, j.launched_at, j.eta, j.started_at, j.ended_at,
         (extract(epoch from coalesce(j.ended_at, case when j.state = 'running' then clock_timestamp() end) - j.started_at) * 1000)::float8 as duration_ms,
         j.attempts::int as attempts, j.max_attempts::int as max_attempts, j.worker, j.backend_pid, j.progress_pct,
         -- A job's messages, including its errors, may contain statements, rows and values. The reason why a job that has not
         -- begun waits comes from pgqueue.
         case when pg_has_role(j.submitter, 'member') then j.progress_msg end as progress_msg,
         j.row_count as rows, coalesce(j.command_tags[cardinality(j.command_tags)], pgqueue._command_tag(j.sql, j.row_count)) as command_tag,
         j.error ->> 'sqlstate' as sqlstate,
         case when pg_has_role(j.submitter, 'member') or j.state = 'queued' and j.error ? 'deferrals' then j.error ->> 'message' end as error,
         case when pg_has_role(j.submitter, 'member') then j.error ->> 'detail' end as error_detail,
         case when pg_has_role(j.submitter, 'member') then j.error ->> 'hint' end as error_hint,
         case when pg_has_role(j.submitter, 'member') then j.error ->> 'context' end as error_context,
         -- A caller that has lost the cookie, and may use it, gets it again.
         case when pg_has_role(j.submitter, 'member') then row(j.id, j.cookie)::pgqueue.handle end as handle,
         j.retried_from, j.parents, coalesce(j.snoozes, 0)::int as snoozes
  from (
    select m.id, m.cookie, case when a.id is not null then 'running' when m.state = 'waiting' then 'waiting' else 'queued' end::pgqueue.job_state as state, m.queue, m.priority, m.label, m.sql,
           m.submitter, m.launched_at, m.due_at as eta, a.started_at, null::timestamptz as ended_at, m.attempts + (a.id is not null)::int as attempts,
           m.max_attempts, (select w.name from pgqueue.worker w where w.id = m.worker_id) as worker, a.backend_pid, a.progress_pct,
           a.progress_msg, null::bigint as row_count, null::text[] as command_tags, m.last_error as error, m.retried_from,
           case when m.state = 'waiting' then array(select d.parent from pgqueue.dependency d where d.child = m.id order by d.parent limit 100) end as parents, m.snoozes
    from pgqueue.message m
    left join pgqueue.activity a on a.id = m.id and a.token = m.token
    where m.kind = 'job'
    union all
    select h.id, h.cookie, h.state, h.queue, h.priority, h.label, h.sql, h.submitter, h.launched_at, h.eta, h.started_at, h.ended_at, h.attempts,
           h.max_attempts, h.worker, h.backend_pid, h.progress_pct, h.progress_msg, h.row_count, h.command_tags, h.error,
           h.retried_from, null, h.snoozes
    from pgqueue.history h
  ) j
  where pg_has_role(j.submitter, 'member') or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.jobs is 'Jobs that wait for others, are queued, run, or have ended and are not older than retention. A role sees its own jobs and those of roles that it is a member of';
comment on column pgqueue.jobs.id is 'The number of the job';
comment on column pgqueue.jobs.state is
  'waiting (for the end of other jobs), queued, running, succeeded, failed, canceled or expired. A job shows as running once it has run for about 100 ms';
comment on column pgqueue.jobs.queue is 'The queue of the job';
comment on column pgqueue.jobs.priority is '0 to 9; higher priorities are taken first';
comment on column pgqueue.jobs.label is 'The caller''s label; NULL: none';
comment on column pgqueue.jobs.statement is 'The first 120 bytes of the SQL. NULL for roles that are not members of the submitter';
comment on column pgqueue.jobs.submitter is 'The role that submitted the job, and with whose rights it runs';
comment on column pgqueue.jobs.launched_at is 'When the job was submitted';
comment on column pgqueue.jobs.eta is 'When a delayed job, or its next attempt, is due. NULL: it was never delayed';
comment on column pgqueue.jobs.started_at is 'When the last run began. NULL: the job has not run, or is not shown as running yet';
comment on column pgqueue.jobs.ended_at is 'When the job ended. NULL: it has not ended';
comment on column pgqueue.jobs.duration_ms is
  'How long the last run took, or has taken so far, in ms. NULL: the job does not run and has not ended, or never ran';
comment on column pgqueue.jobs.attempts is 'How many runs have failed or ended the job; the present run counts';
comment on column pgqueue.jobs.max_attempts is
  'How often the job is tried. NULL: once, but up to 10 times for the errors 40001, 40P01, 53100 and 53300';
comment on column pgqueue.jobs.worker is 'The worker that has or had the job, as NAME@HOST. NULL: no worker has it';
comment on column pgqueue.jobs.backend_pid is 'The server process of the last run. NULL: none is known';
comment on column pgqueue.jobs.progress_pct is 'The last reported progress, 0 to 100. NULL: none was reported';
comment on column pgqueue.jobs.progress_msg is 'The text of the last progress. NULL: none, or the role is not a member of the submitter';
comment on column pgqueue.jobs.rows is
  'How many rows the last statement returned or changed. NULL: the job has not succeeded, or the statement has no count';
comment on column pgqueue.jobs.command_tag is
  'The command tag of the last statement, such as INSERT 0 1. NULL: the job has not succeeded, or the statement''s text does not show its tag';
comment on column pgqueue.jobs.sqlstate is 'The SQLSTATE of the error of the job or of its last attempt. NULL: no error';
comment on column pgqueue.jobs.error is
  'The message of that error, or the reason why a queued job was deferred, which monitors see as well. NULL: none, or the role is not a member of the submitter';
comment on column pgqueue.jobs.error_detail is 'The DETAIL of that error. NULL: none, or the role is not a member of the submitter';
comment on column pgqueue.jobs.error_hint is 'The HINT of that error. NULL: none, or the role is not a member of the submitter';
comment on column pgqueue.jobs.error_context is 'The CONTEXT of that error. NULL: none, or the role is not a member of the submitter';
comment on column pgqueue.jobs.handle is
  'The handle of the job, for result, cancel and the other functions. NULL for roles that are not members of the submitter';
comment on column pgqueue.jobs.retried_from is 'The failed job that this job runs again (pgqueue.retry). NULL: it is no repetition';
comment on column pgqueue.jobs.parents is 'Of a waiting job: the first 100 jobs for whose end it waits. NULL: it does not wait for others';
comment on column pgqueue.jobs.snoozes is 'How often a run of the job has put it off (pgqueue.snooze)';
grant select on pgqueue.jobs to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._statement_of(role oid, handle pgqueue.handle)
  returns text
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._locate(role, handle, '42704');
  return coalesce((select m.sql from pgqueue.message m where m.id = handle.id), (select h.sql from pgqueue.history h where h.id = handle.id));
end
$$;
comment on function pgqueue._statement_of(oid, pgqueue.handle) is 'The whole text of a job';

create or replace function pgqueue.statement(handle pgqueue.handle)
  returns text
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  status record := pgqueue._status(handle);
begin
  return (select c.answer #>> '{}' from pgqueue._call('statement', pgqueue._request(handle)) c (answer));
end
$$;
comment on function pgqueue.statement(pgqueue.handle) is 'Returns the whole SQL of a job. pgqueue.jobs shows its beginning';
grant execute on function pgqueue.statement(pgqueue.handle) to pgqueue_user;

create or replace function pgqueue._ended_jobs(ids bigint[], detailed int)
  returns table (id bigint, label text, preview text, attempts int, state text, started_at float8, ended_at float8, command_tag text, error jsonb)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select j.id, j.label, case when j.has_details then left(j.sql, 200) end, j.attempts::int, j.state::text,
         extract(epoch from coalesce(j.started_at, j.ended_at))::float8, extract(epoch from j.ended_at)::float8,
         case when j.has_details then coalesce(array_to_string(j.command_tags[1:10], ', '), pgqueue._command_tag(j.sql, j.row_count)) end, j.error
  -- Monitors ask for thousands of jobs at once, and do not need the statements of that many.
  from (select h.*, row_number() over () <= detailed or h.state <> 'succeeded' as has_details from pgqueue.history h where h.id = any (ids)) j
$$;
comment on function pgqueue._ended_jobs(bigint[], int) is
  'The data about ended jobs for monitors; for jobs that succeeded, the statement and its tag of at most this many';
grant execute on function pgqueue._ended_jobs(bigint[], int) to pgqueue_worker;

create or replace function pgqueue._retried_jobs(ids bigint[])
  returns table (id bigint, label text, preview text, attempts int)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select m.id, m.label, left(m.sql, 200), m.attempts::int from pgqueue.message m where m.id = any (ids)
  union all
  select h.id, h.label, left(h.sql, 200), h.attempts::int from pgqueue.history h where h.id = any (ids)
$$;
comment on function pgqueue._retried_jobs(bigint[]) is
  'The data for monitors about jobs that failed and are tried again, or have been since';
grant execute on function pgqueue._retried_jobs(bigint[]) to pgqueue_worker;

create or replace function pgqueue._task_fates(task_ids text[], workers text[], seen_at float8[])
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
    -- Only messages that a worker has had, or that are dead letters: messages that wait for their first worker are excluded,
    -- because there may be very many of them.
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
  'For monitors: the fates of tasks of a worker that is gone. held: another worker has it; waits; dead: a dead letter; ended: a job; SUCCESS, FAILURE, REVOKED: its result; lost: no trace of it is left';
grant execute on function pgqueue._task_fates(text[], text[], float8[]) to pgqueue_worker;
