select pg_catalog.set_config('statement_timeout', least(%(remaining_ms)s, nullif(ceil(extract(epoch from current_setting('statement_timeout')::interval) * 1000)::bigint, 0))::text, %(is_local)s)
