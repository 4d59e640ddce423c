from pgqueue.broker.unroutable_keys import UnroutableKeys


def test_a_publish_that_reached_nobody_is_remembered() -> None:
    unbound = UnroutableKeys()

    unbound.add("events", "worker.heartbeat", unbound.age)

    assert ("events", "worker.heartbeat") in unbound
    assert ("events", "task.sent") not in unbound


def test_a_new_binding_makes_it_forget() -> None:
    unbound = UnroutableKeys()
    unbound.add("events", "worker.heartbeat", unbound.age)

    unbound.forget()

    assert ("events", "worker.heartbeat") not in unbound


def test_a_binding_made_during_the_publish_keeps_it_from_being_remembered() -> None:
    unbound = UnroutableKeys()
    before = unbound.age

    unbound.forget()
    unbound.add("events", "worker.heartbeat", before)

    assert ("events", "worker.heartbeat") not in unbound
