select id, revision, cron, timezone, consumed_until, ends_at, is_all, seen_at from pgqueue._schedules_to_plan(%(max_count)s::int)
