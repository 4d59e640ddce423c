select id, label, preview, attempts from pgqueue._retried_jobs(%(ids)s)
