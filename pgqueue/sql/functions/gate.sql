-- The server's half of the loopback: the only function that its login may call, and launch behind it.

create or replace function pgqueue._gate(op text, role oid, nonce bigint, request text, proof text)
  returns setof jsonb
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  args jsonb := request::jsonb;
  handle pgqueue.handle;
  nobody_sleeps boolean;
begin
  if transaction_timestamp() <> statement_timestamp() then
    -- A BEGIN was sent over the loopback: effects of this request would not be committed.
    raise exception 'the loopback is inside a transaction' using errcode = '25001';
  end if;
  if op = 'launch' then
    -- The usual launch, authenticated and sent for the first time, is one statement, which does nothing for other requests.
    with proven as (
      select k.role from pgqueue.role_key k
      where k.role = _gate.role and k.over_quota is null and args -> 'options' ? 'queue' and (args -> 'options') - 'queue' = '{"priority": 0}' and (args ->> 'kept' = 'none' or k.result_runner is not null or pgqueue._may_log_in(_gate.role))
        and not args ? 'max_workers'
        and (proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 0), op, _gate.nonce, request), 'UTF8')), 'hex')
             or proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 1), op, _gate.nonce, request), 'UTF8')), 'hex'))
    ), once as (
      insert into pgqueue.nonce (nonce) select _gate.nonce from proven on conflict do nothing returning 1
    ), put as (
      insert into pgqueue.inbox (submitter, cookie, session_id, kind, kept, queue, sql, params, settings, timeout)
      select proven.role, r.cookie, r.session_id, 'job', r.kept, args #>> '{options,queue}', r.sql, r.params, pgqueue._inherited(r.settings),
             pgqueue._inherited_timeout(r.settings)
      from proven, once, jsonb_to_record(args) r (cookie bigint, session_id bigint, kept pgqueue.result_kept, sql text, params text[],
                                                  settings jsonb)
      returning inbox.id, inbox.cookie, pgqueue._nobody_sleeps(inbox.queue) as nobody_sleeps
    )
    select put.id, put.cookie, put.nobody_sleeps into handle.id, handle.cookie, nobody_sleeps from put;
    if found then
      if not nobody_sleeps then
        perform pgqueue._announce(args #>> '{options,queue}', handle.id, (args ->> 'kept')::pgqueue.result_kept);
      end if;
      return next to_jsonb(handle);
      return;
    end if;
  end if;
  handle := ((args ->> 'id')::bigint, (args ->> 'cookie')::bigint);
  if op = 'enroll_member' then
    -- This needs no proof, because the role has no key yet.
    return query select to_jsonb(pgqueue._enroll_member(role));
    return;
  elsif not exists (
    select from pgqueue.role_key k
    where k.role = _gate.role
      and (proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 0), op, _gate.nonce, request), 'UTF8')), 'hex')
           or proof = encode(sha256(convert_to(concat_ws(' ', pgqueue._minute_key(k.key, 1), op, _gate.nonce, request), 'UTF8')), 'hex')))
  then
    raise exception 'request is not proven' using errcode = '42501', hint = 'Call the functions of the schema pgqueue, not its loopback. In a copy of a database its owner has to run: select pgqueue._repair_loopback().';
  end if;
  if op in ('status', 'result') and args ? 'wait_ms' then
    perform pgqueue._await_end(role, handle.id, (args ->> 'wait_ms')::int);
  end if;
  if op = 'status' then
    return query select to_jsonb(l) from pgqueue._locate(role, handle, '55000', true) l;
    return;
  elsif op = 'cookie' then
    return query select jsonb_build_object('cookie', pgqueue._cookie_of(role, handle.id));
    return;
  elsif op = 'canceled' then
    return query select coalesce(to_jsonb(pgqueue._is_canceled(role, handle)), 'null');
    return;
  elsif op = 'progress' then
    return query select to_jsonb(p) from pgqueue._progress_of(role, handle) p;
    return;
  elsif op = 'log' then
    return query select * from pgqueue._job_log_of(role, handle);
    return;
  elsif op = 'tracked' and not args ? 'read' then
    return query select * from pgqueue._tracked(role, args);
    return;
  end if;
  if op not in ('launch', 'launch_tracked', 'cancel', 'cancel_tracked') then
    -- A crash can only undo a read of a result, which then can be read again, so there is no need to wait for the disk.
    perform set_config('synchronous_commit', 'off', true);
  end if;
  insert into pgqueue.nonce (nonce) values (_gate.nonce) on conflict do nothing;
  if not found then
    -- The answer to this request was lost with the caller's connection, and it was sent again. (Or it is replayed.)
    if op in ('launch', 'launch_tracked') then
      return query
      select jsonb_strip_nulls(jsonb_build_object('id', d.id, 'cookie', d.cookie, 'pid', (select t.pid from pgqueue.tracked_job t where t.id = d.id)))
      from (select m.id, m.cookie from pgqueue.message m where m.submitter = _gate.role and m.cookie = handle.cookie
            union all
            select h.id, h.cookie from pgqueue.history h where h.submitter = _gate.role and h.cookie = handle.cookie) d
      limit 1;
      if found then
        return;
      end if;
    end if;
    raise exception 'request was sent before' using errcode = '42501';
  end if;
  case op
    when 'launch' then return query select to_jsonb(l) from pgqueue._launch(role, args) l;
    when 'result' then return query select * from pgqueue._result_of(role, handle, args ? 'hold');
    when 'consume' then return query select to_jsonb(pgqueue._consume(role, handle));
    when 'cancel' then return query select coalesce(to_jsonb(pgqueue._cancel(role, handle, (args ->> 'grace_ms')::bigint)), 'null');
    when 'detach' then return query select to_jsonb(pgqueue._detach(role, handle));
    when 'statement' then return query select to_jsonb(pgqueue._statement_of(role, handle));
    when 'launch_tracked' then return query select pgqueue._launch_tracked(role, args);
    when 'tracked' then return query select * from pgqueue._tracked(role, args);
    when 'cancel_tracked' then return query select pgqueue._cancel_tracked(role, args);
    when 'untrack' then return query select to_jsonb(pgqueue._untrack(role, args));
  end case;
end
$$;
comment on function pgqueue._gate(text, oid, bigint, text, text) is
  'The only function that the loopback''s login may call: checks the role and that the request is new, then does it';
grant execute on function pgqueue._gate(text, oid, bigint, text, text) to pgqueue_gate;

create or replace function pgqueue._launch(role oid, args jsonb)
  returns pgqueue.handle
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  max_workers int := (args ->> 'max_workers')::int;
  active bigint;
begin
  perform pgqueue._require_quota(role);
  if max_workers > 0 then
    select count(*) into active from (
      select from pgqueue.message m where m.session_id = (args ->> 'session_id')::bigint limit max_workers) m;
    if active >= max_workers then
      raise exception 'too many background workers'
        using errcode = '53400', detail = format('Current limit is %s unfinished jobs of a session.', max_workers),
              hint = 'Wait for jobs to end, or increase pgqueue.max_workers.';
    end if;
  end if;
  if args ->> 'kept' <> 'none' then
    perform pgqueue._require_login(role);
  end if;
  if args #>> '{options,durability}' = 'async' then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  return pgqueue._put_job(
    role, (args ->> 'kept')::pgqueue.result_kept, args -> 'settings', (args ->> 'session_id')::bigint, args ->> 'sql',
    case when jsonb_typeof(args -> 'params') = 'array' then array(select p #>> '{}' from jsonb_array_elements(args -> 'params') with ordinality e (p, n) order by n) end,
    jsonb_populate_record(null::pgqueue.job_options, args -> 'options'), (args ->> 'cookie')::bigint);
end
$$;
comment on function pgqueue._launch(oid, jsonb) is 'The gate''s half of launch and submit';
