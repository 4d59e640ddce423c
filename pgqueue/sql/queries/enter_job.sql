select pgqueue._lock_job(%(id)s, %(token)s),
       (select pg_catalog.count(pg_catalog.set_config(s.name, s.value, false))
        from rows from (pg_catalog.unnest(%(names)s::pg_catalog.text[]), pg_catalog.unnest(%(values)s::pg_catalog.text[])) as s (name, value))
