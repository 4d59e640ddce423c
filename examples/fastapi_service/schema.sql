create table if not exists orders (
  id bigint generated always as identity primary key,
  -- Checked at the commit, after the job and the task were sent: then these are rolled back, too.
  reference text not null unique deferrable initially deferred,
  items int not null check (items > 0),
  packed int not null default 0,
  receipt_sent_at timestamptz,
  job_id bigint
);

create or replace function pack(order_id bigint) returns void language plpgsql as $$
declare
  wanted int := (select items from orders where id = order_id);
begin
  for n in 1 .. wanted loop
    perform pg_sleep(0.1);
    perform pgqueue.progress(100 * n / wanted, n || ' of ' || wanted || ' items');
  end loop;
  update orders set packed = wanted where id = order_id;
end
$$;
