select pgqueue._repair_loopback()
