select role, password from pgqueue._executor_login()
