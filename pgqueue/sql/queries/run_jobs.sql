call pgqueue_run.{jobs}(%(ids)s, %(tokens)s, %(secret)s, %(worker)s)
