"""The names that an application imports: the client and its jobs."""
