-- Relays: which queues go on to another broker, and what has come in from one.

create table pgqueue.relay_route (
  queue text primary key,
  target text not null,
  exchange text,
  routing_key text,
  changed_at timestamptz not null default clock_timestamp(),
  constraint relay_route_queue_is_1_to_255_bytes check (octet_length(queue) between 1 and 255),
  constraint relay_route_target_is_a_word check (target ~ '^[a-z][a-z0-9_]{0,30}$'),
  constraint relay_route_exchange_is_at_most_255_bytes check (octet_length(exchange) <= 255),
  constraint relay_route_routing_key_is_at_most_255_bytes check (octet_length(routing_key) <= 255)
);
comment on table pgqueue.relay_route is
  'Which queues `pgqueue relay` sends on, and to which target. A target is a name: its URL, which may have a password, is known to the relay alone';
comment on column pgqueue.relay_route.queue is 'The name of a queue, or a pattern with * and ?';
comment on column pgqueue.relay_route.exchange is 'The exchange there; NULL: the default exchange, so that the routing key is the name of a queue';
comment on column pgqueue.relay_route.routing_key is 'The routing key there; NULL: the name of the queue';

create table pgqueue.relay_receipt (
  source text not null,
  message_id text not null,
  received_at timestamptz not null default clock_timestamp(),
  primary key (source, message_id)
);
comment on table pgqueue.relay_receipt is
  'The ids of messages that `pgqueue relay --from` has taken in, so that one that is delivered again is not stored again. Upkeep forgets them after 7 days';
create index relay_receipt_received_at on pgqueue.relay_receipt (received_at);
comment on index pgqueue.relay_receipt_received_at is 'pgqueue._forget_receipts: the old ones';

alter table pgqueue.worker add column relays_to text[], add column relays_jobs boolean not null default false;
comment on column pgqueue.worker.relays_to is
  'Of a relay: the brokers to which it sends, without logins and passwords. NULL: the worker is no relay';
comment on column pgqueue.worker.relays_jobs is
  'Of a relay: whether it claims SQL jobs too, and sends a wake-up for each (pgqueue._take_over_job)';
