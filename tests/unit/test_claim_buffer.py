from pgqueue.broker.consuming.buffer import ClaimBuffer, ClaimedMessage, Source


def claimed(number: int, queue: str = "q", kind: str = "task") -> ClaimedMessage:
    return ClaimedMessage(kind, number, 0, queue, earlier_deliveries=0, document="{}")


def popped(buffer: ClaimBuffer, *queues: str) -> list[int]:
    found = []
    while one := buffer.pop(lambda source: source.queue in queues):
        found.append(one.id)
    return found


def test_messages_of_a_queue_come_in_order() -> None:
    buffer = ClaimBuffer()
    buffer.add([claimed(3), claimed(1)], 0.0)
    buffer.add([claimed(2)], 1.0)

    assert popped(buffer, "q") == [3, 1, 2]


def test_queues_take_turns() -> None:
    buffer = ClaimBuffer()
    buffer.add([claimed(1, "a"), claimed(2, "a"), claimed(3, "a"), claimed(4, "b")], 0.0)

    assert popped(buffer, "a", "b") == [1, 4, 2, 3]


def test_what_nobody_has_room_for_stays() -> None:
    buffer = ClaimBuffer()
    buffer.add([claimed(1, "full"), claimed(2, "free")], 0.0)

    assert popped(buffer, "free") == [2]
    assert [one.id for one in buffer] == [1]
    assert not buffer.has_one_for(lambda source: source.queue == "free")


def test_it_counts_the_messages_of_a_kind_and_of_some_queues() -> None:
    buffer = ClaimBuffer()
    buffer.add([claimed(1), claimed(2), claimed(3, "other"), claimed(4, kind="job")], 0.0)

    assert (len(buffer), buffer.count("task", ["q"]), buffer.count("task", ["q", "other"])) == (4, 2, 3)


def test_a_queue_is_old_when_its_oldest_message_is() -> None:
    buffer = ClaimBuffer()
    buffer.add([claimed(1), claimed(2)], 10.0)
    buffer.add([claimed(3)], 20.0)
    buffer.add([claimed(4, "young")], 20.0)

    assert [one.id for one in buffer.take_older(15.0)] == [1, 2, 3]
    assert [one.id for one in buffer] == [4]


def test_a_queue_that_keeps_moving_is_not_old() -> None:
    buffer = ClaimBuffer()
    buffer.add([claimed(1), claimed(2)], 10.0)
    buffer.add([claimed(3)], 20.0)
    buffer.pop(lambda _source: True)
    buffer.pop(lambda _source: True)

    assert buffer.take_older(15.0) == []


def test_all_of_a_queue_can_be_taken() -> None:
    buffer = ClaimBuffer()
    buffer.add([claimed(1), claimed(2, "other")], 0.0)

    assert [one.id for one in buffer.take(Source("task", "q"))] == [1]
    assert buffer.take(Source("task", "unknown")) == []
    assert len(buffer) == 1
