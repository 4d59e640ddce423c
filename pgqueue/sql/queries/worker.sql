-- Workers: registration, sleep and upkeep.

-- name: register_worker
select pgqueue._register_worker(%(name)s, %(executors)s, %(predecessor)s, %(ids)s, %(tokens)s, %(begun)s);

-- name: unregister_worker
select pgqueue._unregister_worker(%(worker_id)s, %(begun)s::bigint[]);

-- name: set_worker_executors
select pgqueue._set_worker_executors(%(worker_id)s, %(executors)s);

-- name: set_worker_kinds
select pgqueue._set_worker_kinds(%(worker_id)s, %(kinds)s::text[]::pgqueue.message_kind[]);

-- name: set_worker_queues
select pgqueue._set_worker_queues(%(worker_id)s, %(queues)s::text[]);

-- name: consume_queue
select pgqueue._queue_channel(%(queue)s), pgqueue._set_worker_queues(%(worker_id)s, %(queues)s::text[]);

-- name: lead_or_follow
select asleep, seconds_to_next_due, roles
from pgqueue._lead_or_follow(%(kinds)s::text[], %(queues)s::text[], %(steady)s::boolean[]);

-- name: replace_leader
select replaced from pgqueue._replace_leader(%(kinds)s::text[], %(queues)s::text[]) r (replaced);

-- name: step_down
select pgqueue._step_down(%(kinds)s::text[], %(queues)s::text[], %(successors)s);

-- name: wake_up
select pgqueue._wake_up(%(queues)s::text[]);

-- name: tick
-- The heartbeat and the fallback poll in one transaction; without messages, one row whose kind is null. `demand` is as in
-- ack_and_claim.
select t.naptime, t.max_items, t.seconds_to_next_due, t.seconds_to_next_schedule, t.has_schedules_to_plan, t.wanted_executors, c.kind, c.id, c.token, c.queue, c.earlier_deliveries, c.message, c.lane
from pgqueue._tick(%(worker_id)s, %(items_processed)s, %(last_run_at)s::timestamptz) t
left join pgqueue._ack_and_claim(%(worker_id)s, '{}', '{}', %(demand)s::jsonb) c on c.acked is null;

-- name: role_limit
select executors, has_others from pgqueue._role_limit()
