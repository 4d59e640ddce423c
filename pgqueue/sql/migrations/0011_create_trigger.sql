-- The trigger function: a job or a Celery task for each row, or for each statement.

create function pgqueue.enqueue_trigger()
  returns trigger
  language plpgsql volatile
as $$
declare
  fired pg_catalog.jsonb;
  params pg_catalog.text[];
  per_row pg_catalog.text;
  job pg_catalog.record;
begin
  -- No SET clause here: it would hide the search_path that the job inherits. Nor a type of pgqueue's above: whoever may not use the
  -- schema would be shown all of this as the place of the error.
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
      -- Only a function that was called as the trigger sees the transition table.
      select j.* into job from pgqueue._trigger_job(tg_argv, case when tg_argv[0] operator(pg_catalog.=) 'sql' then pgqueue._statement_settings() end) j;
      execute per_row using job.session_id, job.due_at, job.state, job.priority, job.max_attempts, job.queue, job.sql, job.settings,
        job.timeout, job.label, tg_argv, tg_op, tg_table_schema, tg_table_name, job.cookie;
    end if;
    return null;
  elsif tg_op operator(pg_catalog.=) 'DELETE' then
    fired := pg_catalog.to_jsonb(old);
  else
    fired := pg_catalog.to_jsonb(new);
  end if;
  if not pgqueue._enqueue_row(tg_argv, tg_relid, fired) then
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
  'A trigger that enqueues: (''sql'', statement [, columns [, option=value ...]]) a job whose $1, $2 ... are the columns, (''task'', name [, columns [, option=value ...]]) a Celery task. Options: queue, priority, delay, label, timeout, max_attempts';

create function pgqueue._fingerprint(caller_search_path text)
  returns text
  language sql stable
begin atomic
  -- Within one statement of the client what was captured is captured again only when one of these changed: the row trigger
  -- of a large statement has no time for more. As an array's text no value can pass for another one, nor for what follows.
  select array[statement_timestamp()::text, current_user, caller_search_path, current_setting('TimeZone'), current_setting('DateStyle'),
    current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('work_mem'),
    current_setting('session_replication_role'), current_setting('synchronous_commit'), current_setting('pgqueue.inherit', true),
    current_setting('pgqueue.worker_timeout', true)]::text;
end;
comment on function pgqueue._fingerprint(text) is 'What must be as it was for captured settings to be used again';

create view pgqueue.own_statement with (security_barrier) as
  select split_part(current_setting('pgqueue.captured_settings', true), chr(30), -2)::jsonb as settings,
         split_part(current_setting('pgqueue.captured_settings', true), chr(30), -1) as seen, hashtextextended(s.digest, 0) as cookie
  from pgqueue.own_seal s
  where left(s.digest, 32) = current_setting('pgqueue.captured_seal', true)
    and starts_with(current_setting('pgqueue.captured_settings', true), pgqueue._fingerprint(current_setting('search_path')));
comment on view pgqueue.own_statement is
  'What row triggers have captured in this statement, if it still is so, and the cookie of their jobs, made of the half of the digest that is kept nowhere. For functions without a SET clause';

create function pgqueue._keep_captured(content text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Anybody can write a setting, also before calling a SECURITY DEFINER function: what is found there has to carry the
  -- digest that only the role that runs can make: the first half of it.
  perform set_config('pgqueue.captured_settings', content, true);
  perform set_config('pgqueue.captured_seal', coalesce((select left(s.digest, 32) from pgqueue.own_seal s), ''), true);
end
$$;
comment on function pgqueue._keep_captured(text) is 'Keeps what was captured for the rest of the transaction, under the seal of the role that runs';

create function pgqueue._begin_statement(caller_search_path text, settings jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Values of settings that are not PostgreSQL's own stand in no fingerprint.
  if coalesce(current_setting('pgqueue.inherit', true), '') = '' then
    perform pgqueue._keep_captured(concat(pgqueue._fingerprint(caller_search_path), chr(30), settings, chr(30)));
  end if;
end
$$;
comment on function pgqueue._begin_statement(text, jsonb) is 'Keeps captured settings for the rest of this statement';

create function pgqueue._statement_settings()
  returns jsonb
  language plpgsql volatile
as $$
declare
  settings pg_catalog.jsonb;
begin
  -- No SET clause here: it would hide the search_path that the job inherits.
  select s.settings into settings from pgqueue.own_statement s;
  if settings is null then
    settings := pgqueue._settings();
    perform pgqueue._begin_statement(pg_catalog.current_setting('search_path'), settings);
  end if;
  return settings;
end
$$;
comment on function pgqueue._statement_settings() is 'pgqueue._settings for triggers: looked at anew when a statement begins, or a setting of pgqueue._fingerprint changed';

create function pgqueue._is_plain_trigger(argv text[])
  returns boolean
  language sql immutable
begin atomic
  select argv[0] = 'sql' and argv[3] is null and argv[1] <> '' and strpos(argv[2], '"') = 0;
end;
comment on function pgqueue._is_plain_trigger(text[]) is 'Whether the trigger enqueues a job without options, of columns with plain names';

create function pgqueue._seen_columns(relation oid, argv text[])
  returns text
  language sql stable
begin atomic
  select concat(chr(31), relation, ' ', hashtext(argv[2]), chr(31));
end;
comment on function pgqueue._seen_columns(oid, text[]) is 'The note that the columns of a trigger were found to be plain';

create function pgqueue._has_seen(seen text, relation oid, argv text[])
  returns boolean
  language sql stable
begin atomic
  select coalesce(argv[2], '') = '' or strpos(seen, pgqueue._seen_columns(relation, argv)) > 0;
end;
comment on function pgqueue._has_seen(text, oid, text[]) is 'Whether row triggers have looked at these columns in this statement';

create function pgqueue._see_columns(relation oid, argv text[])
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if pgqueue._is_plain(relation, string_to_array(argv[2], ',')) then
    perform pgqueue._keep_captured(current_setting('pgqueue.captured_settings', true) || pgqueue._seen_columns(relation, argv));
    return true;
  end if;
  return false;
end
$$;
comment on function pgqueue._see_columns(oid, text[]) is 'Looks at the columns of a trigger, once in a statement. False: their text is not that of JSON';

create function pgqueue._enqueue_row(argv text[], relation oid, row_json jsonb)
  returns boolean
  language plpgsql volatile
as $$
declare
  mine pgqueue.own_statement;
  name pg_catalog.text;
  params pg_catalog.text[];
  nobody_sleeps boolean;
begin
  -- The row trigger of a large statement spends its time here: a job without options, from columns whose text is that of
  -- JSON, is one look and one INSERT. All else takes the longer way. No SET clause: it would hide the search_path.
  if pgqueue._is_plain_trigger(argv) is not true then
    return false;
  end if;
  select s.settings, s.seen, s.cookie into mine from pgqueue.own_statement s;
  if mine.cookie is null then
    perform pgqueue._statement_settings();
    select s.settings, s.seen, s.cookie into mine from pgqueue.own_statement s;
    if mine.cookie is null then
      return false;
    end if;
  end if;
  if not pgqueue._has_seen(mine.seen, relation, argv) then
    if not pgqueue._see_columns(relation, argv) then
      return false;
    end if;
    select s.settings, s.seen, s.cookie into mine from pgqueue.own_statement s;
  end if;
  foreach name in array pg_catalog.string_to_array(coalesce(argv[2], ''), ',') loop
    params := pg_catalog.array_append(params, pg_catalog.jsonb_extract_path_text(row_json, pg_catalog.btrim(name)));
  end loop;
  insert into pgqueue.outbox (cookie, session_id, kind, queue, sql, params, settings, timeout)
  values (mine.cookie, pgqueue._session_id(), 'job', 'default', argv[1], params, pgqueue._inherited(mine.settings),
          pgqueue._inherited_timeout(mine.settings))
  returning pgqueue._nobody_sleeps('default') into nobody_sleeps;
  if not nobody_sleeps then
    perform pgqueue._wake('default');
  end if;
  return true;
end
$$;
comment on function pgqueue._enqueue_row(text[], oid, jsonb) is 'Enqueues the job of a row trigger in the short way. False: it takes the long one';

create function pgqueue._is_plain(relation oid, columns text[])
  returns boolean
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select count(*) = cardinality(columns)
  from unnest(columns) c
  join pg_attribute a on a.attrelid = relation and a.attname = btrim(c) and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  where a.attgenerated <> 'v' and t.typtype in ('b', 'e', 'r', 'm') and t.typcategory <> 'A' and t.oid not in ('json'::regtype, 'jsonb'::regtype)
    and not exists (select from pg_cast k where k.castsource = t.oid and k.casttarget in ('json'::regtype, 'jsonb'::regtype))
$$;
comment on function pgqueue._is_plain(oid, text[]) is 'Whether these columns exist and are of types whose text is what JSON shows';

create function pgqueue._refuse_virtual(relation oid, columns text[])
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  missing text := (select min(a.attname) from pg_attribute a
                   where a.attrelid = relation and a.attgenerated = 'v' and not a.attisdropped and (columns = '{}' or a.attname = any (columns)));
begin
  if missing is not null then
    raise exception 'column "%" of % is generated when it is read, so a trigger does not see it', missing, relation::regclass
      using errcode = '0A000', hint = 'Name the columns that it is generated from, or generate it as STORED.';
  end if;
end
$$;
comment on function pgqueue._refuse_virtual(oid, text[]) is 'Refuses virtual generated columns (PostgreSQL 18), named or in the whole row: the rows of triggers have NULL in their place';

create function pgqueue._transition_query(argv text[], op text, relation oid, trigger_name text)
  returns text
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  columns text[] := pgqueue._trigger_columns(argv);
  transition text := (select case when op = 'DELETE' then t.tgoldtable else coalesce(t.tgnewtable, t.tgoldtable) end
                      from pg_trigger t where t.tgrelid = relation and t.tgname = trigger_name);
  unknown text := (select min(c) from unnest(columns) c
                   where not exists (select from pg_attribute a where a.attrelid = relation and a.attname = c and a.attnum > 0 and not a.attisdropped));
begin
  if columns = '{}' or transition is null then
    return null;
  elsif unknown is not null then
    raise exception 'column "%" named in the trigger does not exist in %', unknown, relation::regclass using errcode = '42703';
  end if;
  perform pgqueue._refuse_virtual(relation, columns);
  if argv[0] = 'task' then
    -- Of the columns that it names only: the whole row may have some that are generated when they are read.
    return format('select pg_catalog.count(pgqueue._enqueue_for_trigger($11, null, $12, $13, $14, pg_catalog.to_jsonb(s), null, null)::pg_catalog.text) from (select %s from %I r) s',
                  (select string_agg(format('r.%I', c), ', ' order by c) from (select distinct unnest(columns)) u (c)), transition);
  end if;
  return format($query$insert into pgqueue.outbox (cookie, session_id, due_at, kind, state, priority, max_attempts, queue, sql, params, settings, timeout, label)
                       select $15, $1, $2, 'job', $3, $4, $5, $6, $7, array[%s], $8, $9, $10 from %I r$query$,
                (select string_agg(format('r.%I::pg_catalog.text', c), ', ' order by n) from unnest(columns) with ordinality u (c, n)), transition);
end
$$;
comment on function pgqueue._transition_query(text[], text, oid, text) is
  'The query by which a statement trigger enqueues for each row of its transition table. NULL: it has none or names no columns';

create function pgqueue._trigger_columns(argv text[])
  returns text[]
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when coalesce(argv[2], '') in ('', '*') then '{}'
    when strpos(argv[2], '"') = 0 then string_to_array(regexp_replace(trim(argv[2]), '[[:space:]]*,[[:space:]]*', ',', 'g'), ',')
    else array(select coalesce(replace(name[1], '""', '"'), name[2])
               from regexp_matches(argv[2], '[[:space:]]*(?:"((?:[^"]|"")+)"|([^,"[:space:]](?:[^,]*[^,[:space:]])?))[[:space:]]*(?:,|$)', 'g') with ordinality m (name, n)
               order by n) end;
end
$$;
comment on function pgqueue._trigger_columns(text[]) is 'The columns that a trigger names; none means the whole row, for a task';

create function pgqueue._row_params(argv text[], row_json jsonb, relation oid)
  returns text[]
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  columns text[] := pgqueue._trigger_columns(argv);
  params text[] := '{}';
  name text;
  value jsonb;
begin
  if columns <> '{}' or argv[0] = 'task' then
    perform pgqueue._refuse_virtual(relation, columns);
  end if;
  if argv[0] = 'task' then
    return params;
  elsif exists (select from pg_attribute a join pg_type t on t.oid = a.atttypid
                where a.attrelid = relation and a.attname = any (columns)
                  and (a.atttypid in ('json'::regtype, 'jsonb'::regtype) or t.typtype = 'd')) then
    return null;  -- a string within json has quotes in its text
  end if;
  foreach name in array columns loop
    value := row_json -> name;
    if value is null then
      raise exception 'column "%" named in the trigger does not exist in %', name, relation::regclass using errcode = '42703';
    elsif jsonb_typeof(value) in ('array', 'object') then
      return null;  -- an array, a composite or a json value: its text is not what JSON shows
    end if;
    params := params || (value #>> '{}');
  end loop;
  return params;
end
$$;
comment on function pgqueue._row_params(text[], jsonb, oid) is 'The columns that an ''sql'' trigger names, as text. NULL: ask with pgqueue._row_params_query';

create function pgqueue._row_params_query(argv text[])
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select 'select array[' || string_agg(format('($1).%I::pg_catalog.text', c), ', ' order by n) || ']' from unnest(pgqueue._trigger_columns(argv)) with ordinality u (c, n)
$$;
comment on function pgqueue._row_params_query(text[]) is 'The query that turns a row into text parameters, for types whose text is not that of JSON';

create function pgqueue._trigger_options(argv text[])
  returns jsonb
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text;
  options jsonb := '{}';
begin
  if argv[0] is null or argv[0] not in ('sql', 'task') or coalesce(argv[1], '') = '' then
    raise exception 'pgqueue.enqueue_trigger needs ''sql'' and a statement, or ''task'' and the name of a Celery task' using errcode = '22023',
      hint = 'For example: execute function pgqueue.enqueue_trigger(''sql'', ''insert into audit (id) values ($1)'', ''id'').';
  end if;
  for i in 3 .. coalesce(array_upper(argv, 1), 0) loop
    name := split_part(argv[i], '=', 1);
    if name not in ('queue', 'priority', 'delay', 'label', 'timeout', 'max_attempts') or strpos(argv[i], '=') = 0 then
      raise exception 'option "%" of pgqueue.enqueue_trigger is not known', argv[i]
        using errcode = '22023', hint = 'Options are queue, priority, delay, label, timeout and max_attempts, each as name=value.';
    end if;
    options := options || jsonb_build_object(name, substr(argv[i], strpos(argv[i], '=') + 1));
  end loop;
  return options;
end
$$;
comment on function pgqueue._trigger_options(text[]) is 'The options of a trigger, once its arguments are found to make sense';

create function pgqueue._trigger_job(argv text[], settings jsonb)
  returns pgqueue.inbox
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  options jsonb := pgqueue._trigger_options(argv);
  job pgqueue.inbox;
begin
  if argv[0] = 'task' then
    return job;
  end if;
  -- Nobody is given the handles of these jobs: one cookie does for all.
  job.cookie := pgqueue._random_bigint();
  job.session_id := pgqueue._session_id();
  job.queue := coalesce(options ->> 'queue', 'default');
  job.priority := coalesce((options ->> 'priority')::int, 0);
  job.max_attempts := (options ->> 'max_attempts')::int;
  job.label := options ->> 'label';
  job.due_at := pgqueue._check_options(argv[1], job.queue, job.priority, (options ->> 'delay')::interval, null, null,
                                       (options ->> 'timeout')::interval, job.max_attempts, null, null);
  job.state := case when job.due_at is null then 'ready' else 'delayed' end;
  job.sql := argv[1];
  job.settings := pgqueue._inherited(settings);
  job.timeout := coalesce((options ->> 'timeout')::interval, pgqueue._inherited_timeout(settings));
  perform pgqueue._wake_for(job.queue, job.due_at);
  return job;
end
$$;
comment on function pgqueue._trigger_job(text[], jsonb) is 'What the jobs of one firing of a statement trigger have in common; wakes a worker for them';

create function pgqueue._enqueue_for_trigger(argv text[], settings jsonb, op text, table_schema text, table_name text, new_row jsonb, old_row jsonb, params text[])
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  columns text[] := pgqueue._trigger_columns(argv);
  name text;
  args jsonb := '[]';
  options jsonb := pgqueue._trigger_options(argv);
begin
  if columns <> '{}' and new_row is null and old_row is null then
    raise exception 'a statement trigger has no row, so it can name no columns' using errcode = '22023',
      hint = 'Use "for each row", or name a transition table: "referencing new table as ...". Or call pgqueue.enqueue_many in a trigger function of your own.';
  end if;
  if argv[0] = 'sql' then
    perform pgqueue._enqueue('none', settings, argv[1], nullif(params, '{}'), coalesce(options ->> 'queue', 'default'), coalesce((options ->> 'priority')::int, 0),
                             (options ->> 'delay')::interval, null, null, (options ->> 'timeout')::interval, (options ->> 'max_attempts')::int,
                             null, null, options ->> 'label', null);
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
    queue => coalesce(options ->> 'queue', 'celery'), priority => coalesce((options ->> 'priority')::int, 0), delay => (options ->> 'delay')::interval);
end
$$;
comment on function pgqueue._enqueue_for_trigger(text[], jsonb, text, text, text, jsonb, jsonb, text[]) is 'Enqueues the job or the task that a trigger asks for';
