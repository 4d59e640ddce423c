"""Installing pgqueue in a database, and bringing it up to date."""
