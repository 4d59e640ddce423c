"""What is public, and that it is documented, granted and closed to everybody else."""

import re
from pathlib import Path

import pytest

from tests.harness.people import fetch_value
from tests.harness.reference import VIEWS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"

# Settled: users write these into their code.
USER_FUNCTIONS = [
    "launch",
    "submit",
    "enqueue",
    "enqueue_many",
    "send_task",
    "result",
    "wait",
    "cancel",
    "detach",
    "statement",
    "progress",
    "snooze",
    "get_progress",
    "job_log",
    "enqueue_trigger",
    "task_result",
    "retry_task",
    "schedule",
    "schedule_task",
    "alter_schedule",
    "batch",
]
#: For users, and for administrators with what is others'.
SHARED_FUNCTIONS = [
    "unschedule",
    "pause_schedule",
    "resume_schedule",
    "run_schedule",
    "configure",
    "set_limit",
    "retry",
    "retry_jobs",
    "discard_jobs",
    "cancel_jobs",
    "update",
]
ADMIN_FUNCTIONS = [
    "purge",
    "pause",
    "resume",
    "set_durability",
    "redrive",
    "enroll",
    "unenroll",
    "reset_stats",
    "scale",
    "set_fleet",
    "remove_fleet",
    "relay_to",
]
#: For monitors, administrators and workers.
MONITOR_FUNCTIONS = ["backlog"]
#: For all of them.
READING_FUNCTIONS = ["slow_jobs"]
#: For the owner of the schema, who may create things.
OWNER_FUNCTIONS = ["install_compat", "uninstall_compat", "install_pg_cron", "uninstall_pg_cron"]
SIGNATURES = {
    "launch": "sql text, params text[] = null, queue text = 'default', priority int = 0, delay interval = null, "
    "eta timestamptz = null, expires timestamptz = null, timeout interval = null, max_attempts int = null, "
    "backoff interval = null, unique_key text = null, label text = null, durability text = null, traceparent text = null, "
    "limit_key text = null, after pgqueue.handle[] = null, on_parent_failure text = 'cancel', batch bigint = null, "
    "unique_for interval = null, on_conflict text = 'keep'",
    "batch": "label text = null, on_success text = null, on_failure text = null, on_end text = null",
    "result": "handle pgqueue.handle",
    "wait": "handle pgqueue.handle, timeout interval = null",
    "cancel": "handle pgqueue.handle, grace interval = '00:00:00'",
    "detach": "handle pgqueue.handle",
    "progress": "pct int, msg text = null",
    "get_progress": "handle pgqueue.handle, out progress_pct int, out progress_msg text",
    "job_log": "handle pgqueue.handle",
    "pause": "queue text",
    "backlog": "queue text, max_count int = 10000",
    "resume": "queue text",
    "set_durability": "queue text, durability text",
    "redrive": "queue text",
    "purge": "queue text",
    "scale": "worker text = null, executors int = null, queue text = null",
    "set_fleet": "name text, processes int, queues text[] = null, executors int = null, concurrency int = 0, "
    "restart_after interval = '00:00:01'",
    "remove_fleet": "name text",
    "relay_to": "queue text, target text, exchange text = null, routing_key text = null",
    "slow_jobs": "since interval = '1 day', queue text = null",
    "configure": "setting text, value text, queue text = null",
    "set_limit": "queue text, max_running int = null, per_key int = null, rate int = null, period interval = '00:01:00', burst int = null",
    "enroll": "role regrole",
    "unenroll": "role regrole",
    "task_result": "task_id text",
    "retry_task": "task_id text",
    "install_compat": "version text = '2.0', schema text = 'public'",
    "uninstall_compat": "schema text = 'public'",
    "install_pg_cron": "",
    "uninstall_pg_cron": "",
    "send_task": "task text, args jsonb = '[]', kwargs jsonb = '{}', queue text = 'celery', priority int = 0, "
    "delay interval = null, eta timestamptz = null, expires timestamptz = null, task_id text = null, headers jsonb = null, "
    "ignore_result boolean = false, link text = null, errback text = null, limit_key text = null, "
    "unique_key text = null, unique_for interval = null, on_conflict text = 'keep', "
    "after pgqueue.handle[] = null, on_parent_failure text = 'cancel', batch bigint = null",
    "snooze": "delay interval",
    "update": "handle pgqueue.handle, eta timestamptz = null, priority int = null, queue text = null, params text[] = null, "
    "timeout interval = null",
}
SIGNATURES["schedule"] = (
    "name text, schedule text, sql text, params text[] = null, timezone text = 'UTC', queue text = 'default', priority int = 0, "
    "timeout interval = null, max_attempts int = null, backoff interval = null, label text = null, jitter interval = null, "
    "starts_at timestamptz = null, ends_at timestamptz = null, overlap text = null, catch_up text = 'last'"
)
SIGNATURES["schedule_task"] = (
    "name text, schedule text, task text, args jsonb = '[]', kwargs jsonb = '{}', timezone text = 'UTC', queue text = 'celery', "
    "priority int = 0, label text = null, jitter interval = null, starts_at timestamptz = null, ends_at timestamptz = null, "
    "overlap text = null, catch_up text = 'last', headers jsonb = null, expires interval = null, ignore_result boolean = null, "
    "link text = null, errback text = null"
)
SIGNATURES["enqueue_many"] = (
    SIGNATURES["launch"]
    .replace("sql text,", "sql text[],")
    .replace("unique_key text", "unique_keys text[]")
    .replace("traceparent", "keep_result boolean = false, rows text[] = null, traceparent")
)
SIGNATURES["retry"] = "handle pgqueue.handle"
SIGNATURES["retry_jobs"] = SIGNATURES["discard_jobs"] = SIGNATURES["cancel_jobs"] = (
    "queue text = null, label text = null, state text = null, sqlstate text = null, error text = null, since timestamptz = null, "
    "until timestamptz = null, max_count int = null"
)
SIGNATURES["submit"] = SIGNATURES["launch"]
SIGNATURES["enqueue"] = SIGNATURES["launch"].replace("traceparent", "keep_result boolean = false, traceparent")
RETURNS = {
    "launch": "pgqueue.handle",
    "submit": "pgqueue.handle",
    "enqueue": "pgqueue.handle",
    "enqueue_many": "SETOF pgqueue.handle",
    "send_task": "text",
    "result": "SETOF record",
    "wait": "boolean",
    "cancel": "boolean",
    "snooze": "void",
    "update": "boolean",
    "detach": "void",
    "progress": "void",
    "get_progress": "record",
    "job_log": "TABLE(at timestamp with time zone, severity text, sqlstate text, message text, detail text, hint text)",
    "pause": "boolean",
    "backlog": "integer",
    "resume": "boolean",
    "set_durability": "void",
    "redrive": "bigint",
    "configure": "void",
    "set_limit": "void",
    "enroll": "void",
    "unenroll": "void",
    "statement": "text",
    "reset_stats": "void",
    "enqueue_trigger": "trigger",
    "task_result": "jsonb",
    "retry_task": "text",
    "install_compat": "void",
    "uninstall_compat": "void",
    "install_pg_cron": "void",
    "uninstall_pg_cron": "void",
    "schedule": "bigint",
    "schedule_task": "bigint",
    "alter_schedule": "void",
    "unschedule": "void",
    "pause_schedule": "boolean",
    "resume_schedule": "boolean",
    "run_schedule": "bigint",
    "purge": "bigint",
    "scale": "integer",
    "slow_jobs": "SETOF pgqueue.slow",
    "set_fleet": "void",
    "remove_fleet": "boolean",
    "relay_to": "void",
    "retry": "pgqueue.handle",
    "retry_jobs": "bigint",
    "discard_jobs": "bigint",
    "cancel_jobs": "bigint",
    "batch": "bigint",
}
OWN = "pronamespace = 'pgqueue'::regnamespace and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')"


def test_the_public_functions_are_those_that_are_promised(owner):
    rows = owner.execute(f"select proname from pg_proc p where {OWN} and proname !~ '^_' order by 1").fetchall()

    assert [row[0] for row in rows] == sorted(
        USER_FUNCTIONS + SHARED_FUNCTIONS + ADMIN_FUNCTIONS + MONITOR_FUNCTIONS + READING_FUNCTIONS + OWNER_FUNCTIONS
    )


def test_the_functions_take_the_named_parameters_that_are_promised(owner):
    rows = owner.execute(
        f"select proname, pg_get_function_arguments(oid), pg_get_function_result(oid) from pg_proc p where {OWN} and proname !~ '^_'"
    ).fetchall()

    assert {name: returned for name, _, returned in rows} == RETURNS
    arguments = {name: plain(given) for name, given, _ in rows}
    assert {name: arguments[name] for name in SIGNATURES} == {name: plain(given) for name, given in SIGNATURES.items()}


def plain(arguments):
    """A parameter list in one spelling."""
    arguments = re.sub(r"::[\w. \[\]]+?(?=,|$)", "", arguments.lower().replace("default", "="), flags=re.MULTILINE)
    for short, full in {"timestamptz": "timestamp with time zone", "int": "integer"}.items():
        arguments = re.sub(rf"\b{short}\b", full, arguments)
    return arguments


def read_pages(*names):
    return "\n".join((REFERENCE / name).read_text(encoding="utf-8") for name in names)


def test_they_are_documented(owner):
    text = read_pages("sql.md", "sql-functions.md", "views.md")

    for name in (
        USER_FUNCTIONS + SHARED_FUNCTIONS + ADMIN_FUNCTIONS + MONITOR_FUNCTIONS + READING_FUNCTIONS + OWNER_FUNCTIONS
    ):
        assert re.search(rf"\b{name}\(", text), name
    for view in VIEWS:
        columns = [column.name for column in owner.execute(f"select * from pgqueue.{view} limit 0").description]
        assert f"## `pgqueue.{view}`" in text, view
        missing = [column for column in columns if not re.search(rf"\b{column}\b", text)]
        assert missing == [], view


def test_nothing_else_is_documented(owner):
    text = read_pages("sql.md", "sql-functions.md", "views.md")
    called = set(re.findall(r"pgqueue\.([a-z]\w*)\(", text))

    assert called <= set(
        USER_FUNCTIONS + SHARED_FUNCTIONS + ADMIN_FUNCTIONS + MONITOR_FUNCTIONS + READING_FUNCTIONS + OWNER_FUNCTIONS
    )


def test_every_object_has_a_comment(owner):
    uncommented = owner.execute(
        f"""select p.oid::regprocedure::text from pg_proc p where {OWN} and obj_description(p.oid, 'pg_proc') is null
            union all
            select c.oid::regclass::text from pg_class c
            where c.relnamespace = 'pgqueue'::regnamespace and c.relkind in ('r', 'v', 'p') and not c.relispartition
              and obj_description(c.oid, 'pg_class') is null
            union all
            select t.oid::regtype::text from pg_type t
            where t.typnamespace = 'pgqueue'::regnamespace and t.typtype in ('e', 'c') and obj_description(t.oid, 'pg_type') is null
              and not exists (select from pg_depend d where d.objid = t.oid and d.deptype = 'e')
              and (t.typrelid = 0 or (select c.relkind from pg_class c where c.oid = t.typrelid) = 'c')
            union all
            select i.indexrelid::regclass::text from pg_index i join pg_class c on c.oid = i.indrelid
            where c.relnamespace = 'pgqueue'::regnamespace and not c.relispartition and obj_description(i.indexrelid, 'pg_class') is null
              and not exists (select from pg_constraint k where k.conindid = i.indexrelid)"""
    ).fetchall()

    assert uncommented == []


def test_every_column_of_a_public_view_has_a_comment(owner):
    columns = """select attrelid::regclass || '.' || attname from pg_attribute
                 where attrelid = any (%s::regclass[]) and attnum > 0 and col_description(attrelid, attnum) is null"""

    assert owner.execute(columns, [[f"pgqueue.{view}" for view in VIEWS]]).fetchall() == []


def test_nothing_is_granted_to_everybody(owner):
    open_to_all = owner.execute(
        """select p.oid::regprocedure::text from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
           where p.pronamespace = 'pgqueue'::regnamespace and a.grantee = 0
           union all
           select c.oid::regclass::text from pg_class c, aclexplode(c.relacl) a
           where c.relnamespace = 'pgqueue'::regnamespace and a.grantee = 0
           union all
           select n.nspname from pg_namespace n, aclexplode(n.nspacl) a where n.nspname = 'pgqueue' and a.grantee = 0"""
    ).fetchall()

    assert open_to_all == []


def test_functions_with_the_owners_rights_pin_their_search_path(owner):
    # A body in the SQL standard's form is bound when it is made and needs no path.
    unpinned = owner.execute(
        f"""select p.oid::regprocedure::text from pg_proc p
            where {OWN} and p.prosecdef and p.prosqlbody is null
              and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)"""
    ).fetchall()

    assert unpinned == []


def test_functions_that_inherit_the_path_run_with_the_callers_rights(owner):
    rows = owner.execute(
        f"select proname from pg_proc p where {OWN} and p.proconfig is null and p.prosqlbody is null and p.prosecdef"
    ).fetchall()

    assert rows == []


@pytest.mark.parametrize(
    ("role", "functions"),
    [
        ("pgqueue_user", USER_FUNCTIONS + SHARED_FUNCTIONS + READING_FUNCTIONS),
        ("pgqueue_worker", USER_FUNCTIONS + SHARED_FUNCTIONS + MONITOR_FUNCTIONS + READING_FUNCTIONS),
        ("pgqueue_admin", ADMIN_FUNCTIONS + SHARED_FUNCTIONS + MONITOR_FUNCTIONS + READING_FUNCTIONS),
        ("pgqueue_monitor", MONITOR_FUNCTIONS + READING_FUNCTIONS),
    ],
)
def test_the_public_functions_are_granted_to_whom_they_are_for(owner, role, functions):
    granted = owner.execute(
        f"""select proname from pg_proc p
            where {OWN} and proname !~ '^_' and has_function_privilege(%s, p.oid, 'execute') order by 1""",
        [role],
    ).fetchall()

    assert [row[0] for row in granted] == sorted(functions)


def test_the_tables_are_nobodys_and_the_views_everybodys_who_takes_part(owner):
    granted = owner.execute(
        """select distinct c.relname, a.privilege_type from pg_class c, aclexplode(c.relacl) a
           where c.relnamespace = 'pgqueue'::regnamespace and a.grantee <> c.relowner order by 1, 2"""
    ).fetchall()

    readable = [
        *VIEWS,
        "own_key",
        "own_seal",
        "own_session_seal",
        "own_session",
        "own_settings",
        "own_statement",
        "sent_listener",
        "own_binding",
        "own_task",
        "job_content",
        "cron_job",
        "cron_job_run",
        "migration",
        "function_file",
    ]
    # Reading and nothing else: whoever may write to a whole view, LOCK TABLE lets lock the tables under it.
    assert granted == sorted((view, "SELECT") for view in readable)


def test_the_outbox_takes_only_what_a_role_may_choose(owner):
    granted = owner.execute(
        """select attname, a.privilege_type from pg_attribute, aclexplode(attacl) a
           where attrelid = 'pgqueue.outbox'::regclass order by 1, 2"""
    ).fetchall()

    assert {name for name, privilege in granted if privilege == "SELECT"} == {"id", "cookie"}
    insertable = {name for name, privilege in granted if privilege == "INSERT"}
    assert {"sql", "payload", "queue", "priority"} <= insertable
    assert not insertable & {"id", "submitter", "launched_at", "token", "worker_id", "attempts", "deliveries"}


def test_the_internal_functions_of_each_part_are_granted_to_it_alone(owner):
    def may(role, function):
        return fetch_value(
            owner,
            "select bool_or(has_function_privilege(%s, p.oid, 'execute')) from pg_proc p "
            "where p.proname = %s and p.pronamespace = 'pgqueue'::regnamespace",
            [role, function],
        )

    for function in ("_claim", "_ack", "_tick", "_register_worker", "_defer_job", "_set_progress", "_release"):
        assert (may("pgqueue_worker", function), may("pgqueue_user", function)) == (True, False), function
    for function in ("_begin_job", "_lock_job", "_complete_job", "_append_result", "_fail_job", "_publish"):
        assert may("pgqueue_user", function), function
    for function in (
        "_archive",
        "_reclaim",
        "_fold_stats",
        "_launch",
        "_locate",
        "_minute_key",
        "_dblink_query",
        "_dblink_connect",
    ):
        for role in ("pgqueue_user", "pgqueue_worker", "pgqueue_monitor", "pgqueue_gate"):
            assert not may(role, function), (role, function)


def test_the_states_of_a_job_are_those_that_are_promised(owner):
    states = fetch_value(owner, "select enum_range(null::pgqueue.job_state)::text[]")

    assert states == ["waiting", "queued", "running", "succeeded", "failed", "canceled", "expired"]


def test_the_handle_is_the_pair_that_is_promised(owner):
    rows = owner.execute(
        "select attname, atttypid::regtype::text from pg_attribute where attrelid = 'pgqueue.handle'::regclass order by attnum"
    ).fetchall()

    assert rows == [("id", "bigint"), ("cookie", "bigint")]
