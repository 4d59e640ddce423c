-- The options of a job: what is refused, and which calls need no check.

create or replace function pgqueue._check_options(sql text, queue text, priority int, delay interval, eta timestamptz, expires timestamptz,
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
grant execute on function pgqueue._check_options(text, text, int, interval, timestamptz, timestamptz, interval, int, interval, text) to pgqueue_user;

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

create or replace function pgqueue._is_plain_call(queue text, priority int, delay interval, eta timestamptz, expires timestamptz, timeout interval, max_attempts int,
                                       backoff interval, unique_key text, label text, durability text)
  returns boolean
  language sql immutable
begin atomic
  select queue is not null and priority = 0 and num_nonnulls(delay, eta, expires, timeout, max_attempts, backoff, unique_key, label, durability) = 0;
end;
comment on function pgqueue._is_plain_call(text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text)
  is 'Whether a job is handed in with no option but its queue';
grant execute on function pgqueue._is_plain_call(text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text) to pgqueue_user;
