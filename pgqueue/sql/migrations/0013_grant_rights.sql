-- Who may do what. Nobody by default; then the four group roles and the login of the loopback.

revoke all on all tables in schema pgqueue from public;
revoke all on all sequences in schema pgqueue from public;
revoke all on all functions in schema pgqueue from public;
revoke all on all procedures in schema pgqueue from public;

-- The loopback's login: one function.
grant execute on function pgqueue._gate(text, oid, bigint, text, text) to pgqueue_gate;

-- Everybody who hands in, works or watches may look. The views show each role what it may see.
grant select on pgqueue.jobs, pgqueue.stats, pgqueue.stats_total, pgqueue.workers, pgqueue.queues, pgqueue.quotas
  to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;
-- Operators look into queues.
grant execute on function pgqueue._peek(text, int) to pgqueue_worker, pgqueue_monitor, pgqueue_admin;
grant execute on function pgqueue._cut(text, int), pgqueue._has_takers(text), pgqueue._faulty_settings(), pgqueue._failing_upkeep(), pgqueue._limit(text, int), pgqueue._is_at_home(), pgqueue._command_tag(text, bigint), pgqueue._advisory_locks(int), pgqueue._lock_class(text), pgqueue._current_session_id(), pgqueue._loopback_name()
  to pgqueue_user, pgqueue_worker, pgqueue_monitor, pgqueue_admin;

-- Users: the public functions, and the parts of them that run as the caller.
grant select on pgqueue.own_key, pgqueue.own_seal, pgqueue.own_session_seal, pgqueue.own_session, pgqueue.own_settings, pgqueue.own_statement, pgqueue.sent_listener to pgqueue_user;
grant insert (cookie, session_id, due_at, expires_at, kind, state, kept, priority, max_attempts, queue, sql, params, settings, timeout, backoff,
              label, unique_key, payload)
  on pgqueue.outbox to pgqueue_user;
grant select (id, cookie, unique_key) on pgqueue.outbox to pgqueue_user;
grant execute on function
  pgqueue.launch(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text),
  pgqueue.submit(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text),
  pgqueue.enqueue(text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text, boolean),
  pgqueue.enqueue_many(text[], text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text[], text, text, boolean, text[]),
  pgqueue.send_task(text, jsonb, jsonb, text, int, interval, timestamptz, timestamptz, text, jsonb, boolean, text, text),
  pgqueue.result(pgqueue.handle), pgqueue.wait(pgqueue.handle, interval), pgqueue.cancel(pgqueue.handle, interval),
  pgqueue.detach(pgqueue.handle), pgqueue.statement(pgqueue.handle), pgqueue.progress(int, text), pgqueue.get_progress(pgqueue.handle),
  pgqueue.enqueue_trigger()
  to pgqueue_user;
grant execute on function
  pgqueue._random_bigint(), pgqueue._setting(text, text), pgqueue._capture_settings(text), pgqueue._inheritable_names(), pgqueue._session_settings(), pgqueue._is_acceptable(pgqueue.message), pgqueue._is_own_event(json), pgqueue._refuse_message(pgqueue.message), pgqueue._may_enter(oid, text, json), pgqueue._refuse_stranger(oid), pgqueue._refuse_excess(oid, text),
  pgqueue._inherited(jsonb), pgqueue._with_durability(jsonb, text), pgqueue._inherited_timeout(jsonb), pgqueue._nobody_sleeps(text), pgqueue._known_settings(int, jsonb), pgqueue._cookie(bytea, bigint), pgqueue._begin_session(),
  pgqueue._is_plain_call(text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text),
  pgqueue._keep_captured(text), pgqueue._begin_statement(text, jsonb), pgqueue._statement_settings(), pgqueue._fingerprint(text), pgqueue._settings(), pgqueue._refuse_params(), pgqueue._may_log_in(oid), pgqueue._require_login(oid), pgqueue._session_id(),
  pgqueue._queue_channel(text), pgqueue._notify_at_commit(text), pgqueue._wake(text), pgqueue._wake_for(text, timestamptz), pgqueue._naptime(), pgqueue._over_loopback(text, oid, bigint, text, text, boolean), pgqueue._end_hold(boolean), pgqueue._close_loopback(),
  pgqueue._call(text, jsonb, boolean), pgqueue._require_enrolled(), pgqueue._require_home(), pgqueue._handle(bigint), pgqueue._handle(int), pgqueue._handle(smallint), pgqueue._request(pgqueue.handle), pgqueue._status(pgqueue.handle, jsonb), pgqueue._with_wait(jsonb, timestamptz, float8), pgqueue._wait_for_run(bigint, bigint),
  pgqueue._doze(bigint, timestamptz, float8), pgqueue._tell_wait(bigint), pgqueue._wait_on(pgqueue.handle, interval), pgqueue._forward_notices(jsonb),
  pgqueue._say(text, text, text, text, text), pgqueue._are_notices(jsonb), pgqueue._raiser(text), pgqueue._raise_again(text, text, text, text), pgqueue._error_of(pgqueue.handle, jsonb), pgqueue._said_at(pgqueue.handle, jsonb), pgqueue._refuse_place(), pgqueue._misfit(jsonb), pgqueue._fit_casts(jsonb, text[], text),
  pgqueue._raise(jsonb), pgqueue._fetch_result(pgqueue.handle, boolean),
  pgqueue._consume_result(pgqueue.handle, boolean), pgqueue._read_result(pgqueue.handle), pgqueue._result_reader(jsonb, text[]), pgqueue._result_hint(jsonb),
  pgqueue._swap_settings(jsonb), pgqueue._claim_lost(bigint), pgqueue._python_repr(jsonb),
  pgqueue._trigger_columns(text[]), pgqueue._refuse_virtual(oid, text[]), pgqueue._row_params(text[], jsonb, oid), pgqueue._row_params_query(text[]),
  pgqueue._enqueue_row(text[], oid, jsonb), pgqueue._is_plain_trigger(text[]), pgqueue._seen_columns(oid, text[]),
  pgqueue._has_seen(text, oid, text[]), pgqueue._see_columns(oid, text[]), pgqueue._is_plain(oid, text[]), pgqueue._transition_query(text[], text, oid, text),
  pgqueue._trigger_options(text[]), pgqueue._trigger_job(text[], jsonb),
  pgqueue._check_options(text, text, int, interval, timestamptz, timestamptz, interval, int, interval, text),
  pgqueue._put_job(oid, pgqueue.result_kept, jsonb, bigint, text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text, bigint),
  pgqueue._hand_in(pgqueue.result_kept, jsonb, text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text),
  pgqueue._enqueue(pgqueue.result_kept, jsonb, text, text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text, text, text),
  pgqueue._enqueue_many(pgqueue.result_kept, jsonb, text[], text[], text, int, interval, timestamptz, timestamptz, interval, int, interval, text[], text, text, text[]),
  pgqueue._check_rows(text[], text[], text[]), pgqueue._jobs_of(text[], text[], text[], text[]),
  pgqueue._task_message(text, jsonb, jsonb, text, int, timestamptz, timestamptz, text, jsonb, boolean, text, text),
  pgqueue._python_string_repr(text), pgqueue._shown(text), pgqueue._utc_text(timestamptz), pgqueue._callback(text),
  pgqueue._args_repr(jsonb), pgqueue._kwargs_repr(jsonb), pgqueue._prints_alike(text), pgqueue._tell_sent(json, text),
  pgqueue._plain_task_message(text, jsonb, jsonb, text, int, text, boolean),
  pgqueue._is_plain_task(text, jsonb, jsonb, text, int, interval, timestamptz, timestamptz, jsonb, text, text),
  pgqueue._send_otherwise(text, jsonb, jsonb, text, int, interval, timestamptz, timestamptz, text, jsonb, boolean, text, text),
  pgqueue._enqueue_for_trigger(text[], jsonb, text, text, text, jsonb, jsonb, text[])
  to pgqueue_user;

-- Sessions that run jobs are logged in as the submitter. The token of the claim is the key to these.
grant execute on function
  pgqueue._begin_job(bigint, bigint), pgqueue._lock_job(bigint, bigint), pgqueue._enter_job(bigint, bigint, text[], text[]), pgqueue._append_result(bigint, bigint, int, jsonb),
  pgqueue._keep_notices(bigint, bigint, jsonb),
  pgqueue._complete_job(bigint, bigint, text[], bigint, jsonb, jsonb, jsonb, boolean), pgqueue._fail_job(bigint, bigint, jsonb, float8), pgqueue._reset_session()
  to pgqueue_user;

-- Celery programs publish with the rights of a user.
grant execute on function
  pgqueue._publish(text, text, json, int, timestamptz, timestamptz), pgqueue._publish_otherwise(text, text, json, int, timestamptz, timestamptz),
  pgqueue._goes_straight(text, text, timestamptz), pgqueue._message_ttl(text, name),
  pgqueue._declare_exchange(text, text, boolean, boolean, jsonb), pgqueue._exchange_exists(text), pgqueue._delete_exchange(text),
  pgqueue._declare_queue(text, boolean, boolean, boolean, jsonb), pgqueue._queue_exists(text), pgqueue._queue_size(text), pgqueue._queue_consumers(text),
  pgqueue._bind(text, text, text), pgqueue._unbind(text, text, text), pgqueue._bindings(text)
  to pgqueue_user, pgqueue_worker;

-- Column by column: with a right on the whole of a view LOCK TABLE locks the tables under it.
grant select on pgqueue.own_binding, pgqueue.own_task to pgqueue_user;
grant insert (act, name, attributes) on pgqueue.declaration to pgqueue_user;
grant insert (exchange, routing_key, payload, priority, due_at, expires_at), select (reached) on pgqueue.dispatch to pgqueue_user;

-- Workers consume, and keep the queue in order. They publish too: events and replies.
grant pgqueue_user to pgqueue_worker;
grant execute on function
  pgqueue._register_worker(text, int, int, bigint[], bigint[], bigint[]), pgqueue._unregister_worker(int, bigint[]), pgqueue._set_worker_queues(int, text[]), pgqueue._set_worker_executors(int, int),
  pgqueue._claim(int, text, text[], int, int, jsonb), pgqueue._role_limit(), pgqueue._ack_and_claim(int, bigint[], bigint[], jsonb), pgqueue._ack(bigint[], bigint[]), pgqueue._release(bigint[], bigint[], boolean),
  pgqueue._reject(bigint[], bigint[], text),
  pgqueue._postpone(bigint, bigint, timestamptz), pgqueue._keep_claims(int, bigint[], bigint[]),
  pgqueue._fall_asleep(text[]), pgqueue._wake_up(text[]), pgqueue._tick(int, bigint, timestamptz),
  pgqueue._purge(text), pgqueue._list_scheduled(text[], int), pgqueue._delete_queue(text, boolean, boolean),
  pgqueue._begin_any_job(bigint, bigint), pgqueue._fail_any_job(bigint, bigint, jsonb), pgqueue._acquit(bigint[], bigint[]), pgqueue._defer_job(bigint, bigint, text, interval, interval), pgqueue._retry_deferred(oid), pgqueue._note_run(bigint, bigint, int, float8), pgqueue._set_progress(bigint, bigint, int, text),
  pgqueue._request_cancel(bigint, bigint), pgqueue._cancel_requests(bigint[], bigint[]), pgqueue._claim_awaited(bigint, bigint, bigint)
  to pgqueue_worker;

grant execute on function
  pgqueue.pause(text), pgqueue.resume(text), pgqueue._knows_queue(text), pgqueue.set_durability(text, text), pgqueue.redrive(text), pgqueue.enroll(regrole), pgqueue.unenroll(regrole), pgqueue.reset_stats()
  to pgqueue_admin;
