"""Metrics for Prometheus and the small HTTP server that gives them out: of a worker's process, and of the database."""
