"""Connections to PostgreSQL: connection strings, sessions, named queries. This package knows no rule of the queue."""
