select pgqueue._set_run_progress(%(id)s, %(token)s, %(pid)s, %(pct)s, %(msg)s)
