"""Three RabbitMQ nodes as a cluster, each in a network namespace of its own, whose cables can be cut.

    with RabbitMQCluster(folder) as cluster:
        cluster.url             # all nodes, for kombu
        cluster.cut(0)          # the first node is alone
        cluster.nodes[1].kill()

It needs root. A bridge of this machine joins the namespaces. All of it is gone at the end of the context.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from pathlib import Path

from benchmarks.brokers import NodePlace, RabbitMQ
from tests.harness.network import IP

_PORT, _EPMD_PORT, _DISTRIBUTION_PORT = 5672, 4369, 25672


class RabbitMQCluster:
    """The cluster. A node that is without the others pauses, and a quorum queue goes on at the other two.

    Raises:
        SystemExit: RabbitMQ is not installed, or does not start.
        CalledProcessError: there can be no network namespaces here.
    """

    def __init__(self, folder: Path, nodes: int = 3) -> None:
        folder.mkdir()
        number = os.getpid() % 100_000
        self._bridge = f"pgqb{number}"
        self._net = f"10.215.{os.getpid() % 250}"
        self._spaces = [f"pgq-rabbit-{number}-{n}" for n in range(nodes)]
        self._cables = [f"pgqr{number}-{n}" for n in range(nodes)]
        names = [f"rabbit@{self._address(n)}" for n in range(nodes)]
        config = (
            "cluster_formation.peer_discovery_backend = classic_config",
            *(f"cluster_formation.classic_config.nodes.{n} = {name}" for n, name in enumerate(names, 1)),
            "cluster_partition_handling = pause_minority",
            # The default user may come from the bridge, which leads to nobody but this machine.
            "loopback_users = none",
        )
        self.nodes = [
            RabbitMQ(
                folder / str(n),
                NodePlace(
                    names[n],
                    _PORT,
                    _EPMD_PORT,
                    _DISTRIBUTION_PORT,
                    self._address(n),
                    (str(IP), "netns", "exec", self._spaces[n]),
                    config,
                ),
            )
            for n in range(nodes)
        ]
        secret = secrets.token_hex(16)
        for n in range(nodes):
            cookie = folder / str(n) / ".erlang.cookie"
            cookie.write_text(secret)
            cookie.chmod(0o400)
        self._undo = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """The URLs of all nodes, as kombu takes them."""
        return ";".join(node.url for node in self.nodes)

    def cut(self, number: int) -> None:
        """Cut a node off from the others and from this machine: packets vanish."""
        _ip("link", "set", self._cables[number], "down")

    def mend(self, number: int) -> None:
        """Join a node with the others again."""
        _ip("link", "set", self._cables[number], "up")

    def __enter__(self) -> RabbitMQCluster:
        with contextlib.ExitStack() as undo:
            self._lay_cables(undo)
            for node in self.nodes:
                undo.callback(node.close)
                node.start_epmd()
            for node in self.nodes:
                node.begin()
            for node in self.nodes:
                node.wait()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._undo.close()

    def _address(self, number: int) -> str:
        return f"{self._net}.{11 + number}"

    def _lay_cables(self, undo: contextlib.ExitStack) -> None:
        undo.callback(_try_ip, "link", "delete", self._bridge)
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("address", "add", f"{self._net}.1/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for number, (space, cable) in enumerate(zip(self._spaces, self._cables, strict=True)):
            # With the namespace its end of the cable goes, and with that the other end.
            undo.callback(_try_ip, "netns", "delete", space)
            _ip("netns", "add", space)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("link", "set", cable, "master", self._bridge)
            _ip("link", "set", cable, "up")
            _ip("-n", space, "link", "set", "lo", "up")
            _ip("-n", space, "address", "add", f"{self._address(number)}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")


def _ip(*arguments: str) -> None:
    subprocess.run([str(IP), *arguments], check=True)


def _try_ip(*arguments: str) -> None:
    subprocess.run([str(IP), *arguments], check=False, stderr=subprocess.DEVNULL)
