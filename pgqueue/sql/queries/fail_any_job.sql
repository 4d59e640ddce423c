select pgqueue._fail_any_job(%(id)s, %(token)s, %(error)s::pg_catalog.jsonb)
