select role, pg_has_role(current_user, role, 'usage')
from unnest(array['pgqueue_user', 'pgqueue_worker', 'pgqueue_monitor', 'pgqueue_admin']) role
