-- Jobs that fail for good: what is kept of them to run them again, and the errors of all attempts.

create or replace function pgqueue._note_attempt(m pgqueue.message, error jsonb, started_at timestamptz, worker text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  max_kept constant int := 100;
begin
  insert into pgqueue.attempt (id, attempt, submitter, started_at, worker, error)
  select m.id, m.attempts + 1, m.submitter, _note_attempt.started_at, _note_attempt.worker, jsonb_object_agg(f.key, left(f.value, 1000))
  from jsonb_each_text(error) f;
  if m.attempts >= max_kept then
    delete from pgqueue.attempt a where a.id = m.id and a.attempt <= m.attempts + 1 - max_kept;
  end if;
end
$$;
comment on function pgqueue._note_attempt(pgqueue.message, jsonb, timestamptz, text) is
  'Records the error of an attempt that failed. m: the job before the attempt was counted';

create or replace function pgqueue._fail_for_good(m pgqueue.message, error jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  ended pgqueue.history;
begin
  delete from pgqueue.message q where q.id = m.id;
  perform pgqueue._archive(m, 'failed', error, null, null);
  -- The history has the instants. pgqueue._archive does not return them, since that would cost each job that succeeds.
  ended := pgqueue._ended_job(m.id);
  -- The error of a lost session is a worker's, and fields may be missing.
  insert into pgqueue.failed_job (id, ended_at, submitter, queue, label, sqlstate, error, kept, top_level, priority, max_attempts, sql, params,
                                  settings, timeout, backoff, unique_key)
  values (m.id, ended.ended_at, m.submitter, m.queue, m.label, left(coalesce(error ->> 'sqlstate', 'XX000'), 5), left(error ->> 'message', 65536),
          m.kept, m.top_level, m.priority, m.max_attempts, m.sql, m.params, m.settings, m.timeout, m.backoff, m.unique_key);
  perform pgqueue._note_attempt(m, error, ended.started_at, ended.worker);
end
$$;
comment on function pgqueue._fail_for_good(pgqueue.message, jsonb) is
  'Moves a job that failed from the queue to the history, and keeps what is needed to run it again';

create or replace function pgqueue._forget_failures(ended_before timestamptz)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- A day with very many failures is deleted over several calls, so that none keeps other upkeep waiting.
  max_count constant int := 20000;
begin
  delete from pgqueue.failed_job f
  where f.id = any (array(select o.id from pgqueue.failed_job o where o.retried_as is null and o.ended_at < ended_before order by o.ended_at limit max_count for update skip locked));
  delete from pgqueue.failed_job f
  where f.id = any (array(select o.id from pgqueue.failed_job o where o.retried_as is not null and o.ended_at < ended_before order by o.ended_at limit max_count for update skip locked));
  delete from pgqueue.attempt a
  where a.ctid = any (array(select o.ctid from pgqueue.attempt o where o.ended_at < ended_before order by o.ended_at limit max_count for update skip locked));
end
$$;
comment on function pgqueue._forget_failures(timestamptz) is 'Deletes what was kept of jobs that failed before an instant, and the errors of such attempts';

create or replace view pgqueue.attempts with (security_barrier) as
  select a.id, a.attempt, a.started_at, a.ended_at, (extract(epoch from a.ended_at - a.started_at) * 1000)::float8 as duration_ms, a.worker,
         a.error ->> 'sqlstate' as sqlstate,
         case when pg_has_role(a.submitter, 'member') then a.error ->> 'message' end as error,
         case when pg_has_role(a.submitter, 'member') then a.error ->> 'detail' end as error_detail,
         case when pg_has_role(a.submitter, 'member') then a.error ->> 'hint' end as error_hint,
         case when pg_has_role(a.submitter, 'member') then a.error ->> 'context' end as error_context
  from pgqueue.attempt a
  where pg_has_role(a.submitter, 'member') or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.attempts is
  'The attempts of jobs that failed, the last 100 of each job. A role sees those of its own jobs and of roles that it is a member of';
comment on column pgqueue.attempts.id is 'The number of the job';
comment on column pgqueue.attempts.attempt is 'The number of the attempt, from 1';
comment on column pgqueue.attempts.started_at is 'When the attempt began. NULL: it is not known, or no run was begun';
comment on column pgqueue.attempts.ended_at is 'When the attempt failed';
comment on column pgqueue.attempts.duration_ms is 'How long the attempt took, in ms. NULL: it is not known when it began';
comment on column pgqueue.attempts.worker is 'The worker that ran it, as NAME@HOST. NULL: no worker had it';
comment on column pgqueue.attempts.sqlstate is 'The SQLSTATE of its error';
comment on column pgqueue.attempts.error is 'The first 1,000 characters of the message. NULL: the role is not a member of the submitter';
comment on column pgqueue.attempts.error_detail is 'The same of the DETAIL. NULL: none, or the role is not a member of the submitter';
comment on column pgqueue.attempts.error_hint is 'The same of the HINT. NULL: none, or the role is not a member of the submitter';
comment on column pgqueue.attempts.error_context is 'The same of the CONTEXT. NULL: none, or the role is not a member of the submitter';
grant select on pgqueue.attempts to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
