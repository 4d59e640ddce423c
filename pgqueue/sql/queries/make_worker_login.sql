select role, password from pgqueue._make_worker_login()
