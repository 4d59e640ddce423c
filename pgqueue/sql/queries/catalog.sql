-- The objects of an installation as the server's catalogs describe them; `pgqueue doctor` compares them with the release's.

-- name: installed_catalog
-- Left out is what a database makes while it is used: partitions of days, runners, the admission of roles. The owner's own privileges are no
-- grant, and have other letters on newer servers. Servers print what they have parsed (views, bodies in `begin atomic`) in several ways: without
-- the qualifiers of columns and without AS, which is what differs, it is the same text from PostgreSQL 14 to 18.
with schema as (
  select n.oid, n.nspname, n.nspowner, n.nspacl
  from pg_namespace n
  where n.nspname in ('pgqueue', 'pgqueue_run', 'pgqueue_take')
),
relation as (
  select c.*, format('%I.%I', s.nspname, c.relname) as name, s.nspowner
  from pg_class c
  join schema s on s.oid = c.relnamespace
  where not (c.relispartition and c.relname ~ '_20[0-9]{6}(_|$)')
),
routine as (
  select p.*, p.oid::regprocedure::text as name, s.nspowner
  from pg_proc p
  join schema s on s.oid = p.pronamespace
  where not (s.nspname in ('pgqueue_run', 'pgqueue_take') and p.proname ~ '^(job|jobs|take|takes|group|groups|result)_[0-9]+$')
),
type as (
  select t.*, t.oid::regtype::text as name, s.nspowner
  from pg_type t
  join schema s on s.oid = t.typnamespace
  where t.typtype in ('e', 'd') or t.typtype = 'c' and exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c')
),
described (kind, name, definition) as (
  select case c.relkind when 'r' then 'table' when 'p' then 'table' when 'v' then 'view' when 'S' then 'sequence' else 'relation' end,
         c.name,
         concat_ws(
           ' | ', c.relkind, case when c.relkind <> 'S' then c.relpersistence end, c.relrowsecurity, c.relforcerowsecurity, c.relreplident, c.reloptions::text,
           case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end,
           case when c.relispartition then pg_get_expr(c.relpartbound, c.oid) end,
           case when c.relkind = 'v' then regexp_replace(pg_get_viewdef(c.oid), '[a-z_]+\.| AS bool\M| AS\M|\s', '', 'g') end,
           case when c.relkind = 'S' then
             (select concat_ws(' ', q.seqtypid::regtype, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle) from pg_sequence q where q.seqrelid = c.oid)
           end,
           case when c.relowner <> c.nspowner then 'of another owner' end)
  from relation c
  where c.relkind not in ('i', 'I', 'c', 't')
  union all
  select 'column', format('%s.%I', c.name, a.attname),
         concat_ws(' | ', format_type(a.atttypid, a.atttypmod), a.attnotnull, nullif(a.attidentity, ''), nullif(a.attgenerated, ''),
                   case when a.attcollation <> 0 then a.attcollation::regcollation::text end, pg_get_expr(d.adbin, d.adrelid))
  from relation c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
  where c.relkind in ('r', 'p', 'v', 'c')
  union all
  select 'index', c.name, concat_ws(' | ', pg_get_indexdef(c.oid), case when not i.indisvalid then 'invalid' end)
  from relation c
  join pg_index i on i.indexrelid = c.oid
  union all
  select 'constraint', format('%I of %s', o.conname, coalesce(c.name, o.contypid::regtype::text)),
         concat_ws(' | ', pg_get_constraintdef(o.oid), case when not o.convalidated then 'not validated' end)
  from pg_constraint o
  join schema s on s.oid = o.connamespace
  left join relation c on c.oid = o.conrelid
  -- NOT NULL is an attribute of the column; only from PostgreSQL 18 on it is a constraint, too.
  where o.contype not in ('n', 't') and (o.conrelid = 0 or c.oid is not null)
  union all
  select 'trigger', format('%I of %s', t.tgname, c.name), concat_ws(' | ', pg_get_triggerdef(t.oid), t.tgenabled)
  from pg_trigger t
  join relation c on c.oid = t.tgrelid
  where not t.tgisinternal
  union all
  select 'rule', format('%I of %s', r.rulename, c.name), concat_ws(' | ', pg_get_ruledef(r.oid), r.ev_enabled)
  from pg_rewrite r
  join relation c on c.oid = r.ev_class
  where r.rulename <> '_RETURN'
  union all
  select 'policy', format('%I of %s', p.polname, c.name),
         concat_ws(' | ', p.polcmd, p.polpermissive, (select string_agg(case when r = 0 then 'public' else r::regrole::text end, ', ' order by r) from unnest(p.polroles) r),
                   pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
  from pg_policy p
  join relation c on c.oid = p.polrelid
  union all
  select case p.prokind when 'p' then 'procedure' else 'function' end, p.name,
         concat_ws(' | ', case when p.prosqlbody is null then pg_get_functiondef(p.oid)
                               else regexp_replace(pg_get_functiondef(p.oid), '[a-z_]+\.| AS bool\M| AS\M|\s', '', 'g') end,
                   case when p.proowner <> p.nspowner then 'of another owner' end)
  from routine p
  where p.prokind in ('f', 'p')
  union all
  select 'type', t.name,
         concat_ws(' | ', t.typtype, case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) end, t.typnotnull, t.typdefault,
                   (select string_agg(e.enumlabel, ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid))
  from type t
  union all
  select 'cast', format('%s as %s', k.castsource::regtype, k.casttarget::regtype), concat_ws(' | ', k.castfunc::regprocedure, k.castcontext)
  from pg_cast k
  join pg_type t on t.oid = k.casttarget
  join schema s on s.oid = t.typnamespace
),
acl (object, owner, acl) as (
  select 'schema ' || s.nspname, s.nspowner, s.nspacl from schema s
  union all
  select case c.relkind when 'S' then 'sequence ' when 'v' then 'view ' else 'table ' end || c.name, c.relowner, coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))
  from relation c
  where c.relkind in ('r', 'p', 'v', 'S')
  union all
  select format('column %s.%I', c.name, a.attname), c.relowner, a.attacl
  from relation c
  join pg_attribute a on a.attrelid = c.oid and not a.attisdropped
  where a.attacl is not null
  union all
  select case p.prokind when 'p' then 'procedure ' else 'function ' end || p.name, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
  from routine p
  union all
  select 'type ' || t.name, t.typowner, coalesce(t.typacl, acldefault('T', t.typowner)) from type t
),
granted as (
  select a.object,
         coalesce(regexp_replace(r.rolname, '^(pgqueue_(?:gate|executor|worker))_[0-9]+$', '\1_N'), 'PUBLIC') as grantee,
         g.privilege_type || case when g.is_grantable then ' WITH GRANT OPTION' else '' end as privilege
  from acl a
  cross join aclexplode(a.acl) g
  left join pg_roles r on r.oid = g.grantee
  where g.grantee <> a.owner
    -- A role that is enrolled may use the schemas.
    and not (a.object like 'schema %' and g.grantee <> 0 and coalesce(r.rolname, '') !~ '^pgqueue_(user|worker|monitor|admin|gate)$')
)
select kind, name, left(encode(sha256(convert_to(definition, 'UTF8')), 'hex'), 12) as digest
from described
union all
select 'grant', format('%s on %s to %s', string_agg(privilege, ', ' order by privilege), object, grantee), ''
from granted
group by object, grantee
