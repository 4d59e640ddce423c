CREATE SCHEMA pgqueue;

COMMENT ON SCHEMA pgqueue IS 'Any SQL statement and any Celery task, queued in PostgreSQL and run by Celery workers';

CREATE TYPE pgqueue.ending AS ENUM (
    'succeeded',
    'failed',
    'retried',
    'canceled',
    'expired',
    'gone',
    'deferred',
    'released',
    'handed_over',
    'snoozed'
);

COMMENT ON TYPE pgqueue.ending IS 'How a run of a job ended. gone: the claim is lost; deferred, released: it is in the queue again, later or at once; handed_over: it is in the queue again for the top-level lane; snoozed: it has committed, and is in the queue again, later';

CREATE TYPE pgqueue.handle AS (
	id bigint,
	cookie bigint
);

COMMENT ON TYPE pgqueue.handle IS 'The number and the secret of a job, which launch, submit and enqueue return';

CREATE TYPE pgqueue.job_options AS (
	queue text,
	priority integer,
	delay interval,
	eta timestamp with time zone,
	expires timestamp with time zone,
	timeout interval,
	max_attempts integer,
	backoff interval,
	unique_key text,
	label text,
	durability text,
	traceparent text,
	limit_key text,
	after pgqueue.handle[],
	on_parent_failure text,
	batch bigint,
	unique_for interval,
	on_conflict text
);

COMMENT ON TYPE pgqueue.job_options IS 'The options of launch, submit, enqueue and enqueue_many as one value';

CREATE TYPE pgqueue.job_state AS ENUM (
    'waiting',
    'queued',
    'running',
    'succeeded',
    'failed',
    'canceled',
    'expired'
);

COMMENT ON TYPE pgqueue.job_state IS 'The state of a job, as pgqueue.jobs shows it';

CREATE TYPE pgqueue.lane AS ENUM (
    'batch',
    'top_level',
    'held'
);

COMMENT ON TYPE pgqueue.lane IS 'How a job runs: in the session for all roles, or in one that is logged in as its submitter. held: no job but a task under limits, with a unique key or in a batch, whose claim counts until the task has ended';

CREATE TYPE pgqueue.limit_turn AS (
	place integer,
	limit_key text,
	holder_id bigint,
	seq bigint,
	ids bigint[],
	next_at timestamp with time zone,
	room integer,
	seconds double precision
);

COMMENT ON TYPE pgqueue.limit_turn IS 'A key that has its turn in a claim. holder_id: NULL if the claim has not locked its count; ids: its messages that are claimed; room: how many more may be; seconds: until there may be more room';

CREATE TYPE pgqueue.message_kind AS ENUM (
    'job',
    'task'
);

COMMENT ON TYPE pgqueue.message_kind IS 'A job is an SQL string that pgqueue runs, a task is a Celery message that Celery runs';

CREATE TYPE pgqueue.message_state AS ENUM (
    'ready',
    'delayed',
    'claimed',
    'waiting'
);

COMMENT ON TYPE pgqueue.message_state IS 'The state of a message in the queue; a finished one has no row. waiting: for the end of other jobs';

CREATE TYPE pgqueue.result_kept AS ENUM (
    'none',
    'once',
    'many',
    'task'
);

COMMENT ON TYPE pgqueue.result_kept IS 'How often the result of a job may be read: never (submit), once (launch), until retention (enqueue with keep_result). task: it goes to a Celery task instead';

CREATE FUNCTION pgqueue._handle(id smallint) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._handle(id integer) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._handle(id bigint) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._ack(ids bigint[], tokens bigint[], failed bigint[] DEFAULT '{}'::bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off';

CREATE FUNCTION pgqueue._ack_and_claim(worker_id integer, ids bigint[], tokens bigint[], demand jsonb, failed bigint[] DEFAULT '{}'::bigint[]) RETURNS TABLE(acked integer, kind pgqueue.message_kind, id bigint, token bigint, queue text, earlier_deliveries integer, message text, lane pgqueue.lane)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._ack_early(ids bigint[], tokens bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._acquit(ids bigint[], tokens bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._add_chord_part(group_id text, place integer, task_id text, payload bytea, lifetime interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._admit(role regrole, may_enter boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._advisory_locks(class integer) RETURNS TABLE(objid integer, pid integer, mode text)
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._ambient_settings() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._setting(name text, fallback text) RETURNS text
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._ambient_timeout() RETURNS interval
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._announce(queue text, id bigint, kept pgqueue.result_kept) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._append_result(id bigint, token bigint, seq integer, rows jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._append_rows(id bigint, seq integer, rows jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.message (
    id bigint NOT NULL,
    cookie bigint,
    token bigint,
    session_id bigint,
    due_at timestamp with time zone,
    expires_at timestamp with time zone,
    launched_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    submitter oid DEFAULT ((quote_ident((CURRENT_USER)::text))::regrole)::oid NOT NULL,
    kind pgqueue.message_kind NOT NULL,
    state pgqueue.message_state DEFAULT 'ready'::pgqueue.message_state NOT NULL,
    kept pgqueue.result_kept DEFAULT 'none'::pgqueue.result_kept NOT NULL,
    top_level boolean DEFAULT false NOT NULL,
    acked boolean DEFAULT false NOT NULL,
    worker_id integer,
    priority smallint DEFAULT 0 NOT NULL,
    deliveries smallint DEFAULT 0 NOT NULL,
    attempts smallint DEFAULT 0 NOT NULL,
    max_attempts smallint,
    queue text NOT NULL,
    sql text,
    params text[],
    settings jsonb,
    timeout interval,
    backoff interval,
    label text,
    unique_key text,
    limit_key text COLLATE pg_catalog."C",
    payload json,
    last_error jsonb,
    retried_from bigint,
    queue_timeout interval,
    snoozes smallint,
    is_member boolean
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0', autovacuum_analyze_scale_factor='0.2');

COMMENT ON TABLE pgqueue.message IS 'Jobs and Celery messages that are not finished. Hot: a row is inserted, claimed and deleted';

COMMENT ON COLUMN pgqueue.message.token IS 'The fencing token of the current claim; completing needs it';

COMMENT ON COLUMN pgqueue.message.session_id IS 'The session that submitted the job, for pgqueue.stats';

COMMENT ON COLUMN pgqueue.message.submitter IS 'Set by the server, never by the submitter: roles insert through pgqueue.outbox, which lacks this column';

COMMENT ON COLUMN pgqueue.message.top_level IS 'Whether the job cannot run in the batch lane, as its first try has shown';

COMMENT ON COLUMN pgqueue.message.acked IS 'Of a task that is under limits: Celery has acked it and runs it. The row stays until the task ends, because it is what counts; a lost one is not delivered again';

COMMENT ON COLUMN pgqueue.message.deliveries IS 'How often it was handed to a worker';

COMMENT ON COLUMN pgqueue.message.attempts IS 'How often a run of the job has failed';

COMMENT ON COLUMN pgqueue.message.limit_key IS 'Whose limit it is under, for example a tenant: a name that the submitter gives';

COMMENT ON COLUMN pgqueue.message.retried_from IS 'The failed job that this job runs again (pgqueue.retry)';

COMMENT ON COLUMN pgqueue.message.queue_timeout IS 'The timeout of the queue or the database when the job was claimed, for a job that has none. It is apart from timeout, so that a job that is claimed or retried later has that of then';

COMMENT ON COLUMN pgqueue.message.snoozes IS 'How often a run of the job has put it off (pgqueue.snooze). NULL: never';

COMMENT ON COLUMN pgqueue.message.is_member IS 'Of a task: it is in a batch. So its row stays until the task has ended, however Celery acks it, and the end of the row is that of the task';

CREATE FUNCTION pgqueue._archive(m pgqueue.message, state pgqueue.job_state, error jsonb, command_tags text[], row_count bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._are_notices(notices jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._are_rows(rows jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._args_repr(args jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._begin_session() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._call(op text, request jsonb, holds boolean DEFAULT false) RETURNS SETOF jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._session_id() RETURNS bigint
    LANGUAGE sql;

CREATE FUNCTION pgqueue._tracker() RETURNS bigint
    LANGUAGE sql;

CREATE FUNCTION pgqueue._ask_tracked(want_pid integer, want_cookie bigint, mismatch text, sql_length integer DEFAULT 0) RETURNS jsonb
    LANGUAGE sql;

CREATE FUNCTION pgqueue._auto_delete(queues text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._await_end(role oid, id bigint, max_ms integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._await_results(task_ids text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._background_error(pid integer, error jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._background_setting(name text, fallback integer, least_value integer, greatest_value integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._begin_any_job(id bigint, token bigint) RETURNS pgqueue.ending
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._begin_job(id bigint, token bigint) RETURNS pgqueue.ending
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._begin_other(id bigint, token bigint, is_found boolean, expires_at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._begin_statement(caller_search_path text, settings jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._bind(queue text, exchange text, routing_key text) RETURNS void
    LANGUAGE sql;

CREATE FUNCTION pgqueue._topic_pattern(routing_key text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.binding (
    id bigint NOT NULL,
    exchange text NOT NULL,
    declared_by oid NOT NULL,
    routing_key text NOT NULL,
    queue text NOT NULL,
    pattern text GENERATED ALWAYS AS (COALESCE(pgqueue._topic_pattern(routing_key), '^[.]$'::text)) STORED NOT NULL,
    CONSTRAINT binding_key_is_at_most_255_bytes CHECK ((octet_length(routing_key) <= 255))
);

COMMENT ON TABLE pgqueue.binding IS 'The bindings from exchanges to queues';

COMMENT ON COLUMN pgqueue.binding.declared_by IS 'The role whose messages it routes to the queue. 0: all. So the cost of routing a message does not grow with the bindings of others';

COMMENT ON COLUMN pgqueue.binding.pattern IS 'The routing key of a topic binding as a regular expression';

CREATE FUNCTION pgqueue._bindings(exchange text) RETURNS TABLE(routing_key text, pattern text, queue text)
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._bound(bounds jsonb, level integer) RETURNS bigint
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._bound_roles(kind pgqueue.message_kind, queues text[], bounds jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._callback(task text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._refuse_without_triggers() RETURNS oid
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._caller() RETURNS oid
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._cancel(role oid, handle pgqueue.handle, grace_ms bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._cancel_dependants(ids bigint[], causes bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._cancel_many(criteria jsonb, grace_ms integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._cancel_matching(o pgqueue.job_order, by_administrator boolean) RETURNS pgqueue.job_order
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan';

CREATE TABLE pgqueue.request (
    id bigint NOT NULL,
    kind text NOT NULL,
    requested_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    terminate_at timestamp with time zone,
    CONSTRAINT request_kind_is_known CHECK ((kind = ANY (ARRAY['cancel'::text, 'detach'::text])))
);

COMMENT ON TABLE pgqueue.request IS 'Requests about jobs that a worker has: the row of a running job is locked, so requests have a table of their own';

COMMENT ON COLUMN pgqueue.request.terminate_at IS 'For a cancel with grace: when the session of the job is ended if it still runs';

CREATE FUNCTION pgqueue._cancel_requests(ids bigint[], tokens bigint[]) RETURNS TABLE(id bigint, terminate_at timestamp with time zone, seconds_left double precision)
    LANGUAGE sql STABLE SECURITY DEFINER;

CREATE FUNCTION pgqueue._cancel_tracked(role oid, args jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._cancel_tracked_now(want_pid integer, want_cookie bigint, grace_ms integer, is_hard boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._cancel_waiting(ids bigint[], reason text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._capture_for_rows(relation oid, argv text[]) RETURNS boolean
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._capture_settings(caller_search_path text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._fingerprint_of(role name, caller_search_path text) RETURNS text
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._fingerprint(caller_search_path text) RETURNS text
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._inherited(captured jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._captured_text(caller_search_path text, settings jsonb) RETURNS text
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._carry_out() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._carry_out_job_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._carry_out_job_order() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._carry_out_schedule() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._celery_schedule_of(expression text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._changed_runners() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_cron_database(database text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_cron_schedule(schedule text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_dependencies(max_count integer, only_parent bigint DEFAULT NULL::bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._check_enrollable(role regrole) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_fleet(name text, processes integer, queues text[], executors integer, concurrency integer, restart_after interval) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_handle(role oid, handle pgqueue.handle, submitter oid, cookie bigint, wrong_cookie text, by_administrators boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_job_filters(o pgqueue.job_order) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_key(unique_key text, unique_for interval, on_conflict text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_limit(queue text, max_running integer, per_key integer, rate integer, period interval, burst integer) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_options(sql text, options pgqueue.job_options) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_queue(name text, arguments jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_relay(queue text, target text, exchange text, routing_key text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_result(columns jsonb, rows jsonb, output_settings jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_rows(sql text[], params text[], rows text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_runner(id bigint, submitter oid) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_schedule(o pgqueue.schedule_order) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_sending(sending jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_setting(setting text, value text, queue text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "IntervalStyle" TO 'postgres';

CREATE FUNCTION pgqueue._check_settings(settings jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_short_text(what text, given text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_snooze(id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._check_step(step jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.chord_part (
    group_id text NOT NULL,
    place integer NOT NULL,
    task_id text NOT NULL,
    returned_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    payload bytea NOT NULL
);

COMMENT ON TABLE pgqueue.chord_part IS 'The return values of the parts of unfinished chords, in the order of the header';

CREATE FUNCTION pgqueue._chord_parts(group_id text) RETURNS SETOF bytea
    LANGUAGE sql STABLE SECURITY DEFINER;

CREATE FUNCTION pgqueue._claim(worker_id integer, kind pgqueue.message_kind, queues text[], max_count integer, role_limit integer DEFAULT NULL::integer, held jsonb DEFAULT NULL::jsonb) RETURNS TABLE(id bigint, token bigint, queue text, earlier_deliveries integer, message json, lane pgqueue.lane)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off';

CREATE FUNCTION pgqueue._claim_announced(worker_id integer, queues text[], announced_id bigint) RETURNS TABLE(id bigint, token bigint, message json, lane pgqueue.lane)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._claim_awaited(waiter_id bigint, waiter_token bigint, awaited_id bigint) RETURNS TABLE(id bigint, token bigint, message json, lane pgqueue.lane)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._claim_limited(worker_id integer, kind pgqueue.message_kind, from_queue text, max_count integer, role_limit integer, held jsonb) RETURNS TABLE(id bigint, token bigint, queue text, earlier_deliveries integer, message json, lane pgqueue.lane)
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._claim_lost(id bigint) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._claim_one(worker_id integer, job_id bigint, is_delivery boolean) RETURNS TABLE(id bigint, token bigint, message json, lane pgqueue.lane)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.configured (
    setting text NOT NULL,
    queue text NOT NULL,
    role oid DEFAULT 0 NOT NULL,
    value text NOT NULL,
    pruned_to timestamp with time zone,
    CONSTRAINT configured_of_all_is_an_administrators CHECK (((queue <> ''::text) OR (role = (0)::oid))),
    CONSTRAINT configured_queue_is_at_most_255_bytes CHECK ((octet_length(queue) <= 255))
);

COMMENT ON TABLE pgqueue.configured IS 'Settings of queues and of the database that differ from their defaults (pgqueue.configure)';

COMMENT ON COLUMN pgqueue.configured.queue IS 'The queue; empty: a setting of the database';

COMMENT ON COLUMN pgqueue.configured.role IS 'Whose jobs the value holds for. 0: for all, since an administrator has set it; then it counts before all others';

COMMENT ON COLUMN pgqueue.configured.pruned_to IS 'Of a retention: jobs that ended before were looked at';

CREATE TABLE pgqueue.queue_switch (
    name text NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    durability text,
    CONSTRAINT queue_durability_is_known CHECK ((durability = ANY (ARRAY['sync'::text, 'async'::text]))),
    CONSTRAINT queue_name_is_1_to_255_bytes CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 255)))
);

COMMENT ON TABLE pgqueue.queue_switch IS 'The switches that administrators have set for a queue; a queue that only has messages needs no row';

COMMENT ON COLUMN pgqueue.queue_switch.durability IS 'The durability of jobs of this queue that have none of their own; NULL as sync';

CREATE FUNCTION pgqueue._claim_policy(queue text) RETURNS TABLE(is_async boolean, group_commit integer, timeout interval, of_roles jsonb)
    LANGUAGE sql STABLE;

CREATE TABLE pgqueue.role_key (
    role oid NOT NULL,
    key text DEFAULT replace(((gen_random_uuid())::text || (gen_random_uuid())::text), '-'::text, ''::text) NOT NULL,
    seal_key text DEFAULT replace(((gen_random_uuid())::text || (gen_random_uuid())::text), '-'::text, ''::text) NOT NULL,
    enrolled_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    runner oid,
    group_runner oid,
    result_runner oid,
    runner_xid xid,
    over_quota text
);

COMMENT ON TABLE pgqueue.role_key IS 'Enrolled roles, and the secrets for their proofs and for the digests of their settings. Only the owner reads it';

COMMENT ON COLUMN pgqueue.role_key.runner IS 'The function that runs its jobs in the batch lane (pgqueue._make_runner). NULL: there is none';

COMMENT ON COLUMN pgqueue.role_key.group_runner IS 'The function that runs several of its jobs in one transaction (pgqueue._make_group_runner)';

COMMENT ON COLUMN pgqueue.role_key.result_runner IS 'The function that runs one of its jobs and returns its rows (pgqueue._make_result_runner)';

COMMENT ON COLUMN pgqueue.role_key.runner_xid IS 'The transaction that made it: a changed one has another';

COMMENT ON COLUMN pgqueue.role_key.over_quota IS 'The quota that the role exceeds: then none of its new messages is accepted. NULL: none. Upkeep writes it (pgqueue._note_usage)';

CREATE FUNCTION pgqueue._job_document(id bigint, token bigint, queue text, attempts smallint, submitter oid, sql text, params text[], settings jsonb, timeout interval, kept pgqueue.result_kept, label text) RETURNS json
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._lane(runner oid, kept pgqueue.result_kept, top_level boolean, settings jsonb, params text[], sql text) RETURNS pgqueue.lane
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._claimed_job(m pgqueue.message) RETURNS TABLE(id bigint, token bigint, message json, lane pgqueue.lane)
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._close_cron_schema(is_own boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._close_loopback() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._collect_results(new_ids text[], was_asleep boolean) RETURNS TABLE(asleep boolean, task_id text, state text, payload bytea)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan';

CREATE FUNCTION pgqueue._command_tag(sql text, row_count bigint) RETURNS text
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._complete_job(id bigint, token bigint, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb, has_committed boolean DEFAULT false) RETURNS pgqueue.ending
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._complete_sql_task(m pgqueue.message, row_count bigint, columns jsonb, rows jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._configured_for_all(name text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._configured_for_queue(queue text, submitter oid, name text) RETURNS text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._connect_loopback(name text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._consume(role oid, handle pgqueue.handle) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan';

CREATE FUNCTION pgqueue._consume_result(handle pgqueue.handle, is_held boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.dependency (
    parent bigint NOT NULL,
    child bigint NOT NULL,
    on_parent_failure text,
    CONSTRAINT dependency_is_between_two CHECK ((parent <> child)),
    CONSTRAINT dependency_on_parent_failure_is_known CHECK ((on_parent_failure = ANY (ARRAY['cancel'::text, 'run'::text])))
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

COMMENT ON TABLE pgqueue.dependency IS 'Which message (child) waits for the end of which job (parent), and which batch (child) has which unfinished job or task (parent). The transaction that ends the parent deletes the row';

COMMENT ON COLUMN pgqueue.dependency.child IS 'A job or a task with the state waiting, or a batch: all have their numbers from one sequence';

COMMENT ON COLUMN pgqueue.dependency.on_parent_failure IS 'If the parent does not succeed, cancel cancels the child, and run lets it run. NULL: the child is a batch';

CREATE FUNCTION pgqueue._continue_member(id bigint, new_id bigint) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._cookie_of(role oid, id bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._copy_schedules(entries jsonb, kept text) RETURNS SETOF jsonb
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._count_claimed(queue text, role oid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._count_held(held jsonb, roles oid[]) RETURNS jsonb
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._count_messages() RETURNS TABLE(queue text, kind text, state text, messages bigint, is_exact boolean, oldest_at timestamp with time zone)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._create_pg_background_1_8() RETURNS void
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._create_pg_background_2_0() RETURNS void
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._create_pg_cron() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._create_reader(signature text, call text) RETURNS void
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._create_v2_aliases(others oid[]) RETURNS void
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._cron_alter_job(job_id bigint, schedule text, command text, database text, username text, active boolean) RETURNS void
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._cron_field(field_text text, field integer) RETURNS integer[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._cut(value text, max_bytes integer) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.activity (
    id bigint NOT NULL,
    token bigint NOT NULL,
    worker_id integer NOT NULL,
    backend_pid integer NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    progress_pct integer,
    progress_msg text
);

COMMENT ON TABLE pgqueue.activity IS 'Jobs that run now. Logged, so that a standby shows them; written only for jobs that take a while, without waiting for the disk';

COMMENT ON COLUMN pgqueue.activity.token IS 'The token of the claim that runs: a run may be noted while it ends, and a row of another claim than the message''s is ignored';

CREATE TABLE pgqueue.history (
    id bigint NOT NULL,
    cookie bigint NOT NULL,
    session_id bigint,
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    launched_at timestamp with time zone NOT NULL,
    eta timestamp with time zone,
    started_at timestamp with time zone,
    ended_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    submitter oid NOT NULL,
    state pgqueue.job_state NOT NULL,
    kept pgqueue.result_kept NOT NULL,
    backend_pid integer,
    progress_pct integer,
    row_count bigint,
    priority smallint NOT NULL,
    attempts smallint NOT NULL,
    max_attempts smallint,
    queue text NOT NULL,
    sql text NOT NULL,
    label text,
    worker text,
    progress_msg text,
    command_tags text[],
    error jsonb,
    retried_from bigint,
    snoozes smallint
)
PARTITION BY RANGE (ended_at);

ALTER TABLE ONLY pgqueue.history REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.history IS 'Jobs that ended. Appended to, never updated; retention drops a day at a time';

COMMENT ON COLUMN pgqueue.history.xact IS 'The transaction that ended the job, so that statistics count it exactly once (pgqueue._fold_stats)';

COMMENT ON COLUMN pgqueue.history.snoozes IS 'As in the queue';

CREATE TABLE pgqueue.schedule (
    id bigint NOT NULL,
    owner oid NOT NULL,
    name text NOT NULL,
    expression text NOT NULL,
    cron text,
    every interval,
    timezone text NOT NULL,
    sql text,
    params text[],
    settings jsonb,
    timeout interval,
    max_attempts smallint,
    backoff interval,
    task text,
    args jsonb,
    kwargs jsonb,
    sending jsonb,
    queue text NOT NULL,
    priority smallint NOT NULL,
    label text,
    jitter interval,
    starts_at timestamp with time zone,
    ends_at timestamp with time zone,
    overlap text NOT NULL,
    catch_up text NOT NULL,
    enabled boolean DEFAULT true NOT NULL,
    revision bigint DEFAULT 1 NOT NULL,
    anchor_at timestamp with time zone NOT NULL,
    consumed_until timestamp with time zone NOT NULL,
    next_at timestamp with time zone,
    later_at timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    passed_over integer DEFAULT 0 NOT NULL,
    planned_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    plan_at timestamp with time zone,
    last_at timestamp with time zone,
    last_message_id bigint,
    last_task_id text,
    error text,
    source text,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT schedule_catch_up_is_known CHECK ((catch_up = ANY (ARRAY['none'::text, 'last'::text, 'all'::text]))),
    CONSTRAINT schedule_is_cron_or_interval CHECK ((num_nonnulls(cron, every) = 1)),
    CONSTRAINT schedule_only_tasks_are_sent CHECK (((sending IS NULL) OR (task IS NOT NULL))),
    CONSTRAINT schedule_overlap_is_known CHECK ((overlap = ANY (ARRAY['skip'::text, 'queue'::text]))),
    CONSTRAINT schedule_runs_sql_or_task CHECK ((num_nonnulls(sql, task) = 1))
);

COMMENT ON TABLE pgqueue.schedule IS 'The schedules: jobs and tasks, and when each is enqueued. The next instants stand in the row, so that SQL alone fires them; workers work them out ahead';

COMMENT ON COLUMN pgqueue.schedule.expression IS 'As it was given; cron or every is what it means';

COMMENT ON COLUMN pgqueue.schedule.cron IS 'Five fields, or a schedule of Celery''s as text: crontab(...), solar(...), schedule(...)';

COMMENT ON COLUMN pgqueue.schedule.sending IS 'How a task is sent, beyond its arguments, queue and priority: its options, or the message that Celery has made of them';

COMMENT ON COLUMN pgqueue.schedule.revision IS 'Grows when the instants change, so that what a worker has worked out for an older expression is not taken';

COMMENT ON COLUMN pgqueue.schedule.anchor_at IS 'From where intervals are counted';

COMMENT ON COLUMN pgqueue.schedule.consumed_until IS 'Instants up to here have been fired, skipped or passed over, and do not come again, whatever the clock says';

COMMENT ON COLUMN pgqueue.schedule.later_at IS 'The instants after next_at, as far as a worker has worked them out';

COMMENT ON COLUMN pgqueue.schedule.passed_over IS 'How many due instants before next_at a worker left out of the plan, since only the last counts';

COMMENT ON COLUMN pgqueue.schedule.planned_until IS 'All instants up to here are known; infinity: there are no others';

COMMENT ON COLUMN pgqueue.schedule.plan_at IS 'When a worker has to work out the next instants; NULL: never';

COMMENT ON COLUMN pgqueue.schedule.last_message_id IS 'The message of the last run that was enqueued; while it is in the queue, that run has not ended';

COMMENT ON COLUMN pgqueue.schedule.error IS 'Why it is not fired: what only the evaluation finds, or that its owner may not submit';

COMMENT ON COLUMN pgqueue.schedule.source IS 'Which import has made it; NULL: it was made by hand, and no import touches it';

CREATE TABLE pgqueue.task_result (
    task_id text NOT NULL,
    stored_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    state text NOT NULL,
    content_type text NOT NULL,
    payload bytea NOT NULL
)
PARTITION BY RANGE (stored_at);

ALTER TABLE ONLY pgqueue.task_result REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.task_result IS 'States of Celery tasks. Rows are only appended: readers decide which of a task''s rows counts (pgqueue._task_results); retention drops a day at a time';

COMMENT ON COLUMN pgqueue.task_result.payload IS 'Celery''s result document, as its serializer wrote it, compressed if Celery compressed it';

COMMENT ON COLUMN pgqueue.schedules.name IS 'The name of the schedule, unique for its owner';

COMMENT ON COLUMN pgqueue.schedules.schedule IS 'The schedule as it was given: five fields of cron, a name such as @hourly, an interval, or one of Celery''s';

COMMENT ON COLUMN pgqueue.schedules.timezone IS 'The time zone in which the fields of cron are read';

COMMENT ON COLUMN pgqueue.schedules.next_at IS 'The next instant, before jitter. NULL: none is known, or there is none';

COMMENT ON COLUMN pgqueue.schedules.last_at IS 'The instant of the last run. NULL: it has not run';

COMMENT ON COLUMN pgqueue.schedules.last_job IS 'The number of the job or message of the last run. NULL: it has not run';

COMMENT ON COLUMN pgqueue.schedules.last_state IS 'The state of the last run: of a job as in pgqueue.jobs, of a task queued, running or its state in lower case. NULL: it has not run, or the state is not known any more';

COMMENT ON COLUMN pgqueue.schedules.enabled IS 'False: the schedule is paused';

COMMENT ON COLUMN pgqueue.schedules.error IS 'Why the schedule is not fired. NULL: no error';

COMMENT ON COLUMN pgqueue.schedules.owner IS 'The role that made the schedule, and as which its runs are submitted';

COMMENT ON COLUMN pgqueue.schedules.id IS 'The number of the schedule';

COMMENT ON COLUMN pgqueue.schedules.kind IS 'job: it runs SQL; task: it sends a Celery task';

COMMENT ON COLUMN pgqueue.schedules.runs IS 'The first 120 bytes of the SQL, or the name of the task. NULL for roles that are not members of the owner';

COMMENT ON COLUMN pgqueue.schedules.queue IS 'The queue of its jobs or tasks';

COMMENT ON COLUMN pgqueue.schedules.priority IS 'Their priority, 0 to 9';

COMMENT ON COLUMN pgqueue.schedules.label IS 'Their label. NULL: none';

COMMENT ON COLUMN pgqueue.schedules.overlap IS 'skip: no run begins while the last one has not ended; queue: runs do not wait for each other';

COMMENT ON COLUMN pgqueue.schedules.catch_up IS 'Which missed instants are run later: none, last or all';

COMMENT ON COLUMN pgqueue.schedules.jitter IS 'The longest random delay that is added to each instant. NULL: none';

COMMENT ON COLUMN pgqueue.schedules.starts_at IS 'The schedule has no instant before this. NULL: no bound';

COMMENT ON COLUMN pgqueue.schedules.ends_at IS 'The schedule has no instant after this. NULL: no bound';

COMMENT ON COLUMN pgqueue.schedules.cron IS 'The five fields of cron that the schedule means, or a schedule of Celery''s as text. NULL: it is an interval';

COMMENT ON COLUMN pgqueue.schedules.every IS 'The interval between two instants. NULL: it has fields of cron';

COMMENT ON COLUMN pgqueue.schedules.created_at IS 'When the schedule was made';

COMMENT ON COLUMN pgqueue.schedules.changed_at IS 'When it was last changed';

COMMENT ON COLUMN pgqueue.schedules.source IS 'The import that made the schedule, for example celery:shop. NULL: it was made by hand';

CREATE FUNCTION pgqueue._cron_job_of(job_id bigint, OUT name text, OUT owner text) RETURNS record
    LANGUAGE sql STABLE;

CREATE TABLE pgqueue.schedule_run (
    id bigint NOT NULL,
    schedule_id bigint NOT NULL,
    owner oid NOT NULL,
    name text NOT NULL,
    due_at timestamp with time zone NOT NULL,
    fired_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    missed integer DEFAULT 0 NOT NULL,
    is_manual boolean DEFAULT false NOT NULL,
    message_id bigint,
    task_id text,
    error text,
    CONSTRAINT schedule_run_outcome_is_known CHECK ((outcome = ANY (ARRAY['enqueued'::text, 'skipped'::text, 'missed'::text, 'refused'::text])))
);

COMMENT ON TABLE pgqueue.schedule_run IS 'The outcome of each due instant. Written in the transaction that enqueues the job and advances the schedule; retention deletes it';

CREATE FUNCTION pgqueue._cron_job_runs() RETURNS SETOF pgqueue.cron_job_run
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._cron_name(job_name text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._cron_number(word text, field integer) RETURNS integer
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._cron_of(expression text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._cron_schedule(job_name text, schedule text, command text, database text, username text, active boolean) RETURNS bigint
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._cron_unschedule(job_id bigint, job_name text) RETURNS boolean
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._current_session_id() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._dblink_connect(name text, server text) RETURNS text
    LANGUAGE sql;

CREATE FUNCTION pgqueue._dblink_connections() RETURNS text[]
    LANGUAGE sql;

CREATE FUNCTION pgqueue._dblink_disconnect(name text) RETURNS text
    LANGUAGE sql;

CREATE FUNCTION pgqueue._dblink_disconnect_unnamed() RETURNS text
    LANGUAGE sql;

CREATE FUNCTION pgqueue._dblink_exec(name text, command text) RETURNS text
    LANGUAGE sql;

CREATE FUNCTION pgqueue._dblink_is_closed() RETURNS boolean
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._dblink_query(name text, query text) RETURNS SETOF jsonb
    LANGUAGE sql;

CREATE FUNCTION pgqueue._dead_letter(held pgqueue.message, reason text, detail text DEFAULT NULL::text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._dead_letters(queue text, max_count integer) RETURNS TABLE(id bigint, name text, task_id text, submitter text, sent_at timestamp with time zone, origin text, reason text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb) RETURNS void
    LANGUAGE sql;

CREATE FUNCTION pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb) RETURNS void
    LANGUAGE sql;

CREATE TABLE pgqueue.queue (
    id bigint NOT NULL,
    name text NOT NULL,
    declared_by oid NOT NULL,
    durable boolean DEFAULT true NOT NULL,
    exclusive boolean DEFAULT false NOT NULL,
    auto_delete boolean DEFAULT false NOT NULL,
    arguments jsonb DEFAULT '{}'::jsonb NOT NULL,
    expires_after interval,
    message_ttl interval,
    max_deliveries integer,
    dead_letter_exchange text,
    dead_letter_routing_key text,
    used_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT queue_arguments_are_small CHECK ((octet_length((arguments)::text) <= 10000)),
    CONSTRAINT queue_dead_letters_have_an_address CHECK (((octet_length(dead_letter_exchange) <= 255) AND ((COALESCE(octet_length(dead_letter_routing_key), 1) >= 1) AND (COALESCE(octet_length(dead_letter_routing_key), 1) <= 255)))),
    CONSTRAINT queue_expires_in_range CHECK (((expires_after >= '00:00:00'::interval) AND (expires_after <= '1000 years'::interval))),
    CONSTRAINT queue_name_is_1_to_255_bytes CHECK (((octet_length(name) >= 1) AND (octet_length(name) <= 255))),
    CONSTRAINT queue_ttl_in_range CHECK (((message_ttl >= '00:00:00'::interval) AND (message_ttl <= '1000 years'::interval)))
);

COMMENT ON TABLE pgqueue.queue IS 'AMQP queues as they were declared; among those with the same name and declarer the last counts';

COMMENT ON COLUMN pgqueue.queue.declared_by IS 'The role to whose messages it applies. 0: all, because a worker or an administrator has declared it; then it has precedence';

COMMENT ON COLUMN pgqueue.queue.max_deliveries IS 'How often a task may be delivered; NULL: as pgqueue.max_deliveries says';

CREATE FUNCTION pgqueue._declared(queue text, role oid) RETURNS SETOF pgqueue.queue
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._defer_job(id bigint, token bigint, note text, delay interval, longest interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._delete_exchange(name text) RETURNS void
    LANGUAGE sql;

CREATE FUNCTION pgqueue._delete_queue(queue text, if_unused boolean, if_empty boolean) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.task_group (
    id text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    payload bytea NOT NULL
);

COMMENT ON TABLE pgqueue.task_group IS 'Groups of Celery tasks that were saved';

CREATE FUNCTION pgqueue._delete_task_group(group_id text) RETURNS void
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue._depend(ids bigint[], cookies bigint[], options pgqueue.job_options) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._held_key(id bigint, token bigint) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE UNLOGGED TABLE pgqueue.tracked_job (
    session_id bigint NOT NULL,
    pid integer NOT NULL,
    id bigint NOT NULL,
    cookie bigint NOT NULL,
    submitter oid NOT NULL,
    kept pgqueue.result_kept NOT NULL,
    queue_size integer NOT NULL,
    is_spared boolean DEFAULT false NOT NULL,
    tracked_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE pgqueue.tracked_job IS 'Jobs launched with pg_background''s calls and neither read nor detached. Unlogged: no session outlives the server. Retention removes those of ended sessions';

COMMENT ON COLUMN pgqueue.tracked_job.is_spared IS 'Its result was requested in a way that does not fit, perhaps with a handle that is lost: it no longer counts for pg_background.max_workers';

CREATE FUNCTION pgqueue._describe_tracked(job pgqueue.tracked_job, sql_length integer) RETURNS jsonb
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue._detach(role oid, handle pgqueue.handle) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._dispatch() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._do_upkeep(part text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._doze(run_key bigint, since timestamp with time zone, left_s double precision) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._drain(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._drop_binding(holder oid, unwanted_queue text, unwanted_exchange text, unwanted_key text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._drop_compat(schema text, extension text, behavior text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._drop_exchange(holder oid, unwanted text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._drop_partitions(older_than interval) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._drop_queue(queue text, if_unused boolean, if_empty boolean) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._drop_runner(role oid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._due_if_replaced(there pgqueue.message, on_conflict text, due_at timestamp with time zone, unique_for interval, now_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._due_instants(s pgqueue.schedule, due_until timestamp with time zone, OUT instants timestamp with time zone[], OUT latest timestamp with time zone, OUT missed integer) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._duration_bounds() RETURNS double precision[]
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._end_batch_if_done(batch_id bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._end_hold(is_done boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._end_job(id bigint, state pgqueue.job_state, error jsonb) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._end_member(m pgqueue.message) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._end_of_reading(job jsonb, old_settings jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._end_sql_task(m pgqueue.message, outcome jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._end_task(m pgqueue.message, state text, reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._ended_job(id bigint) RETURNS pgqueue.history
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan';

CREATE FUNCTION pgqueue._ended_jobs(ids bigint[], detailed integer) RETURNS TABLE(id bigint, label text, preview text, attempts integer, state text, started_at double precision, ended_at double precision, command_tag text, error jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._ending_steps(is_deferring text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._enqueue(kept pgqueue.result_kept, settings jsonb, sql text, params text[], options pgqueue.job_options) RETURNS pgqueue.handle
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._enqueue_for_trigger(argv text[], settings jsonb, op text, table_schema text, table_name text, new_row jsonb, old_row jsonb, params text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._enqueue_many(kept pgqueue.result_kept, settings jsonb, sql text[], params text[], options pgqueue.job_options, unique_keys text[], rows text[] DEFAULT NULL::text[]) RETURNS SETOF pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._enroll_member(role oid) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._enroll_self() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._enter_job(id bigint, token bigint, names text[], setting_values text[]) RETURNS void
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._error_info(want_pid integer, want_cookie bigint, OUT sqlstate text, OUT message text, OUT detail text, OUT hint text, OUT context text, OUT schema_name text, OUT table_name text, OUT column_name text, OUT constraint_name text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._error_of(handle pgqueue.handle, answer jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._estimate_messages(percent double precision, max_rows integer, max_lines integer) RETURNS TABLE(queue text, kind text, state text, messages bigint, is_exact boolean, oldest_at timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET max_parallel_workers_per_gather TO '0'
    SET jit TO 'off';

CREATE FUNCTION pgqueue._every_of(expression text) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.exchange (
    id bigint NOT NULL,
    name text NOT NULL,
    declared_by oid NOT NULL,
    type text NOT NULL,
    durable boolean NOT NULL,
    auto_delete boolean NOT NULL,
    arguments jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT exchange_arguments_are_small CHECK ((octet_length((arguments)::text) <= 10000)),
    CONSTRAINT exchange_name_is_at_most_255_bytes CHECK ((octet_length(name) <= 255)),
    CONSTRAINT exchange_type_is_known CHECK ((type = ANY (ARRAY['direct'::text, 'topic'::text, 'fanout'::text])))
);

COMMENT ON TABLE pgqueue.exchange IS 'AMQP exchanges as they were declared, shared by all processes; among those with the same name and declarer the last counts';

COMMENT ON COLUMN pgqueue.exchange.declared_by IS 'The role whose messages it routes. 0: all';

CREATE FUNCTION pgqueue._exchange_exists(name text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER;

CREATE FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) RETURNS record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._executor_login(OUT role text, OUT password text) RETURNS record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._executor_name() RETURNS text
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._task_expiry(sending jsonb, due_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql;

CREATE FUNCTION pgqueue._expire_at(sending jsonb, due_at timestamp with time zone, queue text, role oid) RETURNS timestamp with time zone
    LANGUAGE sql;

CREATE FUNCTION pgqueue._expire_messages(queues text[], max_count integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._expire_queues() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._expire_task_results() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._fail_any_job(id bigint, token bigint, error jsonb) RETURNS pgqueue.ending
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._fail_for_good(m pgqueue.message, error jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._fail_job(id bigint, token bigint, error jsonb, run_s double precision DEFAULT NULL::double precision) RETURNS pgqueue.ending
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._fail_sql_task(m pgqueue.message, state pgqueue.job_state, error jsonb) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.upkeep_failure (
    part text NOT NULL,
    failing_since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    failed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    message text NOT NULL
);

COMMENT ON TABLE pgqueue.upkeep_failure IS 'Parts of the upkeep whose last attempt failed';

CREATE FUNCTION pgqueue._failing_upkeep() RETURNS TABLE(part text, failing_since timestamp with time zone, message text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._matches(value text, filter text) RETURNS boolean
    LANGUAGE sql IMMUTABLE;

CREATE TABLE pgqueue.failed_job (
    id bigint NOT NULL,
    ended_at timestamp with time zone NOT NULL,
    submitter oid NOT NULL,
    queue text NOT NULL,
    label text,
    sqlstate text NOT NULL,
    error text,
    kept pgqueue.result_kept NOT NULL,
    top_level boolean NOT NULL,
    priority smallint NOT NULL,
    max_attempts smallint,
    sql text,
    params text[],
    settings jsonb,
    timeout interval,
    backoff interval,
    unique_key text,
    limit_key text,
    retried_as bigint,
    CONSTRAINT failed_job_can_run_again CHECK (((retried_as IS NULL) = (num_nonnulls(sql, settings) = 2))),
    CONSTRAINT failed_job_gives_its_content_away CHECK (((retried_as IS NULL) OR (num_nonnulls(sql, params, settings, error) = 0)))
);

COMMENT ON TABLE pgqueue.failed_job IS 'Jobs that failed for good: what pgqueue.retry needs to run them again. It has parameters of statements, so it may have personal data; retention deletes it, and pgqueue.discard_jobs does so earlier';

COMMENT ON COLUMN pgqueue.failed_job.ended_at IS 'As in the history';

COMMENT ON COLUMN pgqueue.failed_job.error IS 'The message of the error, for searches';

COMMENT ON COLUMN pgqueue.failed_job.retried_as IS 'The job that runs it again, which has the content now. The row says that a failure is retried once';

CREATE FUNCTION pgqueue._failures_to_explain(o pgqueue.job_order) RETURNS SETOF pgqueue.failed_job
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._setting_fault(name text, value text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._faulty_settings() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._fetch_result(handle pgqueue.handle, may_hold boolean DEFAULT false, OUT seq bigint, OUT answer jsonb) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._find_key_owner(k pgqueue.keyed_outbox) RETURNS oid
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._find_parents(role oid, parents pgqueue.handle[], OUT unfinished bigint[], OUT committed bigint[], OUT unsuccessful bigint[]) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._find_schedule(owner oid, name text) RETURNS pgqueue.schedule
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._find_tracked(role oid, args jsonb) RETURNS pgqueue.tracked_job
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._finish_chord(group_id text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._finish_other(id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._fire(ids bigint[], due_until timestamp with time zone, is_manual boolean, refusal text) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._fire_schedules(max_count integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._first_block(part regclass, since timestamp with time zone, OUT first bigint, OUT blocks bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan';

CREATE FUNCTION pgqueue._fit_casts(answer jsonb, casts text[], misfit text) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._fleet_lease() RETURNS interval
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._fold_stats() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_batches(ended_before timestamp with time zone) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_cron_run() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_dropped_roles() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_earlier_runs(ids bigint[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_failures(ended_before timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.fleet_host (
    host text NOT NULL,
    instance uuid NOT NULL,
    pid integer NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    processes jsonb DEFAULT '[]'::jsonb NOT NULL,
    CONSTRAINT fleet_host_is_1_to_255_bytes CHECK (((octet_length(host) >= 1) AND (octet_length(host) <= 255)))
);

COMMENT ON TABLE pgqueue.fleet_host IS 'The hosts with `pgqueue fleet`, and the processes that they have, as they report';

COMMENT ON COLUMN pgqueue.fleet_host.instance IS 'The process of `pgqueue fleet` that has the host: of two with the same name one waits';

CREATE FUNCTION pgqueue._forget_fleet_hosts() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_keys() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_limits() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_receipts() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_scale_requests() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_schedule_runs(older_than interval) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_sql_tasks(ended_before timestamp with time zone) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._forget_task_result(task_id text) RETURNS void
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue._forward_notices(notices jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._full_sql(want_pid integer, want_cookie bigint) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._gate(op text, role oid, nonce bigint, request text, proof text) RETURNS SETOF jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._give_up(m pgqueue.message, error jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._give_up_queue(holder oid, queue text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._goes_straight(exchange text, routing_key text, eta timestamp with time zone) RETURNS boolean
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._grant_background(member text, is_grant boolean, print_commands boolean) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._groupable_job(role oid, group_commit integer, of_roles jsonb) RETURNS json
    LANGUAGE sql STABLE;

CREATE TABLE pgqueue.chord (
    group_id text NOT NULL,
    size integer,
    added integer DEFAULT 0 NOT NULL,
    returned integer DEFAULT 0 NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    dispatched_at timestamp with time zone
);

COMMENT ON TABLE pgqueue.chord IS 'Chords: how many parts they have, how many have returned, and whether the callback was sent';

COMMENT ON COLUMN pgqueue.chord.size IS 'Known once the last part was sent; parts may return before';

COMMENT ON COLUMN pgqueue.chord.added IS 'Parts that tasks of the chord added to it';

CREATE FUNCTION pgqueue._grow_chord(group_id text, lifetime interval) RETURNS void
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue._hand_in(kept pgqueue.result_kept, settings jsonb, sql text, params text[], options pgqueue.job_options) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._queue_channel(queue text) RETURNS text
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._hand_over(queue text) RETURNS void
    LANGUAGE sql;

CREATE FUNCTION pgqueue._handle_of(job jsonb) RETURNS pgqueue.handle
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._handles_in(value jsonb) RETURNS pgqueue.handle[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._has_part(value text, filter text) RETURNS boolean
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._has_ready_job(queue text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._has_schedules_to_plan() RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._lock_class(purpose text) RETURNS integer
    LANGUAGE sql IMMUTABLE;

CREATE TABLE pgqueue.worker (
    id integer NOT NULL,
    name text NOT NULL,
    pid integer NOT NULL,
    executors integer NOT NULL,
    queues text[] DEFAULT '{}'::text[] NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    items_processed bigint DEFAULT 0 NOT NULL,
    last_run_at timestamp with time zone,
    lost_at timestamp with time zone,
    successor integer,
    login oid DEFAULT ((quote_ident((SESSION_USER)::text))::regrole)::oid NOT NULL,
    relays_to text[],
    relays_jobs boolean DEFAULT false NOT NULL,
    kinds pgqueue.message_kind[] DEFAULT '{job,task}'::pgqueue.message_kind[] NOT NULL
);

COMMENT ON TABLE pgqueue.worker IS 'Processes that consume. A worker is alive as long as the session with its pid holds the advisory lock (pgqueue._lock_class_worker, id)';

COMMENT ON COLUMN pgqueue.worker.lost_at IS 'When its session was first seen to be gone; -infinity: its process reported it';

COMMENT ON COLUMN pgqueue.worker.successor IS 'The number under which its process has last registered again';

COMMENT ON COLUMN pgqueue.worker.login IS 'The role that its session has logged in as: an administrator who observes acts for its own only';

COMMENT ON COLUMN pgqueue.worker.relays_to IS 'Of a relay: the brokers to which it sends, without logins and passwords. NULL: the worker is no relay';

COMMENT ON COLUMN pgqueue.worker.relays_jobs IS 'Of a relay: whether it claims SQL jobs too, and sends a wake-up for each (pgqueue._take_over_job)';

COMMENT ON COLUMN pgqueue.worker.kinds IS 'The kinds of messages that it claims from its queues: one with --no-tasks leaves the Celery tasks in them. It claims jobs only if it has executors too, or sends wake-ups for them';

CREATE FUNCTION pgqueue._has_takers(queue text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._has_task_takers(queue text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._reading_settings(settings jsonb) RETURNS jsonb
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._typed_columns(columns jsonb, stranger oid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._head_of_result(role oid, ended pgqueue.history, columns jsonb, output_settings jsonb, notices jsonb) RETURNS jsonb
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._import_schedule(o pgqueue.schedule_order) RETURNS pgqueue.schedule_order
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._import_schedules(source text, entries jsonb, is_dry boolean) RETURNS TABLE(name text, outcome text, problem text, hint text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._inheritable_names() RETURNS text[]
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._inherited_timeout(captured jsonb) RETURNS interval
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._interval_argument(arguments jsonb, name text) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_acceptable(m pgqueue.message) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_at_home() RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_canceled(role oid, handle pgqueue.handle) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_given_up(id bigint, max_attempts integer) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_intact(runner oid, runner_xid xid, role oid) RETURNS boolean
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._is_key_taken(role oid, key text, except_id bigint DEFAULT NULL::bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_operator(role oid) RETURNS boolean
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._is_own_event(payload json) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_own_queue(queue text, holder oid) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_own_row(xmin xid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_plain(relation oid, columns text[]) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_plain_call(options pgqueue.job_options) RETURNS boolean
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._is_plain_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, headers jsonb, link text, errback text, limit_key text, unique_key text, unique_for interval, on_conflict text, after pgqueue.handle[], on_parent_failure text, batch bigint) RETURNS boolean
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._is_plain_trigger(argv text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._is_present(worker_id integer) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_raised_in_run(error jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_revoked_by_worker(payload json) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_sealed_outcome(task_id text, seal text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._is_traceparent(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._is_usual_job(cookie bigint, sql text, params text[], settings jsonb) RETURNS boolean
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._is_usual_queue(queue text) RETURNS boolean
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._is_worker_login() RETURNS boolean
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._job_log_of(role oid, handle pgqueue.handle) RETURNS SETOF jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._job_message(id bigint, token bigint, queue text, priority smallint, deliveries smallint, attempts smallint, submitter oid, sql text, params text[], settings jsonb, timeout interval, kept pgqueue.result_kept, label text) RETURNS json
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._job_steps(job_id text, is_deferring text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._job_totals() RETURNS TABLE(queue text, succeeded bigint, failed bigint, canceled bigint, expired bigint, wait_seconds double precision, run_seconds double precision, wait_counts bigint[], run_counts bigint[])
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._jobs_of(sql text[], params text[], unique_keys text[], rows text[]) RETURNS TABLE(n bigint, statement text, row_params text[], unique_key text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._jobs_to_cancel(o pgqueue.job_order, by_administrator boolean, launched_until timestamp with time zone, max_count integer) RETURNS TABLE(id bigint, worker_id integer, is_claimed boolean)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan';

CREATE FUNCTION pgqueue._json_value(type oid, value text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._keep_captured(content text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._keep_claims(worker_id integer, ids bigint[], begun bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._keep_key(id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._keep_notices(id bigint, token bigint, notices jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._kept_error(error jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._kept_jobs(ids bigint[], tokens bigint[]) RETURNS TABLE(id bigint, priority integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off';

CREATE FUNCTION pgqueue._keyed_jobs(k pgqueue.keyed_set) RETURNS TABLE(place bigint, count bigint, statement text, params text[], unique_key text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._keyed_roles(kind pgqueue.message_kind, queue text) RETURNS oid[]
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._keys_after(kind pgqueue.message_kind, queue text, role oid, after text, max_count integer) RETURNS text[]
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._known_setting() RETURNS TABLE(setting text, kind text, fallback text, least_value text, greatest_value text, of_database boolean, of_queue boolean)
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._settings() RETURNS jsonb
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._known_settings(backend_pid integer, captured jsonb) RETURNS jsonb
    LANGUAGE sql;

CREATE FUNCTION pgqueue._knows_queue(queue text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._kwargs_repr(kwargs jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._launch(role oid, args jsonb) RETURNS pgqueue.handle
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._launch_and_wait(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT finished boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._launch_tracked(role oid, args jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._lead_or_follow(kinds text[], queues text[], steady boolean[], OUT asleep boolean, OUT seconds_to_next_due double precision, OUT roles text[]) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._leader_key(kind text, queue text) RETURNS integer
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._leave_fleet(host text, instance uuid) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s';

CREATE FUNCTION pgqueue._limit(name text, fallback integer) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.limit_rule (
    queue text NOT NULL,
    role oid DEFAULT 0 NOT NULL,
    max_running integer,
    per_key integer,
    rate integer,
    period interval,
    burst integer,
    CONSTRAINT limit_rule_limits_something CHECK ((num_nonnulls(max_running, per_key, rate) > 0)),
    CONSTRAINT limit_rule_max_running_in_range CHECK (((max_running >= 0) AND (max_running <= 10000))),
    CONSTRAINT limit_rule_per_key_in_range CHECK (((per_key >= 1) AND (per_key <= 10000))),
    CONSTRAINT limit_rule_queue_is_1_to_255_bytes CHECK (((octet_length(queue) >= 1) AND (octet_length(queue) <= 255))),
    CONSTRAINT limit_rule_rate_in_range CHECK ((((rate >= 1) AND (rate <= 1000000)) AND ((burst >= 1) AND (burst <= 1000000)) AND ((period >= '00:00:01'::interval) AND (period <= '366 days'::interval)))),
    CONSTRAINT limit_rule_rate_is_whole CHECK ((num_nonnulls(rate, period, burst) = ANY (ARRAY[0, 3])))
);

COMMENT ON TABLE pgqueue.limit_rule IS 'The limits that pgqueue.set_limit has set';

COMMENT ON COLUMN pgqueue.limit_rule.role IS 'To whose messages they apply. 0: to all, since an administrator has set them; then they count before all others';

CREATE FUNCTION pgqueue._limit_turns(rule pgqueue.limit_rule, role oid, is_total boolean, keys text[]) RETURNS pgqueue.limit_turn[]
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._limited_among(kind pgqueue.message_kind, queues text[]) RETURNS text[]
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._limited_queues(queues text[]) RETURNS text[]
    LANGUAGE sql;

CREATE FUNCTION pgqueue._line_bytes(message text, detail text, hint text) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    RETURN (((COALESCE(octet_length(message), 0))::bigint + COALESCE(octet_length(detail), 0)) + COALESCE(octet_length(hint), 0));

;

CREATE FUNCTION pgqueue._link(role oid, ids bigint[], after pgqueue.handle[], on_parent_failure text, batch bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._list_scheduled(queues text[], max_count integer) RETURNS TABLE(queue text, eta text, priority integer, message json)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._list_tracked(criteria jsonb DEFAULT '{}'::jsonb, OUT pid integer, OUT cookie bigint, OUT launched_at timestamp with time zone, OUT user_id oid, OUT queue_size integer, OUT state text, OUT sql_preview text, OUT last_error text, OUT consumed boolean, OUT label text, OUT backend_pid integer) RETURNS SETOF record
    LANGUAGE sql;

CREATE FUNCTION pgqueue._locate(role oid, handle pgqueue.handle, wrong_cookie text, by_administrators boolean DEFAULT false, OUT live boolean, OUT state pgqueue.job_state, OUT kept pgqueue.result_kept, OUT worker_id integer, OUT running boolean, OUT run_key bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._lock_continued(id bigint, token bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._lock_failed_job(o pgqueue.job_order, by_administrator boolean) RETURNS pgqueue.failed_job
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._lock_job(id bigint, token bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.unique_hold (
    submitter oid NOT NULL,
    kind pgqueue.message_kind NOT NULL,
    unique_key text NOT NULL,
    message_id bigint,
    cookie bigint,
    task_id text,
    free_at timestamp with time zone
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.05');

COMMENT ON TABLE pgqueue.unique_hold IS 'For each unique key of a role the job, and the Celery task, that was submitted last with it. The key is taken while that message is in the queue, and until free_at. Only calls with a key write it; upkeep deletes what is free';

COMMENT ON COLUMN pgqueue.unique_hold.message_id IS 'The message. NULL: the transaction that made the row is about to name it';

COMMENT ON COLUMN pgqueue.unique_hold.cookie IS 'The cookie of the job, for the handle when the job has ended';

COMMENT ON COLUMN pgqueue.unique_hold.task_id IS 'Of a Celery task: its id. A retry that the task sends itself has the same, and takes the key over';

COMMENT ON COLUMN pgqueue.unique_hold.free_at IS 'The key is taken until then, whether or not the message has ended (unique_for). NULL: no longer than the message is there';

CREATE FUNCTION pgqueue._lock_key(role oid, kind pgqueue.message_kind, key text) RETURNS pgqueue.unique_hold
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._lock_keys(role oid, keys text[]) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._lock_waiting(ids bigint[]) RETURNS SETOF pgqueue.message
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._lock_with_dependants(ids bigint[]) RETURNS SETOF bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off';

CREATE FUNCTION pgqueue._loopback_conninfo(host text, port text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._loopback_name() RETURNS text
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue._loopback_options() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._loopback_places() RETURNS TABLE(host text, port text)
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._lowest_tracked(session bigint) RETURNS integer
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._make_background_role() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._make_batch() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._make_counts(rule pgqueue.limit_rule, role oid, is_total boolean, keys text[]) RETURNS boolean
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._make_group_runner(role oid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._make_partitions() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._make_result_runner(role oid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._make_runner(role oid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._make_worker_login(OUT role text, OUT password text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._max_attempts(m pgqueue.message) RETURNS smallint
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._worker_number(name text, fallback integer, least_value integer, greatest_value integer) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._max_deliveries(queue text, submitter oid) RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER;

CREATE FUNCTION pgqueue._may_be_bounded(queues text[], excess_seconds double precision) RETURNS boolean
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._may_enter(submitter oid, queue text, payload json) RETURNS boolean
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._may_keep_result(role oid) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._may_log_in(role oid) RETURNS boolean
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._member_settings() RETURNS jsonb
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._message_to_send(sending jsonb, task text, args jsonb, kwargs jsonb, queue text, priority integer, due_at timestamp with time zone, task_id text) RETURNS json
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._message_ttl(queue text, submitter name) RETURNS interval
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._messages(max_pages integer DEFAULT 300, max_rows integer DEFAULT 1000) RETURNS TABLE(queue text, kind text, state text, messages bigint, is_exact boolean, oldest_at timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._minute_key(key text, minutes_ago integer) RETURNS text
    LANGUAGE sql;

CREATE FUNCTION pgqueue._misfit(answer jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._naptime() RETURNS interval
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._needs_top_level(error jsonb, sql text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._new_role_steps() RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._nth_of(anchor timestamp with time zone, every interval, instant timestamp with time zone) RETURNS bigint
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._next_by_interval(anchor timestamp with time zone, every interval, after timestamp with time zone, ends_at timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._next_of_keys(kind pgqueue.message_kind, queue text, role oid, keys text[], shares integer[]) RETURNS TABLE(id bigint, place integer, nth integer)
    LANGUAGE plpgsql ROWS 100;

CREATE FUNCTION pgqueue._next_of_role(kind pgqueue.message_kind, queue text, role oid, max_count integer, bounds jsonb, above bigint) RETURNS TABLE(id bigint, rank bigint)
    LANGUAGE plpgsql ROWS 1;

CREATE FUNCTION pgqueue._next_overdue(kind pgqueue.message_kind, queue text, max_count integer, bounds jsonb, role_limit integer, held jsonb) RETURNS TABLE(id bigint)
    LANGUAGE plpgsql ROWS 1;

CREATE FUNCTION pgqueue._next_queues(kind pgqueue.message_kind, queues text[], max_count integer, is_cheap boolean, role_limit integer, held jsonb, OUT chosen text[], OUT rest text[]) RETURNS record
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._next_ready(kind pgqueue.message_kind, queue text, max_count integer, bounds jsonb, role_limit integer, held jsonb) RETURNS TABLE(id bigint, place bigint)
    LANGUAGE plpgsql ROWS 1;

CREATE FUNCTION pgqueue._nobody_sleeps(queue text) RETURNS boolean
    LANGUAGE sql;

CREATE FUNCTION pgqueue._note_attempt(m pgqueue.message, error jsonb, started_at timestamp with time zone, worker text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._note_binding(holder oid, wanted_queue text, wanted_exchange text, wanted_key text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._note_exchange(holder oid, wanted_name text, wanted jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._note_limit_wait(seconds double precision) RETURNS void
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._note_members(ids bigint[], have_succeeded boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._note_queue(holder oid, wanted_name text, wanted jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._note_receipts(source text, ids text[]) RETURNS SETOF text
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._note_roles() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._note_run(id bigint, token bigint, pid integer, run_s double precision) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._note_usage() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._notify_at_commit(channel text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._number_as_name(id bigint) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN ('pg_cron job '::text || id);

;

CREATE FUNCTION pgqueue._objects_like_pg_background(schema_name text) RETURNS TABLE(kind text, oid oid, signature text, is_helper boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._open_batch(role oid, batch_id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._options(queue text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, label text DEFAULT NULL::text) RETURNS pgqueue.job_options
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._outcome(want_pid integer, want_cookie bigint, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._outcome_of(job jsonb, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) RETURNS record
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._outcome_seal(seal_key text, task_id text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._over_loopback(op text, role oid, nonce bigint, request text, proof text, holds boolean DEFAULT false, closes boolean DEFAULT false) RETURNS SETOF jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._overdue_schedule() RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._oversee(ids bigint[], tokens bigint[], pids integer[], least_ms integer, grace_ms integer) RETURNS TABLE(id bigint, token bigint, pid integer, run_for_ms double precision, is_canceled boolean, is_overdue boolean, is_final boolean, xact bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off';

CREATE FUNCTION pgqueue._own_sleep_locks(OUT sleeps integer[], OUT waits integer[], OUT leads integer[], OUT follows integer[]) RETURNS record
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._owner_fault(role oid) RETURNS text
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._partition_name(parent text, day date) RETURNS text
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._pause_schedules_of(role oid) RETURNS void
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._peek(queue text, max_count integer) RETURNS TABLE(id bigint, kind text, name text, state text, submitter text, priority integer, launched_at timestamp with time zone, eta timestamp with time zone, deliveries integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._prints_alike(json_text text) RETURNS boolean
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._plain_task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, task_id text, ignore_result boolean) RETURNS json
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._plan_schedules(plans jsonb) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._postpone(id bigint, token bigint, due_at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._progress_of(role oid, handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._progress_of_tracked(want_pid integer, want_cookie bigint, OUT progress_pct integer, OUT progress_msg text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._promote(max_count integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._promote_followers(kind text, queue text, max_count integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._prune_history() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._prune_schedule(o pgqueue.schedule_order) RETURNS pgqueue.schedule_order
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._publish(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text DEFAULT NULL::text) RETURNS integer
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._publish_keyed(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text, unique_key text, unique_for interval, on_conflict text, dependence jsonb, OUT reached integer, OUT task_id text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._purge(queue text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._put_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], options pgqueue.job_options, cookie bigint) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._put_keyed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._put_keyed_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], options pgqueue.job_options, cookie bigint, due_at timestamp with time zone) RETURNS pgqueue.handle
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._put_keyed_set() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan';

CREATE FUNCTION pgqueue._put_message(k pgqueue.keyed_outbox) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._put_notices(m pgqueue.message, notices jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._put_off(id bigint, token bigint, delay_ms bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._put_result(m pgqueue.message, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._put_row_job() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._put_schedule(o pgqueue.schedule_order) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._put_task(submitter oid, queue text, message json, priority integer, due_at timestamp with time zone, expires timestamp with time zone, limit_key text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._python_repr(value jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._python_string_repr(value text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._queue_consumers(queue text) RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER;

CREATE FUNCTION pgqueue._queue_exists(queue text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER;

CREATE FUNCTION pgqueue._queue_size(queue text) RETURNS integer
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._raise(error jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._raise_again(state text, message text, detail text, hint text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._raise_bounds(bounds jsonb, ids bigint[], must_lower boolean) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._raise_tracked(pid integer, error jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._raiser(said_at text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._random_bigint() RETURNS bigint
    LANGUAGE sql;

CREATE FUNCTION pgqueue._rank(priority smallint, id bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._read_result(handle pgqueue.handle) RETURNS TABLE(seq integer, answer jsonb)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._read_tracked(want_pid integer, want_cookie bigint, version text, OUT is_first boolean, OUT reader text, OUT rows jsonb, OUT tags text[], OUT answer jsonb, OUT job jsonb, OUT old_settings jsonb) RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._readdressed(payload json, exchange text, routing_key text) RETURNS json
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._ready_roles(kind pgqueue.message_kind, queue text, after oid, max_count integer, bounds jsonb) RETURNS oid[]
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._reclaim(max_deliveries integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._reclaim_grace() RETURNS interval
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._refuse_canceled(id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_change(what text, name text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_excess(role oid, over_quota text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_large_value() RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_loopback(loopback text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_message(m pgqueue.message) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_overdue(id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_params() RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_place() RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_result(what text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_runner(role oid) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_sql_task(task_id text, is_counted boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_stranger(role oid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_taken(unique_key text, held pgqueue.unique_hold, is_live boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_traceparent(value text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._refuse_virtual(relation oid, columns text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._register_worker(name text, executors integer, predecessor integer DEFAULT NULL::integer, ids bigint[] DEFAULT '{}'::bigint[], tokens bigint[] DEFAULT '{}'::bigint[], begun bigint[] DEFAULT '{}'::bigint[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._reject(ids bigint[], tokens bigint[], detail text DEFAULT NULL::text) RETURNS integer
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._relay_queues() RETURNS SETOF text
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._release(ids bigint[], tokens bigint[], undelivered boolean) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._release_dependant(job_id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._release_sorted(ids bigint[], tokens bigint[], have_begun boolean[]) RETURNS integer
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._release_waiting(ids bigint[], tokens bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._renumber_roles(old_numbers oid[], new_numbers oid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._repair_executor() RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._repair_home() RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._repair_loopback() RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._replace_leader(kinds text[], queues text[], OUT replaced boolean[]) RETURNS boolean[]
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._replace_waiting(there pgqueue.message, k pgqueue.keyed_outbox) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._report_fleet(host text, instance uuid, pid integer, processes jsonb) RETURNS TABLE(naptime double precision, is_held boolean, name text, wanted integer, queues text[], executors integer, concurrency integer, restart_after double precision, version bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '2s';

CREATE FUNCTION pgqueue._report_progress(caller text, pct integer, msg text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._reported_processes(processes jsonb) RETURNS TABLE(fleet text, number integer, worker text, pid integer, state text, started_at timestamp with time zone, restarts integer, last_exit text, next_start_at timestamp with time zone)
    LANGUAGE sql STABLE
    SET "DateStyle" TO 'ISO, MDY'
    SET "TimeZone" TO 'UTC'
    SET timezone_abbreviations TO 'Default';

CREATE FUNCTION pgqueue._request(handle pgqueue.handle) RETURNS jsonb
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._request_cancel(id bigint, token bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_enrolled() RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_home() RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_login(role oid) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_observable(queues text[]) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_observers_claim(worker_id integer, demand jsonb) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_operator(role oid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_own_worker(worker_id integer) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_part(role oid) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_quota(role oid) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_readable(want_pid integer, job jsonb, version text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._require_room(role oid, what text, present bigint) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._reset_session() RETURNS void
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._result_hint(answer jsonb) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._result_info(want_pid integer, want_cookie bigint, OUT row_count bigint, OUT command_tag text, OUT completed boolean, OUT has_error boolean, OUT started_at timestamp with time zone, OUT finished_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._result_of(role oid, handle pgqueue.handle, holds boolean DEFAULT false) RETURNS SETOF jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan';

CREATE FUNCTION pgqueue._result_reader(answer jsonb, casts text[] DEFAULT NULL::text[]) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._retried_jobs(ids bigint[]) RETURNS TABLE(id bigint, label text, preview text, attempts integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._retry_deferred(role oid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._retry_one(o pgqueue.job_order, by_administrator boolean) RETURNS pgqueue.job_order
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._retry_or_discard(o pgqueue.job_order, by_administrator boolean) RETURNS pgqueue.job_order
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off';

CREATE FUNCTION pgqueue._revoke_sql_tasks(task_ids text[], terminate boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._revoke_task(m pgqueue.message, reason text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._role_after(queue text) RETURNS oid
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._role_here(number oid) RETURNS oid
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._role_limit(OUT executors integer, OUT has_others boolean) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._role_timeout(of_roles jsonb, role oid) RETURNS interval
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._roles_without_runner() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._route(exchange text, routing_key text, submitter oid) RETURNS TABLE(queue text, message_ttl interval)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._row_params(argv text[], row_json jsonb, relation oid) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._row_params_query(argv text[]) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._row_secret() RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._run_ending(id bigint) RETURNS pgqueue.ending
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._run_key_of(id bigint, token bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._run_query(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, col_def text, OUT reader text, OUT pid integer, OUT cookie bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._run_tracked(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT run_label text, OUT launched_at timestamp with time zone, OUT timed_out boolean, OUT elapsed_ms bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._runner_step(error jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._running_message(id bigint, token bigint) RETURNS json
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._runs(id bigint, token bigint, pid integer) RETURNS boolean
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._runs_code(type oid, reader oid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._said_at(handle pgqueue.handle, answer jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._sample_waits(pids integer[], OUT waiting integer, OUT running integer) RETURNS record
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._save_task_group(group_id text, payload bytea, lifetime interval) RETURNS void
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue._say(level text, code text, message text, detail text, hint text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._say_what_stays(o pgqueue.job_order, may_see_all boolean, roles oid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._schedule_grace() RETURNS interval
    LANGUAGE sql IMMUTABLE
    RETURN '00:01:00'::interval;

;

CREATE FUNCTION pgqueue._schedule_lateness() RETURNS TABLE(active bigint, paused bigint, failing bigint, overdue bigint, seconds double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._schedules_to_plan(max_count integer) RETURNS TABLE(id bigint, revision bigint, cron text, timezone text, consumed_until timestamp with time zone, ends_at timestamp with time zone, is_all boolean, seen_at timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.function_file (
    name text NOT NULL,
    hash text NOT NULL,
    applied_by text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE pgqueue.function_file IS 'The files of functions and views that this database has, written by the installer';

COMMENT ON COLUMN pgqueue.function_file.hash IS 'SHA-256 of the file: one whose hash differs is applied again';

COMMENT ON COLUMN pgqueue.function_file.applied_by IS 'The version of the Python package that applied it';

CREATE TABLE pgqueue.migration (
    version integer NOT NULL,
    name text NOT NULL,
    applied_by text,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE pgqueue.migration IS 'The migrations that this database has, written by the installer';

COMMENT ON COLUMN pgqueue.migration.applied_by IS 'The version of the Python package that applied it';

CREATE FUNCTION pgqueue._schema_version() RETURNS integer[]
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._seal_step() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._sealed_by(step jsonb) RETURNS oid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._search_jobs(state text, queue text, label text, submitter text, statement text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, before bigint, max_count integer, patience interval) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan';

CREATE FUNCTION pgqueue._search_step(before bigint, part text, since timestamp with time zone, until timestamp with time zone, is_first boolean, OUT beginning bigint, OUT ending bigint) RETURNS record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan';

CREATE FUNCTION pgqueue._seconds_in(value jsonb) RETURNS interval
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._seconds_to_next_due() RETURNS double precision
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._seconds_to_next_schedule(overdue_before timestamp with time zone) RETURNS double precision
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._seeded_bigint(seed bytea, n bigint) RETURNS bigint
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._seen_columns(relation oid, columns text) RETURNS text
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._send_at(sending jsonb, jitter interval) RETURNS timestamp with time zone
    LANGUAGE sql;

CREATE FUNCTION pgqueue._send_notice() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._send_otherwise(task text, args jsonb, kwargs jsonb, task_id text, headers jsonb, ignore_result boolean, link text, errback text, options pgqueue.job_options) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._sending_of(headers jsonb, expires interval, ignore_result boolean, link text, errback text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._server_settings() RETURNS TABLE(setting text, value text, role oid, of_database boolean)
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._session_setting(name text, fallback text) RETURNS text
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._session_settings() RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_background_defaults(is_set boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_chord_size(group_id text, size integer, lifetime interval) RETURNS void
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue._set_limit() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_loopback(host text, port text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_paused(queue text, paused boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_progress(id bigint, token bigint, pct integer, msg text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_run_progress(id bigint, token bigint, pid integer, pct integer, msg text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_up() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_worker_executors(worker_id integer, executors integer) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_worker_kinds(worker_id integer, kinds pgqueue.message_kind[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_worker_queues(worker_id integer, queues text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._set_worker_targets(worker_id integer, targets text[], has_jobs boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._setting_steps(job_id text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._settings_holder(role oid) RETURNS oid
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._with_durability(settings jsonb, durability text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    RETURN CASE WHEN (durability = 'async'::text) THEN (settings || '{"synchronous_commit": "off"}'::jsonb) WHEN ((durability = 'sync'::text) AND (COALESCE((settings ->> 'synchronous_commit'::text), 'off'::text) = 'off'::text)) THEN (settings || '{"synchronous_commit": "on"}'::jsonb) ELSE settings END;

;

CREATE FUNCTION pgqueue._settings_of_job(settings jsonb, options pgqueue.job_options) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    RETURN (pgqueue._with_durability(pgqueue._inherited(settings), (options).durability) || CASE WHEN ((options).traceparent IS NULL) THEN '{}'::jsonb ELSE jsonb_build_object('pgqueue.traceparent', (options).traceparent) END);

;

CREATE FUNCTION pgqueue._settle_batch(batch_id bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._settle_child(child bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._settle_dependants(parents bigint[], have_succeeded boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off';

CREATE FUNCTION pgqueue._settle_here(is_elsewhere boolean) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._settle_members(ids bigint[], failed bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off';

CREATE FUNCTION pgqueue._settle_run(ids bigint[], tokens bigint[], error jsonb, is_jobs boolean, run_seconds double precision, pid integer) RETURNS TABLE(id bigint, token bigint, ending pgqueue.ending, label text, queue text, role text, attempt integer, traceparent text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._shape_digest(shape text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION pgqueue._shape_of_code(code text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION pgqueue._share_of_room(room integer, parts integer, most integer) RETURNS integer
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._shown(repr text) RETURNS text
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._slow_since() RETURNS timestamp with time zone
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._snooze_job(id bigint, token bigint, note text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._untrack_now(request jsonb) RETURNS integer
    LANGUAGE sql;

CREATE FUNCTION pgqueue._spare_tracked(job jsonb) RETURNS integer
    LANGUAGE sql;

CREATE FUNCTION pgqueue._sql_task_value(result text, row_count bigint, columns jsonb, rows jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._start_sql_task(id bigint, token bigint, step jsonb, previous text) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._state_rank(state text) RETURNS integer
    LANGUAGE sql IMMUTABLE;

CREATE FUNCTION pgqueue._statement_of(role oid, handle pgqueue.handle) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._statement_settings() RETURNS jsonb
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._statement_shape(sql text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._status(handle pgqueue.handle, wait jsonb DEFAULT '{}'::jsonb, OUT state pgqueue.job_state, OUT live boolean, OUT run_key bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._step_digest(seal_key text, step jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._step_down(kinds text[], queues text[], successors integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._step_options(step jsonb, queue text, priority integer) RETURNS pgqueue.job_options
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._step_params(step jsonb, previous text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._stop_awaiting(task_ids text[], was_asleep boolean) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._stop_run(id bigint, token bigint, pid integer, is_final boolean, behind_ids bigint[], behind_tokens bigint[], xact bigint DEFAULT NULL::bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off';

CREATE FUNCTION pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text DEFAULT '200ms'::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._submit_keyed(k pgqueue.keyed_outbox) RETURNS pgqueue.keyed_outbox
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._sum_counts(counts bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._suspect(ids bigint[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._suspect_unclaimed(ids bigint[], error jsonb) RETURNS pgqueue.ending
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._swap_settings(settings jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._take_over_job(worker_id integer, job_id bigint, claim bigint) RETURNS TABLE(id bigint, token bigint, message json, lane pgqueue.lane)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._take_role(role text) RETURNS text
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._take_sleep_locks(queues text[], sleeps integer[], waits integer[]) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._take_turns(kind pgqueue.message_kind, queue text, role oid, rule pgqueue.limit_rule, max_count integer, pending bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue._taken_keys(role oid, keys text[]) RETURNS TABLE(held pgqueue.unique_hold, is_live boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._task_document(content_type text, payload bytea) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._task_fates(task_ids text[], workers text[], seen_at double precision[]) RETURNS TABLE(task_id text, fate text, queue text, outcome jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._task_group(group_id text) RETURNS bytea
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue._task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, due_at timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) RETURNS json
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._task_name(payload json) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._task_results(task_ids text[]) RETURNS TABLE(task_id text, state text, content_type text, stored_at timestamp with time zone, payload bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan';

CREATE FUNCTION pgqueue._tell_of_snapshot(id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._tell_sent(message json, queue text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._tell_sql_task(task_id text, seal text, is_counted boolean) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._tell_wait(id bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._text_in(payload json, path text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._throughput() RETURNS TABLE(queue text, minutes_ago integer, succeeded bigint, failed bigint, is_estimate boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan';

CREATE FUNCTION pgqueue._tick(worker_id integer, items_processed bigint, last_run_at timestamp with time zone) RETURNS TABLE(naptime double precision, max_items integer, seconds_to_next_due double precision, seconds_to_next_schedule double precision, has_schedules_to_plan boolean, wanted_executors integer)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._tick_schedules() RETURNS TABLE(seconds_to_next_schedule double precision, has_schedules_to_plan boolean)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._time_allowed(timeout interval, settings jsonb) RETURNS interval
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._traced_jobs(ids bigint[], tokens bigint[]) RETURNS TABLE(id bigint, traceparent text, queue text, attempt integer, first_traceparent text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._track(kept pgqueue.result_kept, settings jsonb, sql text, queue_size integer, label text, OUT pid integer, OUT cookie bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._tracked(role oid, args jsonb) RETURNS SETOF jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._tracked_jobs(role oid, args jsonb) RETURNS SETOF pgqueue.tracked_job
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue._tracked_result(pid integer, cookie bigint) RETURNS SETOF record
    LANGUAGE plpgsql STRICT;

CREATE FUNCTION pgqueue._tracked_stats(OUT workers_launched bigint, OUT workers_completed bigint, OUT workers_failed bigint, OUT workers_canceled bigint, OUT workers_timed_out bigint, OUT workers_active integer, OUT avg_execution_ms double precision, OUT max_workers integer) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._transition_query(argv text[], op text, relation oid, trigger_name text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._trigger_after(options jsonb, row_json jsonb, table_schema text, table_name text) RETURNS pgqueue.handle[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._trigger_columns(argv text[]) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._trigger_job(argv text[], settings jsonb) RETURNS pgqueue.inbox
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._trigger_job_options(options jsonb) RETURNS pgqueue.job_options
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._trigger_key(options jsonb, kind text, row_json jsonb, table_schema text, table_name text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._trigger_options(argv text[]) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._try_upkeep(part text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._unbind(queue text, exchange text, routing_key text) RETURNS void
    LANGUAGE sql;

CREATE FUNCTION pgqueue._unregister_worker(worker_id integer, begun bigint[] DEFAULT '{}'::bigint[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._untrack(role oid, args jsonb) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._used_queues() RETURNS TABLE(queue text, paused boolean, consumers bigint)
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._usual_settings(role text) RETURNS jsonb
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._utc_text(instant timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._wait_any(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._wait_for_run(run_key bigint, max_ms bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._wait_on(handle pgqueue.handle, timeout interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._wait_tracked(want_pid integer, want_cookie bigint, timeout_ms integer) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._wake(queue text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._wake_for(queue text, due_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._wake_up(queues text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.scale_request (
    worker text NOT NULL,
    executors integer NOT NULL,
    requested_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    missing_since timestamp with time zone,
    CONSTRAINT scale_request_executors_are_1_to_1000 CHECK (((executors >= 1) AND (executors <= 1000)))
);

COMMENT ON TABLE pgqueue.scale_request IS 'How many executors workers were asked to have (pgqueue.scale). A worker reads its row at each tick; only administrators and upkeep write here, so a worker waits for no lock';

COMMENT ON COLUMN pgqueue.scale_request.worker IS 'The name of the worker, under which it comes back after a restart';

COMMENT ON COLUMN pgqueue.scale_request.missing_since IS 'When upkeep has first found no worker of this name';

CREATE FUNCTION pgqueue._wanted_executors(worker_id integer) RETURNS integer
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._with_death(payload json, queue text, reason text, exchange text, routing_key text, detail text) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._with_trace(headers jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._with_wait(request jsonb, since timestamp with time zone, left_s double precision DEFAULT 60) RETURNS jsonb
    LANGUAGE sql;

CREATE FUNCTION pgqueue._without_idle_key_options(options pgqueue.job_options) RETURNS pgqueue.job_options
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._without_runner(error jsonb, sql text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._worker_interval(name text, fallback interval, least_value interval, greatest_value interval) RETURNS interval
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._worker_setting(name text, fallback text) RETURNS text
    LANGUAGE sql STABLE;

CREATE FUNCTION pgqueue._write_end(m pgqueue.message, state pgqueue.job_state, error jsonb, command_tags text[], row_count bigint) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue._write_job_log(lines jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.alter_schedule(name text, schedule text DEFAULT NULL::text, sql text DEFAULT NULL::text, params text[] DEFAULT NULL::text[], args jsonb DEFAULT NULL::jsonb, kwargs jsonb DEFAULT NULL::jsonb, timezone text DEFAULT NULL::text, queue text DEFAULT NULL::text, priority integer DEFAULT NULL::integer, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, label text DEFAULT NULL::text, jitter interval DEFAULT NULL::interval, starts_at timestamp with time zone DEFAULT NULL::timestamp with time zone, ends_at timestamp with time zone DEFAULT NULL::timestamp with time zone, overlap text DEFAULT NULL::text, catch_up text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, expires interval DEFAULT NULL::interval, ignore_result boolean DEFAULT NULL::boolean, link text DEFAULT NULL::text, errback text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.backlog(queue text, max_count integer DEFAULT 10000) RETURNS integer
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off';

CREATE FUNCTION pgqueue.batch(label text DEFAULT NULL::text, on_success text DEFAULT NULL::text, on_failure text DEFAULT NULL::text, on_end text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.cancel(handle pgqueue.handle, grace interval DEFAULT '00:00:00'::interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.cancel_jobs(queue text DEFAULT NULL::text, label text DEFAULT NULL::text, state text DEFAULT NULL::text, sqlstate text DEFAULT NULL::text, error text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone, max_count integer DEFAULT NULL::integer) RETURNS bigint
    LANGUAGE sql;

CREATE FUNCTION pgqueue.configure(setting text, value text, queue text DEFAULT NULL::text) RETURNS void
    LANGUAGE sql;

CREATE FUNCTION pgqueue.detach(handle pgqueue.handle) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.discard_jobs(queue text DEFAULT NULL::text, label text DEFAULT NULL::text, state text DEFAULT NULL::text, sqlstate text DEFAULT NULL::text, error text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone, max_count integer DEFAULT NULL::integer) RETURNS bigint
    LANGUAGE sql;

CREATE FUNCTION pgqueue.enqueue(sql text, params text[] DEFAULT NULL::text[], queue text DEFAULT 'default'::text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, unique_key text DEFAULT NULL::text, label text DEFAULT NULL::text, durability text DEFAULT NULL::text, keep_result boolean DEFAULT false, traceparent text DEFAULT NULL::text, limit_key text DEFAULT NULL::text, after pgqueue.handle[] DEFAULT NULL::pgqueue.handle[], on_parent_failure text DEFAULT 'cancel'::text, batch bigint DEFAULT NULL::bigint, unique_for interval DEFAULT NULL::interval, on_conflict text DEFAULT 'keep'::text) RETURNS pgqueue.handle
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.enqueue_many(sql text[], params text[] DEFAULT NULL::text[], queue text DEFAULT 'default'::text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, unique_keys text[] DEFAULT NULL::text[], label text DEFAULT NULL::text, durability text DEFAULT NULL::text, keep_result boolean DEFAULT false, rows text[] DEFAULT NULL::text[], traceparent text DEFAULT NULL::text, limit_key text DEFAULT NULL::text, after pgqueue.handle[] DEFAULT NULL::pgqueue.handle[], on_parent_failure text DEFAULT 'cancel'::text, batch bigint DEFAULT NULL::bigint, unique_for interval DEFAULT NULL::interval, on_conflict text DEFAULT 'keep'::text) RETURNS SETOF pgqueue.handle
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.enqueue_trigger() RETURNS trigger
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.enroll(role regrole) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.get_progress(handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.install_compat(version text DEFAULT '2.0'::text, schema text DEFAULT 'public'::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.install_pg_cron() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.job_log(handle pgqueue.handle) RETURNS TABLE(at timestamp with time zone, severity text, sqlstate text, message text, detail text, hint text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.launch(sql text, params text[] DEFAULT NULL::text[], queue text DEFAULT 'default'::text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, unique_key text DEFAULT NULL::text, label text DEFAULT NULL::text, durability text DEFAULT NULL::text, traceparent text DEFAULT NULL::text, limit_key text DEFAULT NULL::text, after pgqueue.handle[] DEFAULT NULL::pgqueue.handle[], on_parent_failure text DEFAULT 'cancel'::text, batch bigint DEFAULT NULL::bigint, unique_for interval DEFAULT NULL::interval, on_conflict text DEFAULT 'keep'::text) RETURNS pgqueue.handle
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.pause(queue text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue.pause_schedule(name text, owner regrole DEFAULT NULL::regrole) RETURNS boolean
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.progress(pct integer, msg text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.purge(queue text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.redrive(queue text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.relay_to(queue text, target text, exchange text DEFAULT NULL::text, routing_key text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.remove_fleet(name text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.reset_stats() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.result(handle pgqueue.handle) RETURNS SETOF record
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.resume(queue text) RETURNS boolean
    LANGUAGE sql SECURITY DEFINER;

CREATE FUNCTION pgqueue.resume_schedule(name text, owner regrole DEFAULT NULL::regrole) RETURNS boolean
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.retry(handle pgqueue.handle) RETURNS pgqueue.handle
    LANGUAGE sql;

CREATE FUNCTION pgqueue.retry_jobs(queue text DEFAULT NULL::text, label text DEFAULT NULL::text, state text DEFAULT NULL::text, sqlstate text DEFAULT NULL::text, error text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone, max_count integer DEFAULT NULL::integer) RETURNS bigint
    LANGUAGE sql;

CREATE FUNCTION pgqueue.retry_task(task_id text) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.run_schedule(name text, owner regrole DEFAULT NULL::regrole) RETURNS bigint
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.scale(worker text DEFAULT NULL::text, executors integer DEFAULT NULL::integer, queue text DEFAULT NULL::text) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.schedule(name text, schedule text, sql text, params text[] DEFAULT NULL::text[], timezone text DEFAULT 'UTC'::text, queue text DEFAULT 'default'::text, priority integer DEFAULT 0, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, label text DEFAULT NULL::text, jitter interval DEFAULT NULL::interval, starts_at timestamp with time zone DEFAULT NULL::timestamp with time zone, ends_at timestamp with time zone DEFAULT NULL::timestamp with time zone, overlap text DEFAULT NULL::text, catch_up text DEFAULT 'last'::text) RETURNS bigint
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.schedule_task(name text, schedule text, task text, args jsonb DEFAULT '[]'::jsonb, kwargs jsonb DEFAULT '{}'::jsonb, timezone text DEFAULT 'UTC'::text, queue text DEFAULT 'celery'::text, priority integer DEFAULT 0, label text DEFAULT NULL::text, jitter interval DEFAULT NULL::interval, starts_at timestamp with time zone DEFAULT NULL::timestamp with time zone, ends_at timestamp with time zone DEFAULT NULL::timestamp with time zone, overlap text DEFAULT NULL::text, catch_up text DEFAULT 'last'::text, headers jsonb DEFAULT NULL::jsonb, expires interval DEFAULT NULL::interval, ignore_result boolean DEFAULT NULL::boolean, link text DEFAULT NULL::text, errback text DEFAULT NULL::text) RETURNS bigint
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.send_task(task text, args jsonb DEFAULT '[]'::jsonb, kwargs jsonb DEFAULT '{}'::jsonb, queue text DEFAULT 'celery'::text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, task_id text DEFAULT NULL::text, headers jsonb DEFAULT NULL::jsonb, ignore_result boolean DEFAULT false, link text DEFAULT NULL::text, errback text DEFAULT NULL::text, limit_key text DEFAULT NULL::text, unique_key text DEFAULT NULL::text, unique_for interval DEFAULT NULL::interval, on_conflict text DEFAULT 'keep'::text, after pgqueue.handle[] DEFAULT NULL::pgqueue.handle[], on_parent_failure text DEFAULT 'cancel'::text, batch bigint DEFAULT NULL::bigint) RETURNS text
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.set_durability(queue text, durability text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.set_fleet(name text, processes integer, queues text[] DEFAULT NULL::text[], executors integer DEFAULT NULL::integer, concurrency integer DEFAULT 0, restart_after interval DEFAULT '00:00:01'::interval) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.set_limit(queue text, max_running integer DEFAULT NULL::integer, per_key integer DEFAULT NULL::integer, rate integer DEFAULT NULL::integer, period interval DEFAULT '00:01:00'::interval, burst integer DEFAULT NULL::integer) RETURNS void
    LANGUAGE sql;

COMMENT ON COLUMN pgqueue.slow.queue IS 'The queue';

COMMENT ON COLUMN pgqueue.slow.submitter IS 'The role that submitted the jobs';

COMMENT ON COLUMN pgqueue.slow.label IS 'The label. NULL: the jobs have none, and their statements have one form';

COMMENT ON COLUMN pgqueue.slow.fingerprint IS 'A short name for the form of the statements. NULL: the jobs have a label';

COMMENT ON COLUMN pgqueue.slow.statement IS 'The form of the statements, with ? for literals. NULL: the jobs have a label, or the role is not a member of the submitter';

COMMENT ON COLUMN pgqueue.slow.calls IS 'How many jobs have run';

COMMENT ON COLUMN pgqueue.slow.mean_ms IS 'How long they ran on average, in ms; of a job the last run counts';

COMMENT ON COLUMN pgqueue.slow.p95_ms IS 'How long 95 % of them ran at most, in ms';

COMMENT ON COLUMN pgqueue.slow.max_ms IS 'How long the longest ran, in ms';

COMMENT ON COLUMN pgqueue.slow.total_ms IS 'How long they ran together, in ms';

COMMENT ON COLUMN pgqueue.slow.last_run_at IS 'When the last of them began';

COMMENT ON COLUMN pgqueue.slow.failures IS 'How many of them have failed';

CREATE FUNCTION pgqueue.slow_jobs(since interval DEFAULT '1 day'::interval, queue text DEFAULT NULL::text) RETURNS SETOF pgqueue.slow
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.snooze(delay interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.statement(handle pgqueue.handle) RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.submit(sql text, params text[] DEFAULT NULL::text[], queue text DEFAULT 'default'::text, priority integer DEFAULT 0, delay interval DEFAULT NULL::interval, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, expires timestamp with time zone DEFAULT NULL::timestamp with time zone, timeout interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff interval DEFAULT NULL::interval, unique_key text DEFAULT NULL::text, label text DEFAULT NULL::text, durability text DEFAULT NULL::text, traceparent text DEFAULT NULL::text, limit_key text DEFAULT NULL::text, after pgqueue.handle[] DEFAULT NULL::pgqueue.handle[], on_parent_failure text DEFAULT 'cancel'::text, batch bigint DEFAULT NULL::bigint, unique_for interval DEFAULT NULL::interval, on_conflict text DEFAULT 'keep'::text) RETURNS pgqueue.handle
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.task_result(task_id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.unenroll(role regrole) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.uninstall_compat(schema text DEFAULT 'public'::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.uninstall_pg_cron() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.unschedule(name text, owner regrole DEFAULT NULL::regrole) RETURNS void
    LANGUAGE plpgsql;

CREATE FUNCTION pgqueue.update(handle pgqueue.handle, eta timestamp with time zone DEFAULT NULL::timestamp with time zone, priority integer DEFAULT NULL::integer, queue text DEFAULT NULL::text, params text[] DEFAULT NULL::text[], timeout interval DEFAULT NULL::interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE FUNCTION pgqueue.wait(handle pgqueue.handle, timeout interval DEFAULT NULL::interval) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp';

CREATE TABLE pgqueue.attempt (
    id bigint NOT NULL,
    attempt integer NOT NULL,
    submitter oid NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    worker text,
    error jsonb NOT NULL
);

ALTER TABLE ONLY pgqueue.attempt REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.attempt IS 'Attempts of jobs that failed, the last 100 of each job. Only an attempt that fails writes a row; retention deletes it';

COMMENT ON COLUMN pgqueue.attempt.id IS 'The job';

COMMENT ON COLUMN pgqueue.attempt.error IS 'The fields of the error, each cut to 1,000 characters';

COMMENT ON COLUMN pgqueue.attempts.id IS 'The number of the job';

COMMENT ON COLUMN pgqueue.attempts.attempt IS 'The number of the attempt, from 1';

COMMENT ON COLUMN pgqueue.attempts.started_at IS 'When the attempt began. NULL: it is not known, or no run was begun';

COMMENT ON COLUMN pgqueue.attempts.ended_at IS 'When the attempt failed';

COMMENT ON COLUMN pgqueue.attempts.duration_ms IS 'How long the attempt took, in ms. NULL: it is not known when it began';

COMMENT ON COLUMN pgqueue.attempts.worker IS 'The worker that ran it, as NAME@HOST. NULL: no worker had it';

COMMENT ON COLUMN pgqueue.attempts.sqlstate IS 'The SQLSTATE of its error';

COMMENT ON COLUMN pgqueue.attempts.error IS 'The first 1,000 characters of the message. NULL: the role is not a member of the submitter';

COMMENT ON COLUMN pgqueue.attempts.error_detail IS 'The same of the DETAIL. NULL: none, or the role is not a member of the submitter';

COMMENT ON COLUMN pgqueue.attempts.error_hint IS 'The same of the HINT. NULL: none, or the role is not a member of the submitter';

COMMENT ON COLUMN pgqueue.attempts.error_context IS 'The same of the CONTEXT. NULL: none, or the role is not a member of the submitter';

ALTER TABLE pgqueue.message ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.message_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE pgqueue.batch (
    id bigint DEFAULT nextval('pgqueue.message_id_seq'::regclass) NOT NULL,
    owner oid NOT NULL,
    label text,
    on_success text,
    on_failure text,
    on_end text,
    settings jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    succeeded bigint,
    failed bigint,
    CONSTRAINT batch_counts_what_has_ended CHECK (((ended_at IS NULL) = (num_nulls(succeeded, failed) = 2)))
);

COMMENT ON TABLE pgqueue.batch IS 'Batches of jobs. A row changes once, when the last job of the batch has ended: there is no counter';

COMMENT ON COLUMN pgqueue.batch.settings IS 'The settings of the session that made it, with which its callbacks run';

CREATE TABLE pgqueue.batch_outcome (
    batch_id bigint NOT NULL,
    job_id bigint NOT NULL,
    has_succeeded boolean NOT NULL
);

COMMENT ON TABLE pgqueue.batch_outcome IS 'The ended jobs of batches that have not ended. Appended to; the end of a batch counts its rows and deletes them';

COMMENT ON COLUMN pgqueue.batches.id IS 'The number of the batch';

COMMENT ON COLUMN pgqueue.batches.label IS 'The caller''s label, which its callbacks have, too; NULL: none';

COMMENT ON COLUMN pgqueue.batches.total IS 'How many jobs and tasks were added so far';

COMMENT ON COLUMN pgqueue.batches.waiting IS 'How many jobs have not begun, or are not shown as running yet, and how many tasks no worker has';

COMMENT ON COLUMN pgqueue.batches.running IS 'How many jobs run, and how many tasks workers have';

COMMENT ON COLUMN pgqueue.batches.succeeded IS 'How many jobs and tasks have succeeded';

COMMENT ON COLUMN pgqueue.batches.failed IS 'How many have ended without success: jobs that failed, were canceled or expired, and tasks that failed, were revoked, expired, or were lost with their worker';

COMMENT ON COLUMN pgqueue.batches.ended_at IS 'When the last member ended. NULL: the batch is open, and jobs and tasks can be added';

ALTER TABLE pgqueue.binding ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.binding_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE pgqueue.compat (
    schema_name text NOT NULL,
    extension text DEFAULT 'pg_background'::text NOT NULL,
    version text NOT NULL,
    objects text[] NOT NULL,
    grants_usage boolean NOT NULL,
    installed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT compat_version_is_known CHECK ((((extension = 'pg_background'::text) AND (version = ANY (ARRAY['1.8'::text, '2.0'::text]))) OR ((extension = 'pg_cron'::text) AND (version = '1.6'::text))))
);

COMMENT ON TABLE pgqueue.compat IS 'The schemas in which pgqueue.install_compat has created pg_background''s names, and pgqueue.install_pg_cron those of pg_cron';

COMMENT ON COLUMN pgqueue.compat.objects IS 'The created objects, in the order in which they are dropped';

COMMENT ON COLUMN pgqueue.compat.grants_usage IS 'Whether pgbackground_role was given the usage of the schema; of pg_cron''s names, whether the schema was created for them';

COMMENT ON COLUMN pgqueue.configuration.setting IS 'The name of the setting';

COMMENT ON COLUMN pgqueue.configuration.queue IS 'The name of the queue; NULL: a setting of the database';

COMMENT ON COLUMN pgqueue.configuration.value IS 'The value, as text; NULL: none';

COMMENT ON COLUMN pgqueue.configuration.role IS 'The role whose jobs or sessions the value applies to; NULL: it applies to all roles';

COMMENT ON COLUMN pgqueue.configuration.source IS 'Where the value comes from: queue or table (pgqueue.configure), role (ALTER ROLE), database (ALTER DATABASE), server (ALTER ROLE ALL) or default';

CREATE TABLE pgqueue.dependency_check (
    id bigint NOT NULL,
    parent bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

COMMENT ON TABLE pgqueue.dependency_check IS 'Jobs whose ends may have missed a dependency, since neither transaction saw the other, and batches that could not be ended because a job was just being added. Upkeep looks at each until that is excluded';

ALTER TABLE pgqueue.dependency_check ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.dependency_check_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE pgqueue.exchange ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.exchange_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE pgqueue.fleet (
    name text NOT NULL,
    processes integer NOT NULL,
    queues text[],
    executors integer,
    concurrency integer,
    restart_after interval,
    version bigint NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT fleet_concurrency_is_0_to_1000 CHECK (((concurrency >= 0) AND (concurrency <= 1000))),
    CONSTRAINT fleet_executors_are_1_to_1000 CHECK (((executors >= 1) AND (executors <= 1000))),
    CONSTRAINT fleet_name_is_a_word CHECK ((name ~ '^[a-z0-9][a-z0-9_-]{0,30}$'::text)),
    CONSTRAINT fleet_processes_are_0_to_1000 CHECK (((processes >= 0) AND (processes <= 1000))),
    CONSTRAINT fleet_restart_after_is_in_range CHECK (((restart_after >= '00:00:00'::interval) AND (restart_after <= '1 day'::interval)))
);

COMMENT ON TABLE pgqueue.fleet IS 'The worker processes that each host with `pgqueue fleet` keeps running. There is no command and no path in it: a host starts nothing but workers of its own installation';

COMMENT ON COLUMN pgqueue.fleet.restart_after IS 'After how long a process that has died is started again; NULL: never';

COMMENT ON COLUMN pgqueue.fleet.version IS 'A new number for each change: a host then starts processes again that it had given up';

COMMENT ON COLUMN pgqueue.fleet_processes.host IS 'The name of the host';

COMMENT ON COLUMN pgqueue.fleet_processes.host_status IS 'online; lost: its last report is older than three naptimes, 10 s at least. Its processes end soon after it, or it cannot reach the database';

COMMENT ON COLUMN pgqueue.fleet_processes.last_seen_at IS 'When its last report came';

COMMENT ON COLUMN pgqueue.fleet_processes.host_pid IS 'The process id of `pgqueue fleet` there';

COMMENT ON COLUMN pgqueue.fleet_processes.fleet IS 'The fleet. NULL: the host has no processes';

COMMENT ON COLUMN pgqueue.fleet_processes.number IS 'Which of the processes of the fleet it is on this host, from 1';

COMMENT ON COLUMN pgqueue.fleet_processes.worker IS 'The name of the worker, as in pgqueue.workers';

COMMENT ON COLUMN pgqueue.fleet_processes.pid IS 'Its process id. NULL: it does not run';

COMMENT ON COLUMN pgqueue.fleet_processes.state IS 'running; stopping: it finishes its jobs; waiting: it has died and is started again at next_start_at; ended: it has died and is not started again; refused: it cannot be started, see last_exit';

COMMENT ON COLUMN pgqueue.fleet_processes.started_at IS 'When it was last started';

COMMENT ON COLUMN pgqueue.fleet_processes.restarts IS 'How often it was started again after it had died';

COMMENT ON COLUMN pgqueue.fleet_processes.last_exit IS 'How its last process ended, or why it cannot be started. NULL: none has ended';

COMMENT ON COLUMN pgqueue.fleet_processes.next_start_at IS 'When it is started again. NULL: it runs, or is not started again';

CREATE SEQUENCE pgqueue.fleet_version
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE pgqueue.fleet_version IS 'Numbers of changes: a fleet that is removed and made again has another number';

COMMENT ON COLUMN pgqueue.fleets.fleet IS 'The name of the fleet';

COMMENT ON COLUMN pgqueue.fleets.processes IS 'How many worker processes each host keeps';

COMMENT ON COLUMN pgqueue.fleets.queues IS 'From which queues they take. NULL: those from which pgqueue worker takes by itself';

COMMENT ON COLUMN pgqueue.fleets.executors IS 'How many SQL jobs each runs at the same time. NULL: as many as the host has processors';

COMMENT ON COLUMN pgqueue.fleets.concurrency IS 'How many processes for Celery tasks each has; 0: it runs SQL jobs only';

COMMENT ON COLUMN pgqueue.fleets.restart_after IS 'After how long a process that has died is started again, at first. NULL: never';

COMMENT ON COLUMN pgqueue.fleets.changed_at IS 'When it was last set';

COMMENT ON COLUMN pgqueue.fleets.running IS 'How many of its processes run now, on all hosts that are online';

CREATE TABLE pgqueue.history_default (
    id bigint CONSTRAINT history_id_not_null NOT NULL,
    cookie bigint CONSTRAINT history_cookie_not_null NOT NULL,
    session_id bigint,
    xact xid8 DEFAULT pg_current_xact_id() CONSTRAINT history_xact_not_null NOT NULL,
    launched_at timestamp with time zone CONSTRAINT history_launched_at_not_null NOT NULL,
    eta timestamp with time zone,
    started_at timestamp with time zone,
    ended_at timestamp with time zone DEFAULT clock_timestamp() CONSTRAINT history_ended_at_not_null NOT NULL,
    submitter oid CONSTRAINT history_submitter_not_null NOT NULL,
    state pgqueue.job_state CONSTRAINT history_state_not_null NOT NULL,
    kept pgqueue.result_kept CONSTRAINT history_kept_not_null NOT NULL,
    backend_pid integer,
    progress_pct integer,
    row_count bigint,
    priority smallint CONSTRAINT history_priority_not_null NOT NULL,
    attempts smallint CONSTRAINT history_attempts_not_null NOT NULL,
    max_attempts smallint,
    queue text CONSTRAINT history_queue_not_null NOT NULL,
    sql text CONSTRAINT history_sql_not_null NOT NULL,
    label text,
    worker text,
    progress_msg text,
    command_tags text[],
    error jsonb,
    retried_from bigint,
    snoozes smallint
);

ALTER TABLE ONLY pgqueue.history_default REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.history_default IS 'Has the jobs that end on a day for which no worker made a partition';

CREATE TABLE pgqueue.home (
    only_row boolean DEFAULT true NOT NULL,
    system_identifier bigint NOT NULL,
    database bigint NOT NULL,
    CONSTRAINT home_has_one_row CHECK (only_row)
);

COMMENT ON TABLE pgqueue.home IS 'The cluster and the database in which the numbers of roles are right; a copy or a restored dump has those of another one';

CREATE TABLE pgqueue.result (
    id bigint NOT NULL,
    seq integer NOT NULL,
    ended_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    columns jsonb,
    output_settings jsonb,
    rows jsonb
)
PARTITION BY RANGE (ended_at);

ALTER TABLE ONLY pgqueue.result REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.result IS 'Rows of kept results in chunks; chunk 0 exists for every kept job that ended and describes the columns, chunk -1 holds notices. Reading a launched job''s result deletes it';

CREATE TABLE pgqueue.job_log_line (
    id bigint NOT NULL,
    written_at timestamp with time zone NOT NULL,
    place integer NOT NULL,
    at timestamp with time zone NOT NULL,
    severity text NOT NULL,
    sqlstate text,
    message text NOT NULL,
    detail text,
    hint text,
    is_last boolean DEFAULT false NOT NULL
)
PARTITION BY RANGE (written_at);

ALTER TABLE ONLY pgqueue.job_log_line REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.job_log_line IS 'The messages that jobs have raised, written by their workers outside the transactions of the jobs: a rollback keeps them. Only a job that says something writes rows';

COMMENT ON COLUMN pgqueue.job_log_line.id IS 'The job';

COMMENT ON COLUMN pgqueue.job_log_line.written_at IS 'When the worker wrote the lines. All lines of one call have the same instant, and place is their order in it';

COMMENT ON COLUMN pgqueue.job_log_line.is_last IS 'The line says that the log was cut: nothing is written after it';

CREATE TABLE pgqueue.job_log_line_default (
    id bigint CONSTRAINT job_log_line_id_not_null NOT NULL,
    written_at timestamp with time zone CONSTRAINT job_log_line_written_at_not_null NOT NULL,
    place integer CONSTRAINT job_log_line_place_not_null NOT NULL,
    at timestamp with time zone CONSTRAINT job_log_line_at_not_null NOT NULL,
    severity text CONSTRAINT job_log_line_severity_not_null NOT NULL,
    sqlstate text,
    message text CONSTRAINT job_log_line_message_not_null NOT NULL,
    detail text,
    hint text,
    is_last boolean DEFAULT false CONSTRAINT job_log_line_is_last_not_null NOT NULL
);

ALTER TABLE ONLY pgqueue.job_log_line_default REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.job_log_line_default IS 'Has the lines that are written on a day for which no worker made a partition';

COMMENT ON COLUMN pgqueue.jobs.id IS 'The number of the job';

COMMENT ON COLUMN pgqueue.jobs.state IS 'waiting (for the end of other jobs), queued, running, succeeded, failed, canceled or expired. A job shows as running once it has run for about 100 ms';

COMMENT ON COLUMN pgqueue.jobs.queue IS 'The queue of the job';

COMMENT ON COLUMN pgqueue.jobs.priority IS '0 to 9; higher priorities are taken first';

COMMENT ON COLUMN pgqueue.jobs.label IS 'The caller''s label; NULL: none';

COMMENT ON COLUMN pgqueue.jobs.statement IS 'The first 120 bytes of the SQL. NULL for roles that are not members of the submitter';

COMMENT ON COLUMN pgqueue.jobs.submitter IS 'The role that submitted the job, and with whose rights it runs';

COMMENT ON COLUMN pgqueue.jobs.launched_at IS 'When the job was submitted';

COMMENT ON COLUMN pgqueue.jobs.eta IS 'When a delayed job, or its next attempt, is due. NULL: it was never delayed';

COMMENT ON COLUMN pgqueue.jobs.started_at IS 'When the last run began. NULL: the job has not run, or is not shown as running yet';

COMMENT ON COLUMN pgqueue.jobs.ended_at IS 'When the job ended. NULL: it has not ended';

COMMENT ON COLUMN pgqueue.jobs.duration_ms IS 'How long the last run took, or has taken so far, in ms. NULL: the job does not run and has not ended, or never ran';

COMMENT ON COLUMN pgqueue.jobs.attempts IS 'How many runs have failed or ended the job; the present run counts';

COMMENT ON COLUMN pgqueue.jobs.max_attempts IS 'How often the job is tried. NULL: once, but up to 10 times for the errors 40001, 40P01, 53100 and 53300';

COMMENT ON COLUMN pgqueue.jobs.worker IS 'The worker that has or had the job, as NAME@HOST. NULL: no worker has it';

COMMENT ON COLUMN pgqueue.jobs.backend_pid IS 'The server process of the last run. NULL: none is known';

COMMENT ON COLUMN pgqueue.jobs.progress_pct IS 'The last reported progress, 0 to 100. NULL: none was reported';

COMMENT ON COLUMN pgqueue.jobs.progress_msg IS 'The text of the last progress. NULL: none, or the role is not a member of the submitter';

COMMENT ON COLUMN pgqueue.jobs.rows IS 'How many rows the last statement returned or changed. NULL: the job has not succeeded, or the statement has no count';

COMMENT ON COLUMN pgqueue.jobs.command_tag IS 'The command tag of the last statement, such as INSERT 0 1. NULL: the job has not succeeded, or the statement''s text does not show its tag';

COMMENT ON COLUMN pgqueue.jobs.sqlstate IS 'The SQLSTATE of the error of the job or of its last attempt. NULL: no error';

COMMENT ON COLUMN pgqueue.jobs.error IS 'The message of that error, or the reason why a queued job was deferred, which monitors see as well. NULL: none, or the role is not a member of the submitter';

COMMENT ON COLUMN pgqueue.jobs.error_detail IS 'The DETAIL of that error. NULL: none, or the role is not a member of the submitter';

COMMENT ON COLUMN pgqueue.jobs.error_hint IS 'The HINT of that error. NULL: none, or the role is not a member of the submitter';

COMMENT ON COLUMN pgqueue.jobs.error_context IS 'The CONTEXT of that error. NULL: none, or the role is not a member of the submitter';

COMMENT ON COLUMN pgqueue.jobs.handle IS 'The handle of the job, for result, cancel and the other functions. NULL for roles that are not members of the submitter';

COMMENT ON COLUMN pgqueue.jobs.retried_from IS 'The failed job that this job runs again (pgqueue.retry). NULL: it is no repetition';

COMMENT ON COLUMN pgqueue.jobs.parents IS 'Of a waiting job: the first 100 jobs for whose end it waits. NULL: it does not wait for others';

COMMENT ON COLUMN pgqueue.jobs.snoozes IS 'How often a run of the job has put it off (pgqueue.snooze)';

CREATE TABLE pgqueue.limit_holder (
    id bigint NOT NULL,
    queue text NOT NULL,
    submitter oid NOT NULL,
    is_total boolean NOT NULL,
    limit_key text NOT NULL COLLATE pg_catalog."C"
);

COMMENT ON TABLE pgqueue.limit_holder IS 'Each row is one count of a limit: of a key of a role in a queue, or of all that a rule applies to. The row is never updated: what it counts is in pgqueue.limit_state';

COMMENT ON COLUMN pgqueue.limit_holder.is_total IS 'Whether it stands for all messages under the rule of this role (max_running), not for those of a key';

COMMENT ON COLUMN pgqueue.limit_holder.limit_key IS 'Empty: the messages without a key';

ALTER TABLE pgqueue.limit_holder ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.limit_holder_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE pgqueue.limit_state (
    holder_id bigint NOT NULL,
    seq bigint NOT NULL,
    ids bigint[] NOT NULL,
    next_at timestamp with time zone,
    written_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

COMMENT ON TABLE pgqueue.limit_state IS 'Which messages were claimed under a limit. The row with the highest seq counts. A claim locks it while it decides, writes a new one and deletes the one before: it reads the index from its end, so it never reads past rows that an old snapshot keeps';

COMMENT ON COLUMN pgqueue.limit_state.ids IS 'The claimed messages, including some that have ended since: those count that are in the queue and claimed';

COMMENT ON COLUMN pgqueue.limit_state.next_at IS 'For a rate: when the next start would be due if all starts were evenly spaced';

ALTER TABLE pgqueue.limit_state ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.limit_state_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

COMMENT ON COLUMN pgqueue.limits.queue IS 'The name of the queue';

COMMENT ON COLUMN pgqueue.limits.limit_key IS 'The key; NULL: the row counts all messages under the limits';

COMMENT ON COLUMN pgqueue.limits.running IS 'How many workers have now: what counts for max_running and per_key';

COMMENT ON COLUMN pgqueue.limits.waiting IS 'How many are ready';

COMMENT ON COLUMN pgqueue.limits.max_running IS 'How many workers may have of the queue at a time. NULL: any number';

COMMENT ON COLUMN pgqueue.limits.per_key IS 'How many of one key of a role. NULL: any number';

COMMENT ON COLUMN pgqueue.limits.rate IS 'How many of one key of a role may begin in a period. NULL: any number';

COMMENT ON COLUMN pgqueue.limits.period IS 'The period of the rate. NULL: there is no rate';

COMMENT ON COLUMN pgqueue.limits.burst IS 'How many may begin at the same moment. NULL: there is no rate';

COMMENT ON COLUMN pgqueue.limits.role IS 'The role whose messages the row counts; NULL: those of all roles';

CREATE TABLE pgqueue.login (
    purpose text NOT NULL,
    role text NOT NULL,
    password text NOT NULL,
    CONSTRAINT login_purpose_is_known CHECK ((purpose = ANY (ARRAY['executor'::text, 'worker'::text])))
);

COMMENT ON TABLE pgqueue.login IS 'The logins of executors (pgqueue._executor_login) and of the worker of pgqueue up (pgqueue._make_worker_login). Only the owner reads it';

CREATE TABLE pgqueue.lost_session (
    id bigint NOT NULL,
    suspicions integer DEFAULT 0 NOT NULL,
    acquittals integer DEFAULT 0 NOT NULL
);

COMMENT ON TABLE pgqueue.lost_session IS 'Jobs whose sessions ended while they ran. These are no columns of the message, whose row is locked while the job runs again: a worker may notice late';

COMMENT ON COLUMN pgqueue.lost_session.suspicions IS 'How often the reason is unknown';

COMMENT ON COLUMN pgqueue.lost_session.acquittals IS 'How often the server ended all sessions, and the job was reclaimed, which counted, before its worker could report that';

CREATE UNLOGGED TABLE pgqueue.nonce (
    nonce bigint NOT NULL,
    made_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE pgqueue.nonce IS 'Requests of the last minutes: each is accepted once. Unlogged: a proof does not outlive the server process';

CREATE UNLOGGED TABLE pgqueue.notice (
    id bigint NOT NULL,
    channel text NOT NULL
);

COMMENT ON TABLE pgqueue.notice IS 'Notifications that open transactions will send, if prepared transactions are possible (pgqueue._notify_at_commit)';

ALTER TABLE pgqueue.notice ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.notice_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE pgqueue.queue ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.queue_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

COMMENT ON COLUMN pgqueue.queues.queue IS 'The name of the queue';

COMMENT ON COLUMN pgqueue.queues.ready IS 'How many messages a worker could take now';

COMMENT ON COLUMN pgqueue.queues.delayed IS 'How many messages are not due yet';

COMMENT ON COLUMN pgqueue.queues.claimed IS 'How many messages workers have: running ones and prefetched ones';

COMMENT ON COLUMN pgqueue.queues.oldest_ready_at IS 'When the oldest ready message was submitted. NULL: none is ready';

COMMENT ON COLUMN pgqueue.queues.paused IS 'Whether workers take no messages from the queue (pgqueue.pause)';

COMMENT ON COLUMN pgqueue.queues.consumers IS 'How many registered workers and other processes take from the queue';

COMMENT ON COLUMN pgqueue.queues.durability IS 'How jobs commit that name no durability: sync or async';

COMMENT ON COLUMN pgqueue.queues.group_commit IS 'The largest number of jobs of one role that share a transaction; 1: each has its own';

COMMENT ON COLUMN pgqueue.queues.waiting IS 'How many jobs and tasks wait for the end of jobs';

CREATE TABLE pgqueue.role_usage (
    role oid NOT NULL,
    messages bigint NOT NULL,
    delayed bigint NOT NULL,
    bytes bigint NOT NULL,
    counted_at timestamp with time zone NOT NULL,
    seconds double precision NOT NULL
);

COMMENT ON TABLE pgqueue.role_usage IS 'The usage of each role as upkeep counted it last. Empty while no quota is set';

COMMENT ON COLUMN pgqueue.quotas.role IS 'The enrolled role';

COMMENT ON COLUMN pgqueue.quotas.over_quota IS 'The quota that the role exceeds, so that its new messages are refused: messages, delayed messages or megabytes of messages. NULL: none';

COMMENT ON COLUMN pgqueue.quotas.messages IS 'How many messages it has in the queues. NULL: not counted';

COMMENT ON COLUMN pgqueue.quotas.max_messages IS 'The limit of messages (pgqueue.max_messages). NULL: no limit';

COMMENT ON COLUMN pgqueue.quotas.delayed IS 'How many of its messages are not due yet. NULL: not counted';

COMMENT ON COLUMN pgqueue.quotas.max_delayed IS 'The limit of delayed messages (pgqueue.max_delayed). NULL: no limit';

COMMENT ON COLUMN pgqueue.quotas.megabytes IS 'The size of its messages in MB (1,048,576 bytes), rounded down. NULL: not counted';

COMMENT ON COLUMN pgqueue.quotas.max_megabytes IS 'The limit of that size in MB (pgqueue.max_megabytes). NULL: no limit';

COMMENT ON COLUMN pgqueue.quotas.queues IS 'How many declarations of queues it has made';

COMMENT ON COLUMN pgqueue.quotas.max_queues IS 'The limit of these declarations (pgqueue.max_queues)';

COMMENT ON COLUMN pgqueue.quotas.exchanges IS 'How many declarations of exchanges it has made';

COMMENT ON COLUMN pgqueue.quotas.max_exchanges IS 'The limit of these declarations (pgqueue.max_exchanges)';

COMMENT ON COLUMN pgqueue.quotas.bindings IS 'How many bindings it has made';

COMMENT ON COLUMN pgqueue.quotas.max_bindings IS 'The limit of bindings (pgqueue.max_bindings)';

COMMENT ON COLUMN pgqueue.quotas.counted_at IS 'When upkeep counted messages, delayed messages and megabytes. NULL: not counted';

CREATE TABLE pgqueue.relay_receipt (
    source text NOT NULL,
    message_id text NOT NULL,
    received_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE pgqueue.relay_receipt IS 'The ids of messages that `pgqueue relay --from` has taken in, so that one that is delivered again is not stored again. Upkeep forgets them after 7 days';

CREATE TABLE pgqueue.relay_route (
    queue text NOT NULL,
    target text NOT NULL,
    exchange text,
    routing_key text,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT relay_route_exchange_is_at_most_255_bytes CHECK ((octet_length(exchange) <= 255)),
    CONSTRAINT relay_route_queue_is_1_to_255_bytes CHECK (((octet_length(queue) >= 1) AND (octet_length(queue) <= 255))),
    CONSTRAINT relay_route_routing_key_is_at_most_255_bytes CHECK ((octet_length(routing_key) <= 255)),
    CONSTRAINT relay_route_target_is_a_word CHECK ((target ~ '^[a-z][a-z0-9_]{0,30}$'::text))
);

COMMENT ON TABLE pgqueue.relay_route IS 'Which queues `pgqueue relay` sends on, and to which target. A target is a name: its URL, which may have a password, is known to the relay alone';

COMMENT ON COLUMN pgqueue.relay_route.queue IS 'The name of a queue, or a pattern with * and ?';

COMMENT ON COLUMN pgqueue.relay_route.exchange IS 'The exchange there; NULL: the default exchange, so that the routing key is the name of a queue';

COMMENT ON COLUMN pgqueue.relay_route.routing_key IS 'The routing key there; NULL: the name of the queue';

COMMENT ON COLUMN pgqueue.relays.queue IS 'The name of a queue, or a pattern with * and ?';

COMMENT ON COLUMN pgqueue.relays.target IS 'The name of the broker, whose URL only the relay knows';

COMMENT ON COLUMN pgqueue.relays.exchange IS 'The exchange there; NULL: the default exchange';

COMMENT ON COLUMN pgqueue.relays.routing_key IS 'The routing key there; NULL: the name of the queue';

COMMENT ON COLUMN pgqueue.relays.changed_at IS 'When the route was set';

CREATE TABLE pgqueue.result_default (
    id bigint CONSTRAINT result_id_not_null NOT NULL,
    seq integer CONSTRAINT result_seq_not_null NOT NULL,
    ended_at timestamp with time zone DEFAULT clock_timestamp() CONSTRAINT result_ended_at_not_null NOT NULL,
    columns jsonb,
    output_settings jsonb,
    rows jsonb
);

ALTER TABLE ONLY pgqueue.result_default REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.result_default IS 'Has the results that end on a day for which no worker made a partition';

CREATE UNLOGGED TABLE pgqueue.result_waiter (
    task_id text NOT NULL,
    pid integer NOT NULL,
    waits_since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    seen_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
);

COMMENT ON TABLE pgqueue.result_waiter IS 'The session that waits for a task. Unlogged: after a crash of the server no session waits, and clients register again';

CREATE TABLE pgqueue.role_name (
    role oid NOT NULL,
    name text
);

COMMENT ON TABLE pgqueue.role_name IS 'The names of roles whose numbers are in other tables, for a dump (pgqueue._repair_home). Numbers from 4294900000 on are of roles that are not in this cluster';

CREATE TABLE pgqueue.run_gate (
);

ALTER TABLE ONLY pgqueue.run_gate REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.run_gate IS 'Has no rows: sessions that run jobs lock it for a moment at the begin and the end of each call (pgqueue_run.pass_gate), and a canceling session locks it against that (pgqueue._stop_run)';

ALTER TABLE pgqueue.schedule ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.schedule_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE pgqueue.schedule_run ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.schedule_run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

COMMENT ON COLUMN pgqueue.schedule_runs.id IS 'The number of this row';

COMMENT ON COLUMN pgqueue.schedule_runs.name IS 'The name of the schedule at that time';

COMMENT ON COLUMN pgqueue.schedule_runs.owner IS 'The owner of the schedule';

COMMENT ON COLUMN pgqueue.schedule_runs.due_at IS 'The instant that was due';

COMMENT ON COLUMN pgqueue.schedule_runs.fired_at IS 'When a worker, or pgqueue.run_schedule, handled it';

COMMENT ON COLUMN pgqueue.schedule_runs.late_by IS 'fired_at minus due_at';

COMMENT ON COLUMN pgqueue.schedule_runs.outcome IS 'enqueued, skipped, missed or refused';

COMMENT ON COLUMN pgqueue.schedule_runs.missed IS 'How many missed instants this row stands for';

COMMENT ON COLUMN pgqueue.schedule_runs.is_manual IS 'Whether pgqueue.run_schedule caused the run';

COMMENT ON COLUMN pgqueue.schedule_runs.job IS 'The number of the job or message. NULL: none was enqueued';

COMMENT ON COLUMN pgqueue.schedule_runs.task_id IS 'The id of the Celery task. NULL: the run is a job, or none was enqueued';

COMMENT ON COLUMN pgqueue.schedule_runs.state IS 'The state of the job or task, as in last_state of pgqueue.schedules';

COMMENT ON COLUMN pgqueue.schedule_runs.error IS 'Why the run was refused. NULL: it was not, or the role is not a member of the owner';

CREATE TABLE pgqueue.sql_task (
    task_id text NOT NULL,
    job_id bigint,
    result text,
    payload jsonb,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    told_at timestamp with time zone,
    CONSTRAINT sql_task_result_is_known CHECK ((result = ANY (ARRAY['rows'::text, 'scalar'::text, 'count'::text, 'none'::text]))),
    CONSTRAINT sql_task_that_runs_has_its_message CHECK (((ended_at IS NOT NULL) OR (num_nonnulls(result, payload) = 2)))
);

COMMENT ON TABLE pgqueue.sql_task IS 'Celery tasks that are SQL jobs, by their ids: each id makes one job, however often its message is delivered. The rows stay for the retention, so that a copy of a message that comes late is known';

COMMENT ON COLUMN pgqueue.sql_task.job_id IS 'The job. NULL: there is none, because the task was refused';

COMMENT ON COLUMN pgqueue.sql_task.result IS 'What Celery gets of the result: rows, scalar, count or none';

COMMENT ON COLUMN pgqueue.sql_task.payload IS 'The message of the task, which comes back with the outcome when the job has ended. NULL: it did';

COMMENT ON COLUMN pgqueue.sql_task.told_at IS 'When Celery had the outcome: the result was stored and the next steps were sent, in the same transaction if they are kept in this database';

CREATE TABLE pgqueue.stat_fold (
    only_row boolean DEFAULT true NOT NULL,
    snapshot pg_snapshot NOT NULL,
    CONSTRAINT stat_fold_has_one_row CHECK (only_row)
);

COMMENT ON TABLE pgqueue.stat_fold IS 'The snapshot up to which stat_total and stat_session have counted the history';

CREATE TABLE pgqueue.stat_session (
    session_id bigint NOT NULL,
    submitter oid NOT NULL,
    completed bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    canceled bigint DEFAULT 0 NOT NULL,
    expired bigint DEFAULT 0 NOT NULL,
    timed_jobs bigint DEFAULT 0 NOT NULL,
    total_ms double precision DEFAULT 0 NOT NULL,
    folded_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE pgqueue.stat_session IS 'Ended jobs by the session that submitted them and by submitter, as of pgqueue.stat_fold';

CREATE TABLE pgqueue.stat_total (
    submitter oid NOT NULL,
    queue text NOT NULL,
    completed bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    canceled bigint DEFAULT 0 NOT NULL,
    expired bigint DEFAULT 0 NOT NULL,
    timed_jobs bigint DEFAULT 0 NOT NULL,
    total_ms double precision DEFAULT 0 NOT NULL,
    total_wait_ms double precision DEFAULT 0 NOT NULL,
    wait_counts bigint[] DEFAULT '{0,0,0,0,0,0,0,0,0,0,0,0,0}'::bigint[] NOT NULL,
    run_counts bigint[] DEFAULT '{0,0,0,0,0,0,0,0,0,0,0,0,0}'::bigint[] NOT NULL
);

COMMENT ON TABLE pgqueue.stat_total IS 'Ended jobs by submitter and queue since the installation, as of pgqueue.stat_fold';

COMMENT ON COLUMN pgqueue.stat_total.wait_counts IS 'How many jobs waited how long before their last run, by the intervals of pgqueue._duration_bounds. They are in this row so that a fold makes one row version for each queue';

COMMENT ON COLUMN pgqueue.stat_total.run_counts IS 'How many jobs ran how long, by the same intervals';

COMMENT ON COLUMN pgqueue.stats.workers_launched IS 'Submitted jobs, whether or not they have ended';

COMMENT ON COLUMN pgqueue.stats.workers_completed IS 'Jobs that succeeded';

COMMENT ON COLUMN pgqueue.stats.workers_failed IS 'Jobs that failed or expired';

COMMENT ON COLUMN pgqueue.stats.workers_canceled IS 'Jobs that were canceled';

COMMENT ON COLUMN pgqueue.stats.workers_active IS 'Jobs that have not ended: queued or running';

COMMENT ON COLUMN pgqueue.stats.avg_execution_ms IS 'The mean duration of the last runs of ended jobs, in ms; 0: none has run';

COMMENT ON COLUMN pgqueue.stats.max_workers IS 'The setting pgqueue.max_workers of this session. NULL: not set, so there is no limit';

COMMENT ON COLUMN pgqueue.stats_total.submitter IS 'The role that submitted the jobs';

COMMENT ON COLUMN pgqueue.stats_total.queue IS 'The queue of the jobs';

COMMENT ON COLUMN pgqueue.stats_total.workers_launched IS 'Jobs that have ended or run now';

COMMENT ON COLUMN pgqueue.stats_total.workers_completed IS 'Jobs that succeeded';

COMMENT ON COLUMN pgqueue.stats_total.workers_failed IS 'Jobs that failed or expired';

COMMENT ON COLUMN pgqueue.stats_total.workers_canceled IS 'Jobs that were canceled';

COMMENT ON COLUMN pgqueue.stats_total.workers_active IS 'Jobs that are shown as running';

COMMENT ON COLUMN pgqueue.stats_total.avg_execution_ms IS 'The mean duration of the last runs of ended jobs, in ms; 0: none has run';

COMMENT ON COLUMN pgqueue.stats_total.max_workers IS 'The setting pgqueue.max_workers of this session. NULL: not set, so there is no limit';

CREATE TABLE pgqueue.task_result_default (
    task_id text CONSTRAINT task_result_task_id_not_null NOT NULL,
    stored_at timestamp with time zone DEFAULT clock_timestamp() CONSTRAINT task_result_stored_at_not_null NOT NULL,
    expires_at timestamp with time zone CONSTRAINT task_result_expires_at_not_null NOT NULL,
    state text CONSTRAINT task_result_state_not_null NOT NULL,
    content_type text CONSTRAINT task_result_content_type_not_null NOT NULL,
    payload bytea CONSTRAINT task_result_payload_not_null NOT NULL
);

ALTER TABLE ONLY pgqueue.task_result_default REPLICA IDENTITY FULL;

COMMENT ON TABLE pgqueue.task_result_default IS 'Has the results that end on a day for which no worker made a partition';

COMMENT ON COLUMN pgqueue.tasks.task_id IS 'The id of the task';

COMMENT ON COLUMN pgqueue.tasks.name IS 'The name under which the task is registered. NULL: only a result is left, without result_extended or not in JSON';

COMMENT ON COLUMN pgqueue.tasks.state IS 'Celery''s state: of a task in a queue PENDING, RETRY, RECEIVED (a worker has it) or FAILURE (a dead letter); otherwise that of its result';

COMMENT ON COLUMN pgqueue.tasks.queue IS 'The queue of the task. NULL: as for name';

COMMENT ON COLUMN pgqueue.tasks.sent_at IS 'When the message was sent. NULL: the message is no longer in a queue';

COMMENT ON COLUMN pgqueue.tasks.started_at IS 'When the task began. NULL: it has not, or the application does not set task_track_started';

COMMENT ON COLUMN pgqueue.tasks.ended_at IS 'When the task ended. NULL: it has not ended';

COMMENT ON COLUMN pgqueue.tasks.worker IS 'The worker that has or had the task. NULL: none is known';

COMMENT ON COLUMN pgqueue.tasks.error IS 'The type of the exception of a task that failed or was revoked; for members of pgqueue_worker also its first message. NULL: no error';

CREATE UNLOGGED TABLE pgqueue.tracked_timeout (
    session_id bigint NOT NULL,
    timeouts bigint NOT NULL,
    counted_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE pgqueue.tracked_timeout IS 'How often pg_background_run and pg_background_run_query gave up in a session';

ALTER TABLE pgqueue.worker ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME pgqueue.worker_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

COMMENT ON COLUMN pgqueue.workers.worker IS 'The name of the worker, as NAME@HOST; PID@HOST for a process that is not a Celery worker';

COMMENT ON COLUMN pgqueue.workers.started_at IS 'When the process registered';

COMMENT ON COLUMN pgqueue.workers.last_seen_at IS 'When its last heartbeat came; there is one every pgqueue.naptime';

COMMENT ON COLUMN pgqueue.workers.status IS 'online; lost: its session has ended; unknown: on a hot standby, which does not see the sessions of the primary';

COMMENT ON COLUMN pgqueue.workers.items_processed IS 'How many messages it has finished since it registered';

COMMENT ON COLUMN pgqueue.workers.last_run_at IS 'When it last finished messages. NULL: it has finished none';

COMMENT ON COLUMN pgqueue.workers.executors IS 'How many SQL jobs it can run at the same time; 0: it runs none';

COMMENT ON COLUMN pgqueue.workers.running IS 'The numbers of its running jobs that the role may see, the longest first';

COMMENT ON COLUMN pgqueue.workers.queues IS 'The queues from which it takes. NULL for roles other than monitors, workers and administrators';

COMMENT ON COLUMN pgqueue.workers.wanted_executors IS 'How many executors it is asked to have (pgqueue.scale); executors follows within a naptime. NULL: its own number';

COMMENT ON COLUMN pgqueue.workers.relays_to IS 'Of `pgqueue relay`: the brokers to which it sends, as NAME: URL without login and password. NULL for other processes, and for roles other than monitors, workers and administrators';

COMMENT ON COLUMN pgqueue.workers.relays_jobs IS 'Of `pgqueue relay`: whether it sends wake-ups for SQL jobs too. NULL for other processes';

ALTER TABLE ONLY pgqueue.history ATTACH PARTITION pgqueue.history_default DEFAULT;

ALTER TABLE ONLY pgqueue.job_log_line ATTACH PARTITION pgqueue.job_log_line_default DEFAULT;

ALTER TABLE ONLY pgqueue.result ATTACH PARTITION pgqueue.result_default DEFAULT;

ALTER TABLE ONLY pgqueue.task_result ATTACH PARTITION pgqueue.task_result_default DEFAULT;

ALTER TABLE ONLY pgqueue.batch_order ALTER COLUMN role SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.configuring ALTER COLUMN role SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.declaration ALTER COLUMN role SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.dispatch ALTER COLUMN submitter SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.job_change ALTER COLUMN role SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.job_order ALTER COLUMN role SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.job_outbox ALTER COLUMN kind SET DEFAULT 'job'::pgqueue.message_kind;

ALTER TABLE ONLY pgqueue.keyed_outbox ALTER COLUMN submitter SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.keyed_set ALTER COLUMN submitter SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.limiting ALTER COLUMN role SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.row_order ALTER COLUMN role SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.row_order ALTER COLUMN search_path SET DEFAULT current_setting('search_path'::text);

ALTER TABLE ONLY pgqueue.schedule_order ALTER COLUMN role SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.step_order ALTER COLUMN submitter SET DEFAULT pgqueue._caller();

ALTER TABLE ONLY pgqueue.activity
    ADD CONSTRAINT activity_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.batch_outcome
    ADD CONSTRAINT batch_outcome_pkey PRIMARY KEY (batch_id, job_id);

ALTER TABLE ONLY pgqueue.batch
    ADD CONSTRAINT batch_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.binding
    ADD CONSTRAINT binding_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.chord_part
    ADD CONSTRAINT chord_part_pkey PRIMARY KEY (group_id, place, task_id);

ALTER TABLE ONLY pgqueue.chord
    ADD CONSTRAINT chord_pkey PRIMARY KEY (group_id);

ALTER TABLE ONLY pgqueue.compat
    ADD CONSTRAINT compat_pkey PRIMARY KEY (schema_name);

ALTER TABLE ONLY pgqueue.configured
    ADD CONSTRAINT configured_pkey PRIMARY KEY (queue, setting, role);

ALTER TABLE ONLY pgqueue.dependency_check
    ADD CONSTRAINT dependency_check_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.dependency
    ADD CONSTRAINT dependency_pkey PRIMARY KEY (parent, child);

ALTER TABLE ONLY pgqueue.exchange
    ADD CONSTRAINT exchange_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.failed_job
    ADD CONSTRAINT failed_job_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.fleet_host
    ADD CONSTRAINT fleet_host_pkey PRIMARY KEY (host);

ALTER TABLE ONLY pgqueue.fleet
    ADD CONSTRAINT fleet_pkey PRIMARY KEY (name);

ALTER TABLE ONLY pgqueue.function_file
    ADD CONSTRAINT function_file_pkey PRIMARY KEY (name);

ALTER TABLE ONLY pgqueue.home
    ADD CONSTRAINT home_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY pgqueue.limit_holder
    ADD CONSTRAINT limit_holder_is_one UNIQUE (queue, submitter, is_total, limit_key);

ALTER TABLE ONLY pgqueue.limit_holder
    ADD CONSTRAINT limit_holder_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.limit_rule
    ADD CONSTRAINT limit_rule_pkey PRIMARY KEY (queue, role);

ALTER TABLE ONLY pgqueue.limit_state
    ADD CONSTRAINT limit_state_pkey PRIMARY KEY (holder_id, seq);

ALTER TABLE ONLY pgqueue.login
    ADD CONSTRAINT login_pkey PRIMARY KEY (purpose);

ALTER TABLE ONLY pgqueue.lost_session
    ADD CONSTRAINT lost_session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.message
    ADD CONSTRAINT message_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (version);

ALTER TABLE ONLY pgqueue.nonce
    ADD CONSTRAINT nonce_pkey PRIMARY KEY (nonce);

ALTER TABLE ONLY pgqueue.notice
    ADD CONSTRAINT notice_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.queue_switch
    ADD CONSTRAINT queue_switch_pkey PRIMARY KEY (name);

ALTER TABLE ONLY pgqueue.relay_receipt
    ADD CONSTRAINT relay_receipt_pkey PRIMARY KEY (source, message_id);

ALTER TABLE ONLY pgqueue.relay_route
    ADD CONSTRAINT relay_route_pkey PRIMARY KEY (queue);

ALTER TABLE ONLY pgqueue.request
    ADD CONSTRAINT request_pkey PRIMARY KEY (id, kind);

ALTER TABLE ONLY pgqueue.result_waiter
    ADD CONSTRAINT result_waiter_pkey PRIMARY KEY (task_id, pid);

ALTER TABLE ONLY pgqueue.role_key
    ADD CONSTRAINT role_key_pkey PRIMARY KEY (role);

ALTER TABLE ONLY pgqueue.role_name
    ADD CONSTRAINT role_name_pkey PRIMARY KEY (role);

ALTER TABLE ONLY pgqueue.role_usage
    ADD CONSTRAINT role_usage_pkey PRIMARY KEY (role);

ALTER TABLE ONLY pgqueue.scale_request
    ADD CONSTRAINT scale_request_pkey PRIMARY KEY (worker);

ALTER TABLE ONLY pgqueue.schedule
    ADD CONSTRAINT schedule_name_is_unique_per_owner UNIQUE (owner, name);

ALTER TABLE ONLY pgqueue.schedule
    ADD CONSTRAINT schedule_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.schedule_run
    ADD CONSTRAINT schedule_run_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.sql_task
    ADD CONSTRAINT sql_task_pkey PRIMARY KEY (task_id);

ALTER TABLE ONLY pgqueue.stat_fold
    ADD CONSTRAINT stat_fold_pkey PRIMARY KEY (only_row);

ALTER TABLE ONLY pgqueue.stat_session
    ADD CONSTRAINT stat_session_pkey PRIMARY KEY (session_id, submitter);

ALTER TABLE ONLY pgqueue.stat_total
    ADD CONSTRAINT stat_total_pkey PRIMARY KEY (submitter, queue);

ALTER TABLE ONLY pgqueue.task_group
    ADD CONSTRAINT task_group_pkey PRIMARY KEY (id);

ALTER TABLE ONLY pgqueue.tracked_job
    ADD CONSTRAINT tracked_job_pkey PRIMARY KEY (session_id, pid);

ALTER TABLE ONLY pgqueue.tracked_timeout
    ADD CONSTRAINT tracked_timeout_pkey PRIMARY KEY (session_id);

ALTER TABLE ONLY pgqueue.unique_hold
    ADD CONSTRAINT unique_hold_pkey PRIMARY KEY (submitter, kind, unique_key);

ALTER TABLE ONLY pgqueue.upkeep_failure
    ADD CONSTRAINT upkeep_failure_pkey PRIMARY KEY (part);

ALTER TABLE ONLY pgqueue.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (id);

CREATE INDEX attempt_ended_at ON pgqueue.attempt USING btree (ended_at);

COMMENT ON INDEX pgqueue.attempt_ended_at IS 'pgqueue._forget_failures: what is older than the retention';

CREATE INDEX attempt_id ON pgqueue.attempt USING btree (id, attempt);

COMMENT ON INDEX pgqueue.attempt_id IS 'pgqueue.attempts: those of a job';

CREATE INDEX batch_ended_at ON pgqueue.batch USING btree (COALESCE(ended_at, created_at));

COMMENT ON INDEX pgqueue.batch_ended_at IS 'pgqueue._forget_batches: what is older than the retention';

CREATE INDEX binding_declared_by ON pgqueue.binding USING btree (declared_by) WHERE (declared_by <> (0)::oid);

COMMENT ON INDEX pgqueue.binding_declared_by IS 'pgqueue._require_room: how many a role has';

CREATE INDEX binding_exchange ON pgqueue.binding USING btree (exchange, declared_by);

COMMENT ON INDEX pgqueue.binding_exchange IS 'pgqueue._route: where a message may go';

CREATE INDEX binding_queue ON pgqueue.binding USING btree (queue, declared_by);

COMMENT ON INDEX pgqueue.binding_queue IS 'Deleting a queue deletes its bindings';

CREATE INDEX chord_expires_at ON pgqueue.chord USING btree (expires_at);

COMMENT ON INDEX pgqueue.chord_expires_at IS 'pgqueue._drop_partitions: expired chords';

CREATE INDEX dependency_child ON pgqueue.dependency USING btree (child, parent);

COMMENT ON INDEX pgqueue.dependency_child IS 'pgqueue._settle_child: whether a job still waits, and whether a batch has unfinished jobs';

CREATE INDEX exchange_declared_by ON pgqueue.exchange USING btree (declared_by) WHERE (declared_by <> (0)::oid);

COMMENT ON INDEX pgqueue.exchange_declared_by IS 'pgqueue._require_room: how many a role has';

CREATE INDEX exchange_name ON pgqueue.exchange USING btree (name, declared_by, id);

COMMENT ON INDEX pgqueue.exchange_name IS 'pgqueue._route: the type of an exchange';

CREATE INDEX failed_job_ended_at ON pgqueue.failed_job USING btree (ended_at) WHERE (retried_as IS NULL);

COMMENT ON INDEX pgqueue.failed_job_ended_at IS 'pgqueue._forget_failures: what is older than the retention. pgqueue.retry_jobs: the order, and since and until';

CREATE INDEX failed_job_label ON pgqueue.failed_job USING btree ("left"(label, 100), ended_at) WHERE ((retried_as IS NULL) AND (label IS NOT NULL));

COMMENT ON INDEX pgqueue.failed_job_label IS 'pgqueue.retry_jobs: those with a label';

CREATE INDEX failed_job_queue ON pgqueue.failed_job USING btree (queue, ended_at) WHERE (retried_as IS NULL);

COMMENT ON INDEX pgqueue.failed_job_queue IS 'pgqueue.retry_jobs: those of a queue';

CREATE INDEX failed_job_retried ON pgqueue.failed_job USING btree (ended_at) WHERE (retried_as IS NOT NULL);

COMMENT ON INDEX pgqueue.failed_job_retried IS 'pgqueue._forget_failures. It is apart, so that a batch of pgqueue.retry_jobs does not read past what earlier batches have retried';

CREATE INDEX failed_job_sqlstate ON pgqueue.failed_job USING btree (sqlstate, ended_at) WHERE (retried_as IS NULL);

COMMENT ON INDEX pgqueue.failed_job_sqlstate IS 'pgqueue.retry_jobs: those with an SQLSTATE';

CREATE INDEX history_id ON ONLY pgqueue.history USING btree (id);

COMMENT ON INDEX pgqueue.history_id IS 'A handle finds its job';

CREATE INDEX history_default_id_idx ON pgqueue.history_default USING btree (id);

CREATE INDEX history_xact ON ONLY pgqueue.history USING btree (xact);

COMMENT ON INDEX pgqueue.history_xact IS 'pgqueue.unfolded: jobs that statistics have not counted yet';

CREATE INDEX history_default_xact_idx ON pgqueue.history_default USING btree (xact);

CREATE INDEX job_log_line_id ON ONLY pgqueue.job_log_line USING btree (id, written_at, place);

COMMENT ON INDEX pgqueue.job_log_line_id IS 'pgqueue.job_log: the lines of a job, in order';

CREATE INDEX job_log_line_default_id_written_at_place_idx ON pgqueue.job_log_line_default USING btree (id, written_at, place);

CREATE INDEX message_claimed ON pgqueue.message USING btree (worker_id) WHERE (state = 'claimed'::pgqueue.message_state);

COMMENT ON INDEX pgqueue.message_claimed IS 'pgqueue._reclaim: messages of lost workers';

CREATE INDEX message_delayed ON pgqueue.message USING btree (due_at) WHERE (state = 'delayed'::pgqueue.message_state);

COMMENT ON INDEX pgqueue.message_delayed IS 'pgqueue._promote: messages that have become due';

CREATE INDEX message_expiry ON pgqueue.message USING btree (expires_at) WHERE ((kind = 'task'::pgqueue.message_kind) AND (state <> 'claimed'::pgqueue.message_state) AND (expires_at IS NOT NULL));

COMMENT ON INDEX pgqueue.message_expiry IS 'pgqueue._expire_messages: tasks that no worker took in time';

CREATE INDEX message_keyed ON pgqueue.message USING btree (queue, kind, submitter, limit_key, (((((9 - priority))::bigint << 58) | id))) WHERE ((state = 'ready'::pgqueue.message_state) AND (limit_key IS NOT NULL));

COMMENT ON INDEX pgqueue.message_keyed IS 'pgqueue._claim_limited: the keys that have ready messages in a queue, and the next messages of each key';

CREATE INDEX message_ready ON pgqueue.message USING btree (queue, kind, submitter, (((((9 - priority))::bigint << 58) | id))) WHERE ((state = 'ready'::pgqueue.message_state) AND (limit_key IS NULL));

COMMENT ON INDEX pgqueue.message_ready IS 'pgqueue._claim: the next messages of each role in a queue. Delayed and claimed messages are not in it, nor those with a limit key';

CREATE INDEX message_session ON pgqueue.message USING btree (session_id, submitter) WHERE (session_id IS NOT NULL);

COMMENT ON INDEX pgqueue.message_session IS 'pgqueue.stats: the unfinished jobs of this session';

CREATE INDEX queue_declared_by ON pgqueue.queue USING btree (declared_by) WHERE (declared_by <> (0)::oid);

COMMENT ON INDEX pgqueue.queue_declared_by IS 'pgqueue._require_room: how many a role has';

CREATE INDEX queue_name ON pgqueue.queue USING btree (name, declared_by, id);

COMMENT ON INDEX pgqueue.queue_name IS 'pgqueue._declared: the declaration that counts for a message';

CREATE INDEX relay_receipt_received_at ON pgqueue.relay_receipt USING btree (received_at);

COMMENT ON INDEX pgqueue.relay_receipt_received_at IS 'pgqueue._forget_receipts: the old ones';

CREATE INDEX request_cancel ON pgqueue.request USING btree (id) WHERE (kind = 'cancel'::text);

COMMENT ON INDEX pgqueue.request_cancel IS 'pgqueue._cancel_requests: its cost does not depend on the number of detached jobs';

CREATE INDEX result_id ON ONLY pgqueue.result USING btree (id, seq);

COMMENT ON INDEX pgqueue.result_id IS 'A handle finds its result, in order';

CREATE INDEX result_default_id_seq_idx ON pgqueue.result_default USING btree (id, seq);

CREATE INDEX result_waiter_pid ON pgqueue.result_waiter USING btree (pid);

COMMENT ON INDEX pgqueue.result_waiter_pid IS 'pgqueue._collect_results: the tasks that a session waits for';

CREATE INDEX schedule_next_at ON pgqueue.schedule USING btree (next_at) WHERE (enabled AND (next_at IS NOT NULL));

COMMENT ON INDEX pgqueue.schedule_next_at IS 'pgqueue._fire_schedules: what is due. Those that are not due cost nothing';

CREATE INDEX schedule_plan_at ON pgqueue.schedule USING btree (plan_at) WHERE (enabled AND (plan_at IS NOT NULL));

COMMENT ON INDEX pgqueue.schedule_plan_at IS 'pgqueue._schedules_to_plan: whose next instants are to be worked out';

CREATE INDEX schedule_run_fired_at ON pgqueue.schedule_run USING btree (fired_at);

COMMENT ON INDEX pgqueue.schedule_run_fired_at IS 'pgqueue._forget_schedule_runs: what is older than the retention';

CREATE INDEX schedule_run_schedule ON pgqueue.schedule_run USING btree (schedule_id, id);

COMMENT ON INDEX pgqueue.schedule_run_schedule IS 'pgqueue.schedule_runs: the runs of a schedule';

CREATE INDEX sql_task_ended_at ON pgqueue.sql_task USING btree (ended_at) WHERE (ended_at IS NOT NULL);

COMMENT ON INDEX pgqueue.sql_task_ended_at IS 'pgqueue._forget_sql_tasks: what is older than the retention';

CREATE UNIQUE INDEX sql_task_job_id ON pgqueue.sql_task USING btree (job_id) WHERE (ended_at IS NULL);

COMMENT ON INDEX pgqueue.sql_task_job_id IS 'pgqueue._end_sql_task: the task of a job that ends';

CREATE INDEX task_group_expires_at ON pgqueue.task_group USING btree (expires_at);

COMMENT ON INDEX pgqueue.task_group_expires_at IS 'pgqueue._drop_partitions: expired groups';

CREATE INDEX task_result_task_id ON ONLY pgqueue.task_result USING btree (task_id);

COMMENT ON INDEX pgqueue.task_result_task_id IS 'pgqueue._task_results: the rows of a task';

CREATE INDEX task_result_default_task_id_idx ON pgqueue.task_result_default USING btree (task_id);

CREATE UNIQUE INDEX tracked_job_id ON pgqueue.tracked_job USING btree (id);

COMMENT ON INDEX pgqueue.tracked_job_id IS 'Reading or detaching a job ends the tracking';

CREATE INDEX tracked_job_tracked_at ON pgqueue.tracked_job USING btree (tracked_at);

COMMENT ON INDEX pgqueue.tracked_job_tracked_at IS 'pgqueue._drop_partitions: rows of ended sessions';

ALTER INDEX pgqueue.history_id ATTACH PARTITION pgqueue.history_default_id_idx;

ALTER INDEX pgqueue.history_xact ATTACH PARTITION pgqueue.history_default_xact_idx;

ALTER INDEX pgqueue.job_log_line_id ATTACH PARTITION pgqueue.job_log_line_default_id_written_at_place_idx;

ALTER INDEX pgqueue.result_id ATTACH PARTITION pgqueue.result_default_id_seq_idx;

ALTER INDEX pgqueue.task_result_task_id ATTACH PARTITION pgqueue.task_result_default_task_id_idx;

CREATE TRIGGER carry_out INSTEAD OF INSERT ON pgqueue.batch_order FOR EACH ROW EXECUTE FUNCTION pgqueue._make_batch();

CREATE TRIGGER carry_out INSTEAD OF INSERT ON pgqueue.declaration FOR EACH ROW EXECUTE FUNCTION pgqueue._carry_out();

CREATE TRIGGER carry_out INSTEAD OF INSERT ON pgqueue.job_change FOR EACH ROW EXECUTE FUNCTION pgqueue._carry_out_job_change();

CREATE TRIGGER carry_out INSTEAD OF INSERT ON pgqueue.job_order FOR EACH ROW EXECUTE FUNCTION pgqueue._carry_out_job_order();

CREATE TRIGGER carry_out INSTEAD OF INSERT ON pgqueue.schedule_order FOR EACH ROW EXECUTE FUNCTION pgqueue._carry_out_schedule();

CREATE TRIGGER dispatch INSTEAD OF INSERT ON pgqueue.dispatch FOR EACH ROW EXECUTE FUNCTION pgqueue._dispatch();

CREATE CONSTRAINT TRIGGER notice_is_sent AFTER INSERT ON pgqueue.notice DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pgqueue._send_notice();

CREATE TRIGGER put_keyed INSTEAD OF INSERT ON pgqueue.keyed_outbox FOR EACH ROW EXECUTE FUNCTION pgqueue._put_keyed();

CREATE TRIGGER put_keyed_set INSTEAD OF INSERT ON pgqueue.keyed_set FOR EACH ROW EXECUTE FUNCTION pgqueue._put_keyed_set();

CREATE TRIGGER put_row_job INSTEAD OF INSERT ON pgqueue.row_order FOR EACH ROW EXECUTE FUNCTION pgqueue._put_row_job();

CREATE TRIGGER seal_step INSTEAD OF INSERT ON pgqueue.step_order FOR EACH ROW EXECUTE FUNCTION pgqueue._seal_step();

CREATE TRIGGER set_limit INSTEAD OF INSERT ON pgqueue.limiting FOR EACH ROW EXECUTE FUNCTION pgqueue._set_limit();

CREATE TRIGGER set_up INSTEAD OF INSERT ON pgqueue.configuring FOR EACH ROW EXECUTE FUNCTION pgqueue._set_up();

ALTER TABLE ONLY pgqueue.chord_part
    ADD CONSTRAINT chord_part_group_id_fkey FOREIGN KEY (group_id) REFERENCES pgqueue.chord(group_id) ON DELETE CASCADE;

ALTER TABLE pgqueue.activity ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.attempt ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.batch ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.batch_outcome ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.binding ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.chord ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.chord_part ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.compat ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.configured ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.dependency ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.dependency_check ENABLE ROW LEVEL SECURITY;

CREATE POLICY everybody_may_read ON pgqueue.function_file FOR SELECT USING (true);

CREATE POLICY everybody_may_read ON pgqueue.migration FOR SELECT USING (true);

ALTER TABLE pgqueue.exchange ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.failed_job ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.fleet ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.fleet_host ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.function_file ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.history ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.history_default ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.home ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.job_log_line ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.job_log_line_default ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.limit_holder ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.limit_rule ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.limit_state ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.login ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.lost_session ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.message ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.migration ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.nonce ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.notice ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.queue ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.queue_switch ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.relay_receipt ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.relay_route ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.request ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.result ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.result_default ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.result_waiter ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.role_key ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.role_name ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.role_usage ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.run_gate ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.scale_request ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.schedule ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.schedule_run ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.sql_task ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.stat_fold ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.stat_session ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.stat_total ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.task_group ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.task_result ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.task_result_default ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.tracked_job ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.tracked_timeout ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.unique_hold ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.upkeep_failure ENABLE ROW LEVEL SECURITY;

ALTER TABLE pgqueue.worker ENABLE ROW LEVEL SECURITY;

GRANT USAGE ON SCHEMA pgqueue TO pgqueue_worker;
GRANT USAGE ON SCHEMA pgqueue TO pgqueue_monitor;
GRANT USAGE ON SCHEMA pgqueue TO pgqueue_admin;
GRANT USAGE ON SCHEMA pgqueue TO pgqueue_gate;

REVOKE ALL ON FUNCTION pgqueue._handle(id smallint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._handle(id smallint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._handle(id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._handle(id integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._handle(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._handle(id bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._ack(ids bigint[], tokens bigint[], failed bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ack(ids bigint[], tokens bigint[], failed bigint[]) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._ack(ids bigint[], tokens bigint[], failed bigint[]) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._ack_and_claim(worker_id integer, ids bigint[], tokens bigint[], demand jsonb, failed bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ack_and_claim(worker_id integer, ids bigint[], tokens bigint[], demand jsonb, failed bigint[]) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._ack_and_claim(worker_id integer, ids bigint[], tokens bigint[], demand jsonb, failed bigint[]) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._ack_early(ids bigint[], tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ack_early(ids bigint[], tokens bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._acquit(ids bigint[], tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._acquit(ids bigint[], tokens bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._add_chord_part(group_id text, place integer, task_id text, payload bytea, lifetime interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._add_chord_part(group_id text, place integer, task_id text, payload bytea, lifetime interval) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._add_chord_part(group_id text, place integer, task_id text, payload bytea, lifetime interval) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._admit(role regrole, may_enter boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._advisory_locks(class integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._advisory_locks(class integer) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._advisory_locks(class integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._advisory_locks(class integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._advisory_locks(class integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._ambient_settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ambient_settings() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._setting(name text, fallback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._setting(name text, fallback text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._setting(name text, fallback text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._setting(name text, fallback text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._setting(name text, fallback text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._ambient_timeout() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ambient_timeout() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._announce(queue text, id bigint, kept pgqueue.result_kept) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._append_result(id bigint, token bigint, seq integer, rows jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._append_result(id bigint, token bigint, seq integer, rows jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._append_rows(id bigint, seq integer, rows jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._archive(m pgqueue.message, state pgqueue.job_state, error jsonb, command_tags text[], row_count bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._are_notices(notices jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._are_notices(notices jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._are_rows(rows jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._args_repr(args jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._args_repr(args jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._begin_session() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._begin_session() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._call(op text, request jsonb, holds boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._call(op text, request jsonb, holds boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._session_id() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._session_id() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._tracker() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tracker() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._ask_tracked(want_pid integer, want_cookie bigint, mismatch text, sql_length integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ask_tracked(want_pid integer, want_cookie bigint, mismatch text, sql_length integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._auto_delete(queues text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._await_end(role oid, id bigint, max_ms integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._await_results(task_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._await_results(task_ids text[]) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._await_results(task_ids text[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._background_error(pid integer, error jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._background_error(pid integer, error jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._background_setting(name text, fallback integer, least_value integer, greatest_value integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._background_setting(name text, fallback integer, least_value integer, greatest_value integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._begin_any_job(id bigint, token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._begin_any_job(id bigint, token bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._begin_job(id bigint, token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._begin_job(id bigint, token bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._begin_other(id bigint, token bigint, is_found boolean, expires_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._begin_statement(caller_search_path text, settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._begin_statement(caller_search_path text, settings jsonb) TO pgqueue_user;

GRANT INSERT(act) ON TABLE pgqueue.declaration TO pgqueue_user;

GRANT INSERT(name) ON TABLE pgqueue.declaration TO pgqueue_user;

GRANT INSERT(attributes) ON TABLE pgqueue.declaration TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._bind(queue text, exchange text, routing_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._bind(queue text, exchange text, routing_key text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._bind(queue text, exchange text, routing_key text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._topic_pattern(routing_key text) FROM PUBLIC;

GRANT SELECT ON TABLE pgqueue.own_binding TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._bindings(exchange text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._bindings(exchange text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._bindings(exchange text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._bound(bounds jsonb, level integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._bound_roles(kind pgqueue.message_kind, queues text[], bounds jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._callback(task text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._callback(task text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_without_triggers() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_without_triggers() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._refuse_without_triggers() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._refuse_without_triggers() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._caller() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._caller() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._caller() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._caller() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._cancel(role oid, handle pgqueue.handle, grace_ms bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._cancel_dependants(ids bigint[], causes bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._cancel_many(criteria jsonb, grace_ms integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cancel_many(criteria jsonb, grace_ms integer) TO pgqueue_user;

GRANT INSERT(act) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(act) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(id) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(id) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(cookie) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(cookie) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(queue) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(queue) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(label) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(label) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(state) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(state) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(sqlstate) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(sqlstate) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(error) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(error) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(since) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(since) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(until) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(until) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(max_count) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(max_count) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT INSERT(is_dry_run) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT INSERT(is_dry_run) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT SELECT(count) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT SELECT(count) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT SELECT(new_id) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT SELECT(new_id) ON TABLE pgqueue.job_order TO pgqueue_admin;

GRANT SELECT(new_cookie) ON TABLE pgqueue.job_order TO pgqueue_user;
GRANT SELECT(new_cookie) ON TABLE pgqueue.job_order TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._cancel_matching(o pgqueue.job_order, by_administrator boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._cancel_requests(ids bigint[], tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cancel_requests(ids bigint[], tokens bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._cancel_tracked(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._cancel_tracked_now(want_pid integer, want_cookie bigint, grace_ms integer, is_hard boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cancel_tracked_now(want_pid integer, want_cookie bigint, grace_ms integer, is_hard boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cancel_waiting(ids bigint[], reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._capture_for_rows(relation oid, argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._capture_for_rows(relation oid, argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._capture_settings(caller_search_path text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._capture_settings(caller_search_path text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._fingerprint_of(role name, caller_search_path text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fingerprint_of(role name, caller_search_path text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._fingerprint(caller_search_path text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fingerprint(caller_search_path text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._inherited(captured jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._inherited(captured jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._captured_text(caller_search_path text, settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._captured_text(caller_search_path text, settings jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._carry_out() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._carry_out_job_change() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._carry_out_job_order() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._carry_out_schedule() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._celery_schedule_of(expression text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._changed_runners() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._changed_runners() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._changed_runners() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._changed_runners() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._changed_runners() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._check_cron_database(database text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._check_cron_database(database text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._check_cron_schedule(schedule text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._check_cron_schedule(schedule text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._check_dependencies(max_count integer, only_parent bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._check_dependencies(max_count integer, only_parent bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._check_enrollable(role regrole) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_fleet(name text, processes integer, queues text[], executors integer, concurrency integer, restart_after interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_handle(role oid, handle pgqueue.handle, submitter oid, cookie bigint, wrong_cookie text, by_administrators boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_job_filters(o pgqueue.job_order) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_key(unique_key text, unique_for interval, on_conflict text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._check_key(unique_key text, unique_for interval, on_conflict text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._check_key(unique_key text, unique_for interval, on_conflict text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._check_limit(queue text, max_running integer, per_key integer, rate integer, period interval, burst integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_options(sql text, options pgqueue.job_options) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._check_options(sql text, options pgqueue.job_options) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._check_queue(name text, arguments jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_relay(queue text, target text, exchange text, routing_key text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_result(columns jsonb, rows jsonb, output_settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_rows(sql text[], params text[], rows text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._check_rows(sql text[], params text[], rows text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._check_runner(id bigint, submitter oid) FROM PUBLIC;

GRANT INSERT(act) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(act) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(of_role) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(of_role) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(name) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(name) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(expression) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(expression) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(timezone) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(timezone) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(sql) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(sql) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(params) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(params) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(settings) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(settings) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(task) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(task) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(args) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(args) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(kwargs) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(kwargs) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(queue) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(queue) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(priority) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(priority) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(timeout) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(timeout) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(max_attempts) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(max_attempts) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(backoff) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(backoff) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(label) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(label) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(jitter) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(jitter) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(starts_at) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(starts_at) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(ends_at) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(ends_at) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(overlap) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(overlap) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(catch_up) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(catch_up) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT SELECT(id) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT SELECT(id) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(sending) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(sending) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT INSERT(source) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT INSERT(source) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

GRANT SELECT(outcome) ON TABLE pgqueue.schedule_order TO pgqueue_user;
GRANT SELECT(outcome) ON TABLE pgqueue.schedule_order TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._check_schedule(o pgqueue.schedule_order) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_sending(sending jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_setting(setting text, value text, queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_settings(settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_short_text(what text, given text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._check_snooze(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._check_snooze(id bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._check_step(step jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._chord_parts(group_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._chord_parts(group_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._chord_parts(group_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._claim(worker_id integer, kind pgqueue.message_kind, queues text[], max_count integer, role_limit integer, held jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._claim(worker_id integer, kind pgqueue.message_kind, queues text[], max_count integer, role_limit integer, held jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._claim_announced(worker_id integer, queues text[], announced_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._claim_announced(worker_id integer, queues text[], announced_id bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._claim_awaited(waiter_id bigint, waiter_token bigint, awaited_id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._claim_awaited(waiter_id bigint, waiter_token bigint, awaited_id bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._claim_limited(worker_id integer, kind pgqueue.message_kind, from_queue text, max_count integer, role_limit integer, held jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._claim_lost(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._claim_lost(id bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._claim_one(worker_id integer, job_id bigint, is_delivery boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._claim_policy(queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._job_document(id bigint, token bigint, queue text, attempts smallint, submitter oid, sql text, params text[], settings jsonb, timeout interval, kept pgqueue.result_kept, label text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lane(runner oid, kept pgqueue.result_kept, top_level boolean, settings jsonb, params text[], sql text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._claimed_job(m pgqueue.message) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._close_cron_schema(is_own boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._close_loopback() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._close_loopback() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._collect_results(new_ids text[], was_asleep boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._collect_results(new_ids text[], was_asleep boolean) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._collect_results(new_ids text[], was_asleep boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._command_tag(sql text, row_count bigint) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._complete_job(id bigint, token bigint, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb, has_committed boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._complete_job(id bigint, token bigint, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb, has_committed boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._complete_sql_task(m pgqueue.message, row_count bigint, columns jsonb, rows jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._configured_for_all(name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._configured_for_all(name text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._configured_for_all(name text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._configured_for_all(name text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._configured_for_all(name text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._configured_for_queue(queue text, submitter oid, name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._connect_loopback(name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._consume(role oid, handle pgqueue.handle) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._consume_result(handle pgqueue.handle, is_held boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._consume_result(handle pgqueue.handle, is_held boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._continue_member(id bigint, new_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._cookie_of(role oid, id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._copy_schedules(entries jsonb, kept text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._copy_schedules(entries jsonb, kept text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._count_claimed(queue text, role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._count_held(held jsonb, roles oid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._count_messages() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._create_pg_background_1_8() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._create_pg_background_2_0() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._create_pg_cron() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._create_reader(signature text, call text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._create_v2_aliases(others oid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._cron_alter_job(job_id bigint, schedule text, command text, database text, username text, active boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cron_alter_job(job_id bigint, schedule text, command text, database text, username text, active boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cron_field(field_text text, field integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cron_field(field_text text, field integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cut(value text, max_bytes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cut(value text, max_bytes integer) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._cut(value text, max_bytes integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._cut(value text, max_bytes integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._cut(value text, max_bytes integer) TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.schedules TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.schedules TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.schedules TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.schedules TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._cron_job_of(job_id bigint, OUT name text, OUT owner text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cron_job_of(job_id bigint, OUT name text, OUT owner text) TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.cron_job_run TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cron_job_runs() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cron_job_runs() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cron_name(job_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cron_name(job_name text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cron_number(word text, field integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cron_number(word text, field integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cron_of(expression text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cron_of(expression text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cron_schedule(job_name text, schedule text, command text, database text, username text, active boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cron_schedule(job_name text, schedule text, command text, database text, username text, active boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._cron_unschedule(job_id bigint, job_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._cron_unschedule(job_id bigint, job_name text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._current_session_id() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._current_session_id() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._current_session_id() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._current_session_id() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._current_session_id() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._dblink_connect(name text, server text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_connections() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_disconnect(name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_disconnect_unnamed() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_exec(name text, command text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_is_closed() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dblink_query(name text, query text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dead_letter(held pgqueue.message, reason text, detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dead_letters(queue text, max_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._dead_letters(queue text, max_count integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._dead_letters(queue text, max_count integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._dead_letters(queue text, max_count integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._declare_exchange(name text, type text, durable boolean, auto_delete boolean, arguments jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._declare_queue(queue text, durable boolean, exclusive boolean, auto_delete boolean, arguments jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._declared(queue text, role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._defer_job(id bigint, token bigint, note text, delay interval, longest interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._defer_job(id bigint, token bigint, note text, delay interval, longest interval) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._delete_exchange(name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._delete_exchange(name text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._delete_exchange(name text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._delete_queue(queue text, if_unused boolean, if_empty boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._delete_queue(queue text, if_unused boolean, if_empty boolean) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._delete_queue(queue text, if_unused boolean, if_empty boolean) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._delete_task_group(group_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._delete_task_group(group_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._delete_task_group(group_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._depend(ids bigint[], cookies bigint[], options pgqueue.job_options) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._depend(ids bigint[], cookies bigint[], options pgqueue.job_options) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._held_key(id bigint, token bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._describe_tracked(job pgqueue.tracked_job, sql_length integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._detach(role oid, handle pgqueue.handle) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._dispatch() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._do_upkeep(part text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._doze(run_key bigint, since timestamp with time zone, left_s double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._doze(run_key bigint, since timestamp with time zone, left_s double precision) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._drain(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._drain(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._drop_binding(holder oid, unwanted_queue text, unwanted_exchange text, unwanted_key text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._drop_compat(schema text, extension text, behavior text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._drop_exchange(holder oid, unwanted text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._drop_partitions(older_than interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._drop_queue(queue text, if_unused boolean, if_empty boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._drop_runner(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._due_if_replaced(there pgqueue.message, on_conflict text, due_at timestamp with time zone, unique_for interval, now_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._due_instants(s pgqueue.schedule, due_until timestamp with time zone, OUT instants timestamp with time zone[], OUT latest timestamp with time zone, OUT missed integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._duration_bounds() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._duration_bounds() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._duration_bounds() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._end_batch_if_done(batch_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._end_hold(is_done boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._end_hold(is_done boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._end_job(id bigint, state pgqueue.job_state, error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._end_member(m pgqueue.message) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._end_of_reading(job jsonb, old_settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._end_of_reading(job jsonb, old_settings jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._end_sql_task(m pgqueue.message, outcome jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._end_task(m pgqueue.message, state text, reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._ended_job(id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._ended_jobs(ids bigint[], detailed integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._ended_jobs(ids bigint[], detailed integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._ending_steps(is_deferring text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._enqueue(kept pgqueue.result_kept, settings jsonb, sql text, params text[], options pgqueue.job_options) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enqueue(kept pgqueue.result_kept, settings jsonb, sql text, params text[], options pgqueue.job_options) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._enqueue_for_trigger(argv text[], settings jsonb, op text, table_schema text, table_name text, new_row jsonb, old_row jsonb, params text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enqueue_for_trigger(argv text[], settings jsonb, op text, table_schema text, table_name text, new_row jsonb, old_row jsonb, params text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._enqueue_many(kept pgqueue.result_kept, settings jsonb, sql text[], params text[], options pgqueue.job_options, unique_keys text[], rows text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enqueue_many(kept pgqueue.result_kept, settings jsonb, sql text[], params text[], options pgqueue.job_options, unique_keys text[], rows text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._enroll_member(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._enroll_self() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enroll_self() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._enter_job(id bigint, token bigint, names text[], setting_values text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._enter_job(id bigint, token bigint, names text[], setting_values text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._error_info(want_pid integer, want_cookie bigint, OUT sqlstate text, OUT message text, OUT detail text, OUT hint text, OUT context text, OUT schema_name text, OUT table_name text, OUT column_name text, OUT constraint_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._error_info(want_pid integer, want_cookie bigint, OUT sqlstate text, OUT message text, OUT detail text, OUT hint text, OUT context text, OUT schema_name text, OUT table_name text, OUT column_name text, OUT constraint_name text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._error_of(handle pgqueue.handle, answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._error_of(handle pgqueue.handle, answer jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._estimate_messages(percent double precision, max_rows integer, max_lines integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._every_of(expression text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._exchange_exists(name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._exchange_exists(name text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._exchange_exists(name text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._executor_fault(OUT problem text, OUT sqlstate text, OUT hint text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._executor_login(OUT role text, OUT password text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._executor_login(OUT role text, OUT password text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._executor_name() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._task_expiry(sending jsonb, due_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._expire_at(sending jsonb, due_at timestamp with time zone, queue text, role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._expire_messages(queues text[], max_count integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._expire_queues() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._expire_task_results() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._fail_any_job(id bigint, token bigint, error jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fail_any_job(id bigint, token bigint, error jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._fail_for_good(m pgqueue.message, error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._fail_job(id bigint, token bigint, error jsonb, run_s double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fail_job(id bigint, token bigint, error jsonb, run_s double precision) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._fail_sql_task(m pgqueue.message, state pgqueue.job_state, error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._failing_upkeep() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._failing_upkeep() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._failing_upkeep() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._failing_upkeep() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._failing_upkeep() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._matches(value text, filter text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._matches(value text, filter text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._matches(value text, filter text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._matches(value text, filter text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._matches(value text, filter text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._failures_to_explain(o pgqueue.job_order) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._setting_fault(name text, value text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._faulty_settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._faulty_settings() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._faulty_settings() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._faulty_settings() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._faulty_settings() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._fetch_result(handle pgqueue.handle, may_hold boolean, OUT seq bigint, OUT answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fetch_result(handle pgqueue.handle, may_hold boolean, OUT seq bigint, OUT answer jsonb) TO pgqueue_user;

GRANT SELECT(cookie),INSERT(cookie) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT SELECT(cookie),INSERT(cookie) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(session_id) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(session_id) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(due_at) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(due_at) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(expires_at) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(expires_at) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(kind) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(kind) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(kept) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(kept) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(priority) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(priority) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(max_attempts) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(max_attempts) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(queue) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(queue) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(sql) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(sql) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(params) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(params) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(settings) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(settings) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(timeout) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(timeout) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(backoff) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(backoff) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(label) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(label) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(unique_key) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(unique_key) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(limit_key) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(limit_key) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(payload) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(payload) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(unique_for) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(unique_for) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(on_conflict) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(on_conflict) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(exchange) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(exchange) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(after) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(after) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(on_parent_failure) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(on_parent_failure) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(batch) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(batch) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(continues_id) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(continues_id) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT INSERT(continues_token) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT INSERT(continues_token) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT SELECT(id) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT SELECT(id) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT SELECT(task_id) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT SELECT(task_id) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

GRANT SELECT(outcome) ON TABLE pgqueue.keyed_outbox TO pgqueue_user;
GRANT SELECT(outcome) ON TABLE pgqueue.keyed_outbox TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._find_key_owner(k pgqueue.keyed_outbox) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._find_parents(role oid, parents pgqueue.handle[], OUT unfinished bigint[], OUT committed bigint[], OUT unsuccessful bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._find_schedule(owner oid, name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._find_tracked(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._finish_chord(group_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._finish_chord(group_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._finish_chord(group_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._finish_other(id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._fire(ids bigint[], due_until timestamp with time zone, is_manual boolean, refusal text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._fire_schedules(max_count integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._first_block(part regclass, since timestamp with time zone, OUT first bigint, OUT blocks bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._fit_casts(answer jsonb, casts text[], misfit text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fit_casts(answer jsonb, casts text[], misfit text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._fleet_lease() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._fleet_lease() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._fleet_lease() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._fleet_lease() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._fold_stats() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_batches(ended_before timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_cron_run() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_dropped_roles() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_earlier_runs(ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_failures(ended_before timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_fleet_hosts() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_keys() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_limits() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_receipts() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_scale_requests() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_schedule_runs(older_than interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_sql_tasks(ended_before timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._forget_task_result(task_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._forget_task_result(task_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._forget_task_result(task_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._forward_notices(notices jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._forward_notices(notices jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._full_sql(want_pid integer, want_cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._full_sql(want_pid integer, want_cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._gate(op text, role oid, nonce bigint, request text, proof text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._gate(op text, role oid, nonce bigint, request text, proof text) TO pgqueue_gate;

REVOKE ALL ON FUNCTION pgqueue._give_up(m pgqueue.message, error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._give_up_queue(holder oid, queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._goes_straight(exchange text, routing_key text, eta timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._goes_straight(exchange text, routing_key text, eta timestamp with time zone) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._goes_straight(exchange text, routing_key text, eta timestamp with time zone) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._grant_background(member text, is_grant boolean, print_commands boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._groupable_job(role oid, group_commit integer, of_roles jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._grow_chord(group_id text, lifetime interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._grow_chord(group_id text, lifetime interval) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._grow_chord(group_id text, lifetime interval) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._hand_in(kept pgqueue.result_kept, settings jsonb, sql text, params text[], options pgqueue.job_options) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._hand_in(kept pgqueue.result_kept, settings jsonb, sql text, params text[], options pgqueue.job_options) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._queue_channel(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._queue_channel(queue text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._hand_over(queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._handle_of(job jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._handle_of(job jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._handles_in(value jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._handles_in(value jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._has_part(value text, filter text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._has_part(value text, filter text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._has_part(value text, filter text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._has_part(value text, filter text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._has_part(value text, filter text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._has_ready_job(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._has_ready_job(queue text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._has_schedules_to_plan() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lock_class(purpose text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._lock_class(purpose text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._lock_class(purpose text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._lock_class(purpose text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._lock_class(purpose text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._has_takers(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._has_takers(queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._has_takers(queue text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._has_takers(queue text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._has_takers(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._has_task_takers(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._has_task_takers(queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._has_task_takers(queue text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._has_task_takers(queue text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._has_task_takers(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._reading_settings(settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._typed_columns(columns jsonb, stranger oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._head_of_result(role oid, ended pgqueue.history, columns jsonb, output_settings jsonb, notices jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._import_schedule(o pgqueue.schedule_order) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._import_schedules(source text, entries jsonb, is_dry boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._import_schedules(source text, entries jsonb, is_dry boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._inheritable_names() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._inheritable_names() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._inherited_timeout(captured jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._inherited_timeout(captured jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._interval_argument(arguments jsonb, name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_acceptable(m pgqueue.message) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_acceptable(m pgqueue.message) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_at_home() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_at_home() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._is_at_home() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._is_at_home() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._is_at_home() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._is_canceled(role oid, handle pgqueue.handle) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_given_up(id bigint, max_attempts integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_intact(runner oid, runner_xid xid, role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_key_taken(role oid, key text, except_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_operator(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_own_event(payload json) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_own_event(payload json) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_own_queue(queue text, holder oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_own_row(xmin xid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_plain(relation oid, columns text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_plain(relation oid, columns text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_plain_call(options pgqueue.job_options) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_plain_call(options pgqueue.job_options) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_plain_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, headers jsonb, link text, errback text, limit_key text, unique_key text, unique_for interval, on_conflict text, after pgqueue.handle[], on_parent_failure text, batch bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_plain_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, headers jsonb, link text, errback text, limit_key text, unique_key text, unique_for interval, on_conflict text, after pgqueue.handle[], on_parent_failure text, batch bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_plain_trigger(argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_plain_trigger(argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_present(worker_id integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_present(worker_id integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._is_raised_in_run(error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_revoked_by_worker(payload json) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_sealed_outcome(task_id text, seal text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._is_traceparent(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_traceparent(value text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_usual_job(cookie bigint, sql text, params text[], settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_usual_job(cookie bigint, sql text, params text[], settings jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_usual_queue(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._is_usual_queue(queue text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._is_worker_login() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._job_log_of(role oid, handle pgqueue.handle) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._job_message(id bigint, token bigint, queue text, priority smallint, deliveries smallint, attempts smallint, submitter oid, sql text, params text[], settings jsonb, timeout interval, kept pgqueue.result_kept, label text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._job_steps(job_id text, is_deferring text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._job_totals() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._job_totals() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._job_totals() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._jobs_of(sql text[], params text[], unique_keys text[], rows text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._jobs_of(sql text[], params text[], unique_keys text[], rows text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._jobs_to_cancel(o pgqueue.job_order, by_administrator boolean, launched_until timestamp with time zone, max_count integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._json_value(type oid, value text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._keep_captured(content text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._keep_captured(content text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._keep_claims(worker_id integer, ids bigint[], begun bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._keep_claims(worker_id integer, ids bigint[], begun bigint[]) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._keep_claims(worker_id integer, ids bigint[], begun bigint[]) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._keep_key(id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._keep_notices(id bigint, token bigint, notices jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._keep_notices(id bigint, token bigint, notices jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._kept_error(error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._kept_jobs(ids bigint[], tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._kept_jobs(ids bigint[], tokens bigint[]) TO pgqueue_worker;

GRANT INSERT(session_id) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(due_at) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(expires_at) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(kept) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(priority) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(max_attempts) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(queue) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(settings) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(timeout) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(backoff) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(label) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(limit_key) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(unique_for) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(on_conflict) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(waits) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(seed) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(statements) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(params) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(unique_keys) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT INSERT(rows) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT SELECT(ids) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT SELECT(cookies) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT SELECT(put_ids) ON TABLE pgqueue.keyed_set TO pgqueue_user;

GRANT SELECT(put_cookies) ON TABLE pgqueue.keyed_set TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._keyed_jobs(k pgqueue.keyed_set) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._keyed_roles(kind pgqueue.message_kind, queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._keys_after(kind pgqueue.message_kind, queue text, role oid, after text, max_count integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._known_setting() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._known_setting() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._known_setting() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._known_setting() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._known_setting() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._settings() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._known_settings(backend_pid integer, captured jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._known_settings(backend_pid integer, captured jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._knows_queue(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._knows_queue(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._kwargs_repr(kwargs jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._kwargs_repr(kwargs jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._launch(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._launch_and_wait(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT finished boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._launch_and_wait(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT finished boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._launch_tracked(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lead_or_follow(kinds text[], queues text[], steady boolean[], OUT asleep boolean, OUT seconds_to_next_due double precision, OUT roles text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._lead_or_follow(kinds text[], queues text[], steady boolean[], OUT asleep boolean, OUT seconds_to_next_due double precision, OUT roles text[]) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._lead_or_follow(kinds text[], queues text[], steady boolean[], OUT asleep boolean, OUT seconds_to_next_due double precision, OUT roles text[]) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._leader_key(kind text, queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._leave_fleet(host text, instance uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._leave_fleet(host text, instance uuid) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._limit(name text, fallback integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._limit(name text, fallback integer) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._limit(name text, fallback integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._limit(name text, fallback integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._limit(name text, fallback integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._limit_turns(rule pgqueue.limit_rule, role oid, is_total boolean, keys text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._limited_among(kind pgqueue.message_kind, queues text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._limited_queues(queues text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._line_bytes(message text, detail text, hint text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._link(role oid, ids bigint[], after pgqueue.handle[], on_parent_failure text, batch bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._list_scheduled(queues text[], max_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._list_scheduled(queues text[], max_count integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._list_tracked(criteria jsonb, OUT pid integer, OUT cookie bigint, OUT launched_at timestamp with time zone, OUT user_id oid, OUT queue_size integer, OUT state text, OUT sql_preview text, OUT last_error text, OUT consumed boolean, OUT label text, OUT backend_pid integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._list_tracked(criteria jsonb, OUT pid integer, OUT cookie bigint, OUT launched_at timestamp with time zone, OUT user_id oid, OUT queue_size integer, OUT state text, OUT sql_preview text, OUT last_error text, OUT consumed boolean, OUT label text, OUT backend_pid integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._locate(role oid, handle pgqueue.handle, wrong_cookie text, by_administrators boolean, OUT live boolean, OUT state pgqueue.job_state, OUT kept pgqueue.result_kept, OUT worker_id integer, OUT running boolean, OUT run_key bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lock_continued(id bigint, token bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lock_failed_job(o pgqueue.job_order, by_administrator boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lock_job(id bigint, token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._lock_job(id bigint, token bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._lock_key(role oid, kind pgqueue.message_kind, key text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lock_keys(role oid, keys text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lock_waiting(ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lock_with_dependants(ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._loopback_conninfo(host text, port text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._loopback_name() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._loopback_name() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._loopback_name() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._loopback_name() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._loopback_name() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._loopback_options() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._loopback_places() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._lowest_tracked(session bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_background_role() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_batch() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_counts(rule pgqueue.limit_rule, role oid, is_total boolean, keys text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_group_runner(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_partitions() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_result_runner(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_runner(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._make_worker_login(OUT role text, OUT password text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._max_attempts(m pgqueue.message) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._worker_number(name text, fallback integer, least_value integer, greatest_value integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._max_deliveries(queue text, submitter oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._may_be_bounded(queues text[], excess_seconds double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._may_enter(submitter oid, queue text, payload json) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._may_enter(submitter oid, queue text, payload json) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._may_keep_result(role oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._may_keep_result(role oid) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._may_log_in(role oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._may_log_in(role oid) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._member_settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._member_settings() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._message_to_send(sending jsonb, task text, args jsonb, kwargs jsonb, queue text, priority integer, due_at timestamp with time zone, task_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._message_ttl(queue text, submitter name) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._message_ttl(queue text, submitter name) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._message_ttl(queue text, submitter name) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._messages(max_pages integer, max_rows integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._messages(max_pages integer, max_rows integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._messages(max_pages integer, max_rows integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._minute_key(key text, minutes_ago integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._misfit(answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._misfit(answer jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._naptime() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._naptime() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._needs_top_level(error jsonb, sql text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._needs_top_level(error jsonb, sql text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._new_role_steps() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._nth_of(anchor timestamp with time zone, every interval, instant timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._next_by_interval(anchor timestamp with time zone, every interval, after timestamp with time zone, ends_at timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._next_of_keys(kind pgqueue.message_kind, queue text, role oid, keys text[], shares integer[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._next_of_role(kind pgqueue.message_kind, queue text, role oid, max_count integer, bounds jsonb, above bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._next_overdue(kind pgqueue.message_kind, queue text, max_count integer, bounds jsonb, role_limit integer, held jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._next_queues(kind pgqueue.message_kind, queues text[], max_count integer, is_cheap boolean, role_limit integer, held jsonb, OUT chosen text[], OUT rest text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._next_ready(kind pgqueue.message_kind, queue text, max_count integer, bounds jsonb, role_limit integer, held jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._nobody_sleeps(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._nobody_sleeps(queue text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._note_attempt(m pgqueue.message, error jsonb, started_at timestamp with time zone, worker text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_binding(holder oid, wanted_queue text, wanted_exchange text, wanted_key text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_exchange(holder oid, wanted_name text, wanted jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_limit_wait(seconds double precision) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_members(ids bigint[], have_succeeded boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_queue(holder oid, wanted_name text, wanted jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_receipts(source text, ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._note_receipts(source text, ids text[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._note_roles() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._note_run(id bigint, token bigint, pid integer, run_s double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._note_run(id bigint, token bigint, pid integer, run_s double precision) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._note_usage() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._notify_at_commit(channel text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._notify_at_commit(channel text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._number_as_name(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._number_as_name(id bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._objects_like_pg_background(schema_name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._open_batch(role oid, batch_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._options(queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, label text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._options(queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, label text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._outcome(want_pid integer, want_cookie bigint, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._outcome(want_pid integer, want_cookie bigint, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._outcome_of(job jsonb, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._outcome_of(job jsonb, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT label text, OUT launched_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._outcome_seal(seal_key text, task_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._over_loopback(op text, role oid, nonce bigint, request text, proof text, holds boolean, closes boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._over_loopback(op text, role oid, nonce bigint, request text, proof text, holds boolean, closes boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._overdue_schedule() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._oversee(ids bigint[], tokens bigint[], pids integer[], least_ms integer, grace_ms integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._oversee(ids bigint[], tokens bigint[], pids integer[], least_ms integer, grace_ms integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._own_sleep_locks(OUT sleeps integer[], OUT waits integer[], OUT leads integer[], OUT follows integer[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._owner_fault(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._partition_name(parent text, day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._pause_schedules_of(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._peek(queue text, max_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._peek(queue text, max_count integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._peek(queue text, max_count integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._peek(queue text, max_count integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._prints_alike(json_text text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._prints_alike(json_text text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._plain_task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, task_id text, ignore_result boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._plain_task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, task_id text, ignore_result boolean) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._plan_schedules(plans jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._plan_schedules(plans jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._postpone(id bigint, token bigint, due_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._postpone(id bigint, token bigint, due_at timestamp with time zone) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._progress_of(role oid, handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._progress_of_tracked(want_pid integer, want_cookie bigint, OUT progress_pct integer, OUT progress_msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._progress_of_tracked(want_pid integer, want_cookie bigint, OUT progress_pct integer, OUT progress_msg text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._promote(max_count integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._promote_followers(kind text, queue text, max_count integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._prune_history() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._prune_schedule(o pgqueue.schedule_order) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._publish(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._publish(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._publish(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._publish_keyed(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text, unique_key text, unique_for interval, on_conflict text, dependence jsonb, OUT reached integer, OUT task_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._publish_keyed(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text, unique_key text, unique_for interval, on_conflict text, dependence jsonb, OUT reached integer, OUT task_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._publish_keyed(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text, unique_key text, unique_for interval, on_conflict text, dependence jsonb, OUT reached integer, OUT task_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._publish_otherwise(exchange text, routing_key text, message json, priority integer, eta timestamp with time zone, expires timestamp with time zone, limit_key text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._purge(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._purge(queue text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._put_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], options pgqueue.job_options, cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._put_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], options pgqueue.job_options, cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._put_keyed() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._put_keyed_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], options pgqueue.job_options, cookie bigint, due_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._put_keyed_job(submitter oid, kept pgqueue.result_kept, settings jsonb, session_id bigint, sql text, params text[], options pgqueue.job_options, cookie bigint, due_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._put_keyed_set() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._put_message(k pgqueue.keyed_outbox) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._put_notices(m pgqueue.message, notices jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._put_off(id bigint, token bigint, delay_ms bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._put_result(m pgqueue.message, command_tags text[], row_count bigint, columns jsonb, rows jsonb, output_settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._put_row_job() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._put_schedule(o pgqueue.schedule_order) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._put_task(submitter oid, queue text, message json, priority integer, due_at timestamp with time zone, expires timestamp with time zone, limit_key text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._python_repr(value jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._python_repr(value jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._python_string_repr(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._python_string_repr(value text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._queue_consumers(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._queue_consumers(queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._queue_consumers(queue text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._queue_exists(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._queue_exists(queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._queue_exists(queue text) TO pgqueue_worker;

GRANT SELECT ON TABLE pgqueue.own_task TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._queue_size(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._queue_size(queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._queue_size(queue text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._raise(error jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._raise(error jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._raise_again(state text, message text, detail text, hint text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._raise_again(state text, message text, detail text, hint text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._raise_bounds(bounds jsonb, ids bigint[], must_lower boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._raise_tracked(pid integer, error jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._raise_tracked(pid integer, error jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._raiser(said_at text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._raiser(said_at text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._random_bigint() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._random_bigint() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._rank(priority smallint, id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._read_result(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._read_result(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._read_tracked(want_pid integer, want_cookie bigint, version text, OUT is_first boolean, OUT reader text, OUT rows jsonb, OUT tags text[], OUT answer jsonb, OUT job jsonb, OUT old_settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._read_tracked(want_pid integer, want_cookie bigint, version text, OUT is_first boolean, OUT reader text, OUT rows jsonb, OUT tags text[], OUT answer jsonb, OUT job jsonb, OUT old_settings jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._readdressed(payload json, exchange text, routing_key text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._ready_roles(kind pgqueue.message_kind, queue text, after oid, max_count integer, bounds jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._reclaim(max_deliveries integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._reclaim_grace() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_canceled(id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_change(what text, name text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_excess(role oid, over_quota text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_excess(role oid, over_quota text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_large_value() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_loopback(loopback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_loopback(loopback text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_message(m pgqueue.message) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_message(m pgqueue.message) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_overdue(id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_params() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_params() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_place() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_place() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_result(what text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_runner(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_sql_task(task_id text, is_counted boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_sql_task(task_id text, is_counted boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._refuse_stranger(role oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_stranger(role oid) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_taken(unique_key text, held pgqueue.unique_hold, is_live boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._refuse_traceparent(value text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_traceparent(value text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._refuse_virtual(relation oid, columns text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._refuse_virtual(relation oid, columns text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._register_worker(name text, executors integer, predecessor integer, ids bigint[], tokens bigint[], begun bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._register_worker(name text, executors integer, predecessor integer, ids bigint[], tokens bigint[], begun bigint[]) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._register_worker(name text, executors integer, predecessor integer, ids bigint[], tokens bigint[], begun bigint[]) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._reject(ids bigint[], tokens bigint[], detail text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._reject(ids bigint[], tokens bigint[], detail text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._reject(ids bigint[], tokens bigint[], detail text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._relay_queues() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._relay_queues() TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._release(ids bigint[], tokens bigint[], undelivered boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._release(ids bigint[], tokens bigint[], undelivered boolean) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._release(ids bigint[], tokens bigint[], undelivered boolean) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._release_dependant(job_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._release_sorted(ids bigint[], tokens bigint[], have_begun boolean[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._release_waiting(ids bigint[], tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._release_waiting(ids bigint[], tokens bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._renumber_roles(old_numbers oid[], new_numbers oid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._repair_executor() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._repair_home() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._repair_loopback() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._replace_leader(kinds text[], queues text[], OUT replaced boolean[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._replace_leader(kinds text[], queues text[], OUT replaced boolean[]) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._replace_leader(kinds text[], queues text[], OUT replaced boolean[]) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._replace_waiting(there pgqueue.message, k pgqueue.keyed_outbox) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._report_fleet(host text, instance uuid, pid integer, processes jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._report_fleet(host text, instance uuid, pid integer, processes jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._report_progress(caller text, pct integer, msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._report_progress(caller text, pct integer, msg text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._reported_processes(processes jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._reported_processes(processes jsonb) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._reported_processes(processes jsonb) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._reported_processes(processes jsonb) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._request(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._request(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._request_cancel(id bigint, token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._request_cancel(id bigint, token bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._require_enrolled() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._require_enrolled() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._require_home() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._require_home() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._require_login(role oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._require_login(role oid) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._require_observable(queues text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._require_observers_claim(worker_id integer, demand jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._require_operator(role oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._require_operator(role oid) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._require_own_worker(worker_id integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._require_part(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._require_quota(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._require_readable(want_pid integer, job jsonb, version text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._require_readable(want_pid integer, job jsonb, version text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._require_room(role oid, what text, present bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._reset_session() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._reset_session() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._result_hint(answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._result_hint(answer jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._result_info(want_pid integer, want_cookie bigint, OUT row_count bigint, OUT command_tag text, OUT completed boolean, OUT has_error boolean, OUT started_at timestamp with time zone, OUT finished_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._result_info(want_pid integer, want_cookie bigint, OUT row_count bigint, OUT command_tag text, OUT completed boolean, OUT has_error boolean, OUT started_at timestamp with time zone, OUT finished_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._result_of(role oid, handle pgqueue.handle, holds boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._result_reader(answer jsonb, casts text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._result_reader(answer jsonb, casts text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._retried_jobs(ids bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._retried_jobs(ids bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._retry_deferred(role oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._retry_deferred(role oid) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._retry_one(o pgqueue.job_order, by_administrator boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._retry_or_discard(o pgqueue.job_order, by_administrator boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._revoke_sql_tasks(task_ids text[], terminate boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._revoke_sql_tasks(task_ids text[], terminate boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._revoke_task(m pgqueue.message, reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._role_after(queue text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._role_here(number oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._role_limit(OUT executors integer, OUT has_others boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._role_limit(OUT executors integer, OUT has_others boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._role_timeout(of_roles jsonb, role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._roles_without_runner() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._roles_without_runner() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._roles_without_runner() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._roles_without_runner() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._roles_without_runner() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._route(exchange text, routing_key text, submitter oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._row_params(argv text[], row_json jsonb, relation oid) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._row_params(argv text[], row_json jsonb, relation oid) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._row_params_query(argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._row_params_query(argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._row_secret() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._run_ending(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._run_ending(id bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._run_key_of(id bigint, token bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._run_query(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, col_def text, OUT reader text, OUT pid integer, OUT cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._run_query(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, col_def text, OUT reader text, OUT pid integer, OUT cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._run_tracked(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT run_label text, OUT launched_at timestamp with time zone, OUT timed_out boolean, OUT elapsed_ms bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._run_tracked(settings jsonb, sql text, queue_size integer, timeout_ms integer, label text, OUT pid integer, OUT cookie bigint, OUT state text, OUT consumed boolean, OUT completed boolean, OUT has_error boolean, OUT row_count bigint, OUT command_tag text, OUT sqlstate text, OUT error_message text, OUT run_label text, OUT launched_at timestamp with time zone, OUT timed_out boolean, OUT elapsed_ms bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._runner_step(error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._running_message(id bigint, token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._running_message(id bigint, token bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._runs(id bigint, token bigint, pid integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._runs_code(type oid, reader oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._said_at(handle pgqueue.handle, answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._said_at(handle pgqueue.handle, answer jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._sample_waits(pids integer[], OUT waiting integer, OUT running integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._sample_waits(pids integer[], OUT waiting integer, OUT running integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._save_task_group(group_id text, payload bytea, lifetime interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._save_task_group(group_id text, payload bytea, lifetime interval) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._save_task_group(group_id text, payload bytea, lifetime interval) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._say(level text, code text, message text, detail text, hint text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._say(level text, code text, message text, detail text, hint text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._say_what_stays(o pgqueue.job_order, may_see_all boolean, roles oid[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._schedule_grace() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._schedule_lateness() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._schedule_lateness() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._schedule_lateness() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._schedules_to_plan(max_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._schedules_to_plan(max_count integer) TO pgqueue_worker;

GRANT SELECT ON TABLE pgqueue.function_file TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.function_file TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.function_file TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.function_file TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.migration TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.migration TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.migration TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.migration TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._schema_version() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._schema_version() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._schema_version() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._schema_version() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._schema_version() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._seal_step() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._sealed_by(step jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._search_jobs(state text, queue text, label text, submitter text, statement text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, before bigint, max_count integer, patience interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._search_jobs(state text, queue text, label text, submitter text, statement text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, before bigint, max_count integer, patience interval) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._search_jobs(state text, queue text, label text, submitter text, statement text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, before bigint, max_count integer, patience interval) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._search_jobs(state text, queue text, label text, submitter text, statement text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, before bigint, max_count integer, patience interval) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._search_jobs(state text, queue text, label text, submitter text, statement text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, before bigint, max_count integer, patience interval) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._search_step(before bigint, part text, since timestamp with time zone, until timestamp with time zone, is_first boolean, OUT beginning bigint, OUT ending bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._search_step(before bigint, part text, since timestamp with time zone, until timestamp with time zone, is_first boolean, OUT beginning bigint, OUT ending bigint) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._search_step(before bigint, part text, since timestamp with time zone, until timestamp with time zone, is_first boolean, OUT beginning bigint, OUT ending bigint) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._search_step(before bigint, part text, since timestamp with time zone, until timestamp with time zone, is_first boolean, OUT beginning bigint, OUT ending bigint) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._search_step(before bigint, part text, since timestamp with time zone, until timestamp with time zone, is_first boolean, OUT beginning bigint, OUT ending bigint) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._seconds_in(value jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._seconds_in(value jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._seconds_to_next_due() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._seconds_to_next_schedule(overdue_before timestamp with time zone) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._seeded_bigint(seed bytea, n bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._seeded_bigint(seed bytea, n bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._seen_columns(relation oid, columns text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._seen_columns(relation oid, columns text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._send_at(sending jsonb, jitter interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._send_notice() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._send_otherwise(task text, args jsonb, kwargs jsonb, task_id text, headers jsonb, ignore_result boolean, link text, errback text, options pgqueue.job_options) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._send_otherwise(task text, args jsonb, kwargs jsonb, task_id text, headers jsonb, ignore_result boolean, link text, errback text, options pgqueue.job_options) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._sending_of(headers jsonb, expires interval, ignore_result boolean, link text, errback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._sending_of(headers jsonb, expires interval, ignore_result boolean, link text, errback text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._server_settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._server_settings() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._server_settings() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._server_settings() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._server_settings() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._session_setting(name text, fallback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._session_setting(name text, fallback text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._session_setting(name text, fallback text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._session_setting(name text, fallback text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._session_setting(name text, fallback text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._session_settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._session_settings() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._set_background_defaults(is_set boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._set_chord_size(group_id text, size integer, lifetime interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_chord_size(group_id text, size integer, lifetime interval) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._set_chord_size(group_id text, size integer, lifetime interval) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._set_limit() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._set_loopback(host text, port text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._set_paused(queue text, paused boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._set_progress(id bigint, token bigint, pct integer, msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_progress(id bigint, token bigint, pct integer, msg text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._set_run_progress(id bigint, token bigint, pid integer, pct integer, msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_run_progress(id bigint, token bigint, pid integer, pct integer, msg text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._set_up() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._set_worker_executors(worker_id integer, executors integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_worker_executors(worker_id integer, executors integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._set_worker_executors(worker_id integer, executors integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._set_worker_kinds(worker_id integer, kinds pgqueue.message_kind[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_worker_kinds(worker_id integer, kinds pgqueue.message_kind[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._set_worker_queues(worker_id integer, queues text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_worker_queues(worker_id integer, queues text[]) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._set_worker_queues(worker_id integer, queues text[]) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._set_worker_targets(worker_id integer, targets text[], has_jobs boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._set_worker_targets(worker_id integer, targets text[], has_jobs boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._setting_steps(job_id text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._settings_holder(role oid) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._with_durability(settings jsonb, durability text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._with_durability(settings jsonb, durability text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._settings_of_job(settings jsonb, options pgqueue.job_options) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._settings_of_job(settings jsonb, options pgqueue.job_options) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._settle_batch(batch_id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._settle_child(child bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._settle_dependants(parents bigint[], have_succeeded boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._settle_here(is_elsewhere boolean) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._settle_members(ids bigint[], failed bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._settle_run(ids bigint[], tokens bigint[], error jsonb, is_jobs boolean, run_seconds double precision, pid integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._settle_run(ids bigint[], tokens bigint[], error jsonb, is_jobs boolean, run_seconds double precision, pid integer) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._shape_digest(shape text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._shape_digest(shape text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._shape_digest(shape text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._shape_digest(shape text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._shape_digest(shape text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._shape_of_code(code text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._shape_of_code(code text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._shape_of_code(code text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._shape_of_code(code text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._shape_of_code(code text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._share_of_room(room integer, parts integer, most integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._shown(repr text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._shown(repr text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._slow_since() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._slow_since() TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._slow_since() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._slow_since() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._slow_since() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._snooze_job(id bigint, token bigint, note text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._untrack_now(request jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._untrack_now(request jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._spare_tracked(job jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._spare_tracked(job jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._sql_task_value(result text, row_count bigint, columns jsonb, rows jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._start_sql_task(id bigint, token bigint, step jsonb, previous text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._start_sql_task(id bigint, token bigint, step jsonb, previous text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._state_rank(state text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._state_rank(state text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._state_rank(state text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._state_rank(state text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._state_rank(state text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._statement_of(role oid, handle pgqueue.handle) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._statement_settings() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._statement_settings() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._statement_shape(sql text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._statement_shape(sql text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._statement_shape(sql text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._statement_shape(sql text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._statement_shape(sql text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._status(handle pgqueue.handle, wait jsonb, OUT state pgqueue.job_state, OUT live boolean, OUT run_key bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._status(handle pgqueue.handle, wait jsonb, OUT state pgqueue.job_state, OUT live boolean, OUT run_key bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._step_digest(seal_key text, step jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._step_down(kinds text[], queues text[], successors integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._step_down(kinds text[], queues text[], successors integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._step_down(kinds text[], queues text[], successors integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._step_options(step jsonb, queue text, priority integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._step_params(step jsonb, previous text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._stop_awaiting(task_ids text[], was_asleep boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._stop_awaiting(task_ids text[], was_asleep boolean) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._stop_awaiting(task_ids text[], was_asleep boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._stop_run(id bigint, token bigint, pid integer, is_final boolean, behind_ids bigint[], behind_tokens bigint[], xact bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._stop_run(id bigint, token bigint, pid integer, is_final boolean, behind_ids bigint[], behind_tokens bigint[], xact bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._store_task_result(task_id text, state text, content_type text, payload bytea, lifetime interval, patience text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._submit_keyed(k pgqueue.keyed_outbox) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._sum_counts(counts bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._suspect(ids bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._suspect_unclaimed(ids bigint[], error jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._swap_settings(settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._swap_settings(settings jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._take_over_job(worker_id integer, job_id bigint, claim bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._take_over_job(worker_id integer, job_id bigint, claim bigint) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._take_role(role text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._take_role(role text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._take_sleep_locks(queues text[], sleeps integer[], waits integer[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._take_turns(kind pgqueue.message_kind, queue text, role oid, rule pgqueue.limit_rule, max_count integer, pending bigint[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._taken_keys(role oid, keys text[]) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._task_document(content_type text, payload bytea) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._task_document(content_type text, payload bytea) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._task_document(content_type text, payload bytea) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._task_document(content_type text, payload bytea) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._task_document(content_type text, payload bytea) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._task_fates(task_ids text[], workers text[], seen_at double precision[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._task_fates(task_ids text[], workers text[], seen_at double precision[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._task_group(group_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._task_group(group_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._task_group(group_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, due_at timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._task_message(task text, args jsonb, kwargs jsonb, queue text, priority integer, due_at timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._task_name(payload json) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._task_name(payload json) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._task_name(payload json) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._task_name(payload json) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._task_name(payload json) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._task_results(task_ids text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._task_results(task_ids text[]) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._task_results(task_ids text[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._tell_of_snapshot(id bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._tell_sent(message json, queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tell_sent(message json, queue text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._tell_sql_task(task_id text, seal text, is_counted boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tell_sql_task(task_id text, seal text, is_counted boolean) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._tell_wait(id bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tell_wait(id bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._text_in(payload json, path text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._text_in(payload json, path text[]) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._text_in(payload json, path text[]) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._text_in(payload json, path text[]) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._text_in(payload json, path text[]) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._throughput() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._throughput() TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._throughput() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._throughput() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._tick(worker_id integer, items_processed bigint, last_run_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tick(worker_id integer, items_processed bigint, last_run_at timestamp with time zone) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._tick(worker_id integer, items_processed bigint, last_run_at timestamp with time zone) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._tick_schedules() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tick_schedules() TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._time_allowed(timeout interval, settings jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._traced_jobs(ids bigint[], tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._traced_jobs(ids bigint[], tokens bigint[]) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._track(kept pgqueue.result_kept, settings jsonb, sql text, queue_size integer, label text, OUT pid integer, OUT cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._track(kept pgqueue.result_kept, settings jsonb, sql text, queue_size integer, label text, OUT pid integer, OUT cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._tracked(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._tracked_jobs(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._tracked_result(pid integer, cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tracked_result(pid integer, cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._tracked_stats(OUT workers_launched bigint, OUT workers_completed bigint, OUT workers_failed bigint, OUT workers_canceled bigint, OUT workers_timed_out bigint, OUT workers_active integer, OUT avg_execution_ms double precision, OUT max_workers integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._tracked_stats(OUT workers_launched bigint, OUT workers_completed bigint, OUT workers_failed bigint, OUT workers_canceled bigint, OUT workers_timed_out bigint, OUT workers_active integer, OUT avg_execution_ms double precision, OUT max_workers integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._transition_query(argv text[], op text, relation oid, trigger_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._transition_query(argv text[], op text, relation oid, trigger_name text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._trigger_after(options jsonb, row_json jsonb, table_schema text, table_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._trigger_after(options jsonb, row_json jsonb, table_schema text, table_name text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._trigger_columns(argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._trigger_columns(argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._trigger_job(argv text[], settings jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._trigger_job(argv text[], settings jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._trigger_job_options(options jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._trigger_job_options(options jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._trigger_key(options jsonb, kind text, row_json jsonb, table_schema text, table_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._trigger_key(options jsonb, kind text, row_json jsonb, table_schema text, table_name text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._trigger_options(argv text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._trigger_options(argv text[]) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._try_upkeep(part text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._unbind(queue text, exchange text, routing_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._unbind(queue text, exchange text, routing_key text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue._unbind(queue text, exchange text, routing_key text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue._unregister_worker(worker_id integer, begun bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._unregister_worker(worker_id integer, begun bigint[]) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._unregister_worker(worker_id integer, begun bigint[]) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._untrack(role oid, args jsonb) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._used_queues() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._used_queues() TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue._used_queues() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._usual_settings(role text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._usual_settings(role text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._utc_text(instant timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._utc_text(instant timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wait_any(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wait_any(handles pgqueue.handle[], timeout_ms integer, OUT pid integer, OUT cookie bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wait_for_run(run_key bigint, max_ms bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wait_for_run(run_key bigint, max_ms bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wait_on(handle pgqueue.handle, timeout interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wait_on(handle pgqueue.handle, timeout interval) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wait_tracked(want_pid integer, want_cookie bigint, timeout_ms integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wait_tracked(want_pid integer, want_cookie bigint, timeout_ms integer) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wake(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wake(queue text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wake_for(queue text, due_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wake_for(queue text, due_at timestamp with time zone) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._wake_up(queues text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._wake_up(queues text[]) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue._wake_up(queues text[]) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue._wanted_executors(worker_id integer) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._with_death(payload json, queue text, reason text, exchange text, routing_key text, detail text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._with_trace(headers jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._with_trace(headers jsonb) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._with_wait(request jsonb, since timestamp with time zone, left_s double precision) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._with_wait(request jsonb, since timestamp with time zone, left_s double precision) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._without_idle_key_options(options pgqueue.job_options) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._without_idle_key_options(options pgqueue.job_options) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue._without_runner(error jsonb, sql text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._worker_interval(name text, fallback interval, least_value interval, greatest_value interval) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._worker_setting(name text, fallback text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._write_end(m pgqueue.message, state pgqueue.job_state, error jsonb, command_tags text[], row_count bigint) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue._write_job_log(lines jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue._write_job_log(lines jsonb) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue.alter_schedule(name text, schedule text, sql text, params text[], args jsonb, kwargs jsonb, timezone text, queue text, priority integer, timeout interval, max_attempts integer, backoff interval, label text, jitter interval, starts_at timestamp with time zone, ends_at timestamp with time zone, overlap text, catch_up text, headers jsonb, expires interval, ignore_result boolean, link text, errback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.alter_schedule(name text, schedule text, sql text, params text[], args jsonb, kwargs jsonb, timezone text, queue text, priority integer, timeout interval, max_attempts integer, backoff interval, label text, jitter interval, starts_at timestamp with time zone, ends_at timestamp with time zone, overlap text, catch_up text, headers jsonb, expires interval, ignore_result boolean, link text, errback text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.backlog(queue text, max_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.backlog(queue text, max_count integer) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue.backlog(queue text, max_count integer) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue.backlog(queue text, max_count integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.batch(label text, on_success text, on_failure text, on_end text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.batch(label text, on_success text, on_failure text, on_end text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.cancel(handle pgqueue.handle, grace interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.cancel(handle pgqueue.handle, grace interval) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.cancel_jobs(queue text, label text, state text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, max_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.cancel_jobs(queue text, label text, state text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, max_count integer) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.cancel_jobs(queue text, label text, state text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, max_count integer) TO pgqueue_admin;

GRANT INSERT(setting) ON TABLE pgqueue.configuring TO pgqueue_user;
GRANT INSERT(setting) ON TABLE pgqueue.configuring TO pgqueue_admin;

GRANT INSERT(value) ON TABLE pgqueue.configuring TO pgqueue_user;
GRANT INSERT(value) ON TABLE pgqueue.configuring TO pgqueue_admin;

GRANT INSERT(queue) ON TABLE pgqueue.configuring TO pgqueue_user;
GRANT INSERT(queue) ON TABLE pgqueue.configuring TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.configure(setting text, value text, queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.configure(setting text, value text, queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.configure(setting text, value text, queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.detach(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.detach(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.discard_jobs(queue text, label text, state text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, max_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.discard_jobs(queue text, label text, state text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, max_count integer) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.discard_jobs(queue text, label text, state text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, max_count integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.enqueue(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, keep_result boolean, traceparent text, limit_key text, after pgqueue.handle[], on_parent_failure text, batch bigint, unique_for interval, on_conflict text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.enqueue(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, keep_result boolean, traceparent text, limit_key text, after pgqueue.handle[], on_parent_failure text, batch bigint, unique_for interval, on_conflict text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.enqueue_many(sql text[], params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_keys text[], label text, durability text, keep_result boolean, rows text[], traceparent text, limit_key text, after pgqueue.handle[], on_parent_failure text, batch bigint, unique_for interval, on_conflict text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.enqueue_many(sql text[], params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_keys text[], label text, durability text, keep_result boolean, rows text[], traceparent text, limit_key text, after pgqueue.handle[], on_parent_failure text, batch bigint, unique_for interval, on_conflict text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.enqueue_trigger() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.enqueue_trigger() TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.enroll(role regrole) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.enroll(role regrole) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.get_progress(handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.get_progress(handle pgqueue.handle, OUT progress_pct integer, OUT progress_msg text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.install_compat(version text, schema text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue.install_pg_cron() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue.job_log(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.job_log(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.launch(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, traceparent text, limit_key text, after pgqueue.handle[], on_parent_failure text, batch bigint, unique_for interval, on_conflict text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.launch(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, traceparent text, limit_key text, after pgqueue.handle[], on_parent_failure text, batch bigint, unique_for interval, on_conflict text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.pause(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.pause(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.pause_schedule(name text, owner regrole) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.pause_schedule(name text, owner regrole) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.pause_schedule(name text, owner regrole) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.progress(pct integer, msg text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.progress(pct integer, msg text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.purge(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.purge(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.redrive(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.redrive(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.relay_to(queue text, target text, exchange text, routing_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.relay_to(queue text, target text, exchange text, routing_key text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.remove_fleet(name text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.remove_fleet(name text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.reset_stats() FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.reset_stats() TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.result(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.result(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.resume(queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.resume(queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.resume_schedule(name text, owner regrole) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.resume_schedule(name text, owner regrole) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.resume_schedule(name text, owner regrole) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.retry(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.retry(handle pgqueue.handle) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.retry(handle pgqueue.handle) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.retry_jobs(queue text, label text, state text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, max_count integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.retry_jobs(queue text, label text, state text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, max_count integer) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.retry_jobs(queue text, label text, state text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, max_count integer) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.retry_task(task_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.retry_task(task_id text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.run_schedule(name text, owner regrole) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.run_schedule(name text, owner regrole) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.run_schedule(name text, owner regrole) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.scale(worker text, executors integer, queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.scale(worker text, executors integer, queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.schedule(name text, schedule text, sql text, params text[], timezone text, queue text, priority integer, timeout interval, max_attempts integer, backoff interval, label text, jitter interval, starts_at timestamp with time zone, ends_at timestamp with time zone, overlap text, catch_up text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.schedule(name text, schedule text, sql text, params text[], timezone text, queue text, priority integer, timeout interval, max_attempts integer, backoff interval, label text, jitter interval, starts_at timestamp with time zone, ends_at timestamp with time zone, overlap text, catch_up text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.schedule_task(name text, schedule text, task text, args jsonb, kwargs jsonb, timezone text, queue text, priority integer, label text, jitter interval, starts_at timestamp with time zone, ends_at timestamp with time zone, overlap text, catch_up text, headers jsonb, expires interval, ignore_result boolean, link text, errback text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.schedule_task(name text, schedule text, task text, args jsonb, kwargs jsonb, timezone text, queue text, priority integer, label text, jitter interval, starts_at timestamp with time zone, ends_at timestamp with time zone, overlap text, catch_up text, headers jsonb, expires interval, ignore_result boolean, link text, errback text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.send_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text, limit_key text, unique_key text, unique_for interval, on_conflict text, after pgqueue.handle[], on_parent_failure text, batch bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.send_task(task text, args jsonb, kwargs jsonb, queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, task_id text, headers jsonb, ignore_result boolean, link text, errback text, limit_key text, unique_key text, unique_for interval, on_conflict text, after pgqueue.handle[], on_parent_failure text, batch bigint) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.set_durability(queue text, durability text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.set_durability(queue text, durability text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.set_fleet(name text, processes integer, queues text[], executors integer, concurrency integer, restart_after interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.set_fleet(name text, processes integer, queues text[], executors integer, concurrency integer, restart_after interval) TO pgqueue_admin;

GRANT INSERT(queue) ON TABLE pgqueue.limiting TO pgqueue_user;
GRANT INSERT(queue) ON TABLE pgqueue.limiting TO pgqueue_admin;

GRANT SELECT(max_running),INSERT(max_running) ON TABLE pgqueue.limiting TO pgqueue_user;
GRANT SELECT(max_running),INSERT(max_running) ON TABLE pgqueue.limiting TO pgqueue_admin;

GRANT SELECT(per_key),INSERT(per_key) ON TABLE pgqueue.limiting TO pgqueue_user;
GRANT SELECT(per_key),INSERT(per_key) ON TABLE pgqueue.limiting TO pgqueue_admin;

GRANT SELECT(rate),INSERT(rate) ON TABLE pgqueue.limiting TO pgqueue_user;
GRANT SELECT(rate),INSERT(rate) ON TABLE pgqueue.limiting TO pgqueue_admin;

GRANT SELECT(period),INSERT(period) ON TABLE pgqueue.limiting TO pgqueue_user;
GRANT SELECT(period),INSERT(period) ON TABLE pgqueue.limiting TO pgqueue_admin;

GRANT SELECT(burst),INSERT(burst) ON TABLE pgqueue.limiting TO pgqueue_user;
GRANT SELECT(burst),INSERT(burst) ON TABLE pgqueue.limiting TO pgqueue_admin;

GRANT SELECT(had_limits) ON TABLE pgqueue.limiting TO pgqueue_user;
GRANT SELECT(had_limits) ON TABLE pgqueue.limiting TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.set_limit(queue text, max_running integer, per_key integer, rate integer, period interval, burst integer) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.set_limit(queue text, max_running integer, per_key integer, rate integer, period interval, burst integer) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.set_limit(queue text, max_running integer, per_key integer, rate integer, period interval, burst integer) TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.slow TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.slow TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.slow TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.slow TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.slow_jobs(since interval, queue text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.slow_jobs(since interval, queue text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.slow_jobs(since interval, queue text) TO pgqueue_worker;
GRANT ALL ON FUNCTION pgqueue.slow_jobs(since interval, queue text) TO pgqueue_monitor;
GRANT ALL ON FUNCTION pgqueue.slow_jobs(since interval, queue text) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.snooze(delay interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.snooze(delay interval) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.statement(handle pgqueue.handle) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.statement(handle pgqueue.handle) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.submit(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, traceparent text, limit_key text, after pgqueue.handle[], on_parent_failure text, batch bigint, unique_for interval, on_conflict text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.submit(sql text, params text[], queue text, priority integer, delay interval, eta timestamp with time zone, expires timestamp with time zone, timeout interval, max_attempts integer, backoff interval, unique_key text, label text, durability text, traceparent text, limit_key text, after pgqueue.handle[], on_parent_failure text, batch bigint, unique_for interval, on_conflict text) TO pgqueue_user;

REVOKE ALL ON FUNCTION pgqueue.task_result(task_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.task_result(task_id text) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.task_result(task_id text) TO pgqueue_worker;

REVOKE ALL ON FUNCTION pgqueue.unenroll(role regrole) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.unenroll(role regrole) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.uninstall_compat(schema text) FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue.uninstall_pg_cron() FROM PUBLIC;

REVOKE ALL ON FUNCTION pgqueue.unschedule(name text, owner regrole) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.unschedule(name text, owner regrole) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.unschedule(name text, owner regrole) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.update(handle pgqueue.handle, eta timestamp with time zone, priority integer, queue text, params text[], timeout interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.update(handle pgqueue.handle, eta timestamp with time zone, priority integer, queue text, params text[], timeout interval) TO pgqueue_user;
GRANT ALL ON FUNCTION pgqueue.update(handle pgqueue.handle, eta timestamp with time zone, priority integer, queue text, params text[], timeout interval) TO pgqueue_admin;

REVOKE ALL ON FUNCTION pgqueue.wait(handle pgqueue.handle, timeout interval) FROM PUBLIC;
GRANT ALL ON FUNCTION pgqueue.wait(handle pgqueue.handle, timeout interval) TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.attempts TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.attempts TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.attempts TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.attempts TO pgqueue_admin;

GRANT INSERT(label) ON TABLE pgqueue.batch_order TO pgqueue_user;

GRANT INSERT(on_success) ON TABLE pgqueue.batch_order TO pgqueue_user;

GRANT INSERT(on_failure) ON TABLE pgqueue.batch_order TO pgqueue_user;

GRANT INSERT(on_end) ON TABLE pgqueue.batch_order TO pgqueue_user;

GRANT INSERT(settings) ON TABLE pgqueue.batch_order TO pgqueue_user;

GRANT SELECT(id) ON TABLE pgqueue.batch_order TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.batches TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.batches TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.batches TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.batches TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.configuration TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.configuration TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.configuration TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.configuration TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.cron_job TO pgqueue_user;

GRANT INSERT(exchange) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(routing_key) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(payload) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(priority) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(due_at) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(expires_at) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT SELECT(reached) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT INSERT(limit_key) ON TABLE pgqueue.dispatch TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.fleet_processes TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.fleet_processes TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.fleet_processes TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.fleets TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.fleets TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.fleets TO pgqueue_admin;

GRANT INSERT(id) ON TABLE pgqueue.job_change TO pgqueue_user;
GRANT INSERT(id) ON TABLE pgqueue.job_change TO pgqueue_admin;

GRANT INSERT(cookie) ON TABLE pgqueue.job_change TO pgqueue_user;
GRANT INSERT(cookie) ON TABLE pgqueue.job_change TO pgqueue_admin;

GRANT INSERT(eta) ON TABLE pgqueue.job_change TO pgqueue_user;
GRANT INSERT(eta) ON TABLE pgqueue.job_change TO pgqueue_admin;

GRANT INSERT(priority) ON TABLE pgqueue.job_change TO pgqueue_user;
GRANT INSERT(priority) ON TABLE pgqueue.job_change TO pgqueue_admin;

GRANT INSERT(queue) ON TABLE pgqueue.job_change TO pgqueue_user;
GRANT INSERT(queue) ON TABLE pgqueue.job_change TO pgqueue_admin;

GRANT INSERT(params) ON TABLE pgqueue.job_change TO pgqueue_user;
GRANT INSERT(params) ON TABLE pgqueue.job_change TO pgqueue_admin;

GRANT INSERT(timeout) ON TABLE pgqueue.job_change TO pgqueue_user;
GRANT INSERT(timeout) ON TABLE pgqueue.job_change TO pgqueue_admin;

GRANT SELECT(is_done) ON TABLE pgqueue.job_change TO pgqueue_user;
GRANT SELECT(is_done) ON TABLE pgqueue.job_change TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.job_content TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.job_content TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.job_content TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.job_content TO pgqueue_admin;

GRANT SELECT(id) ON TABLE pgqueue.job_outbox TO pgqueue_user;

GRANT SELECT(cookie),INSERT(cookie) ON TABLE pgqueue.job_outbox TO pgqueue_user;

GRANT INSERT(session_id) ON TABLE pgqueue.job_outbox TO pgqueue_user;

GRANT INSERT(queue) ON TABLE pgqueue.job_outbox TO pgqueue_user;

GRANT INSERT(sql) ON TABLE pgqueue.job_outbox TO pgqueue_user;

GRANT INSERT(params) ON TABLE pgqueue.job_outbox TO pgqueue_user;

GRANT INSERT(settings) ON TABLE pgqueue.job_outbox TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.jobs TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.jobs TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.jobs TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.jobs TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.limits TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.limits TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.limits TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.limits TO pgqueue_admin;

GRANT SELECT(id) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT SELECT(cookie),INSERT(cookie) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(session_id) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(due_at) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(expires_at) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(kind) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(state) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(kept) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(priority) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(max_attempts) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(queue) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(sql) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(params) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(settings) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(timeout) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(backoff) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(label) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(limit_key) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT INSERT(payload) ON TABLE pgqueue.outbox TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_key TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_seal TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_session_seal TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_session TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_settings TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.own_statement TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.queues TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.queues TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.queues TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.queues TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.quotas TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.quotas TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.quotas TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.quotas TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.relays TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.relays TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.relays TO pgqueue_admin;

GRANT INSERT(statement) ON TABLE pgqueue.row_order TO pgqueue_user;

GRANT INSERT(params) ON TABLE pgqueue.row_order TO pgqueue_user;

GRANT INSERT(relation) ON TABLE pgqueue.row_order TO pgqueue_user;

GRANT INSERT(columns) ON TABLE pgqueue.row_order TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.schedule_runs TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.schedule_runs TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.schedule_runs TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.schedule_runs TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.sent_listener TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.stats TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.stats TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.stats TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.stats TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.stats_total TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.stats_total TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.stats_total TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.stats_total TO pgqueue_admin;

GRANT INSERT(settings) ON TABLE pgqueue.step_order TO pgqueue_user;

GRANT INSERT(step) ON TABLE pgqueue.step_order TO pgqueue_user;

GRANT SELECT(sealed) ON TABLE pgqueue.step_order TO pgqueue_user;

GRANT SELECT ON TABLE pgqueue.tasks TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.tasks TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.tasks TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.tasks TO pgqueue_admin;

GRANT SELECT ON TABLE pgqueue.workers TO pgqueue_user;
GRANT SELECT ON TABLE pgqueue.workers TO pgqueue_worker;
GRANT SELECT ON TABLE pgqueue.workers TO pgqueue_monitor;
GRANT SELECT ON TABLE pgqueue.workers TO pgqueue_admin;

CREATE VIEW pgqueue.attempts (id bigint, attempt integer, started_at timestamp with time zone, ended_at timestamp with time zone, duration_ms double precision, worker text, sqlstate text, error text, error_detail text, error_hint text, error_context text) WITH (security_barrier=true);

CREATE VIEW pgqueue.batch_order (role oid, label text, on_success text, on_failure text, on_end text, settings jsonb, id bigint);

CREATE VIEW pgqueue.batches (id bigint, label text, total bigint, waiting bigint, running bigint, succeeded bigint, failed bigint, ended_at timestamp with time zone) WITH (security_barrier=true);

CREATE VIEW pgqueue.configuration (setting text, queue text, value text, role name, source text) WITH (security_barrier=true);

CREATE VIEW pgqueue.configuring (role oid, setting text, value text, queue text);

CREATE VIEW pgqueue.cron_job (jobid bigint, schedule text, command text, nodename text, nodeport integer, database text, username text, active boolean, jobname text) WITH (security_barrier=true);

CREATE VIEW pgqueue.cron_job_run (jobid bigint, runid bigint, job_pid integer, database text, username text, command text, status text, return_message text, start_time timestamp with time zone, end_time timestamp with time zone) WITH (security_barrier=true);

CREATE VIEW pgqueue.declaration (role oid, act text, name text, attributes jsonb);

CREATE VIEW pgqueue.dispatch (submitter oid, exchange text, routing_key text, payload json, priority integer, due_at timestamp with time zone, expires_at timestamp with time zone, reached integer, limit_key text);

CREATE VIEW pgqueue.fleet_processes (host text, host_status text, last_seen_at timestamp with time zone, host_pid integer, fleet text, number integer, worker text, pid integer, state text, started_at timestamp with time zone, restarts integer, last_exit text, next_start_at timestamp with time zone) WITH (security_barrier=true);

CREATE VIEW pgqueue.fleets (fleet text, processes integer, queues text[], executors integer, concurrency integer, restart_after interval, changed_at timestamp with time zone, running bigint) WITH (security_barrier=true);

CREATE VIEW pgqueue.inbox (id bigint, cookie bigint, token bigint, session_id bigint, due_at timestamp with time zone, expires_at timestamp with time zone, launched_at timestamp with time zone, submitter oid, kind pgqueue.message_kind, state pgqueue.message_state, kept pgqueue.result_kept, top_level boolean, acked boolean, worker_id integer, priority smallint, deliveries smallint, attempts smallint, max_attempts smallint, queue text, sql text, params text[], settings jsonb, timeout interval, backoff interval, label text, unique_key text, limit_key text, payload json, last_error jsonb, retried_from bigint, queue_timeout interval, snoozes smallint, is_member boolean) WITH (check_option=cascaded);

CREATE VIEW pgqueue.job_change (role oid, id bigint, cookie bigint, eta timestamp with time zone, priority integer, queue text, params text[], timeout interval, is_done boolean);

CREATE VIEW pgqueue.job_content (id bigint, statement text, params text[], notices jsonb, retried_as bigint, can_be_retried boolean, is_readable boolean) WITH (security_barrier=true);

CREATE VIEW pgqueue.job_order (role oid, act text, id bigint, cookie bigint, queue text, label text, state text, sqlstate text, error text, since timestamp with time zone, until timestamp with time zone, max_count integer, is_dry_run boolean, count bigint, new_id bigint, new_cookie bigint);

CREATE VIEW pgqueue.job_outbox (id bigint, cookie bigint, session_id bigint, kind pgqueue.message_kind, queue text, sql text, params text[], settings jsonb) WITH (security_barrier=true, check_option=cascaded);

CREATE VIEW pgqueue.jobs (id bigint, state pgqueue.job_state, queue text, priority integer, label text, statement text, submitter name, launched_at timestamp with time zone, eta timestamp with time zone, started_at timestamp with time zone, ended_at timestamp with time zone, duration_ms double precision, attempts integer, max_attempts integer, worker text, backend_pid integer, progress_pct integer, progress_msg text, rows bigint, command_tag text, sqlstate text, error text, error_detail text, error_hint text, error_context text, handle pgqueue.handle, retried_from bigint, parents bigint[], snoozes integer) WITH (security_barrier=true);

CREATE VIEW pgqueue.keyed_outbox (submitter oid, cookie bigint, session_id bigint, due_at timestamp with time zone, expires_at timestamp with time zone, kind pgqueue.message_kind, kept pgqueue.result_kept, priority integer, max_attempts integer, queue text, sql text, params text[], settings jsonb, timeout interval, backoff interval, label text, unique_key text, limit_key text, payload json, unique_for interval, on_conflict text, exchange text, after pgqueue.handle[], on_parent_failure text, batch bigint, continues_id bigint, continues_token bigint, id bigint, task_id text, outcome text);

CREATE VIEW pgqueue.keyed_set (submitter oid, session_id bigint, due_at timestamp with time zone, expires_at timestamp with time zone, kept pgqueue.result_kept, priority integer, max_attempts integer, queue text, settings jsonb, timeout interval, backoff interval, label text, limit_key text, unique_for interval, on_conflict text, waits boolean, seed bytea, statements text[], params text[], unique_keys text[], rows text[], ids bigint[], cookies bigint[], put_ids bigint[], put_cookies bigint[]);

CREATE VIEW pgqueue.limiting (role oid, queue text, max_running integer, per_key integer, rate integer, period interval, burst integer, had_limits boolean);

CREATE VIEW pgqueue.limits (queue text, limit_key text, running bigint, waiting bigint, max_running integer, per_key integer, rate integer, period interval, burst integer, role name) WITH (security_barrier=true);

CREATE VIEW pgqueue.outbox (id bigint, cookie bigint, session_id bigint, due_at timestamp with time zone, expires_at timestamp with time zone, kind pgqueue.message_kind, state pgqueue.message_state, kept pgqueue.result_kept, priority smallint, max_attempts smallint, queue text, sql text, params text[], settings jsonb, timeout interval, backoff interval, label text, unique_key text, limit_key text, payload json, launched_at timestamp with time zone) WITH (security_barrier=true, check_option=local);

CREATE VIEW pgqueue.own_binding (exchange text, routing_key text, pattern text, queue text) WITH (security_barrier=true);

CREATE VIEW pgqueue.own_key (role oid, key text, loopback text, max_workers text) WITH (security_barrier=true);

CREATE VIEW pgqueue.own_seal (role oid, digest text) WITH (security_barrier=true);

CREATE VIEW pgqueue.own_session (captured jsonb) WITH (security_barrier=true);

CREATE VIEW pgqueue.own_session_seal (role oid, seal text) WITH (security_barrier=true);

CREATE VIEW pgqueue.own_settings (settings jsonb) WITH (security_barrier=true);

CREATE VIEW pgqueue.own_statement (settings jsonb, cookie bigint) WITH (security_barrier=true);

CREATE VIEW pgqueue.own_task (queue text) WITH (security_barrier=true);

CREATE VIEW pgqueue.queues (queue text, ready bigint, delayed bigint, claimed bigint, oldest_ready_at timestamp with time zone, paused boolean, consumers bigint, durability text, group_commit integer, waiting bigint) WITH (security_barrier=true);

CREATE VIEW pgqueue.quotas (role name, over_quota text, messages bigint, max_messages integer, delayed bigint, max_delayed integer, megabytes bigint, max_megabytes integer, queues bigint, max_queues integer, exchanges bigint, max_exchanges integer, bindings bigint, max_bindings integer, counted_at timestamp with time zone) WITH (security_barrier=true);

CREATE VIEW pgqueue.relays (queue text, target text, exchange text, routing_key text, changed_at timestamp with time zone) WITH (security_barrier=true);

CREATE VIEW pgqueue.row_order (role oid, statement text, params text[], relation oid, columns text, search_path text);

CREATE VIEW pgqueue.schedule_order (role oid, act text, of_role regrole, name text, expression text, timezone text, sql text, params text[], settings jsonb, task text, args jsonb, kwargs jsonb, queue text, priority integer, timeout interval, max_attempts integer, backoff interval, label text, jitter interval, starts_at timestamp with time zone, ends_at timestamp with time zone, overlap text, catch_up text, id bigint, sending jsonb, source text, outcome text);

CREATE VIEW pgqueue.schedule_runs (id bigint, name text, owner name, due_at timestamp with time zone, fired_at timestamp with time zone, late_by interval, outcome text, missed integer, is_manual boolean, job bigint, task_id text, state text, error text) WITH (security_barrier=true);

CREATE VIEW pgqueue.schedules (name text, schedule text, timezone text, next_at timestamp with time zone, last_at timestamp with time zone, last_job bigint, last_state text, enabled boolean, error text, owner name, id bigint, kind text, runs text, queue text, priority integer, label text, overlap text, catch_up text, jitter interval, starts_at timestamp with time zone, ends_at timestamp with time zone, cron text, every interval, created_at timestamp with time zone, changed_at timestamp with time zone, source text) WITH (security_barrier=true);

CREATE VIEW pgqueue.sent_listener (exchange text) WITH (security_barrier=true);

CREATE VIEW pgqueue.slow (queue text, submitter name, label text, fingerprint text, statement text, calls bigint, mean_ms double precision, p95_ms double precision, max_ms double precision, total_ms double precision, last_run_at timestamp with time zone, failures bigint) WITH (security_barrier=true);

CREATE VIEW pgqueue.stats (workers_launched bigint, workers_completed bigint, workers_failed bigint, workers_canceled bigint, workers_active integer, avg_execution_ms double precision, max_workers integer);

CREATE VIEW pgqueue.stats_total (submitter name, queue text, workers_launched bigint, workers_completed bigint, workers_failed bigint, workers_canceled bigint, workers_active integer, avg_execution_ms double precision, max_workers integer) WITH (security_barrier=true);

CREATE VIEW pgqueue.step_order (submitter oid, settings jsonb, step jsonb, sealed jsonb);

CREATE VIEW pgqueue.tasks (task_id text, name text, state text, queue text, sent_at timestamp with time zone, started_at timestamp with time zone, ended_at timestamp with time zone, worker text, error text) WITH (security_barrier=true);

CREATE VIEW pgqueue.unfolded (submitter oid, queue text, session_id bigint, state pgqueue.job_state, started_at timestamp with time zone, ended_at timestamp with time zone, xact xid8, due_at timestamp with time zone) WITH (security_barrier=true);

CREATE VIEW pgqueue.workers (worker text, started_at timestamp with time zone, last_seen_at timestamp with time zone, status text, items_processed bigint, last_run_at timestamp with time zone, executors integer, running bigint[], queues text[], wanted_executors integer, relays_to text[], relays_jobs boolean) WITH (security_barrier=true);
