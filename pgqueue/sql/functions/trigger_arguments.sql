-- The arguments of the trigger function: options, and columns that become parameters.

create or replace function pgqueue._is_plain(relation oid, columns text[])
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- In plpgsql the plan is kept. Servers before 18 plan a function in SQL again for each statement of a client.
  return (select count(*) = cardinality(columns)
  from unnest(columns) c
  join pg_attribute a on a.attrelid = relation and a.attname = btrim(c) and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  where a.attgenerated <> 'v' and t.typtype in ('b', 'e', 'r', 'm') and t.typcategory <> 'A' and t.oid not in ('json'::regtype, 'jsonb'::regtype)
    and not exists (select from pg_cast k where k.castsource = t.oid and k.casttarget in ('json'::regtype, 'jsonb'::regtype)));
end
$$;
comment on function pgqueue._is_plain(oid, text[]) is 'Whether these columns exist and have types whose text equals their text in JSON';
grant execute on function pgqueue._is_plain(oid, text[]) to pgqueue_user;

create or replace function pgqueue._refuse_virtual(relation oid, columns text[])
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
grant execute on function pgqueue._refuse_virtual(oid, text[]) to pgqueue_user;

create or replace function pgqueue._trigger_columns(argv text[])
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
grant execute on function pgqueue._trigger_columns(text[]) to pgqueue_user;

create or replace function pgqueue._row_params(argv text[], row_json jsonb, relation oid)
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
    return null;  -- A string within json has quotes in its text.
  end if;
  foreach name in array columns loop
    value := row_json -> name;
    if value is null then
      raise exception 'column "%" named in the trigger does not exist in %', name, relation::regclass using errcode = '42703';
    elsif jsonb_typeof(value) in ('array', 'object') then
      return null;  -- An array, a composite or a json value: its text differs from its text in JSON.
    end if;
    params := params || (value #>> '{}');
  end loop;
  return params;
end
$$;
comment on function pgqueue._row_params(text[], jsonb, oid) is 'The columns that an ''sql'' trigger names, as text. NULL: ask with pgqueue._row_params_query';
grant execute on function pgqueue._row_params(text[], jsonb, oid) to pgqueue_user;

create or replace function pgqueue._row_params_query(argv text[])
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select 'select array[' || string_agg(format('($1).%I::pg_catalog.text', c), ', ' order by n) || ']' from unnest(pgqueue._trigger_columns(argv)) with ordinality u (c, n)
$$;
comment on function pgqueue._row_params_query(text[]) is 'The query that turns a row into text parameters, for types whose text is not that of JSON';
grant execute on function pgqueue._row_params_query(text[]) to pgqueue_user;

create or replace function pgqueue._trigger_options(argv text[])
  returns jsonb
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  of_both constant text[] := '{queue,priority,delay,eta,expires,limit_key,limit_key_column,unique_key,unique_key_column,unique_for,on_conflict,after_column,on_parent_failure,batch,batch_column}';
  of_jobs constant text[] := '{label,timeout,max_attempts,backoff,durability,traceparent}';
  name text;
  options jsonb := '{}';
begin
  if argv[0] is null or argv[0] not in ('sql', 'task') or coalesce(argv[1], '') = '' then
    raise exception 'pgqueue.enqueue_trigger needs ''sql'' and a statement, or ''task'' and the name of a Celery task' using errcode = '22023',
      hint = 'For example: execute function pgqueue.enqueue_trigger(''sql'', ''insert into audit (id) values ($1)'', ''id'').';
  end if;
  for i in 3 .. coalesce(array_upper(argv, 1), 0) loop
    name := split_part(argv[i], '=', 1);
    if name = 'after' and strpos(argv[i], '=') > 0 then
      raise exception 'option "after" of pgqueue.enqueue_trigger names jobs that do not exist when the trigger is created'
        using errcode = '22023', hint = 'Name a column of the row that has their handles: after_column=name.';
    elsif argv[0] = 'task' and name = any (of_jobs) and strpos(argv[i], '=') > 0 then
      raise exception 'option "%" of pgqueue.enqueue_trigger is for SQL jobs', name using errcode = '22023', hint = 'A Celery task has it in its own code.';
    elsif name <> all (of_both || of_jobs) or strpos(argv[i], '=') = 0 then
      raise exception 'option "%" of pgqueue.enqueue_trigger is not known', argv[i]
        using errcode = '22023', hint = format('Options are %s, and for ''sql'' %s, each as name=value.', array_to_string(of_both, ', '), array_to_string(of_jobs, ', '));
    end if;
    options := options || jsonb_build_object(name, substr(argv[i], strpos(argv[i], '=') + 1));
  end loop;
  if options ? 'on_parent_failure' and not options ? 'after_column' then
    raise exception 'on_parent_failure needs after_column' using errcode = '22023', hint = 'Name a column of the row that has the handles of the jobs to wait for.';
  end if;
  foreach name in array array['limit_key', 'unique_key', 'batch'] loop
    if options ?& array[name, name || '_column'] then
      raise exception 'both % and %_column are given', name, name
        using errcode = '22023', hint = format('Give %s (the same for all rows) or %1$s_column (each row has its own).', name);
    end if;
  end loop;
  return options;
end
$$;
comment on function pgqueue._trigger_options(text[]) is 'The options of a trigger, after its arguments were checked';
grant execute on function pgqueue._trigger_options(text[]) to pgqueue_user;

create or replace function pgqueue._trigger_key(options jsonb, kind text, row_json jsonb, table_schema text, table_name text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text := options ->> (kind || '_column');
begin
  if name is null then
    return options ->> kind;
  elsif row_json is null then
    raise exception 'a statement trigger has no row, so it has no %_column', kind using errcode = '22023', hint = format('Use "for each row", or give %s.', kind);
  elsif not row_json ? name then
    raise exception 'column "%" named in the trigger does not exist in %.%', name, table_schema, table_name using errcode = '42703';
  end if;
  return nullif(row_json ->> name, '');
end
$$;
comment on function pgqueue._trigger_key(jsonb, text, jsonb, text, text) is
  'The limit_key, the unique_key or the batch of what a trigger enqueues for a row: a constant, or the value of a column; empty counts as none';
grant execute on function pgqueue._trigger_key(jsonb, text, jsonb, text, text) to pgqueue_user;

create or replace function pgqueue._handles_in(value jsonb)
  returns pgqueue.handle[]
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return (select array_agg(case jsonb_typeof(e.v)
                             when 'object' then ((e.v ->> 'id')::bigint, (e.v ->> 'cookie')::bigint)::pgqueue.handle
                             else (split_part(e.v #>> '{}', ':', 1)::bigint, nullif(split_part(e.v #>> '{}', ':', 2), '')::bigint)::pgqueue.handle end order by e.n)
          from jsonb_array_elements(case jsonb_typeof(value) when 'array' then value when 'null' then '[]' else jsonb_build_array(value) end) with ordinality e (v, n)
          where jsonb_typeof(e.v) <> 'null');
exception when data_exception then
  raise exception 'the column that after_column names has no handle: %', left(value::text, 100)
    using errcode = '22023', hint = 'It has handles of jobs, an array of them, their numbers, or texts as in 42:-7311009.';
end
$$;
comment on function pgqueue._handles_in(jsonb) is 'The handles in a column of a row, which is a handle, a number, a text, or an array of one of these; NULL: none';
grant execute on function pgqueue._handles_in(jsonb) to pgqueue_user;

create or replace function pgqueue._trigger_after(options jsonb, row_json jsonb, table_schema text, table_name text)
  returns pgqueue.handle[]
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  name text := options ->> 'after_column';
begin
  if name is null then
    return null;
  elsif row_json is null then
    raise exception 'a statement trigger has no row, so it has no after_column' using errcode = '22023', hint = 'Use "for each row".';
  elsif not row_json ? name then
    raise exception 'column "%" named in the trigger does not exist in %.%', name, table_schema, table_name using errcode = '42703';
  end if;
  return pgqueue._handles_in(row_json -> name);
end
$$;
comment on function pgqueue._trigger_after(jsonb, jsonb, text, text) is 'The jobs that what a trigger enqueues for a row waits for';
grant execute on function pgqueue._trigger_after(jsonb, jsonb, text, text) to pgqueue_user;

create or replace function pgqueue._trigger_job_options(options jsonb)
  returns pgqueue.job_options
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_populate_record(pgqueue._options('default'), options)
$$;
comment on function pgqueue._trigger_job_options(jsonb) is 'The options of a trigger with their types; a value that is none of its type is an error';
grant execute on function pgqueue._trigger_job_options(jsonb) to pgqueue_user;

create or replace function pgqueue._without_idle_key_options(options pgqueue.job_options)
  returns pgqueue.job_options
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- A row whose column has no key is enqueued as one that needs none.
  if options.unique_key is null then
    options.unique_for := null;
    options.on_conflict := null;
  end if;
  return options;
end
$$;
comment on function pgqueue._without_idle_key_options(pgqueue.job_options) is 'The options for a row of a trigger with unique_key_column that has no key';
grant execute on function pgqueue._without_idle_key_options(pgqueue.job_options) to pgqueue_user;
