-- Rights of roles: enrollment, and the logins of workers.

-- name: enroll_role
select pgqueue.enroll(quote_ident(%(role)s)::regrole)

-- name: unenroll_role
select pgqueue.unenroll(quote_ident(%(role)s)::regrole)

-- name: enroll_self
select pgqueue.enroll(quote_ident(current_user)::regrole)

-- name: is_enrolled
select exists (select from pgqueue.own_key)

-- name: held_roles
select role, pg_has_role(current_user, role, 'usage')
from unnest(array['pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin']) role

-- name: become_worker
grant pgqueue_worker to current_user

-- name: may_hand_in
select pg_catalog.pg_has_role(%(role)s::text, 'pgqueue_user', 'usage') and pg_catalog.has_schema_privilege(%(role)s::text, 'pgqueue', 'usage')

-- name: may_not_work
-- The role pgqueue_worker belongs to the whole cluster, the schema to this database.
select to_regnamespace('pgqueue') is not null
       and not coalesce((select pg_has_role(current_user, r.oid, 'usage') from pg_roles r where r.rolname = 'pgqueue_worker'), false)

-- name: needs_worker_login
-- A superuser and the owner of pgqueue may run no SQL jobs (pgqueue._executor_login), but can make a login that may.
select pg_has_role(current_user, n.nspowner, 'usage') from pg_namespace n where n.nspname = 'pgqueue'

-- name: make_worker_login
select role, password from pgqueue._make_worker_login()

-- name: executor_login
select role, password from pgqueue._executor_login()
