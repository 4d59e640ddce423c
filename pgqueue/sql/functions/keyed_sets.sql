-- after: keyed_messages
-- Many jobs with unique keys at once: the outcome is that of pgqueue._submit_keyed for one after the other, at the cost of a few statements.
--
-- Of the jobs of one call that have the same key, the first takes the key and its place in the queue; which of them it runs depends on
-- on_conflict: the first (keep), or the last (replace, debounce). So a key is decided about once, however often the call names it.

create or replace view pgqueue.keyed_set as
  select null::oid as submitter, null::bigint as session_id, null::timestamptz as due_at, null::timestamptz as expires_at, 'none'::pgqueue.result_kept as kept,
         null::int as priority, null::int as max_attempts, null::text as queue, null::jsonb as settings, null::interval as timeout,
         null::interval as backoff, null::text as label, null::text as limit_key, null::interval as unique_for, null::text as on_conflict,
         null::boolean as waits, null::bytea as seed, null::text[] as statements, null::text[] as params, null::text[] as unique_keys, null::text[] as rows,
         null::bigint[] as ids, null::bigint[] as cookies, null::bigint[] as put_ids, null::bigint[] as put_cookies
  where false;
alter view pgqueue.keyed_set alter column submitter set default pgqueue._caller();
comment on view pgqueue.keyed_set is
  'Where a role inserts its own jobs of which some have unique keys, all as one row: pgqueue._put_keyed_set puts, drops or exchanges them. ids, cookies: for each job the one that has its key now, or its own; put_ids, put_cookies: those that are new';
-- The right is granted by column: with a right on the whole view, LOCK TABLE locks the tables under it.
grant insert (session_id, due_at, expires_at, kept, priority, max_attempts, queue, settings, timeout, backoff, label, limit_key, unique_for, on_conflict, waits,
              seed, statements, params, unique_keys, rows),
      select (ids, cookies, put_ids, put_cookies) on pgqueue.keyed_set to pgqueue_user;

create or replace function pgqueue._keyed_jobs(k pgqueue.keyed_set)
  returns table (place bigint, count bigint, statement text, params text[], unique_key text)
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  with jobs as materialized (select * from pgqueue._jobs_of(k.statements, k.params, k.unique_keys, k.rows))
  select g.place, g.count, j.statement, j.row_params, j.unique_key
  from (select min(n) as place, count(*) as count, case when k.on_conflict in ('replace', 'debounce') then max(n) else min(n) end as content
        from jobs group by unique_key, case when unique_key is null then n end) g
  join jobs j on j.n = g.content
$$;
comment on function pgqueue._keyed_jobs(pgqueue.keyed_set) is
  'What is left of the jobs of a set when those with the same key are one: the place of its first, how many they are, and the content that counts';

create or replace function pgqueue._taken_keys(role oid, keys text[])
  returns table (held pgqueue.unique_hold, is_live boolean)
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select h, m.id is not null
  from unnest(keys) u (key)
  join pgqueue.unique_hold h on h.submitter = role and h.kind = 'job' and h.unique_key = u.key
  left join pgqueue.message m on m.id = h.message_id
  where h.message_id is not null and (m.id is not null or h.free_at > clock_timestamp())
$$;
comment on function pgqueue._taken_keys(oid, text[]) is 'Those of some keys of jobs of a role that are taken, and whether the job is still in the queue';

create or replace function pgqueue._lock_keys(role oid, keys text[])
  returns void
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- One statement inserts or locks each row, in one order for all calls: so two calls with the same keys never wait for each other.
  insert into pgqueue.unique_hold (submitter, kind, unique_key)
  select role, 'job', u.key from unnest(keys) u (key) order by u.key collate "C"
  on conflict (submitter, kind, unique_key) do update set message_id = null where false
$$;
comment on function pgqueue._lock_keys(oid, text[]) is 'Locks the rows of unique keys of jobs until the end of the transaction, and makes those that are not there';

create or replace function pgqueue._put_keyed_set()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_custom_plan  -- A generic plan expects ten elements of an array.
as $$
declare
  exchanges constant boolean := coalesce(new.on_conflict in ('replace', 'debounce'), false);
  open_keys text[] := array(select distinct u.key from unnest(new.unique_keys) u (key) where u.key is not null);
  repeated_key text := (select u.key from unnest(new.unique_keys) u (key) where u.key is not null group by u.key having count(*) > 1 order by u.key limit 1);
  taken record;
  now_at timestamptz;
  waiting bigint[];
  -- The keys that stay with a job, and these jobs.
  kept_keys text[] := '{}';
  kept_ids bigint[] := '{}';
  kept_cookies bigint[] := '{}';
  -- The first places of the new jobs, and their keys.
  put_places bigint[];
  put_keys text[];
  exchanged_due timestamptz;
  put_due timestamptz;
begin
  perform pgqueue._require_part(new.submitter);
  perform pgqueue._require_quota(new.submitter);
  perform pgqueue._check_key((select u.key from unnest(open_keys) u (key) order by octet_length(u.key) desc limit 1), new.unique_for, new.on_conflict);
  new.kept := coalesce(new.kept, 'none');
  if new.kept = 'task' then
    -- As pgqueue.inbox refuses it, which does not see here for whom the owner inserts.
    raise exception 'message has not the shape that workers rely on' using errcode = '23514', hint = 'Hand in with pgqueue.enqueue or pgqueue.send_task.';
  end if;
  if new.due_at <= clock_timestamp() then
    new.due_at := null;
  end if;
  if new.on_conflict = 'raise' and repeated_key is not null then
    raise exception 'unique key "%" is given to several jobs of one call', repeated_key
      using errcode = '23505', schema = 'pgqueue', constraint = 'unique_key', hint = 'To run one of them: on_conflict => ''keep'' or ''replace''.';
  end if;
  if exchanges then
    perform pgqueue._lock_keys(new.submitter, open_keys);
    -- Each statement from here on has a snapshot that is younger than the locks.
    waiting := array(select (t.held).message_id from pgqueue._taken_keys(new.submitter, open_keys) t where t.is_live);
    waiting := array(select m.id from pgqueue._lock_waiting(waiting) m);
    now_at := clock_timestamp();
    with exchanged as (
      update pgqueue.inbox m
      set state = case when m.state not in ('ready', 'delayed') then m.state when x.due_at is null then 'ready' else 'delayed' end, due_at = x.due_at,
          expires_at = new.expires_at, kept = case when new.kept = 'none' then m.kept else new.kept end, top_level = false, priority = new.priority,
          deliveries = 0, attempts = 0, max_attempts = new.max_attempts, queue = new.queue, sql = x.statement, params = x.params, settings = new.settings,
          timeout = new.timeout, backoff = new.backoff, label = new.label, limit_key = new.limit_key, last_error = null, snoozes = null
      from (select t.id, j.statement, j.params, pgqueue._due_if_replaced(t, new.on_conflict, new.due_at, new.unique_for, now_at) as due_at
            from pgqueue.message t join pgqueue._keyed_jobs(new) j on j.unique_key = t.unique_key
            where t.id = any (waiting)) x
      where m.id = x.id
      returning m.unique_key, m.id, m.cookie, m.due_at
    )
    select array_agg(e.unique_key), array_agg(e.id), array_agg(e.cookie), min(coalesce(e.due_at, '-infinity'))
    into kept_keys, kept_ids, kept_cookies, exchanged_due from exchanged e;
  else
    -- First without locks, as for one key; then with those of the keys that seem to be free.
    for attempt in 1 .. 2 loop
      if attempt = 2 then
        perform pgqueue._lock_keys(new.submitter, open_keys);
      end if;
      if new.on_conflict = 'raise' then
        select t.held, t.is_live into taken
        from unnest(new.unique_keys) with ordinality u (key, n) join pgqueue._taken_keys(new.submitter, open_keys) t on (t.held).unique_key = u.key
        order by u.n limit 1;
        if found then
          perform pgqueue._refuse_taken((taken.held).unique_key, taken.held, taken.is_live);
        end if;
      else
        select kept_keys || array_agg((t.held).unique_key), kept_ids || array_agg((t.held).message_id), kept_cookies || array_agg((t.held).cookie)
        into kept_keys, kept_ids, kept_cookies from pgqueue._taken_keys(new.submitter, open_keys) t;
        open_keys := array(select unnest(open_keys) except select unnest(kept_keys));
      end if;
    end loop;
  end if;
  with jobs as materialized (
    select j.*, case when h.free_at > clock_timestamp() and (new.on_conflict = 'replace' or j.count = 1) then greatest(new.due_at, h.free_at) else new.due_at end as due_at
    from pgqueue._keyed_jobs(new) j
    -- A job that a worker has had is left alone. The next one waits for as long as the key is taken beyond the end of that.
    left join pgqueue.unique_hold h on h.submitter = new.submitter and h.kind = 'job' and h.unique_key = j.unique_key
    where not exists (select from unnest(kept_keys) kept (key) where kept.key = j.unique_key)
  ), added as (
    insert into pgqueue.inbox as m (submitter, cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params,
                                    settings, timeout, backoff, label, unique_key, limit_key)
    select new.submitter, pgqueue._seeded_bigint(new.seed, j.place), new.session_id, j.due_at, new.expires_at, 'job',
           case when j.due_at is null then 'ready' else 'delayed' end::pgqueue.message_state, new.kept, new.priority,
           new.max_attempts, new.queue, j.statement, j.params, new.settings, new.timeout, new.backoff, new.label, j.unique_key, new.limit_key
    from jobs j
    order by j.place
    returning m.id, m.cookie, m.unique_key, m.due_at
  )
  select (select array_agg(j.place order by j.place) from jobs j), array_agg(a.id order by a.id), array_agg(a.cookie order by a.id),
         array_agg(a.unique_key order by a.id), min(coalesce(a.due_at, '-infinity'))
  into put_places, new.put_ids, new.put_cookies, put_keys, put_due from added a;
  update pgqueue.unique_hold h
  set message_id = x.id, cookie = x.cookie, task_id = null, free_at = clock_timestamp() + new.unique_for
  from (select * from unnest(put_keys, new.put_ids, new.put_cookies)
        union all select * from unnest(kept_keys, kept_ids, kept_cookies) where exchanges and new.unique_for is not null) x (key, id, cookie)
  where h.submitter = new.submitter and h.kind = 'job' and h.unique_key = x.key;
  if new.waits is not true and num_nonnulls(exchanged_due, put_due) > 0 then
    perform pgqueue._wake_for(new.queue, least(exchanged_due, put_due));
  end if;
  select array_agg(coalesce(k.id, p.id) order by j.n), array_agg(coalesce(k.cookie, p.cookie) order by j.n)
  into new.ids, new.cookies
  from (select u.n, u.key, case when u.key is null then u.n else min(u.n) over (partition by u.key) end as place
        from unnest(new.unique_keys) with ordinality u (key, n)) j
  left join unnest(kept_keys, kept_ids, kept_cookies) k (key, id, cookie) on k.key = j.key
  left join unnest(put_places, new.put_ids, new.put_cookies) p (place, id, cookie) on p.place = j.place;
  return new;
end
$$;
comment on function pgqueue._put_keyed_set() is 'Submits what a role has inserted into pgqueue.keyed_set';

create or replace trigger put_keyed_set instead of insert on pgqueue.keyed_set for each row execute function pgqueue._put_keyed_set();
