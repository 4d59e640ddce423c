"""A service for orders: a request writes a row, an SQL job and a Celery task in one commit, and streams progress."""
