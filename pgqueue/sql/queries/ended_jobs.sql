select id, label, preview, attempts, state, started_at, ended_at, command_tag, error from pgqueue._ended_jobs(%(ids)s, %(detailed)s)
