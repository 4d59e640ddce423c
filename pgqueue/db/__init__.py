"""Talking to PostgreSQL: connection strings, sessions, named queries. Knows no rule of the queue."""
