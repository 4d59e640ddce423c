-- after: message, statement_settings
-- Row triggers whose jobs have no options: the short way, on which the row trigger of a large statement spends its time.

create or replace function pgqueue._is_plain_trigger(argv text[])
  returns boolean
  language sql immutable
begin atomic
  select argv[0] = 'sql' and argv[3] is null and argv[1] <> '' and strpos(coalesce(argv[2], ''), '"') = 0;
end;
comment on function pgqueue._is_plain_trigger(text[]) is 'Whether the trigger enqueues a job without options, of columns with plain names';
grant execute on function pgqueue._is_plain_trigger(text[]) to pgqueue_user;

create or replace function pgqueue._seen_columns(relation oid, columns text)
  returns text
  language sql stable
begin atomic
  select case when columns <> '' then concat(chr(31), relation, ' ', hashtext(columns), chr(31)) else '' end;
end;
comment on function pgqueue._seen_columns(oid, text) is
  'The text that records that the columns of a trigger were found to be plain. Empty: it has no columns';
grant execute on function pgqueue._seen_columns(oid, text) to pgqueue_user;

create or replace function pgqueue._capture_for_rows(relation oid, argv text[])
  returns boolean
  language plpgsql volatile
as $$
declare
  kept pg_catalog.text := pg_catalog.current_setting('pgqueue.captured_settings', true);
  settings pg_catalog.jsonb;
  is_sealed pg_catalog.bool;
begin
  -- No SET clause here: it would hide the search_path that the job inherits. Values of custom settings are in no fingerprint.
  if pgqueue._setting('inherit', null) is not null
    or argv[2] operator(pg_catalog.<>) '' and pgqueue._is_plain(relation, pg_catalog.string_to_array(argv[2], ',')) is not true
  then
    return false;
  end if;
  select true into is_sealed from pgqueue.own_statement;
  if is_sealed is not true then
    select s.settings into settings from pgqueue.own_settings s;
    kept := pgqueue._captured_text(pg_catalog.current_setting('search_path'), coalesce(settings, pgqueue._settings()));
  end if;
  perform pgqueue._keep_captured(kept operator(pg_catalog.||) pgqueue._seen_columns(relation, argv[2]));
  return true;
end
$$;
comment on function pgqueue._capture_for_rows(oid, text[]) is
  'Captures what the row triggers of this statement use, and checks the columns of this one. False: settings cannot be kept, or the text of a column is not that of JSON';
grant execute on function pgqueue._capture_for_rows(oid, text[]) to pgqueue_user;

create or replace view pgqueue.row_order as
  select null::oid as role, null::text as statement, null::text[] as params, null::oid as relation, null::text as columns, null::text as search_path
  where false;
alter view pgqueue.row_order alter column role set default pgqueue._caller(), alter column search_path set default current_setting('search_path');
comment on view pgqueue.row_order is
  'Where the row trigger of a role inserts a job with the settings that it has captured in this statement: pgqueue._put_row_job enqueues it, or leaves it out if nothing valid was captured';
-- Column by column: with a right on the whole of a view LOCK TABLE locks the tables under it.
grant insert (statement, params, relation, columns) on pgqueue.row_order to pgqueue_user;

create or replace function pgqueue._row_secret()
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
begin atomic
  -- Immutable, so that the plan of pgqueue._put_row_job contains it and no row reads a table for it. A session that has planned before
  -- it changed goes on with the old one, which does no harm: a seal is made and compared in one session. A digest, so that no plan
  -- contains the password.
  select encode(sha256(convert_to('row ' || o, 'UTF8')), 'hex') from pg_user_mappings m, unnest(m.umoptions) o
  where m.srvname = 'pgqueue_loopback' and m.usename = current_user and starts_with(o, 'password=');
end;
comment on function pgqueue._row_secret() is
  'A secret of the owner, as a constant of a session: a digest of the password of the loopback. Only for pgqueue._put_row_job';

create or replace function pgqueue._put_row_job()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  kept constant text := current_setting('pgqueue.captured_settings', true);
  fingerprint constant text := pgqueue._fingerprint_of(pg_get_userbyid(new.role), new.search_path);
  timeout constant interval := pgqueue._ambient_timeout();
  digest text;
  settings jsonb;
begin
  if current_setting('debug_print_plan') <> 'off' then
    return null;  -- The caller could read the secret in the plan of what follows.
  end if;
  -- The digest covers all that decides, so a row whose digest is known needs no other look. The parts before the secret have one length
  -- each, or none, and the text of an array shows its end. extract(epoch ...), which is numeric, would take 1 µs.
  digest := encode(sha256(
    timestamptz_send(transaction_timestamp()) || int4send(pg_backend_pid()) || oidsend(new.role) || oidsend(coalesce(new.relation, 0))
      || int4send(hashtext(coalesce(new.columns, ''))) || coalesce(interval_send(timeout), '')
      || convert_to(pgqueue._row_secret() || fingerprint || kept, 'UTF8')), 'hex');
  -- These are the conditions of pgqueue.job_outbox. A view's conditions would be prepared for each row, and an expression of plpgsql is
  -- prepared once in a transaction.
  if digest is null then
    return null;
  elsif strpos(current_setting('pgqueue.row_seals', true), left(digest, 32)) > 0 then
    settings := split_part(kept, chr(30), -2)::jsonb;
  else
    -- The first row of a statement. Any code can write what was captured, so it counts with the seal of this role.
    if not starts_with(kept, fingerprint) or strpos(split_part(kept, chr(30), -1), pgqueue._seen_columns(new.relation, new.columns)) = 0
      or timeout <= interval '0' or not isfinite(timeout)
      or not exists (select from pgqueue.role_key k
                     where k.role = new.role and k.over_quota is null
                       and left(encode(sha256(convert_to(k.seal_key || kept, 'UTF8')), 'hex'), 32) = current_setting('pgqueue.captured_seal', true))
    then
      return null;
    end if;
    settings := split_part(kept, chr(30), -2)::jsonb;
    if octet_length(settings::text) > 1000000 or jsonb_path_exists(settings, 'strict $ ? (@.type() <> "object" || @.*.type() <> "string")') then
      return null;
    end if;
    -- Several triggers may take turns, and several roles.
    perform set_config('pgqueue.row_seals', left(concat(left(digest, 32), current_setting('pgqueue.row_seals', true)), 640), true);
  end if;
  if (left(new.statement, 1) > ' ' collate "C" or trim(new.statement, E' \t\r\n') <> '') and octet_length(new.statement) <= 16777216
    and (new.params is null
         or array_upper(new.params, 2) is null
            and (pg_column_size(new.params) <= 2000 or cardinality(new.params) <= 65535 and octet_length(array_to_string(new.params, '')) <= 16777216))
  then
    insert into pgqueue.message (submitter, cookie, kind, queue, sql, params, settings, timeout)
    values (new.role, hashtextextended(digest, 0), 'job', 'default', new.statement, new.params, settings, timeout);
    if not pgqueue._nobody_sleeps('default') then
      perform pgqueue._wake('default');
    end if;
    return new;
  end if;
  return null;
end
$$;
comment on function pgqueue._put_row_job() is
  'Enqueues what a row trigger has inserted into pgqueue.row_order. Nothing: the trigger has to take the general way';

create or replace trigger put_row_job instead of insert on pgqueue.row_order for each row execute function pgqueue._put_row_job();
