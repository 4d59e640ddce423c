-- after: enrollment
-- Settings of queues that administrators and the queues' owners make.
--
-- A change is an INSERT into a view, whose default sees who runs (as in pgqueue.declaration).

create or replace function pgqueue._check_setting(setting text, value text, queue text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if pgqueue._default_value(setting) is not null and queue is null then
    raise exception 'setting "%" is one of a queue, and no queue is named', setting
      using errcode = '22023', hint = format('Name it: pgqueue.configure(%L, %L, queue => ''audit'')', setting, coalesce(value, '100'));
  elsif octet_length(queue) not between 1 and 255 then
    raise exception 'queue name must have 1 to 255 bytes' using errcode = '22023';
  elsif setting = 'group_commit' and value !~ '^0*([1-9][0-9]?|100)$' then
    raise exception 'group_commit cannot be "%"', value
      using errcode = '22023', hint = 'It is the largest number of jobs in a transaction, 1 (the default) to 100.';
  end if;
  return ltrim(value, '0');
end
$$;
comment on function pgqueue._check_setting(text, text, text) is 'Raises 22023 unless the value is one that the setting can have; else returns how it is stored. NULL: the default';

create or replace function pgqueue._default_value(setting text)
  returns text
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if setting is distinct from 'group_commit' then
    raise exception 'setting "%" is not known', setting using errcode = '22023', hint = 'There is: group_commit.';
  end if;
  return '1';
end
$$;
comment on function pgqueue._default_value(text) is 'What a setting of a queue is that nobody has set; 22023 if there is no such setting';
grant execute on function pgqueue._default_value(text) to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace view pgqueue.configuring as
  select null::oid as role, null::text as setting, null::text as value, null::text as queue
  where false;
alter view pgqueue.configuring alter column role set default quote_ident(current_user)::regrole::oid;
comment on view pgqueue.configuring is 'Where pgqueue.configure inserts what a role wants to set: pgqueue._set_up does it';
grant insert (setting, value, queue) on pgqueue.configuring to pgqueue_user, pgqueue_admin;

create or replace function pgqueue._set_up()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- Administrators set for all.
  holder oid := case when pg_has_role(new.role, 'pgqueue_admin', 'member') or new.role = quote_ident(current_user)::regrole::oid then 0 else new.role end;
  stored text := pgqueue._check_setting(new.setting, new.value, new.queue);
begin
  if holder <> 0 then
    perform pgqueue._require_part(holder);
    if not exists (select from pgqueue.queue q where q.name = new.queue and q.declared_by = holder)
      or exists (select from pgqueue.queue q where q.name = new.queue and q.declared_by = 0)
    then
      raise exception 'permission denied for queue "%"', new.queue
        using errcode = '42501', hint = 'Administrators configure queues, and a role those that it has declared itself, for its own jobs.';
    elsif exists (select from pgqueue.configured c where c.queue = new.queue and c.setting = new.setting and c.role = 0) then
      raise exception 'permission denied for setting "%" of queue "%"', new.setting, new.queue
        using errcode = '42501', hint = 'An administrator has set it.';
    end if;
  end if;
  if stored is null then
    delete from pgqueue.configured c where c.queue = new.queue and c.setting = new.setting and c.role = holder;
  else
    insert into pgqueue.configured as c (setting, queue, role, value) values (new.setting, new.queue, holder, stored)
    on conflict on constraint configured_pkey do update set value = excluded.value;
  end if;
  return new;
end
$$;
comment on function pgqueue._set_up() is 'Does what a role has inserted into pgqueue.configuring: for all jobs of a queue if it is an administrator, else for its own';

create or replace trigger set_up instead of insert on pgqueue.configuring for each row execute function pgqueue._set_up();

create or replace function pgqueue.configure(setting text, value text, queue text default null)
  returns void
  language sql volatile
begin atomic
  insert into pgqueue.configuring (setting, value, queue) values (configure.setting, configure.value, configure.queue);
end;
comment on function pgqueue.configure(text, text, text) is
  'Sets how a queue works; value NULL: the default again. group_commit: how many jobs of one role may share a transaction, 1 to 100. Administrators set it for all jobs of the queue, a role that has declared the queue for its own';
grant execute on function pgqueue.configure(text, text, text) to pgqueue_user, pgqueue_admin;

create or replace view pgqueue.configuration with (security_barrier) as
  select c.setting, c.queue, c.value, case when c.role <> 0 then pg_get_userbyid(c.role) end as role
  from pgqueue.configured c
  where c.role = 0 or pg_has_role(c.role, 'member')
     or pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_worker', 'member') or pg_has_role('pgqueue_admin', 'member');
comment on view pgqueue.configuration is
  'Settings that pgqueue.configure has made: for all jobs of a queue (role NULL), which count first, or for the jobs of a role. Settings that are not listed have their defaults';
comment on column pgqueue.configuration.setting is 'The name of the setting';
comment on column pgqueue.configuration.queue is 'The name of the queue';
comment on column pgqueue.configuration.value is 'The value, as text';
comment on column pgqueue.configuration.role is 'The role whose jobs the value applies to; NULL: it applies to the jobs of all roles';
grant select on pgqueue.configuration to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
