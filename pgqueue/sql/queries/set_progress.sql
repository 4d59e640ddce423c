select pgqueue._set_progress(%(id)s, %(token)s, %(pct)s, %(msg)s)
