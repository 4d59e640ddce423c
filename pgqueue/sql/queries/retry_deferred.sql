select pgqueue._retry_deferred(r.oid) from pg_catalog.pg_roles r where r.rolname = %(role)s
