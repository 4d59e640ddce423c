def test_a_database_has_pgqueue_and_a_working_loopback(db):
    db.create_role("alice")
    alice = db.connect("alice")

    handle = alice.execute("select id from pgqueue.launch('select 1')").fetchone()

    assert handle[0] > 0
