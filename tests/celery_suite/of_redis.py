"""A pytest plugin for Celery's integration tests on pgqueue: what of Redis some of them want or excuse, and says so.

`run` loads it. What is skipped has its like among our own tests; what may fail may fail on Redis, by the tests' own marks.
"""

from __future__ import annotations

import pytest

_CHANNELS = (
    "counts the channels that clients of Redis subscribe to; here: tests/integration/test_results.py, who is notified"
)
SKIPPED = {
    "test_chord_on_error": "reads the keys that a chord has in Redis; here: test_results.py, a part that failed",
    "test_ignoring_result_no_subscriptions": _CHANNELS,
    "test_asyncresult_forget_cancels_subscription": _CHANNELS,
    "test_asyncresult_get_cancels_subscription": _CHANNELS,
    "test_redis_subscribed_channels_leak": _CHANNELS + " (on Redis it is expected to fail)",
    "test_simple_chord_with_a_delay_in_group_save": "slows down a function of Celery's key-value backends; here:"
    " test_results.py, parts that return before the size of the chord is known",
}
MAY_FAIL = {
    "test_chord_header_id_duplicated_on_rabbitmq_msg_duplication": "publishes an object of Python's as a property of"
    " the message, which only AMQP leaves out",
    "test_error_propagates_from_chord": "Celery's issue 6437: who joins a group natively does not look at what came"
    " before the group",
}


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        if reason := SKIPPED.get(item.originalname):
            item.add_marker(pytest.mark.skip(reason=reason))
        if reason := MAY_FAIL.get(item.originalname):
            item.add_marker(pytest.mark.xfail(reason=reason, strict=False))
