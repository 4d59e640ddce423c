select pg_catalog.set_config('application_name', %(application_name)s, false), pgqueue._begin_job(%(id)s, %(token)s)
