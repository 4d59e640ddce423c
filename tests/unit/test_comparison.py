"""The comparison with other queues: its page shows what was measured, with the versions that the services ask for."""

import json
import re

import pytest

from examples.comparison.environments import count_lines
from examples.comparison.table import PAGE, RESULTS, fill
from examples.comparison.variants import HERE, VARIANTS, Library, Variant

FOUND = json.loads(RESULTS.read_text())
LIBRARIES = list(dict.fromkeys(variant.library for variant in VARIANTS))
SERVICES = list({variant.place: variant for variant in VARIANTS}.values())


def test_the_page_shows_what_was_measured() -> None:
    assert fill(PAGE.read_text(), FOUND) == PAGE.read_text()


def test_every_variant_was_measured_and_no_other() -> None:
    assert list(FOUND["variants"]) == [variant.name for variant in VARIANTS]


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.distribution)
def test_the_versions_of_the_page_are_those_of_the_requirements(library: Library) -> None:
    requirements = (HERE / library.folder / "requirements.txt").read_text()
    pinned = dict(re.findall(r"^([\w-]+)(?:\[[\w,]+\])?==(\S+)$", requirements, re.MULTILINE))
    measured = {FOUND["variants"][each.name]["version"] for each in VARIANTS if each.library is library}

    assert pinned
    assert len(measured) == 1
    if library.distribution != "celery-pgqueue":  # This checkout, which no index has.
        assert measured == {pinned[library.distribution]}
    for version in measured:
        assert f"| {version} |" in PAGE.read_text()


@pytest.mark.parametrize("variant", SERVICES, ids=lambda variant: variant.place.name)
def test_a_service_compiles_and_has_the_lines_that_the_page_says(variant: Variant) -> None:
    source = variant.place / "service.py"
    found = FOUND["variants"][variant.name]

    compile(source.read_text(), source, "exec")

    assert count_lines(variant.place) == (found["files"], found["lines"])
