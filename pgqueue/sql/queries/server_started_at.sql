select (extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint
