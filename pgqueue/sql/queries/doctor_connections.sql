-- pg_stat_activity hides from most roles what kind of session another role's is.
select sum(numbackends)::int, current_setting('max_connections')::int
from pg_stat_database
