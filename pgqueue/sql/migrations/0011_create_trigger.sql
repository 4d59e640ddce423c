-- The trigger function: a job or a Celery task for each row, or for each statement.

create function pgqueue.enqueue_trigger()
  returns trigger
  language plpgsql volatile
as $$
declare
  fired pg_catalog.jsonb;
  params text[];
begin
  -- No SET clause here: it would hide the search_path that the job inherits.
  if tg_level operator(pg_catalog.=) 'STATEMENT' then
    perform pgqueue._enqueue_for_trigger(tg_argv, pgqueue._settings(), tg_op, tg_table_schema, tg_table_name, null, null, null);
    return null;
  elsif tg_op operator(pg_catalog.=) 'DELETE' then
    params := pgqueue._row_params(tg_argv, pg_catalog.to_jsonb(old), tg_relid);
    if params is null then
      execute pgqueue._row_params_query(tg_argv) into params using old;
    end if;
    perform pgqueue._enqueue_for_trigger(tg_argv, pgqueue._settings(), tg_op, tg_table_schema, tg_table_name, null, pg_catalog.to_jsonb(old), params);
    return old;
  else
    params := pgqueue._row_params(tg_argv, pg_catalog.to_jsonb(new), tg_relid);
    if params is null then
      execute pgqueue._row_params_query(tg_argv) into params using new;
    end if;
    perform pgqueue._enqueue_for_trigger(tg_argv, pgqueue._settings(), tg_op, tg_table_schema, tg_table_name, pg_catalog.to_jsonb(new),
                                         case when tg_op operator(pg_catalog.=) 'UPDATE' then pg_catalog.to_jsonb(old) end, params);
    return new;
  end if;
end
$$;
comment on function pgqueue.enqueue_trigger() is
  'A trigger that enqueues: (''sql'', statement [, columns [, option=value ...]]) a job whose $1, $2 ... are the columns, (''task'', name [, columns [, option=value ...]]) a Celery task. Options: queue, priority, delay, label, timeout, max_attempts';

create function pgqueue._trigger_columns(argv text[])
  returns text[]
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when coalesce(argv[2], '') in ('', '*') then '{}'
    when strpos(argv[2], '"') = 0 then string_to_array(regexp_replace(trim(argv[2]), '\s*,\s*', ',', 'g'), ',')
    else array(select coalesce(replace(name[1], '""', '"'), name[2])
               from regexp_matches(argv[2], '\s*(?:"((?:[^"]|"")+)"|([^,"\s](?:[^,]*[^,\s])?))\s*(?:,|$)', 'g') with ordinality m (name, n)
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
  select 'select array[' || string_agg(format('($1).%I::text', c), ', ' order by n) || ']' from unnest(pgqueue._trigger_columns(argv)) with ordinality u (c, n)
$$;
comment on function pgqueue._row_params_query(text[]) is 'The query that turns a row into text parameters, for types whose text is not that of JSON';

create function pgqueue._enqueue_for_trigger(argv text[], settings jsonb, op text, table_schema text, table_name text, new_row jsonb, old_row jsonb, params text[])
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  columns text[] := pgqueue._trigger_columns(argv);
  name text;
  args jsonb := '[]';
  options jsonb := '{}';
begin
  if argv[0] is null or argv[0] not in ('sql', 'task') or coalesce(argv[1], '') = '' then
    raise exception 'pgqueue.enqueue_trigger needs ''sql'' and a statement, or ''task'' and the name of a Celery task' using errcode = '22023',
      hint = 'For example: execute function pgqueue.enqueue_trigger(''sql'', ''insert into audit (id) values ($1)'', ''id'').';
  elsif columns <> '{}' and new_row is null and old_row is null then
    raise exception 'a statement trigger has no row, so it can name no columns' using errcode = '22023',
      hint = 'Use "for each row", or call pgqueue.enqueue_many over a transition table in a trigger function of your own.';
  end if;
  for i in 3 .. coalesce(array_upper(argv, 1), 0) loop
    name := split_part(argv[i], '=', 1);
    if name not in ('queue', 'priority', 'delay', 'label', 'timeout', 'max_attempts') or strpos(argv[i], '=') = 0 then
      raise exception 'option "%" of pgqueue.enqueue_trigger is not known', argv[i]
        using errcode = '22023', hint = 'Options are queue, priority, delay, label, timeout and max_attempts, each as name=value.';
    end if;
    options := options || jsonb_build_object(name, substr(argv[i], strpos(argv[i], '=') + 1));
  end loop;
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
