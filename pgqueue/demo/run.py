"""Plays the demo from beginning to end on a stack of its own, and cleans up."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.text import Text

from .. import demo
from ..client.client import Client
from ..db.client_session import ClientSession
from ..db.named_query import run_text
from ..local.embedded import EmbeddedServer
from ..local.readiness import find_free_port
from ..local.stack import LOOPBACK, Stack, StackOptions
from .checks import CHECKS
from .context import DemoContext, statement


def play(console: Console, pg_bin: Path | None = None) -> None:
    """Start a server, a worker and Flower, run every check, and take everything away again.

    Raises:
        DemoFailed: a claim was not true.
        PgQueueError: something did not start.
    """
    started = time.monotonic()
    with ExitStack() as cleanup:
        logs = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="pgqueue-demo-")))
        server = cleanup.enter_context(EmbeddedServer.temporary(pg_bin=pg_bin))
        options = StackOptions(
            log_dir=logs,
            conninfo=server.dsn,
            flower_port=find_free_port(LOOPBACK),
            concurrency=2,
            include=(f"{demo.__name__}.tasks",),
        )
        stack = Stack(options, lambda line: console.print(Text(f"   {line}")))
        console.print(Text(f"PostgreSQL {server.binaries.version}, a worker and Flower are starting", style="bold"))
        cleanup.callback(stack.stop)
        stack.start()
        console.print(Text(f"   everything answers after {time.monotonic() - started:.1f} s"))
        _play_steps(stack, console)
    took = time.monotonic() - started
    console.print(Text(f"\nAll of it was true, in {took:.0f} s, and everything is cleaned up.", style="bold green"))


def _play_steps(stack: Stack, console: Console) -> None:
    with (
        Client(stack.dsn) as client,
        ClientSession(stack.dsn, application_name="pgqueue demo", as_it_is=True) as session,
    ):
        context = DemoContext(client, session, stack.flower_url or "", stack.worker_name, console)
        for part in statement("create_tables").split(";\n"):
            run_text(session.connection, part)
        for number, check in enumerate(CHECKS, start=1):
            console.print()
            console.print(Text(f"{number}. {check.__doc__}", style="bold"))
            check(context)
