"""Ids of tasks and groups as the database keeps them: text."""

from __future__ import annotations

from kombu.utils.encoding import bytes_to_str

from ..errors import InvalidArgument


def to_text_id(given: object) -> str:
    """Return an id as text: a UUID's usual form, decoded bytes.

    Raises:
        InvalidArgument: no task can have it. The error is raised for its caller only, not for others that wait.
    """
    text = str(bytes_to_str(given))
    if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
        raise InvalidArgument(
            f"no task can have the id {text!r}", hint="An id is text without NUL characters and lone surrogates."
        )
    return text
