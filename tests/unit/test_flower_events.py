"""How long events wait for Flower."""

import pytest
from celery import Celery

pytest.importorskip("flower")

from pgqueue.dashboard.run import keep_events


@pytest.mark.parametrize(("said", "kept"), [(None, 60.0), (7.0, 7.0), (600.0, 600.0)])
def test_events_wait_for_flower_unless_the_application_says_how_long(said: float | None, kept: float) -> None:
    app = Celery(set_as_current=False)
    if said is not None:
        app.conf.event_queue_ttl = said

    keep_events(app)

    assert app.conf.event_queue_ttl == kept
