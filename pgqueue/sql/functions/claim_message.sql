-- The part of a claim that describes a job: its lane, and the data that an executor or a monitor needs.

create or replace function pgqueue._lane(runner oid, kept pgqueue.result_kept, top_level boolean, settings jsonb, params text[], sql text)
  returns pgqueue.lane
  language sql immutable
begin atomic
  select case when runner is not null and kept = 'none' and not top_level
                   -- These must be known before the transaction begins, and parameters belong to one prepared statement.
                   and not settings ?| array['default_transaction_isolation', 'default_transaction_read_only', 'default_transaction_deferrable']
                   and (params is null or strpos(rtrim(sql, E'; \t\r\n'), ';') = 0)
              then 'batch'::pgqueue.lane else 'top_level'::pgqueue.lane end;
end;
comment on function pgqueue._lane(oid, pgqueue.result_kept, boolean, jsonb, text[], text) is 'The lane in which a claimed job runs';

create or replace function pgqueue._job_document(id bigint, token bigint, queue text, attempts smallint, submitter oid, sql text, params text[], settings jsonb,
                                      timeout interval, kept pgqueue.result_kept, label text)
  returns json
  language sql stable
begin atomic
  select json_build_object(
    'id', id, 'token', token, 'sql', sql, 'params', params, 'settings', settings, 'submitter', pg_get_userbyid(submitter),
    'role', submitter::bigint, 'timeout_ms', (extract(epoch from timeout) * 1000)::bigint, 'keep_result', kept <> 'none', 'attempt', attempts + 1,
    'queue', queue, 'label', label,
    -- These two decide in whose session a job runs that keeps its result. A step of a canvas has no settings of a session, so it needs one
    -- of its submitter, which has those of the role.
    'has_runner', kept <> 'task' and exists (select from pgqueue.role_key k where k.role = submitter and k.result_runner is not null), 'may_log_in', (select r.rolcanlogin from pg_catalog.pg_roles r where r.oid = submitter));
end;
comment on function pgqueue._job_document(bigint, bigint, text, smallint, oid, text, text[], jsonb, interval, pgqueue.result_kept, text)
  is 'A job as an executor of the top-level lane needs it';

create or replace function pgqueue._claimed_job(m pgqueue.message)
  returns table (id bigint, token bigint, message json, lane pgqueue.lane)
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select m.id, m.token,
         case when l.lane = 'batch' then to_json(m.submitter::bigint)
              else pgqueue._job_document(m.id, m.token, m.queue, m.attempts, m.submitter, m.sql, m.params, m.settings, coalesce(m.timeout, m.queue_timeout), m.kept, m.label) end,
         l.lane
  from (select pgqueue._lane((select k.runner from pgqueue.role_key k where k.role = m.submitter), m.kept, m.top_level, m.settings, m.params, m.sql)) l (lane)
$$;
comment on function pgqueue._claimed_job(pgqueue.message) is
  'The answer to a worker that has claimed one job which runs by itself. message: for a job of the batch lane the number of its submitter, else its document';

create or replace function pgqueue._job_message(id bigint, token bigint, queue text, priority smallint, deliveries smallint, attempts smallint,
                                     submitter oid, sql text, params text[], settings jsonb, timeout interval,
                                     kept pgqueue.result_kept, label text)
  returns json
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select json_build_object(
    'body', json_build_array(json_build_array(left(sql, 200)), '{}'::json,
                             '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'::json)::text,
    'content-type', 'application/json',
    'content-encoding', 'utf-8',
    'headers', json_build_object(
      'lang', 'sql', 'task', 'pgqueue.job', 'id', 'job-' || id, 'root_id', 'job-' || id, 'parent_id', null, 'group', null,
      'shadow', label, 'argsrepr', left(sql, 200), 'kwargsrepr', '{}', 'origin', pg_get_userbyid(submitter), 'retries', attempts,
      'eta', null, 'expires', null, 'timelimit', json_build_array(null, null), 'ignore_result', true,
      'job', pgqueue._job_document(id, token, queue, attempts, submitter, sql, params, settings, timeout, kept, label)),
    'properties', json_build_object(
      'delivery_mode', 2, 'priority', priority, 'correlation_id', 'job-' || id, 'reply_to', null,
      'delivery_info', json_build_object('exchange', '', 'routing_key', queue, 'redelivered', deliveries > 1)))
$$;
comment on function pgqueue._job_message(bigint, bigint, text, smallint, smallint, smallint, oid, text, text[], jsonb, interval, pgqueue.result_kept, text)
  is 'A job as a Celery message (protocol 2) for the task pgqueue.job';
