select pgqueue._reset_session()
