"""Sessions of old programs read a backslash in a literal as an escape (standard_conforming_strings = off)."""

import re

import pytest

from tests.harness.people import fetch_value, refused

# What is no plain literal: E'', comments, quoted names. Bodies within bodies are looked at like the rest.
LITERAL = re.compile(
    r"""(?is)--[^\n]*|/\*.*?\*/|"[^"]*"|(?<![a-z0-9_])[e]'(?:[^'\\]|''|\\.)*'|(?P<plain>'(?:[^']|'')*')"""
)


@pytest.fixture
def old(alice):
    alice.execute("set escape_string_warning = off; set standard_conforming_strings = off")
    return alice


def test_no_function_that_is_parsed_when_it_runs_has_a_backslash_in_a_plain_literal(owner):
    owner.execute("create schema names; select pgqueue.install_compat('2.0', 'names')")
    sources = owner.execute(
        """select p.oid::regprocedure::text, p.prosrc from pg_proc p
           where p.pronamespace::regnamespace::text in ('pgqueue', 'pgqueue_run', 'names') and p.prosqlbody is null"""
    ).fetchall()
    assert len(sources) > 150

    loose = {
        name: literal["plain"]
        for name, source in sources
        for literal in LITERAL.finditer(source)
        if literal["plain"] and "\\" in literal["plain"]
    }

    owner.execute("select pgqueue.uninstall_compat('names')")
    assert loose == {}


def test_triggers_tasks_and_jobs_work_in_such_a_session(old, owner, worker):
    owner.execute("create schema shop authorization alice")
    old.execute("create table shop.item (id int, status text)")
    old.execute(
        "create trigger one after insert on shop.item for each row "
        "execute function pgqueue.enqueue_trigger('sql', 'select $1::int, $2::text', 'id , status')"
    )

    old.execute("insert into shop.item values (2, 'paid')")
    task = fetch_value(old, """select pgqueue.send_task('a.b', '["line\\\\nbreak \\u00a0"]')""")

    assert [claim.job["params"] for claim in worker.claim()] == [["2", "paid"]]
    (claim,) = worker.claim("celery", kind="task")
    assert claim.message["headers"]["id"] == str(task)
    assert claim.message["headers"]["argsrepr"] == "('line\\nbreak \\xa0',)"
    assert refused(old, "select pgqueue.launch(' ')").sqlstate == "22023"
    handle = fetch_value(old, "select pgqueue.launch('select $1', array['a'], delay => '1 h')")
    assert fetch_value(old, "select pgqueue.cancel(%s::pgqueue.handle)", [handle]) is True


def test_topics_are_matched_in_such_a_session(old, owner):
    old.execute("select pgqueue._declare_exchange('topics', 'topic', true, false, null)")
    for queue, key in (("q1", "a.*.c+d"), ("q2", "#.z")):
        old.execute("select pgqueue._declare_queue(%s, true, false, false, null)", [queue])
        old.execute("select pgqueue._bind(%s, 'topics', %s)", [queue, key])

    owner.execute("set escape_string_warning = off; set standard_conforming_strings = off")
    route = "select queue from pgqueue._route('topics', %s, 'alice'::regrole)"
    routes = {key: [row[0] for row in owner.execute(route, [key])] for key in ("a.b.c+d", "aXb.c+d", "x.z", "axz")}

    assert routes == {"a.b.c+d": ["q1"], "aXb.c+d": [], "x.z": ["q2"], "axz": []}
