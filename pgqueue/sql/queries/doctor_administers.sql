select pg_has_role(current_user, n.nspowner, 'member') or pg_has_role(current_user, 'pgqueue_admin', 'member')
from pg_namespace n
where n.nspname = 'pgqueue'
