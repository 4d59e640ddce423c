"""Which statements can run inside the server and still have the result that they have at the top level.

There a statement runs in a function of its submitter: its rows, columns and number of rows can be had from it, its
command tag cannot. So these are the statements whose tag follows from their kind, unless they name something that is
another thing inside the function, such as the user of the session.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postgast import pg_query_pb2

#: The server evaluates these differently inside a function. They count wherever they stand in the text.
_OF_THE_SESSION = re.compile(rb"session_user|system_user|session_authorization|current_query", re.IGNORECASE)
_CHANGES = {"insert_stmt": "INSERT 0", "update_stmt": "UPDATE", "delete_stmt": "DELETE", "merge_stmt": "MERGE"}
_UTILITIES = {"explain_stmt": "EXPLAIN", "variable_show_stmt": "SHOW"}


class Form(enum.Enum):
    """How the runner of a role is to execute a statement (pgqueue._make_result_runner)."""

    #: It can be prepared, and returns rows.
    QUERY = "query"
    #: It cannot be prepared, and returns rows.
    UTILITY = "utility"
    #: It returns no rows.
    NOTHING = "nothing"


@dataclass(frozen=True)
class RunnerForm:
    """How a statement runs inside the server, and the command tag that it has then."""

    form: Form
    command: str
    #: Whether the tag ends with the number of rows.
    is_counted: bool

    def tag(self, row_count: int) -> str:
        """Return the command tag of a run that returned or changed so many rows."""
        return f"{self.command} {row_count}" if self.is_counted else self.command


def find_form(node: pg_query_pb2.Node, text: bytes) -> RunnerForm | None:
    """Return how a statement runs inside the server; None: it has to run at the top level."""
    kind = node.WhichOneof("node") or ""
    if _OF_THE_SESSION.search(text):
        return None
    if kind == "select_stmt":
        return None if _creates_table(node.select_stmt) else RunnerForm(Form.QUERY, "SELECT", is_counted=True)
    if kind in _CHANGES:
        has_rows = getattr(node, kind).HasField("returning_clause")
        return RunnerForm(Form.QUERY if has_rows else Form.NOTHING, _CHANGES[kind], is_counted=True)
    if kind in _UTILITIES:
        return RunnerForm(Form.UTILITY, _UTILITIES[kind], is_counted=False)
    if kind == "do_stmt":
        return RunnerForm(Form.NOTHING, "DO", is_counted=False)
    return None


def _creates_table(select: pg_query_pb2.SelectStmt) -> bool:
    """Return whether it is a SELECT INTO."""
    while select.HasField("larg"):
        select = select.larg
    return bool(select.HasField("into_clause"))
