"""A network with one host, far away, whose cable can be cut: no FIN, no RST, no ICMP, packets are gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

IP = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def why_not() -> str | None:
    """Return why no network can be made here, None if one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if IP is None:
        return "there is no ip (Debian: apt-get install iproute2)"
    name = f"pgq-try-{os.getpid()}"
    tried = subprocess.run([IP, "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no network namespaces: {tried.stderr.strip()}"
    _ip("netns", "delete", name)
    return None


class FarHost:
    """A network namespace two hops away from this host."""

    def __init__(self, number: int) -> None:
        self._far, self._middle = f"pgq-far-{number}", f"pgq-mid-{number}"
        self._near_end, self._far_end = f"pgqn{number}", f"pgqf{number}"
        byte = number % 250
        #: This host, as the far one sees it.
        self.address = f"10.213.{byte}.1"
        self._net = f"10.213.{byte}"
        self._far_net = f"10.214.{byte}"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What runs a command there."""
        assert IP is not None
        return (IP, "netns", "exec", self._far)

    def build(self) -> None:
        """Lay the cables."""
        for name in (self._middle, self._far):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("link", "add", self._near_end, "type", "veth", "peer", "name", "near", "netns", self._middle)
        _ip("-n", self._middle, "link", "add", "far", "type", "veth", "peer", "name", "eth0", "netns", self._far)
        _ip("address", "add", f"{self.address}/24", "dev", self._near_end)
        _ip("link", "set", self._near_end, "up")
        for name, device, address in (
            (self._middle, "near", f"{self._net}.2/24"),
            (self._middle, "far", f"{self._far_net}.2/24"),
            (self._far, "eth0", f"{self._far_net}.1/24"),
        ):
            _ip("-n", name, "address", "add", address, "dev", device)
            _ip("-n", name, "link", "set", device, "up")
        _ip("-n", self._far, "route", "add", "default", "via", f"{self._far_net}.2")
        _ip("route", "add", f"{self._far_net}.0/24", "via", f"{self._net}.2")
        self.mend()

    def cut(self) -> None:
        """Let every packet vanish on its way."""
        self._forward("0")

    def mend(self) -> None:
        """Let packets through again."""
        self._forward("1")

    def remove(self) -> None:
        """Take everything away; processes that still run there keep a namespace without cables."""
        for name in (self._far, self._middle):
            subprocess.run([str(IP), "netns", "delete", name], capture_output=True, check=False)
        subprocess.run([str(IP), "link", "delete", self._near_end], capture_output=True, check=False)

    def _forward(self, value: str) -> None:
        _ip("netns", "exec", self._middle, "sh", "-c", f"echo {value} > /proc/sys/net/ipv4/ip_forward")


@contextlib.contextmanager
def far_host() -> Iterator[FarHost]:
    """Make a far host for one test."""
    host = FarHost(os.getpid() % 100_000)
    try:
        host.build()
        yield host
    finally:
        host.remove()


def _ip(*arguments: str) -> None:
    subprocess.run([str(IP), *arguments], check=True, capture_output=True, text=True)
