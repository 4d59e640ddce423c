-- How many jobs ended in each minute of the last hour, without an index on the time and without a table of counters: the history is only
-- appended to, so its last pages are the last hour.

create or replace function pgqueue._first_block(part regclass, since timestamptz, out first bigint, out blocks bigint)
  returns record
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
declare
  last bigint;
  middle bigint;
  newest timestamptz;
begin
  blocks := pg_relation_size(part) / current_setting('block_size')::bigint;
  first := 0;
  last := blocks;
  while first < last loop
    middle := (first + last) / 2;
    select max(h.ended_at) into newest from pgqueue.history h
    where h.tableoid = part and h.ctid >= format('(%s,0)', middle)::tid and h.ctid < format('(%s,0)', middle + 1)::tid
      and h.ended_at >= since - interval '1 day';  -- It keeps the other days out of the plan.
    -- A page may have no row: its transaction is open, or was rolled back. Then the pages before it tell.
    if newest < since then
      first := middle + 1;
    else
      last := middle;
    end if;
  end loop;
end
$$;
comment on function pgqueue._first_block(regclass, timestamptz) is 'The first page of a day of the history that has jobs that ended since then, and how many pages the day has';

create or replace function pgqueue._throughput()
  returns table (queue text, minutes_ago int, succeeded bigint, failed bigint, is_estimate boolean)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  max_pages constant int := 200;
  max_rows constant int := 100;  -- of a page of 8 kB: a row of the history has 90 bytes at least
  now_at constant timestamptz := clock_timestamp();
  since constant timestamptz := now_at - interval '60 min';
  part regclass;
  pages record;
  step bigint;
  counts jsonb[] := '{}';
begin
  is_estimate := false;
  for part in select i.inhrelid::regclass from pg_inherits i where i.inhparent = 'pgqueue.history'::regclass loop
    pages := pgqueue._first_block(part, since);
    step := greatest(1, ceil((pages.blocks - pages.first) / max_pages::float8)::bigint);
    is_estimate := is_estimate or step > 1;
    counts := counts || array(
      select jsonb_build_array(h.queue, least(59, extract(epoch from now_at - h.ended_at)::int / 60),
                               count(*) filter (where h.state = 'succeeded') * step, count(*) filter (where h.state = 'failed') * step)
      from pgqueue.history h
      where h.tableoid = part and h.ended_at >= since and h.ended_at <= now_at
        and h.ctid = any (array(select format('(%s,%s)', p, r)::tid from generate_series(pages.first, pages.blocks - 1, step) p cross join generate_series(1, max_rows) r))
      group by h.queue, least(59, extract(epoch from now_at - h.ended_at)::int / 60));
  end loop;
  return query
    select c.part ->> 0, (c.part ->> 1)::int, sum((c.part ->> 2)::bigint)::bigint, sum((c.part ->> 3)::bigint)::bigint, is_estimate
    from unnest(counts) c (part)
    group by 1, 2
    order by 1, 2 desc;
end
$$;
comment on function pgqueue._throughput() is
  'How many jobs of all roles ended in each minute of the last hour, by queue. is_estimate: the hour has many jobs, and a sample of its pages was counted';
grant execute on function pgqueue._throughput() to pgqueue_worker, pgqueue_monitor, pgqueue_admin;
