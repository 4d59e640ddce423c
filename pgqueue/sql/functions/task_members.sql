-- after: message
-- Celery tasks that are in a batch. A task ends when its row in the queue ends: the ack of its worker says that it has succeeded, and
-- whatever else deletes the row that it has not. A message that a task sends under its own id (a retry) continues it.

create or replace function pgqueue._note_members(ids bigint[], have_succeeded boolean)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
begin
  with gone as (
    delete from pgqueue.dependency d where d.parent = any (ids) returning d.parent, d.child
  ), noted as (
    insert into pgqueue.batch_outcome (batch_id, job_id, has_succeeded) select g.child, g.parent, have_succeeded from gone g on conflict do nothing
  )
  insert into pgqueue.dependency_check (parent) select distinct g.child from gone g;
end
$$;
comment on function pgqueue._note_members(bigint[], boolean) is
  'In the transaction that ends these tasks: notes it for their batches. Upkeep decides whether these were the last members';

create or replace function pgqueue._settle_members(ids bigint[], failed bigint[])
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set enable_seqscan = off
as $$
declare
  outcome record;
  -- Another snapshot has the rows of the tasks themselves, which are as old as their messages. It may lack the ends of other members.
  is_fresh constant boolean := current_setting('transaction_isolation') like 'read %';
begin
  if is_fresh and ids && failed then
    -- All rows are locked before it is decided about a batch: a decision locks a row of another member, whose end waits for this one.
    perform from pgqueue.dependency d where d.parent = any (ids) for update;
  end if;
  for outcome in select array_agg(u.id) as ids, u.has_succeeded from (select e.id, e.id <> all (failed) as has_succeeded from unnest(ids) e (id)) u group by 2 loop
    if is_fresh then
      perform pgqueue._settle_dependants(outcome.ids, outcome.has_succeeded);
    else
      perform pgqueue._note_members(outcome.ids, outcome.has_succeeded);
    end if;
  end loop;
end
$$;
comment on function pgqueue._settle_members(bigint[], bigint[]) is
  'In the transaction that ends these tasks, of which some have failed: ends batches that have no other unfinished member';

create or replace function pgqueue._end_member(m pgqueue.message)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Such ends come one by one in a transaction that ends many, so no batch is decided about between two of them.
  if m.is_member then
    perform pgqueue._note_members(array[m.id], false);
  end if;
end
$$;
comment on function pgqueue._end_member(pgqueue.message) is 'Notes that a message that was deleted has not succeeded, if it is a task in a batch';

create or replace function pgqueue._revoke_task(m pgqueue.message, reason text)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._end_task(m, 'REVOKED', reason);
  perform pgqueue._end_member(m);
end
$$;
comment on function pgqueue._revoke_task(pgqueue.message, text) is 'Ends a task as REVOKED whose message was deleted before a worker ran it';

create or replace function pgqueue._lock_continued(id bigint, token bigint)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- Until the commit the row is not deleted: the end of the task either comes before this, or finds that another message continues it.
  perform from pgqueue.message m where m.id = _lock_continued.id and m.token = _lock_continued.token and m.is_member for key share;
  return found;
end
$$;
comment on function pgqueue._lock_continued(bigint, bigint) is 'Whether a worker still has this task of a batch, which stays so until the end of the transaction';

create or replace function pgqueue._continue_member(id bigint, new_id bigint)
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
begin atomic
  update pgqueue.dependency d set parent = new_id where d.parent = _continue_member.id and d.on_parent_failure is null;
end;
comment on function pgqueue._continue_member(bigint, bigint) is 'Lets another message take the place of a task in its batch: its retry, or the job of an SQL step';
