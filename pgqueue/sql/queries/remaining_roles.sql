select rolname::text
from pg_roles
where rolname in ('pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin', 'pgqueue_gate')
order by rolname
