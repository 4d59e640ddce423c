"""Access to Flower: the names under which it answers, and its API when it has no password.

Flower closes its API without one, and with it the buttons of its own pages (revoke, terminate, apply). Its way
to open it, FLOWER_UNAUTHENTICATED_API, opens it to every web site that the user visits as well. On a loopback
address this lets in what comes from this machine and is no foreign page: same origin, and a Host that names the
loopback (against DNS rebinding). Other users of the machine are let in too; where they are not trusted, set a
password.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_expected_host(host: str, address: str, allowed: Collection[str]) -> bool:
    """Tell whether a request names a host under which this Flower is meant to be reached.

    A web site that lets its own name lead to this machine (DNS rebinding) could else read every page with the user's
    browser. A number cannot be made to lead elsewhere: where Flower listens on more than the loopback, all are taken.

    Args:
        host: the header, with or without a port.
        address: on which Flower listens.
        allowed: further names; a leading dot stands for all names below one.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if is_loopback(name) or name == address.lower():
        return True
    if any(name == each.lower() or (each.startswith(".") and name.endswith(each.lower())) for each in allowed):
        return True
    if is_loopback(address):
        return False
    return _is_number(name) or name in (socket.gethostname().lower(), socket.getfqdn().lower())


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_local_request(request: HTTPServerRequest) -> bool:
    """Tell whether a request names the loopback as its host and comes from no other site."""
    if not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host
