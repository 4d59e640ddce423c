select progress_pct, progress_msg from pgqueue.get_progress(row(%(id)s::bigint, %(cookie)s::bigint)::pgqueue.handle)
