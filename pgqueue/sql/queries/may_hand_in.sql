select pg_catalog.pg_has_role(%(role)s::text, 'pgqueue_user', 'usage') and pg_catalog.has_schema_privilege(%(role)s::text, 'pgqueue', 'usage')
