-- after: message
-- Changing a job that waits. A role inserts what it wants into a view; the trigger acts as the owner of pgqueue, in the transaction of the
-- role: until that has ended no worker claims the job.

create or replace view pgqueue.job_change as
  select null::oid as role, null::bigint as id, null::bigint as cookie, null::timestamptz as eta, null::int as priority, null::text as queue,
         null::text[] as params, null::interval as timeout, null::boolean as is_done
  where false;
alter view pgqueue.job_change alter column role set default pgqueue._caller();
comment on view pgqueue.job_change is 'Where roles insert what is to be changed of a job: pgqueue._carry_out_job_change does it. is_done: whether the job was still waiting';
-- Column by column: with a right on the whole of a view LOCK TABLE locks the tables under it.
grant insert (id, cookie, eta, priority, queue, params, timeout), select (is_done) on pgqueue.job_change to pgqueue_user, pgqueue_admin;

create or replace function pgqueue._carry_out_job_change()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  -- The owner may do what administrators may.
  by_administrator boolean := coalesce(pg_has_role(new.role, 'pgqueue_admin', 'member') or new.role = quote_ident(current_user)::regrole::oid, false);
  place record;
  m pgqueue.message;
begin
  perform pgqueue._require_home();
  if not by_administrator then
    perform pgqueue._require_part(new.role);
  end if;
  if num_nonnulls(new.eta, new.priority, new.queue, new.params, new.timeout) = 0 then
    raise exception 'nothing says what to change' using errcode = '22023', hint = 'Give eta, priority, queue, params or timeout.';
  elsif array_ndims(new.params) > 1 then
    perform pgqueue._refuse_params();
  end if;
  perform pgqueue._check_options('update', pgqueue._options(coalesce(new.queue, 'default'), coalesce(new.priority, 0), eta => new.eta, timeout => new.timeout));
  place := pgqueue._locate(new.role, (new.id, new.cookie)::pgqueue.handle, '55000', true);
  new.is_done := false;
  if not place.live then
    return new;
  end if;
  select * into m from pgqueue._lock_waiting(array[new.id]);
  if m.id is null then
    return new;
  elsif new.params is not null and pg_has_role(new.role, m.submitter, 'member') is not true then
    raise exception 'permission denied for the parameters of job %', m.id
      using errcode = '42501', hint = 'It runs with the rights of another role: an administrator may change when and where, and not what it does.';
  end if;
  update pgqueue.inbox q
  set state = case when new.eta is null or q.state not in ('ready', 'delayed') then q.state when new.eta > clock_timestamp() then 'delayed' else 'ready' end,
      due_at = case when new.eta is null then q.due_at when new.eta > clock_timestamp() then new.eta end,
      priority = coalesce(new.priority, q.priority), queue = coalesce(new.queue, q.queue), params = coalesce(new.params, q.params),
      timeout = coalesce(new.timeout, q.timeout)
  where q.id = m.id
  returning q.queue, q.due_at into m.queue, m.due_at;
  perform pgqueue._wake_for(m.queue, case when m.due_at > clock_timestamp() then m.due_at end);
  new.is_done := true;
  return new;
end
$$;
comment on function pgqueue._carry_out_job_change() is 'Changes a job as a role has inserted it into pgqueue.job_change, if no worker has it: one of its own, or any if it is an administrator';

create or replace trigger carry_out instead of insert on pgqueue.job_change for each row execute function pgqueue._carry_out_job_change();

create or replace function pgqueue.update(handle pgqueue.handle, eta timestamptz default null, priority int default null, queue text default null,
                                          params text[] default null, timeout interval default null)
  returns boolean
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  is_done boolean;
begin
  insert into pgqueue.job_change as c (id, cookie, eta, priority, queue, params, timeout)
  values ((handle).id, (handle).cookie, eta, priority, queue, params, timeout)
  returning c.is_done into is_done;
  return is_done;
end
$$;
comment on function pgqueue.update(pgqueue.handle, timestamptz, int, text, text[], interval) is
  'Changes a job that no worker has, also one that waits for its next attempt: what is given replaces what it had, in the transaction of the caller. False: a worker has it, or it has ended, and nothing was changed';
grant execute on function pgqueue.update(pgqueue.handle, timestamptz, int, text, text[], interval) to pgqueue_user, pgqueue_admin;
