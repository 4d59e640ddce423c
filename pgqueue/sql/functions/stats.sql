-- after: session
-- Counters of ended jobs: the totals that upkeep has added up, and the rest.

create or replace view pgqueue.unfolded with (security_barrier) as
  -- The transactions that the last snapshot did not see: those that began after it, and those that were running. (PgQ cuts
  -- batches in the same way. Old long transactions do not make the range longer.) Scalar subqueries make both conditions of the
  -- index history_xact.
  select h.submitter, h.queue, h.session_id, h.state, h.started_at, h.ended_at, h.xact, greatest(h.launched_at, h.eta) as due_at from pgqueue.history h
  where h.xact >= (select pg_snapshot_xmax(f.snapshot) from pgqueue.stat_fold f)
  union all
  select h.submitter, h.queue, h.session_id, h.state, h.started_at, h.ended_at, h.xact, greatest(h.launched_at, h.eta) from pgqueue.history h
  where h.xact = any (array(select pg_snapshot_xip(f.snapshot) from pgqueue.stat_fold f));
comment on view pgqueue.unfolded is 'Ended jobs that the totals do not count yet';

create or replace function pgqueue._duration_bounds()
  returns float8[]
  language sql immutable
begin atomic
  select '{0.01,0.05,0.1,0.5,1,5,10,30,60,300,1800,3600}'::pg_catalog.float8[];
end;
comment on function pgqueue._duration_bounds() is
  'The bounds in seconds of the intervals in which waits and runs of jobs are counted: 12, so there are 13 intervals';
grant execute on function pgqueue._duration_bounds() to pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue._sum_counts(counts bigint[])
  returns bigint[]
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select array_agg(c.total order by c.n)
  from (select (u.place - 1) % array_length(counts, 2) as n, sum(u.jobs)::bigint as total from unnest(counts) with ordinality u (jobs, place) group by 1) c
$$;
comment on function pgqueue._sum_counts(bigint[]) is 'The sum of the rows of a matrix';

create or replace function pgqueue._fold_stats()
  returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- One statement has one snapshot: it counts exactly the rows that pg_current_snapshot() in it describes.
  with seen as materialized (
    -- A snapshot does not list its own transaction. Jobs that it ended are counted the next time, as if it had been running.
    select case when me.xact >= pg_snapshot_xmax(me.snapshot) then me.snapshot
           else format('%s:%s:%s', least(me.xact, pg_snapshot_xmin(me.snapshot)), pg_snapshot_xmax(me.snapshot),
                       (select string_agg(x::text, ',' order by x) from (select pg_snapshot_xip(me.snapshot) union select me.xact) running (x)))::pg_snapshot
           end as snapshot
    from (select pg_current_snapshot() as snapshot, pg_current_xact_id() as xact) me
  ), ended as materialized (
    select u.* from pgqueue.unfolded u where u.xact <> pg_current_xact_id()
  ), grouped as materialized (
    -- The rows are read once; what follows reads a few groups of them.
    select r.submitter, r.queue, r.state, r.session_id, width_bucket(r.wait, pgqueue._duration_bounds()) as wait_interval,
           width_bucket(r.run, pgqueue._duration_bounds()) as run_interval, count(*) as jobs, count(r.run) as timed_jobs,
           coalesce(sum(r.run), 0) * 1000 as total_ms, coalesce(sum(r.wait), 0) * 1000 as total_wait_ms
    from (
      -- date_part calculates with float8: extract, which is numeric, takes twice as long.
      select e.submitter, e.queue, e.state, e.session_id, date_part('epoch', e.ended_at - e.started_at) as run,
             case when e.started_at is not null then greatest(date_part('epoch', e.started_at - e.due_at), 0) end as wait
      from ended e
      offset 0  -- Without it, the differences would be worked out for each of their uses.
    ) r
    group by 1, 2, 3, 4, 5, 6
  ), by_total as (
    insert into pgqueue.stat_total as t (submitter, queue, completed, failed, canceled, expired, timed_jobs, total_ms, total_wait_ms, wait_counts, run_counts)
    select submitter, queue, coalesce(sum(jobs) filter (where state = 'succeeded'), 0), coalesce(sum(jobs) filter (where state = 'failed'), 0),
           coalesce(sum(jobs) filter (where state = 'canceled'), 0), coalesce(sum(jobs) filter (where state = 'expired'), 0),
           sum(timed_jobs), sum(total_ms), sum(total_wait_ms),
           -- Written out: a call for each role and queue would cost more than all the rest.
           array[coalesce(sum(jobs) filter (where wait_interval = 0), 0), coalesce(sum(jobs) filter (where wait_interval = 1), 0), coalesce(sum(jobs) filter (where wait_interval = 2), 0),
                 coalesce(sum(jobs) filter (where wait_interval = 3), 0), coalesce(sum(jobs) filter (where wait_interval = 4), 0), coalesce(sum(jobs) filter (where wait_interval = 5), 0),
                 coalesce(sum(jobs) filter (where wait_interval = 6), 0), coalesce(sum(jobs) filter (where wait_interval = 7), 0), coalesce(sum(jobs) filter (where wait_interval = 8), 0),
                 coalesce(sum(jobs) filter (where wait_interval = 9), 0), coalesce(sum(jobs) filter (where wait_interval = 10), 0), coalesce(sum(jobs) filter (where wait_interval = 11), 0),
                 coalesce(sum(jobs) filter (where wait_interval = 12), 0)]::bigint[],
           array[coalesce(sum(jobs) filter (where run_interval = 0), 0), coalesce(sum(jobs) filter (where run_interval = 1), 0), coalesce(sum(jobs) filter (where run_interval = 2), 0),
                 coalesce(sum(jobs) filter (where run_interval = 3), 0), coalesce(sum(jobs) filter (where run_interval = 4), 0), coalesce(sum(jobs) filter (where run_interval = 5), 0),
                 coalesce(sum(jobs) filter (where run_interval = 6), 0), coalesce(sum(jobs) filter (where run_interval = 7), 0), coalesce(sum(jobs) filter (where run_interval = 8), 0),
                 coalesce(sum(jobs) filter (where run_interval = 9), 0), coalesce(sum(jobs) filter (where run_interval = 10), 0), coalesce(sum(jobs) filter (where run_interval = 11), 0),
                 coalesce(sum(jobs) filter (where run_interval = 12), 0)]::bigint[]
    from grouped group by submitter, queue
    on conflict (submitter, queue) do update
    set completed = t.completed + excluded.completed, failed = t.failed + excluded.failed, canceled = t.canceled + excluded.canceled,
        expired = t.expired + excluded.expired, timed_jobs = t.timed_jobs + excluded.timed_jobs, total_ms = t.total_ms + excluded.total_ms,
        total_wait_ms = t.total_wait_ms + excluded.total_wait_ms,
        wait_counts = array[t.wait_counts[1] + excluded.wait_counts[1], t.wait_counts[2] + excluded.wait_counts[2], t.wait_counts[3] + excluded.wait_counts[3], t.wait_counts[4] + excluded.wait_counts[4],
                             t.wait_counts[5] + excluded.wait_counts[5], t.wait_counts[6] + excluded.wait_counts[6], t.wait_counts[7] + excluded.wait_counts[7], t.wait_counts[8] + excluded.wait_counts[8],
                             t.wait_counts[9] + excluded.wait_counts[9], t.wait_counts[10] + excluded.wait_counts[10], t.wait_counts[11] + excluded.wait_counts[11], t.wait_counts[12] + excluded.wait_counts[12],
                             t.wait_counts[13] + excluded.wait_counts[13]],
        run_counts = array[t.run_counts[1] + excluded.run_counts[1], t.run_counts[2] + excluded.run_counts[2], t.run_counts[3] + excluded.run_counts[3], t.run_counts[4] + excluded.run_counts[4],
                             t.run_counts[5] + excluded.run_counts[5], t.run_counts[6] + excluded.run_counts[6], t.run_counts[7] + excluded.run_counts[7], t.run_counts[8] + excluded.run_counts[8],
                             t.run_counts[9] + excluded.run_counts[9], t.run_counts[10] + excluded.run_counts[10], t.run_counts[11] + excluded.run_counts[11], t.run_counts[12] + excluded.run_counts[12],
                             t.run_counts[13] + excluded.run_counts[13]]
  ), by_session as (
    insert into pgqueue.stat_session as s (session_id, submitter, completed, failed, canceled, expired, timed_jobs, total_ms)
    select session_id, submitter, coalesce(sum(jobs) filter (where state = 'succeeded'), 0), coalesce(sum(jobs) filter (where state = 'failed'), 0),
           coalesce(sum(jobs) filter (where state = 'canceled'), 0), coalesce(sum(jobs) filter (where state = 'expired'), 0),
           sum(timed_jobs), sum(total_ms)
    from grouped where session_id is not null group by session_id, submitter
    on conflict (session_id, submitter) do update
    set completed = s.completed + excluded.completed, failed = s.failed + excluded.failed, canceled = s.canceled + excluded.canceled,
        expired = s.expired + excluded.expired, timed_jobs = s.timed_jobs + excluded.timed_jobs, total_ms = s.total_ms + excluded.total_ms,
        folded_at = clock_timestamp()
  )
  update pgqueue.stat_fold f
  set snapshot = seen.snapshot
  from seen
  where exists (select from grouped);
end
$$;
comment on function pgqueue._fold_stats() is
  'Adds the jobs that ended since the last call to the totals. One caller at a time (pgqueue._tick)';

create or replace view pgqueue.stats as
  with me as materialized (select pgqueue._current_session_id() as session_id),
  ended as (
    select s.completed, s.failed, s.canceled, s.expired, s.timed_jobs, s.total_ms
    from pgqueue.stat_session s where s.session_id = (select session_id from me) and pg_has_role(s.submitter, 'member')
    union all
    select (u.state = 'succeeded')::int, (u.state = 'failed')::int, (u.state = 'canceled')::int, (u.state = 'expired')::int,
           (u.started_at is not null)::int, coalesce(extract(epoch from u.ended_at - u.started_at) * 1000, 0)
    from pgqueue.unfolded u where u.session_id = (select session_id from me) and pg_has_role(u.submitter, 'member')
  ),
  active as (select count(*) as n from pgqueue.message m
             -- As an array, the condition needs the index only: all waiting jobs may be this session's.
             where m.session_id = (select session_id from me) and m.submitter = any (array(select r.oid from pg_roles r where pg_has_role(r.oid, 'member'))))
  select (coalesce(sum(e.completed + e.failed + e.canceled + e.expired), 0) + (select n from active))::bigint as workers_launched,
         coalesce(sum(e.completed), 0)::bigint as workers_completed,
         coalesce(sum(e.failed + e.expired), 0)::bigint as workers_failed,
         coalesce(sum(e.canceled), 0)::bigint as workers_canceled,
         (select n from active)::int as workers_active,
         coalesce(sum(e.total_ms) / nullif(sum(e.timed_jobs), 0), 0)::float8 as avg_execution_ms,
         pgqueue._session_setting('max_workers', null)::int as max_workers
  from ended e;
comment on view pgqueue.stats is 'Counts of the jobs that this session submitted as the current role, or as a role that it is a member of; jobs of triggers are in pgqueue.stats_total only. The view reads totals and unfinished jobs, and never the history';
comment on column pgqueue.stats.workers_launched is 'Submitted jobs, whether or not they have ended';
comment on column pgqueue.stats.workers_completed is 'Jobs that succeeded';
comment on column pgqueue.stats.workers_failed is 'Jobs that failed or expired';
comment on column pgqueue.stats.workers_canceled is 'Jobs that were canceled';
comment on column pgqueue.stats.workers_active is 'Jobs that have not ended: queued or running';
comment on column pgqueue.stats.avg_execution_ms is 'The mean duration of the last runs of ended jobs, in ms; 0: none has run';
comment on column pgqueue.stats.max_workers is 'The setting pgqueue.max_workers of this session. NULL: not set, so there is no limit';
grant select on pgqueue.stats to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace view pgqueue.stats_total with (security_barrier) as
  with ended as (
    select t.submitter, t.queue, t.completed, t.failed, t.canceled, t.expired, t.timed_jobs, t.total_ms from pgqueue.stat_total t
    union all
    select u.submitter, u.queue, (u.state = 'succeeded')::int, (u.state = 'failed')::int, (u.state = 'canceled')::int, (u.state = 'expired')::int,
           (u.started_at is not null)::int, coalesce(extract(epoch from u.ended_at - u.started_at) * 1000, 0)
    from pgqueue.unfolded u
    union all
    select m.submitter, m.queue, 0, 0, 0, 0, 0, 0 from pgqueue.activity a join pgqueue.message m on m.id = a.id and m.token = a.token
  ),
  active as (
    select m.submitter, m.queue, count(*) as n from pgqueue.activity a join pgqueue.message m on m.id = a.id and m.token = a.token group by m.submitter, m.queue
  )
  select pg_get_userbyid(e.submitter) as submitter, e.queue,
         (sum(e.completed + e.failed + e.canceled + e.expired) + coalesce(max(a.n), 0))::bigint as workers_launched,
         sum(e.completed)::bigint as workers_completed,
         sum(e.failed + e.expired)::bigint as workers_failed,
         sum(e.canceled)::bigint as workers_canceled,
         coalesce(max(a.n), 0)::int as workers_active,
         coalesce(sum(e.total_ms) / nullif(sum(e.timed_jobs), 0), 0)::float8 as avg_execution_ms,
         pgqueue._session_setting('max_workers', null)::int as max_workers
  from ended e
  left join active a on a.submitter = e.submitter and a.queue = e.queue
  where pg_has_role(e.submitter, 'member') or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member'))
  group by e.submitter, e.queue;
comment on view pgqueue.stats_total is 'Counts of the jobs that workers took, by submitter and queue, since the installation or pgqueue.reset_stats. Waiting jobs are in pgqueue.queues';
comment on column pgqueue.stats_total.submitter is 'The role that submitted the jobs';
comment on column pgqueue.stats_total.queue is 'The queue of the jobs';
comment on column pgqueue.stats_total.workers_launched is 'Jobs that have ended or run now';
comment on column pgqueue.stats_total.workers_completed is 'Jobs that succeeded';
comment on column pgqueue.stats_total.workers_failed is 'Jobs that failed or expired';
comment on column pgqueue.stats_total.workers_canceled is 'Jobs that were canceled';
comment on column pgqueue.stats_total.workers_active is 'Jobs that are shown as running';
comment on column pgqueue.stats_total.avg_execution_ms is 'The mean duration of the last runs of ended jobs, in ms; 0: none has run';
comment on column pgqueue.stats_total.max_workers is 'The setting pgqueue.max_workers of this session. NULL: not set, so there is no limit';
grant select on pgqueue.stats_total to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

create or replace function pgqueue.reset_stats()
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform from pgqueue.stat_fold for update;
  perform pgqueue._fold_stats();
  delete from pgqueue.stat_total;
end
$$;
comment on function pgqueue.reset_stats() is 'Sets pgqueue.stats_total to zero';
grant execute on function pgqueue.reset_stats() to pgqueue_admin;
