"""Log a warning at the start of a worker for each setting of pgqueue whose value is invalid.

The server accepts any text for these settings. The warning that workers raise at each naptime appears only in the
server's log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from .log import get_logger

if TYPE_CHECKING:
    from ..db.database import Database

logger = get_logger(__name__)


def warn_of_settings(database: Database) -> None:
    """Log each setting for which the default is used, because its value is invalid."""
    try:
        for (fault,) in database.fetch("faulty_settings"):
            logger.warning("the default is used: %s", fault)
    except psycopg.Error as error:
        logger.info("the settings could not be checked: %s", error)
