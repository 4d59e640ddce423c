"""Splits the SQL of a job into its statements and refuses those that no job may contain.

Uses PostgreSQL's own parser (libpg_query, the grammar of PostgreSQL 17). Text that it does not understand is a plain
syntax error or newer than the parser: it stays one statement, so that the server itself runs or refuses it. Only when
the server understands it, and finds several statements, is it cut at its semicolons. Each statement goes to the server
by itself and by the extended protocol, which takes no second one, so nothing hides behind what was misread here.

Anybody who may hand in a job chooses the text, and the parser runs in the worker's process: deep nesting overflows its
stack, and long runs of operator characters take it minutes. What is long or looks like that, it is not given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from postgast import PgQueryError, parse, pg_query_pb2, scan

from .fault import JobFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What needs no transaction of its own, so that error 25001 or 2D000 out of it is its own error.
_QUERIES = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
#: Their $1 is not a parameter of the job.
_OWN_PARAMETERS = frozenset({"prepare_stmt", "create_function_stmt"})
_HAS_PARAMETERS = re.compile(rb"\$\d")
_TRANSACTION_MODES = frozenset({"TRANSACTION", "transaction_read_only"})
#: A level of nesting takes two characters at least, and some 250 bytes of stack.
_PARSED_LENGTH = 16_384
#: Texts of jobs come again, with other parameters. So many are remembered, of so many characters at most.
_REMEMBERED, _REMEMBERED_LENGTH = 256, 2_000
_ENDLESS_OPERATOR = re.compile(r"[-+*/<>=~!@#%^&|`?]{300}")
_TRANSACTION_CONTROL = re.compile(
    r"(begin|start|commit|end|rollback|abort|savepoint|release|prepare\s+transaction)\b", re.IGNORECASE
)
_BLANK = re.compile(r"\s+|--[^\n\r]*|/\*")
_PARENTHESES = {pg_query_pb2.ASCII_40: 1, pg_query_pb2.ASCII_41: -1}
_SEMICOLON = pg_query_pb2.ASCII_59
_COMMENT_MARK = re.compile(r"/\*|\*/")


@dataclass(frozen=True)
class Statement:
    """One statement of a job, and what running it needs to know."""

    text: str
    #: The numbers of the $n in it; None: the parser did not understand it.
    parameters: frozenset[int] | None
    #: It may be one of those that cannot run inside a transaction block.
    may_need_top_level: bool
    #: It may leave the transaction read-only.
    sets_transaction: bool

    @property
    def is_understood(self) -> bool:
        """Tell whether the parser knows what it is."""
        return self.parameters is not None


def split(sql: str, has_several: Callable[[str], bool]) -> list[Statement]:
    """Return the statements of `sql`, without empty ones.

    Args:
        sql: the whole string.
        has_several: asks the server whether a text that the parser does not understand is several statements.

    Raises:
        JobFault: 0A000, for transaction control and for COPY from or to the client.
    """
    try:
        return list(_parse_again(sql)) if len(sql) <= _REMEMBERED_LENGTH else _parse(sql)
    except _NotUnderstood:
        pieces = _cut(sql)
    if len(pieces) == 1 or not has_several(sql):
        return [_take_as_it_is(sql)]
    return list(_parse_pieces(pieces))


def check_parameters(statements: list[Statement], count: int) -> None:
    """Refuse a number of parameters that the statements do not use.

    Raises:
        JobFault: 22023.
    """
    if any(statement.parameters is None for statement in statements):
        return  # the server counts them
    needed = max((max(statement.parameters or (0,)) for statement in statements), default=0)
    if needed != count:
        raise JobFault(
            "22023",
            f"job has {count} parameters, but its statements use {needed}",
            hint="Give one element of params for each of $1, $2 and so on.",
        )


class _NotUnderstood(Exception):
    """The parser has no answer: a syntax error, a newer grammar, too long or too deeply nested."""


@lru_cache(_REMEMBERED)
def _parse_again(sql: str) -> tuple[Statement, ...]:
    return tuple(_parse(sql))


def _parse(sql: str) -> list[Statement]:
    if len(sql) > _PARSED_LENGTH or _ENDLESS_OPERATOR.search(sql):
        raise _NotUnderstood
    text = sql.encode()
    try:
        raw_statements = parse(sql).stmts
    except (PgQueryError, DecodeError) as error:
        raise _NotUnderstood from error
    parameters = _find_parameters(sql, text)
    statements = []
    for raw in raw_statements:
        end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(text)
        statements.append(_make_statement(text, raw.stmt_location, end, raw.stmt, parameters))
    return statements


def _make_statement(
    text: bytes, start: int, end: int, node: pg_query_pb2.Node, parameters: list[tuple[int, int]]
) -> Statement:
    kind = node.WhichOneof("node") or ""
    if kind == "transaction_stmt":
        raise _transaction_control()
    if kind == "copy_stmt" and not node.copy_stmt.filename:
        raise JobFault("0A000", "COPY protocol not allowed in a pgqueue job")
    own = kind in _OWN_PARAMETERS
    return Statement(
        text[start:end].decode(),
        frozenset(number for place, number in parameters if start <= place < end and not own),
        may_need_top_level=kind not in _QUERIES,
        sets_transaction=kind == "variable_set_stmt" and node.variable_set_stmt.name in _TRANSACTION_MODES,
    )


def _transaction_control() -> JobFault:
    return JobFault("0A000", "transaction control statements are not allowed in a pgqueue job")


def _find_parameters(sql: str, text: bytes) -> list[tuple[int, int]]:
    if not _HAS_PARAMETERS.search(text):
        return []
    found = [token for token in scan(sql).tokens if token.token == pg_query_pb2.PARAM]
    return [(token.start, int(text[token.start + 1 : token.end])) for token in found]


def _cut(sql: str) -> list[str]:
    """Cut a text at its semicolons, as PostgreSQL's scanner sees them, but for those in parentheses."""
    if _ENDLESS_OPERATOR.search(sql):
        return [sql]
    try:
        tokens = scan(sql).tokens
    except (PgQueryError, DecodeError):
        return [sql]
    text, pieces, start, depth = sql.encode(), [], 0, 0
    for token in tokens:
        kind = token.token
        if kind in _PARENTHESES:
            depth += _PARENTHESES[kind]
        elif kind == _SEMICOLON and depth == 0:
            pieces.append(text[start : token.start].decode())
            start = token.end
    return [piece for piece in [*pieces, text[start:].decode()] if piece.strip()]


def _parse_pieces(pieces: list[str]) -> Iterator[Statement]:
    """Parse as many pieces together as the parser is given, and by themselves those that it does not understand."""
    group: list[str] = []
    length = 0
    for piece in [*pieces, ""]:
        length += len(piece) + 1
        if group and (not piece or length > _PARSED_LENGTH):
            try:
                yield from _parse(";".join(group))
            except _NotUnderstood:
                yield from (statement for one in group for statement in _parse_or_take(one))
            group, length = [], len(piece) + 1
        group.append(piece)


def _parse_or_take(piece: str) -> list[Statement]:
    try:
        return _parse(piece)
    except _NotUnderstood:
        return [_take_as_it_is(piece)]


def _take_as_it_is(text: str) -> Statement:
    if _TRANSACTION_CONTROL.match(text, _skip_comments(text)):
        raise _transaction_control()
    return Statement(text, None, may_need_top_level=True, sets_transaction=True)


def _skip_comments(text: str) -> int:
    """Return where the first word of a text begins."""
    place = 0
    while match := _BLANK.match(text, place):
        place = match.end()
        if match.group() == "/*":
            depth = 1
            for mark in _COMMENT_MARK.finditer(text, place):
                depth += 1 if mark.group() == "/*" else -1
                if depth == 0:
                    place = mark.end()
                    break
            else:
                return len(text)
    return place
