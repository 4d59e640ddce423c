"""Ids of tasks and groups in the form in which the database stores them: text."""

from __future__ import annotations

from kombu.utils.encoding import bytes_to_str

from ..errors import InvalidArgument


def to_text_id(given: object) -> str:
    """Return an id as text: a UUID in its usual form, bytes decoded.

    Raises:
        InvalidArgument: no task can have this id. Only the caller of this id gets the error, not other threads that
            wait.
    """
    text = str(bytes_to_str(given))
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
        raise InvalidArgument(
            f"no task can have the id {text!r}", hint="An id is text without NUL characters and lone surrogates."
        )
    return text
