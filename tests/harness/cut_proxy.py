"""A TCP proxy whose connections can be cut in the middle of whatever they carry."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

_CHUNK = 65_536
_CONNECT_SECONDS = 2.0
#: A close with this sends RST, and drops what was not sent.
_AT_ONCE = struct.pack("ii", 1, 0)


class CutProxy:
    """Listens on a free port of the loopback, and passes connections on to another port."""

    def __init__(self, to_port: int, to_address: str = "127.0.0.1") -> None:
        self._to = to_address, to_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.port: int = self._listening.getsockname()[1]
        self.cuts = 0

    def __enter__(self) -> CutProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def cut(self) -> int:
        """End all connections at once, as a broken line does; return how many there were."""
        with self._lock:
            ended, self._open = self._open, []
        for each in ended:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self.cuts += len(ended) // 2
        return len(ended) // 2

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _address = self._listening.accept()
                try:
                    far = socket.create_connection(self._to, _CONNECT_SECONDS)
                except OSError:  # It restarts.
                    near.close()
                    continue
                far.settimeout(None)
                with self._lock:
                    self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
