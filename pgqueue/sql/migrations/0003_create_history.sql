-- What ran and what runs: partitions by day that retention drops whole, and the small tables of the present.

create table pgqueue.history (
  id bigint not null,
  cookie bigint not null,
  session_id bigint,
  xact xid8 not null default pg_current_xact_id(),
  launched_at timestamptz not null,
  eta timestamptz,
  started_at timestamptz,
  ended_at timestamptz not null default clock_timestamp(),
  submitter oid not null,
  state pgqueue.job_state not null,
  kept pgqueue.result_kept not null,
  backend_pid int,
  progress_pct int,
  row_count bigint,
  priority smallint not null,
  attempts smallint not null,
  max_attempts smallint,
  queue text not null,
  sql text not null,
  label text,
  worker text,
  progress_msg text,
  command_tags text[],
  error jsonb
) partition by range (ended_at);
comment on table pgqueue.history is 'Jobs that ended. Appended to, never updated; retention drops a day at a time';
comment on column pgqueue.history.xact is 'Which transaction ended the job, so that statistics count it exactly once (pgqueue._fold_stats)';
create index history_id on pgqueue.history (id);
comment on index pgqueue.history_id is 'A handle finds its job';
create index history_xact on pgqueue.history (xact);
comment on index pgqueue.history_xact is 'pgqueue.unfolded: what statistics have not counted yet';

create table pgqueue.result (
  id bigint not null,
  seq int not null,
  ended_at timestamptz not null default clock_timestamp(),
  columns jsonb,
  output_settings jsonb,
  rows jsonb
) partition by range (ended_at);
comment on table pgqueue.result is
  'Rows of kept results in chunks; chunk 0 exists for every kept job that ended and describes the columns, chunk -1 holds notices. Reading a launched job''s result deletes it';
create index result_id on pgqueue.result (id, seq);
comment on index pgqueue.result_id is 'A handle finds its result, in order';

create table pgqueue.history_default partition of pgqueue.history default;
create table pgqueue.result_default partition of pgqueue.result default;
comment on table pgqueue.history_default is 'Catches what ends on a day for which no worker made a partition';
comment on table pgqueue.result_default is 'Catches what ends on a day for which no worker made a partition';

create table pgqueue.activity (
  id bigint primary key,
  token bigint not null,
  worker_id int not null,
  backend_pid int not null,
  started_at timestamptz not null default clock_timestamp(),
  progress_pct int,
  progress_msg text
);
comment on table pgqueue.activity is 'Jobs that run now. Logged, so that a standby shows them; written for those only that take a while, without waiting for the disk';
comment on column pgqueue.activity.token is 'Of the claim that runs: who notes a run may do so while it ends, and what is said of another claim than the message''s says nothing';

create table pgqueue.request (
  id bigint not null,
  kind text not null,
  requested_at timestamptz not null default clock_timestamp(),
  terminate_at timestamptz,
  primary key (id, kind),
  constraint request_kind_is_known check (kind in ('cancel', 'detach'))
);
comment on table pgqueue.request is 'What is asked of a job that a worker has: the row of a running job is locked, so requests stand beside it';
comment on column pgqueue.request.terminate_at is 'Of a cancel with grace: when the session of the job is ended if it still runs';
create index request_cancel on pgqueue.request (id) where kind = 'cancel';
comment on index pgqueue.request_cancel is 'pgqueue._cancel_requests: however many detached jobs there are';

create table pgqueue.stat_total (
  submitter oid not null,
  queue text not null,
  completed bigint not null default 0,
  failed bigint not null default 0,
  canceled bigint not null default 0,
  expired bigint not null default 0,
  timed_jobs bigint not null default 0,
  total_ms float8 not null default 0,
  primary key (submitter, queue)
);
comment on table pgqueue.stat_total is 'Ended jobs by submitter and queue since the installation, as of pgqueue.stat_fold';

create table pgqueue.stat_session (
  session_id bigint not null,
  submitter oid not null,
  completed bigint not null default 0,
  failed bigint not null default 0,
  canceled bigint not null default 0,
  expired bigint not null default 0,
  timed_jobs bigint not null default 0,
  total_ms float8 not null default 0,
  folded_at timestamptz not null default clock_timestamp(),
  primary key (session_id, submitter)
);
comment on table pgqueue.stat_session is 'Ended jobs by the session that handed them in and by submitter, as of pgqueue.stat_fold';

create table pgqueue.stat_fold (
  only_row boolean primary key default true,
  snapshot pg_snapshot not null,
  constraint stat_fold_has_one_row check (only_row)
);
comment on table pgqueue.stat_fold is 'The snapshot up to which stat_total and stat_session have counted the history';
insert into pgqueue.stat_fold (snapshot) values (pg_current_snapshot());

create view pgqueue.unfolded with (security_barrier) as
  -- What the last snapshot did not see: the transactions that began after it, and those it saw running.
  -- (The way PgQ cuts batches. Old long transactions do not make the range longer.)
  -- Scalar subqueries, so that both are conditions of the index history_xact.
  select h.submitter, h.queue, h.session_id, h.state, h.started_at, h.ended_at, h.xact from pgqueue.history h
  where h.xact >= (select pg_snapshot_xmax(f.snapshot) from pgqueue.stat_fold f)
  union all
  select h.submitter, h.queue, h.session_id, h.state, h.started_at, h.ended_at, h.xact from pgqueue.history h
  where h.xact = any (array(select pg_snapshot_xip(f.snapshot) from pgqueue.stat_fold f));
comment on view pgqueue.unfolded is 'Ended jobs that the totals do not count yet';

create function pgqueue._fold_stats()
  returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- One statement, one snapshot: what it counts is what pg_current_snapshot() in it says.
  with seen as materialized (
    -- A snapshot does not list its own transaction. What that ended is left to the next time, as if it had been running.
    select case when me.xact >= pg_snapshot_xmax(me.snapshot) then me.snapshot
           else format('%s:%s:%s', least(me.xact, pg_snapshot_xmin(me.snapshot)), pg_snapshot_xmax(me.snapshot),
                       (select string_agg(x::text, ',' order by x) from (select pg_snapshot_xip(me.snapshot) union select me.xact) running (x)))::pg_snapshot
           end as snapshot
    from (select pg_current_snapshot() as snapshot, pg_current_xact_id() as xact) me
  ), ended as materialized (
    select u.* from pgqueue.unfolded u where u.xact <> pg_current_xact_id()
  ), by_total as (
    insert into pgqueue.stat_total as t (submitter, queue, completed, failed, canceled, expired, timed_jobs, total_ms)
    select submitter, queue, count(*) filter (where state = 'succeeded'), count(*) filter (where state = 'failed'),
           count(*) filter (where state = 'canceled'), count(*) filter (where state = 'expired'), count(started_at),
           coalesce(sum(extract(epoch from ended_at - started_at) * 1000), 0)
    from ended group by submitter, queue
    on conflict (submitter, queue) do update
    set completed = t.completed + excluded.completed, failed = t.failed + excluded.failed, canceled = t.canceled + excluded.canceled,
        expired = t.expired + excluded.expired, timed_jobs = t.timed_jobs + excluded.timed_jobs, total_ms = t.total_ms + excluded.total_ms
  ), by_session as (
    insert into pgqueue.stat_session as s (session_id, submitter, completed, failed, canceled, expired, timed_jobs, total_ms)
    select session_id, submitter, count(*) filter (where state = 'succeeded'), count(*) filter (where state = 'failed'),
           count(*) filter (where state = 'canceled'), count(*) filter (where state = 'expired'), count(started_at),
           coalesce(sum(extract(epoch from ended_at - started_at) * 1000), 0)
    from ended where session_id is not null group by session_id, submitter
    on conflict (session_id, submitter) do update
    set completed = s.completed + excluded.completed, failed = s.failed + excluded.failed, canceled = s.canceled + excluded.canceled,
        expired = s.expired + excluded.expired, timed_jobs = s.timed_jobs + excluded.timed_jobs, total_ms = s.total_ms + excluded.total_ms,
        folded_at = clock_timestamp()
  )
  update pgqueue.stat_fold f
  set snapshot = seen.snapshot
  from seen
  where (select count(*) from ended) > 0;
end
$$;
comment on function pgqueue._fold_stats() is 'Adds what ended since the last time to the totals. One caller at a time (pgqueue._tick)';

create function pgqueue._partition_name(parent text, day date)
  returns text
  language sql immutable
begin atomic
  select parent || '_' || to_char(day, 'YYYYMMDD');
end;
comment on function pgqueue._partition_name(text, date) is 'The name of the partition of a day';

create function pgqueue._make_partitions()
  returns void
  language plpgsql security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  parent text;
  day date;
  today date := (clock_timestamp() at time zone 'UTC')::date;
begin
  foreach parent in array array['history', 'result'] loop
    for day in select today + n from generate_series(0, 3) n loop
      if to_regclass(format('pgqueue.%I', pgqueue._partition_name(parent, day))) is null then
        begin
          execute format('create table pgqueue.%I partition of pgqueue.%I for values from (%L) to (%L)',
                         pgqueue._partition_name(parent, day), parent, day::text || ' 00:00+00', (day + 1)::text || ' 00:00+00');
          -- A partition has row security of its own.
          execute format('alter table pgqueue.%I enable row level security', pgqueue._partition_name(parent, day));
          -- There is no key: without this a publication for all tables would forbid to delete.
          execute format('alter table pgqueue.%I replica identity full', pgqueue._partition_name(parent, day));
        exception when check_violation then
          null;  -- the default partition has rows of that day already, and keeps them
        end;
      end if;
    end loop;
  end loop;
end
$$;
comment on function pgqueue._make_partitions() is 'Makes the partitions of today and the next three days';

create function pgqueue._drop_partitions(older_than interval)
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
    where i.inhparent in ('pgqueue.history'::regclass, 'pgqueue.result'::regclass) and c.relname ~ '_[0-9]{8}$'
  loop
    if ((part.day + 1)::timestamp at time zone 'UTC') <= keep_from then
      perform pgqueue._fold_stats();
      execute format('drop table pgqueue.%I', part.relname);
    end if;
  end loop;
  delete from pgqueue.history_default where ended_at < keep_from;
  delete from pgqueue.result_default where ended_at < keep_from;
  delete from pgqueue.stat_session where folded_at < keep_from;
end
$$;
comment on function pgqueue._drop_partitions(interval) is 'Drops the days of history and results that are wholly older than this';

select pgqueue._make_partitions();
