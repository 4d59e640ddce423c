"""The log of a command that runs until it is stopped, and is no worker."""

from __future__ import annotations

import logging

from ..worker.database_log import name_database_in_text
from ..worker.json_log import log_as_json


def start_log(log_format: str) -> None:
    """Let the process log to standard error, in a format of the option --log-format."""
    if log_format == "json":
        log_as_json(logging.INFO)
    else:
        name_database_in_text()
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
