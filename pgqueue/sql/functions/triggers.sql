-- after: message
-- The trigger function: a job or a Celery task for each row, or for each statement.

create or replace function pgqueue.enqueue_trigger()
  returns trigger
  language plpgsql volatile
as $$
declare
  fired pg_catalog.jsonb;
  params pg_catalog.text[];
  per_row pg_catalog.text;
  job pg_catalog.record;
  name pg_catalog.text;
  is_enqueued pg_catalog.bool := false;
begin
  -- No SET clause here: it would hide the search_path that the job inherits. No type of pgqueue's in the declarations either: a
  -- role that may not use the schema would see the whole function as the context of the error.
  if not pg_catalog.has_schema_privilege('pgqueue', 'usage') then
    raise exception 'role "%" is not enrolled in pgqueue', current_user
      using errcode = '42501', hint = pg_catalog.format('Let an administrator run: select pgqueue.enroll(%L)', pg_catalog.quote_ident(current_user));
  end if;
  if tg_level operator(pg_catalog.=) 'STATEMENT' then
    per_row := pgqueue._transition_query(tg_argv, tg_op, tg_relid, tg_name);
    if per_row is null then
      perform pgqueue._enqueue_for_trigger(
        tg_argv, case when tg_argv[0] operator(pg_catalog.=) 'sql' then pgqueue._statement_settings() end, tg_op, tg_table_schema, tg_table_name, null, null, null);
    else
      -- Only the function that was called as the trigger sees the transition table.
      select j.* into job from pgqueue._trigger_job(tg_argv, case when tg_argv[0] operator(pg_catalog.=) 'sql' then pgqueue._statement_settings() end) j;
      execute per_row using job.cookie, job.due_at, job.state, job.priority, job.max_attempts, job.queue, job.sql, job.settings,
        job.timeout, job.label, tg_argv, tg_op, tg_table_schema, tg_table_name, job.expires_at, job.backoff,
        case when tg_argv[0] operator(pg_catalog.=) 'sql' then pgqueue._statement_settings() end;
    end if;
    return null;
  elsif tg_op operator(pg_catalog.=) 'DELETE' then
    fired := pg_catalog.to_jsonb(old);
  else
    fired := pg_catalog.to_jsonb(new);
  end if;
  if pgqueue._is_plain_trigger(tg_argv) and pg_catalog.current_setting('session_replication_role') operator(pg_catalog.<>) 'replica' then
    -- The row trigger of a large statement spends its time here: a job without options, from columns whose text is that of JSON.
    foreach name in array pg_catalog.string_to_array(coalesce(tg_argv[2], ''), ',') loop
      params := pg_catalog.array_append(params, fired operator(pg_catalog.->>) pg_catalog.btrim(name));
    end loop;
    for attempt in 1 .. 2 loop
      -- The first row of a transaction finds nothing that was captured, and that of a statement what is no longer valid.
      if pg_catalog.current_setting('pgqueue.captured_settings', true) operator(pg_catalog.<>) '' then
        insert into pgqueue.row_order (statement, params, relation, columns) values (tg_argv[1], params, tg_relid, tg_argv[2]);
        is_enqueued := found;
      end if;
      exit when is_enqueued or pgqueue._capture_for_rows(tg_relid, tg_argv) is not true;
    end loop;
  end if;
  if not is_enqueued then
    params := pgqueue._row_params(tg_argv, fired, tg_relid);
    if params is null and tg_op operator(pg_catalog.=) 'DELETE' then
      execute pgqueue._row_params_query(tg_argv) into params using old;
    elsif params is null then
      execute pgqueue._row_params_query(tg_argv) into params using new;
    end if;
    perform pgqueue._enqueue_for_trigger(
      tg_argv, case when tg_argv[0] operator(pg_catalog.=) 'sql' then pgqueue._statement_settings() end, tg_op, tg_table_schema, tg_table_name,
      case when tg_op operator(pg_catalog.<>) 'DELETE' then fired end,
      case when tg_op operator(pg_catalog.<>) 'INSERT' then pg_catalog.to_jsonb(old) end, params);
  end if;
  if tg_op operator(pg_catalog.=) 'DELETE' then
    return old;
  end if;
  return new;
end
$$;
comment on function pgqueue.enqueue_trigger() is
  'A trigger that enqueues a job or sends a Celery task. Its arguments are ''sql'', a statement [, columns [, option=value ...]] for a job whose $1, $2, ... are the columns, or ''task'', a name [, columns [, option=value ...]]. The options are those of pgqueue.enqueue but keep_result, as name=value, and limit_key_column, unique_key_column, batch_column and after_column, whose value each row has';
grant execute on function pgqueue.enqueue_trigger() to pgqueue_user;

create or replace function pgqueue._trigger_job(argv text[], settings jsonb)
  returns pgqueue.inbox
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  options jsonb := pgqueue._trigger_options(argv);
  given pgqueue.job_options;
  job pgqueue.inbox;
begin
  if argv[0] = 'task' then
    return job;
  end if;
  given := pgqueue._trigger_job_options(options);
  -- No caller receives the handles of these jobs, so one cookie serves all. Nor are they the session's: it did not submit them.
  job.cookie := pgqueue._random_bigint();
  job.queue := given.queue;
  job.priority := given.priority;
  job.max_attempts := given.max_attempts;
  job.backoff := given.backoff;
  job.label := given.label;
  job.expires_at := given.expires;
  if options ? 'unique_key_column' then
    given.unique_key := '';
  end if;
  job.due_at := pgqueue._check_options(argv[1], given);
  job.state := case when job.due_at is null then 'ready' else 'delayed' end;
  job.sql := argv[1];
  job.settings := pgqueue._settings_of_job(settings, given);
  job.timeout := coalesce(given.timeout, pgqueue._inherited_timeout(settings));
  perform pgqueue._wake_for(job.queue, job.due_at);
  return job;
end
$$;
comment on function pgqueue._trigger_job(text[], jsonb) is
  'The common part of the jobs of one firing of a statement trigger; wakes a worker for them';
grant execute on function pgqueue._trigger_job(text[], jsonb) to pgqueue_user;

create or replace function pgqueue._enqueue_for_trigger(argv text[], settings jsonb, op text, table_schema text, table_name text, new_row jsonb, old_row jsonb, params text[])
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  columns text[] := pgqueue._trigger_columns(argv);
  name text;
  args jsonb := '[]';
  options jsonb := pgqueue._trigger_options(argv);
  given pgqueue.job_options := pgqueue._trigger_job_options(options);
begin
  given.limit_key := pgqueue._trigger_key(options, 'limit_key', coalesce(new_row, old_row), table_schema, table_name);
  given.unique_key := pgqueue._trigger_key(options, 'unique_key', coalesce(new_row, old_row), table_schema, table_name);
  given.batch := pgqueue._trigger_key(options, 'batch', coalesce(new_row, old_row), table_schema, table_name);
  given.after := pgqueue._trigger_after(options, coalesce(new_row, old_row), table_schema, table_name);
  if options ? 'unique_key_column' then
    given := pgqueue._without_idle_key_options(given);
  end if;
  if columns <> '{}' and new_row is null and old_row is null then
    raise exception 'a statement trigger has no row, so it can name no columns' using errcode = '22023',
      hint = 'Use "for each row", or name a transition table: "referencing new table as ...". Or call pgqueue.enqueue_many in a trigger function of your own.';
  end if;
  if argv[0] = 'sql' then
    perform pgqueue._put_job(null, 'none', settings, null, argv[1], nullif(params, '{}'), given, pgqueue._random_bigint());
    return;
  end if;
  foreach name in array columns loop
    if coalesce(new_row, old_row) -> name is null then
      raise exception 'column "%" named in the trigger does not exist in %.%', name, table_schema, table_name using errcode = '42703';
    end if;
    args := args || jsonb_build_array(coalesce(new_row, old_row) -> name);
  end loop;
  perform pgqueue.send_task(
    argv[1], args,
    case when columns <> '{}' then '{}' else jsonb_build_object('op', op, 'schema', table_schema, 'table', table_name, 'new', new_row, 'old', old_row) end,
    queue => coalesce(options ->> 'queue', 'celery'), priority => given.priority, delay => given.delay, eta => given.eta, expires => given.expires,
    limit_key => given.limit_key, unique_key => given.unique_key, unique_for => given.unique_for, on_conflict => coalesce(given.on_conflict, 'keep'),
    after => given.after, on_parent_failure => coalesce(given.on_parent_failure, 'cancel'), batch => given.batch);
end
$$;
comment on function pgqueue._enqueue_for_trigger(text[], jsonb, text, text, text, jsonb, jsonb, text[]) is 'Enqueues the job or the task that a trigger asks for';
grant execute on function pgqueue._enqueue_for_trigger(text[], jsonb, text, text, text, jsonb, jsonb, text[]) to pgqueue_user;

create or replace function pgqueue._transition_query(argv text[], op text, relation oid, trigger_name text)
  returns text
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  columns text[] := pgqueue._trigger_columns(argv);
  transition text := (select case when op = 'DELETE' then t.tgoldtable else coalesce(t.tgnewtable, t.tgoldtable) end
                      from pg_trigger t where t.tgrelid = relation and t.tgname = trigger_name);
  options jsonb := pgqueue._trigger_options(argv);
  key_columns text[] := array_remove(array[options ->> 'limit_key_column', options ->> 'unique_key_column', options ->> 'batch_column', options ->> 'after_column'], null);
  unknown text := (select min(c) from unnest(columns || key_columns) c
                   where not exists (select from pg_attribute a where a.attrelid = relation and a.attname = c and a.attnum > 0 and not a.attisdropped));
begin
  if columns = '{}' or transition is null then
    return null;
  elsif unknown is not null then
    raise exception 'column "%" named in the trigger does not exist in %', unknown, relation::regclass using errcode = '42703';
  end if;
  perform pgqueue._refuse_virtual(relation, columns || key_columns);
  if argv[0] = 'task' then
    -- Only the named columns are read: the whole row may have generated columns that are computed when they are read.
    return format('select pg_catalog.count(pgqueue._enqueue_for_trigger($11, null, $12, $13, $14, pg_catalog.to_jsonb(s), null, null)::pg_catalog.text) from (select %s from %I r) s',
                  (select string_agg(format('r.%I', c), ', ' order by c) from (select unnest(columns) union select unnest(key_columns)) u (c)), transition);
  end if;
  if options ?| array['unique_key', 'unique_key_column', 'batch', 'batch_column', 'after_column'] then
    -- One by one: each may replace one before, or be dropped for it, and has jobs of its own to wait for.
    return format('select pg_catalog.count(pgqueue._enqueue_for_trigger($11, $17, $12, $13, $14, pg_catalog.to_jsonb(s), null, array[%s])::pg_catalog.text) from (select %s from %I r) s',
                  (select string_agg(format('s.%I::pg_catalog.text', c), ', ' order by n) from unnest(columns) with ordinality u (c, n)),
                  (select string_agg(format('r.%I', c), ', ' order by c) from (select unnest(columns) union select unnest(key_columns)) u (c)), transition);
  end if;
  return format($query$insert into pgqueue.outbox (cookie, due_at, kind, state, priority, max_attempts, queue, sql, params, settings, timeout, label, expires_at, backoff, limit_key)
                       select $1, $2, 'job', $3, $4, $5, $6, $7, array[%s], $8, $9, $10, $15, $16, %s from %I r$query$,
                (select string_agg(format('r.%I::pg_catalog.text', c), ', ' order by n) from unnest(columns) with ordinality u (c, n)),
                case when options ? 'limit_key_column' then format('nullif(r.%I::pg_catalog.text, '''')', options ->> 'limit_key_column')
                     else format('%L::pg_catalog.text', options ->> 'limit_key') end, transition);
end
$$;
comment on function pgqueue._transition_query(text[], text, oid, text) is
  'The query by which a statement trigger enqueues for each row of its transition table. NULL: it has none or names no columns';
grant execute on function pgqueue._transition_query(text[], text, oid, text) to pgqueue_user;
