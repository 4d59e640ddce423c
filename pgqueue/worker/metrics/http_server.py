"""A small HTTP server in threads of its own: probes and metrics, on the address that was asked for and on no other.

It has no authentication and no TLS. A slow client gets no more than a few seconds, and there is a bound to the requests
that are answered at the same time, so that clients cannot take a worker's memory.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, NamedTuple

from ...after_fork import Turn, call_in_forked_child
from ...errors import PortInUse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

TEXT = "text/plain; charset=utf-8"
#: A client that neither sends nor reads for so long is dropped.
_CLIENT_SECONDS = 5.0
#: Requests at the same time; the connection of a further one is closed.
_MOST_REQUESTS = 32
_JOIN_SECONDS = 2.0
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>\d{1,5})")


class Answer(NamedTuple):
    """The answer of a page."""

    status: int
    body: bytes
    content_type: str = TEXT


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read HOST:PORT, or [HOST]:PORT for an IPv6 address.

        Raises:
            ValueError: it is written in another way, or the port is none.
        """
        found = _ADDRESS.fullmatch(text.strip())
        if found is None or not 1 <= int(found["port"]) <= 65535:
            raise ValueError(f'"{text}" is not HOST:PORT: expected for example 127.0.0.1:9187 or [::1]:9187')
        return cls(found["v6"] or found["host"], int(found["port"]))

    def __str__(self) -> str:
        """Return it as it is written in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HttpServer:
    """Answers GET and HEAD of some paths until it is closed.

    Args:
        pages: by path, what makes the answer. It runs in the thread of the request.

    Raises:
        PortInUse: nothing can listen there.
    """

    _open: set[HttpServer] = set()

    def __init__(self, address: Address, pages: Mapping[str, Callable[[], Answer]], thread_name: str) -> None:
        try:
            family, *_, sockaddr = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._server = _Server(family, sockaddr, pages)
        except OSError as failure:
            reason = failure.strerror or str(failure)
            raise PortInUse(
                f"cannot listen on {address}: {reason[:1].lower()}{reason[1:]}",
                hint="Give an address of this machine and a port that is free.",
            ) from failure
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name=thread_name, daemon=True)
        self._open.add(self)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; requests that are being answered end by themselves. Harmless to repeat."""
        if self in self._open:
            self._open.discard(self)
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(_JOIN_SECONDS)

    @classmethod
    def _forget_parents(cls) -> None:
        """Close the sockets that a forked child has copied: else the port stays taken after the parent has ended."""
        for server in cls._open:
            server._server.socket.close()
        cls._open = set()


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, family: int, sockaddr: object, pages: Mapping[str, Callable[[], Answer]]) -> None:
        self.address_family = family
        self.pages = pages
        self._places = threading.BoundedSemaphore(_MOST_REQUESTS)
        super().__init__(sockaddr, _Handler)  # type: ignore[arg-type] # as getaddrinfo returns it

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""
        logger.debug("a request of %s was not answered", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = _CLIENT_SECONDS
    server: _Server
    server_version = "pgqueue"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        page = self.server.pages.get(path)
        if page is None:
            listed = " ".join(self.server.pages)
            self._send(Answer(404, f"there is nothing at this path; there is {listed}\n".encode()))
            return
        try:
            answer = page()
        except Exception:
            logger.exception("%s could not be answered", path)
            answer = Answer(500, b"this could not be answered; the log has the error\n")
        self._send(answer)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send(self, answer: Answer) -> None:
        with contextlib.suppress(OSError):
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        logger.debug("%s: %s", self.address_string(), format % args)


call_in_forked_child(Turn.PROCESS, HttpServer._forget_parents)
