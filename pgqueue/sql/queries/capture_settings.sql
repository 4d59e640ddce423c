select pg_backend_pid(), pgqueue._settings()::text
