-- Tables of the loopback: the cluster of the database, the numbers of used requests, and dblink.
--
-- Roles are stored by number, and a number is another role's in another cluster. So the database stores to which cluster it
-- belongs, and the names of the roles whose numbers it contains.

create table pgqueue.home (
  only_row boolean primary key default true,
  system_identifier bigint not null,
  database bigint not null,
  constraint home_has_one_row check (only_row)
);
comment on table pgqueue.home is
  'The cluster and the database in which the numbers of roles are right; a copy or a restored dump has those of another one';

insert into pgqueue.home (system_identifier, database)
select c.system_identifier, d.oid::bigint from pg_control_system() c, pg_database d where d.datname = current_database();

create table pgqueue.role_name (
  role oid primary key,
  name text
);
comment on table pgqueue.role_name is
  'The names of roles whose numbers are in other tables, for a dump (pgqueue._repair_home). Numbers from 4294900000 on are of roles that are not in this cluster';

create unlogged table pgqueue.nonce (
  nonce bigint primary key,
  made_at timestamptz not null default clock_timestamp()
);
comment on table pgqueue.nonce is
  'Requests of the last minutes: each is accepted once. Unlogged: a proof does not outlive the server process';

do $$
begin
  if not exists (select from pg_extension where extname = 'dblink') then
    -- dblink is in a schema that no other role may use: its functions are granted to PUBLIC, and with them any code could send
    -- anything over the loopback of its session.
    create schema pgqueue_dblink;
    create extension dblink with schema pgqueue_dblink;
  end if;
  -- dblink may be in any schema: only these functions name it.
  execute replace($body$
    create function pgqueue._dblink_connect(name text, server text) returns text language sql volatile
      begin atomic select DBLINK.dblink_connect(name, server); end;
    create function pgqueue._dblink_disconnect(name text) returns text language sql volatile
      begin atomic select DBLINK.dblink_disconnect(name); end;
    create function pgqueue._dblink_disconnect_unnamed() returns text language sql volatile
      begin atomic select DBLINK.dblink_disconnect(); end;
    create function pgqueue._dblink_is_closed() returns boolean language sql immutable
      begin atomic select 'pgqueue_dblink' = $name$DBLINK$name$; end;
    create function pgqueue._dblink_exec(name text, command text) returns text language sql volatile
      begin atomic select DBLINK.dblink_exec(name, command); end;
    create function pgqueue._dblink_connections() returns text[] language sql volatile
      begin atomic select DBLINK.dblink_get_connections(); end;
    create function pgqueue._dblink_query(name text, query text) returns setof jsonb language sql volatile
      begin atomic select answer from DBLINK.dblink(name, query) as t (answer jsonb); end;
  $body$, 'DBLINK', (select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'dblink'));
end
$$;
comment on function pgqueue._dblink_connect(text, text) is 'dblink_connect, wherever dblink is installed';
comment on function pgqueue._dblink_disconnect(text) is 'dblink_disconnect, wherever dblink is installed';
comment on function pgqueue._dblink_disconnect_unnamed() is 'dblink_disconnect without a name, wherever dblink is installed';
comment on function pgqueue._dblink_is_closed() is
  'Whether dblink is where only pgqueue reaches it, so that no other code can have prepared anything in a loopback';
comment on function pgqueue._dblink_exec(text, text) is 'dblink_exec, wherever dblink is installed';
comment on function pgqueue._dblink_connections() is 'dblink_get_connections, wherever dblink is installed';
comment on function pgqueue._dblink_query(text, text) is 'dblink, wherever dblink is installed, for answers of one jsonb column';
