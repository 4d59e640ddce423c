"""The tables of the Django app; the schema pgqueue itself is installed before them (pgqueue/django/installing.py)."""
