"""A PostgreSQL server as a child process: started, stopped, restarted, and crashed for tests.

It runs in a session of its own, so that Ctrl-C in a terminal reaches only this process. If this process is killed, the
server stays up, unless `dies_with_us` was set; the next start reports that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType

import platformdirs
from psycopg.conninfo import make_conninfo

from ...errors import DataDirectoryInUse, EmbeddedStartFailed, PortInUse
from ..death_signal import signal_me_when_parent_dies
from . import data_directory
from .account import Account, account_for
from .binaries import Binaries, find_binaries, readable_by
from .data_directory import SUPERUSER

_SYSTEM_PLACE = Path("/var/lib/pgqueue")
_SOCKET_PORT = 5432
_LOG = "server.log"
_LARGEST_LOG_BYTES = 10_000_000
_ANSWERING = ("ready", "standby")
_POLL_SECONDS = 0.01


def default_data_dir(major: int) -> Path:
    """Return the directory of the embedded server's data for this user."""
    # The account that runs the server for root cannot enter root's own directories.
    place = _SYSTEM_PLACE if os.geteuid() == 0 else platformdirs.user_data_path("pgqueue")
    return place / f"pg{major}"


def running_server(data_dir: str | os.PathLike[str]) -> str | None:
    """Return the conninfo of the server that runs on a data directory, None if none runs."""
    found = data_directory.read_postmaster(Path(data_dir).absolute())
    if found is None or found.status not in _ANSWERING:
        return None
    return make_conninfo("", host=found.socket_dir, port=found.port, user=SUPERUSER, dbname="postgres")


class EmbeddedServer:
    """Run PostgreSQL on a data directory, which is created at the first start and kept.

    Args:
        data_dir: the directory of the data; None: the user's own place.
        port: a TCP port on 127.0.0.1; None: no TCP at all.
        pg_bin: the directory of the server's programs; None: they are searched for.
        settings: server settings that override the configuration file.
        dies_with_us: shut down when this process dies, even by SIGKILL. Start it from the main thread then: the kernel
            reports the death of the thread that started it.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        port: int | None = None,
        pg_bin: str | os.PathLike[str] | None = None,
        settings: Mapping[str, str] | None = None,
        dies_with_us: bool = False,
    ) -> None:
        self._binaries = find_binaries(pg_bin)
        self.data_dir = Path(data_dir).absolute() if data_dir else default_data_dir(self._binaries.major)
        self.port = port
        self._settings = dict(settings or {})
        self._dies_with_us = dies_with_us
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_dir: Path | None = None

    @classmethod
    @contextlib.contextmanager
    def temporary(
        cls,
        *,
        pg_bin: str | os.PathLike[str] | None = None,
        settings: Mapping[str, str] | None = None,
        parent: str | os.PathLike[str] | None = None,
        port: int | None = None,
    ) -> Iterator[EmbeddedServer]:
        """Run a server whose data is removed at the end, and which dies with the calling thread.

        Args:
            pg_bin: as for the class.
            settings: as for the class.
            parent: the parent directory of the data; None: the system's place for temporary files.
            port: as for the class.

        Raises:
            EmbeddedError: as `start`.
        """
        # For root the server has another user, who must be able to pass through to its own, closed, data directory.
        usual = "/tmp" if os.geteuid() == 0 else None
        place = Path(tempfile.mkdtemp(prefix="pgqueue-", dir=parent or usual))
        place.chmod(0o711)
        try:
            with cls(place / "data", pg_bin=pg_bin, port=port, settings=settings, dies_with_us=True) as server:
                yield server
        finally:
            data_directory.remove_socket_directory(place / "data")
            shutil.rmtree(place)

    @property
    def binaries(self) -> Binaries:
        """The programs of this server."""
        return self._binaries

    @property
    def bin_dir(self) -> Path:
        """The directory of the programs of this server, psql and pg_dump among them."""
        return self._binaries.bin_dir

    @property
    def log(self) -> Path:
        """The file that the server logs to."""
        return self.data_dir / _LOG

    @property
    def pid(self) -> int | None:
        """Return the pid of the server, None while it does not run."""
        return None if self._process is None else self._process.pid

    @property
    def is_running(self) -> bool:
        """Return whether the started process still exists."""
        return self._process is not None and self._process.poll() is None

    @property
    def dsn(self) -> str:
        """Return the conninfo of the superuser over the socket, which needs no password."""
        directory = self._socket_dir or self.data_dir
        return make_conninfo("", host=str(directory), port=self.port or _SOCKET_PORT, user=SUPERUSER, dbname="postgres")

    @property
    def tcp_dsn(self) -> str | None:
        """Return the conninfo of the superuser over TCP, with its password; None without a port."""
        if self.port is None:
            return None
        password = data_directory.read_password(self.data_dir)
        return make_conninfo("", host="127.0.0.1", port=self.port, user=SUPERUSER, password=password, dbname="postgres")

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, timeout: float = 300) -> None:
        """Create the data directory if necessary, start the server, and return when it answers.

        Args:
            timeout: in seconds; includes recovery after a crash.

        Raises:
            DataDirectoryInUse: a server runs on it.
            DataDirectoryUnusable: it is of another version, is something else, or cannot be written.
            PortInUse: another program listens on the port.
            EmbeddedStartFailed: the server did not come up; the detail is its log.
            EmbeddedUnavailable: the account that must run it cannot read the binaries.
        """
        with data_directory.exclusive(self.data_dir) as lock:
            self._require_no_server()
            account = account_for(self.data_dir)
            self._binaries = readable_by(account, self._binaries, _SYSTEM_PLACE / "binaries")
            self._require_free_port()
            durable = self._settings.get("fsync", "on") != "off"
            data_directory.ensure_initialized(self.data_dir, self._binaries, account, lock=lock, durable=durable)
            data_directory.forget_dead_server(self.data_dir)
            self._launch(account)
            try:
                self._wait_until_ready(timeout)
            except BaseException:
                self.stop()  # This holds for an interrupt as well: no half-started server is left.
                raise

    def stop(self, *, mode: str = "fast", timeout: float = 60) -> None:
        """Stop the server; `fast` ends sessions, `smart` waits for them, `immediate` is a crash.

        A server that does not end in time is killed, which loses no committed data.
        """
        self._end({"fast": signal.SIGINT, "smart": signal.SIGTERM, "immediate": signal.SIGQUIT}[mode], timeout)

    def restart(self) -> None:
        """Stop the server and start it again, at the same address."""
        self.stop()
        self.start()

    def crash(self) -> None:
        """End the server like a crash, for tests; the next start recovers."""
        self.stop(mode="immediate")

    def read_log(self) -> str:
        """Return the server's log, from its start or from the beginning of its log file."""
        return self.log.read_text(errors="replace")

    def _end(self, with_signal: signal.Signals, timeout: float) -> None:
        if self._process is None:
            return
        self._process.send_signal(with_signal)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        self._process = None

    def _require_no_server(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            self._process = None  # Another process ended it.
        running = data_directory.read_postmaster(self.data_dir)
        if running is not None:
            raise DataDirectoryInUse(
                f"a server runs on {self.data_dir} already, process {running.pid}",
                pid=running.pid,
                hint=f"Use it, stop it (kill -INT {running.pid}), or choose another place with --data DIR.",
            )

    def _require_free_port(self) -> None:
        if self.port is None:
            return
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as taken:
                raise PortInUse(
                    f"cannot listen on port {self.port} of 127.0.0.1: {taken.strerror}",
                    hint="Choose another one with --port, or leave it out: a socket is enough on one machine.",
                ) from taken

    def _launch(self, account: Account) -> None:
        self._socket_dir = data_directory.socket_directory(self.data_dir, account)
        if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG_BYTES:
            self.log.unlink()
        settings = {
            "listen_addresses": "" if self.port is None else "127.0.0.1",
            "port": str(self.port or _SOCKET_PORT),
            "unix_socket_directories": str(self._socket_dir),
            "unix_socket_permissions": "0700",
            **self._settings,
        }
        with account.open_file(self.log, "ab") as sink:
            self._log_start = sink.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(
                [
                    *(self._binaries.program("postgres"), "-D", str(self.data_dir)),
                    *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
                ],
                cwd="/",
                env=data_directory.server_environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
                preexec_fn=self._before_exec(),  # noqa: PLW1509 -- one system call, with its library loaded ahead
                **account.subprocess_options(),
            )

    def _before_exec(self) -> Callable[[], None] | None:
        if not self._dies_with_us:
            return None
        # This is a fast shutdown: SIGTERM would wait for every session to end by itself.
        return partial(signal_me_when_parent_dies, signal.SIGINT, os.getpid())

    def _wait_until_ready(self, timeout: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while self._process.poll() is None:
            found = data_directory.read_postmaster(self.data_dir)
            if found is not None and found.status in _ANSWERING:
                return
            if time.monotonic() > deadline:
                raise EmbeddedStartFailed(f"the server was not ready after {timeout:g} seconds", detail=self._new_log())
            time.sleep(_POLL_SECONDS)
        logged = self._new_log()
        if self.port is not None and "could not bind" in logged:
            raise PortInUse(f"cannot listen on port {self.port} of 127.0.0.1", hint="Choose another one with --port.")
        raise EmbeddedStartFailed("the server did not start", detail=logged)

    def _new_log(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace").strip()
