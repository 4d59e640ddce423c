-- A program written for pg_cron: rolls up events and clears old ones by the clock. Nothing in it knows of pgqueue.
-- It runs unchanged but for the installation: `create extension pg_cron` is `select pgqueue.install_pg_cron()`.

drop table if exists events, events_per_kind;
create table events (at timestamptz not null default now(), kind text not null);
create table events_per_kind (kind text primary key, count bigint not null);
insert into events (kind) select 'click' from generate_series(1, 3);
insert into events (at, kind) values (now() - interval '2 weeks', 'old');

-- Every second, so that the end of this program sees it run.
select cron.schedule('rollup', '1 second', $$
  insert into events_per_kind select kind, count(*) from events group by kind
  on conflict (kind) do update set count = excluded.count
$$) > 0 as scheduled;

-- At 3:30 on Saturdays, GMT; then, on the last day of each month instead.
select cron.schedule('clear', '30 3 * * 6', $$delete from events where at < now() - interval '1 week'$$) > 0 as scheduled;
select cron.schedule('clear', '30 3 $ * *', $$delete from events where at < now() - interval '1 week'$$) > 0 as replaced;
select cron.schedule_in_database('nightly', '0 3 * * *', 'vacuum events', current_database(), active => false) > 0 as scheduled;
select cron.schedule('history', '0 12 * * *', $$delete from cron.job_run_details where end_time < now() - interval '7 days'$$) > 0 as scheduled;
select cron.alter_job(jobid, schedule => '0 4 * * *', active => true) from cron.job where jobname = 'nightly';
select jobname, schedule, active from cron.job where jobname in ('rollup', 'clear', 'nightly', 'history') order by jobname;

-- Wait for a run that has succeeded, 30 s at most. Each look is a transaction of its own.
do $$
begin
  for n in 1 .. 300 loop
    exit when exists (select from cron.job_run_details d join cron.job j using (jobid) where j.jobname = 'rollup' and d.status = 'succeeded');
    perform pg_sleep(0.1);
    commit;
  end loop;
end
$$;
select d.status, d.return_message is not null as has_message, d.end_time >= d.start_time as has_times
from cron.job_run_details d join cron.job j using (jobid)
where j.jobname = 'rollup' and d.status = 'succeeded'
order by d.runid limit 1;
select kind, count from events_per_kind order by kind;

select count(cron.unschedule(jobname)) as removed from cron.job where jobname in ('rollup', 'clear', 'nightly', 'history');
