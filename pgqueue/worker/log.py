"""The loggers of this package: what others have written stays within its line of the worker's log.

Labels, errors and notices are the words of whoever hands jobs in. A line break in one would begin another line.
"""

from __future__ import annotations

import logging
import re
from numbers import Number

# Control characters, what other programs take for a line's end, and what changes the direction of text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module, which writes control characters in its arguments as escapes.

    Not Celery's ``get_logger``: once somebody has named the logger ``pgqueue``, it takes the others away from that.
    """
    logger = logging.getLogger(name)
    logger.addFilter(_escape_arguments)
    return logger


def _escape_arguments(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(arg if isinstance(arg, Number) else escape(str(arg)) for arg in record.args)
    return True


def escape(text: str) -> str:
    r"""Write what is not to be printed as `\n` or `\x1b`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
