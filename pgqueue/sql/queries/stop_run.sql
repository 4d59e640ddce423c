select pgqueue._stop_run(%(id)s, %(token)s, %(pid)s, %(is_final)s)
