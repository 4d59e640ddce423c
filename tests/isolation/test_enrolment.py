"""A role that is enrolled while it hands in: what it was told is sent has been sent."""

from tests.harness import eventually
from tests.harness.people import fetch_value


def test_a_task_sent_while_its_role_is_enrolled_is_not_lost(db, owner, in_background):
    db.create_role("alice")
    db.create_role("carol", enrolled=False)
    owner.execute("grant alice to carol")
    owner.execute(
        """create function public.wait() returns trigger language plpgsql as $$ begin
             perform pg_advisory_xact_lock(4711); return null; end $$;
           create trigger wait before insert on pgqueue.message for each statement execute function public.wait()"""
    )
    door, carol = db.connect(), db.connect("carol")
    door.execute("select pg_advisory_lock(4711)")
    sending = in_background(fetch_value, carol, "select pgqueue.send_task('shop.place', task_id => 'sent')")
    # Its statement has been begun, and does not see who is enrolled from now on.
    waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"
    eventually(lambda: fetch_value(owner, waiting) == 1)

    owner.execute("select pgqueue.enroll('carol')")
    door.execute("select pg_advisory_unlock(4711)")

    assert sending.result() == "sent"
    assert fetch_value(owner, "select payload -> 'headers' ->> 'id' from pgqueue.message") == "sent"
