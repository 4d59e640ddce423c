"""graphile-worker and pg-boss, from npm."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from benchmarks.peers.peer import HERE, Peer


class NodePeer(Peer):
    """A script beside this module, named after the peer."""

    def install(self) -> None:
        """Make its schema."""
        self._call("install")

    def enqueue(self, count: int) -> None:
        """Use its bulk call."""
        self._call("enqueue", str(count))

    def worker_command(self) -> Sequence[str]:
        """Run the script."""
        return self._command("work")

    def _command(self, *arguments: str) -> list[str]:
        return ["node", str(HERE / f"{self.name}.cjs"), self.dsn, *arguments]

    def _call(self, *arguments: str) -> None:
        subprocess.run(self._command(*arguments), env=dict(self.environment), check=True, stdout=subprocess.DEVNULL)
