"""Access to Flower: the host names that it accepts, and its API when it has no password.

Without a password Flower closes its API, and with it the buttons of its own pages (revoke, terminate, apply). Its
option to open it, FLOWER_UNAUTHENTICATED_API, opens it to every web site that the user visits as well. On a loopback
address this module admits requests from this machine that come from no foreign page: same origin, and a Host header
that names the loopback (against DNS rebinding). Other users of the machine are admitted too; set a password if they are
not trusted.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest


def is_loopback(host: str) -> bool:
    """Return whether a host name or address always means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_expected_host(host: str, address: str, allowed: Collection[str]) -> bool:
    """Return whether a request names a host under which this Flower may be reached.

    Otherwise a web site whose own name resolves to this machine (DNS rebinding) could read every page with the user's
    browser. An IP address cannot be redirected: if Flower listens beyond the loopback, every IP address is accepted.

    Args:
        host: the Host header, with or without a port.
        address: the address on which Flower listens.
        allowed: further names; a leading dot means all names below one.
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
    """Return whether a request names the loopback as its host and comes from no other site."""
    if not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host
