-- The cluster to which the database belongs. Roles are stored by number, and a number is another role's in another cluster: a
-- copied or restored database is repaired by the names of roles.

create or replace function pgqueue._is_at_home()
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pgqueue.home h, pg_control_system() c, pg_database d
    where h.system_identifier = c.system_identifier and d.datname = current_database() and h.database = d.oid::bigint)
$$;
comment on function pgqueue._is_at_home() is
  'Whether the numbers of roles in this database are those of this cluster. False: the database was copied or restored, and not repaired';
grant execute on function pgqueue._is_at_home() to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._require_home()
  returns void
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not pgqueue._is_at_home() then
    raise exception 'database "%" was copied or restored from elsewhere, and its roles are not known yet', current_database()
      using errcode = '55000', hint = 'Let its owner run: pgqueue upgrade';
  end if;
end
$$;
comment on function pgqueue._require_home() is 'Raises 55000 in a database that was copied or restored, and not repaired since';
grant execute on function pgqueue._require_home() to pgqueue_user;

create or replace function pgqueue._note_roles()
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  insert into pgqueue.role_name as n (role, name)
  select r.oid, r.rolname
  from (select k.role from pgqueue.role_key k union select q.declared_by from pgqueue.queue q union select e.declared_by from pgqueue.exchange e
        union select b.declared_by from pgqueue.binding b union select n.role from pgqueue.role_name n) used (role)
  join pg_roles r on r.oid = used.role
  on conflict on constraint role_name_pkey do update set name = excluded.name where n.name is distinct from excluded.name;
  delete from pgqueue.role_name n where n.role < 4294900000 and not exists (select from pg_roles r where r.oid = n.role);
$$;
comment on function pgqueue._note_roles() is
  'Records the names of the roles whose numbers other tables contain, also after ALTER ROLE ... RENAME';

create or replace function pgqueue._role_here(number oid)
  returns oid
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  -- A dump has the name that the owner of a runner had at the time of the dump; the recorded name may be slightly older.
  select coalesce(
    (select p.proowner from pg_proc p join pg_namespace s on s.oid = p.pronamespace
     where s.nspname = 'pgqueue_run' and p.proname = 'job_' || number and p.proowner <> s.nspowner),
    (select r.oid from pgqueue.role_name n join pg_roles r on r.rolname = n.name where n.role = number))
$$;
comment on function pgqueue._role_here(oid) is
  'The role of this cluster that had this number in the cluster of origin; NULL: it does not exist here';

create or replace function pgqueue._renumber_roles(old_numbers oid[], new_numbers oid[])
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  keys pgqueue.role_key[];
  totals pgqueue.stat_total[];
  -- Jobs that were submitted here before the repair have numbers of this cluster already. A restore grants rights after all rows
  -- are loaded.
  granted_age int := (select age(c.xmin) from pg_class c where c.oid = 'pgqueue.jobs'::regclass and c.relacl is not null);
begin
  -- It is done in two steps, because numbers may be swapped.
  update pgqueue.message m set submitter = 4294000000 + t.n
  from unnest(old_numbers) with ordinality t (number, n)
  where m.submitter = t.number and (granted_age is null or age(m.xmin) >= granted_age or m.submitter >= 4294900000);
  update pgqueue.message m set submitter = new_numbers[m.submitter::bigint - 4294000000]
  where m.submitter::bigint between 4294000001 and 4294899999;
  update pgqueue.history h set submitter = t.new_number
  from unnest(old_numbers, new_numbers) t (old_number, new_number)
  where h.submitter = t.old_number and (granted_age is null or age(h.xmin) >= granted_age or h.submitter >= 4294900000);
  update pgqueue.failed_job f set submitter = t.new_number
  from unnest(old_numbers, new_numbers) t (old_number, new_number)
  where f.submitter = t.old_number and (granted_age is null or age(f.xmin) >= granted_age or f.submitter >= 4294900000);
  update pgqueue.attempt a set submitter = t.new_number
  from unnest(old_numbers, new_numbers) t (old_number, new_number)
  where a.submitter = t.old_number and (granted_age is null or age(a.xmin) >= granted_age or a.submitter >= 4294900000);
  update pgqueue.queue q set declared_by = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where q.declared_by = t.old_number;
  update pgqueue.exchange e set declared_by = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where e.declared_by = t.old_number;
  update pgqueue.binding b set declared_by = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where b.declared_by = t.old_number;
  update pgqueue.configured c set role = 4294000000 + t.n from unnest(old_numbers) with ordinality t (number, n) where c.role = t.number;
  update pgqueue.configured c set role = new_numbers[c.role::bigint - 4294000000] where c.role::bigint between 4294000001 and 4294899999;
  update pgqueue.limit_rule l set role = 4294000000 + t.n from unnest(old_numbers) with ordinality t (number, n) where l.role = t.number;
  update pgqueue.limit_rule l set role = new_numbers[l.role::bigint - 4294000000] where l.role::bigint between 4294000001 and 4294899999;
  update pgqueue.unique_hold u set submitter = 4294000000 + t.n from unnest(old_numbers) with ordinality t (number, n) where u.submitter = t.number;
  update pgqueue.unique_hold u set submitter = new_numbers[u.submitter::bigint - 4294000000] where u.submitter::bigint between 4294000001 and 4294899999;
  -- Limits count messages that workers have, and no worker of the other server has one here.
  delete from pgqueue.limit_state;
  delete from pgqueue.limit_holder;
  update pgqueue.schedule s set owner = 4294000000 + t.n from unnest(old_numbers) with ordinality t (number, n) where s.owner = t.number;
  update pgqueue.schedule s set owner = new_numbers[s.owner::bigint - 4294000000] where s.owner::bigint between 4294000001 and 4294899999;
  update pgqueue.batch b set owner = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where b.owner = t.old_number;
  update pgqueue.schedule_run r set owner = t.new_number from unnest(old_numbers, new_numbers) t (old_number, new_number) where r.owner = t.old_number;
  keys := array(select k from pgqueue.role_key k);
  delete from pgqueue.role_key;
  insert into pgqueue.role_key (role, key, seal_key, enrolled_at)
  select coalesce(t.new_number, k.role), k.key, k.seal_key, k.enrolled_at
  from unnest(keys) k left join unnest(old_numbers, new_numbers) t (old_number, new_number) on t.old_number = k.role
  on conflict do nothing;
  totals := array(select s from pgqueue.stat_total s);
  delete from pgqueue.stat_total;
  insert into pgqueue.stat_total (submitter, queue, completed, failed, canceled, expired, timed_jobs, total_ms, total_wait_ms, wait_counts, run_counts)
  select coalesce(t.new_number, s.submitter), s.queue, sum(s.completed), sum(s.failed), sum(s.canceled), sum(s.expired), sum(s.timed_jobs), sum(s.total_ms),
         sum(s.total_wait_ms), pgqueue._sum_counts(array_agg(s.wait_counts)), pgqueue._sum_counts(array_agg(s.run_counts))
  from unnest(totals) s left join unnest(old_numbers, new_numbers) t (old_number, new_number) on t.old_number = s.submitter
  group by 1, 2;
end
$$;
comment on function pgqueue._renumber_roles(oid[], oid[]) is 'Replaces the numbers of roles in all tables';

create or replace function pgqueue._settle_here(is_elsewhere boolean)
  returns text[]
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  used record;
  found_role oid;
  nobody bigint := (select coalesce(min(n.role::bigint), 4294967295) from pgqueue.role_name n where n.role >= 4294900000);
  old_numbers oid[] := '{}';
  new_numbers oid[] := '{}';
  names text[] := '{}';
  missing text[] := '{}';
  routine text;
begin
  for used in
    select u.number, n.name
    from (select m.submitter from pgqueue.message m union select h.submitter from pgqueue.history h
          union select f.submitter from pgqueue.failed_job f union select a.submitter from pgqueue.attempt a union select s.submitter from pgqueue.stat_total s
          union select k.role from pgqueue.role_key k union select q.declared_by from pgqueue.queue q union select e.declared_by from pgqueue.exchange e
          union select b.declared_by from pgqueue.binding b union select c.role from pgqueue.configured c where c.role <> 0
          union select l.role from pgqueue.limit_rule l where l.role <> 0 union select b.owner from pgqueue.batch b
          union select u.submitter from pgqueue.unique_hold u
          union select r.role from pgqueue.role_name r) u (number)
    left join pgqueue.role_name n on n.role = u.number
    where u.number >= case when is_elsewhere then 1 else 4294900000 end
  loop
    found_role := pgqueue._role_here(used.number);
    if found_role is null then
      missing := missing || used.name;
      if used.number >= 4294900000 then
        found_role := used.number;
      else
        -- Another role may have that number here.
        nobody := nobody - 1;
        found_role := nobody;
      end if;
    end if;
    old_numbers := old_numbers || used.number;
    new_numbers := new_numbers || found_role;
    names := names || used.name;
  end loop;
  missing := array(select distinct m from unnest(missing) m where m is not null order by m);
  -- They were counted under the numbers of the other cluster, whose transaction ids differ as well.
  perform pgqueue._fold_stats();
  if old_numbers <> new_numbers then
    perform pgqueue._renumber_roles(old_numbers, new_numbers);
    delete from pgqueue.role_name n where n.role = any (old_numbers);
    insert into pgqueue.role_name (role, name) select t.number, t.name from unnest(new_numbers, names) t (number, name) on conflict do nothing;
  end if;
  if not is_elsewhere then
    return missing;
  end if;
  update pgqueue.history h set xact = '3' where h.xact >= pg_snapshot_xmax(pg_current_snapshot());
  update pgqueue.stat_fold f set snapshot = pg_current_snapshot();
  -- No session of the other cluster exists here.
  delete from pgqueue.stat_session;
  delete from pgqueue.tracked_job;
  -- Runners have numbers of the other cluster, and may be written for another version of the server.
  for routine in
    select p.oid::regprocedure::text from pg_proc p join pg_namespace s on s.oid = p.pronamespace
    where s.nspname in ('pgqueue_run', 'pgqueue_take') and p.proname ~ '^(jobs?|groups?|takes?|result)_[0-9]+$'
  loop
    execute format('drop routine %s', routine);
  end loop;
  update pgqueue.role_key k set runner = null, group_runner = null, result_runner = null, runner_xid = null;
  return missing;
end
$$;
comment on function pgqueue._settle_here(boolean) is
  'After a dump was restored in another cluster: gives all roles the numbers that they have here; else those that were missing. Returns the names of those that do not exist here';

create or replace function pgqueue._repair_home()
  returns text[]
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  missing text[] := '{}';
  gate text := 'pgqueue_gate_' || (select d.oid from pg_database d where d.datname = current_database());
  password text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  enrolled oid;
begin
  lock table pgqueue.home in exclusive mode;
  if not has_schema_privilege('pgqueue_worker', 'pgqueue', 'usage') then
    raise exception 'the rights of pgqueue''s roles were not restored'
      using errcode = '55000', hint = 'Restore the roles first (pg_dumpall --roles-only, or pgqueue install in another database), then the database, with its privileges.';
  end if;
  if not exists (select from pgqueue.home h, pg_control_system() c where h.system_identifier = c.system_identifier) then
    missing := pgqueue._settle_here(true);
    -- Only this database knows its password.
    execute format('%s role %I login password %L', case when to_regrole(gate) is null then 'create' else 'alter' end, gate, password);
    execute format('grant pgqueue_gate to %I', gate);
    execute 'drop user mapping for current_user server pgqueue_loopback';
    execute format('create user mapping for current_user server pgqueue_loopback options (user %L, password %L)', gate, password);
  elsif exists (select from pgqueue.role_name n join pg_roles r on r.rolname = n.name where n.role >= 4294900000) then
    missing := pgqueue._settle_here(false);  -- Some roles that were missing exist now.
  end if;
  update pgqueue.home h
  set system_identifier = c.system_identifier, database = d.oid::bigint
  from pg_control_system() c, pg_database d
  where d.datname = current_database() and (h.system_identifier, h.database) is distinct from (c.system_identifier, d.oid::bigint);
  perform pgqueue._note_roles();
  -- A dump of a single database has no memberships.
  for enrolled in
    select k.role from pgqueue.role_key k join pg_roles r on r.oid = k.role
    where not (pg_has_role(k.role, 'pgqueue_user', 'member') and has_schema_privilege(k.role, 'pgqueue', 'usage'))
  loop
    execute format('grant pgqueue_user to %s', enrolled::regrole);
    perform pgqueue._admit(enrolled::regrole, true);
  end loop;
  perform pgqueue._repair_executor();
  for enrolled in select k.role from pgqueue.role_key k join pg_roles r on r.oid = k.role where k.runner is null loop
    begin
      perform pgqueue._make_runner(enrolled);
    exception when insufficient_privilege then
      null;  -- Its jobs run where a worker can log in as the role, as pgqueue.enroll has said.
    end;
  end loop;
  if missing <> '{}' then
    raise warning 'roles that submit jobs are missing in this cluster: %', array_to_string(missing, ', ')
      using hint = 'Create them and run again: pgqueue upgrade. Until then their jobs fail.';
  end if;
  return missing;
end
$$;
comment on function pgqueue._repair_home() is
  'Repairs a database that was copied or restored, except its loopback: roles by their names, runners, the executors'' login. Returns the names of missing roles. For the installer';

create or replace function pgqueue._forget_dropped_roles()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Roles that are missing here but may be created later stay (pgqueue._repair_home).
  perform pgqueue._pause_schedules_of(k.role) from pgqueue.role_key k where k.role < 4294900000 and not exists (select from pg_roles r where r.oid = k.role);
  delete from pgqueue.role_key k where k.role < 4294900000 and not exists (select from pg_roles r where r.oid = k.role);
  delete from pgqueue.queue d where d.declared_by between 1 and 4294899999 and not exists (select from pg_roles r where r.oid = d.declared_by);
  delete from pgqueue.configured c where c.role between 1 and 4294899999 and not exists (select from pg_roles r where r.oid = c.role);
  delete from pgqueue.exchange e where e.declared_by between 1 and 4294899999 and not exists (select from pg_roles r where r.oid = e.declared_by);
  delete from pgqueue.binding b where b.declared_by between 1 and 4294899999 and not exists (select from pg_roles r where r.oid = b.declared_by);
end
$$;
comment on function pgqueue._forget_dropped_roles() is 'Deletes the secrets and the declarations of roles that no longer exist';
