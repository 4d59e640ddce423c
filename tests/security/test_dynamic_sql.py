"""Statements that are made of text: each is listed, with the reason for which nobody's word becomes SQL in it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.security.dynamic_sql import SAFE

PACKAGE = Path(__file__).parents[2] / "pgqueue"
# EXECUTE of PL/pgSQL (not the privilege), what makes text of pieces, and functions that run a text that they are given.
IN_SQL = re.compile(
    r"\bexecute\b(?!\s+(?:on|function|procedure)\b|')|\bformat\s*\(|\bquote_(?:literal|nullable)\s*\("
    r"|\b_dblink_(?:query|exec)\s*\(|\b(?:query|cursor)_to_xml\w*\s*\(|\bts_(?:stat|rewrite)\s*\(|\bpg_get_functiondef\s*\(",
    re.IGNORECASE,
)
IN_PYTHON = re.compile(
    r"(?:\.execute(?:many)?|(?<!def )\brun_text)\((?!query\()|\bsend_(?:query|query_params|prepare)\(|\bsql\.(?:SQL|Identifier|Literal|Composed)\("
)
ROUTINE = re.compile(r"create (?:or replace )?(?:function|procedure|view) (?:pgqueue\w*\.)?([\w%$]+)")
QUERY = re.compile(r"-- name: (\w+)")
NOT_RUN = re.compile(
    r"--.*|^comment on .*|\b(?:hint|detail|message) = (?:pg_catalog[.])?format\(|'message', format\("
)  # what RAISE shows


def places() -> set[str]:
    """Every place where SQL is made of text: the file, the routine, the line."""
    found = set()
    for file in sorted(PACKAGE.rglob("*.sql")):
        routine = ""
        for line in file.read_text().splitlines():
            begun = ROUTINE.match(line) or QUERY.match(line)
            routine = begun[1] if begun else "" if line.startswith(("do $", "grant ", "revoke ")) else routine
            if IN_SQL.search(NOT_RUN.sub("", line)):
                found.add(f"{file.stem} {routine}: {line.strip()}")
    for file in sorted(PACKAGE.rglob("*.py")):
        found |= {
            f"{file.relative_to(PACKAGE)}: {line.strip()}"
            for line in file.read_text().splitlines()
            if IN_PYTHON.search(line)
        }
    return found


def test_every_statement_that_is_made_of_text_is_listed_with_why_it_is_safe() -> None:
    listed = [place for of_one_reason in SAFE.values() for place in of_one_reason]

    assert sorted(listed) == sorted(set(listed))
    assert places() - set(listed) == set(), "say in tests/security/dynamic_sql.py why nobody's word becomes SQL there"
    assert set(listed) - places() == set(), "these places are gone: take them off the list"
