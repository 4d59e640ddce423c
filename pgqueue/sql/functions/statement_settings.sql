-- after: captured_settings
-- Values captured once for all rows of a statement whose triggers enqueue: settings, a cookie, the checked columns.

create or replace function pgqueue._fingerprint_of(role name, caller_search_path text)
  returns text
  language sql stable
begin atomic
  -- Within one statement of the client the settings are captured again only if one of these changed, because the row trigger of a
  -- large statement has no time for more. In an array's text, no value can pass for another one, nor for what follows it.
  select array[statement_timestamp()::text, role, caller_search_path, current_setting('TimeZone'), current_setting('DateStyle'),
    current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('work_mem'),
    current_setting('session_replication_role'), current_setting('synchronous_commit'), current_setting('pgqueue.inherit', true),
    current_setting('pgqueue.worker_timeout', true), current_setting('pgqueue.traceparent', true)]::text;
end;
comment on function pgqueue._fingerprint_of(name, text) is
  'The values that must be unchanged for the settings that a role has captured to be used again';
grant execute on function pgqueue._fingerprint_of(name, text) to pgqueue_user;

create or replace function pgqueue._fingerprint(caller_search_path text)
  returns text
  language sql stable
begin atomic
  select pgqueue._fingerprint_of(current_user, caller_search_path);
end;
comment on function pgqueue._fingerprint(text) is 'pgqueue._fingerprint_of the current role';
grant execute on function pgqueue._fingerprint(text) to pgqueue_user;

create or replace view pgqueue.own_statement with (security_barrier) as
  select split_part(current_setting('pgqueue.captured_settings', true), chr(30), -2)::jsonb as settings, hashtextextended(s.digest, 0) as cookie
  from pgqueue.own_seal s
  where left(s.digest, 32) = current_setting('pgqueue.captured_seal', true)
    and starts_with(current_setting('pgqueue.captured_settings', true), pgqueue._fingerprint(current_setting('search_path')));
comment on view pgqueue.own_statement is
  'The values that row triggers have captured in this statement, if they are still valid, and the cookie of their jobs, made from the half of the digest that is stored nowhere. For functions without a SET clause';
grant select on pgqueue.own_statement to pgqueue_user;

create or replace function pgqueue._keep_captured(content text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Any code can write a setting, also before calling a SECURITY DEFINER function: the stored value must carry the first half of
  -- a digest that only the current role can compute.
  perform set_config('pgqueue.captured_settings', content, true);
  perform set_config('pgqueue.captured_seal', coalesce((select left(s.digest, 32) from pgqueue.own_seal s), ''), true);
end
$$;
comment on function pgqueue._keep_captured(text) is
  'Keeps captured values for the rest of the transaction, with a digest of the current role';
grant execute on function pgqueue._keep_captured(text) to pgqueue_user;

create or replace function pgqueue._captured_text(caller_search_path text, settings jsonb)
  returns text
  language sql stable
begin atomic
  select concat(pgqueue._fingerprint(caller_search_path), chr(30), pgqueue._inherited(settings), chr(30));
end;
comment on function pgqueue._captured_text(text, jsonb) is 'The text in which captured settings are kept for the rest of a statement';
grant execute on function pgqueue._captured_text(text, jsonb) to pgqueue_user;

create or replace function pgqueue._begin_statement(caller_search_path text, settings jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Values of custom settings are in no fingerprint.
  if coalesce(current_setting('pgqueue.inherit', true), '') = '' then
    perform pgqueue._keep_captured(pgqueue._captured_text(caller_search_path, settings));
  end if;
end
$$;
comment on function pgqueue._begin_statement(text, jsonb) is 'Keeps captured settings for the rest of this statement';
grant execute on function pgqueue._begin_statement(text, jsonb) to pgqueue_user;

create or replace function pgqueue._statement_settings()
  returns jsonb
  language plpgsql volatile
as $$
declare
  settings pg_catalog.jsonb;
begin
  -- No SET clause here: it would hide the search_path that the job inherits.
  select s.settings into settings from pgqueue.own_statement s;
  if settings is null then
    select s.settings into settings from pgqueue.own_settings s;
    settings := coalesce(settings, pgqueue._settings());
    perform pgqueue._begin_statement(pg_catalog.current_setting('search_path'), settings);
  elsif pgqueue._setting('worker_timeout', null) is not null then
    settings := settings operator(pg_catalog.||) pgqueue._ambient_settings();
  end if;
  return settings;
end
$$;
comment on function pgqueue._statement_settings() is
  'pgqueue._settings for triggers: read again when a statement begins, or a setting of pgqueue._fingerprint changed';
grant execute on function pgqueue._statement_settings() to pgqueue_user;
