-- The first row says how many acks were in time; `demand` is as in claim.sql.
select acked, kind, id, token, queue, redelivered, message
from pgqueue._ack_and_claim(%(worker_id)s, %(ids)s::bigint[], %(tokens)s::bigint[], %(demand)s::jsonb);
