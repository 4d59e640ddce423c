import difflib

import pytest

from tests.harness.schema_dump import GOLDEN, MAJOR, dump_schema


@pytest.mark.needs_superuser("the golden dump has dblink in the schema that a superuser's installation makes")
def test_an_installation_makes_the_golden_schema(db):
    if db.server.major != MAJOR:
        pytest.skip(f"the golden dump is of PostgreSQL {MAJOR}")

    made = dump_schema(db.server, db.name)

    differences = difflib.unified_diff(GOLDEN.read_text().splitlines(), made.splitlines(), "golden", "made", "", "", 1)
    shown = "\n".join(differences)[:5000]
    assert not shown, f"if this is meant, run `make schema` and commit tests/schema.sql:\n{shown}"
