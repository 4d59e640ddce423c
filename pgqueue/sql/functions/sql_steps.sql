-- after: caller, enqueue, job_options, enrollment
-- The seal of an SQL step of a Celery canvas: which role wants the statement to run. The worker that forwards a step is another role.
--
-- A step travels inside messages, from one task to the next, and each is sent by the worker that ran the task before. So the role that
-- has sent a message says nothing about who wrote the statement in it: the seal does, and only that role can make it.

create or replace function pgqueue._step_digest(seal_key text, step jsonb)
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  -- The inner digest has a fixed length, so nothing can be added to what was sealed. The word separates it from other seals.
  select encode(sha256(convert_to(concat(seal_key, ' step ', encode(sha256(convert_to((step - 'seal')::text, 'UTF8')), 'hex')), 'UTF8')), 'hex')
$$;
comment on function pgqueue._step_digest(text, jsonb) is 'A digest of a step that only a holder of the role''s key can compute';

create or replace function pgqueue._sealed_by(step jsonb)
  returns oid
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select k.role
  from pg_roles r
  join pgqueue.role_key k on k.role = r.oid
  where r.rolname = substr(step ->> 'seal', 66) and left(step ->> 'seal', 65) = pgqueue._step_digest(k.seal_key, step) || ':'
$$;
comment on function pgqueue._sealed_by(jsonb) is 'The role that has sealed a step; NULL: none has, or the step was changed since, or the role is not enrolled any more';

create or replace function pgqueue._outcome_seal(seal_key text, task_id text)
  returns text
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  -- Only the database makes it, when the job ends. It does not depend on the value, which comes back as Python has read it.
  select encode(sha256(convert_to(concat(seal_key, ' outcome ', encode(sha256(convert_to(task_id, 'UTF8')), 'hex')), 'UTF8')), 'hex')
$$;
comment on function pgqueue._outcome_seal(text, text) is 'A digest for the outcome of a task that only a holder of the role''s key can compute';

create or replace function pgqueue._is_sealed_outcome(task_id text, seal text)
  returns boolean
  language sql stable security definer
  set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_roles r
    join pgqueue.role_key k on k.role = r.oid
    where r.rolname = substr(seal, 66) and left(seal, 65) = pgqueue._outcome_seal(k.seal_key, task_id) || ':')
$$;
comment on function pgqueue._is_sealed_outcome(text, text) is 'Whether the database has sealed the outcome of this task at the end of its job, and the role of the job is still enrolled';

create or replace function pgqueue._step_options(step jsonb, queue text, priority int)
  returns pgqueue.job_options
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select jsonb_populate_record(pgqueue._options(queue, priority), jsonb_build_object(
    'timeout', step -> 'timeout', 'max_attempts', step -> 'max_attempts', 'backoff', step -> 'backoff', 'label', step -> 'label', 'durability', step -> 'durability'))
$$;
comment on function pgqueue._step_options(jsonb, text, int) is 'The options of the job that a step becomes';

create or replace function pgqueue._step_params(step jsonb, previous text)
  returns text[]
  language sql immutable
  set search_path = pg_catalog, pg_temp
as $$
  select case
    when (step ->> 'with_result')::boolean then array[previous] || coalesce(p.given, '{}')
    else p.given end
  from (select array_agg(e.value order by e.n) from jsonb_array_elements_text(nullif(step -> 'params', 'null')) with ordinality e (value, n)) p (given)
$$;
comment on function pgqueue._step_params(jsonb, text) is 'The parameters of a step: the result of the step before comes first, if the step takes it';

create or replace function pgqueue._check_step(step jsonb)
  returns void
  language plpgsql volatile
  set search_path = pg_catalog, pg_temp
as $$
declare
  strange text := (select string_agg('"' || k || '"', ', ' order by k) from jsonb_object_keys(step) k
                   where k <> all ('{sql,params,with_result,result,timeout,max_attempts,backoff,label,durability}'));
  params text[];
begin
  if strange is not null then
    raise exception 'an SQL step has no option %', strange
      using errcode = '22023', hint = 'Its keyword arguments are its statement and its options, so a call cannot add others. Values for the statement are params.';
  elsif step ->> 'result' is null or step ->> 'result' not in ('rows', 'scalar', 'count', 'none') then
    raise exception 'result "%" is not known', step ->> 'result' using errcode = '22023', hint = 'It is rows, scalar, count or none.';
  end if;
  perform pgqueue._check_options(step ->> 'sql', pgqueue._step_options(step, 'default', 0));
  params := pgqueue._step_params(step, null);
  if cardinality(params) > 65535 or octet_length(array_to_string(params, '')) > 16777216 then
    raise exception 'params are more than 65535 or have more than 16 MB' using errcode = '54000', hint = 'Put the data into a table first.';
  elsif octet_length(step ->> 'label') > 10000 then
    raise exception 'label has more than 10000 bytes' using errcode = '54000', hint = 'A label is a short name.';
  end if;
end
$$;
comment on function pgqueue._check_step(jsonb) is 'Raises an error for a step that could not become a job';

-- Sealing acts as the owner, which has the keys, and the view says which role asked.
create or replace view pgqueue.step_order as
  select null::oid as submitter, null::jsonb as settings, null::jsonb as step, null::jsonb as sealed
  where false;
alter view pgqueue.step_order alter column submitter set default pgqueue._caller();
comment on view pgqueue.step_order is
  'The view into which roles insert an SQL step of a Celery canvas to get it sealed: pgqueue._seal_step. settings: those that the job inherits';
-- The right is granted by column: with a right on the whole view, LOCK TABLE locks the tables under it.
grant insert (settings, step), select (sealed) on pgqueue.step_order to pgqueue_user;

create or replace function pgqueue._seal_step()
  returns trigger
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  seal_key text := (select k.seal_key from pgqueue.role_key k where k.role = new.submitter);
begin
  if seal_key is null then
    perform pgqueue._refuse_stranger(new.submitter);
  end if;
  perform pgqueue._require_login(new.submitter);
  perform pgqueue._check_step(new.step);
  perform pgqueue._check_settings(new.settings);
  new.sealed := new.step || jsonb_build_object('settings', coalesce(new.settings, '{}'));
  new.sealed := new.sealed || jsonb_build_object('seal', pgqueue._step_digest(seal_key, new.sealed) || ':' || pg_get_userbyid(new.submitter));
  return new;
end
$$;
comment on function pgqueue._seal_step() is 'Seals what a role has inserted into pgqueue.step_order: with that, the step runs as this role, also when another role forwards it';

create or replace trigger seal_step instead of insert on pgqueue.step_order for each row execute function pgqueue._seal_step();
