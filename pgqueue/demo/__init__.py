"""`pgqueue demo`: real jobs on a real server, each one checked."""
