select pgqueue._append_result(%(id)s, %(token)s, %(seq)s, %(rows)s::pg_catalog.jsonb)
