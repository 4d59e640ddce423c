"""Keep the rows of a job's last statement out of memory until the job is about to commit.

Rows wait as JSON in a temporary file, which stays in memory while it is small, and are read back in chunks.
"""

from __future__ import annotations

import json
import re
import tempfile
from typing import TYPE_CHECKING, Any

from psycopg import pq

from .error_fields import SqlstateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.pq.abc import PGresult

_CHUNK_ROWS = 1000
_CHUNK_BYTES = 1_000_000
_IN_MEMORY_BYTES = 4_000_000
#: A chunk is one jsonb, which holds 268,435,455 bytes.
_MAX_ROW_BYTES = 250_000_000

#: A value between quotes, which are doubled in it, as backslashes are.
_QUOTED = re.compile(r'"([^"]*(?:""[^"]*)*)"')

HAS_ROWS = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.SINGLE_TUPLE, pq.ExecStatus.TUPLES_CHUNK)


class ResultBuffer:
    """Takes the rows of one statement as they arrive. Close it: it may hold a file."""

    def __init__(self, is_kept: bool) -> None:
        #: None until it is known whether the statement returns rows.
        self.columns: list[dict[str, Any]] | None = None
        self.row_count = 0
        self._is_kept = is_kept
        #: None until there is more than one chunk, which most results never have.
        self._file: tempfile.SpooledTemporaryFile[bytes] | None = None
        self._rows: list[list[str | None]] = []
        self._bytes = 0

    def __enter__(self) -> ResultBuffer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def describe(self, result: PGresult, encoding: str) -> None:
        """Take the columns from a description or an answer of the server."""
        self.columns = [_describe_column(result, number, encoding) for number in range(result.nfields)]

    def add_record(self, record: bytes, encoding: str) -> None:
        """Take a row in the text form of a record, or [] for a row without columns.

        Raises:
            SqlstateError, OSError: as `add`.
        """
        if len(record) > _MAX_ROW_BYTES:
            _check_size(sum(len(value or "") for value in read_record(record.decode("latin-1"))))
        self.row_count += 1
        [text] = _decode([record], encoding)
        assert text is not None
        self._keep(read_record(text), len(record))

    def add(self, result: PGresult, encoding: str) -> None:
        """Take some rows, or none, of the statement's answer.

        Raises:
            SqlstateError: 22021, the text is not valid in the encoding; 54000, a row is too large.
            OSError: the temporary file cannot be written.
        """
        if self.columns is None:
            self.describe(result, encoding)
        self.row_count += result.ntuples
        if not self._is_kept:
            return
        for row in range(result.ntuples):
            values = _read_row(result, row)
            self._keep(_decode(values, encoding), sum(len(value) for value in values if value is not None))

    def _keep(self, row: list[str | None], size: int) -> None:
        self._bytes += size
        self._rows.append(row)
        if self._bytes >= _CHUNK_BYTES or len(self._rows) >= _CHUNK_ROWS:
            self._write_chunk()

    def chunks(self) -> Iterator[str]:
        """Yield the rows in order, as JSON arrays of arrays of text; at least one chunk, which may be empty."""
        if self._file is None:
            yield self._make_chunk()
            return
        if self._rows:
            self._write_chunk()
        self._file.seek(0)
        for line in self._file:
            yield line.decode()

    def _write_chunk(self) -> None:
        if self._file is None:
            self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES, prefix="pgqueue-result-")  # noqa: SIM115 - __exit__
        self._file.write(self._make_chunk().encode() + b"\n")

    def _make_chunk(self) -> str:
        rows, self._rows, self._bytes = self._rows, [], 0
        return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def _describe_column(result: PGresult, number: int, encoding: str) -> dict[str, Any]:
    name = result.fname(number)
    return {
        "name": name.decode(encoding, "replace") if name else "",
        "oid": result.ftype(number),
        "typmod": result.fmod(number),
    }


def _read_row(result: PGresult, row: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    row_bytes = 0
    for column in range(result.nfields):
        # Each row is a copy of libpq's memory, so no more rows are converted than are kept.
        value = result.get_value(row, column)
        row_bytes += len(value or b"")
        _check_size(row_bytes)
        values.append(value)
    return values


def _check_size(row_bytes: int) -> None:
    if row_bytes > _MAX_ROW_BYTES:
        raise SqlstateError(
            "54000",
            "row is too large for the result of a job",
            detail=f"Of a row {_MAX_ROW_BYTES} bytes are kept at most.",
            hint="Large values should be written to a table instead.",
        )


def read_record(text: str) -> list[str | None]:
    """Return the values of a record in its text form, which PostgreSQL has written; [] is a record without columns."""
    if text == "[]":
        return []
    if '"' not in text:
        return [value or None for value in text[1:-1].split(",")]
    values: list[str | None] = []
    place, end = 1, len(text) - 1
    while True:
        if (quoted := _QUOTED.match(text, place)) is not None:
            values.append(quoted[1].replace('""', '"').replace("\\\\", "\\"))
            place = quoted.end()
        else:
            stop = text.find(",", place, end)
            stop = end if stop < 0 else stop
            values.append(text[place:stop] or None)
            place = stop
        if place >= end:
            return values
        place += 1


def _decode(values: list[bytes | None], encoding: str) -> list[str | None]:
    try:
        return [None if value is None else value.decode(encoding) for value in values]
    except UnicodeDecodeError as error:
        raise SqlstateError(
            "22021",
            f'result of the job is not valid in encoding "{encoding}"',
            detail=str(error),
            hint="Return bytea, or text that the database can convert to UTF-8.",
        ) from error
