select pg_advisory_lock(hashtextextended('pgqueue installation', 0))
