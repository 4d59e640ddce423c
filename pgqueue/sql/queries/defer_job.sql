select pgqueue._defer_job(%(id)s, %(token)s, %(note)s, pg_catalog.make_interval(secs => %(delay)s),
                          pg_catalog.make_interval(secs => %(longest)s))
