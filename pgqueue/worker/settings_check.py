"""Says when the worker starts which settings of pgqueue cannot be what was meant.

The server takes any text for them, and what workers make of it at each naptime only the server's log tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from .log import get_logger

if TYPE_CHECKING:
    from ..db.database import Database

logger = get_logger(__name__)


def warn_of_settings(database: Database) -> None:
    """Log each setting whose default holds, because its value means nothing."""
    try:
        for (fault,) in database.fetch("faulty_settings"):
            logger.warning("the default holds for %s", fault)
    except psycopg.Error as error:
        logger.info("the settings could not be looked at: %s", error)
