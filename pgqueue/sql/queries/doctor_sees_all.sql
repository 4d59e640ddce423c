select pg_has_role(current_user, 'pg_read_all_stats', 'usage'),
       pg_has_role(current_user, 'pgqueue_monitor', 'member') or pg_has_role(current_user, 'pgqueue_admin', 'member')
