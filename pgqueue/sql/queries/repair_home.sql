select pgqueue._repair_home()
