"""`pgqueue up`: a server, a worker and Flower on this machine, started, watched and stopped together."""
