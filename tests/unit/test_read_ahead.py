from pgqueue.broker.consuming.read_ahead import AHEAD_SECONDS, ReadAhead


def test_who_has_settled_nothing_reads_nothing_ahead() -> None:
    read_ahead = ReadAhead()

    read_ahead.update(100.0, at_most=100, claim_seconds=0.001)

    assert read_ahead.ahead == 0


def test_as_much_is_read_ahead_as_is_settled_in_a_moment() -> None:
    read_ahead = ReadAhead()
    read_ahead.update(100.0, at_most=100, claim_seconds=0.001)

    read_ahead.settled += 1000
    read_ahead.update(101.0, at_most=100, claim_seconds=0.001)

    assert read_ahead.ahead == 1000 * AHEAD_SECONDS


def test_never_more_than_is_claimed_at_once() -> None:
    read_ahead = ReadAhead()
    read_ahead.update(100.0, at_most=100, claim_seconds=0.001)

    read_ahead.settled += 1_000_000
    read_ahead.update(101.0, at_most=100, claim_seconds=0.001)

    assert read_ahead.ahead == 100


def test_a_worker_of_long_tasks_reads_nothing_ahead() -> None:
    read_ahead = ReadAhead()
    read_ahead.update(100.0, at_most=100, claim_seconds=0.001)

    read_ahead.settled += 1
    read_ahead.update(100.1, at_most=100, claim_seconds=0.001)

    assert read_ahead.ahead == 0


def test_a_burst_within_an_instant_says_nothing_of_the_next_moment() -> None:
    read_ahead = ReadAhead()
    read_ahead.update(100.0, at_most=100, claim_seconds=0.001)

    read_ahead.settled += 50
    read_ahead.update(100.001, at_most=100, claim_seconds=0.001)

    assert read_ahead.ahead == 0


def test_who_had_to_give_back_what_it_read_begins_anew() -> None:
    read_ahead = ReadAhead()
    read_ahead.update(100.0, at_most=100, claim_seconds=0.001)
    read_ahead.settled += 1000
    read_ahead.update(101.0, at_most=100, claim_seconds=0.001)

    read_ahead.stop()

    assert read_ahead.ahead == 0


def test_while_claims_take_long_more_is_read_ahead_and_may_wait_for_longer() -> None:
    read_ahead = ReadAhead()
    read_ahead.update(100.0, at_most=100, claim_seconds=0.001)
    usual = read_ahead.stale_seconds

    read_ahead.settled += 100
    read_ahead.update(101.0, at_most=100, claim_seconds=0.004)

    assert read_ahead.ahead == 100 * 0.04
    assert read_ahead.stale_seconds == 2 * usual

    read_ahead.settled += 100
    read_ahead.update(102.0, at_most=100, claim_seconds=30.0)

    assert read_ahead.ahead == 100 * 0.08
