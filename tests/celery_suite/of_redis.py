"""A pytest plugin for Celery's integration tests on pgqueue: skips those that look into Redis, or into a backend like it, and says so.

`run` loads it. Each has its like among our own tests.
"""

from __future__ import annotations

import pytest

_CHANNELS = (
    "counts the channels that clients of Redis subscribe to; here: tests/integration/test_results.py, who is notified"
)
REASONS = {
    "test_chord_on_error": "reads the keys that a chord has in Redis; here: test_results.py, a part that failed",
    "test_ignoring_result_no_subscriptions": _CHANNELS,
    "test_asyncresult_forget_cancels_subscription": _CHANNELS,
    "test_asyncresult_get_cancels_subscription": _CHANNELS,
    "test_redis_subscribed_channels_leak": _CHANNELS + " (on Redis it is expected to fail)",
    "test_simple_chord_with_a_delay_in_group_save": "slows down a function of Celery's key-value backends; here: test_results.py, parts that"
    " return before the size of the chord is known",
}


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    for item in items:
        if reason := REASONS.get(item.originalname):
            item.add_marker(pytest.mark.skip(reason=reason))
