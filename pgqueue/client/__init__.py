"""What an application imports: the client, and its jobs."""
