-- Storing the result of a job: checked, in chunks, with its notices.

create or replace function pgqueue._refuse_result(what text)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception '% of the result have not the form that workers store', what using errcode = '22023', hint = 'Results are stored by workers, not by jobs.';
end
$$;
comment on function pgqueue._refuse_result(text) is 'Raises the error for an invalid result';

create or replace function pgqueue._are_rows(rows jsonb)
  returns boolean
  language sql immutable
begin atomic
  -- All rows are checked in one pass. The operator returns NULL for a value that is no list of lists.
  select (rows @? 'strict $[*][*] ? (@.type() <> "string" && @.type() <> "null")') is not distinct from false;
end;
comment on function pgqueue._are_rows(jsonb) is 'Whether this is a list of rows of a result: lists of texts and NULLs';

create or replace function pgqueue._check_result(columns jsonb, rows jsonb, output_settings jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Every job that keeps a result calls this. For a value that is no number or no list, the server itself raises an error.
  if columns is null then
    if rows is not null then
      perform pgqueue._refuse_result('rows');
    end if;
  elsif (select bool_and(c.name is not null and c.oid is not null and c.typmod is not null) is false or count(*) > 1664
         from jsonb_to_recordset(columns) c (name text, oid oid, typmod int)) then
    perform pgqueue._refuse_result('columns');
  elsif not pgqueue._are_rows(rows) or jsonb_path_exists(rows, 'strict $[*] ? (@.size() <> $n)', jsonb_build_object('n', jsonb_array_length(columns))) then
    perform pgqueue._refuse_result('rows');
  end if;
  -- Usually these are the settings at the end of the job. The server checks whether other values are valid.
  if output_settings <> jsonb_build_object('DateStyle', current_setting('DateStyle'), 'IntervalStyle', current_setting('IntervalStyle'),
                                           'TimeZone', current_setting('TimeZone')) then
    if jsonb_path_exists(output_settings, 'strict $ ? (@.type() <> "object" || @.*.type() <> "string")')
       or output_settings - '{DateStyle,IntervalStyle,TimeZone}'::text[] <> '{}' then
      perform pgqueue._refuse_result('settings');
    end if;
    perform set_config(s.key, s.value, true) from jsonb_each_text(output_settings) s;
  end if;
end
$$;
comment on function pgqueue._check_result(jsonb, jsonb, jsonb) is 'Raises an error for a result that its reader could not read';

create or replace function pgqueue._append_rows(id bigint, seq int, rows jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if (_append_rows.seq >= 1) is not true or not pgqueue._are_rows(_append_rows.rows) then
    perform pgqueue._refuse_result('rows');
  end if;
  insert into pgqueue.result (id, seq, rows) values (_append_rows.id, _append_rows.seq, _append_rows.rows);
end
$$;
comment on function pgqueue._append_rows(bigint, int, jsonb) is 'Adds a chunk of rows to a result, once the caller has been checked';

create or replace function pgqueue._append_result(id bigint, token bigint, seq int, rows jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  submitter oid;
begin
  select q.submitter into submitter from pgqueue.message q where q.id = _append_result.id and q.token = _append_result.token;
  if not found then
    perform pgqueue._claim_lost(id);
  end if;
  perform pgqueue._check_runner(id, submitter);
  perform pgqueue._append_rows(id, seq, rows);
end
$$;
comment on function pgqueue._append_result(bigint, bigint, int, jsonb) is
  'Adds a chunk of rows, numbered from 1, to the result of the running job';
grant execute on function pgqueue._append_result(bigint, bigint, int, jsonb) to pgqueue_user;

create or replace function pgqueue._put_notices(m pgqueue.message, notices jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if pgqueue._are_notices(notices) is not true then
    perform pgqueue._refuse_result('notices');
  elsif m.kept <> 'none' then
    -- The rows of an earlier attempt are not part of the result.
    delete from pgqueue.result r where r.id = m.id and r.seq = -1;
    insert into pgqueue.result (id, seq, rows) values (m.id, -1, _put_notices.notices);
  end if;
end
$$;
comment on function pgqueue._put_notices(pgqueue.message, jsonb) is 'Stores the notices of a job, once the caller has been checked: chunk -1';

create or replace function pgqueue._put_result(m pgqueue.message, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if array_ndims(command_tags) > 1 or array_position(command_tags, null) is not null then
    perform pgqueue._refuse_result('command tags');
  elsif m.kept <> 'none' then
    perform pgqueue._check_result(columns, rows, output_settings);
    if m.kept = 'task' then
      perform pgqueue._complete_sql_task(m, row_count, columns, rows);
    else
      insert into pgqueue.result (id, seq, columns, rows, output_settings)
      values (m.id, 0, _put_result.columns, _put_result.rows, _put_result.output_settings);
    end if;
  end if;
  perform pgqueue._archive(m, 'succeeded', null, command_tags, row_count);
end
$$;
comment on function pgqueue._put_result(pgqueue.message, text[], bigint, jsonb, jsonb, jsonb) is
  'Stores the result of a job that has succeeded and moves it to the history, once the caller has been checked and has deleted its row';

create or replace function pgqueue._keep_notices(id bigint, token bigint, notices jsonb)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
begin
  select * into m from pgqueue.message q where q.id = _keep_notices.id and q.token = _keep_notices.token;
  if not found then
    return;  -- The end of the run reports it.
  end if;
  perform pgqueue._check_runner(id, m.submitter);
  perform pgqueue._put_notices(m, notices);
end
$$;
comment on function pgqueue._keep_notices(bigint, bigint, jsonb) is 'Stores the notices of a job, for the reader of its result: chunk -1';
grant execute on function pgqueue._keep_notices(bigint, bigint, jsonb) to pgqueue_user;
