-- tick
-- The heartbeat and the fallback look in one transaction; without messages, one row whose kind is null. `demand` is as in ack_and_claim.sql.
select t.naptime, t.max_items, t.seconds_to_next_due, t.seconds_to_next_schedule, t.has_schedules_to_plan, c.kind, c.id, c.token, c.queue, c.earlier_deliveries, c.message
from pgqueue._tick(%(worker_id)s, %(items_processed)s, %(last_run_at)s::timestamptz) t
left join pgqueue._ack_and_claim(%(worker_id)s, '{}', '{}', %(demand)s::jsonb) c on c.kind is not null;
