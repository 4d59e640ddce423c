import copy
import inspect
import pickle

import psycopg
import pytest

from pgqueue import errors
from pgqueue.errors import BY_SQLSTATE, BY_STATE, PgQueueError, from_driver, from_job


def all_errors():
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PgQueueError)]


def test_the_drawn_tree_is_the_real_one():
    drawn, above = {}, {}
    for line in errors.__doc__.splitlines()[2:]:
        depth = (len(line) - len(line.lstrip())) // 2
        names = line.split("  ")[depth] if "," not in line else line
        for name in names.replace(",", " ").split():
            drawn[name] = above.get(depth - 1)
            above[depth] = name
    drawn_by_name = {kind.__name__: drawn.get(kind.__name__, "missing") for kind in all_errors()}

    parents = {kind.__name__: kind.__bases__[0].__name__ for kind in all_errors()}
    # ReportedError only holds the fields that its two children share; a reader of the tree does without.
    parents = {name: "PgQueueError" if parent == "ReportedError" else parent for name, parent in parents.items()}
    parents.pop("ReportedError")
    drawn_by_name.pop("ReportedError")
    parents["PgQueueError"] = None
    assert drawn_by_name == parents


@pytest.mark.parametrize("kind", all_errors())
def test_an_error_survives_pickling(kind):
    error = kind("it failed", hint="Mend it.")

    copied = pickle.loads(pickle.dumps(copy.copy(error)))

    assert (type(copied), str(copied), vars(copied)) == (kind, "it failed", vars(error))


def test_a_job_error_keeps_every_field():
    report = {
        "sqlstate": "23505",
        "message": "duplicate key",
        "detail": "Key (a)=(1) already exists.",
        "hint": None,
        "context": "SQL statement",
        "schema": "public",
        "table": "t",
        "column": "a",
        "datatype": "int4",
        "constraint": "t_pkey",
        "something_new": "ignored",
    }

    error = from_job("failed", report, handle=(7, -8))

    assert isinstance(error, errors.JobFailed)
    assert str(error) == "duplicate key"
    assert error.handle == (7, -8)
    for field in ("sqlstate", "detail", "hint", "context", "schema", "table", "column", "datatype", "constraint"):
        assert getattr(error, field) == report[field]


@pytest.mark.parametrize("state", BY_STATE)
def test_a_job_that_left_no_report_still_has_a_message(state):
    error = from_job(state, None)

    assert type(error) is BY_STATE[state]
    assert str(error)


def test_a_failure_to_connect_is_one_line_with_the_rest_in_the_detail():
    failure = psycopg.OperationalError("connection failed: refused\n\tIs the server running?")

    error = from_driver(failure)

    assert isinstance(error, errors.ConnectionFailed)
    assert str(error) == "connection failed: refused"
    assert error.detail == "Is the server running?"


def test_a_wrong_use_of_the_driver_is_no_failed_connection():
    assert type(from_driver(psycopg.ProgrammingError("the query has 1 placeholder"))) is errors.ServerError


@pytest.mark.parametrize(("sqlstate", "kind"), BY_SQLSTATE.items())
def test_a_sqlstate_raised_by_a_function_becomes_its_class(db, sqlstate, kind):
    failure = raised_by_server(db, f"raise 'oh' using errcode = '{sqlstate}', detail = 'd', hint = 'h', column = 'c'")

    error = from_driver(failure, handle=(1, 2))

    assert type(error) is kind
    assert (str(error), error.sqlstate, error.detail, error.hint) == ("oh", sqlstate, "d", "h")
    assert (error.column, error.handle) == ("c", (1, 2))
    assert "PL/pgSQL function" in error.context


def test_an_unknown_role_is_no_unknown_job(db):
    failure = raised_by_server(db, "perform 'nobody_at_all'::regrole")

    assert type(from_driver(failure)) is errors.ServerError


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("set work_mem = 'much'", "22023"),
        ("perform currval('pgqueue.message_id_seq')", "55000"),
    ],
)
def test_what_the_server_itself_refuses_is_no_refusal_of_ours(db, statement, sqlstate):
    failure = raised_by_server(db, statement)

    assert failure.sqlstate == sqlstate
    assert type(from_driver(failure)) is errors.ServerError


def test_a_database_without_pgqueue_says_what_to_run(empty_db):
    with pytest.raises(psycopg.Error) as failed:
        empty_db.execute("select pgqueue.launch('select 1')")

    error = from_driver(failed.value)

    assert isinstance(error, errors.NotInstalled)
    assert "pgqueue install" in error.hint


def test_a_role_without_rights_is_told_how_to_get_them(db):
    db.create_role("stranger", enrolled=False)

    with pytest.raises(psycopg.Error) as failed:
        db.connect("stranger").execute("select pgqueue.launch('select 1')")

    error = from_driver(failed.value)
    assert isinstance(error, errors.NotPermitted)
    assert "enroll" in error.hint


def test_a_database_that_is_not_there_is_a_failed_connection(db):
    with pytest.raises(psycopg.Error) as failed:
        psycopg.connect(db.server.conninfo("no_such_database"))

    error = from_driver(failed.value)

    assert isinstance(error, errors.ConnectionFailed)
    assert "no_such_database" in str(error)


def raised_by_server(db, body):
    with pytest.raises(psycopg.Error) as failed:
        db.execute(f"do $$ begin {body}; end $$")
    return failed.value
