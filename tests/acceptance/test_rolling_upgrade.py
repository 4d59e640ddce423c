"""Workers are replaced with those of the next minor version, and the schema is upgraded, while jobs run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.rolling_upgrade import make_environments, rehearse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_an_upgrade_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    # The short form of `python -m tests.soak.rolling_upgrade`, which has the load of a busy machine and measures.
    released, following = make_environments(tmp_path, None)

    outcome = rehearse(released, following, tmp_path, rate=200, seconds=2, workers=2)

    assert outcome.is_whole, outcome
    assert outcome.jobs > 500
    assert outcome.claims > 10
