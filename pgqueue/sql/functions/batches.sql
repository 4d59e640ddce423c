-- after: message, job_options
-- Batches of jobs and tasks: made by a role, open while one of its members has not ended, ended by the transaction that ends the last one.

create or replace view pgqueue.batch_order as
  select null::oid as role, null::text as label, null::text as on_success, null::text as on_failure, null::text as on_end, null::jsonb as settings, null::bigint as id
  where false;
alter view pgqueue.batch_order alter column role set default pgqueue._caller();
comment on view pgqueue.batch_order is 'Where roles insert the batch that they want: pgqueue._make_batch makes it. id: its number';
-- Column by column: with a right on the whole of a view LOCK TABLE locks the tables under it.
grant insert (label, on_success, on_failure, on_end, settings), select (id) on pgqueue.batch_order to pgqueue_user;

create or replace function pgqueue._make_batch()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  callback text;
begin
  foreach callback in array array_remove(array[new.on_success, new.on_failure, new.on_end], null) loop
    -- An invalid callback could not be enqueued later, and the last job of the batch would fail for it. So with its settings.
    perform pgqueue._check_options(callback, pgqueue._options('default'));
  end loop;
  if octet_length(new.label) > 10000 then
    raise exception 'label has more than 10000 bytes' using errcode = '54000', hint = 'A label is a short name.';
  end if;
  perform pgqueue._check_settings(new.settings);
  perform pgqueue._require_quota(new.role);
  insert into pgqueue.batch (owner, label, on_success, on_failure, on_end, settings)
  values (new.role, new.label, new.on_success, new.on_failure, new.on_end, coalesce(new.settings, '{}'))
  returning batch.id into new.id;
  return new;
end
$$;
comment on function pgqueue._make_batch() is 'Makes the batch that a role has inserted into pgqueue.batch_order';

create or replace trigger carry_out instead of insert on pgqueue.batch_order for each row execute function pgqueue._make_batch();

create or replace function pgqueue.batch(label text default null, on_success text default null, on_failure text default null, on_end text default null)
  returns bigint
  language plpgsql volatile
as $$
declare
  settings pg_catalog.jsonb;
  batch_id pg_catalog.int8;
begin
  -- No SET clause here: it would hide the search_path that the callbacks inherit.
  select s.settings into settings from pgqueue.own_settings s;
  insert into pgqueue.batch_order (label, on_success, on_failure, on_end, settings)
  values (label, on_success, on_failure, on_end, coalesce(settings, pgqueue._settings()))
  returning batch_order.id into batch_id;
  return batch_id;
end
$$;
comment on function pgqueue.batch(text, text, text, text) is
  'Makes a batch and returns its number, for the option batch of jobs and tasks. When its last member has ended, on_success is enqueued if all have succeeded, else on_failure, and on_end in both cases. Members are added in the transaction that makes it, or while one of them has not ended';
grant execute on function pgqueue.batch(text, text, text, text) to pgqueue_user;

create or replace function pgqueue._open_batch(role oid, batch_id bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  found_batch pgqueue.batch;
begin
  select b.* into found_batch from pgqueue.batch b where b.id = batch_id;
  if not found then
    raise exception 'batch % is not known', batch_id
      using errcode = '42704', hint = 'Either its transaction has not committed, or retention has removed it. launch and submit see only what is committed.';
  elsif pg_has_role(role, found_batch.owner, 'member') is not true then
    raise exception 'permission denied for batch %', batch_id using errcode = '42501', hint = 'It belongs to another role.';
  end if;
  -- Until the commit no other transaction ends it (pgqueue._end_batch_if_done). One that does just now is waited for, which is short.
  perform from pgqueue.batch b where b.id = batch_id and b.ended_at is null for key share;
  if not found then
    raise exception 'batch % has ended', batch_id
      using errcode = '55000', hint = 'Add all its jobs in one transaction, or let its own jobs add more. A new batch: select pgqueue.batch()';
  end if;
end
$$;
comment on function pgqueue._open_batch(oid, bigint) is 'Keeps a batch open until the end of the transaction, after the checks: 42704 unknown, 42501 another role''s, 55000 it has ended';

create or replace function pgqueue._end_batch_if_done(batch_id bigint)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  ended pgqueue.batch;
  callback text;
begin
  -- The end of another job deletes its own row, so with that row locked here it comes after this transaction and decides.
  perform from pgqueue.dependency d where d.child = batch_id order by d.parent desc limit 1 for key share skip locked;
  if found then
    return true;
  end if;
  -- No other job is left, or each of them is ending now. Those take turns here, and the last one finds no row.
  perform from pgqueue.batch b where b.id = batch_id and b.ended_at is null for no key update;
  if not found or exists (select from pgqueue.dependency d where d.child = batch_id) then
    return true;
  end if;
  -- A transaction that adds a job has locked the row, and may last: it is not waited for.
  perform from pgqueue.batch b where b.id = batch_id for update skip locked;
  if not found then
    return false;
  elsif exists (select from pgqueue.dependency d where d.child = batch_id) then
    return true;
  end if;
  update pgqueue.batch b
  set ended_at = clock_timestamp(), succeeded = o.succeeded, failed = o.failed
  from (select count(*) filter (where c.has_succeeded) as succeeded, count(*) filter (where not c.has_succeeded) as failed
        from pgqueue.batch_outcome c where c.batch_id = _end_batch_if_done.batch_id) o
  where b.id = batch_id
  returning b.* into ended;
  delete from pgqueue.batch_outcome c where c.batch_id = ended.id;
  foreach callback in array array_remove(array[case when ended.failed = 0 then ended.on_success else ended.on_failure end, ended.on_end], null) loop
    perform pgqueue._put_job(ended.owner, 'none', ended.settings, null, callback, null, pgqueue._options('default', label => ended.label), pgqueue._random_bigint());
  end loop;
  return true;
end
$$;
comment on function pgqueue._end_batch_if_done(bigint) is
  'Ends a batch that has no unfinished job, and enqueues its callbacks. False: a job is being added, so whether it is done is not known yet';

create or replace function pgqueue._settle_batch(batch_id bigint)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not pgqueue._end_batch_if_done(batch_id) then
    insert into pgqueue.dependency_check (parent) values (batch_id);
  end if;
end
$$;
comment on function pgqueue._settle_batch(bigint) is 'After a job of a batch has ended: ends the batch if that was the last one';

create or replace function pgqueue._forget_batches(ended_before timestamptz)
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  -- Also those to which no job was ever added.
  delete from pgqueue.batch b
  where b.id = any (array(
    select o.id from pgqueue.batch o
    where coalesce(o.ended_at, o.created_at) < ended_before
      and (o.ended_at is not null
           or not exists (select from pgqueue.dependency d where d.child = o.id) and not exists (select from pgqueue.batch_outcome c where c.batch_id = o.id))
    limit 20000
    for update skip locked))
$$;
comment on function pgqueue._forget_batches(timestamptz) is 'Deletes batches that ended before an instant, and empty ones that were made before it';

create or replace view pgqueue.batches with (security_barrier) as
  select b.id, b.label, n.waiting + n.running + e.succeeded + e.failed as total, n.waiting, n.running, e.succeeded, e.failed, b.ended_at
  from pgqueue.batch b
  cross join lateral (
    select count(*) filter (where r.runs is not true) as waiting, count(*) filter (where r.runs) as running
    from pgqueue.dependency d
    left join pgqueue.message m on m.id = d.parent
    left join pgqueue.activity a on a.id = m.id and a.token = m.token
    cross join lateral (select a.id is not null or m.kind = 'task' and m.state = 'claimed' as runs) r
    where d.child = b.id
  ) n
  cross join lateral (
    select coalesce(b.succeeded, count(*) filter (where o.has_succeeded)) as succeeded, coalesce(b.failed, count(*) filter (where not o.has_succeeded)) as failed
    from pgqueue.batch_outcome o
    where o.batch_id = b.id
  ) e
  where pg_has_role(b.owner, 'member') or (select pg_has_role('pgqueue_monitor', 'member') or pg_has_role('pgqueue_admin', 'member'));
comment on view pgqueue.batches is
  'Batches of jobs and tasks, until they are older than retention. A role sees its own batches and those of roles that it is a member of';
comment on column pgqueue.batches.id is 'The number of the batch';
comment on column pgqueue.batches.label is 'The caller''s label, which its callbacks have, too; NULL: none';
comment on column pgqueue.batches.total is 'How many jobs and tasks were added so far';
comment on column pgqueue.batches.waiting is 'How many jobs have not begun, or are not shown as running yet, and how many tasks no worker has';
comment on column pgqueue.batches.running is 'How many jobs run, and how many tasks workers have';
comment on column pgqueue.batches.succeeded is 'How many jobs and tasks have succeeded';
comment on column pgqueue.batches.failed is 'How many have ended without success: jobs that failed, were canceled or expired, and tasks that failed, were revoked, expired, or were lost with their worker';
comment on column pgqueue.batches.ended_at is 'When the last member ended. NULL: the batch is open, and jobs and tasks can be added';
grant select on pgqueue.batches to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
