"""What others have written stays within its line of the worker's log."""

import logging

import pytest

from pgqueue.worker.claimed_job import Ending, Outcome
from pgqueue.worker.job_log import log_end
from pgqueue.worker.log import get_logger


class Job:
    id = 7

    def __init__(self, label=None):
        self.label = label


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("a\n[2026-01-01 00:00:00: WARNING] job 8 failed", "a\\n[2026-01-01 00:00:00: WARNING] job 8 failed"),
        ("\r\x1b[2J\x9b\x7f", "\\r\\x1b[2J\\x9b\\x7f"),
        ("\u2028\u202eabc", "\\u2028\\u202eabc"),
        ("ünïcode 😀 \\ 'quotes'", "ünïcode 😀 \\ 'quotes'"),
    ],
)
def test_an_error_of_a_job_is_one_line(caplog, said, written):
    with caplog.at_level(logging.INFO, "pgqueue.worker.job_log"):
        log_end(Job(), Outcome(Ending.FAILED, fields={"sqlstate": "P0001", "message": said}), 0.25)

    assert [record.getMessage() for record in caplog.records] == [f"job 7 failed in 0.250 s: P0001 {written}"]


def test_a_job_is_named_by_its_number_and_its_label_on_one_line(caplog):
    with caplog.at_level(logging.INFO, "pgqueue.worker.job_log"):
        log_end(Job("nightly\nreport"), Outcome(Ending.SUCCEEDED, "SELECT 1"), 0.25)

    assert [record.getMessage() for record in caplog.records] == [
        "job 7 (nightly\\nreport) succeeded in 0.250 s: SELECT 1"
    ]


def test_numbers_and_exceptions_are_written_too(caplog):
    logger = get_logger("pgqueue.tasks.test_log")
    with caplog.at_level(logging.INFO, logger.name):
        logger.warning("%d of %.1f: %s, %.3s", 3, 4.0, ValueError("a\nb"), "a\tbcd")

    assert caplog.records[0].getMessage() == "3 of 4.0: a\\nb, a\\t"
