"""A server that lets everybody log in and then answers nothing, as a pooler does whose own server hangs."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

_NO_TLS_REQUESTS = {80_877_103, 80_877_104}  # for TLS, and for encryption by GSSAPI
_PARAMETERS = {"server_version": "17.0", "client_encoding": "UTF8", "standard_conforming_strings": "on"}


class SilentServer:
    """Listens on a free port of the loopback."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.dsn = f"host=127.0.0.1 port={self._listening.getsockname()[1]} user=u dbname=silent"

    def __enter__(self) -> SilentServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        for each in (self._listening, *self._open):
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                session, _address = self._listening.accept()
                self._open.append(session)
                threading.Thread(target=self._let_in, args=(session,), daemon=True).start()

    @staticmethod
    def _let_in(session: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                length, code = struct.unpack("!II", session.recv(8, socket.MSG_WAITALL))
                session.recv(length - 8, socket.MSG_WAITALL)
                if code not in _NO_TLS_REQUESTS:
                    break
                session.sendall(b"N")
            session.sendall(_message(b"R", struct.pack("!I", 0)))
            for name, value in _PARAMETERS.items():
                session.sendall(_message(b"S", f"{name}\0{value}\0".encode()))
            session.sendall(_message(b"K", struct.pack("!II", 1, 1)) + _message(b"Z", b"I"))


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body
