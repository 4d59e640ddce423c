select pgqueue._plan_schedules(%(plans)s::jsonb)
