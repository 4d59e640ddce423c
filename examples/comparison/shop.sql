-- The tables of the shop, the same for all services. No key forbids a second receipt: the measurement counts them.
create table orders (
    number int primary key,
    total numeric not null default 9.99,
    placed_at timestamptz not null default clock_timestamp()
);
create table receipts (
    number int not null references orders,
    total numeric not null,
    written_at timestamptz not null default clock_timestamp()
);
create table order_counts (orders bigint not null, counted_at timestamptz not null default clock_timestamp());

-- The bank refuses each charge. A sequence counts the attempts, because a rollback does not take it back.
create sequence charges;
create function charge(number int) returns void language plpgsql as $$
begin
    perform nextval('charges');
    raise exception 'the bank refuses order %', number;
end $$;

-- For the measurement only: it lists here where a service is to stop until it is killed.
create table held (number int, point text, primary key (number, point));
create function pause_at(number int, point text) returns void language plpgsql as $$
begin
    while exists (select from held h where h.number = $1 and h.point = $2) loop
        -- The measurement sees by this lock that the service has come to the point.
        perform pg_advisory_xact_lock_shared(case $2 when 'before' then 1 when 'after' then 2 else 3 end, $1);
        perform pg_sleep(0.05);
    end loop;
end $$;
