select pgqueue._keep_notices(%(id)s, %(token)s, %(notices)s::pg_catalog.jsonb)
