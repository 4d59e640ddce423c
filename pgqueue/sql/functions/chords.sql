-- Saved groups, and chords: what their parts returned, and who sends the callback.

create or replace function pgqueue._save_task_group(group_id text, payload bytea, lifetime interval)
  returns void
  language sql volatile security definer
begin atomic
  insert into pgqueue.task_group as g (id, payload, expires_at)
  values (group_id, _save_task_group.payload, coalesce(clock_timestamp() + lifetime, 'infinity'))
  on conflict (id) do update
  set payload = excluded.payload, expires_at = excluded.expires_at;
end;
comment on function pgqueue._save_task_group(text, bytea, interval) is 'Stores a group of tasks, or replaces it';
grant execute on function pgqueue._save_task_group(text, bytea, interval) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._task_group(group_id text)
  returns bytea
  language sql volatile security definer
begin atomic
  select g.payload from pgqueue.task_group g where g.id = group_id and g.expires_at > clock_timestamp();
end;
comment on function pgqueue._task_group(text) is 'A stored group; NULL: there is none';
grant execute on function pgqueue._task_group(text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._delete_task_group(group_id text)
  returns void
  language sql volatile security definer
begin atomic
  delete from pgqueue.task_group g where g.id = group_id;
end;
comment on function pgqueue._delete_task_group(text) is 'Deletes a stored group';
grant execute on function pgqueue._delete_task_group(text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._set_chord_size(group_id text, size int, lifetime interval)
  returns void
  language sql volatile security definer
begin atomic
  insert into pgqueue.chord as c (group_id, size, expires_at)
  values (_set_chord_size.group_id, _set_chord_size.size, coalesce(clock_timestamp() + lifetime, 'infinity'))
  -- A chord that is called again has the same group.
  on conflict (group_id) do update
  set size = excluded.size, expires_at = excluded.expires_at, dispatched_at = null;
end;
comment on function pgqueue._set_chord_size(text, int, interval) is 'Stores how many parts a chord has';
grant execute on function pgqueue._set_chord_size(text, int, interval) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._grow_chord(group_id text, lifetime interval)
  returns void
  language sql volatile security definer
begin atomic
  insert into pgqueue.chord as c (group_id, added, expires_at)
  values (_grow_chord.group_id, 1, coalesce(clock_timestamp() + lifetime, 'infinity'))
  on conflict (group_id) do update
  set added = c.added + 1;
end;
comment on function pgqueue._grow_chord(text, interval) is 'A task of a chord adds a part to it';
grant execute on function pgqueue._grow_chord(text, interval) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._add_chord_part(group_id text, place int, task_id text, payload bytea, lifetime interval)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  present pgqueue.chord;
begin
  -- The row of the chord stays locked until the end of the transaction, so parts decide one after the other.
  insert into pgqueue.chord as c (group_id, expires_at)
  values (_add_chord_part.group_id, coalesce(clock_timestamp() + lifetime, 'infinity'))
  on conflict (group_id) do nothing;
  select * into present from pgqueue.chord c where c.group_id = _add_chord_part.group_id for update;
  if present.dispatched_at is not null then
    return false;
  end if;
  insert into pgqueue.chord_part (group_id, place, task_id, payload)
  values (_add_chord_part.group_id, coalesce(_add_chord_part.place, 2147483647), _add_chord_part.task_id, _add_chord_part.payload)
  on conflict do nothing;
  if found then
    update pgqueue.chord c set returned = c.returned + 1 where c.group_id = _add_chord_part.group_id returning * into present;
  end if;
  return coalesce(present.returned = present.size + present.added, false);
end
$$;
comment on function pgqueue._add_chord_part(text, int, text, bytea, interval) is
  'A part of a chord has returned. True: it is complete, and the caller sends the callback and calls _finish_chord in this same transaction';
grant execute on function pgqueue._add_chord_part(text, int, text, bytea, interval) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._chord_parts(group_id text)
  returns setof bytea
  language sql stable security definer
begin atomic
  select p.payload from pgqueue.chord_part p where p.group_id = _chord_parts.group_id order by p.place, p.returned_at;
end;
comment on function pgqueue._chord_parts(text) is 'What the parts of a chord returned, in the order of its header';
grant execute on function pgqueue._chord_parts(text) to pgqueue_user, pgqueue_worker;

create or replace function pgqueue._finish_chord(group_id text)
  returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  was_open boolean;
begin
  -- The row is kept for a while, so that a part that returns twice does not begin the chord again.
  update pgqueue.chord c
  set dispatched_at = clock_timestamp(), returned = 0, added = 0
  where c.group_id = _finish_chord.group_id and c.dispatched_at is null;
  was_open := found;
  delete from pgqueue.chord_part p where p.group_id = _finish_chord.group_id;
  return was_open;
end
$$;
comment on function pgqueue._finish_chord(text) is
  'Records that the callback of a chord was sent, or its errbacks were called; parts that return later are ignored';
grant execute on function pgqueue._finish_chord(text) to pgqueue_user, pgqueue_worker;
