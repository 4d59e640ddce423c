"""The calls and their types, as the reference gives them."""

import pytest

from tests.compat.names import NAMES

SIGNATURES = {
    "1.8": {
        "pg_background_launch(text, integer = 0)": "integer",
        "pg_background_result(integer)": "SETOF record",
        "pg_background_detach(integer)": "void",
        "pg_background_launch_v2(text, integer = 0)": "pg_background_handle",
        "pg_background_submit_v2(text, integer = 0)": "pg_background_handle",
        "pg_background_result_v2(integer, bigint)": "SETOF record",
        "pg_background_detach_v2(integer, bigint)": "void",
        "pg_background_cancel_v2(integer, bigint)": "void",
        "pg_background_cancel_v2_grace(integer, bigint, integer)": "void",
        "pg_background_wait_v2(integer, bigint)": "void",
        "pg_background_wait_v2_timeout(integer, bigint, integer)": "boolean",
        "pg_background_list_v2()": "SETOF record",
        "pg_background_stats_v2()": "pg_background_stats",
        "pg_background_progress(integer, text = NULL)": "void",
        "pg_background_get_progress_v2(integer, bigint)": "pg_background_progress",
        "grant_pg_background_privileges(text, boolean = false)": "boolean",
        "revoke_pg_background_privileges(text, boolean = false)": "boolean",
    },
    "2.0": {
        "pg_background_launch(text, integer = 0)": "pg_background_handle",
        "pg_background_launch(text, integer, text)": "pg_background_handle",
        "pg_background_submit(text, integer = 0)": "pg_background_handle",
        "pg_background_submit(text, integer, text)": "pg_background_handle",
        "pg_background_result(integer, bigint)": "SETOF record",
        "pg_background_detach(integer, bigint)": "void",
        "pg_background_cancel(integer, bigint, integer = 0)": "void",
        "pg_background_wait(integer, bigint, integer = 0)": "boolean",
        "pg_background_list()": "SETOF record",
        "pg_background_stats()": "pg_background_stats",
        "pg_background_report_progress(integer, text = NULL)": "void",
        "pg_background_get_progress(integer, bigint)": "pg_background_progress_info",
        "pg_background_result_info(integer, bigint)": "pg_background_result_info",
        "pg_background_error_info(integer, bigint)": "pg_background_error",
        "pg_background_outcome(integer, bigint)": "pg_background_outcome",
        "pg_background_run(text, integer = 0, integer = 0, text = NULL)": "pg_background_run_result",
        "pg_background_run_query(text, integer = 0, integer = 0, text = NULL, text = NULL)": "SETOF record",
        "pg_background_drain(pg_background_handle[], integer = 0)": "SETOF pg_background_outcome",
        "pg_background_wait_any(pg_background_handle[], integer = 0)": "pg_background_handle",
        "pg_background_cancel_by_label(text, integer = 0)": "integer",
        "pg_background_cancel_all()": "integer",
        "pg_background_detach_all()": "integer",
        "pg_background_purge()": "integer",
        "pg_background_full_sql(integer, bigint)": "text",
        "pg_background_grant_privileges(text, boolean = false)": "boolean",
        "pg_background_revoke_privileges(text, boolean = false)": "boolean",
    },
}
HANDLE = "pid integer, cookie bigint"
STATS = (
    "workers_launched bigint, workers_completed bigint, workers_failed bigint, workers_canceled bigint, {}workers_active integer, \
avg_execution_ms double precision, max_workers integer"
)
OUTCOME = (
    "pid integer, cookie bigint, state text, consumed boolean, completed boolean, has_error boolean, row_count bigint, \
command_tag text, sqlstate text, error_message text, label text, launched_at timestamp with time zone"
)
TYPES = {
    "1.8": {
        "pg_background_handle": HANDLE,
        "pg_background_stats": STATS.format(""),
        "pg_background_progress": "progress_pct integer, progress_msg text",
    },
    "2.0": {
        "pg_background_handle": HANDLE,
        "pg_background_stats": STATS.format("workers_timed_out bigint, "),
        "pg_background_progress_info": "progress_pct integer, progress_msg text",
        "pg_background_result_info": "row_count bigint, command_tag text, completed boolean, has_error boolean, "
        "started_at timestamp with time zone, finished_at timestamp with time zone",
        "pg_background_error": "sqlstate text, message text, detail text, hint text, context text, schema_name text, "
        "table_name text, column_name text, constraint_name text",
        "pg_background_outcome": OUTCOME,
        "pg_background_run_result": f"{OUTCOME}, timed_out boolean, elapsed_ms bigint",
    },
}


@pytest.mark.parametrize("version", list(NAMES))
def test_the_calls_take_and_return_what_the_extensions_do(stage, version):
    schema = NAMES[version].schema
    rows = stage.db.execute(
        """select proname::text, pg_get_function_arguments(oid), coalesce(proargnames, '{}'), pg_get_function_result(oid)
           from pg_proc where pronamespace = %s::regnamespace and proname ~ 'pg_background_'""",
        [schema],
    )
    found = {}
    for name, arguments, names, returned in rows:
        plain = arguments
        for argument in names:
            plain = plain.replace(f"{argument} ", "", 1)
        plain = plain.replace("::text", "").replace(" DEFAULT ", " = ").replace(f"{schema}.", "")
        found[f"{name}({plain})"] = returned.replace(f"{schema}.", "")
    wanted = SIGNATURES[version]

    assert {call: returned for call, returned in found.items() if call in wanted} == wanted
    aliases = set(found) - set(wanted)
    assert all(version == "2.0" and "_v2(" in call for call in aliases), aliases


@pytest.mark.parametrize("version", list(NAMES))
def test_the_types_have_the_columns_of_the_extensions(stage, version):
    rows = stage.db.execute(
        """select c.relname::text, string_agg(format('%%s %%s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum)
           from pg_class c join pg_attribute a on a.attrelid = c.oid
           where c.relnamespace = %s::regnamespace and c.relkind = 'c' and c.relname ~ '^pg_background_' group by c.relname""",
        [NAMES[version].schema],
    )

    assert dict(rows) == TYPES[version]


@pytest.mark.parametrize(
    ("call", "is_strict"),
    [("launch(text, integer)", True), ("submit(text, integer)", True), ("launch(text, integer, text)", False)],
)
def test_only_the_form_without_a_label_is_strict(stage, call, is_strict):
    strict = "select proisstrict from pg_proc where oid = %s::regprocedure"

    assert stage.db.fetch_value(strict, [f"pgbg.pg_background_{call}"]) is is_strict
