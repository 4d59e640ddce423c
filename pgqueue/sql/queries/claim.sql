-- Claims, and how they end.

-- name: ack_and_claim
-- The first row says how many acks were in time, the others are claims. `demand` has one row for each kind of message that a
-- channel has room for: {"kind", "queues", "room"}, and for jobs {"role_limit", "held"}: how many of one role may be here, and
-- how many are, by its number.
select acked, kind, id, token, queue, earlier_deliveries, message, lane
from pgqueue._ack_and_claim(%(worker_id)s, %(ids)s::bigint[], %(tokens)s::bigint[], %(demand)s::jsonb, %(failed)s::bigint[]);

-- name: claim_awaited
select id, token, message, lane from pgqueue._claim_awaited(%(waiter_id)s, %(waiter_token)s, %(awaited_id)s)

-- name: claim_announced
select id, token, message, lane from pgqueue._claim_announced(%(worker_id)s, %(queues)s::text[], %(announced_id)s)

-- name: ack
select pgqueue._ack(%(ids)s::bigint[], %(tokens)s::bigint[], %(failed)s::bigint[]);

-- name: ack_early
select pgqueue._ack_early(%(ids)s::bigint[], %(tokens)s::bigint[]);

-- name: release
select pgqueue._release(%(ids)s::bigint[], %(tokens)s::bigint[], %(undelivered)s);

-- name: release_waiting
select unnest(pgqueue._release_waiting(%(ids)s, %(tokens)s))

-- name: reject
select pgqueue._reject(%(ids)s::bigint[], %(tokens)s::bigint[], %(detail)s);

-- name: postpone
select pgqueue._postpone(%(id)s, %(token)s, %(due_at)s)

-- name: keep_claims
select pgqueue._keep_claims(%(worker_id)s, %(ids)s::bigint[], %(begun)s::bigint[]);
