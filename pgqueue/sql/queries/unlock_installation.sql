select pg_advisory_unlock(hashtextextended('pgqueue installation', 0))
