-- Schedules: planning by workers, and what the command line asks.

-- name: schedules_to_plan
select id, revision, cron, timezone, consumed_until, ends_at, is_all, seen_at from pgqueue._schedules_to_plan(%(max_count)s::int)

-- name: plan_schedules
select pgqueue._plan_schedules(%(plans)s::jsonb)
