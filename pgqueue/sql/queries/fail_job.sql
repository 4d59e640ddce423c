select pgqueue._fail_job(%(id)s, %(token)s, %(error)s::pg_catalog.jsonb, %(run_s)s)
