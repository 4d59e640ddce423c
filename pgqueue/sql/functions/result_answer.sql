-- The gate's half of reading a result: its rows, its types and its removal.

create or replace function pgqueue._reading_settings(settings jsonb)
  returns jsonb
  language sql stable
begin atomic
  -- The reader sets these for the read: only settings that change the text of values.
  select jsonb_strip_nulls(jsonb_build_object(
    'DateStyle', settings -> 'DateStyle', 'IntervalStyle', settings -> 'IntervalStyle', 'TimeZone', settings -> 'TimeZone'));
end;
comment on function pgqueue._reading_settings(jsonb) is 'The settings under which a result was printed, as far as its reader needs them';

create or replace function pgqueue._runs_code(type oid, reader oid)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The parts of a type, down to PostgreSQL's built-in types. A check of a domain may call any function, and so may a cast from
  -- varchar that a role has created. Superusers are trusted, and so is the reader.
  return exists (
    with recursive part (oid) as (
      select type
      union
      select x.oid
      from part p
      join pg_type t on t.oid = p.oid
      cross join lateral (
        select t.typbasetype where t.typtype = 'd'
        union all select t.typelem where t.typelem <> 0
        union all select a.atttypid from pg_attribute a where t.typrelid <> 0 and a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        union all select r.rngsubtype from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)
      ) x (oid)
      where p.oid >= 16384
    )
    select from part p join pg_type t on t.oid = p.oid join pg_roles o on o.oid = t.typowner
    where p.oid >= 16384 and not o.rolsuper and o.oid <> reader
      and (exists (select from pg_constraint c where c.contypid = t.oid and c.contype = 'c')
           or exists (select from pg_cast k where k.casttarget = t.oid and k.castsource = 'varchar'::regtype)));
end
$$;
comment on function pgqueue._runs_code(oid, oid) is
  'Whether reading a value of this type could run code that neither the reader nor a superuser has created';

create or replace function pgqueue._typed_columns(columns jsonb, stranger oid)
  returns jsonb
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Each type is looked up separately: a join would be planned to read all of pg_type. And it is planned once in a session, which
  -- a function in SQL is not.
  return (
    select jsonb_agg(jsonb_build_object('name', c ->> 'name', 'oid', c -> 'oid', 'typmod', c -> 'typmod')
                     || coalesce((
             -- A column definition list cannot name a pseudo-type (void, record), so such columns are read as text. Another role
             -- than the submitter also reads types as text that could run code of others.
             select case when t.typtype = 'p' or stranger is not null and t.oid >= 16384 and pgqueue._runs_code(t.oid, stranger)
               then '{"type": "text", "cast": "pg_catalog.text"}'
               -- The value is converted through varchar, because text may have a user-defined cast: the type's own input function
               -- is needed.
               else jsonb_build_object('type', format_type(t.oid, (c ->> 'typmod')::int), 'cast', concat(
                 case when t.oid >= 16384 then 'pg_catalog.varchar::' end,
                 case when (c ->> 'typmod')::int < 0 then format('%I.%I', n.nspname, t.typname) else format_type(t.oid, (c ->> 'typmod')::int) end)) end
             from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.oid = (c ->> 'oid')::oid),
             '{"type": "text", "cast": "pg_catalog.text"}') order by e.n)
    from jsonb_array_elements(nullif(columns, 'null')) with ordinality e (c, n));
end
$$;
comment on function pgqueue._typed_columns(jsonb, oid) is
  'The columns of a result with the names of their types. stranger: the reader, if it is not the submitter';

create or replace function pgqueue._head_of_result(role oid, ended pgqueue.history, columns jsonb, output_settings jsonb, notices jsonb)
  returns jsonb
  language sql stable
begin atomic
  select jsonb_build_object(
    'state', (ended).state, 'error', (ended).error, 'command_tags', (ended).command_tags, 'backend_pid', (ended).backend_pid,
    'row_count', (ended).row_count, 'output_settings', pgqueue._reading_settings(output_settings), 'notices', notices,
    'columns', pgqueue._typed_columns(columns, case when (ended).submitter <> role then role end));
end;
comment on function pgqueue._head_of_result(oid, pgqueue.history, jsonb, jsonb, jsonb) is
  'The first row of a result: how the job ended, and the columns of the rows that follow';

create or replace function pgqueue._result_of(role oid, handle pgqueue.handle, holds boolean default false)
  returns setof jsonb
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  ended pgqueue.history;
  chunk record;
  notices jsonb;
  kept pgqueue.result_kept;
  run_key bigint;
  has_result boolean := false;
  is_detached boolean;
  head record;
begin
  if exists (select from pgqueue.message m where m.id = handle.id) then
    select l.kept, l.run_key into kept, run_key from pgqueue._locate(role, handle, '42704') l where l.live;
  end if;
  if kept is null then
    ended := pgqueue._ended_job(handle.id);
    perform pgqueue._check_handle(role, handle, ended.submitter, ended.cookie, '42704');
    kept := ended.kept;
  end if;
  if kept = 'none' then
    raise exception 'results are disabled for job %', handle.id
      using errcode = '0A000', hint = 'Jobs keep a result when they are launched with pgqueue.launch, or enqueued with keep_result => true.';
  elsif ended.id is null then
    return query select jsonb_build_object('live', true, 'run_key', run_key);
    return;
  end if;
  -- If a detach came while the job was about to commit, its request stays until upkeep.
  is_detached := exists (select from pgqueue.request q where q.id = handle.id and q.kind = 'detach');
  if holds and kept = 'once' and not is_detached then
    -- The reader holds this transaction until it has read the result. This excludes types whose functions might use the loopback
    -- meanwhile.
    for chunk in
      delete from pgqueue.result r
      where r.id = handle.id and r.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and r.ended_at < ended.ended_at + interval '1 h'
        and not exists (
          select from pgqueue.result o
          where o.id = handle.id and o.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and o.ended_at < ended.ended_at + interval '1 h'
            and (o.seq > 0 or exists (select from jsonb_array_elements(nullif(o.columns, 'null')) c where (c ->> 'oid')::oid >= 16384)))
      returning r.seq, r.columns, r.rows, r.output_settings
    loop
      if chunk.seq < 0 then
        notices := chunk.rows;
      else
        head := chunk;
        has_result := true;
      end if;
    end loop;
    if has_result then
      delete from pgqueue.tracked_job t where t.id = handle.id;
      return next pgqueue._head_of_result(role, ended, head.columns, head.output_settings, notices) || '{"held": true}';
      if head.rows is not null then
        return next head.rows;
      end if;
      return;
    end if;
  end if;
  for chunk in
    select r.seq, r.columns, r.rows, r.output_settings from pgqueue.result r
    where r.id = handle.id and r.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and r.ended_at < ended.ended_at + interval '1 h'
      and not is_detached
    order by r.seq
  loop
    if chunk.seq < 0 then
      notices := chunk.rows;
      continue;
    elsif chunk.seq = 0 then
      has_result := true;
      return next pgqueue._head_of_result(role, ended, chunk.columns, chunk.output_settings, notices);
    end if;
    if chunk.rows is not null then
      return next chunk.rows;
    end if;
  end loop;
  if not has_result then
    raise exception 'the result of job % is gone', handle.id
      using errcode = '42704', hint = 'It was read or detached before. The result of a launched job can be read once.';
  end if;
end
$$;
comment on function pgqueue._result_of(oid, pgqueue.handle, boolean) is
  'The result of an ended job: a description, then its rows in chunks. For another job: {live, run_key}. holds: consumes the result if it is small and of built-in types, which the description then says';

create or replace function pgqueue._consume(role oid, handle pgqueue.handle)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  ended pgqueue.history := pgqueue._ended_job(handle.id);
begin
  perform pgqueue._check_handle(role, handle, ended.submitter, ended.cookie, '42704');
  if ended.kept <> 'once' then
    return true;
  end if;
  delete from pgqueue.tracked_job t where t.id = handle.id;
  delete from pgqueue.result r
  where r.id = handle.id and r.ended_at > coalesce(ended.started_at, ended.ended_at) - interval '1 h' and r.ended_at < ended.ended_at + interval '1 h';
  return found;
end
$$;
comment on function pgqueue._consume(oid, pgqueue.handle) is
  'Deletes the result of a launched job. False: another session has read it first';
