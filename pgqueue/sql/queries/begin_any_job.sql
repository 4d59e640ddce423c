select pgqueue._begin_any_job(%(id)s, %(token)s)
