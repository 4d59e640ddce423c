-- The trigger function: a job or a Celery task for each row, or for each statement.

create function pgqueue._row_params(row_json jsonb, columns text[])
  returns text[]
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select array_agg(row_json ->> c order by n) from unnest(columns) with ordinality u (c, n)
$$;
comment on function pgqueue._row_params(jsonb, text[]) is 'Columns of a row as text parameters';

create function pgqueue.enqueue_trigger()
  returns trigger
  language plpgsql volatile
as $$
begin
  -- No SET clause here: it would hide the search_path that the job inherits.
  if tg_level operator(pg_catalog.=) 'STATEMENT' then
    perform pgqueue._enqueue_for_statement(tg_argv, pgqueue._settings(), tg_op, tg_table_schema, tg_table_name, null);
    return null;
  elsif tg_op operator(pg_catalog.=) 'DELETE' then
    perform pgqueue._enqueue_for_row(tg_argv, pgqueue._settings(), tg_op, tg_table_schema, tg_table_name, pg_catalog.to_jsonb(old), null);
    return old;
  else
    perform pgqueue._enqueue_for_row(tg_argv, pgqueue._settings(), tg_op, tg_table_schema, tg_table_name, pg_catalog.to_jsonb(new),
                                     case when tg_op operator(pg_catalog.=) 'UPDATE' then pg_catalog.to_jsonb(old) end);
    return new;
  end if;
end
$$;
comment on function pgqueue.enqueue_trigger() is
  'A trigger that enqueues: (''sql'', statement [, columns [, option=value ...]]) a job whose $1, $2 ... are the columns, (''task'', name [, columns [, option=value ...]]) a Celery task. Options: queue, priority, delay, label, timeout, max_attempts';

create function pgqueue._trigger_options(argv text[], out kind text, out what text, out columns text[], out options jsonb)
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  option text;
begin
  kind := argv[0];
  what := argv[1];
  if kind is null or kind not in ('sql', 'task') or coalesce(trim(what), '') = '' then
    raise exception 'pgqueue.enqueue_trigger needs ''sql'' and a statement, or ''task'' and the name of a Celery task' using errcode = '22023',
      hint = 'For example: execute function pgqueue.enqueue_trigger(''sql'', ''insert into audit (id) values ($1)'', ''id'').';
  end if;
  columns := case when coalesce(trim(argv[2]), '') in ('', '*') then null else array(select trim(c) from string_to_table(argv[2], ',') c) end;
  options := '{}';
  foreach option in array coalesce(argv[3:], '{}') loop
    if split_part(option, '=', 1) not in ('queue', 'priority', 'delay', 'label', 'timeout', 'max_attempts') or strpos(option, '=') = 0 then
      raise exception 'option "%" of pgqueue.enqueue_trigger is not known', option
        using errcode = '22023', hint = 'Options are queue, priority, delay, label, timeout and max_attempts, each as name=value.';
    end if;
    options := options || jsonb_build_object(split_part(option, '=', 1), substr(option, strpos(option, '=') + 1));
  end loop;
end
$$;
comment on function pgqueue._trigger_options(text[]) is 'What the arguments of a trigger say';

create function pgqueue._enqueue_for_row(argv text[], settings jsonb, op text, table_schema text, table_name text, row_json jsonb, old_json jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  wish record;
  missing text;
begin
  select * into wish from pgqueue._trigger_options(argv) w;
  select c into missing from unnest(wish.columns) c where not row_json ? c limit 1;
  if missing is not null then
    raise exception 'column "%" named in the trigger does not exist in %.%', missing, table_schema, table_name using errcode = '42703';
  end if;
  perform pgqueue._enqueue_wish(wish.kind, wish.what, wish.options, settings,
    pgqueue._row_params(row_json, wish.columns),
    (select jsonb_agg(row_json -> c order by n) from unnest(wish.columns) with ordinality u (c, n)),
    case when wish.columns is null then jsonb_build_object('op', op, 'schema', table_schema, 'table', table_name,
         'new', case when op <> 'DELETE' then row_json end, 'old', case when op = 'DELETE' then row_json else old_json end) end);
end
$$;
comment on function pgqueue._enqueue_for_row(text[], jsonb, text, text, text, jsonb, jsonb) is 'Enqueues what a row trigger asks for';

create function pgqueue._enqueue_for_statement(argv text[], settings jsonb, op text, table_schema text, table_name text, old_json jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  wish record;
begin
  select * into wish from pgqueue._trigger_options(argv) w;
  if wish.columns is not null then
    raise exception 'a statement trigger has no row, so it can name no columns' using errcode = '22023',
      hint = 'Use "for each row", or call pgqueue.enqueue_many over a transition table in a trigger function of your own.';
  end if;
  perform pgqueue._enqueue_wish(wish.kind, wish.what, wish.options, settings, null, null,
                                jsonb_build_object('op', op, 'schema', table_schema, 'table', table_name));
end
$$;
comment on function pgqueue._enqueue_for_statement(text[], jsonb, text, text, text, jsonb) is 'Enqueues what a statement trigger asks for';

create function pgqueue._enqueue_wish(kind text, what text, options jsonb, settings jsonb, params text[], args jsonb, kwargs jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if kind = 'task' then
    perform pgqueue.send_task(what, coalesce(args, '[]'), coalesce(kwargs, '{}'), queue => coalesce(options ->> 'queue', 'celery'),
                              priority => coalesce((options ->> 'priority')::int, 0), delay => (options ->> 'delay')::interval);
  else
    perform pgqueue._enqueue('none', settings, what, params, coalesce(options ->> 'queue', 'default'), coalesce((options ->> 'priority')::int, 0),
                             (options ->> 'delay')::interval, null, null, (options ->> 'timeout')::interval, (options ->> 'max_attempts')::int,
                             null, null, options ->> 'label', null);
  end if;
end
$$;
comment on function pgqueue._enqueue_wish(text, text, jsonb, jsonb, text[], jsonb, jsonb) is 'Enqueues a job or sends a task for a trigger';
