from pgqueue.broker.consuming.buffer import Backlog, Claimed, Source


def claimed(number: int, queue: str = "q", kind: str = "task") -> Claimed:
    return Claimed(kind, number, 0, queue, earlier_deliveries=0, document="{}")


def popped(backlog: Backlog, *queues: str) -> list[int]:
    found = []
    while one := backlog.pop(lambda source: source.queue in queues):
        found.append(one.id)
    return found


def test_messages_of_a_queue_come_in_order() -> None:
    backlog = Backlog()
    backlog.add([claimed(3), claimed(1)], 0.0)
    backlog.add([claimed(2)], 1.0)

    assert popped(backlog, "q") == [3, 1, 2]


def test_queues_take_turns() -> None:
    backlog = Backlog()
    backlog.add([claimed(1, "a"), claimed(2, "a"), claimed(3, "a"), claimed(4, "b")], 0.0)

    assert popped(backlog, "a", "b") == [1, 4, 2, 3]


def test_what_nobody_has_room_for_stays() -> None:
    backlog = Backlog()
    backlog.add([claimed(1, "full"), claimed(2, "free")], 0.0)

    assert popped(backlog, "free") == [2]
    assert [one.id for one in backlog] == [1]
    assert not backlog.has_one_for(lambda source: source.queue == "free")


def test_it_counts_the_messages_of_a_kind_and_of_some_queues() -> None:
    backlog = Backlog()
    backlog.add([claimed(1), claimed(2), claimed(3, "other"), claimed(4, kind="job")], 0.0)

    assert (len(backlog), backlog.count("task", ["q"]), backlog.count("task", ["q", "other"])) == (4, 2, 3)


def test_a_queue_is_old_when_its_oldest_message_is() -> None:
    backlog = Backlog()
    backlog.add([claimed(1), claimed(2)], 10.0)
    backlog.add([claimed(3)], 20.0)
    backlog.add([claimed(4, "young")], 20.0)

    assert [one.id for one in backlog.take_older(15.0)] == [1, 2, 3]
    assert [one.id for one in backlog] == [4]


def test_a_queue_that_keeps_moving_is_not_old() -> None:
    backlog = Backlog()
    backlog.add([claimed(1), claimed(2)], 10.0)
    backlog.add([claimed(3)], 20.0)
    backlog.pop(lambda _source: True)
    backlog.pop(lambda _source: True)

    assert backlog.take_older(15.0) == []


def test_all_of_a_queue_can_be_taken() -> None:
    backlog = Backlog()
    backlog.add([claimed(1), claimed(2, "other")], 0.0)

    assert [one.id for one in backlog.take(Source("task", "q"))] == [1]
    assert backlog.take(Source("task", "unknown")) == []
    assert len(backlog) == 1
