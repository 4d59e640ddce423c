from pgqueue.local.restart_policy import RestartPolicy


def test_each_death_in_a_row_waits_longer() -> None:
    restarts = RestartPolicy()

    delays = [restarts.next_delay(now) for now in (0.0, 1.0, 2.0, 3.0)]

    assert delays == [0.5, 1.0, 2.0, 4.0]


def test_five_deaths_within_a_minute_are_too_many() -> None:
    restarts = RestartPolicy()

    delays = [restarts.next_delay(now) for now in (0.0, 10.0, 20.0, 30.0, 40.0)]

    assert delays[-1] is None


def test_old_deaths_are_forgotten() -> None:
    restarts = RestartPolicy()

    delays = [restarts.next_delay(now) for now in (0.0, 100.0, 200.0, 300.0, 400.0, 500.0)]

    assert delays == [0.5] * 6
