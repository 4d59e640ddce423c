"""The loggers of this package. They keep text from other programs within one line of the worker's log.

Submitters choose labels, errors and notices. A line break in one of them would begin another line of the log.
"""

from __future__ import annotations

import logging
import re
from numbers import Number

# Control characters, line separators of other programs, and characters that change the direction of text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def get_logger(name: str) -> logging.Logger:
    """Return the logger of a module, which writes control characters in its arguments as escapes.

    Celery's ``get_logger`` is not used: after it was called for the logger ``pgqueue``, it removes the parents of the
    others.
    """
    logger = logging.getLogger(name)
    logger.addFilter(_escape_arguments)
    return logger


def _escape_arguments(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(arg if isinstance(arg, Number) else escape(str(arg)) for arg in record.args)
    return True


def escape(text: str) -> str:
    r"""Write unprintable characters as escapes such as `\n` or `\x1b`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
