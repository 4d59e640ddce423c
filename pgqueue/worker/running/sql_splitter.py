"""Split the SQL of a job into its statements, and refuse those that no job may contain.

It uses PostgreSQL's own parser (libpg_query, the grammar of PostgreSQL 17). Text that the parser does not understand is
a syntax error or newer than the parser: it stays one statement, so that the server itself runs or refuses it. It is cut
at the ends of statements (`script`) only if the server understands it and finds several statements. Each statement is
sent separately and by the extended protocol, which accepts no second one, so a wrong split cannot hide a statement.

Any role that may submit a job chooses the text, and the parser runs in the worker's process: deep nesting overflows its
stack, and many operator characters in a row take it minutes. Text that is too long, or that contains such runs outside
of comments and constants, is not parsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from postgast import PgQueryError, parse, pg_query_pb2, scan

from .error_fields import SqlstateError
from .runner_forms import find_form
from .sql_scanner import Unterminated, find_ends, mask, measure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .runner_forms import RunnerForm

#: Statements that need no transaction of their own, so that their error 25001 or 2D000 is an error of the job.
_QUERIES = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
#: In these statements $1 is not a parameter of the job.
_OWN_PARAMETERS = frozenset({"prepare_stmt", "create_function_stmt"})
_HAS_PARAMETERS = re.compile(rb"\$\d")
_TRANSACTION_MODES = frozenset({"TRANSACTION", "transaction_read_only"})
#: A level of nesting takes at least two characters, and about 250 bytes of stack.
PARSED_LENGTH = 16_384
#: Jobs often have the same text with other parameters. At most this many texts are cached, of at most this many
#: characters.
_REMEMBERED, _REMEMBERED_LENGTH = 256, 2_000
_ENDLESS_OPERATOR = re.compile(rb"[-+*/<>=~!@#%^&|`?]{300}")
_TRANSACTION_CONTROL = re.compile(
    rb"\s*(begin|start|commit|end|rollback|abort|savepoint|release|prepare\s+transaction)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Statement:
    """A statement, and the facts that its execution depends on."""

    text: str
    #: The numbers of the $n in it; None: the parser did not understand the statement.
    parameters: frozenset[int] | None
    #: Whether it may be one of the statements that cannot run inside a transaction block.
    may_need_top_level: bool
    #: Whether it may leave the transaction read-only.
    sets_transaction: bool
    #: The values of a SET TRANSACTION, as defaults for the next transaction: PostgreSQL accepts the statement only
    #: before any query.
    modes: Mapping[str, str] = field(default_factory=dict)
    #: How it runs inside the server; None: only at the top level.
    runner_form: RunnerForm | None = None

    @property
    def is_understood(self) -> bool:
        """Whether the parser understands it."""
        return self.parameters is not None


def split(sql: str, has_several: Callable[[str], bool], *, has_backslashes: bool = False) -> list[Statement]:
    """Return the statements of `sql`, without empty ones.

    Args:
        sql: the whole string.
        has_several: asks the server whether a text that the parser does not understand is several statements.
        has_backslashes: the job runs with standard_conforming_strings off.

    Raises:
        SqlstateError: 0A000, for transaction control and for COPY from or to the client.
    """
    script = _Script(sql, has_backslashes)
    try:
        if len(sql) <= _REMEMBERED_LENGTH:
            return list(_parse_again(sql, has_backslashes))
        return _parse(script, 0, len(script.text))
    except _NotUnderstood:
        pieces = script.find_pieces()
    if len(pieces) == 1 or not has_several(sql):
        return [_take_as_it_is(script, 0, len(script.text))]
    return list(_parse_pieces(script, pieces))


def check_parameters(statements: list[Statement], count: int) -> None:
    """Raise an error if the number of parameters does not match the statements.

    Raises:
        SqlstateError: 22023.
    """
    if any(statement.parameters is None for statement in statements):
        return  # The server counts them.
    needed = max((max(statement.parameters or (0,)) for statement in statements), default=0)
    if needed != count:
        raise SqlstateError(
            "22023",
            f"job has {count} parameters, but its statements use {needed}",
            hint="Give one element of params for each of $1, $2 and so on.",
        )


class _NotUnderstood(Exception):
    """The parser has no result: a syntax error, a newer grammar, a text that is too long or too deeply nested."""


class _Script:
    """The text of a job in bytes, because the parser gives positions in bytes."""

    def __init__(self, sql: str, has_backslashes: bool) -> None:
        self.text = sql.encode()
        self._has_backslashes = has_backslashes

    @cached_property
    def masked(self) -> bytes | None:
        """The text with quoted parts masked, all other bytes at their positions; None: a quote has no end."""
        try:
            return mask(self.text, has_backslashes=self._has_backslashes)
        except Unterminated:
            return None

    def find_pieces(self) -> list[tuple[int, int]]:
        """Return where statements begin and end, without empty ones; if a quote has no end, the whole text is one."""
        if self.masked is None:
            return [(0, len(self.text))]
        ends = [*find_ends(self.masked), len(self.text)]
        starts = [0, *(end + 1 for end in ends[:-1])]
        return [(start, end) for start, end in zip(starts, ends, strict=True) if self.masked[start:end].strip()]

    def begins_or_ends_transaction(self, start: int, end: int) -> bool:
        """Return whether the first word of a statement is transaction control."""
        return self.masked is not None and _TRANSACTION_CONTROL.match(self.masked, start, end) is not None

    def for_parser(self, start: int, end: int) -> bytes:
        """Return a part of the text in a form that the parser may be given and reads as the server does.

        Raises:
            _NotUnderstood: there is no such form.
        """
        part = self.text[start:end]
        if not (self._is_too_much(part, len(part)) or (self._has_backslashes and b"\\" in part)):
            return part
        if self.masked is None:
            raise _NotUnderstood
        part = self.masked[start:end]
        if self._is_too_much(part, measure(part)):
            raise _NotUnderstood
        return part

    @staticmethod
    def _is_too_much(part: bytes, length: int) -> bool:
        return length > PARSED_LENGTH or _ENDLESS_OPERATOR.search(part) is not None


@lru_cache(_REMEMBERED)
def _parse_again(sql: str, has_backslashes: bool) -> tuple[Statement, ...]:
    script = _Script(sql, has_backslashes)
    return tuple(_parse(script, 0, len(script.text)))


def _parse(script: _Script, start: int, end: int) -> list[Statement]:
    part = script.for_parser(start, end)
    try:
        raw_statements = parse(part.decode()).stmts
        parameters = _find_parameters(part)
    except (PgQueryError, DecodeError) as error:
        raise _NotUnderstood from error
    text = script.text[start:end]
    statements = []
    for raw in raw_statements:
        first = raw.stmt_location
        last = first + raw.stmt_len if raw.stmt_len else len(text)
        statements.append(_make_statement(text, first, last, raw.stmt, parameters))
    return statements


def _make_statement(
    text: bytes, start: int, end: int, node: pg_query_pb2.Node, parameters: list[tuple[int, int]]
) -> Statement:
    kind = node.WhichOneof("node") or ""
    if kind == "transaction_stmt":
        raise _transaction_control()
    if kind == "copy_stmt" and not node.copy_stmt.filename:
        raise SqlstateError("0A000", "COPY protocol not allowed in a pgqueue job")
    own = kind in _OWN_PARAMETERS
    return Statement(
        text[start:end].decode(),
        frozenset(number for place, number in parameters if start <= place < end and not own),
        may_need_top_level=kind not in _QUERIES,
        sets_transaction=kind == "variable_set_stmt" and node.variable_set_stmt.name in _TRANSACTION_MODES,
        modes=_find_modes(node.variable_set_stmt) if kind == "variable_set_stmt" else {},
        runner_form=find_form(node, text[start:end]),
    )


def _find_modes(statement: pg_query_pb2.VariableSetStmt) -> dict[str, str]:
    if statement.name != "TRANSACTION":
        return {}
    modes = {}
    for argument in statement.args:
        mode, value = argument.def_elem.defname, argument.def_elem.arg.a_const
        modes[f"default_{mode}"] = value.sval.sval or ("on" if value.ival.ival else "off")
    return modes


def _transaction_control() -> SqlstateError:
    return SqlstateError("0A000", "transaction control statements are not allowed in a pgqueue job")


def _find_parameters(text: bytes) -> list[tuple[int, int]]:
    if not _HAS_PARAMETERS.search(text):
        return []
    found = [token for token in scan(text.decode()).tokens if token.token == pg_query_pb2.PARAM]
    return [(token.start, int(text[token.start + 1 : token.end])) for token in found]


def _parse_pieces(script: _Script, pieces: list[tuple[int, int]]) -> Iterator[Statement]:
    """Parse as many pieces together as the parser may be given, and those that it does not understand separately."""
    group: list[tuple[int, int]] = []
    for piece in pieces:
        if group and piece[1] - group[0][0] > PARSED_LENGTH:
            yield from _parse_group(script, group)
            group = []
        group.append(piece)
    yield from _parse_group(script, group)


def _parse_group(script: _Script, group: list[tuple[int, int]]) -> Iterator[Statement]:
    try:
        yield from _parse(script, group[0][0], group[-1][1])
    except _NotUnderstood:
        for start, end in group:
            yield from _parse_or_take(script, start, end)


def _parse_or_take(script: _Script, start: int, end: int) -> list[Statement]:
    try:
        return _parse(script, start, end)
    except _NotUnderstood:
        return [_take_as_it_is(script, start, end)]


def _take_as_it_is(script: _Script, start: int, end: int) -> Statement:
    if script.begins_or_ends_transaction(start, end):
        raise _transaction_control()
    return Statement(script.text[start:end].decode(), None, may_need_top_level=True, sets_transaction=True)
