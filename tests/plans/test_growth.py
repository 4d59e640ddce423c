"""Plans that a session made while the queue was small, once it has grown: they are kept until the table is analyzed again."""

from tests.harness.people import fetch_value

DELAYED = 20_000
SEND = "select count(pgqueue.send_task('shop.place', eta => now() + %s::interval)) from generate_series(1, %s)"


def test_a_claim_and_its_ack_read_no_more_when_many_messages_are_delayed(db):
    owner = db.connect()
    owner.execute("select pgqueue.enroll(current_user::regrole)")
    owner.execute("alter table pgqueue.message set (autovacuum_enabled = off)")
    worker = db.connect("postgres")
    worker_id = fetch_value(
        owner,
        "insert into pgqueue.worker (name, pid, executors) values ('w', %s, 1) returning id",
        [worker.info.backend_pid],
    )
    owner.execute(SEND, ["1 hour", 200])
    owner.execute("vacuum analyze pgqueue.message")

    def claim_and_ack():
        owner.execute("select pgqueue.send_task('shop.place')")
        ids, tokens = worker.execute(
            "select array_agg(id), array_agg(token) from pgqueue._claim(%s, 'task', array['celery'], 8)", [worker_id]
        ).fetchone()
        assert fetch_value(worker, "select pgqueue._ack(%s::bigint[], %s::bigint[])", [ids, tokens]) == 1

    for _ in range(10):
        claim_and_ack()
    owner.execute(SEND, ["1 hour", DELAYED])
    before = rows_read(worker)
    claim_and_ack()

    assert rows_read(worker) - before < 100


def rows_read(session):
    """Return how many messages this database's sessions have read, by index or not."""
    session.execute("select pg_stat_force_next_flush()")
    return fetch_value(
        session,
        """select (t.seq_tup_read + coalesce((select sum(i.idx_tup_read) from pg_stat_user_indexes i where i.relid = t.relid), 0))::bigint
           from pg_stat_user_tables t where t.relid = 'pgqueue.message'::regclass""",
    )
