"""Relays: who says where messages go, and who may take them in."""

from __future__ import annotations

from tests.harness.people import fetch_value, refused


def test_only_administrators_set_routes_and_no_user_sees_them(db, alice, owner, worker):
    owner.execute("select pgqueue.relay_to('mail', 'rabbit')")
    db.create_role("monitor", enrolled=False)
    owner.execute("grant pgqueue_monitor to monitor")
    monitor = db.connect("monitor")
    for session in (alice, worker.session, monitor):
        assert refused(session, "select pgqueue.relay_to('mail', 'mine')").sqlstate == "42501"
        for table in ("relay_route", "relay_receipt"):
            assert refused(session, f"delete from pgqueue.{table}").sqlstate == "42501"
    assert refused(alice, "select * from pgqueue.relays").sqlstate == "42501"
    for session in (worker.session, monitor):
        assert fetch_value(session, "select target from pgqueue.relays") == "rabbit"


def test_a_route_holds_no_url_and_its_refusal_repeats_none(owner):
    refusal = refused(owner, "select pgqueue.relay_to('mail', 'amqp://app:secret@rabbit//')")

    assert refusal.sqlstate == "22023"
    assert "secret" not in str(refusal)
    assert fetch_value(owner, "select count(*) from pgqueue.relays") == 0


def test_no_login_but_a_workers_takes_messages_in_or_reads_the_names_of_queues(alice, worker):
    calls = (
        "_note_receipts('s', '{a}')",
        "_relay_queues()",
        "_has_ready_job('mail')",
        "_kept_jobs('{1}', '{1}')",
        "_run_ending(1)",
    )
    for call in calls:
        assert refused(alice, f"select pgqueue.{call}").sqlstate == "42501"
        worker.session.execute(f"select pgqueue.{call}")


def test_a_wake_up_is_worth_nothing_without_the_token_and_the_login_of_a_worker(alice, worker):
    alice.execute("select pgqueue.enqueue('select 1', queue => 'mail')")
    [claim] = worker.claim("job", "mail")
    take_over = "select id from pgqueue._take_over_job({}, {}, {})"

    # A claim of a worker is no claim of a relay.
    assert worker.session.execute(take_over.format(worker.id, claim.id, claim.token)).fetchall() == []
    worker.session.execute("select pgqueue._set_worker_targets(%s, '{t}', true)", [worker.id])
    assert worker.session.execute(take_over.format(worker.id, claim.id, claim.token + 1)).fetchall() == []
    for call in (
        take_over.format(worker.id, claim.id, claim.token),
        f"select pgqueue._set_worker_targets({worker.id}, '{{t}}', true)",
    ):
        assert refused(alice, call).sqlstate == "42501"
    assert worker.session.execute(take_over.format(worker.id, claim.id, claim.token)).fetchall() == [(claim.id,)]
