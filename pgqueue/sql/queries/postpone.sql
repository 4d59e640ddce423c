select pgqueue._postpone(%(id)s, %(token)s, %(due_at)s)
