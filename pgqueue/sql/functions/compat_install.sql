-- Creates pg_background's names in a schema, and drops them.

create or replace function pgqueue._objects_like_pg_background(schema_name text)
  returns table (kind text, oid oid, signature text, is_helper boolean)
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select 'function', p.oid, format('function %s', p.oid::regprocedure), p.proname ~ '(grant|revoke)_'
  from pg_proc p
  where p.pronamespace = to_regnamespace(quote_ident(schema_name)) and p.proname ~ '^(pg_background_|(grant|revoke)_pg_background_)'
  union all
  select case c.relkind when 'v' then 'view' else 'type' end, c.oid,
         format('%s %s', case c.relkind when 'v' then 'view' else 'type' end, c.oid::regclass), false
  from pg_class c
  where c.relnamespace = to_regnamespace(quote_ident(schema_name)) and c.relname ~ '^pg_background_' and c.relkind in ('v', 'c')
$$;
comment on function pgqueue._objects_like_pg_background(text) is 'The objects of a schema that have a name of pg_background';

create or replace function pgqueue.install_compat(version text default '2.0', schema text default 'public')
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  installed text := (select c.version from pgqueue.compat c where c.schema_name = schema);
  before oid[];
  made record;
  target text;
  can_use boolean;
begin
  if version is null or version not in ('1.8', '2.0') then
    raise exception 'version "%" of pg_background is not known', coalesce(version, 'NULL') using errcode = '22023', hint = 'It is 1.8 or 2.0.';
  elsif to_regnamespace(quote_ident(schema)) is null then
    raise exception 'schema "%" does not exist', schema using errcode = '3F000', hint = format('create schema %I', schema);
  elsif schema = 'pgqueue' then
    raise exception 'the schema pgqueue is pgqueue''s own' using errcode = '22023', hint = 'Choose another schema, for example public.';
  elsif installed = version then
    return;
  elsif installed is not null then
    raise exception 'schema "%" has the names of pg_background %', schema, installed
      using errcode = '42710', hint = format('select pgqueue.uninstall_compat(schema => %L)', schema);
  end if;
  perform pgqueue._make_background_role();
  before := array(select o.oid from pgqueue._objects_like_pg_background(schema) o);
  begin
    -- pg_catalog comes first although it is not named, so objects of other roles in the schema are not used by the names here.
    perform set_config('search_path', quote_ident(schema) || ', pg_temp', true);
    if version = '1.8' then
      perform pgqueue._create_pg_background_1_8();
    else
      perform pgqueue._create_pg_background_2_0();
    end if;
  exception when duplicate_object or duplicate_function or duplicate_table then
    raise exception 'schema "%" has a pg_background already', schema
      using errcode = '42710', detail = sqlerrm, hint = 'Choose another schema, or drop the extension: drop extension pg_background.';
  end;
  perform set_config('search_path', 'pg_catalog, pg_temp', true);
  for made in select o.* from pgqueue._objects_like_pg_background(schema) o where o.oid <> all (before) loop
    target := regexp_replace(made.signature, '^view ', 'table ');
    execute format('comment on %s is %L', made.signature, 'pg_background ' || version || ', by pgqueue');
    execute format('revoke all on %s from public', target);
    if not made.is_helper then
      execute format('grant %s on %s to pgbackground_role', case made.kind when 'function' then 'execute' when 'type' then 'usage' else 'select' end, target);
    end if;
  end loop;
  can_use := has_schema_privilege('pgbackground_role', schema, 'usage');
  if not can_use then
    execute format('grant usage on schema %I to pgbackground_role', schema);
  end if;
  insert into pgqueue.compat (schema_name, version, objects, grants_usage)
  select schema, version, array_agg(o.signature order by o.kind = 'type', o.kind = 'function', o.oid), not can_use
  from pgqueue._objects_like_pg_background(schema) o where o.oid <> all (before);
  perform pgqueue._set_background_defaults(true);
end
$$;
comment on function pgqueue.install_compat(text, text) is 'Creates the names of pg_background 1.8 or 2.0 in a schema, so that programs written for the extension run on pgqueue';

create or replace function pgqueue._make_background_role()
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  begin
    if to_regrole('pgbackground_role') is null then
      create role pgbackground_role nologin;
    end if;
  exception when duplicate_object or unique_violation then
    null;  -- An installer of another database was faster: roles belong to the whole cluster.
  end;
  if not exists (select from pg_auth_members m where m.roleid = 'pgqueue_user'::regrole and m.member = 'pgbackground_role'::regrole) then
    grant pgqueue_user to pgbackground_role;
  end if;
  -- The grant is made in this database, before its members are enrolled by their first call.
  perform pgqueue._admit('pgbackground_role', true);
end
$$;
comment on function pgqueue._make_background_role() is 'Creates the role whose members may call pg_background''s names';

create or replace function pgqueue._grant_background(member text, is_grant boolean, print_commands boolean)
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  command text := case when is_grant then format('grant pgbackground_role to %I', member) else format('revoke pgbackground_role from %I', member) end;
begin
  if to_regrole(quote_ident(member)) is null then
    raise exception 'role "%" does not exist', member using errcode = '42704';
  end if;
  execute command;
  if print_commands then
    raise info '%', command;
  end if;
  if is_grant and not pgqueue._enroll_member(quote_ident(member)::regrole::oid) then
    perform pgqueue.enroll(quote_ident(member)::regrole);  -- The member is a superuser, and only superusers may enroll one.
  end if;
  return true;
exception when others then
  raise notice '%', sqlerrm;
  return false;
end
$$;
comment on function pgqueue._grant_background(text, boolean, boolean) is 'pg_background_grant_privileges and revoke. False: it could not be done, and a notice says why';

create or replace function pgqueue._set_background_defaults(is_set boolean)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  setting record;
  given text;
begin
  for setting in values ('pg_background.max_workers', '16'), ('pg_background.default_queue_size', '64kB'), ('pg_background.worker_timeout', '0') loop
    select substr(entry, strpos(entry, '=') + 1) into given
    from pg_db_role_setting s, unnest(s.setconfig) entry
    where s.setdatabase = (select d.oid from pg_database d where d.datname = current_database()) and s.setrole = 0
      and split_part(entry, '=', 1) = setting.column1;
    if is_set and given is null then
      execute format('alter database %I set %s = %L', current_database(), setting.column1, setting.column2);
    elsif not is_set and given = setting.column2 then
      execute format('alter database %I reset %s', current_database(), setting.column1);
    end if;
  end loop;
exception when insufficient_privilege then
  -- Only a superuser may set, for a database, a setting that the server does not know.
  raise notice 'SHOW pg_background.max_workers and the like will work in a session from its first launch on'
    using hint = (select 'To have them in every session, let a superuser run: '
                    || string_agg(format('alter database %I set pg_background.%s = %L', current_database(), s.name, s.value), '; ')
                  from (values ('max_workers', '16'), ('default_queue_size', '64kB'), ('worker_timeout', '0')) s (name, value));
end
$$;
comment on function pgqueue._set_background_defaults(boolean) is
  'Sets the defaults of pg_background''s settings for the database, where no value is set, or removes them, so that SHOW works in every session';

create or replace function pgqueue._drop_compat(schema text, behavior text)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  surface pgqueue.compat;
  signature text;
begin
  delete from pgqueue.compat c where c.schema_name = schema returning * into surface;
  if not found then
    raise exception 'schema "%" has no names of pg_background that pgqueue made', schema using errcode = '42704',
      hint = coalesce((select 'They are in ' || string_agg(quote_ident(c.schema_name), ', ') || '.' from pgqueue.compat c), 'Nothing is to be removed.');
  end if;
  foreach signature in array surface.objects loop
    execute format('drop %s %s', regexp_replace(signature, '^([a-z]+) ', E'\\1 if exists '), behavior);
  end loop;
  if surface.grants_usage and to_regnamespace(quote_ident(schema)) is not null then
    execute format('revoke usage on schema %I from pgbackground_role', schema);
  end if;
  if not exists (select from pgqueue.compat) then
    perform pgqueue._admit('pgbackground_role', false);
    perform pgqueue._set_background_defaults(false);
    begin
      drop role pgbackground_role;
    exception when dependent_objects_still_exist or insufficient_privilege then
      null;  -- Another role has granted it a right, perhaps in another database.
    end;
  end if;
end
$$;
comment on function pgqueue._drop_compat(text, text) is
  'Drops the objects that pgqueue.install_compat has created in a schema; restrict or cascade';

create or replace function pgqueue.uninstall_compat(schema text default 'public')
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._drop_compat(schema, 'restrict');
end
$$;
comment on function pgqueue.uninstall_compat(text) is 'Drops the objects that pgqueue.install_compat created in a schema, and nothing else. Jobs stay';
