call pgqueue._run_jobs(%(ids)s, %(tokens)s, %(secret)s)
