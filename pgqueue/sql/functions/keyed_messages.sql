-- after: message, task_members
-- Messages with a unique key: at most one that waits for each key of a role; and tasks that wait for jobs or are in a batch.
--
-- A role inserts such a message into the view pgqueue.keyed_outbox, and the trigger decides as the owner: the message is put into the
-- queue, or it replaces the one that waits, or it is dropped for the one that is there (unique_keys.sql). keyed_sets.sql does it for many jobs.

create or replace view pgqueue.keyed_outbox as
  select null::oid as submitter, null::bigint as cookie, null::bigint as session_id, null::timestamptz as due_at, null::timestamptz as expires_at,
         null::pgqueue.message_kind as kind, 'none'::pgqueue.result_kept as kept, null::int as priority, null::int as max_attempts, null::text as queue,
         null::text as sql, null::text[] as params, null::jsonb as settings, null::interval as timeout, null::interval as backoff, null::text as label,
         null::text as unique_key, null::text as limit_key, null::json as payload, null::interval as unique_for, null::text as on_conflict,
         null::text as exchange, null::pgqueue.handle[] as after, null::text as on_parent_failure, null::bigint as batch, null::bigint as continues_id,
         null::bigint as continues_token, null::bigint as id, null::text as task_id, null::text as outcome
  where false;
alter view pgqueue.keyed_outbox alter column submitter set default pgqueue._caller();
comment on view pgqueue.keyed_outbox is
  'Where a role inserts its own messages that have a unique key, and tasks that depend on others: pgqueue._submit_keyed puts, drops or exchanges them. id, cookie, task_id: of the message that has the key now; outcome: put, replaced, kept, or unroutable. A row without a key is put. continues_id and continues_token: the claim of the task that sends itself again';
-- The right is granted by column: with a right on the whole view, LOCK TABLE locks the tables under it.
grant insert (cookie, session_id, due_at, expires_at, kind, kept, priority, max_attempts, queue, sql, params, settings, timeout, backoff, label,
              unique_key, limit_key, payload, unique_for, on_conflict, exchange, after, on_parent_failure, batch, continues_id, continues_token),
      select (id, cookie, task_id, outcome) on pgqueue.keyed_outbox to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._lock_waiting(ids bigint[])
  returns setof pgqueue.message
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
  locked bigint[];
begin
  for attempt in 1 .. 600 loop
    locked := null;
    for m in select q.* from pgqueue.message q where q.id = any (ids) and q.state <> 'claimed' for update skip locked loop
      locked := locked || m.id;
      return next m;
    end loop;
    ids := array(select q.id from pgqueue.message q where q.id = any (array(select unnest(ids) except select unnest(locked))) and q.state <> 'claimed');
    if ids = '{}' then
      return;
    end if;
    -- A claim, a cancel or another change that is about to commit has locked these rows. They are not waited for by a lock: the next to
    -- lock a row may be the run of the job, which lasts.
    perform pg_sleep(0.005);
  end loop;
  raise exception 'message % is busy', ids[1] using errcode = '55P03', hint = 'Another transaction has changed it and is still open. Try again.';
end
$$;
comment on function pgqueue._lock_waiting(bigint[]) is 'Locks those of some messages that no worker has. The others are left out: a worker has them, or they are gone';

create or replace function pgqueue._due_if_replaced(there pgqueue.message, on_conflict text, due_at timestamptz, unique_for interval, now_at timestamptz)
  returns timestamptz
  language sql stable
begin atomic
  -- It is one expression, so that the server takes it into the statement.
  select nullif(greatest(case when on_conflict = 'debounce' and due_at > now_at
                           -- Else a key that is submitted again and again would never run.
                           then least(due_at, (there).launched_at + greatest(unique_for, (due_at - now_at) * 10))
                         -- The submitter has not chosen when a job is due that waits between attempts.
                         when on_conflict = 'debounce' or (there).attempts > 0 then due_at
                         else (there).due_at end, now_at), now_at);
end;
comment on function pgqueue._due_if_replaced(pgqueue.message, text, timestamptz, interval, timestamptz) is
  'When a message that waits is due after another has replaced it, which itself would be due at due_at. NULL: now';

create or replace function pgqueue._replace_waiting(there pgqueue.message, k pgqueue.keyed_outbox)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  due timestamptz := pgqueue._due_if_replaced(there, k.on_conflict, k.due_at, k.unique_for, clock_timestamp());
begin
  if there.kind = 'task' and pgqueue._text_in(there.payload, '{headers,id}') is distinct from k.task_id then
    perform pgqueue._end_task(there, 'REVOKED', concat('replaced by task ', k.task_id));
  end if;
  update pgqueue.inbox m
  set state = case when m.state not in ('ready', 'delayed') then m.state when due is null then 'ready' else 'delayed' end, due_at = due,
      expires_at = k.expires_at, kept = case when k.kept = 'none' then m.kept else k.kept end, top_level = false, priority = k.priority,
      deliveries = 0, attempts = 0, max_attempts = k.max_attempts, queue = k.queue, sql = k.sql, params = k.params, settings = k.settings,
      timeout = k.timeout, backoff = k.backoff, label = k.label, limit_key = k.limit_key, payload = k.payload, last_error = null, snoozes = null
  where m.id = there.id;
  perform pgqueue._wake_for(k.queue, due);
end
$$;
comment on function pgqueue._replace_waiting(pgqueue.message, pgqueue.keyed_outbox) is
  'Gives a message that waits, and is locked, the content and the options of another: its number, cookie and place stay, and with on_conflict replace its due time';

create or replace function pgqueue._put_message(k pgqueue.keyed_outbox)
  returns bigint
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  id bigint;
begin
  insert into pgqueue.inbox (submitter, cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params, settings,
                             timeout, backoff, label, unique_key, limit_key, payload, is_member)
  values (k.submitter, k.cookie, k.session_id, k.due_at, k.expires_at, k.kind,
          case when k.after <> '{}' then 'waiting' when k.due_at is null then 'ready' else 'delayed' end::pgqueue.message_state,
          k.kept, k.priority, k.max_attempts, k.queue, k.sql, k.params, k.settings, k.timeout, k.backoff, k.label, k.unique_key, k.limit_key, k.payload,
          case when k.kind = 'task' and num_nonnulls(k.batch, k.continues_id) > 0 then true end)
  returning inbox.id into id;
  if k.after <> '{}' or k.batch is not null then
    perform pgqueue._link(k.submitter, array[id], k.after, k.on_parent_failure, k.batch);
  end if;
  if k.continues_id is not null then
    perform pgqueue._continue_member(k.continues_id, id);
  end if;
  if (k.after <> '{}') is not true then
    perform pgqueue._wake_for(k.queue, k.due_at);
  end if;
  return id;
end
$$;
comment on function pgqueue._put_message(pgqueue.keyed_outbox) is 'Inserts a message into its queue, and links it to what it depends on';

create or replace function pgqueue._find_key_owner(k pgqueue.keyed_outbox)
  returns oid
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if k.kind <> 'task' or coalesce(pgqueue._text_in(k.payload, '{headers,retries}'), '0') = '0' then
    return k.submitter;
  end if;
  -- A worker retries a task under its own role. It has the claim of the task until that has ended, and no other login has. Workers,
  -- administrators and superusers send tasks without being enrolled, so all roles are looked at: the key of the table begins with the role.
  return coalesce((
    select h.submitter
    from pg_roles r
    join pgqueue.unique_hold h on h.submitter = r.oid and h.kind = k.kind and h.unique_key = k.unique_key
    join pgqueue.message m on m.id = h.message_id
    join pgqueue.worker w on w.id = m.worker_id
    where h.task_id = k.task_id and m.state = 'claimed' and w.login = k.submitter), k.submitter);
end
$$;
comment on function pgqueue._find_key_owner(pgqueue.keyed_outbox) is
  'The role whose unique key a message takes: its submitter, or of a task that a worker retries the role that has sent the task';

create or replace function pgqueue._submit_keyed(k pgqueue.keyed_outbox)
  returns pgqueue.keyed_outbox
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  owner constant oid := pgqueue._find_key_owner(k);
  is_retry constant boolean := k.kind = 'task' and pgqueue._text_in(k.payload, '{headers,retries}') <> '0';
  held pgqueue.unique_hold;
  there pgqueue.message;
begin
  k.on_conflict := coalesce(k.on_conflict, 'keep');
  -- First without a lock, if the key may be found taken so: most calls find the one that is there. Then with the lock.
  for attempt in case when k.on_conflict in ('keep', 'raise') then 1 else 2 end .. 2 loop
    if attempt = 1 then
      select * into held from pgqueue.unique_hold h where h.submitter = owner and h.kind = k.kind and h.unique_key = k.unique_key;
    else
      held := pgqueue._lock_key(owner, k.kind, k.unique_key);
    end if;
    -- Its snapshot is younger than the lock.
    select * into there from pgqueue.message m where m.id = held.message_id;
    -- A task that sends itself again (a retry) goes on with its key.
    continue when held.message_id is null or there.id is null and (held.free_at > clock_timestamp()) is not true
      or k.task_id = held.task_id and (there.state <> 'claimed') is not true;
    if is_retry and k.task_id is distinct from held.task_id then
      -- A task that has run once and sends itself again must not be lost, and is older than the one that has the key now.
      k.unique_key := null;
      k.id := pgqueue._put_message(k);
      k.outcome := 'put';
      return k;
    end if;
    if k.on_conflict = 'raise' and (k.task_id = held.task_id) is not true then
      perform pgqueue._refuse_taken(k.unique_key, held, there.id is not null);
    elsif k.on_conflict in ('keep', 'raise') then
      -- A publisher whose connection was lost sends its task again: then this is the same one.
      k.id := held.message_id;
      k.cookie := held.cookie;
      k.task_id := held.task_id;
      k.outcome := 'kept';
      return k;
    end if;
    -- The retry of a task is its worker's message.
    if there.submitter = k.submitter then
      select * into there from pgqueue._lock_waiting(array[there.id]);
    else
      there := null;
    end if;
    if there.id is not null then
      perform pgqueue._replace_waiting(there, k);
      k.id := there.id;
      k.cookie := there.cookie;
      k.outcome := 'replaced';
    else
      -- A message that a worker has had is left alone. The next one waits for as long as the key is taken beyond the end of that.
      k.due_at := greatest(k.due_at, case when held.free_at > clock_timestamp() then held.free_at end);
    end if;
  end loop;
  if k.outcome is null then
    k.id := pgqueue._put_message(k);
    k.outcome := 'put';
  end if;
  update pgqueue.unique_hold h
  set message_id = k.id, cookie = k.cookie, task_id = k.task_id,
      -- unique_for counts from the call that has sent the task.
      free_at = case when is_retry and h.task_id = k.task_id then h.free_at
                else coalesce(clock_timestamp() + k.unique_for, case when k.outcome = 'replaced' then h.free_at end) end
  where h.submitter = owner and h.kind = k.kind and h.unique_key = k.unique_key;
  return k;
end
$$;
comment on function pgqueue._submit_keyed(pgqueue.keyed_outbox) is
  'Submits a message that has a unique key, as its option on_conflict says, or finds the one that has the key. Its options have been checked';

create or replace function pgqueue._put_keyed()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  target record;
  options pgqueue.job_options := pgqueue._options('default');
begin
  perform pgqueue._require_part(new.submitter);
  perform pgqueue._require_quota(new.submitter);
  perform pgqueue._check_key(new.unique_key, new.unique_for, new.on_conflict);
  if new.after <> '{}' or new.batch is not null or new.on_parent_failure <> 'cancel' then
    options.on_conflict := new.on_conflict;
    options.unique_key := new.unique_key;
    options.after := new.after;
    options.on_parent_failure := new.on_parent_failure;
    options.batch := new.batch;
    perform pgqueue._check_options('checked', options);
  end if;
  new.kept := coalesce(new.kept, 'none');
  if new.kept = 'task' then
    -- As pgqueue.inbox refuses it, which does not see here for whom the owner inserts.
    raise exception 'message has not the shape that workers rely on' using errcode = '23514', hint = 'Hand in with pgqueue.enqueue or pgqueue.send_task.';
  end if;
  if new.kind = 'task' then
    new.task_id := pgqueue._text_in(new.payload, '{headers,id}');
    new.priority := least(greatest(coalesce(new.priority, 0), 0), 9);
    if new.exchange is not null then
      begin
        select * into strict target from pgqueue._route(new.exchange, new.queue, new.submitter);
      exception
        when no_data_found then
          new.outcome := 'unroutable';
          return new;
        when too_many_rows then
          raise exception 'a task with % reaches several queues over exchange "%"', case when new.unique_key is not null then 'a unique key' else 'after or batch' end, new.exchange
            using errcode = '0A000', hint = 'A key stands for one message, and so does a member of a batch. Send it to one queue.';
      end;
      new.queue := target.queue;
      new.expires_at := least(new.expires_at, clock_timestamp() + target.message_ttl);
    end if;
    if not pgqueue._may_enter(new.submitter, new.queue, null) then
      raise exception 'permission denied for queue "%"', new.queue using errcode = '42501', hint = 'Control commands and events have neither unique keys nor batches.';
    end if;
  end if;
  -- Also of a job: a role may insert any row, and the token shows that it has the claim.
  if new.continues_id is not null and not pgqueue._lock_continued(new.continues_id, new.continues_token) then
    new.continues_id := null;
  end if;
  if new.due_at <= clock_timestamp() then
    new.due_at := null;
  end if;
  if new.unique_key is null then
    new.id := pgqueue._put_message(new);
    new.outcome := 'put';
    return new;
  end if;
  return pgqueue._submit_keyed(new);
end
$$;
comment on function pgqueue._put_keyed() is 'Submits what a role has inserted into pgqueue.keyed_outbox';

create or replace trigger put_keyed instead of insert on pgqueue.keyed_outbox for each row execute function pgqueue._put_keyed();
