-- The logs of jobs: the messages that they raise, written by their workers while they run, and read by handle.

create or replace function pgqueue._write_job_log(lines jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  max_lines constant int := 1000;
  max_bytes constant int := 262144;
  now_at timestamptz := clock_timestamp();
  job_id bigint;
  line_count bigint;
  bytes bigint;
  is_cut boolean;
begin
  perform set_config('synchronous_commit', 'off', true);
  for job_id in select distinct (l.line ->> 'id')::bigint from jsonb_array_elements(lines) l (line) loop
    -- A job moves from the queue to the history and never back, so reading the history second finds it.
    if not exists (select from pgqueue.message m where m.id = job_id and m.kind = 'job') and (pgqueue._ended_job(job_id)).id is null then
      continue;
    end if;
    select count(*), coalesce(sum(pgqueue._line_bytes(l.message, l.detail, l.hint)), 0), coalesce(bool_or(l.is_last), false) into line_count, bytes, is_cut
    from pgqueue.job_log_line l
    where l.id = job_id;
    if is_cut then
      continue;
    end if;
    with said as (
      select t.place, t.line, row_number() over w as lines_here,
             sum(pgqueue._line_bytes(t.line ->> 'message', t.line ->> 'detail', t.line ->> 'hint')) over w as bytes_here
      from jsonb_array_elements(lines) with ordinality t (line, place)
      where (t.line ->> 'id')::bigint = job_id
      window w as (order by t.place)
    ), fitting as (
      insert into pgqueue.job_log_line (id, written_at, place, at, severity, sqlstate, message, detail, hint)
      select job_id, now_at, s.place, now_at - (s.line ->> 'age_ms')::float8 * interval '1 ms', s.line ->> 'severity', s.line ->> 'sqlstate',
             coalesce(s.line ->> 'message', ''), s.line ->> 'detail', s.line ->> 'hint'
      from said s
      where line_count + s.lines_here <= max_lines and bytes + s.bytes_here <= max_bytes
    )
    insert into pgqueue.job_log_line (id, written_at, place, at, severity, sqlstate, message, is_last)
    select job_id, now_at, s.place, now_at - (s.line ->> 'age_ms')::float8 * interval '1 ms', 'WARNING', '01000',
           'the log of the job was cut here: it has 1,000 lines or 256 kB at most', true
    from said s
    where line_count + s.lines_here > max_lines or bytes + s.bytes_here > max_bytes
    order by s.place
    limit 1;
  end loop;
end
$$;
comment on function pgqueue._write_job_log(jsonb) is
  'Writes what jobs have said, from another session than theirs: 1,000 lines and 256 kB of each job, and then a line that says that more was said. For workers';
grant execute on function pgqueue._write_job_log(jsonb) to pgqueue_worker;

create or replace function pgqueue._line_bytes(message text, detail text, hint text)
  returns bigint
  language sql immutable
  set search_path = pg_catalog, pg_temp
  return coalesce(octet_length(message), 0)::bigint + coalesce(octet_length(detail), 0) + coalesce(octet_length(hint), 0);
comment on function pgqueue._line_bytes(text, text, text) is 'How long the texts of a line of a log are';

create or replace function pgqueue._job_log_of(role oid, handle pgqueue.handle)
  returns setof jsonb
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._locate(role, handle, '42704');
  return query
  select jsonb_build_object('at', extract(epoch from l.at), 'severity', l.severity, 'sqlstate', l.sqlstate, 'message', l.message, 'detail', l.detail, 'hint', l.hint)
  from pgqueue.job_log_line l
  where l.id = handle.id
  order by l.written_at, l.place;
end
$$;
comment on function pgqueue._job_log_of(oid, pgqueue.handle) is 'The gate''s half of job_log';

create or replace function pgqueue.job_log(handle pgqueue.handle)
  returns table (at timestamptz, severity text, sqlstate text, message text, detail text, hint text)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._status(handle);
  return query
  select to_timestamp((c.answer ->> 'at')::float8), c.answer ->> 'severity', c.answer ->> 'sqlstate', c.answer ->> 'message', c.answer ->> 'detail', c.answer ->> 'hint'
  from pgqueue._call('log', pgqueue._request(handle)) with ordinality c (answer, place)
  order by c.place;
end
$$;
comment on function pgqueue.job_log(pgqueue.handle) is
  'Returns what a job has said with RAISE INFO, NOTICE or WARNING, in order, also while it runs and after a rollback. A worker writes it within 200 ms, up to 1,000 lines and 256 kB of a job; the last line then says that the log was cut';
grant execute on function pgqueue.job_log(pgqueue.handle) to pgqueue_user;
