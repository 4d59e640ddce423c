select pgqueue._enter_job(%(id)s, %(token)s, %(names)s::pg_catalog.text[], %(values)s::pg_catalog.text[])
