-- Fitting a result to the caller's column definition list: the query that reads it, casts, and the errors if it does not fit.

create or replace function pgqueue._result_reader(answer jsonb, casts text[] default null)
  returns text
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(answer -> 'columns') = 'array' then
    -- Values for the types of the list are read like input: a value that is too long is refused, not cut.
    return format('select %s from pg_catalog.jsonb_array_elements($1) with ordinality r (v, n) where pg_catalog.cardinality($2) operator(pg_catalog.=) 0 order by n',
                  (select string_agg(format(case when casts[n] is null then '(v operator(pg_catalog.->>) %s)::%s'
                     else '(select x.x from pg_catalog.jsonb_to_record(pg_catalog.jsonb_build_object(''x'', v operator(pg_catalog.->) %s)) x (x %s))' end,
                     n - 1, coalesce(casts[n], c ->> 'cast')), ', ' order by n)
                   from jsonb_array_elements(answer -> 'columns') with ordinality e (c, n)));
  end if;
  return 'select tag from pg_catalog.unnest($2) with ordinality t (tag, n) where $1 is null or true order by n';
end
$$;
comment on function pgqueue._result_reader(jsonb, text[]) is
  'The query that converts a chunk of rows to the columns of a job, with their exact types, or with those of pgqueue._fit_casts';
grant execute on function pgqueue._result_reader(jsonb, text[]) to pgqueue_user;

create or replace function pgqueue._fit_casts(answer jsonb, casts text[], misfit text)
  returns text[]
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- Only the server knows the list; its error names the expected type of a column. (In another language than English none is
  -- found, and the list has to be exact.)
  said text[] := regexp_match(misfit, '^Returned type .* does not match expected type ([a-z ]+[(][0-9, -]+[)][a-z ]*) in column .*?([0-9]+)[)]?[.]$');
  n int := said[2];
begin
  if said is null or casts[n] is not null or (answer #>> array['columns', (n - 1)::text, 'type']) is null
     or to_regtype(said[1]) is distinct from (answer #>> array['columns', (n - 1)::text, 'oid'])::oid
  then
    return null;
  end if;
  casts[n] := said[1];
  return casts;
end
$$;
comment on function pgqueue._fit_casts(jsonb, text[], text) is
  'The types to read the columns as, after PostgreSQL has refused a column definition list that differs only in a type''s length or precision. NULL: it differs in more';
grant execute on function pgqueue._fit_casts(jsonb, text[], text) to pgqueue_user;

create or replace function pgqueue._misfit(answer jsonb)
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case when jsonb_typeof(answer -> 'columns') = 'array' then 'remote query result rowtype does not match the specified FROM clause rowtype'
              else 'remote query did not return a result set, but result rowtype is not a single text column' end
$$;
comment on function pgqueue._misfit(jsonb) is 'The error that a column definition list does not fit a result, in pg_background''s words';
grant execute on function pgqueue._misfit(jsonb) to pgqueue_user;

create or replace function pgqueue._result_hint(answer jsonb)
  returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select case when jsonb_typeof(answer -> 'columns') = 'array'
    then format('The job returned (%s).', (select string_agg(format('%I %s', c ->> 'name', c ->> 'type'), ', ' order by n)
                                           from jsonb_array_elements(answer -> 'columns') with ordinality e (c, n)))
    else 'Its command tags can be read as (result text).' end
$$;
comment on function pgqueue._result_hint(jsonb) is 'The column definition list that fits a result';
grant execute on function pgqueue._result_hint(jsonb) to pgqueue_user;

create or replace function pgqueue._refuse_place()
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'function returning record called in context that cannot accept type record'
    using errcode = '0A000', hint = 'Call it in FROM with a column definition list.';
end
$$;
comment on function pgqueue._refuse_place() is 'Raises an error when a result is read where no columns can be named';
grant execute on function pgqueue._refuse_place() to pgqueue_user;
