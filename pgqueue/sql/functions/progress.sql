-- The progress that a job reports.

create or replace function pgqueue._cut(value text, max_bytes int)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  value := left(value, max_bytes);
  while octet_length(value) > max_bytes loop
    value := left(value, -1);
  end loop;
  return value;
end
$$;
comment on function pgqueue._cut(text, int) is 'The beginning of a text: whole characters, at most this many bytes';
grant execute on function pgqueue._cut(text, int) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._set_progress(id bigint, token bigint, pct int, msg text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  update pgqueue.activity a
  set progress_pct = greatest(0, least(100, pct)), progress_msg = pgqueue._cut(msg, 63)
  where a.id = _set_progress.id and a.token = _set_progress.token;
end
$$;
comment on function pgqueue._set_progress(bigint, bigint, int, text) is 'Writes the progress of a running job, from another session than its own';
grant execute on function pgqueue._set_progress(bigint, bigint, int, text) to pgqueue_worker;

create or replace function pgqueue.progress(pct int, msg text default null)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if nullif(current_setting('pgqueue.job_id', true), '') is null then
    raise exception 'pgqueue.progress can only be called from a job' using errcode = '0A000';
  elsif pct is null then
    raise exception 'pct must not be NULL' using errcode = '22004';
  end if;
  -- An INFO reaches the client during a statement, whatever client_min_messages is. The client is the worker.
  raise info using errcode = 'PQ001', message = jsonb_build_object('job', current_setting('pgqueue.job_id'), 'pct', greatest(0, least(100, pct)), 'msg', pgqueue._cut(msg, 63))::text;
end
$$;
comment on function pgqueue.progress(int, text) is 'Reports the progress of the job that calls it, 0 to 100. Other sessions see it at once, before the job commits';
grant execute on function pgqueue.progress(int, text) to pgqueue_user;

create or replace function pgqueue._progress_of(role oid, handle pgqueue.handle, out progress_pct int, out progress_msg text)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._locate(role, handle, '55000');
  select a.progress_pct, a.progress_msg into progress_pct, progress_msg
  from pgqueue.activity a join pgqueue.message m on m.id = a.id and m.token = a.token where a.id = handle.id;
  if not found then
    select h.progress_pct, h.progress_msg into progress_pct, progress_msg from pgqueue.history h where h.id = handle.id;
  end if;
exception when undefined_object then
  null;  -- An unknown job has no progress, as in pg_background.
end
$$;
comment on function pgqueue._progress_of(oid, pgqueue.handle) is 'The last progress of a job';

create or replace function pgqueue.get_progress(handle pgqueue.handle, out progress_pct int, out progress_msg text)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  answer jsonb;
begin
  select * into answer from pgqueue._call('progress', pgqueue._request(handle));
  progress_pct := answer ->> 'progress_pct';
  progress_msg := answer ->> 'progress_msg';
end
$$;
comment on function pgqueue.get_progress(pgqueue.handle) is 'Returns what a job reported last with pgqueue.progress. NULLs: nothing was reported, or the job is unknown';
grant execute on function pgqueue.get_progress(pgqueue.handle) to pgqueue_user;
