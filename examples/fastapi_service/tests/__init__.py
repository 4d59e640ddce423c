"""The service's own tests: a real server of uvicorn, a real worker, the database of PGQUEUE_DSN."""
