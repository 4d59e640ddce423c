-- Handing jobs in: launch, submit, enqueue.

create function pgqueue._check_options(sql text, queue text, priority int, delay interval, eta timestamptz, expires timestamptz,
                                       timeout interval, max_attempts int, backoff interval, durability text)
  returns timestamptz
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if sql is null then
    raise exception 'sql parameter cannot be NULL' using errcode = '22004';
  elsif trim(sql, E' \t\r\n') = '' then
    raise exception 'sql parameter cannot be empty' using errcode = '22023', hint = 'Give one or more SQL statements.';
  elsif octet_length(sql) > 16777216 then
    raise exception 'sql has more than 16 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif queue is null or octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  elsif priority is null or priority not between 0 and 9 then
    raise exception 'priority % is out of range', coalesce(priority::text, 'NULL') using errcode = '22023', hint = 'Priorities are 0 to 9; 9 runs first.';
  elsif delay is not null and eta is not null then
    raise exception 'both delay and eta are given' using errcode = '22023', hint = 'Give delay (from now) or eta (an instant).';
  elsif not isfinite(delay) or not isfinite(eta) then
    raise exception '% is not finite', case when delay is null then 'eta' else 'delay' end
      using errcode = '22023', hint = 'Leave it out to run the job at once.';
  elsif delay < interval '0' then
    raise exception 'delay is negative' using errcode = '22023', hint = 'Leave delay out to run the job at once.';
  elsif expires <= clock_timestamp() then
    raise exception 'expires is in the past' using errcode = '22023', hint = 'The job would never run.';
  elsif timeout <= interval '0' or not isfinite(timeout) then
    raise exception 'timeout must be positive and finite' using errcode = '22023', hint = 'Leave timeout out for none.';
  elsif max_attempts not between 1 and 1000 then
    raise exception 'max_attempts % is out of range', max_attempts using errcode = '22023', hint = 'Attempts are 1 to 1000; 1 never retries.';
  elsif backoff > interval '1 year' then
    raise exception 'backoff is more than a year' using errcode = '22023', hint = 'No wait is longer than an hour.';
  elsif backoff < interval '0' then
    raise exception 'backoff is negative' using errcode = '22023', hint = 'The wait before the second attempt; it doubles with each.';
  elsif durability not in ('sync', 'async') then
    raise exception 'durability "%" is not known', durability using errcode = '22023', hint = 'It is sync (the default) or async.';
  end if;
  -- A due time that has come is no due time: the message is ready.
  return case when coalesce(eta, clock_timestamp() + delay) > clock_timestamp() then coalesce(eta, clock_timestamp() + delay) end;
end
$$;
comment on function pgqueue._check_options(text, text, int, interval, timestamptz, timestamptz, interval, int, interval, text)
  is 'Refuses bad options at the door. Returns the instant at which the job is due, NULL for now';

create function pgqueue._refuse_params()
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'params must be one list' using errcode = '22023', hint = 'Give $1, $2 and so on as array[''a'', ''b''].';
end
$$;
comment on function pgqueue._refuse_params() is 'Says that parameters may not have more than one dimension';

create function pgqueue._inherited(captured jsonb)
  returns jsonb
  language sql immutable
begin atomic
  select captured - 'pgqueue.worker_timeout';
end;
comment on function pgqueue._inherited(jsonb) is 'What a job is given of captured settings';

create function pgqueue._inherited_timeout(captured jsonb)
  returns interval
  language sql stable
begin atomic
  select nullif((captured ->> 'pgqueue.worker_timeout')::interval, interval '0');
end;
comment on function pgqueue._inherited_timeout(jsonb) is 'The timeout of a job that is given none: pgqueue.worker_timeout as it was captured';

create function pgqueue._nobody_sleeps(queue text)
  returns boolean
  language sql volatile
begin atomic
  select pg_try_advisory_xact_lock_shared(pgqueue._lock_class('sleeper'), hashtext(queue));
end;
comment on function pgqueue._nobody_sleeps(text) is 'As pgqueue._wake asks it, within a statement. False: call that';

create function pgqueue._wake_for(queue text, due_at timestamptz)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Sleepers look at least once every naptime, and then see when the next message is due.
  if due_at is null or due_at < clock_timestamp() + pgqueue._naptime() * 2 then
    perform pgqueue._wake(queue);
  end if;
end
$$;
comment on function pgqueue._wake_for(text, timestamptz) is 'Wakes a worker for a message, unless it is due so late that the workers will see it by themselves';

create function pgqueue._with_durability(settings jsonb, durability text)
  returns jsonb
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return case when durability = 'async' then settings || '{"synchronous_commit": "off"}'
              -- Whatever the session, the role or the queue says. A session that waits for standbys goes on to.
              when durability = 'sync' and coalesce(settings ->> 'synchronous_commit', 'off') = 'off' then settings || '{"synchronous_commit": "on"}'
              else settings end;
comment on function pgqueue._with_durability(jsonb, text) is 'The settings of a job that says how durable it is to be';

create function pgqueue._may_log_in(role oid)
  returns boolean
  language sql stable
begin atomic
  select r.rolcanlogin from pg_roles r where r.oid = role;
end;
comment on function pgqueue._may_log_in(oid) is 'Whether a session of this role can be opened';

create function pgqueue._require_login(role oid)
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A job that keeps its result runs in a session of its submitter: this one would wait for ever.
  if not pgqueue._may_log_in(role) then
    raise exception 'role "%" may not log in, so its jobs cannot keep a result', pg_get_userbyid(role)
      using errcode = '55000', hint = format('Use pgqueue.submit, or pgqueue.enqueue without keep_result. Or let workers log in as the role: alter role %I login.', pg_get_userbyid(role));
  end if;
end
$$;
comment on function pgqueue._require_login(oid) is 'Raises 55000 for a role whose jobs cannot keep a result';

create function pgqueue._put_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], queue text,
                                 priority int, delay interval, eta timestamptz, expires timestamptz, timeout interval, max_attempts int,
                                 backoff interval, unique_key text, label text, durability text, cookie bigint)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  due_at timestamptz := pgqueue._check_options(sql, queue, priority, delay, eta, expires, timeout, max_attempts, backoff, durability);
  handle pgqueue.handle;
begin
  if array_ndims(params) > 1 then
    perform pgqueue._refuse_params();
  end if;
  timeout := coalesce(timeout, pgqueue._inherited_timeout(settings));
  settings := pgqueue._inherited(settings);
  if durability is not null then
    settings := pgqueue._with_durability(settings, durability);
  end if;
  loop
    if submitter is null then
      insert into pgqueue.outbox (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params,
                                  settings, timeout, backoff, label, unique_key)
      values (cookie, session_id, due_at, expires, 'job', case when due_at is null then 'ready' else 'delayed' end::pgqueue.message_state,
              kept, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label, unique_key)
      on conflict do nothing
      returning outbox.id, outbox.cookie into handle.id, handle.cookie;
    else
      insert into pgqueue.inbox (submitter, cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql,
                                   params, settings, timeout, backoff, label, unique_key)
      values (submitter, cookie, session_id, due_at, expires, 'job', case when due_at is null then 'ready' else 'delayed' end::pgqueue.message_state,
              kept, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label, unique_key)
      on conflict do nothing
      returning inbox.id, inbox.cookie into handle.id, handle.cookie;
    end if;
    if handle.id is not null then
      if due_at is null then
        perform pgqueue._wake(queue);
      else
        perform pgqueue._wake_for(queue, due_at);
      end if;
      return handle;
    end if;
    -- The unique key is taken: the handle of the unfinished job that has it. If that job has just ended, insert again.
    if submitter is null then
      select o.id, o.cookie into handle from pgqueue.outbox o where o.unique_key = _put_job.unique_key;
    else
      select m.id, m.cookie into handle from pgqueue.message m where m.submitter = _put_job.submitter and m.unique_key = _put_job.unique_key;
    end if;
    if handle.id is not null then
      return handle;
    end if;
  end loop;
end
$$;
comment on function pgqueue._put_job(oid, pgqueue.result_kept, jsonb, bigint, text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text, bigint)
  is 'Inserts a job. submitter NULL: as the role that runs, which the table sees by itself';

create function pgqueue._hand_in(kept pgqueue.result_kept, settings jsonb, sql text, params text[], queue text, priority int, delay interval,
                                 eta timestamptz, expires timestamptz, timeout interval, max_attempts int, backoff interval,
                                 unique_key text, label text, durability text)
  returns pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  handle pgqueue.handle;
  due_at timestamptz;
  state text;
  message text;
  detail text;
  hint text;
begin
  if sql is null or sql ~ '^[[:space:]]*$'
     or not pgqueue._is_plain_call(queue, priority, delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability)
  then
    -- The gate would refuse the same, but from far away, with a long CONTEXT. And a delay of a day ends in the caller's time zone.
    due_at := pgqueue._check_options(sql, queue, priority, delay, eta, expires, timeout, max_attempts, backoff, durability);
  end if;
  begin
    select (c.answer ->> 'id')::bigint, (c.answer ->> 'cookie')::bigint into handle.id, handle.cookie
    from pgqueue._call('launch', jsonb_strip_nulls(jsonb_build_object(
      'kept', kept, 'settings', settings, 'session_id', pgqueue._session_id(), 'sql', sql, 'params', params, 'queue', queue,
      'priority', priority, 'eta', due_at, 'expires', expires, 'timeout', timeout, 'max_attempts', max_attempts,
      'backoff', backoff, 'unique_key', unique_key, 'label', label, 'durability', durability, 'cookie', pgqueue._random_bigint(),
      'max_workers', pgqueue._setting('max_workers', null)))) c (answer);
  exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    if pgqueue._raise_again(state, message, detail, hint) then
      null;  -- as an expression: PERFORM would stand in the CONTEXT as a statement
    end if;
  end;
  return handle;
end
$$;
comment on function pgqueue._hand_in(pgqueue.result_kept, jsonb, text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text)
  is 'Hands a job in over the loopback';

create function pgqueue.launch(sql text, params text[] default null, queue text default 'default', priority int default 0,
                               delay interval default null, eta timestamptz default null, expires timestamptz default null,
                               timeout interval default null, max_attempts int default null, backoff interval default null,
                               unique_key text default null, label text default null, durability text default null)
  returns pgqueue.handle
  language plpgsql volatile
as $$
declare
  settings pg_catalog.jsonb;
begin
  select s.settings into settings from pgqueue.own_settings s;
  return pgqueue._hand_in('once', coalesce(settings, pgqueue._settings()), sql, params, queue, priority, delay, eta, expires, timeout, max_attempts, backoff,
                          unique_key, label, durability);
end
$$;
comment on function pgqueue.launch(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text)
  is 'Runs SQL in a transaction of its own, at once, whatever becomes of the caller''s. Its result can be read once with pgqueue.result';

create function pgqueue.submit(sql text, params text[] default null, queue text default 'default', priority int default 0,
                               delay interval default null, eta timestamptz default null, expires timestamptz default null,
                               timeout interval default null, max_attempts int default null, backoff interval default null,
                               unique_key text default null, label text default null, durability text default null)
  returns pgqueue.handle
  language plpgsql volatile
as $$
declare
  settings pg_catalog.jsonb;
begin
  select s.settings into settings from pgqueue.own_settings s;
  return pgqueue._hand_in('none', coalesce(settings, pgqueue._settings()), sql, params, queue, priority, delay, eta, expires, timeout, max_attempts, backoff,
                          unique_key, label, durability);
end
$$;
comment on function pgqueue.submit(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text)
  is 'Like pgqueue.launch, but keeps no result: fire and forget. Errors are kept in pgqueue.jobs';

create function pgqueue._is_plain_call(queue text, priority int, delay interval, eta timestamptz, expires timestamptz, timeout interval, max_attempts int,
                                       backoff interval, unique_key text, label text, durability text)
  returns boolean
  language sql immutable
begin atomic
  select queue is not null and priority = 0 and num_nonnulls(delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability) = 0;
end;
comment on function pgqueue._is_plain_call(text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text)
  is 'Whether a job is handed in with no option but its queue';

create function pgqueue._known_settings(backend_pid int, captured jsonb)
  returns jsonb
  language sql volatile
begin atomic
  -- A program that has a session for itself asks once what its jobs inherit. Behind a pooler the session may be another one by now.
  select case when backend_pid = pg_backend_pid() then captured else pgqueue._settings() end;
end;
comment on function pgqueue._known_settings(int, jsonb) is 'What was captured in this session by whoever says so; if it was another session, what is captured now';

create function pgqueue._enqueue(kept pgqueue.result_kept, settings jsonb, sql text, params text[], queue text, priority int, delay interval,
                                 eta timestamptz, expires timestamptz, timeout interval, max_attempts int, backoff interval,
                                 unique_key text, label text, durability text)
  returns pgqueue.handle
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  handle pgqueue.handle;
  nobody_sleeps boolean;
begin
  if kept operator(pg_catalog.<>) 'none' then
    perform pgqueue._require_login(pg_catalog.quote_ident(current_user)::pg_catalog.regrole);
  end if;
  if pgqueue._is_plain_call(queue, priority, delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability) then
    -- The usual job is one statement, and pgqueue.inbox refuses a bad one. Each expression more would be prepared anew in each
    -- transaction. A SET clause would cost as much, so whatever could be shadowed stands in functions that are bound to what they call.
    insert into pgqueue.outbox (cookie, session_id, kind, kept, queue, sql, params, settings, timeout)
    values (pgqueue._random_bigint(), pgqueue._session_id(), 'job', kept, queue, sql, params, pgqueue._inherited(settings),
            pgqueue._inherited_timeout(settings))
    returning outbox.id, outbox.cookie, pgqueue._nobody_sleeps(queue) into handle.id, handle.cookie, nobody_sleeps;
    if not nobody_sleeps then
      perform pgqueue._wake(queue);
    end if;
    return handle;
  end if;
  return pgqueue._put_job(null, kept, settings, pgqueue._session_id(), sql, params, queue, priority, delay, eta, expires, timeout,
                          max_attempts, backoff, unique_key, label, durability, pgqueue._random_bigint());
end
$$;
comment on function pgqueue._enqueue(pgqueue.result_kept, jsonb, text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text)
  is 'Inserts a job in the caller''s transaction. That the role is enrolled was seen when its settings were captured';

create function pgqueue._require_enrolled()
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from pgqueue.own_key) then
    perform pgqueue._refuse_stranger(quote_ident(current_user)::regrole);
  end if;
end
$$;
comment on function pgqueue._require_enrolled() is 'Raises 42501 unless the role that runs is enrolled';

create function pgqueue.enqueue(sql text, params text[] default null, queue text default 'default', priority int default 0,
                                delay interval default null, eta timestamptz default null, expires timestamptz default null,
                                timeout interval default null, max_attempts int default null, backoff interval default null,
                                unique_key text default null, label text default null, durability text default null,
                                keep_result boolean default false)
  returns pgqueue.handle
  language plpgsql volatile
as $$
declare
  settings pg_catalog.jsonb;
begin
  -- No SET clause here: it would hide the search_path that the job inherits.
  select s.settings into settings from pgqueue.own_settings s;
  return pgqueue._enqueue(case when keep_result then 'many' else 'none' end::pgqueue.result_kept, coalesce(settings, pgqueue._settings()), sql,
                          params, queue, priority, delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability);
end
$$;
comment on function pgqueue.enqueue(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text, boolean)
  is 'Runs SQL after the caller has committed, never if it rolls back. keep_result: its result can be read until retention';

create function pgqueue.enqueue_many(sql text[], params text[] default null, queue text default 'default', priority int default 0,
                                     delay interval default null, eta timestamptz default null, expires timestamptz default null,
                                     timeout interval default null, max_attempts int default null, backoff interval default null,
                                     unique_keys text[] default null, label text default null, durability text default null,
                                     keep_result boolean default false, rows text[] default null)
  returns setof pgqueue.handle
  language plpgsql volatile
as $$
begin
  return query select * from pgqueue._enqueue_many(
    case when keep_result then 'many' else 'none' end::pgqueue.result_kept, pgqueue._settings(), sql, params, queue, priority, delay, eta,
    expires, timeout, max_attempts, backoff, unique_keys, label, durability, rows);
end
$$;
comment on function pgqueue.enqueue_many(text[], text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text[], text, text, boolean, text[])
  is 'pgqueue.enqueue for many statements at once, in their order, all with the same parameters; or for one statement and rows, the parameters of each job. All take the same options; unique_keys has a key for each, NULL for none';

create function pgqueue._check_rows(sql text[], params text[], rows text[])
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if cardinality(sql) <> 1 then
    raise exception 'rows are the parameters of one statement, and % are given', cardinality(sql)
      using errcode = '22023', hint = 'Give the statement as array[''insert into t values ($1)''].';
  elsif params is not null then
    raise exception 'both params and rows are given' using errcode = '22023', hint = 'Give params (the same for all jobs) or rows (those of each job).';
  elsif array_ndims(rows) <> 2 then
    raise exception 'rows must be a list of lists' using errcode = '22023', hint = 'Give the parameters of each job, as array[array[''a'', ''1''], array[''b'', ''2'']].';
  end if;
end
$$;
comment on function pgqueue._check_rows(text[], text[], text[]) is 'Refuses rows of parameters that are none';

create function pgqueue._jobs_of(sql text[], params text[], unique_keys text[], rows text[])
  returns table (n bigint, statement text, row_params text[], unique_key text)
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select s.n, coalesce(s.statement, case when rows is not null then sql[1] end), coalesce(r.row_params, params), s.unique_key
  from unnest(case when rows is null then sql else array_fill(null::text, array[array_length(rows, 1)]) end, unique_keys) with ordinality s (statement, unique_key, n)
  left join (select (u.n - 1) / array_length(rows, 2) + 1 as n, array_agg(u.value order by u.n) as row_params
             from unnest(rows) with ordinality u (value, n) group by 1) r on r.n = s.n
$$;
comment on function pgqueue._jobs_of(text[], text[], text[], text[]) is 'The jobs that enqueue_many is given: one for each statement, or one for each row of parameters';

create function pgqueue._cookie(seed bytea, n bigint)
  returns bigint
  language sql immutable
begin atomic
  -- Of each message of a set. Random bits for each would cost a third of the whole: many servers open /dev/urandom for them.
  select hashtextextended(encode(sha256(seed || int8send(n)), 'hex'), 0);
end;
comment on function pgqueue._cookie(bytea, bigint) is '64 bits that only who knows the seed can tell, for the cookies of a set';

create function pgqueue._enqueue_many(kept pgqueue.result_kept, settings jsonb, sql text[], params text[], queue text, priority int,
                                      delay interval, eta timestamptz, expires timestamptz, timeout interval, max_attempts int,
                                      backoff interval, unique_keys text[], label text, durability text, rows text[] default null)
  returns setof pgqueue.handle
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  due_at timestamptz;
  state pgqueue.message_state;
  my_session bigint := pgqueue._session_id();
  seed bytea := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
  added_ids bigint[];
  added_cookies bigint[];
  added_keys text[];
  count int := cardinality(sql);
begin
  if kept <> 'none' then
    perform pgqueue._require_login(quote_ident(current_user)::regrole);
  end if;
  due_at := pgqueue._check_options(case when sql is not null then 'many' end, queue, priority, delay, eta, expires, timeout, max_attempts, backoff, durability);
  state := case when due_at is null then 'ready' else 'delayed' end;
  if array_ndims(params) > 1 then
    perform pgqueue._refuse_params();
  end if;
  if rows is not null then
    perform pgqueue._check_rows(sql, params, rows);
    count := coalesce(array_length(rows, 1), 0);
    if count = 0 then
      return;
    end if;
  end if;
  timeout := coalesce(timeout, pgqueue._inherited_timeout(settings));
  settings := pgqueue._inherited(settings);
  if durability is not null then
    settings := pgqueue._with_durability(settings, durability);
  end if;
  if unique_keys is null and rows is null then
    return query
    with added as (
      insert into pgqueue.outbox (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params,
                                  settings, timeout, backoff, label)
      select pgqueue._cookie(seed, s.n), my_session, due_at, expires, 'job', state, kept, priority, max_attempts, queue, s.statement,
             params, settings, timeout, backoff, label
      from unnest(sql) with ordinality s (statement, n)
      order by s.n
      returning outbox.id, outbox.cookie
    )
    select a.id, a.cookie from added a order by a.id;
  else
    if cardinality(unique_keys) <> count or array_ndims(unique_keys) > 1 then
      raise exception 'unique_keys must be as long as %', case when rows is null then 'sql' else 'rows' end using errcode = '22023', hint = 'Give NULL for a statement that has no key.';
    end if;
    with added as (
      insert into pgqueue.outbox (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params,
                                  settings, timeout, backoff, label, unique_key)
      select pgqueue._cookie(seed, s.n), my_session, due_at, expires, 'job', state, kept, priority, max_attempts, queue, s.statement,
             s.row_params, settings, timeout, backoff, label, s.unique_key
      from pgqueue._jobs_of(sql, params, unique_keys, rows) s
      order by s.n
      on conflict do nothing
      returning outbox.id, outbox.cookie, outbox.unique_key
    )
    select array_agg(a.id order by a.id), array_agg(a.cookie order by a.id), array_agg(a.unique_key order by a.id)
    into added_ids, added_cookies, added_keys from added a;
    -- What was not inserted has a key that another job has, or an earlier one of the list. Those without a key were all inserted, in order.
    return query
    select (j.handle).id, (j.handle).cookie
    from (
      select s.n, case when a.id is not null then (a.id, a.cookie)::pgqueue.handle
                  else pgqueue._put_job(null, kept, settings, my_session, s.statement, s.row_params, queue, priority, delay, eta, expires, timeout,
                                        max_attempts, backoff, s.unique_key, label, durability, pgqueue._cookie(seed, s.n)) end as handle
      from (select i.*, case when i.unique_key is null then row_number() over (partition by i.unique_key order by i.n) end as nth
            from pgqueue._jobs_of(sql, params, unique_keys, rows) i) s
      left join (select i.*, case when i.unique_key is null then row_number() over (partition by i.unique_key order by i.id) end as nth
                 from unnest(added_ids, added_cookies, added_keys) i (id, cookie, unique_key)) a
        on coalesce(a.unique_key, '') = coalesce(s.unique_key, '') and coalesce(a.nth, 0) = coalesce(s.nth, 0)
      order by s.n
    ) j;
  end if;
  perform pgqueue._wake_for(queue, due_at);
end
$$;
comment on function pgqueue._enqueue_many(pgqueue.result_kept, jsonb, text[], text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text[], text, text, text[])
  is 'Inserts many jobs in the caller''s transaction, in one statement';
