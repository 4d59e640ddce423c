select pgqueue._stop_run(%(id)s, %(pid)s, %(secret)s, %(is_final)s)
