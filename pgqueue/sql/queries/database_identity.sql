select pg_postmaster_start_time(), d.oid from pg_database d where d.datname = current_database();
