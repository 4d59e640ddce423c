-- One row of `demand` for each kind of message that somebody has room for: {"kind", "queues", "room"}.
select d.kind, c.id, c.token, c.queue, c.redelivered, c.message::text
from jsonb_to_recordset(%(demand)s::jsonb) d (kind text, queues text[], room int)
cross join lateral pgqueue._claim(%(worker_id)s, d.kind, d.queues, d.room) c;
