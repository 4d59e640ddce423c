-- Jobs that fail, are retried or deferred, and jobs whose sessions ended while they ran.

create or replace function pgqueue._kept_error(error jsonb)
  returns jsonb
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  -- The end of a job never fails: fields that an error cannot have are left out, and an invalid SQLSTATE is replaced.
  select coalesce((
      select jsonb_object_agg(f.key, left(f.value, 65536))
      from jsonb_each_text(case jsonb_typeof(error) when 'object' then error end) f
      where f.value is not null and f.key in ('message', 'detail', 'hint', 'context', 'schema', 'table', 'column', 'datatype', 'constraint', 'session_lost', 'traceparent')), '{}')
    || jsonb_build_object('sqlstate', case when error ->> 'sqlstate' ~ '^[0-9A-Z]{5}$' then error ->> 'sqlstate' else 'XX000' end)
$$;
comment on function pgqueue._kept_error(jsonb) is 'The stored fields of an error, all of them text';

create or replace function pgqueue._suspect(ids bigint[])
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  insert into pgqueue.lost_session as l (id, suspicions)
  select m.id, 1 from unnest(ids) with ordinality c (id, n) join pgqueue.message m on m.id = c.id order by c.n limit 1
  on conflict on constraint lost_session_pkey do update set suspicions = l.suspicions + 1
$$;
comment on function pgqueue._suspect(bigint[]) is
  'Counts that the session of the first remaining job has ended for an unknown reason: the job, an operator, or the kernel that needed memory';

create or replace function pgqueue._max_attempts(m pgqueue.message)
  returns smallint
  language sql stable
begin atomic
  select coalesce(m.max_attempts, pgqueue._configured_for_queue(m.queue, m.submitter, 'max_attempts')::smallint);
end;
comment on function pgqueue._max_attempts(pgqueue.message) is 'How many attempts a job has: its own number, else that of its queue; NULL: neither is given';

create or replace function pgqueue._is_given_up(id bigint, max_attempts int)
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pgqueue.lost_session l
    where l.id = _is_given_up.id and l.suspicions >= greatest(pgqueue._worker_number('max_lost_sessions', 3, 1, 32767), max_attempts))
$$;
comment on function pgqueue._is_given_up(bigint, int) is 'Whether so many sessions of a job have ended that it runs no more';

create or replace function pgqueue._suspect_unclaimed(ids bigint[], error jsonb)
  returns pgqueue.ending
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
begin
  if error ? 'session_lost' then
    perform pgqueue._suspect(ids);
    -- A job that runs again is examined when that run ends.
    select q.* into m from pgqueue.message q
    where q.id = (select r.id from unnest(ids) with ordinality c (id, n) join pgqueue.message r on r.id = c.id order by c.n limit 1)
      and q.state in ('ready', 'delayed')
    for update skip locked;
    if found and pgqueue._is_given_up(m.id, pgqueue._max_attempts(m)) then
      perform pgqueue._give_up(m, error);
      return 'failed';
    end if;
  end if;
  return 'gone';
end
$$;
comment on function pgqueue._suspect_unclaimed(bigint[], jsonb) is
  'pgqueue._suspect for jobs whose claims are lost: the crash of the server has undone them, or another worker reconnected earlier. failed: the job was given up';

create or replace function pgqueue._give_up(m pgqueue.message, error jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._fail_for_good(m, error - 'session_lost' ||
    '{"hint": "Its session has ended too often while it ran: the job seems to end it, or the server. It was given up."}');
end
$$;
comment on function pgqueue._give_up(pgqueue.message, jsonb) is 'Fails a job permanently whose session has ended too often';

create or replace function pgqueue._fail_any_job(id bigint, token bigint, error jsonb)
  returns pgqueue.ending
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
  -- A number of the queue may change, so it is not written into the job.
  most_attempts smallint;
  sqlstate_ text;
  canceled boolean;
  is_awaited boolean;
  retry boolean;
begin
  error := pgqueue._kept_error(error);
  sqlstate_ := error ->> 'sqlstate';
  select * into m from pgqueue.message q where q.id = _fail_any_job.id and q.token = _fail_any_job.token for update;
  if not found then
    return pgqueue._suspect_unclaimed(array[_fail_any_job.id], error);
  end if;
  most_attempts := pgqueue._max_attempts(m);
  -- The error does not matter: a job may catch the cancel and fail in its own way.
  canceled := exists (select from pgqueue.request r where r.id = m.id and r.kind = 'cancel');
  if error ? 'session_lost' then
    -- This does not count as an attempt of the job, but its number is limited.
    perform pgqueue._suspect(array[m.id]);
    if not canceled and pgqueue._is_given_up(m.id, most_attempts) then
      perform pgqueue._give_up(m, error);
      return 'failed';
    elsif not canceled then
      update pgqueue.message q
      set state = 'ready', token = null, worker_id = null, deliveries = greatest(q.deliveries - 1, 0), last_error = error - 'session_lost'
      where q.id = m.id;
      delete from pgqueue.activity a where a.id = m.id;
      perform pgqueue._wake(m.queue);
      return 'released';
    end if;
    error := error - 'session_lost';
  end if;
  -- Without max_attempts, conflicts with other transactions and a lack of resources on the server are retried, because neither is
  -- caused by the job. A deadlock with a session that waits for the job is not retried, because it would happen again. The server
  -- names the lock in the same way in every language.
  is_awaited := sqlstate_ = '40P01' and strpos(error ->> 'detail', format('[%s,%s,%s,1]',
    (select d.oid from pg_database d where d.datname = current_database()),
    pgqueue._run_key_of(id, token) >> 32 & 4294967295, pgqueue._run_key_of(id, token) & 4294967295)) > 0;
  retry := not canceled and is_awaited is not true and m.attempts + 1 < coalesce(most_attempts, case when sqlstate_ in ('40001', '40P01', '53100', '53300') then 10 else 1 end);
  if retry then
    perform pgqueue._note_attempt(m, error, a.started_at, w.name)
    from (select m.id, m.token, m.worker_id) c (id, token, worker_id)
    left join pgqueue.activity a on a.id = c.id and a.token = c.token
    left join pgqueue.worker w on w.id = c.worker_id;
    update pgqueue.message q
    set state = 'delayed', token = null, worker_id = null, deliveries = 0, attempts = m.attempts + 1, last_error = error,
        due_at = clock_timestamp() + least(interval '1 hour',
          coalesce(m.backoff, pgqueue._configured_for_queue(m.queue, m.submitter, 'backoff')::interval,
                   case when most_attempts is null and starts_with(sqlstate_, '40') then interval '20 ms' else interval '1 s' end) * power(2, least(m.attempts, 20)) * (0.75 + random() / 2))
    where q.id = m.id;
    delete from pgqueue.activity a where a.id = m.id;
    perform pgqueue._wake(m.queue);
    return 'retried';
  end if;
  if canceled then
    delete from pgqueue.message q where q.id = m.id;
    perform pgqueue._archive(m, 'canceled', error, null, null);
    return 'canceled';
  end if;
  perform pgqueue._fail_for_good(m, error);
  return 'failed';
end
$$;
comment on function pgqueue._fail_any_job(bigint, bigint, jsonb) is
  'Decides about a run that ended with an error and was rolled back: retried later, failed or canceled. released: it ended with its session and runs again. gone: the claim is lost. For workers';
grant execute on function pgqueue._fail_any_job(bigint, bigint, jsonb) to pgqueue_worker;

create or replace function pgqueue._fail_job(id bigint, token bigint, error jsonb, run_s float8 default null)
  returns pgqueue.ending
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  submitter oid := (select q.submitter from pgqueue.message q where q.id = _fail_job.id and q.token = _fail_job.token);
begin
  if submitter is null then
    return 'gone';
  end if;
  perform pgqueue._check_runner(id, submitter);
  if run_s is not null then
    perform pgqueue._note_run(id, token, pg_backend_pid(), run_s);
  end if;
  perform pgqueue._tell_of_snapshot(id);
  return pgqueue._fail_any_job(id, token, error);
end
$$;
comment on function pgqueue._fail_job(bigint, bigint, jsonb, float8) is
  'pgqueue._fail_any_job for a session that is logged in as the submitter. run_s: how long the job ran; NULL: it did not begin';
grant execute on function pgqueue._fail_job(bigint, bigint, jsonb, float8) to pgqueue_user;

create or replace function pgqueue._acquit(ids bigint[], tokens bigint[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  ran bigint;
  is_rescued boolean;
begin
  -- They run in this order, and a job that has ended is gone.
  select c.id, q.token is distinct from c.token into ran, is_rescued
  from unnest(ids, tokens) with ordinality c (id, token, n)
  join pgqueue.message q on q.id = c.id
  order by c.n
  limit 1;
  perform pgqueue._release(ids, tokens, true);
  if is_rescued then
    -- A worker that reconnected before this one has found the job without an owner, and counted that.
    insert into pgqueue.lost_session as l (id, acquittals) values (ran, 1)
    on conflict on constraint lost_session_pkey do update set acquittals = l.acquittals + 1;
  end if;
end
$$;
comment on function pgqueue._acquit(bigint[], bigint[]) is
  'Makes jobs ready again after the server has ended the session of the first remaining one together with all others; it counts against none of them. For workers';
grant execute on function pgqueue._acquit(bigint[], bigint[]) to pgqueue_worker;

create or replace function pgqueue._defer_job(id bigint, token bigint, note text, delay interval, longest interval)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
  error jsonb;
  deferrals int;
begin
  select * into m from pgqueue.message q where q.id = _defer_job.id and q.token = _defer_job.token for update;
  if found and not exists (select from pg_roles r where r.oid = m.submitter) then
    -- No worker can ever run it. A role that gets the name of the dropped one is another role.
    delete from pgqueue.message q where q.id = m.id;
    error := jsonb_build_object('sqlstate', '42704', 'message', format('role %s, which handed the job in, does not exist any more', m.submitter));
    perform pgqueue._archive(m, 'failed', error, null, null);
    -- A search for failures reads the attempts.
    perform pgqueue._note_attempt(m, error, null, null);
    return true;
  end if;
  -- Each job counts separately: another worker may be able to run it.
  deferrals := coalesce((m.last_error ->> 'deferrals')::int, 0);
  update pgqueue.message q
  set state = 'delayed', token = null, worker_id = null, deliveries = greatest(q.deliveries - 1, 0),
      due_at = clock_timestamp() + least(longest, delay * power(2, least(deferrals, 20))),
      last_error = jsonb_build_object('sqlstate', '28000', 'message', note, 'deferrals', deferrals + 1)
  where q.id = _defer_job.id and q.token = _defer_job.token;
  return found;
end
$$;
comment on function pgqueue._defer_job(bigint, bigint, text, interval, interval) is
  'Keeps a job queued that cannot run here now, with a note that says why. It is tried again after delay, then after twice that, and so on, up to longest';
grant execute on function pgqueue._defer_job(bigint, bigint, text, interval, interval) to pgqueue_worker;

create or replace function pgqueue._retry_deferred(role oid)
  returns bigint
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  queues text[];
begin
  with waiting as (
    select m.id from pgqueue.message m
    where m.state = 'delayed' and m.submitter = role and m.last_error ? 'deferrals'
    for update skip locked
  ), ready as (
    update pgqueue.message m set state = 'ready' from waiting w where m.id = w.id returning m.queue
  )
  select array_agg(r.queue) into queues from ready r;
  perform pgqueue._wake(q) from (select distinct unnest(queues)) r (q);
  return coalesce(cardinality(queues), 0);
end
$$;
comment on function pgqueue._retry_deferred(oid) is
  'Makes the jobs of a role ready at once that were deferred until the role could log in. Returns how many they are';
grant execute on function pgqueue._retry_deferred(oid) to pgqueue_worker;
