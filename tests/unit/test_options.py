from datetime import timedelta

import click
import pytest

from pgqueue.cli.options import DURATION


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("30", 30), ("1.5", 1.5), ("500ms", 0.5), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400)],
)
def test_a_duration_is_a_number_with_or_without_a_unit(text: str, seconds: float) -> None:
    assert DURATION.convert(text, None, None) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5", "5 weeks"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected for example 30"):
        DURATION.convert(text, None, None)
