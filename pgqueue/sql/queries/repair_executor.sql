select pgqueue._repair_executor()
