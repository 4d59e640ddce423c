-- The end of a claim: acknowledged, released, rejected, or lost.

create or replace function pgqueue._ack(ids bigint[], tokens bigint[], failed bigint[] default '{}')
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  -- A generic plan is forced, so the table is read by index even after it has grown.
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  acked int;
  members bigint[];
begin
  with gone as (
    delete from pgqueue.message m
    using unnest(ids, tokens) done (id, token)
    where m.id = done.id and m.token = done.token
    returning m.id, m.is_member
  )
  select count(*), array_agg(g.id) filter (where g.is_member) into acked, members from gone g;
  if members is not null then
    perform pgqueue._settle_members(members, failed);
  end if;
  return acked;
end
$$;
comment on function pgqueue._ack(bigint[], bigint[], bigint[]) is
  'Deletes claimed messages. One whose token is no longer current is left alone. failed: which of them are tasks that have not succeeded';
grant execute on function pgqueue._ack(bigint[], bigint[], bigint[]) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._release(ids bigint[], tokens bigint[], undelivered boolean)
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  released text[];
  dead_letters int;
  gone int;
begin
  -- Celery acked them before they ran, so they are not delivered again.
  with lost as (
    delete from pgqueue.message m using unnest(ids, tokens) done (id, token) where m.id = done.id and m.token = done.token and m.acked returning m as message
  )
  select count(pgqueue._end_member(l.message)) into gone from lost l;
  select count(pgqueue._dead_letter(m, 'delivery_limit')) into dead_letters
  from pgqueue.message m, unnest(ids, tokens) done (id, token)
  where m.id = done.id and m.token = done.token
    and not undelivered and m.kind = 'task' and m.deliveries >= pgqueue._max_deliveries(m.queue, m.submitter);
  with back as (
    update pgqueue.message m
    set state = 'ready', token = null, worker_id = null, deliveries = m.deliveries - undelivered::int
    from unnest(ids, tokens) done (id, token)
    -- Only claimed messages have a token, so a condition on the state is not needed; with it the planner might read all claimed
    -- messages.
    where m.id = done.id and m.token = done.token
    returning m.queue
  )
  select array_agg(queue) into released from back;
  perform pgqueue._wake(q) from (select distinct unnest(released)) r (q);
  return coalesce(cardinality(released), 0) + dead_letters + gone;
end
$$;
comment on function pgqueue._release(bigint[], bigint[], boolean) is
  'Makes claimed messages ready again; tasks that came back too often become dead letters. undelivered: no worker began them, so they are not flagged as redelivered';
grant execute on function pgqueue._release(bigint[], bigint[], boolean) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._release_sorted(ids bigint[], tokens bigint[], have_begun boolean[])
  returns int
  language sql volatile
  set search_path = pg_catalog, pg_temp
as $$
  -- A row for each of the two values, so that both are released.
  select coalesce(sum(pgqueue._release(g.ids, g.tokens, not g.has_begun)), 0)::int
  from (select r.has_begun, array_agg(r.id) as ids, array_agg(r.token) as tokens from unnest(ids, tokens, have_begun) r (id, token, has_begun) group by r.has_begun) g
$$;
comment on function pgqueue._release_sorted(bigint[], bigint[], boolean[]) is
  'Makes claimed messages ready again. Only those that were begun count as delivered once more, and are flagged as redelivered';

create or replace function pgqueue._reject(ids bigint[], tokens bigint[], detail text default null)
  returns int
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  select count(*) filter (where pgqueue._dead_letter(m, 'rejected', detail))::int
  from pgqueue.message m, unnest(ids, tokens) done (id, token)
  where m.id = done.id and m.token = done.token
$$;
comment on function pgqueue._reject(bigint[], bigint[], text) is
  'Ends claimed messages that no consumer takes: as dead letters, if their queue has an exchange for them or detail has a reason';
grant execute on function pgqueue._reject(bigint[], bigint[], text) to pgqueue_worker, pgqueue_admin;

create or replace function pgqueue._claim_lost(id bigint)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'the claim on job % is lost', id using errcode = 'PQ002', hint = 'Another worker has the job, or it has ended. This run must not commit.';
end
$$;
comment on function pgqueue._claim_lost(bigint) is 'Raises PQ002';
grant execute on function pgqueue._claim_lost(bigint) to pgqueue_user;

create or replace function pgqueue._ack_early(ids bigint[], tokens bigint[])
  returns int
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  acked int;
begin
  update pgqueue.message m set acked = true
  from unnest(ids, tokens) done (id, token)
  where m.id = done.id and m.token = done.token;
  get diagnostics acked = row_count;
  return acked;
end
$$;
comment on function pgqueue._ack_early(bigint[], bigint[]) is
  'For tasks under limits that are acked when they begin: the claims stay and count until the tasks end (pgqueue._ack), but their messages are not delivered again';
grant execute on function pgqueue._ack_early(bigint[], bigint[]) to pgqueue_worker;
