"""`manage.py pgqueue_worker`: run the tasks and the SQL jobs of the project."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, handle_default_options
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ....config import DSN_VARIABLE, WORKER_DSN_VARIABLE
from ....errors import PgQueueError
from ....local.password_file import write_password_file
from ....schema.prepare import find_worker_login
from ...databases import dsn_of, queue_connection
from ...task_queues import find_task_queues

_APP = "pgqueue.django.worker_app:app"


class Command(BaseCommand):
    """Runs `pgqueue worker` on the database and with the Celery application of the project."""

    help = (
        "Run the Celery tasks, the Django tasks and the SQL jobs of the project until SIGTERM. "
        "All options of `pgqueue worker` and of `celery worker` can be given."
    )
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Take Django's options, and pass the others on."""
        known, rest = self.create_parser(argv[0], argv[1]).parse_known_args(argv[2:])
        handle_default_options(known)
        try:
            sys.exit(self.handle(worker_options=rest))
        except CommandError as refusal:
            self.stderr.write(f"{type(refusal).__name__}: {refusal}")
            sys.exit(1)

    def handle(self, *_args: Any, worker_options: list[str] | None = None, **_options: Any) -> Any:
        """Run the worker.

        Raises:
            CommandError: it cannot work on the database.
        """
        # This needs the extra `worker`, and loads Celery's worker.
        from ....cli.worker import worker

        options = list(worker_options or ())
        with ExitStack() as until_the_end:
            try:
                self._use_database(Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="pgqueue-"))))
                if not any(option.startswith(("--queues", "-Q")) for option in options):
                    options.insert(0, f"--queues={','.join(find_task_queues())}")
                return worker.main(
                    args=["--app", _APP, *options], prog_name="manage.py pgqueue_worker", standalone_mode=False
                )
            except PgQueueError as failure:
                raise CommandError("\n".join(filter(None, [str(failure), failure.detail, failure.hint]))) from failure

    @staticmethod
    def _use_database(place: Path) -> None:
        """Let the worker log in to the project's database, and its executors as the user of that.

        A superuser and the owner of pgqueue may run no SQL jobs: their worker gets a login of its own.
        """
        dsn = dsn_of(queue_connection())
        os.environ[DSN_VARIABLE] = dsn
        if WORKER_DSN_VARIABLE in os.environ:
            return
        login = find_worker_login(dsn)
        if login is None:
            return
        given = {name: value for name, value in conninfo_to_dict(dsn).items() if value is not None}
        passfile = write_password_file(dsn, place / "passwords")
        if passfile is not None:
            given["passfile"] = str(passfile)
        os.environ[WORKER_DSN_VARIABLE] = make_conninfo("", **{**given, "user": login[0], "password": login[1]})
