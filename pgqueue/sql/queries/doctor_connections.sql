select count(*)::int, current_setting('max_connections')::int
from pg_stat_activity
where backend_type = 'client backend'
