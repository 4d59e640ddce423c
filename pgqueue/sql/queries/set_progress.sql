select pgqueue._note_run(%(id)s, %(token)s, %(pid)s, %(run_s)s), pgqueue._set_progress(%(id)s, %(token)s, %(pct)s, %(msg)s)
