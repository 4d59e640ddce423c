-- Nobody minds if a crash of the server loses it, so its commit need not wait for the disk.
with hurried as materialized (select set_config('synchronous_commit', 'off', true))
select pgqueue._publish(
  %(exchange)s, %(routing_key)s, %(message)s::json, %(priority)s, %(eta)s::timestamptz,
  clock_timestamp() + make_interval(secs => %(ttl_seconds)s::float8))
from hurried;
