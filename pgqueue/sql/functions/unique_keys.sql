-- Unique keys: which message has a key, and whether it is taken.
--
-- All who submit with a key first insert or lock the row of the key in pgqueue.unique_hold, so they take turns as at a unique index, and a
-- statement that begins after that sees what the one before has committed. Claims and ends of jobs know nothing of keys: a key is free
-- when its message is gone.

create or replace function pgqueue._check_key(unique_key text, unique_for interval, on_conflict text)
  returns void
  language plpgsql immutable
  set search_path = pg_catalog, pg_temp
as $$
begin
  if on_conflict not in ('keep', 'replace', 'debounce', 'raise') then
    raise exception 'on_conflict "%" is not known', on_conflict using errcode = '22023', hint = 'It is keep (the default), replace, debounce or raise.';
  elsif unique_for <= interval '0' or not isfinite(unique_for) or unique_for > interval '10 years' then
    raise exception 'unique_for must be positive and at most 10 years' using errcode = '22023', hint = 'Leave unique_for out, and the key is free when the job has ended.';
  elsif unique_key is null and (unique_for is not null or on_conflict <> 'keep') then
    raise exception '% needs a unique key', case when unique_for is not null then 'unique_for' else format('on_conflict "%s"', on_conflict) end
      using errcode = '22023', hint = 'Give unique_key, which says what is the same job.';
  elsif octet_length(unique_key) > 1000 then
    raise exception 'unique_key has more than 1000 bytes' using errcode = '22023', hint = 'Give a hash of it: encode(sha256(convert_to(key, ''UTF8'')), ''hex'').';
  end if;
end
$$;
comment on function pgqueue._check_key(text, interval, text) is 'Raises an error for invalid options about unique keys';
grant execute on function pgqueue._check_key(text, interval, text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._is_key_taken(role oid, key text, except_id bigint default null)
  returns boolean
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
begin
  -- It is a function and not a part of filters, where the planner reads the whole queue instead of its index.
  return exists (select from pgqueue.unique_hold h
                 where h.submitter = role and h.kind = 'job' and h.unique_key = key and h.message_id is distinct from except_id
                   and (h.free_at > clock_timestamp() or exists (select from pgqueue.message m where m.id = h.message_id)));
end
$$;
comment on function pgqueue._is_key_taken(oid, text, bigint) is 'Whether the unique key of a job of a role is taken by another job than the one with this number';

create or replace function pgqueue._refuse_taken(unique_key text, held pgqueue.unique_hold, is_live boolean)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'unique key "%" is taken by %', unique_key, case when held.task_id is null then concat('job ', held.message_id) else format('task "%s"', held.task_id) end
    using errcode = '23505', schema = 'pgqueue', constraint = 'unique_key',
          hint = case when is_live and held.free_at is null then 'The key is free when that has ended. To have it instead, or to replace what waits: on_conflict => ''keep'' or ''replace''.'
                      else format('The key is free at %s%s.', pgqueue._utc_text(held.free_at), case when is_live then ', and not before that has ended' else '' end) end;
end
$$;
comment on function pgqueue._refuse_taken(text, pgqueue.unique_hold, boolean) is 'Raises 23505 for on_conflict raise';

create or replace function pgqueue._lock_key(role oid, kind pgqueue.message_kind, key text)
  returns pgqueue.unique_hold
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  held pgqueue.unique_hold;
begin
  loop
    -- It waits for an open transaction that has inserted or locked the row.
    insert into pgqueue.unique_hold (submitter, kind, unique_key) values (role, _lock_key.kind, key) on conflict do nothing;
    select * into held from pgqueue.unique_hold h where h.submitter = role and h.kind = _lock_key.kind and h.unique_key = key for update;
    if found then
      return held;
    end if;  -- Upkeep has deleted it between the two.
  end loop;
end
$$;
comment on function pgqueue._lock_key(oid, pgqueue.message_kind, text) is 'Locks the row of a unique key until the end of the transaction, and makes it first';

create or replace function pgqueue._keep_key(id bigint)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  m pgqueue.message;
  held pgqueue.unique_hold;
begin
  select q.* into m from pgqueue.message q where q.id = _keep_key.id;
  held := pgqueue._lock_key(m.submitter, m.kind, m.unique_key);
  if pgqueue._is_key_taken(m.submitter, m.unique_key, m.retried_from) then
    raise exception 'unique key "%" of job % was taken meanwhile', m.unique_key, m.retried_from using errcode = '40001', hint = 'Try again.';
  end if;
  update pgqueue.unique_hold h set message_id = m.id, cookie = m.cookie
  where h.submitter = m.submitter and h.kind = m.kind and h.unique_key = m.unique_key;
end
$$;
comment on function pgqueue._keep_key(bigint) is 'Gives the key of a job that failed to the job that runs it again';

create or replace function pgqueue._forget_keys()
  returns void
  language sql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
  delete from pgqueue.unique_hold d
  where (d.submitter, d.kind, d.unique_key) in (
    select h.submitter, h.kind, h.unique_key from pgqueue.unique_hold h
    where (h.free_at is null or h.free_at < clock_timestamp()) and not exists (select from pgqueue.message m where m.id = h.message_id)
    limit 50000
    for update skip locked)
$$;
comment on function pgqueue._forget_keys() is 'Deletes the rows of unique keys that are free';
