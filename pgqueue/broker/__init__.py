"""kombu's transport for `pgqueue://`. Importing this package, or kombu with pgqueue installed, registers the scheme.

It maps kombu's hooks to named queries and holds no rules of its own: SQL decides routing, claiming and expiry. The
package stays light: the transport is imported when a connection asks for it.
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
