"""A job runs a second time elsewhere only for an error of the server itself, and never for one that it raises.

A run that is rolled back has used its values of sequences, and has launched what it launches. So each job counts its
runs with a sequence.
"""

import pytest

from tests.harness.jobs import hand_in
from tests.harness.people import fetch_value

pytestmark = [pytest.mark.every_server, pytest.mark.usefixtures("executors")]

#: Errors that say, if the server itself raises them, that the job has to run elsewhere.
CODES = {
    "25001": "VACUUM cannot run inside a transaction block",
    "2D000": "invalid transaction termination",
    "25006": "cannot execute INSERT in a read-only transaction",
    "55006": "cannot DROP TABLE because it has pending trigger events",
    "0A000": "EXECUTE of transaction commands is not implemented",
    "42501": 'cannot set parameter "role" within security-definer function',
    "42601": "syntax error",
    "42883": "function pgqueue_run.job_1() does not exist",
    "42P11": "cannot open INSERT query as cursor",
    "42P18": "could not determine data type of parameter $1",
    "34000": "a trigger of the job has closed the cursor of its result",
    "22023": 'invalid value for parameter "temp_buffers": 100',
    "PQ006": "the runner of role alice is not as pgqueue made it",
}
#: Where a job raises an error. Each counts its run.
RAISED = {
    "in a block": ("do $$ begin perform nextval('runs'); perform fail(%(code)s, %(message)s); end $$", None),
    "at the top of a block": (
        "do $$ begin perform nextval('runs'); raise exception using errcode = %(code)s, message = %(message)s; end $$",
        None,
    ),
    "in a query": ("select fail(%(code)s, %(message)s) from (select nextval('runs')) s", None),
    "in a query with parameters": ("select fail(%(code)s, $1) from (select nextval('runs')) s", "message"),
    "in a deferred trigger": ("insert into late select %(code)s, %(message)s from (select nextval('runs')) s", None),
    "in a trigger that defers": (
        "insert into later select %(code)s, %(message)s from (select nextval('runs')) s",
        None,
    ),
}


@pytest.fixture(autouse=True)
def counted(owner):
    owner.execute("""
        create sequence public.runs;
        grant all on sequence public.runs to public;
        create function public.fail(code text, message text) returns int language plpgsql as
          $$ begin raise exception using errcode = code, message = message; end $$;
        create function public.fail_late() returns trigger language plpgsql as
          $$ begin perform public.fail(new.code, new.message); return null; end $$;
        create function public.defer() returns trigger language plpgsql as
          $$ begin set constraints all deferred; insert into public.late values (new.code, new.message); return null; end $$;
        create table public.late (code text, message text);
        create table public.later (code text, message text);
        grant all on public.late, public.later to public;
        create constraint trigger late after insert on public.late deferrable initially deferred
          for each row execute function public.fail_late();
        create constraint trigger later after insert on public.later deferrable initially deferred
          for each row execute function public.defer();
    """)


def quote(text):
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize("function", ["submit", "launch"])
@pytest.mark.parametrize("place", RAISED)
def test_an_error_that_a_job_raises_itself_never_runs_it_again(alice, owner, function, place):
    for runs, (code, message) in enumerate(CODES.items(), 1):
        statement, parameter = RAISED[place]
        options = {"params": [message]} if parameter else {}
        job = hand_in(alice, function, statement % {"code": quote(code), "message": quote(message)}, **options)

        row = job.end()

        assert (row["state"], row["sqlstate"], row["error"]) == ("failed", code, message)
        assert fetch_value(owner, "select last_value from runs") == runs, (code, place)


@pytest.mark.parametrize("function", ["submit", "launch"])
def test_an_error_of_a_long_job_is_known_as_its_own(alice, owner, function):
    statement = f"do $$ begin perform nextval('runs'); raise exception 'no'; end $$ -- {'x' * 100_000}"

    assert hand_in(alice, function, statement).end()["error"] == "no"
    assert fetch_value(owner, "select last_value from runs") == 1


def test_what_no_function_can_commit_is_not_tried_at_the_top_level(alice, owner):
    owner.execute("create function public.commits() returns void language plpgsql as $$ begin commit; end $$")

    row = hand_in(alice, "submit", "select commits() from (select nextval('runs')) s").end()

    assert row["sqlstate"] == "2D000"
    assert fetch_value(owner, "select last_value from runs") == 1


@pytest.mark.parametrize("function", ["submit", "launch"])
def test_a_block_that_raises_the_state_of_a_commit_runs_once_at_the_top_level(alice, owner, function):
    alice.execute("set default_transaction_isolation = 'repeatable read'")
    statement = "do $$ begin perform nextval('runs'); raise exception 'no' using errcode = %s; end $$"

    for runs, code in enumerate(["2D000", "25001"], 1):
        assert hand_in(alice, function, statement % f"'{code}'").end()["sqlstate"] == code
        assert fetch_value(owner, "select last_value from runs") == runs
