-- after: handles
-- The gate's half of pg_background's calls: the jobs that a session tracks, and the requests about them.
--
-- pg_background keeps a list in each session's memory, which survives a rollback. Here it is a table, written by the loopback in
-- the transaction that submits the job. pg_background's pid, an int4, is the number of the job as long as that is unambiguous.

create or replace function pgqueue._lowest_tracked(session bigint)
  returns int
  language sql stable
begin atomic
  select case when s ~ '^-?[0-9]+ [0-9]{1,9}$' and split_part(s, ' ', 1) = session::text then split_part(s, ' ', 2)::int else 0 end
  from (select current_setting('pgqueue.lowest_tracked', true)) as known (s);
end;
comment on function pgqueue._lowest_tracked(bigint) is
  'A pid below which the session of this loopback tracks no job, as of its last launch. Rows of earlier jobs that VACUUM has not removed are below it';

create or replace function pgqueue._launch_tracked(role oid, args jsonb)
  returns jsonb
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  session bigint := args ->> 'session_id';
  max_tracked int := args ->> 'max_tracked';
  lowest int := pgqueue._lowest_tracked(session);
  tracked bigint;
  first int;
  handle pgqueue.handle;
  pid int;
begin
  -- The caller chooses the number of its session. Jobs that another role tracks under it count for that role's quota only.
  select count(*) filter (where not t.is_spared and pg_has_role(role, t.submitter, 'member')), min(t.pid) into tracked, first
  from pgqueue.tracked_job t where t.session_id = session and t.pid >= lowest;
  if tracked >= max_tracked then
    raise exception 'too many background workers'
      using errcode = '53400', detail = format('Current limit is %s concurrent workers per session.', max_tracked),
            hint = 'Wait for existing workers to complete, or increase pg_background.max_workers.';
  end if;
  handle := pgqueue._launch(role, args);
  pid := (handle.id - 1) % 2147483647 + 1;
  loop
    insert into pgqueue.tracked_job (session_id, pid, id, cookie, submitter, kept, queue_size)
    values (session, pid, handle.id, handle.cookie, role, (args ->> 'kept')::pgqueue.result_kept, (args ->> 'queue_size')::int)
    on conflict on constraint tracked_job_pkey do nothing;
    exit when found;
    pid := pid % 2147483647 + 1;  -- The session still tracks a job from 2,000 million jobs ago.
  end loop;
  -- Numbers begin again after 2,000 million: then the bound is no longer useful.
  perform set_config('pgqueue.lowest_tracked', session || ' ' || case when pid < lowest then 0 else coalesce(first, pid) end, false);
  return jsonb_build_object('id', handle.id, 'cookie', handle.cookie, 'pid', pid);
end
$$;
comment on function pgqueue._launch_tracked(oid, jsonb) is 'The gate''s half of pg_background_launch and submit';

create or replace function pgqueue._find_tracked(role oid, args jsonb)
  returns pgqueue.tracked_job
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  wanted int := args ->> 'pid';
  job pgqueue.tracked_job;
  is_quiet boolean := args ->> 'mismatch' is null;
begin
  select * into job from pgqueue.tracked_job t where t.session_id = (args ->> 'session_id')::bigint and t.pid = wanted;
  if not found then
    if not is_quiet then
      raise exception 'PID % is not attached to this session', wanted using errcode = '42704';
    end if;
  elsif not pg_has_role(role, job.submitter, 'member') then
    raise exception 'permission denied for background worker with PID "%"', wanted using errcode = '42501';
  elsif job.cookie <> (args ->> 'cookie')::bigint then
    if args ->> 'mismatch' = '42704' then
      raise exception 'PID % is not attached to this session (cookie mismatch)', wanted using errcode = '42704';
    elsif not is_quiet then
      raise exception 'cookie mismatch for PID %', wanted
        using errcode = '55000', hint = 'The worker may have been restarted or the handle is stale.';
    end if;
    job := null;
  end if;
  return job;
end
$$;
comment on function pgqueue._find_tracked(oid, jsonb) is
  'A job by its pid, after the checks: 42704 unknown, 42501 another role''s, then the cookie. Without mismatch (an SQLSTATE) NULL instead of an error, except 42501. Without a cookie none is checked';

create or replace function pgqueue._tracked_jobs(role oid, args jsonb)
  returns setof pgqueue.tracked_job
  language sql volatile security definer
begin atomic
  select t.*
  from pgqueue.tracked_job t
  left join pgqueue.message m on m.id = t.id
  where t.session_id = (args ->> 'session_id')::bigint and pg_has_role(role, t.submitter, 'member')
    and (args ->> 'label' is null
         or coalesce(m.label, (select h.label from pgqueue.history h where h.id = t.id and m.id is null)) like (args ->> 'label'))
    and (args ->> 'ended' is null or (m.id is null) = (args ->> 'ended')::boolean)
  order by t.tracked_at, t.pid;
end;
comment on function pgqueue._tracked_jobs(oid, jsonb) is
  'The jobs that a session tracks and the role may see; with a label, those whose label matches; those that have ended or have not';

create or replace function pgqueue._tracked(role oid, args jsonb)
  returns setof jsonb
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  job pgqueue.tracked_job;
  described jsonb;
begin
  if args ? 'pid' then
    job := pgqueue._find_tracked(role, args);
    if job.id is not null then
      if args ? 'wait_ms' then
        perform pgqueue._await_end(role, job.id, (args ->> 'wait_ms')::int);
      end if;
      described := pgqueue._describe_tracked(job, (args ->> 'sql_length')::int);
      return next described;
      if args ? 'read' and (described ->> 'ended_at') is not null and job.kept <> 'none' then
        return query select * from pgqueue._result_of(role, (job.id, job.cookie));
      end if;
    end if;
  elsif args ? 'stats' then
    -- The view is about the current session. This query is about another one.
    perform set_config('pgqueue.session_id', args ->> 'session_id', true);
    return query
    select to_jsonb(s) || jsonb_build_object('workers_timed_out', coalesce(
      (select t.timeouts from pgqueue.tracked_timeout t where t.session_id = (args ->> 'session_id')::bigint), 0))
    from pgqueue.stats s;
  else
    return query select pgqueue._describe_tracked(t, (args ->> 'sql_length')::int) from pgqueue._tracked_jobs(role, args) t;
  end if;
end
$$;
comment on function pgqueue._tracked(oid, jsonb) is
  'The answer to a request about tracked jobs: one of them, with its result if it has ended; all of them; or their number';

create or replace function pgqueue._describe_tracked(job pgqueue.tracked_job, sql_length int)
  returns jsonb
  language sql volatile security definer
begin atomic
  -- One statement has one snapshot, in which a job is in the queue or in the history. (Neither: retention has removed it.)
  select jsonb_build_object(
    'id', job.id, 'pid', job.pid, 'cookie', job.cookie, 'user_id', job.submitter, 'kept', job.kept, 'queue_size', job.queue_size,
    'live', coalesce(j.ended_at is null and j.id is not null, false), 'running', coalesce(j.is_running, false),
    'state', case when j.ended_at is not null or j.id is null then 'stopped' when j.is_running then 'running' else 'starting' end,
    'run_key', j.run_key, 'known', j.id is not null, 'launched_at', coalesce(j.launched_at, job.tracked_at), 'started_at', j.started_at, 'ended_at', j.ended_at,
    'label', j.label, 'sql', left(j.sql, coalesce(sql_length, 0)), 'backend_pid', j.backend_pid, 'progress_pct', j.progress_pct, 'progress_msg', j.progress_msg,
    'row_count', j.row_count, 'command_tags', j.command_tags, 'error', case when j.ended_at is not null then j.error end)
  from (select) one_row
  left join (
    select m.id, m.launched_at, a.started_at, null::timestamptz as ended_at, a.id is not null as is_running, m.label, m.sql, a.backend_pid,
           a.progress_pct, a.progress_msg, null::bigint as row_count, null::text[] as command_tags, null::jsonb as error,
           pgqueue._held_key(m.id, m.token) as run_key
    from pgqueue.message m left join pgqueue.activity a on a.id = m.id and a.token = m.token
    where m.id = job.id
    union all
    select h.id, h.launched_at, h.started_at, h.ended_at, false, h.label, h.sql, h.backend_pid,
           h.progress_pct, h.progress_msg, h.row_count, h.command_tags, h.error, null
    from pgqueue.history h where h.id = job.id
  ) j on true;
end;
comment on function pgqueue._describe_tracked(pgqueue.tracked_job, int) is
  'The description of a tracked job, with at most this many characters of its text';

create or replace function pgqueue._cancel_tracked(role oid, args jsonb)
  returns jsonb
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  job pgqueue.tracked_job;
  canceled jsonb := '[]';
begin
  for job in
    select * from pgqueue._find_tracked(role, args) t where args ? 'pid' and t.id is not null
    union all
    select * from pgqueue._tracked_jobs(role, args) where not args ? 'pid'
  loop
    if exists (select from pgqueue.message m where m.id = job.id) then
      perform pgqueue._cancel(role, (job.id, job.cookie), (args ->> 'grace_ms')::bigint);
    end if;
    canceled := canceled || jsonb_build_object('id', job.id, 'cookie', job.cookie);
  end loop;
  if (args ->> 'is_timeout')::boolean then
    insert into pgqueue.tracked_timeout as t (session_id, timeouts) values ((args ->> 'session_id')::bigint, 1)
    on conflict (session_id) do update set timeouts = t.timeouts + 1, counted_at = clock_timestamp();
  end if;
  return canceled;
end
$$;
comment on function pgqueue._cancel_tracked(oid, jsonb) is 'Cancels one tracked job, or those of pgqueue._tracked_jobs. Returns their handles, also of those that had ended';

create or replace function pgqueue._untrack(role oid, args jsonb)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  job pgqueue.tracked_job;
  untracked int := 0;
begin
  for job in
    select * from pgqueue._find_tracked(role, args) t where args ? 'pid' and t.id is not null
    union all
    select * from pgqueue._tracked_jobs(role, args) where not args ? 'pid'
  loop
    if args ? 'spare' then
      update pgqueue.tracked_job t set is_spared = true where t.session_id = job.session_id and t.pid = job.pid;
      continue;
    end if;
    delete from pgqueue.tracked_job t where t.session_id = job.session_id and t.pid = job.pid;
    if job.kept <> 'none' then
      begin
        perform pgqueue._detach(role, (job.id, job.cookie));
      exception when undefined_object then
        null;  -- Retention has removed it.
      end;
    end if;
    untracked := untracked + 1;
  end loop;
  return untracked;
end
$$;
comment on function pgqueue._untrack(oid, jsonb) is
  'Ends the tracking of one job, or of those of pgqueue._tracked_jobs, and drops their results. The jobs continue. Returns how many';

create or replace function pgqueue._enroll_member(role oid)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  may boolean;
begin
  -- Any role can request this for any other, so it must do no harm: the key is of no use without the rights of pgbackground_role.
  -- Superusers are members of every role, and are enrolled only explicitly.
  with recursive membership (oid) as (
    select r.oid from pg_roles r where r.rolname = 'pgbackground_role'
    union
    select m.member from pg_auth_members m join membership on m.roleid = membership.oid
  )
  select exists (select from membership m join pg_roles r on r.oid = m.oid where r.oid = _enroll_member.role and not r.rolsuper) into may;
  -- The role belongs to the whole cluster: its members have no rights here unless pg_background's names were created here.
  if may and exists (select from pgqueue.compat) then
    insert into pgqueue.role_key (role) values (_enroll_member.role) on conflict do nothing;
  end if;
  return may and exists (select from pgqueue.compat);
end
$$;
comment on function pgqueue._enroll_member(oid) is
  'Gives a member of pgbackground_role its key. A role without a key requests it over the loopback, outside the caller''s transaction';
