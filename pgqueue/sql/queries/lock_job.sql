select pgqueue._lock_job(%(id)s, %(token)s)
