select pgqueue._begin_job(%(id)s, %(token)s)
