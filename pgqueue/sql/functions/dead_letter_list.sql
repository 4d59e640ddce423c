-- after: queues, dead_letters
-- Dead letters for the pages of operators: from which queue and why, without arguments.

create or replace function pgqueue._dead_letters(queue text, max_count int)
  returns table (id bigint, name text, task_id text, submitter text, sent_at timestamptz, origin text, reason text)
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select p.id, p.name, left(pgqueue._text_in(m.payload, '{headers,id}'), 255), p.submitter, p.launched_at,
         left(pgqueue._text_in(m.payload, '{headers,x-death,0,queue}'), 255),
         -- The sender may have written the header: any of these words, and no other text.
         case when r.reason in ('expired', 'rejected', 'delivery_limit') then r.reason end
  from pgqueue._peek(_dead_letters.queue, least(max_count, 1000)) p
  join pgqueue.message m on m.id = p.id
  cross join lateral pgqueue._text_in(m.payload, '{headers,x-death,0,reason}') r (reason)
  -- A task that only waits in the queue is no dead letter, and its id is a secret of its sender.
  where p.kind = 'task' and r.reason is not null
$$;
comment on function pgqueue._dead_letters(text, int) is
  'The first dead letters of a queue: the names of their tasks, where they come from and why. No arguments. For operators';
grant execute on function pgqueue._dead_letters(text, int) to pgqueue_worker, pgqueue_monitor, pgqueue_admin;
