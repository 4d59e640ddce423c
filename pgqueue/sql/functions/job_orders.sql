-- after: message, failed_jobs
-- Many jobs at once, by filters: run again, discard, cancel. A role inserts what it wants into a view; the trigger acts as the owner of
-- pgqueue. The filters of a role choose jobs and change nothing of them: a job that is run again has the statement, the parameters, the
-- settings and the submitter of the one that failed.

create or replace view pgqueue.job_order as
  select null::oid as role, null::text as act, null::bigint as id, null::bigint as cookie, null::text as queue, null::text as label, null::text as state,
         null::text as sqlstate, null::text as error, null::timestamptz as since, null::timestamptz as until, null::int as max_count,
         null::boolean as is_dry_run, null::bigint as count, null::bigint as new_id, null::bigint as new_cookie
  where false;
alter view pgqueue.job_order alter column role set default pgqueue._caller();
comment on view pgqueue.job_order is 'Where roles insert what is to be done with jobs: pgqueue._carry_out_job_order does it. count: with how many; new_id and new_cookie: the job that runs another one again';
-- Column by column: with a right on the whole of a view LOCK TABLE locks the tables under it.
grant insert (act, id, cookie, queue, label, state, sqlstate, error, since, until, max_count, is_dry_run), select (count, new_id, new_cookie)
  on pgqueue.job_order to pgqueue_user, pgqueue_admin;

create or replace function pgqueue._matches(value text, filter text)
  returns boolean
  language sql immutable
begin atomic
  select filter is null or coalesce(case when strpos(filter, '%') > 0 then value like filter else value = filter end, false);
end;
comment on function pgqueue._matches(text, text) is 'Whether a text is what a filter says: a LIKE pattern if the filter has a %, else the whole text';

create or replace function pgqueue._has_part(value text, filter text)
  returns boolean
  language sql immutable
begin atomic
  select filter is null or coalesce(case when strpos(filter, '%') > 0 then value like filter else strpos(value, filter) > 0 end, false);
end;
comment on function pgqueue._has_part(text, text) is 'Whether a text has what a filter says: a LIKE pattern if the filter has a %, else a part of the text';

create or replace function pgqueue._check_job_filters(o pgqueue.job_order)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  states text[] := case o.act when 'cancel_jobs' then '{queued,running,waiting}' else '{failed}' end;
begin
  if num_nonnulls(o.id, o.queue, o.label, o.state, o.sqlstate, o.error, o.since, o.until) = 0 then
    raise exception 'no filter says which jobs' using errcode = '22023', hint = format('Name a queue, a label, an error or a time. For all jobs: state => %L.', states[1]);
  elsif o.state <> all (states) then
    raise exception '% takes no jobs in state "%"', o.act, o.state
      using errcode = '22023', hint = case o.act when 'cancel_jobs' then 'Jobs that are waiting, queued or running are canceled.' else 'Only of jobs that failed is kept what runs them again.' end;
  elsif o.sqlstate !~ '^[0-9A-Z]{5}$' then
    raise exception 'sqlstate "%" is not one', o.sqlstate using errcode = '22023', hint = 'It is five digits or capital letters, for example 40P01.';
  elsif o.error = '' then
    raise exception 'error cannot be empty' using errcode = '22023', hint = 'Give a part of the message, or a LIKE pattern.';
  elsif o.since > o.until then
    raise exception 'since is later than until' using errcode = '22023', hint = 'Jobs are taken from since up to, and not including, until.';
  elsif o.max_count < 1 then
    raise exception 'max_count % is out of range', o.max_count using errcode = '22023', hint = 'Leave it out for all that match.';
  end if;
end
$$;
comment on function pgqueue._check_job_filters(pgqueue.job_order) is 'Refuses filters that are missing or that nothing could match';

create or replace function pgqueue._failures_to_explain(o pgqueue.job_order)
  returns setof pgqueue.failed_job
  language sql stable
begin atomic
  -- All filters but that of the error, which not every role may search.
  select f.* from pgqueue.failed_job f
  where f.retried_as is null
    and (o.queue is null or f.queue = o.queue)
    and pgqueue._matches(f.label, o.label)
    and (o.sqlstate is null or f.sqlstate = o.sqlstate)
    and (o.since is null or f.ended_at >= o.since)
    and (o.until is null or f.ended_at < o.until);
end;
comment on function pgqueue._failures_to_explain(pgqueue.job_order) is 'The failed jobs that match all filters but the one of the error';

create or replace function pgqueue._say_what_stays(o pgqueue.job_order, may_see_all boolean, roles oid[])
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  refused text;
  unread text;
  held_back bigint;
begin
  select string_agg(quote_ident(pg_get_userbyid(s.submitter)), ', ') filter (where s.submitter <> all (roles) and s.has_match and (o.error is null or s.is_own)),
         string_agg(quote_ident(pg_get_userbyid(s.submitter)), ', ') filter (where o.error is not null and not s.is_own)
  into refused, unread
  from (select d.submitter, d.has_match, coalesce(pg_has_role(o.role, d.submitter, 'member'), false) as is_own
        from (select f.submitter, bool_or(pgqueue._has_part(f.error, o.error)) as has_match
              from pgqueue._failures_to_explain(o) f group by f.submitter) d) s
  where may_see_all or s.is_own;
  if refused is not null and o.act = 'retry_jobs' then
    raise notice 'failed jobs of these roles stay: %', refused using hint = 'They are not enrolled, have more messages than one role may have, or were dropped.';
  end if;
  if unread is not null then
    raise notice 'failed jobs of these roles were not searched: %', unread using hint = 'Only members of a role read the errors of its jobs. Choose by sqlstate, label or time.';
  end if;
  select count(*) into held_back
  from pgqueue._failures_to_explain(o) f
  where (f.unique_key is not null or f.kept <> 'none')
    and pgqueue._has_part(f.error, o.error)
    and (may_see_all and o.error is null or pg_has_role(o.role, f.submitter, 'member'))
    and (f.unique_key is not null and pgqueue._is_key_taken(f.submitter, f.unique_key, f.id)
         or f.kept <> 'none' and not pgqueue._may_keep_result(f.submitter));
  if held_back > 0 and o.act = 'retry_jobs' then
    raise notice '% failed %', held_back, case held_back when 1 then 'job stays' else 'jobs stay' end
      using hint = 'Jobs that have not ended have their unique keys, or they keep results and their roles may not log in.';
  end if;
end
$$;
comment on function pgqueue._say_what_stays(pgqueue.job_order, boolean, oid[]) is 'Tells a role which failed jobs were left out, and why';

create or replace function pgqueue._retry_or_discard(o pgqueue.job_order, by_administrator boolean)
  returns pgqueue.job_order
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
  -- With the filters as constants those that are not given cost nothing, and the others find their index.
  set plan_cache_mode = force_custom_plan
  -- Row by row by the key: otherwise each batch would read all failures.
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  is_retry constant boolean := o.act in ('retry', 'retry_jobs');
  -- They run as their submitters, who have to be enrolled and within their quotas now.
  roles oid[] := array(select k.role from pgqueue.role_key k join pg_roles r on r.oid = k.role
                       where (by_administrator or pg_has_role(o.role, k.role, 'member'))
                         and (k.over_quota is null or pg_has_role(k.role, 'pgqueue_worker', 'member') or pg_has_role(k.role, 'pgqueue_admin', 'member')));
  seed bytea := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
  queues text[];
  wanted bigint;
  keyed bigint[];
begin
  -- One failure is retried once: its row is locked here, what another session has locked is not waited for, and a row that another session
  -- has changed meanwhile is no longer one that can be retried.
  with wanted as materialized (
    select f.* from pgqueue.failed_job f
    where f.retried_as is null
      and (o.id is null or f.id = o.id)
      and (o.queue is null or f.queue = o.queue)
      and (o.label is null or strpos(o.label, '%') > 0 or left(f.label, 100) = left(o.label, 100)) and pgqueue._matches(f.label, o.label)
      and (o.sqlstate is null or f.sqlstate = o.sqlstate)
      and (o.since is null or f.ended_at >= o.since)
      and (o.until is null or f.ended_at < o.until)
      and pgqueue._has_part(f.error, o.error)
      and (not is_retry
           or f.submitter = any (roles) and pgqueue._may_enter(f.submitter, f.queue, null) and (f.kept = 'none' or pgqueue._may_keep_result(f.submitter))
              and (f.unique_key is null or not pgqueue._is_key_taken(f.submitter, f.unique_key, f.id)))
      -- A role that may not read an error may not search it either, since each answer would tell a part of it.
      and (by_administrator and o.error is null or pg_has_role(o.role, f.submitter, 'member'))
    order by f.ended_at, f.id
    limit o.max_count
    for update skip locked
  ), put as (
    insert into pgqueue.inbox (submitter, cookie, kind, kept, top_level, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label,
                               unique_key, limit_key, retried_from)
    select n.submitter, pgqueue._seeded_bigint(seed, n.n), 'job', n.kept, n.top_level, n.priority, n.max_attempts, n.queue, n.sql, n.params, n.settings, n.timeout,
           n.backoff, n.label, n.unique_key, n.limit_key, n.id
    from (select w.*, row_number() over (order by w.ended_at, w.id) as n, row_number() over (partition by w.submitter, w.unique_key order by w.ended_at, w.id) as nth_of_key
          from wanted w) n
    -- Of several that had one key, one runs again.
    where is_retry and o.is_dry_run is not true and (n.unique_key is null or n.nth_of_key = 1)
    order by n.n
    returning inbox.id, inbox.cookie, inbox.queue, inbox.unique_key, inbox.submitter, inbox.retried_from
  ), given as (
    update pgqueue.failed_job f
    set retried_as = p.id, sql = null, params = null, settings = null, error = null
    from put p
    where f.id = p.retried_from
  ), gone as (
    delete from pgqueue.failed_job f using wanted w where not is_retry and o.is_dry_run is not true and f.id = w.id
  )
  select (select count(*) from wanted), count(*), array_agg(distinct p.queue), max(p.id), max(p.cookie), array_agg(p.id order by p.unique_key, p.submitter) filter (where p.unique_key is not null)
  into wanted, o.count, queues, o.new_id, o.new_cookie, keyed
  from put p;
  perform pgqueue._keep_key(k) from unnest(keyed) k;
  -- With the last of several batches: it reads what was kept of all failures of the queue.
  if o.act not in ('retry', 'discard') and (o.max_count is null or wanted < o.max_count) then
    perform pgqueue._say_what_stays(o, by_administrator, roles);
  end if;
  if not is_retry or o.is_dry_run then
    o.count := wanted;
  end if;
  perform pgqueue._wake(q) from unnest(queues) q;
  return o;
end
$$;
comment on function pgqueue._retry_or_discard(pgqueue.job_order, boolean) is 'Queues the failed jobs that match again, or deletes what runs them again, in one statement';

create or replace function pgqueue._lock_failed_job(o pgqueue.job_order, by_administrator boolean)
  returns pgqueue.failed_job
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  place record := pgqueue._locate(o.role, (o.id, o.cookie)::pgqueue.handle, '42704', by_administrator);
  failed pgqueue.failed_job;
begin
  if place.live then
    raise exception 'job % has not ended', o.id using errcode = '55000', hint = format('Only a job that failed can be %s.', case o.act when 'retry' then 'retried' else 'discarded' end);
  elsif place.state <> 'failed' then
    raise exception 'job % did not fail, it is %', o.id, place.state
      using errcode = '55000', hint = case o.act when 'retry' then 'Only a job that failed can be retried. Submit it again.' else 'Only of jobs that failed is kept what runs them again.' end;
  end if;
  select * into failed from pgqueue.failed_job f where f.id = o.id for update;
  if failed.id is null then
    raise exception 'what job % needs to run again is gone', o.id using errcode = '55000', hint = 'It was discarded (pgqueue.discard_jobs), or is older than the retention.';
  elsif failed.retried_as is not null then
    raise exception 'job % was retried as job %', o.id, failed.retried_as using errcode = '55000', hint = format('If that failed too, %s job %s.', o.act, failed.retried_as);
  end if;
  return failed;
end
$$;
comment on function pgqueue._lock_failed_job(pgqueue.job_order, boolean) is 'Locks what runs a failed job again, or says why it cannot be retried or discarded';

create or replace function pgqueue._retry_one(o pgqueue.job_order, by_administrator boolean)
  returns pgqueue.job_order
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  failed pgqueue.failed_job := pgqueue._lock_failed_job(o, by_administrator);
begin
  if not exists (select from pgqueue.role_key k join pg_roles r on r.oid = k.role where k.role = failed.submitter) then
    perform pgqueue._refuse_stranger(failed.submitter);
  end if;
  perform pgqueue._require_quota(failed.submitter);
  if failed.kept <> 'none' then
    perform pgqueue._require_login(failed.submitter);
  end if;
  o := pgqueue._retry_or_discard(o, by_administrator);
  if o.count = 0 and failed.unique_key is not null then
    raise exception 'another job with the unique key of job % has not ended', o.id using errcode = '55000', hint = 'Retry it when that job has ended, or discard it.';
  elsif o.count = 0 then
    raise exception 'permission denied for queue "%"', failed.queue using errcode = '42501', hint = format('Role %I may not send there any more.', pg_get_userbyid(failed.submitter));
  end if;
  if not pg_has_role(o.role, failed.submitter, 'member') then
    o.new_cookie := null;
  end if;
  return o;
end
$$;
comment on function pgqueue._retry_one(pgqueue.job_order, boolean) is 'Queues a failed job again, or says why it cannot be';

create or replace function pgqueue._carry_out_job_order()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- The owner may do what administrators may.
  by_administrator boolean := coalesce(pg_has_role(new.role, 'pgqueue_admin', 'member') or new.role = quote_ident(current_user)::regrole::oid, false);
begin
  perform pgqueue._require_home();
  if not by_administrator then
    perform pgqueue._require_part(new.role);
  end if;
  if new.act = 'retry' then
    return pgqueue._retry_one(new, by_administrator);
  elsif new.act = 'discard' then
    perform pgqueue._lock_failed_job(new, by_administrator);
    return pgqueue._retry_or_discard(new, by_administrator);
  elsif new.act is null or new.act not in ('retry_jobs', 'discard_jobs', 'cancel_jobs') then
    raise exception 'act "%" is not known', new.act using errcode = '22023', hint = 'Use the functions of the schema pgqueue.';
  end if;
  perform pgqueue._check_job_filters(new);
  if new.act = 'retry_jobs' and not by_administrator then
    perform pgqueue._require_quota(new.role);
  end if;
  return case new.act when 'cancel_jobs' then pgqueue._cancel_matching(new, by_administrator) else pgqueue._retry_or_discard(new, by_administrator) end;
end
$$;
comment on function pgqueue._carry_out_job_order() is 'Does what a role has inserted into pgqueue.job_order, with jobs of its own, or of all roles if it is an administrator';

create or replace trigger carry_out instead of insert on pgqueue.job_order for each row execute function pgqueue._carry_out_job_order();
