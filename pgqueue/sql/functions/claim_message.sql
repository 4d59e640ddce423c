-- The part of a claim that describes a job: its lane, what its queue says for it, and the data that an executor or a monitor needs.

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
begin atomic
  select m.id, m.token,
         case when l.lane = 'batch' then to_json(m.submitter::bigint)
              else pgqueue._job_document(m.id, m.token, m.queue, m.attempts, m.submitter, m.sql, m.params, m.settings, coalesce(m.timeout, m.queue_timeout), m.kept, m.label) end,
         l.lane
  from (select pgqueue._lane((select k.runner from pgqueue.role_key k where k.role = m.submitter), m.kept, m.top_level, m.settings, m.params, m.sql)) l (lane);
end;
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

create or replace function pgqueue._claim_policy(queue text)
  returns table (is_async boolean, group_commit int, timeout interval, of_roles jsonb)
  language sql stable
begin atomic
  -- Where no role has settings of its own, these are the same for all jobs: reading them from JSON for each would take longer.
  select exists (select from pgqueue.queue_switch q where q.name = _claim_policy.queue and q.durability = 'async'),
         (max(g.value) filter (where g.setting = 'group_commit' and g.role = 0))::int,
         coalesce(max(g.value) filter (where g.setting = 'timeout' and g.role = 0), max(g.value) filter (where g.setting = 'worker_timeout'))::interval,
         case when bool_or(g.role <> 0) then jsonb_object_agg(concat(g.setting, ' ', g.role), g.value) end
  from pgqueue.configured g
  where g.queue in (_claim_policy.queue, '') and g.setting in ('group_commit', 'timeout', 'worker_timeout');
end;
comment on function pgqueue._claim_policy(text) is
  'What a claim has to know of a queue: the durability of its jobs, how many may share a transaction, the timeout of jobs that have none; and, if roles have settings of their own there, all settings as {setting role: value}, role 0: for all';

create or replace function pgqueue._role_timeout(of_roles jsonb, role oid)
  returns interval
  language sql stable
begin atomic
  select coalesce(of_roles ->> 'timeout 0', of_roles ->> ('timeout ' || role), of_roles ->> 'worker_timeout 0')::interval;
end;
comment on function pgqueue._role_timeout(jsonb, oid) is 'The timeout of jobs of a role that have none, as pgqueue._claim_policy returns the settings; an administrator counts first';

create or replace function pgqueue._groupable_job(role oid, group_commit int, of_roles jsonb)
  returns json
  language sql stable
begin atomic
  select case when group_commit > 1 then json_build_array(role::bigint, group_commit)
         when of_roles ? ('group_commit ' || role) and group_commit is null then json_build_array(role::bigint, (of_roles ->> ('group_commit ' || role))::int)
         else to_json(role::bigint) end;
end;
comment on function pgqueue._groupable_job(oid, int, jsonb) is
  'The message of a claimed job of the batch lane that may share its transaction, if the queue allows it: its role, and how many such jobs may';
