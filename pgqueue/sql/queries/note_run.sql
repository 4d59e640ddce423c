select pgqueue._note_run(%(id)s, %(token)s, %(pid)s, %(run_s)s)
