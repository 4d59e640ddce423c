-- pgqueue._lead_or_follow reads the locks of its session once, by pgqueue._own_sleep_locks. These read them a second time.

drop function if exists pgqueue._fall_asleep(text[]);
drop function if exists pgqueue._own_advisory_locks();
