select pg_catalog.set_config('statement_timeout', '0', false), pg_catalog.set_config('default_transaction_isolation', 'read committed', false)
