from pgqueue.broker.consuming.read_ahead import AHEAD_SECONDS, Appetite


def test_who_has_settled_nothing_reads_nothing_ahead() -> None:
    appetite = Appetite()

    appetite.look(100.0, at_most=100)

    assert appetite.ahead == 0


def test_as_much_is_read_ahead_as_is_settled_in_a_moment() -> None:
    appetite = Appetite()
    appetite.look(100.0, at_most=100)

    appetite.settled += 1000
    appetite.look(101.0, at_most=100)

    assert appetite.ahead == 1000 * AHEAD_SECONDS


def test_never_more_than_is_claimed_at_once() -> None:
    appetite = Appetite()
    appetite.look(100.0, at_most=100)

    appetite.settled += 1_000_000
    appetite.look(101.0, at_most=100)

    assert appetite.ahead == 100


def test_a_worker_of_long_tasks_reads_nothing_ahead() -> None:
    appetite = Appetite()
    appetite.look(100.0, at_most=100)

    appetite.settled += 1
    appetite.look(100.1, at_most=100)

    assert appetite.ahead == 0


def test_a_burst_within_an_instant_says_nothing_of_the_next_moment() -> None:
    appetite = Appetite()
    appetite.look(100.0, at_most=100)

    appetite.settled += 50
    appetite.look(100.001, at_most=100)

    assert appetite.ahead == 0


def test_who_had_to_give_back_what_it_read_begins_anew() -> None:
    appetite = Appetite()
    appetite.look(100.0, at_most=100)
    appetite.settled += 1000
    appetite.look(101.0, at_most=100)

    appetite.stop()

    assert appetite.ahead == 0
