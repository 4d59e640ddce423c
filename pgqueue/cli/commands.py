"""The command line: the list of commands, and the handling of errors.

Each command lives in a module beside this one. Here every error becomes one line, a hint and an exit code: 0 success, 1
failure, 2 wrong usage, 130 interrupt. A process for one of several databases has 78 if its database refuses it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
import psycopg

from .. import __version__
from ..errors import NoAnswer, PgQueueError, from_driver, is_refusal
from ..local.child_process import EXIT_REFUSED
from ..worker.database_log import database_name
from . import (
    compat,
    configuration,
    database,
    doctor,
    exporter,
    fleet,
    flower,
    import_schedules,
    job_log,
    jobs,
    launch,
    limits,
    many_jobs,
    outcome,
    queues,
    relay,
    scale,
    schedules,
    slow,
    up,
    update,
    worker,
)
from . import demo as demo_command
from .extras import find_package, not_installed
from .failure import show_failure
from .help import Commands

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="pgqueue")
def cli() -> None:
    """Queue SQL statements and Celery tasks in PostgreSQL and run them."""


for command in (
    up.up,
    demo_command.demo,
    database.install,
    database.upgrade,
    database.uninstall,
    database.status,
    database.enroll,
    database.unenroll,
    compat.install_compat,
    compat.uninstall_compat,
    worker.worker,
    fleet.fleet,
    relay.relay,
    flower.flower,
    launch.launch,
    jobs.list_command,
    jobs.show,
    job_log.log_command,
    outcome.result,
    outcome.wait,
    update.update,
    many_jobs.cancel,
    many_jobs.retry,
    many_jobs.discard,
    queues.stats,
    slow.slow,
    queues.queues_command,
    queues.workers,
    scale.scale,
    queues.peek,
    queues.pause,
    queues.resume,
    queues.redrive,
    many_jobs.purge,
    many_jobs.drain,
    queues.set_durability,
    configuration.config,
    limits.limit,
    schedules.schedule,
    doctor.doctor,
    exporter.exporter,
):
    cli.add_command(command)
schedules.schedule.add_command(import_schedules.import_command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    as_json = "--json" in arguments
    try:
        outcome_code = cli.main(args=list(arguments), prog_name="pgqueue", standalone_mode=False)
    except click.Abort:
        return EXIT_INTERRUPTED
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as misuse:
        if as_json:
            show_failure(misuse.format_message(), as_json=True)
        else:
            misuse.show()
        return misuse.exit_code
    except PgQueueError as failure:
        return _end_with(failure, as_json=as_json)
    except psycopg.Error as failure:
        # A connection may break where pgqueue's own code does not convert the error.
        return _end_with(from_driver(failure), as_json=as_json)
    except ModuleNotFoundError as failure:
        found = find_package(failure.name or "")
        if found is None:
            raise
        show_failure(not_installed(found[0], (found[1],)), as_json=as_json)
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader of the output has closed it. Python would raise again when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as failure:
        show_failure(str(failure), as_json=as_json)
        return EXIT_FAILED
    return outcome_code if isinstance(outcome_code, int) else 0


def _end_with(failure: PgQueueError, *, as_json: bool) -> int:
    """Show an error, and return the exit code."""
    name = database_name()
    show_failure(failure, as_json=as_json, about=name)
    # The parent of a process for one of several databases starts it again, but not at once if people have to act.
    needs_people = isinstance(failure, NoAnswer) or is_refusal(failure)
    return EXIT_REFUSED if name is not None and needs_people else EXIT_FAILED


def main() -> None:
    """Run the command line of this process, and exit with its exit code."""
    sys.exit(run(sys.argv[1:]))
