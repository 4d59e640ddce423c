do $$
begin
  for step in 1..10 loop
    perform pgqueue.progress(step * 10, format('step %s of 10', step));
    perform pg_sleep(0.15);
  end loop;
end $$
