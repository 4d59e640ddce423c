select n_live_tup, n_dead_tup, last_autovacuum
from pg_stat_user_tables
where relid = to_regclass('pgqueue.message')
