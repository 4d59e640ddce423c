"""Fleets in SQL: what administrators may ask for, what a host is told, and what the views show of it."""

import json
import uuid

import psycopg
import pytest

from tests.harness.people import fetch_one, fetch_value, refused
from tests.sql.test_scaling import boss

__all__ = ["boss"]

REPORT = """select is_held, name, wanted, queues, executors, concurrency, restart_after
            from pgqueue._report_fleet(%s, %s, 7, %s)"""
HOSTS = "select distinct host, host_status from pgqueue.fleet_processes order by 1"
A, B = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture
def host(db):
    """A session of the login of a host: that of workers."""
    return db.connect(db.worker_role())


def report(session, processes=(), instance=A, name="db1"):
    return session.execute(REPORT, [name, instance, json.dumps(list(processes))]).fetchall()


def process(number=1, state="running", **more):
    return {"fleet": "reports", "number": number, "worker": f"reports-{number}@db1", "pid": 8, "state": state} | more


def pass_by(owner, seconds):
    owner.execute(
        "update pgqueue.fleet_host set last_seen_at = last_seen_at - make_interval(secs => %s)", [float(seconds)]
    )


def test_a_host_is_told_the_fleets_and_the_views_show_what_it_reports(boss, host):
    assert report(host) == [(True, None, None, None, None, None, None)]
    boss.execute("select pgqueue.set_fleet('reports', 2, queues => '{a,b}', executors => 4, restart_after => null)")
    boss.execute("select pgqueue.set_fleet('tasks', 1, concurrency => 3, restart_after => '5 s')")

    assert report(host, [process(), process(2, "waiting", restarts=3, last_exit="killed by SIGKILL")]) == [
        (True, "reports", 2, ["a", "b"], 4, 0, None),
        (True, "tasks", 1, None, None, 3, 5.0),
    ]

    shown = "select number, worker, state, restarts, last_exit from pgqueue.fleet_processes order by number"
    assert boss.execute(shown).fetchall() == [
        (1, "reports-1@db1", "running", None, None),
        (2, "reports-2@db1", "waiting", 3, "killed by SIGKILL"),
    ]
    assert boss.execute("select fleet, processes, running from pgqueue.fleets order by 1").fetchall() == [
        ("reports", 2, 1),
        ("tasks", 1, 0),
    ]
    assert fetch_value(boss, "select pgqueue.remove_fleet('reports')") is True
    assert fetch_value(boss, "select pgqueue.remove_fleet('reports')") is False
    assert [row[1] for row in report(host)] == ["tasks"]


def test_each_change_of_a_fleet_has_another_number(boss, owner):
    versions = []
    for _ in range(2):
        boss.execute("select pgqueue.set_fleet('reports', 1)")
        versions.append(fetch_value(owner, "select version from pgqueue.fleet"))
    boss.execute("select pgqueue.remove_fleet('reports')")
    boss.execute("select pgqueue.set_fleet('reports', 1)")
    versions.append(fetch_value(owner, "select version from pgqueue.fleet"))

    assert len(set(versions)) == 3


def test_of_two_processes_with_the_same_name_of_a_host_the_second_waits_until_the_first_is_silent(boss, owner, host):
    boss.execute("select pgqueue.set_fleet('reports', 1)")
    assert report(host, [process()])[0][:2] == (True, "reports")

    assert report(host, instance=B) == [(False, None, None, None, None, None, None)]
    assert fetch_value(boss, "select state from pgqueue.fleet_processes") == "running"
    pass_by(owner, 9)
    assert report(host, instance=B)[0][0] is False
    pass_by(owner, 2)
    assert boss.execute(HOSTS).fetchall() == [("db1", "lost")]

    assert report(host, instance=B)[0][:2] == (True, "reports")
    assert report(host)[0][0] is False


def test_a_host_that_leaves_makes_place_at_once_and_for_itself_only(boss, host):
    report(host)
    host.execute("select pgqueue._leave_fleet('db1', %s)", [B])
    assert report(host, instance=B)[0][0] is False

    host.execute("select pgqueue._leave_fleet('db1', %s)", [A])

    assert report(host, instance=B)[0][0] is True


def test_hosts_that_are_gone_for_a_week_are_forgotten(owner, host, boss):
    report(host)
    report(host, name="db2")
    owner.execute("update pgqueue.fleet_host set last_seen_at = last_seen_at - interval '8 days' where host = 'db2'")

    owner.execute("select pgqueue._do_upkeep('scaling')")

    assert boss.execute(HOSTS).fetchall() == [("db1", "online")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'Reports', 1", 'fleet name "Reports" is not usable'),
        ("'--app=evil', 1", 'fleet name "--app=evil" is not usable'),
        ("'a b', 1", 'fleet name "a b" is not usable'),
        ("null, 1", 'fleet name "NULL" is not usable'),
        ("'f', -1", "processes -1 is out of range"),
        ("'f', 1001", "processes 1001 is out of range"),
        ("'f', null", "processes NULL is out of range"),
        ("'f', 1, queues => '{}'", "a fleet takes from 1 to 100 queues, not from 0"),
        ("'f', 1, queues => array['a,b']", 'queue name "a,b" is not usable in a fleet'),
        ("'f', 1, queues => array['a', null]", 'queue name "NULL" is not usable in a fleet'),
        ("'f', 1, queues => array['']", 'queue name "" is not usable in a fleet'),
        ("'f', 1, queues => array[E'a\nb']", 'queue name "a\nb" is not usable in a fleet'),
        ("'f', 1, queues => array[' a']", 'queue name " a" is not usable in a fleet'),
        ("'f', 1, executors => 0", "executors 0 is out of range"),
        ("'f', 1, executors => 1001", "executors 1001 is out of range"),
        ("'f', 1, concurrency => -1", "concurrency -1 is out of range"),
        ("'f', 1, concurrency => null", "concurrency NULL is out of range"),
        ("'f', 1, restart_after => '-1 s'", 'restart_after "-00:00:01" is out of range'),
        ("'f', 1, restart_after => '2 days'", 'restart_after "2 days" is out of range'),
    ],
)
def test_a_fleet_that_cannot_be_is_refused_with_a_hint(boss, arguments, message):
    refusal = refused(boss, f"select pgqueue.set_fleet({arguments})")

    assert (refusal.sqlstate, refusal.diag.message_primary) == ("22023", message)
    assert refusal.diag.message_hint
    assert fetch_value(boss, "select count(*) from pgqueue.fleets") == 0


@pytest.mark.parametrize("processes", ['{"a": 1}', '[{"number": "one"}]', "[1]", '[{"started_at": "soon"}]'])
def test_a_report_that_is_no_list_of_processes_is_refused_and_the_view_stays_readable(boss, host, processes):
    report(host, [process()])

    with pytest.raises(psycopg.DataError):
        host.execute(REPORT, ["db1", A, processes])

    assert fetch_one(boss, "select count(*), min(state) from pgqueue.fleet_processes") == (1, "running")


def test_a_report_without_end_is_refused(host):
    assert refused(host, REPORT, ["db1", A, json.dumps(["x" * 2_000_000])]).sqlstate == "54000"


def test_only_administrators_set_fleets_and_users_see_none(alice, boss, host):
    for session in (alice, host):
        for call in ("set_fleet('f', 1)", "remove_fleet('f')"):
            assert refused(session, f"select pgqueue.{call}").sqlstate == "42501"
        assert refused(session, "insert into pgqueue.fleet values ('f', 1)").sqlstate == "42501"
    for view in ("fleets", "fleet_processes"):
        assert refused(alice, f"select * from pgqueue.{view}").sqlstate == "42501"
        assert host.execute(f"select * from pgqueue.{view}").fetchall() == []
    assert refused(alice, REPORT, ["db1", A, "[]"]).sqlstate == "42501"


def test_a_list_of_lists_of_queues_is_refused(boss):
    error = refused(boss, "select pgqueue.set_fleet('f', 1, array[['a', 'b'], ['c', 'd']])")

    assert (error.sqlstate, "list of lists" in error.diag.message_primary) == ("22023", True)


def test_a_report_that_only_its_sender_could_read_is_refused(boss, host):
    host.execute("set datestyle = 'ISO, DMY'")

    with pytest.raises(psycopg.Error) as raised:
        report(host, [process(started_at="13/01/2026 00:00")])

    assert raised.value.sqlstate == "22008"
    assert boss.execute("select count(*) from pgqueue.fleet_processes").fetchone() == (0,)
