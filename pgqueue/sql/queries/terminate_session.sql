select pg_catalog.pg_terminate_backend(a.pid)
from pg_catalog.pg_stat_activity a
where a.pid = %(pid)s and a.usename = current_user and a.application_name like 'pgqueue executor %%'
