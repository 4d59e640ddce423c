"""Find the ends of statements in SQL text, and quoted text and comments, as PostgreSQL's scanner and grammar do.

It serves text that the parser is not given or does not understand. It knows how text is quoted, and the few words
between which semicolons end no statement; it knows no statement.
"""

from __future__ import annotations

import re

_WORD = rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*"
#: The beginnings of quoted text and comments, and words, which contain no such beginning.
_BEGINNING = re.compile(rb"--[^\n\r]*|/\*|\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$|\"|'|" + _WORD)
_COMMENT_MARK = re.compile(rb"/\*|\*/")
_NAME_END = re.compile(rb"\"")
_PLAIN_END = re.compile(rb"[^']*(?:''[^']*)*'(?!')")
_ESCAPED_END = re.compile(rb"[^'\\]*(?:(?:\\.|'')[^'\\]*)*'(?!')", re.DOTALL)
#: A constant continues after a line break, in the same notation.
_CONTINUATION = re.compile(rb"(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*(?=')")
_TOKEN = re.compile(_WORD + rb"|[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\"[^\"]*\"|'[^']*'|\$[0-9]+|\S")
_BLOT = re.compile(rb"(?<=')x+(?=')|\s{2,}")
_OPENING = {b")": b"(", b"]": b"["}
_ROUTINES = (b"function", b"procedure")
#: The words that follow a column's label, and never one that begins an expression.
_BEHIND_LABEL = frozenset(
    b"; , ) ] = from into where group having window union intersect except"
    b" order limit offset fetch for on returning with".split()
)


class Unterminated(Exception):
    """A quote has no end: PostgreSQL refuses the whole text."""


def mask(text: bytes, *, has_backslashes: bool) -> bytes:
    """Return a text whose comments are removed and whose quoted text is replaced; everything else keeps its position.

    Args:
        text: in UTF-8.
        has_backslashes: backslashes escape in plain constants, too (standard_conforming_strings is off).

    Raises:
        Unterminated: a quote has no end.
    """
    masked, place = bytearray(text), 0
    while (match := _BEGINNING.search(text, place)) is not None:
        start, end, what = match.start(), match.end(), match.group()
        if what.startswith((b"--", b"/*")):
            end = _end_of_comment(text, end) if what == b"/*" else end
            masked[start:end] = b" " * (end - start)
        elif what.startswith(b"$"):
            close = text.find(what, end)
            if close < 0:
                raise Unterminated
            end = close + len(what)
            # It becomes a plain constant: a word may follow at once, which would otherwise join the mark.
            masked[start:end] = b"'" + b"x" * (end - start - 2) + b"'"
        elif what == b'"':
            end = _match(_NAME_END, text, end)
        elif what == b"'" or (what in (b"e", b"E") and text[end : end + 1] == b"'"):
            first, is_escaped = end + (what != b"'"), has_backslashes or what != b"'"
            while True:
                end = _match(_ESCAPED_END if is_escaped else _PLAIN_END, text, first)
                masked[first : end - 1] = b"x" * (end - 1 - first)
                gap = _CONTINUATION.match(text, end) if is_escaped else None
                if gap is None:
                    break
                masked[end : gap.end()] = b"\n" + b" " * (gap.end() - end - 1)
                first = gap.end() + 1
        place = end
    return bytes(masked)


def measure(masked: bytes) -> int:
    """Return the length of a masked text without the removed parts."""
    return len(_BLOT.sub(b" ", masked))


def find_ends(masked: bytes) -> list[int]:
    """Return the positions of the semicolons that end statements in a masked text.

    Semicolons in parentheses end none, nor those between BEGIN ATOMIC and its END. END and CASE may also be names of
    columns.
    """
    ends: list[int] = []
    #: The open constructs: parentheses, CASE, ATOMIC.
    nest: list[bytes] = []
    head: list[bytes] = []
    last = b""
    may_be_case = False
    for match in _TOKEN.finditer(masked):
        token = match.group().lower()
        if may_be_case and token not in _BEHIND_LABEL:
            nest.append(b"case")
        may_be_case = token == b"case" and last not in (b".", b"as")
        if token == b";":
            while nest and nest[-1] == b"case":
                nest.pop()
            if not nest:
                ends.append(match.start())
            if not nest or nest[-1] == b"atomic":
                head = []
        elif token in (b"(", b"["):
            nest.append(token)
        elif token in _OPENING:
            _close(nest, _OPENING[token])
        elif token == b"end" and nest and last not in (b".", b"as"):
            if nest[-1] == b"case" or (nest[-1] == b"atomic" and last == b";"):
                nest.pop()
        elif token == b"atomic" and last == b"begin" and _is_routine(head) and (not nest or nest[-1] == b"atomic"):
            nest.append(token)
            head = []
            # A statement may begin here, as after a semicolon; the word may also be the name of a column.
            last = b";"
            continue
        if token != b";" and len(head) < 4:
            head.append(token)
        last = token
    return ends


def _close(nest: list[bytes], opening: bytes) -> None:
    """Close the innermost parenthesis of a kind, and everything that is still open inside it."""
    for place in range(len(nest) - 1, -1, -1):
        if nest[place] == opening:
            del nest[place:]
            return
        if nest[place] == b"atomic":
            return


def _is_routine(head: list[bytes]) -> bool:
    """Return whether a statement with these first words creates a function or a procedure."""
    words = [head[0], *head[3:]] if head[1:3] == [b"or", b"replace"] else head
    return words[:1] == [b"create"] and words[1:2] != [] and words[1] in _ROUTINES


def _end_of_comment(text: bytes, place: int) -> int:
    depth = 1
    for mark in _COMMENT_MARK.finditer(text, place):
        depth += 1 if mark.group() == b"/*" else -1
        if depth == 0:
            return mark.end()
    raise Unterminated


def _match(pattern: re.Pattern[bytes], text: bytes, place: int) -> int:
    match = pattern.search(text, place) if pattern is _NAME_END else pattern.match(text, place)
    if match is None:
        raise Unterminated
    return match.end()
