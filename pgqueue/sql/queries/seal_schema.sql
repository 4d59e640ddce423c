-- After all migrations, in their transaction: nothing that one of them made is forgotten.
do $$
declare
  name text;
  stranger record;
begin
  -- Rows are for the owner, whose functions and views show each role what it may see. Not for those who may read or write all
  -- tables (pg_read_all_data, pg_write_all_data, default privileges): in these tables stands who may do what.
  for name in
    select c.relname from pg_class c
    where c.relnamespace = to_regnamespace('pgqueue') and c.relkind in ('r', 'p') and not c.relrowsecurity
  loop
    execute format('alter table pgqueue.%I enable row level security', name);
  end loop;
  -- A publication for all tables forbids updates and deletes where it cannot say of which row they are.
  for name in
    select c.relname from pg_class c
    where c.relnamespace = to_regnamespace('pgqueue') and c.relkind in ('r', 'p') and c.relpersistence = 'p' and c.relreplident = 'd'
      and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
  loop
    execute format('alter table pgqueue.%I replica identity full', name);
  end loop;
  -- What the owner's default privileges gave to others.
  for stranger in
    select case when p.prokind = 'p' then 'procedure' else 'function' end as kind, p.oid::regprocedure::text as name, a.grantee
    from pg_proc p, aclexplode(p.proacl) a
    where p.pronamespace = to_regnamespace('pgqueue') and a.grantee <> p.proowner
    union all
    select case when c.relkind = 'S' then 'sequence' else 'table' end, c.oid::regclass::text, a.grantee
    from pg_class c, aclexplode(c.relacl) a
    where c.relnamespace = to_regnamespace('pgqueue') and a.grantee <> c.relowner
  loop
    if stranger.grantee = 0 then
      execute format('revoke all on %s %s from public', stranger.kind, stranger.name);
    elsif pg_get_userbyid(stranger.grantee) not in ('pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin', 'pgqueue_gate', 'pgbackground_role') then
      execute format('revoke all on %s %s from %I', stranger.kind, stranger.name, pg_get_userbyid(stranger.grantee));
    end if;
  end loop;
end
$$
