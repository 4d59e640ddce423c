-- after: locks
-- Observers: programs such as Flower that only consume Celery's events and the answers to control commands. They register as workers
-- do, and an administrator's login may do it that is no worker's. session_user is the login, which no function of a caller changes.

create or replace function pgqueue._is_worker_login()
  returns boolean
  language sql stable
begin atomic
  select pg_has_role(session_user, 'pgqueue_worker', 'member');
end;
comment on function pgqueue._is_worker_login() is 'Whether this session has logged in as a worker, and not as an administrator who only observes';

create or replace function pgqueue._require_own_worker(worker_id int)
  returns void
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  if not pgqueue._is_worker_login()
    and not exists (select from pgqueue.worker w where w.id = worker_id and w.login = quote_ident(session_user)::regrole::oid)
  then
    raise exception 'permission denied for worker %', worker_id
      using errcode = '42501', hint = 'A login that is no member of pgqueue_worker acts for its own observers only.';
  end if;
end
$$;
comment on function pgqueue._require_own_worker(int) is 'Raises 42501 for an observer that acts for a worker of another login';

create or replace function pgqueue._require_observable(queues text[])
  returns void
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  refused text;
begin
  if pgqueue._is_worker_login() then
    return;
  end if;
  -- Only workers and administrators bind queues of these names to events and answers, or publish to them.
  select coalesce(q, 'NULL') into refused from unnest(queues) q
  where (left(q, 9) = 'celeryev.' or q like '%.reply.%.pidbox') is not true
  limit 1;
  if found then
    raise exception 'permission denied for queue "%"', refused
      using errcode = '42501', hint = 'A login that is no member of pgqueue_worker consumes events and answers to control commands, and nothing else.';
  end if;
end
$$;
comment on function pgqueue._require_observable(text[]) is 'Raises 42501 for an observer that consumes from another queue than those of events and answers';

create or replace function pgqueue._require_observers_claim(worker_id int, demand jsonb)
  returns void
  language plpgsql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform pgqueue._require_own_worker(worker_id);
  if exists (select from jsonb_to_recordset(demand) d (kind pgqueue.message_kind) where d.kind is distinct from 'task') then
    raise exception 'permission denied to run jobs' using errcode = '42501', hint = 'Let an administrator grant pgqueue_worker to the login of a worker.';
  end if;
  perform pgqueue._require_observable(array(select q from jsonb_to_recordset(demand) d (queues text[]), unnest(d.queues) q));
end
$$;
comment on function pgqueue._require_observers_claim(int, jsonb) is 'Raises 42501 for an observer that claims jobs, tasks, or for a worker of another login';
