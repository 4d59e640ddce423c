import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgqueue.handle import Handle

BIGINTS = st.integers(min_value=-(2**63), max_value=2**63 - 1)


@pytest.mark.slow
@given(st.integers(min_value=1, max_value=2**63 - 1), BIGINTS)
def test_a_handle_round_trips_as_text(job_id: int, cookie: int) -> None:
    handle = Handle(job_id, cookie)

    assert Handle.parse(str(handle)) == handle


def test_a_handle_is_also_a_plain_pair() -> None:
    assert Handle(42, -7) == (42, -7)


def test_the_number_alone_names_a_job_too() -> None:
    assert Handle.parse("42") == (42, None)
    assert str(Handle(42, None)) == "42"


@pytest.mark.parametrize("text", ["", "42:", ":7", "a:b", "42:7:9", "-1:5", "42 : 7"])
def test_what_names_no_job_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="expected its number, or ID:COOKIE"):
        Handle.parse(text)
