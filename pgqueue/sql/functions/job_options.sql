-- after: captured_settings
-- The options of a job: the checks, and the calls that need none.

create or replace function pgqueue._options(queue text, priority int default 0, delay interval default null, eta timestamptz default null,
                                 expires timestamptz default null, timeout interval default null, max_attempts int default null,
                                 backoff interval default null, label text default null)
  returns pgqueue.job_options
  language sql immutable
begin atomic
  select (queue, priority, delay, eta, expires, timeout, max_attempts, backoff, null, label, null, null, null, null, null, null, null, null)::pgqueue.job_options;
end;
comment on function pgqueue._options(text, int, interval, timestamptz, timestamptz, interval, int, interval, text) is
  'The options of a job for a caller that sets only some of them';
grant execute on function pgqueue._options(text, int, interval, timestamptz, timestamptz, interval, int, interval, text) to pgqueue_user;

create or replace function pgqueue._check_options(sql text, options pgqueue.job_options)
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
  elsif options.queue is null or octet_length(options.queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  elsif options.priority is null or options.priority not between 0 and 9 then
    raise exception 'priority % is out of range', coalesce(options.priority::text, 'NULL') using errcode = '22023', hint = 'Priorities are 0 to 9; 9 runs first.';
  elsif options.delay is not null and options.eta is not null then
    raise exception 'both delay and eta are given' using errcode = '22023', hint = 'Give delay (from now) or eta (an instant).';
  elsif not isfinite(options.delay) or not isfinite(options.eta) then
    raise exception '% is not finite', case when options.delay is null then 'eta' else 'delay' end
      using errcode = '22023', hint = 'Leave it out to run the job at once.';
  elsif options.delay < interval '0' then
    raise exception 'delay is negative' using errcode = '22023', hint = 'Leave delay out to run the job at once.';
  elsif options.expires <= clock_timestamp() then
    raise exception 'expires is in the past' using errcode = '22023', hint = 'The job would never run.';
  elsif options.timeout <= interval '0' or not isfinite(options.timeout) then
    raise exception 'timeout must be positive and finite' using errcode = '22023', hint = 'Leave timeout out for none.';
  elsif options.max_attempts not between 1 and 1000 then
    raise exception 'max_attempts % is out of range', options.max_attempts using errcode = '22023', hint = 'Attempts are 1 to 1000; 1 never retries.';
  elsif options.backoff > interval '1 year' then
    raise exception 'backoff is more than a year' using errcode = '22023', hint = 'No wait is longer than an hour.';
  elsif options.backoff < interval '0' then
    raise exception 'backoff is negative' using errcode = '22023', hint = 'The wait before the second attempt; it doubles with each.';
  elsif options.durability not in ('sync', 'async') then
    raise exception 'durability "%" is not known', options.durability using errcode = '22023', hint = 'It is sync (the default) or async.';
  elsif not pgqueue._is_traceparent(options.traceparent) then
    perform pgqueue._refuse_traceparent(options.traceparent);
  elsif octet_length(options.limit_key) not between 1 and 255 then
    raise exception 'limit_key must have 1 to 255 bytes' using errcode = '22023', hint = 'It names whose limit counts, for example a tenant. Leave it out for none.';
  elsif options.on_parent_failure not in ('cancel', 'run') then
    raise exception 'on_parent_failure "%" is not known', options.on_parent_failure using errcode = '22023', hint = 'It is cancel (the default) or run.';
  elsif array_ndims(options.after) > 1 or array_position(options.after, null) is not null or exists (select from unnest(options.after) p where p.id is null) then
    raise exception 'after must be a list of handles' using errcode = '22023', hint = 'Give array[handle, ...], or leave it out if the job waits for none.';
  elsif options.on_conflict in ('replace', 'debounce') and (options.after <> '{}' or options.batch is not null) then
    raise exception 'on_conflict "%" goes with neither after nor batch', options.on_conflict
      using errcode = '22023', hint = 'What a waiting job waits for, and its batches, are not replaced. Use keep or raise.';
  elsif num_nonnulls(options.unique_key, options.unique_for, options.on_conflict) > 0 then
    perform pgqueue._check_key(options.unique_key, options.unique_for, options.on_conflict);
  end if;
  -- A due time that has passed counts as none: the message is ready.
  return case when coalesce(options.eta, clock_timestamp() + options.delay) > clock_timestamp() then coalesce(options.eta, clock_timestamp() + options.delay) end;
end
$$;
comment on function pgqueue._check_options(text, pgqueue.job_options)
  is
  'Raises an error for invalid options of a job. Returns the instant at which the job is due, NULL for now';
grant execute on function pgqueue._check_options(text, pgqueue.job_options) to pgqueue_user;

create or replace function pgqueue._refuse_params()
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'params must be one list' using errcode = '22023', hint = 'Give $1, $2 and so on as array[''a'', ''b''].';
end
$$;
comment on function pgqueue._refuse_params() is 'Says that parameters may not have more than one dimension';
grant execute on function pgqueue._refuse_params() to pgqueue_user;

create or replace function pgqueue._is_plain_call(options pgqueue.job_options)
  returns boolean
  language sql immutable
begin atomic
  select options.queue is not null and options.priority = 0
     and num_nonnulls(options.delay, options.eta, options.expires, options.timeout, options.max_attempts, options.backoff, options.unique_key,
                      options.label, options.durability, options.traceparent, options.limit_key, options.after, options.batch, options.unique_for) = 0
     and coalesce(options.on_parent_failure, 'cancel') = 'cancel'
     and coalesce(options.on_conflict = 'keep', true);
end;
comment on function pgqueue._is_plain_call(pgqueue.job_options) is 'Whether a job is submitted with no option but its queue';
grant execute on function pgqueue._is_plain_call(pgqueue.job_options) to pgqueue_user;

create or replace function pgqueue._check_settings(settings jsonb)
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  given constant text := settings ->> 'pgqueue.worker_timeout';
begin
  if octet_length(settings::text) > 1000000 then
    raise exception 'settings have more than 1 MB' using errcode = '54000', hint = 'Name fewer or shorter settings in pgqueue.inherit.';
  elsif jsonb_path_exists(settings, 'strict $ ? (@.type() <> "object" || @.*.type() <> "string")') then
    raise exception 'settings have not the shape that workers rely on' using errcode = '22023', hint = 'Use the functions of the schema pgqueue.';
  elsif given is not null then
    -- The job is made later, with the end of a batch or in upkeep, and would fail that, also for other roles.
    begin
      if given::interval < interval '0' or not isfinite(given::interval) then
        raise invalid_parameter_value;
      end if;
    exception when data_exception then
      raise exception 'pgqueue.worker_timeout "%" is no timeout', left(given, 100)
        using errcode = '22023', hint = 'It is a positive interval, for example 1 h, or 0 for none.';
    end;
  end if;
end
$$;
comment on function pgqueue._check_settings(jsonb) is 'Raises an error for settings that a role has written itself and that no job could have: they are names with texts';

create or replace function pgqueue._settings_of_job(settings jsonb, options pgqueue.job_options)
  returns jsonb
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return pgqueue._with_durability(pgqueue._inherited(settings), options.durability)
         || case when options.traceparent is null then '{}' else jsonb_build_object('pgqueue.traceparent', options.traceparent) end;
comment on function pgqueue._settings_of_job(jsonb, pgqueue.job_options) is
  'The settings that a job inherits, with those that its options set for its session';
grant execute on function pgqueue._settings_of_job(jsonb, pgqueue.job_options) to pgqueue_user;
