"""What has a name in Python and in the schema has the same ones in both."""

import enum

import pytest

from pgqueue import JobState
from pgqueue.worker.claimed_job import Ending, Lane
from tests.harness.people import fetch_value


@pytest.mark.parametrize(("type_name", "names"), {"job_state": JobState, "lane": Lane, "ending": Ending}.items())
def test_an_enum_of_python_is_that_of_the_schema(owner, type_name: str, names: type[enum.Enum]):
    labels = fetch_value(owner, f"select enum_range(null::pgqueue.{type_name})::text[]")

    assert labels == [each.value for each in names]
