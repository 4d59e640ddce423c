call pgqueue_run.{jobs}(%(ids)s, %(tokens)s, %(worker)s)
