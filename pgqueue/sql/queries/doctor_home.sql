select pgqueue._is_at_home()
