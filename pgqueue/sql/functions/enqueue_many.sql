-- Submit many jobs with one statement.

create or replace function pgqueue._check_rows(sql text[], params text[], rows text[])
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
comment on function pgqueue._check_rows(text[], text[], text[]) is 'Raises an error if the rows of parameters are invalid';
grant execute on function pgqueue._check_rows(text[], text[], text[]) to pgqueue_user;

create or replace function pgqueue._jobs_of(sql text[], params text[], unique_keys text[], rows text[])
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
grant execute on function pgqueue._jobs_of(text[], text[], text[], text[]) to pgqueue_user;

create or replace function pgqueue._enqueue_many(kept pgqueue.result_kept, settings jsonb, sql text[], params text[],
                                                 options pgqueue.job_options, unique_keys text[], rows text[] default null)
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
  put_ids bigint[];
  put_cookies bigint[];
  count int := cardinality(sql);
  job_settings jsonb;
begin
  if kept <> 'none' then
    perform pgqueue._require_login(quote_ident(current_user)::regrole);
  end if;
  if exists (select from unnest(unique_keys) u (key) where u.key is not null) then
    options.unique_key := '';
  end if;
  due_at := pgqueue._check_options(case when sql is not null then 'many' end, options);
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
  if unique_keys is not null and (cardinality(unique_keys) <> count or array_ndims(unique_keys) > 1) then
    raise exception 'unique_keys must be as long as %', case when rows is null then 'sql' else 'rows' end using errcode = '22023', hint = 'Give NULL for a statement that has no key.';
  end if;
  job_settings := pgqueue._settings_of_job(settings, options);
  options.timeout := coalesce(options.timeout, pgqueue._inherited_timeout(settings));
  if options.unique_key is not null then
    insert into pgqueue.keyed_set as k (session_id, due_at, expires_at, kept, priority, max_attempts, queue, settings, timeout, backoff, label, limit_key,
                                        unique_for, on_conflict, waits, seed, statements, params, unique_keys, rows)
    values (my_session, due_at, options.expires, kept, options.priority, options.max_attempts, options.queue, job_settings, options.timeout, options.backoff,
            options.label, options.limit_key, options.unique_for, options.on_conflict, options.after <> '{}', seed, sql, params, unique_keys, rows)
    returning k.ids, k.cookies, k.put_ids, k.put_cookies into added_ids, added_cookies, put_ids, put_cookies;
    return query select * from unnest(added_ids, added_cookies);
    if put_ids <> '{}' and (options.after <> '{}' or options.batch is not null) then
      perform pgqueue._depend(put_ids, put_cookies, options);
    end if;
    return;
  end if;
  if rows is null and options.after is null and options.batch is null then
    return query
    with added as (
      insert into pgqueue.outbox (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params,
                                  settings, timeout, backoff, label, limit_key)
      select pgqueue._seeded_bigint(seed, s.n), my_session, due_at, options.expires, 'job', state, kept, options.priority, options.max_attempts, options.queue, s.statement,
             params, job_settings, options.timeout, options.backoff, options.label, options.limit_key
      from unnest(sql) with ordinality s (statement, n)
      order by s.n
      returning outbox.id, outbox.cookie
    )
    select a.id, a.cookie from added a order by a.id;
  else
    with added as (
      insert into pgqueue.outbox (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params,
                                  settings, timeout, backoff, label, limit_key)
      select pgqueue._seeded_bigint(seed, s.n), my_session, due_at, options.expires, 'job', state, kept, options.priority, options.max_attempts, options.queue, s.statement,
             s.row_params, job_settings, options.timeout, options.backoff, options.label, options.limit_key
      from pgqueue._jobs_of(sql, params, unique_keys, rows) s
      order by s.n
      returning outbox.id, outbox.cookie
    )
    select array_agg(a.id order by a.id), array_agg(a.cookie order by a.id) into added_ids, added_cookies from added a;
    return query select * from unnest(added_ids, added_cookies);
  end if;
  if added_ids <> '{}' and (options.after <> '{}' or options.batch is not null) then
    perform pgqueue._depend(added_ids, added_cookies, options);
  end if;
  perform pgqueue._wake_for(options.queue, due_at);
end
$$;
comment on function pgqueue._enqueue_many(pgqueue.result_kept, jsonb, text[], text[], pgqueue.job_options, text[], text[])
  is 'Inserts many jobs in the caller''s transaction, in one statement';
grant execute on function pgqueue._enqueue_many(pgqueue.result_kept, jsonb, text[], text[], pgqueue.job_options, text[], text[]) to pgqueue_user;

create or replace function pgqueue.enqueue_many(sql text[], params text[] default null, queue text default 'default', priority int default 0,
                                     delay interval default null, eta timestamptz default null, expires timestamptz default null,
                                     timeout interval default null, max_attempts int default null, backoff interval default null,
                                     unique_keys text[] default null, label text default null, durability text default null,
                                     keep_result boolean default false, rows text[] default null, traceparent text default null, limit_key text default null,
                                     after pgqueue.handle[] default null, on_parent_failure text default 'cancel', batch bigint default null,
                                     unique_for interval default null, on_conflict text default 'keep')
  returns setof pgqueue.handle
  language plpgsql volatile
as $$
begin
  return query select * from pgqueue._enqueue_many(
    case when keep_result then 'many' else 'none' end::pgqueue.result_kept, pgqueue._settings(), sql, params,
    row(queue, priority, delay, eta, expires, timeout, max_attempts, backoff, null, label, durability, traceparent, limit_key,
        after, on_parent_failure, batch, unique_for, on_conflict)::pgqueue.job_options, unique_keys, rows);
end
$$;
comment on function pgqueue.enqueue_many(text[], text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text[], text, text, boolean, text[], text, text, pgqueue.handle[], text, bigint, interval, text)
  is 'Enqueues many statements in their order, all with the same params, or one statement with rows, an array of the parameters of each job. All jobs have the same options. unique_keys has a key for each job, NULL for none';
grant execute on function pgqueue.enqueue_many(text[], text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text[], text, text, boolean, text[], text, text, pgqueue.handle[], text, bigint, interval, text) to pgqueue_user;
