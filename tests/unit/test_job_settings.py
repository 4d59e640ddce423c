"""When the session of a job takes which of the settings that the job inherits."""

from __future__ import annotations

from pgqueue.worker.claimed_job import ClaimedJob
from pgqueue.worker.running.job_settings import JobSettings, settings_outside

NAME = "pgqueue executor 1: job 7"
OWN = {"application_name": NAME, "pgqueue.job_id": "7"}


def job(**settings: str) -> ClaimedJob:
    return ClaimedJob(7, 1, "select 1", (), settings, "alice", 16401, None, keep_result=False)


def test_what_the_transaction_begins_with_is_set_before_it() -> None:
    modes = {"default_transaction_isolation": "serializable", "default_transaction_read_only": "on"}

    settings = JobSettings(job(**modes, client_encoding="LATIN1", work_mem="1MB"), NAME, {})

    assert settings.before == {**modes, "client_encoding": "LATIN1"}
    assert settings.inside == {**OWN, "work_mem": "1MB"}


def test_timeouts_are_set_last() -> None:
    settings = JobSettings(job(lock_timeout="1s", work_mem="1MB", statement_timeout="2s", datestyle="ISO"), NAME, {})

    assert list(settings.inside) == [*OWN, "work_mem", "datestyle", "lock_timeout", "statement_timeout"]
    assert settings.inside["lock_timeout"] == "1s"


def test_the_modes_that_a_job_sets_itself_replace_those_that_it_inherits() -> None:
    inherited = job(default_transaction_isolation="serializable")

    settings = JobSettings(inherited, NAME, {"default_transaction_isolation": "repeatable read"})

    assert settings.before == {"default_transaction_isolation": "repeatable read"}
    assert inherited.settings == {"default_transaction_isolation": "serializable"}


def test_a_statement_outside_of_a_transaction_has_all_settings_at_once() -> None:
    inherited = {"client_encoding": "LATIN1", "lock_timeout": "1s", "work_mem": "1MB"}

    assert settings_outside(job(**inherited), NAME) == {**OWN, **inherited}
