"""The server can prepare each named query: its syntax, and all that it names, are of every version that is supported.

Most programs that run these queries are tested on one server only (CONTRIBUTING, "Tests").
"""

import pytest
from psycopg import pq

from pgqueue.db.named_query import bind
from pgqueue.sql import numbered, queries

#: These are not prepared as they stand: names are put into some, two have several commands, one reads pg_cron's own table.
NOT_AS_THEY_STAND = {
    "call_test_helper", "copy_database", "create_login", "create_template_database", "drop_database", "drop_login",
    "forget_role", "leave_result", "listen", "lock_views", "pg_cron_jobs", "reset_session", "run_groups", "run_jobs",
    "run_result", "unlisten",
}  # fmt: skip


def refusal_of(session, text):
    """Return the error with which the server refuses to prepare a statement, or None."""
    answer = session.pgconn.prepare(b"", text)
    return None if answer.status == pq.ExecStatus.COMMAND_OK else answer.error_message.decode()


def test_the_server_can_prepare_each_query(owner):
    refused = {name: refusal_of(owner, numbered(name)[0]) for name in queries()}

    assert {name: why for name, why in refused.items() if why and name not in NOT_AS_THEY_STAND} == {}
    assert {name for name in NOT_AS_THEY_STAND if not refused[name]} == set()


def test_a_query_that_names_what_is_not_there_is_refused(owner):
    assert "does not exist" in refusal_of(owner, b"select m.paused from pgqueue.message m where m.id = $1")


@pytest.mark.parametrize(
    ("ids", "sent"),
    [([7], b"{7}"), ([1, -(2**63), 2**40], b"{1,-9223372036854775808,1099511627776}"), ([], b"{}")],
)
def test_numbers_of_any_size_are_sent_in_one_form_so_that_one_statement_is_prepared(owner, ids, sent):
    bound = bind(owner, "release_waiting", {"ids": ids, "tokens": ids})

    assert [bytes(value) for value in bound.values] == [sent, sent]
    assert set(bound.types) <= {0}


def test_a_list_of_other_values_is_sent_as_psycopg_sends_it(owner):
    bound = bind(owner, "release_waiting", {"ids": ["a,b"], "tokens": [1, None]})

    assert owner.execute("select %s::text[]", [["a,b"]]).fetchone() == (["a,b"],)
    assert bytes(bound.values[0]) == b'{"a,b"}'
    assert bytes(bound.values[1]) != b"{1,None}"
