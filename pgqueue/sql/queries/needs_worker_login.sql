-- A superuser and the owner of pgqueue may run no SQL jobs (pgqueue._executor_login), but can make a login that may.
select pg_has_role(current_user, n.nspowner, 'usage') from pg_namespace n where n.nspname = 'pgqueue'
