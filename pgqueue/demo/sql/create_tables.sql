create table audit (at timestamptz default now(), what text);
create table orders (id int primary key, name text);
create table greeting (order_id int, line text);
create table payment (order_id int constraint payment_has_an_order references orders, amount numeric);
create trigger greet after insert on orders
  for each row execute function pgqueue.enqueue_trigger('task', 'demo.greet', 'id, name')
