"""Pages in Flower that read the database, and the same as JSON under `/api/pgqueue/`.

Flower's own pages show what events told since it started. These show the queue and the history, with the rights of the
login that Flower uses.
"""
