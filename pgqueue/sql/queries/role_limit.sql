select executors, has_others from pgqueue._role_limit()
