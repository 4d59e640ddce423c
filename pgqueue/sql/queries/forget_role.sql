select pgqueue._forget_role()
