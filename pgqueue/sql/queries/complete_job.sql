select pgqueue._complete_job(%(id)s, %(token)s, %(command_tags)s::pg_catalog.text[], %(row_count)s, %(columns)s::pg_catalog.jsonb, %(rows)s::pg_catalog.jsonb, %(output_settings)s::pg_catalog.jsonb)
