"""kombu's transport for `pgqueue://`: importing this package, or kombu with pgqueue installed, registers the scheme.

Maps kombu's hooks to named queries and holds no rules of its own: routing, claiming and expiry are decided in SQL.
The package stays light: the transport is imported when a connection asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .register import register_transport

if TYPE_CHECKING:
    from .channel import Channel
    from .transport import Transport

__all__ = ["Channel", "Transport"]

register_transport()


def __getattr__(name: str) -> Any:
    if name == "Transport":
        from .transport import Transport

        return Transport
    if name == "Channel":
        from .channel import Channel

        return Channel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
