"""Opens a target by its URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.connection import Connection

from ...errors import InvalidArgument, PgQueueError
from .amqp_target import AmqpTarget
from .kombu_target import KombuTarget
from .url import scheme_of, scrub

if TYPE_CHECKING:
    from .target import Target

_AMQP = ("amqp", "amqps", "pyamqp")
#: The extra of kombu with what a broker needs, where it has another name than the scheme.
_EXTRAS = {"rediss": "redis", "sentinel": "redis", "kafka": "confluentkafka", "sqla": "sqlalchemy"}


def is_amqp(url: str) -> bool:
    """Return whether a URL leads to RabbitMQ."""
    return scheme_of(url) in _AMQP


def require_transport(url: str, source: str) -> None:
    """Load kombu's transport for a URL. Connects to nothing.

    Raises:
        InvalidArgument: kombu cannot read the URL.
        PgQueueError: a package that it needs is not installed.
    """
    try:
        _ = Connection(url).transport
    except ValueError:
        # Its text may have a part of the password.
        raise InvalidArgument(
            f"{source} is no URL that kombu can read: most likely its password has a character that is not encoded,"
            " or its port is no number",
            hint="In a login and a password, write / as %2F, ? as %3F, # as %23, : as %3A, @ as %40 and % as %25.",
        ) from None
    except Exception as failure:  # a transport without its package fails in whatever way it happens to
        scheme = scheme_of(url)
        raise PgQueueError(
            f"{source}: kombu cannot load its transport for {scheme}, most likely because a package is not installed:"
            f" {scrub(str(failure), url)}",
            hint=f"Run: pip install 'kombu[{_EXTRAS.get(scheme, scheme)}]'",
        ) from failure


def open_target(url: str) -> Target:
    """Return the target of a URL; it connects later."""
    return AmqpTarget(url) if is_amqp(url) else KombuTarget(url)
