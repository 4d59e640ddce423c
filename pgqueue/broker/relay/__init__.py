"""`pgqueue relay`: what committed in PostgreSQL goes on to another broker, and messages of one come in.

A relay registers as a worker does, claims Celery messages as a worker does, and acks each when the other broker has
confirmed it. A message may therefore arrive twice, never not at all, and only after its commit.
"""
