select pgqueue._purge(%(queue)s);
