select coalesce(sum(pgqueue._publish(
  m.exchange, m.routing_key, m.message::json, m.priority, m.eta, clock_timestamp() + make_interval(secs => m.ttl_seconds))), 0)
from (
  select *
  from unnest(%(exchange)s::text[], %(routing_key)s::text[], %(message)s::text[], %(priority)s::int[], %(eta)s::timestamptz[],
              %(ttl_seconds)s::float8[])
    with ordinality l (exchange, routing_key, message, priority, eta, ttl_seconds, place)
  order by l.place
) m;
