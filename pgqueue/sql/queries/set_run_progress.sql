select pgqueue._set_run_progress(%(id)s, %(pid)s, %(secret)s, %(pct)s, %(msg)s)
