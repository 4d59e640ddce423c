-- The role pgqueue_worker is the whole cluster's, the schema this database's.
select to_regnamespace('pgqueue') is not null
       and not coalesce((select pg_has_role(current_user, r.oid, 'usage') from pg_roles r where r.rolname = 'pgqueue_worker'), false)
