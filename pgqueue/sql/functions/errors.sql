-- Errors and notices that are raised again where the caller sees them.

create or replace function pgqueue._raise(error jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- RAISE accepts no NULL for an option, and an empty DETAIL or HINT would be shown.
  if error ->> 'detail' is not null and error ->> 'hint' is not null then
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''), detail = error ->> 'detail', hint = error ->> 'hint',
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  elsif error ->> 'detail' is not null then
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''), detail = error ->> 'detail',
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  elsif error ->> 'hint' is not null then
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''), hint = error ->> 'hint',
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  else
    raise exception using errcode = error ->> 'sqlstate', message = coalesce(error ->> 'message', ''),
      schema = coalesce(error ->> 'schema', ''), table = coalesce(error ->> 'table', ''), column = coalesce(error ->> 'column', ''),
      datatype = coalesce(error ->> 'datatype', ''), constraint = coalesce(error ->> 'constraint', '');
  end if;
end
$$;
comment on function pgqueue._raise(jsonb) is 'Raises the error of a job with all of its fields';
grant execute on function pgqueue._raise(jsonb) to pgqueue_user;

create or replace function pgqueue._raise_again(state text, message text, detail text, hint text)
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  if detail <> '' and hint <> '' then
    raise exception using errcode = state, message = message, detail = detail, hint = hint;
  elsif detail <> '' then
    raise exception using errcode = state, message = message, detail = detail;
  elsif hint <> '' then
    raise exception using errcode = state, message = message, hint = hint;
  end if;
  raise exception using errcode = state, message = message;
end
$$;
comment on function pgqueue._raise_again(text, text, text, text) is
  'Raises a caught error again, so that its CONTEXT does not list pgqueue''s own functions';
grant execute on function pgqueue._raise_again(text, text, text, text) to pgqueue_user;

create or replace function pgqueue._raiser(said_at text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  comment text := replace(replace(said_at, '/*', '/ *'), '*/', '* /');
begin
  -- RAISE cannot set CONTEXT, but CONTEXT shows the text of a statement: the context of the job's error is a comment there. A
  -- text without either mark of a comment can neither end nor begin one, so it is never executed as SQL.
  if strpos(comment, '/*') > 0 or strpos(comment, '*/') > 0 then
    comment := '';
  end if;
  return 'select pgqueue._raise($1) /* ' || comment || ' */';
end
$$;
comment on function pgqueue._raiser(text) is 'The statement that raises an error whose CONTEXT shows where it was first raised';
grant execute on function pgqueue._raiser(text) to pgqueue_user;

create or replace function pgqueue._error_of(handle pgqueue.handle, answer jsonb)
  returns jsonb
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select coalesce(nullif(answer -> 'error', 'null'), jsonb_build_object('sqlstate', '57014', 'message', format('job %s is %s', handle.id, answer ->> 'state')))
$$;
comment on function pgqueue._error_of(pgqueue.handle, jsonb) is 'The error of a job that has not succeeded';
grant execute on function pgqueue._error_of(pgqueue.handle, jsonb) to pgqueue_user;

create or replace function pgqueue._said_at(handle pgqueue.handle, answer jsonb)
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select concat_ws(chr(10), answer #>> '{error,context}', format('background worker, job %s, pid %s', handle.id, coalesce(answer ->> 'backend_pid', 'none')))
$$;
comment on function pgqueue._said_at(pgqueue.handle, jsonb) is 'The part of the CONTEXT of a job''s error that names the job';
grant execute on function pgqueue._said_at(pgqueue.handle, jsonb) to pgqueue_user;

create or replace function pgqueue._say(level text, code text, message text, detail text, hint text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- The level of RAISE is part of its text, and RAISE accepts no NULL for an option. The text of a notice is only
  -- data.
  case level
    when 'WARNING' then
      if detail <> '' and hint <> '' then
        raise warning using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise warning using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise warning using errcode = code, message = message, hint = hint;
      else
        raise warning using errcode = code, message = message;
      end if;
    when 'NOTICE' then
      if detail <> '' and hint <> '' then
        raise notice using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise notice using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise notice using errcode = code, message = message, hint = hint;
      else
        raise notice using errcode = code, message = message;
      end if;
    when 'INFO' then
      if detail <> '' and hint <> '' then
        raise info using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise info using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise info using errcode = code, message = message, hint = hint;
      else
        raise info using errcode = code, message = message;
      end if;
    when 'LOG' then
      if detail <> '' and hint <> '' then
        raise log using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise log using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise log using errcode = code, message = message, hint = hint;
      else
        raise log using errcode = code, message = message;
      end if;
    else
      if detail <> '' and hint <> '' then
        raise debug using errcode = code, message = message, detail = detail, hint = hint;
      elsif detail <> '' then
        raise debug using errcode = code, message = message, detail = detail;
      elsif hint <> '' then
        raise debug using errcode = code, message = message, hint = hint;
      else
        raise debug using errcode = code, message = message;
      end if;
  end case;
end
$$;
comment on function pgqueue._say(text, text, text, text, text) is 'Raises one notice; detail and hint may be empty or NULL';
grant execute on function pgqueue._say(text, text, text, text, text) to pgqueue_user;

create or replace function pgqueue._forward_notices(notices jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  notice jsonb;
begin
  if pgqueue._are_notices(notices) then
    for notice in select value from jsonb_array_elements(notices) loop
      perform pgqueue._say(notice ->> 'severity', coalesce(notice ->> 'sqlstate', '00000'), coalesce(notice ->> 'message', ''), notice ->> 'detail', notice ->> 'hint');
    end loop;
  end if;
end
$$;
comment on function pgqueue._forward_notices(jsonb) is 'Raises the notices of a job for the reader of its result';
grant execute on function pgqueue._forward_notices(jsonb) to pgqueue_user;

create or replace function pgqueue._are_notices(notices jsonb)
  returns boolean
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  -- PQ001 is progress, and is left out: the worker of a reader would take it for the reader's own.
  select jsonb_typeof(notices) is not distinct from 'array' and not exists (
    select from jsonb_array_elements(case jsonb_typeof(notices) when 'array' then notices end) n
    where case when jsonb_typeof(n) <> 'object' then true
               else n - '{severity,sqlstate,message,detail,hint}'::text[] <> '{}'
                 or jsonb_path_exists(n, 'strict $.* ? (@.type() <> "string")')
                 or (n ->> 'severity' in ('WARNING', 'NOTICE', 'INFO', 'LOG', 'DEBUG')) is not true
                 or n ->> 'sqlstate' !~ '^[0-9A-Z]{5}$' or n ->> 'sqlstate' = 'PQ001' end)
$$;
comment on function pgqueue._are_notices(jsonb) is 'Whether this is a list of notices in the form that pgqueue._forward_notices raises';
grant execute on function pgqueue._are_notices(jsonb) to pgqueue_user;
