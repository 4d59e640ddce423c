-- ack_and_claim
-- The first row says how many acks were in time, the others are claims. One row of `demand` for each kind of message that somebody has room
-- for: {"kind", "queues", "room"}, and for jobs {"role_limit", "held"}: how many of one role may be here, and how many are, by its number.
select acked, kind, id, token, queue, earlier_deliveries, message
from pgqueue._ack_and_claim(%(worker_id)s, %(ids)s::bigint[], %(tokens)s::bigint[], %(demand)s::jsonb);
