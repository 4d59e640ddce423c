-- The heartbeat and the fallback look in one transaction; without messages, one row whose kind is null.
select t.naptime, t.max_items, t.seconds_to_next_due, f.*
from pgqueue._tick(%(worker_id)s, %(items_processed)s, %(last_run_at)s::timestamptz) t
left join lateral (
  select d.kind, c.id, c.token, c.queue, c.redelivered, c.message::text
  from jsonb_to_recordset(%(demand)s::jsonb) d (kind text, queues text[], room int)
  cross join lateral pgqueue._claim(%(worker_id)s, d.kind, d.queues, d.room) c
) f on true;
