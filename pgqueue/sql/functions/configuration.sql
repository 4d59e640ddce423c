-- after: caller, enrollment, settings
-- Settings of queues and of the database that administrators and the queues' owners make.
--
-- A change is an INSERT into a view, whose default sees who runs (as in pgqueue.declaration).

create or replace function pgqueue._check_setting(setting text, value text, queue text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
  set intervalstyle = postgres
as $$
declare
  known record;
  is_in_range boolean;
begin
  select k.kind, k.fallback, k.least_value, k.greatest_value, k.of_database, k.of_queue into known
  from pgqueue._known_setting() k where k.setting = _check_setting.setting;
  if not found then
    raise exception 'setting "%" is not known', setting
      using errcode = '22023',
            hint = format('There is: %s.', (select string_agg(k.setting, ', ') from pgqueue._known_setting() k where k.of_database or k.of_queue));
  elsif queue is null and not known.of_database and known.of_queue then
    raise exception 'setting "%" is one of a queue, and no queue is named', setting
      using errcode = '22023', hint = format('Name it: pgqueue.configure(%L, %L, queue => ''audit'')', setting, coalesce(value, known.fallback));
  elsif queue is not null and not known.of_queue and known.of_database then
    raise exception 'setting "%" is one of the database, and a queue is named', setting
      using errcode = '22023', hint = format('Name none: pgqueue.configure(%L, %L)', setting, coalesce(value, known.fallback));
  elsif not (known.of_database or known.of_queue) then
    raise exception 'setting "%" is one of sessions', setting
      using errcode = '22023', hint = format('Use SET or ALTER ROLE: alter role app set pgqueue.%s = ...', setting);
  elsif octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  elsif known.kind = 'number' then
    -- Eighteen digits fit into a bigint.
    is_in_range := value ~ '^ *[0-9]{1,18} *$' and value::bigint between known.least_value::bigint and known.greatest_value::bigint;
    if not is_in_range then
      raise exception '% cannot be "%"', setting, value
        using errcode = '22023',
              hint = format('It is a whole number, %s to %s%s.', known.least_value || case when known.fallback = known.least_value then ' (the default)' else '' end,
                            known.greatest_value, case when known.fallback <> known.least_value then ', by default ' || known.fallback else '' end);
    end if;
    return value::bigint::text;
  elsif known.kind = 'interval' then
    begin
      -- With a part that is negative, '1 mon -29 days' for one, it is longer or shorter than the comparison says.
      is_in_range := value::interval between known.least_value::interval and known.greatest_value::interval and strpos(value::interval::text, '-') = 0;
    exception when data_exception then
      is_in_range := false;
    end;
    if not is_in_range then
      raise exception '% cannot be "%"', setting, value
        using errcode = '22023',
              hint = format('It is an interval, %s to %s%s.', known.least_value, known.greatest_value, ', by default ' || known.fallback);
    end if;
    return value::interval::text;
  elsif value <> all (string_to_array(known.kind, '|')) then
    raise exception '% cannot be "%"', setting, value
      using errcode = '22023', hint = format('It is %s (the default) or %s.', known.fallback, array_to_string(array_remove(string_to_array(known.kind, '|'), known.fallback), ', '));
  end if;
  return value;
end
$$;
comment on function pgqueue._check_setting(text, text, text) is 'Raises 22023 unless the value is one that the setting can have; else returns how it is stored. NULL: the default';

create or replace view pgqueue.configuring as
  select null::oid as role, null::text as setting, null::text as value, null::text as queue
  where false;
alter view pgqueue.configuring alter column role set default pgqueue._caller();
comment on view pgqueue.configuring is 'Where pgqueue.configure inserts what a role wants to set: pgqueue._set_up does it';
grant insert (setting, value, queue) on pgqueue.configuring to pgqueue_user, pgqueue_admin;

create or replace function pgqueue._settings_holder(role oid)
  returns oid
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select case when pg_has_role(role, 'pgqueue_admin', 'member') or role = quote_ident(current_user)::regrole::oid then 0 else role end
$$;
comment on function pgqueue._settings_holder(oid) is 'Whose settings a role changes: as an administrator or the owner those of all (0), else its own';

create or replace function pgqueue._is_own_queue(queue text, holder oid)
  returns boolean
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select exists (select from pgqueue.queue q where q.name = _is_own_queue.queue and q.declared_by = holder)
     and not exists (select from pgqueue.queue q where q.name = _is_own_queue.queue and q.declared_by = 0)
$$;
comment on function pgqueue._is_own_queue(text, oid) is 'Whether a role has declared a queue itself, and no administrator has';

create or replace function pgqueue._set_up()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  holder oid := pgqueue._settings_holder(new.role);
  stored text := pgqueue._check_setting(new.setting, new.value, new.queue);
begin
  if holder <> 0 then
    perform pgqueue._require_part(holder);
    if new.queue is null then
      raise exception 'permission denied for setting "%"', new.setting
        using errcode = '42501', hint = 'Administrators set what holds for the database.';
    elsif new.setting = 'durability' then
      raise exception 'permission denied for setting "durability" of queue "%"', new.queue
        using errcode = '42501', hint = 'Administrators set it. A job may have a durability of its own: durability => ''async''.';
    elsif not pgqueue._is_own_queue(new.queue, holder) then
      raise exception 'permission denied for queue "%"', new.queue
        using errcode = '42501', hint = 'Administrators configure queues, and a role those that it has declared itself, for its own jobs.';
    elsif exists (select from pgqueue.configured c where c.queue = new.queue and c.setting = new.setting and c.role = 0) then
      raise exception 'permission denied for setting "%" of queue "%"', new.setting, new.queue
        using errcode = '42501', hint = 'An administrator has set it.';
    end if;
  end if;
  if new.setting = 'durability' then
    -- pgqueue.set_durability sets the same.
    insert into pgqueue.queue_switch as q (name, durability) values (new.queue, stored)
    on conflict (name) do update set durability = excluded.durability;
  elsif stored is null then
    delete from pgqueue.configured c where c.queue = coalesce(new.queue, '') and c.setting = new.setting and c.role = holder;
  else
    insert into pgqueue.configured as c (setting, queue, role, value) values (new.setting, coalesce(new.queue, ''), holder, stored)
    on conflict on constraint configured_pkey do update set value = excluded.value, pruned_to = null;
  end if;
  return new;
end
$$;
comment on function pgqueue._set_up() is
  'Does what a role has inserted into pgqueue.configuring: for the database or all jobs of a queue if it is an administrator, else for its own jobs';

create or replace trigger set_up instead of insert on pgqueue.configuring for each row execute function pgqueue._set_up();

create or replace function pgqueue.configure(setting text, value text, queue text default null)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.configuring (setting, value, queue) values (configure.setting, configure.value, configure.queue);
end;
comment on function pgqueue.configure(text, text, text) is
  'Sets how a queue works, or (queue NULL) the database; value NULL: the default again. Workers notice it within a naptime. Administrators set it for all jobs, a role that has declared the queue for its own. The view pgqueue.configuration lists the settings';
grant execute on function pgqueue.configure(text, text, text) to pgqueue_user, pgqueue_admin;

create or replace function pgqueue._server_settings()
  returns table (setting text, value text, role oid, of_database boolean)
  language sql stable
begin atomic
  select substr(split_part(c.entry, '=', 1), 9), nullif(substr(c.entry, strpos(c.entry, '=') + 1), ''), s.setrole, s.setdatabase <> 0
  from pg_db_role_setting s
  cross join unnest(s.setconfig) c (entry)
  where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database())) and starts_with(c.entry, 'pgqueue.');
end;
comment on function pgqueue._server_settings() is 'Settings that ALTER DATABASE and ALTER ROLE have made for this database; role 0: for all roles';
grant execute on function pgqueue._server_settings() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace view pgqueue.configuration with (security_barrier) as
  select c.setting, c.queue, c.value, case when c.role <> 0 then pg_get_userbyid(c.role) end as role, 'queue'::text as source
  from pgqueue.configured c
  where c.queue <> ''
    and (c.role = 0 or pg_has_role(c.role, 'member')
         or pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member'))
  union all
  select 'durability', q.name, q.durability, null, 'queue' from pgqueue.queue_switch q where q.durability is not null
  union all
  select k.setting, null, coalesce(c.value, s.value, k.fallback), null,
         case when c.value is not null then 'table' when s.value is null then 'default' when s.of_database then 'database' else 'server' end
  from pgqueue._known_setting() k
  left join pgqueue.configured c on c.queue = '' and c.setting = k.setting and c.role = 0
  left join lateral (select d.value, d.of_database from pgqueue._server_settings() d where d.setting = k.setting and d.role = 0 and d.value is not null
                     order by not d.of_database limit 1) s on true
  where k.of_database or not k.of_queue
  union all
  select d.setting, null, d.value, pg_get_userbyid(d.role), 'role'
  from pgqueue._server_settings() d
  join pgqueue._known_setting() k on k.setting = d.setting
  where d.role <> 0 and d.value is not null
    and (pg_has_role(d.role, 'member')
         or pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.configuration is
  'Settings of the database, each with its value and where that comes from; and of queues, those that differ from their defaults';
comment on column pgqueue.configuration.setting is 'The name of the setting';
comment on column pgqueue.configuration.queue is 'The name of the queue; NULL: a setting of the database';
comment on column pgqueue.configuration.value is 'The value, as text; NULL: none';
comment on column pgqueue.configuration.role is 'The role whose jobs or sessions the value applies to; NULL: it applies to all roles';
comment on column pgqueue.configuration.source is
  'Where the value comes from: queue or table (pgqueue.configure), role (ALTER ROLE), database (ALTER DATABASE), server (ALTER ROLE ALL) or default';
grant select on pgqueue.configuration to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._prune_history()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  policy record;
  until_at timestamptz;
  pruned bigint;
  found_count bigint;
  most constant int := 20000;
begin
  for policy in
    select c.setting, c.queue, c.role, c.pruned_to, c.value::interval as keep, substr(c.setting, 8)::pgqueue.job_state as state
    from pgqueue.configured c
    where starts_with(c.setting, 'retain_')
      and (c.pruned_to is null or c.pruned_to < clock_timestamp() - c.value::interval - interval '10 min')
    -- Nothing here waits for a lock: a role may hold one for as long as it likes, and the worker would claim nothing meanwhile.
    for update skip locked
  loop
    until_at := clock_timestamp() - policy.keep;
    -- Statistics count a job once it is in the history. The margin is for jobs whose transactions ended late.
    perform pgqueue._fold_stats();
    with ended as materialized (
      select h.id, h.tableoid, h.ctid from pgqueue.history h
      where h.ended_at < until_at and h.ended_at >= coalesce(policy.pruned_to - interval '10 min', '-infinity')
        and h.queue = policy.queue and h.state = policy.state and (policy.role = 0 or h.submitter = policy.role)
      limit most
      for update skip locked
    ), failures as materialized (
      select f.id from pgqueue.failed_job f join ended e on e.id = f.id for update of f skip locked
    ), gone as (
      -- One that is being retried or discarded just now stays until that has ended.
      delete from pgqueue.history h using ended e
      where h.tableoid = e.tableoid and h.ctid = e.ctid
        and (exists (select from failures f where f.id = e.id) or not exists (select from pgqueue.failed_job f where f.id = e.id))
      returning h.id
    ), without_failure as (
      delete from pgqueue.failed_job f using failures l where f.id = l.id
    ), unread as materialized (
      select r.id, r.tableoid, r.ctid from pgqueue.result r join gone g on g.id = r.id for update of r skip locked
    ), without_result as (
      delete from pgqueue.result r using unread u where r.tableoid = u.tableoid and r.ctid = u.ctid
    ), without_attempts as (
      delete from pgqueue.attempt a using gone g where a.id = g.id
    )
    select (select count(*) from gone), (select count(*) from ended) into pruned, found_count;
    if pruned = found_count and pruned < most then
      update pgqueue.configured c set pruned_to = until_at
      where c.setting = policy.setting and c.queue = policy.queue and c.role = policy.role;
    end if;
  end loop;
end
$$;
comment on function pgqueue._prune_history() is
  'Deletes ended jobs that a queue keeps for less time than pgqueue.result_ttl, with their results, errors and parameters: at most 20,000 of a setting at once, else every 10 minutes';
