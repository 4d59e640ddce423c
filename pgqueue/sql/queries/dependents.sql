-- What of others goes when pgqueue goes: triggers, views, functions, columns, defaults. What only the text of a function names is unknown to the server.
with own as (
    select 'pg_proc'::regclass as class, p.oid
    from pg_proc p
    where p.pronamespace in (
        select oid from pg_namespace where nspname in ('pgqueue', 'pgqueue_run', 'pgqueue_take', 'pgqueue_dblink')
    )
    union
    select 'pg_class'::regclass, c.oid
    from pg_class c
    where c.relnamespace = 'pgqueue'::regnamespace
    union
    select 'pg_type'::regclass, t.oid
    from pg_type t
    where t.typnamespace = 'pgqueue'::regnamespace
    union
    select case kind when 'function' then 'pg_proc'::regclass when 'type' then 'pg_type'::regclass else 'pg_class'::regclass end,
           case kind when 'function' then to_regprocedure(signature)::oid when 'type' then to_regtype(signature)::oid else to_regclass(signature)::oid end
    from pgqueue.compat c, unnest(c.objects) o, split_part(o, ' ', 1) kind, substr(o, length(split_part(o, ' ', 1)) + 2) signature
    where kind in ('function', 'type', 'view')
),
dependent as (
    select d.classid, d.objid, d.objsubid,
           -- The table or view that it is a part of.
           case d.classid
               when 'pg_class'::regclass then d.objid
               when 'pg_trigger'::regclass then (select tgrelid from pg_trigger where oid = d.objid)
               when 'pg_rewrite'::regclass then (select ev_class from pg_rewrite where oid = d.objid)
               when 'pg_attrdef'::regclass then (select adrelid from pg_attrdef where oid = d.objid)
               when 'pg_constraint'::regclass then (select nullif(conrelid, 0) from pg_constraint where oid = d.objid)
               when 'pg_policy'::regclass then (select polrelid from pg_policy where oid = d.objid)
           end as relation
    from pg_depend d
    join own o on o.class = d.refclassid and o.oid = d.refobjid
    where d.deptype = 'n'
      and d.classid in ('pg_class'::regclass, 'pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_attrdef'::regclass,
                        'pg_constraint'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass,
                        'pg_operator'::regclass, 'pg_event_trigger'::regclass, 'pg_cast'::regclass)
)
select distinct case when d.classid = 'pg_rewrite'::regclass then pg_describe_object('pg_class'::regclass, d.relation, 0)
                     -- Of a view the whole, of a table the column.
                     else pg_describe_object(d.classid, d.objid, case when c.relkind in ('v', 'm') then 0 else d.objsubid end) end as described
from dependent d
left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
where not exists (select from own o where o.class = d.classid and o.oid = d.objid)
  and not exists (select from own o where o.class = 'pg_class'::regclass and o.oid = d.relation)
  and not exists (select from pg_type t join own o on o.class = 'pg_type'::regclass and (o.oid = t.typelem or o.oid = t.oid) where d.classid = 'pg_type'::regclass and t.oid = d.objid)
  and not exists (select from pg_cast c join own o on o.class = 'pg_proc'::regclass and o.oid = c.castfunc where d.classid = 'pg_cast'::regclass and c.oid = d.objid)
order by described
