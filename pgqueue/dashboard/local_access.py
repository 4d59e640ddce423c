"""Who may use Flower's API when it has no password.

Flower closes its API without one, and with it the buttons of its own pages (revoke, terminate, apply). Its way
to open it, FLOWER_UNAUTHENTICATED_API, opens it to every web site that the user visits as well. On a loopback
address this lets in what comes from this machine and is no foreign page: same origin, and a Host that names the
loopback (against DNS rebinding). Other users of the machine are let in too; where they are not trusted, set a
password.
"""

from __future__ import annotations

import ipaddress
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


def is_local_request(request: HTTPServerRequest) -> bool:
    """Tell whether a request names the loopback as its host and comes from no other site."""
    if not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
        return False
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or urlsplit(origin).netloc == request.host
