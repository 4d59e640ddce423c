select pg_catalog.pg_has_role(%(role)s::text, 'pgqueue_user', 'usage')
