select pg_catalog.set_config('session_authorization', null, false),
       pg_catalog.set_config('role', 'none', false),
       pg_catalog.set_config('statement_timeout', '0', true),
       pg_catalog.set_config('lock_timeout', '0', true)
