-- after: cron_names
-- Schedules that come from elsewhere: from pg_cron's table or from a crontab. Each is made as its owner, with the rights of the session.

create or replace function pgqueue._usual_settings(role text)
  returns jsonb
  language sql stable
begin atomic
  -- Of what a new session of that role would have, jobs need the path only: their own session brings the rest.
  select jsonb_build_object('search_path', coalesce(
    (select substr(entry, strpos(entry, '=') + 1)
     from pg_db_role_setting s, unnest(s.setconfig) entry
     where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database())) and s.setrole in (0, quote_ident(role)::regrole)
       and entry like 'search\_path=%'
     order by s.setrole = 0, s.setdatabase = 0 limit 1), '"$user", public'));
end;
comment on function pgqueue._usual_settings(text) is 'The settings of a job whose owner is not the session''s role: those that a session of the owner would begin with';
grant execute on function pgqueue._usual_settings(text) to pgqueue_user;

create or replace function pgqueue._copy_schedules(entries jsonb, kept text)
  returns setof jsonb
  language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  entry pg_catalog.jsonb;
  before pg_catalog.text := pg_catalog.current_setting('role');
  here pg_catalog.text := current_user;
  reports pg_catalog.jsonb[] := '{}';
  found_id pg_catalog.int8;
  made pg_catalog.int8;
  given pg_catalog.jsonb;
  message pg_catalog.text;
  advice pg_catalog.text;
  code pg_catalog.text;
  is_whole boolean := true;
begin
  begin
    for entry in select e.value from pg_catalog.jsonb_array_elements(entries) e loop
      begin
        perform pgqueue._take_role(entry ->> 'owner');
        given := case when current_user = here then pgqueue._settings() else pgqueue._usual_settings(current_user) end;
        found_id := (select s.id from pgqueue.schedules s where s.owner = current_user and s.name = entry ->> 'name');
        -- As cron does it: one try, and nothing that was missed is caught up with.
        insert into pgqueue.schedule_order (act, name, expression, timezone, sql, settings, queue, priority, max_attempts, overlap, catch_up)
        values ('put', entry ->> 'name', entry ->> 'schedule', entry ->> 'timezone', entry ->> 'sql', given, 'default', 0, 1, 'skip', 'none')
        returning schedule_order.id into made;
        if entry ->> 'active' = 'false' then
          insert into pgqueue.schedule_order (act, name) values ('pause', entry ->> 'name');
        end if;
        reports := reports || pg_catalog.jsonb_build_object('name', entry ->> 'name', 'owner', current_user, 'id', made, 'replaces', found_id is not null);
        perform pg_catalog.set_config('role', before, true);
      exception when others then
        get stacked diagnostics message = message_text, advice = pg_exception_hint, code = returned_sqlstate;
        if code = '42501' and entry ->> 'owner' <> here and message like '%to set role%' then
          advice := 'Import as a superuser, as a member of that role, or as the role itself.';
        end if;
        is_whole := false;
        reports := reports || pg_catalog.jsonb_build_object('name', entry ->> 'name', 'owner', coalesce(entry ->> 'owner', here), 'error', message, 'hint', nullif(advice, ''));
      end;
    end loop;
    if kept = 'none' or kept = 'all' and not is_whole then
      raise exception using errcode = 'PQ000';  -- it is undone
    end if;
  exception when sqlstate 'PQ000' then
    null;
  end;
  return query select r.report from pg_catalog.unnest(reports) with ordinality r (report, n) order by r.n;
end
$$;
comment on function pgqueue._copy_schedules(jsonb, text) is
  'Makes schedules and says of each what became of it. kept: all of them or none (all), those that can be (some), or none: it was only to be tried (none)';
grant execute on function pgqueue._copy_schedules(jsonb, text) to pgqueue_user;
