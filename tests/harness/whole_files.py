"""How tests are dealt out to the processes of pytest-xdist: one by one, but some files whole.

The groups of pytest-xdist would do, but its 3.8 does not see them with pytest 9.2, and puts their names into those of
the tests, where `--last-failed` does not find them again.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

#: Make something once for all their tests that takes longer than the tests: a crowded queue, a site with a browser.
WHOLE_FILES = (
    "tests/plans/test_hot_statements.py",
    "tests/plans/test_dead_rows.py",
    "tests/plans/test_task_results.py",
    "tests/integration/test_connection_options.py",
    "tests/acceptance/test_flower.py",
    "tests/acceptance/test_flower_celery.py",
    "tests/acceptance/test_flower_pages.py",
)


class WholeFiles(LoadScopeScheduling):
    """Deals out the tests of a file of `WHOLE_FILES` together, the largest file first, then the others in their order."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in WHOLE_FILES else nodeid
