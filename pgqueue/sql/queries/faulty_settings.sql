select fault from pgqueue._faulty_settings() f (fault)
