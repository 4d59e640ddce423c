"""Restarts the embedded server when it has died."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import ServiceFailed
from .embedded import EmbeddedServer, running_server
from .restart_policy import RestartPolicy

# An operator may be restarting it with pg_ctl, so the restart is delayed.
_GRACE_SECONDS = 3.0


class ServerWatch:
    """Watches a started server; `say` gets a line when it died and when it is back."""

    def __init__(self, server: EmbeddedServer, say: Callable[[str], None]) -> None:
        self._server = server
        self._say = say
        self._restarts = RestartPolicy()
        self._start_at: float | None = None

    def look(self) -> None:
        """Notice that the server has died and restart it when that is due. Call it a few times a second.

        Raises:
            ServiceFailed: it died too often.
            EmbeddedError: it could not be started again.
        """
        if self._server.is_running or (self._start_at is None and running_server(self._server.data_dir) is not None):
            return
        now = time.monotonic()
        if self._start_at is None:
            self._note_death(now)
        elif running_server(self._server.data_dir) is not None:
            self._start_at = None
        elif now >= self._start_at:
            self._server.start()
            self._start_at = None
            self._say(f"PostgreSQL was started again, pid {self._server.pid}")

    def _note_death(self, now: float) -> None:
        delay = self._restarts.next_delay(now)
        if delay is None:
            log = self._server.data_dir / "server.log"
            raise ServiceFailed("PostgreSQL keeps dying", hint=f"Its log is {log}")
        self._start_at = now + _GRACE_SECONDS + delay
        self._say(f"PostgreSQL died; starting it again in {_GRACE_SECONDS + delay:g} s")
