-- The daily partitions of history, results, task results and logs of jobs.

create or replace function pgqueue._partition_name(parent text, day date)
  returns text
  language sql immutable
begin atomic
  select parent || '_' || to_char(day, 'YYYYMMDD');
end;
comment on function pgqueue._partition_name(text, date) is 'The name of the partition of a day';

create or replace function pgqueue._make_partitions()
  returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  parent text;
  day date;
  today date := (clock_timestamp() at time zone 'UTC')::date;
begin
  foreach parent in array array['history', 'result', 'task_result', 'job_log_line'] loop
    for day in select today + n from generate_series(0, 3) n loop
      if to_regclass(format('pgqueue.%I', pgqueue._partition_name(parent, day))) is null then
        begin
          execute format('create table pgqueue.%I partition of pgqueue.%I for values from (%L) to (%L)',
                         pgqueue._partition_name(parent, day), parent, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
          -- A partition has its own row security.
          execute format('alter table pgqueue.%I enable row level security', pgqueue._partition_name(parent, day));
          -- There is no key: without this, a publication for all tables would forbid deletes.
          execute format('alter table pgqueue.%I replica identity full', pgqueue._partition_name(parent, day));
        exception when check_violation then
          null;  -- The default partition has rows of that day already, and keeps them.
        end;
      end if;
    end loop;
  end loop;
end
$$;
comment on function pgqueue._make_partitions() is 'Creates the partitions of today and the next three days';

create or replace function pgqueue._drop_partitions(older_than interval)
  returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  part record;
  keep_from timestamptz := clock_timestamp() - older_than;
begin
  for part in
    select c.relname, to_date(right(c.relname, 8), 'YYYYMMDD') as day
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent in ('pgqueue.history'::regclass, 'pgqueue.result'::regclass, 'pgqueue.task_result'::regclass, 'pgqueue.job_log_line'::regclass) and c.relname ~ '_[0-9]{8}$'
  loop
    if ((part.day + 1)::timestamp at time zone 'UTC') <= keep_from then
      perform pgqueue._fold_stats();
      execute format('drop table pgqueue.%I', part.relname);
    end if;
  end loop;
  delete from pgqueue.history_default where ended_at < keep_from;
  delete from pgqueue.result_default where ended_at < keep_from;
  delete from pgqueue.task_result_default where stored_at < keep_from;
  delete from pgqueue.job_log_line_default where written_at < keep_from;
  delete from pgqueue.stat_session where folded_at < keep_from;
  delete from pgqueue.tracked_job where tracked_at < keep_from;
  delete from pgqueue.tracked_timeout where counted_at < keep_from;
  perform pgqueue._forget_failures(keep_from);
  perform pgqueue._forget_sql_tasks(keep_from);
  perform pgqueue._forget_batches(keep_from);
  perform pgqueue._expire_task_results();
end
$$;
comment on function pgqueue._drop_partitions(interval) is
  'Drops the days of history, results and logs that are entirely older than this, and other expired rows';
