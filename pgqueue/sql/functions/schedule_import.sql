-- after: schedule_changes, schedules
-- Imports an application's own list of schedules into a role's schedules: entries are made, replaced, kept or removed.

create or replace function pgqueue._import_schedule(o pgqueue.schedule_order)
  returns pgqueue.schedule_order
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  s pgqueue.schedule;
begin
  if o.source is null or trim(o.source) = '' or octet_length(o.source) > 255 then
    raise exception 'source of an import must have 1 to 255 bytes' using errcode = '22023', hint = 'Name the application.';
  end if;
  select f.* into s from pgqueue.schedule f where f.owner = o.role and f.name = o.name;
  o.id := s.id;
  if s.id is not null and s.source is distinct from o.source then
    o.outcome := 'left';  -- somebody has made it by hand, or another application
    return o;
  elsif (s.expression, s.timezone, s.sql, s.params, s.task, s.args, s.kwargs, s.sending, s.queue, s.priority::int, s.label, s.jitter, s.starts_at, s.ends_at, s.overlap, s.catch_up)
    is not distinct from
    (o.expression, o.timezone, o.sql, o.params, o.task, o.args, o.kwargs, o.sending, o.queue, o.priority, o.label, o.jitter, o.starts_at, o.ends_at, o.overlap, o.catch_up)
  then
    o.outcome := 'kept';  -- nothing is locked or written: each worker of an application imports as it starts
    return o;
  end if;
  o.id := pgqueue._put_schedule(o);
  o.outcome := case when s.id is null then 'made' else 'replaced' end;
  -- A pause applies to the name, so it holds for the new definition as well.
  update pgqueue.schedule c set enabled = false, error = s.error where c.id = s.id and not s.enabled;
  return o;
end
$$;
comment on function pgqueue._import_schedule(pgqueue.schedule_order) is
  'Makes or replaces a schedule that an import has, if no other hand has made it. outcome: made, replaced, kept, or left as it is';

create or replace function pgqueue._prune_schedule(o pgqueue.schedule_order)
  returns pgqueue.schedule_order
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  delete from pgqueue.schedule d where d.owner = o.role and d.name = o.name and d.source = o.source returning d.id into o.id;
  o.outcome := case when o.id is not null then 'removed' end;
  return o;
end
$$;
comment on function pgqueue._prune_schedule(pgqueue.schedule_order) is 'Removes a schedule that an import has made and has no more';

create or replace function pgqueue._import_schedules(source text, entries jsonb, is_dry boolean)
  returns table (name text, outcome text, problem text, hint text)
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  entry record;
  told jsonb := '[]';
  became text;
  advice text;
begin
  begin
    for entry in
      select e.* from jsonb_to_recordset(entries) e (name text, schedule text, timezone text, task text, args jsonb, kwargs jsonb, queue text, priority int,
                                                     overlap text, catch_up text, sending jsonb, problem text, hint text)
      order by e.name  -- two imports at the same time lock in the same order
    loop
      if entry.problem is not null then
        told := told || jsonb_build_object('name', entry.name, 'outcome', 'refused', 'problem', entry.problem, 'hint', entry.hint);
        continue;
      end if;
      begin
        insert into pgqueue.schedule_order as o (act, name, expression, timezone, task, args, kwargs, queue, priority, overlap, catch_up, sending, source)
        values ('import', entry.name, entry.schedule, entry.timezone, entry.task, entry.args, entry.kwargs, entry.queue, entry.priority, entry.overlap, entry.catch_up, entry.sending,
                _import_schedules.source)
        returning o.outcome into became;
        told := told || jsonb_build_object('name', entry.name, 'outcome', became);
      exception when others then
        -- An invalid entry does not stop the others. An error that concerns all of them does.
        if sqlstate !~ '^(22|23|42704|53400|54|0A)' and sqlstate <> '42501' then
          raise;
        end if;
        get stacked diagnostics advice = pg_exception_hint;
        told := told || jsonb_build_object('name', entry.name, 'outcome', 'refused', 'problem', sqlerrm, 'hint', advice);
      end;
    end loop;
    for entry in
      select s.name from pgqueue.schedules s
      where s.owner = current_user and s.source = _import_schedules.source and s.name <> all (array(select e ->> 'name' from jsonb_array_elements(entries) e))
      order by s.name
    loop
      insert into pgqueue.schedule_order as o (act, name, source) values ('prune', entry.name, _import_schedules.source) returning o.outcome into became;
      if became is not null then
        told := told || jsonb_build_object('name', entry.name, 'outcome', became);
      end if;
    end loop;
    if is_dry then
      raise exception 'this was a rehearsal' using errcode = 'PQ009';
    end if;
  exception when sqlstate 'PQ009' then
    null;  -- undone; what it would have done is known
  end;
  return query select t.* from jsonb_to_recordset(told) t (name text, outcome text, problem text, hint text);
end
$$;
comment on function pgqueue._import_schedules(text, jsonb, boolean) is
  'Lets the calling role have the schedules of an application, each with what became of it. is_dry: says it and does nothing';
grant execute on function pgqueue._import_schedules(text, jsonb, boolean) to pgqueue_user;
