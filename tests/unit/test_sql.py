import re
from importlib.resources import files
from pathlib import Path

import pytest

import pgqueue
from pgqueue.sql import migrations, query

QUERIES = sorted(path.name[:-4] for path in (files("pgqueue.sql") / "queries").iterdir() if path.name.endswith(".sql"))


def test_migrations_are_numbered_in_order():
    assert [step.version for step in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_query_that_is_not_there_is_an_error():
    with pytest.raises(FileNotFoundError):
        query("no_such_query")


# A part of DISCARD ALL, sent in one go.
SEVERAL_STATEMENTS = {"reset_session", "forget_role"}


@pytest.mark.parametrize("name", sorted(set(QUERIES) - SEVERAL_STATEMENTS))
def test_a_query_is_one_statement(name):
    without_bodies = re.sub(r"\$\$.*?\$\$|'[^']*'|--[^\n]*", "", query(name), flags=re.DOTALL)

    assert ";" not in without_bodies.strip().rstrip(";")


@pytest.fixture(scope="module")
def sources():
    return "".join(path.read_text() for path in Path(pgqueue.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_is_used(sources, name):
    assert f'"{name}"' in sources
