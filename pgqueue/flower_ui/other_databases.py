"""The Flowers of the other databases, for one of several (`--dsn` more than once): their names and ways to them.

Each Flower has one broker and shows one database. The menu of each names its own database, and leads to the others.
"""

from __future__ import annotations

import json
import os
from html import escape
from typing import Any, NamedTuple

#: Set by the parent of the Flowers.
FLOWERS_VARIABLE = "PGQUEUE_FLOWERS"
_OWN = '<li class="nav-item"><span class="nav-link active" aria-current="true">{}</span></li>'
_OTHER = '<li class="nav-item"><a class="nav-link" href="{}">{}</a></li>'


class FlowerPlace(NamedTuple):
    """A database, and the port of its Flower."""

    name: str
    port: int


def tell_flowers(places: list[FlowerPlace]) -> None:
    """Let the processes that this one starts know all Flowers."""
    os.environ[FLOWERS_VARIABLE] = json.dumps(places)


def take_flowers() -> list[FlowerPlace]:
    """Return all Flowers, if this is one of several. The processes that this one starts do not inherit them."""
    return [FlowerPlace(*place) for place in json.loads(os.environ.pop(FLOWERS_VARIABLE, "[]"))]


def make_items(places: list[FlowerPlace], own_port: int, request: Any, prefix: str) -> str:
    """Return the items of the menu: HTML.

    There are links where a browser reaches this Flower at its own port. Behind a proxy no Flower knows where the others
    are, so only their own database is named there.
    """
    host, _, port = str(request.host).rpartition(":")
    is_direct = port == str(own_port)
    return "".join(
        _OWN.format(escape(place.name))
        if place.port == own_port
        else _OTHER.format(escape(f"{request.protocol}://{host}:{place.port}{prefix}/"), escape(place.name))
        for place in places
        if is_direct or place.port == own_port
    )
