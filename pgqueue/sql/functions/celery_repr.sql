-- The arguments of a task as Python's repr() writes them, for monitors.

create or replace function pgqueue._python_string_repr(value text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  quote text := case when strpos(value, '''') > 0 and strpos(value, '"') = 0 then '"' else '''' end;
begin
  value := replace(value, E'\\', E'\\\\');
  if quote = '''' then
    value := replace(value, '''', E'\\''');
  end if;
  if value ~ E'[\\u0001-\\u001f\\u007f-\\u00a0\\u00ad]' then
    value := (select string_agg(
                case when char = chr(10) then E'\\n' when char = chr(9) then E'\\t' when char = chr(13) then E'\\r'
                  when char ~ E'[\\u0001-\\u001f\\u007f-\\u00a0\\u00ad]' then E'\\x' || lpad(to_hex(ascii(char)), 2, '0') else char end, '' order by n)
              from string_to_table(value, null) with ordinality c (char, n));
  end if;
  return quote || value || quote;
end
$$;
comment on function pgqueue._python_string_repr(text) is 'A string as Python would print it';
grant execute on function pgqueue._python_string_repr(text) to pgqueue_user;

create or replace function pgqueue._python_repr(value jsonb)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  kind text := jsonb_typeof(value);
  plain text;
begin
  if kind = 'number' then
    plain := value::text;
    -- A fraction is a float in Python. One that is too long for a float is printed as it is.
    if strpos(plain, '.') = 0 or length(plain) > 300 then
      return plain;
    end if;
    plain := plain::float8::text;
    return case when plain ~ '[.e]' then plain else plain || '.0' end;
  elsif kind = 'string' then
    return pgqueue._python_string_repr(value #>> '{}');
  elsif kind = 'null' then
    return 'None';
  elsif kind = 'boolean' then
    return initcap(value::text);
  elsif value in ('[]', '{}') then
    return value::text;
  elsif kind = 'array' then
    return (select '[' || string_agg(pgqueue._python_repr(v), ', ' order by n) || ']' from jsonb_array_elements(value) with ordinality e (v, n));
  else
    return (select '{' || string_agg(pgqueue._python_string_repr(k) || ': ' || pgqueue._python_repr(v), ', ') || '}' from jsonb_each(value) e (k, v));
  end if;
end
$$;
comment on function pgqueue._python_repr(jsonb) is 'A value as Python would print it, for argsrepr and kwargsrepr';
grant execute on function pgqueue._python_repr(jsonb) to pgqueue_user;

create or replace function pgqueue._shown(repr text)
  returns text
  language sql immutable
begin atomic
  select case when length(repr) > 1024 then left(repr, 1021) || '...' else repr end;
end;
comment on function pgqueue._shown(text) is 'The part of arguments that Celery shows: 1024 characters';
grant execute on function pgqueue._shown(text) to pgqueue_user;

create or replace function pgqueue._args_repr(args jsonb)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
declare
  list text := pgqueue._python_repr(args);
begin
  -- A list becomes a tuple: (), (1,), (1, 2).
  return pgqueue._shown('(' || substr(list, 2, length(list) - 2) || case jsonb_array_length(args) when 1 then ',)' else ')' end);
end
$$;
comment on function pgqueue._args_repr(jsonb) is 'The argsrepr of a task: its arguments as Python would print them';
grant execute on function pgqueue._args_repr(jsonb) to pgqueue_user;

create or replace function pgqueue._kwargs_repr(kwargs jsonb)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  return pgqueue._shown(pgqueue._python_repr(kwargs));
end
$$;
comment on function pgqueue._kwargs_repr(jsonb) is 'The kwargsrepr of a task: its keyword arguments as Python would print them';
grant execute on function pgqueue._kwargs_repr(jsonb) to pgqueue_user;
