"""The generated parts of docs/reference: `make reference` writes them, tests/acceptance/test_docs.py compares them.

A page has a generated part between `<!-- generated: NAME -->` and `<!-- end -->`. What stands there comes from the
COMMENTs of an installed database, from docstrings, or from click, so a page cannot say what is not so. The rest of a
page is written by hand.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import psycopg

from pgqueue import errors
from pgqueue.cli.commands import cli
from pgqueue.cli.help import _EXAMPLES, SECTIONS
from tests.harness.servers import temporary_server

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
MAJOR = 18
WIDTH = 120
_PART = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_OWN = "not exists (select from pg_depend d where d.objid = %s.oid and d.deptype = 'e')"
#: How a type is written in docs.
_SHORT = {"timestamp with time zone": "timestamptz", "integer": "int", "DEFAULT": "="}
#: The views that users read, in the order of the page.
VIEWS = (
    "jobs",
    "attempts",
    "tasks",
    "stats",
    "stats_total",
    "workers",
    "queues",
    "quotas",
    "schedules",
    "schedule_runs",
    "configuration",
    "limits",
    "batches",
    "slow",
    "fleets",
    "relays",
    "fleet_processes",
)
#: Functions by what they are for, in the order of the page.
_GROUPS = {
    "Submit": ("launch", "submit", "enqueue", "enqueue_many", "send_task", "enqueue_trigger"),
    "Follow a job": (
        "result",
        "wait",
        "cancel",
        "detach",
        "statement",
        "update",
        "progress",
        "snooze",
        "get_progress",
        "job_log",
        "task_result",
        "retry_task",
    ),
    "Failed jobs, and many jobs at once": ("retry", "retry_jobs", "discard_jobs", "cancel_jobs"),
    "Run by the clock": (
        *("schedule", "schedule_task", "alter_schedule", "unschedule"),
        *("pause_schedule", "resume_schedule", "run_schedule"),
    ),
    "Operate": (
        "pause",
        "resume",
        "set_durability",
        "configure",
        "set_limit",
        "redrive",
        "backlog",
        "slow_jobs",
        "purge",
        "scale",
        "set_fleet",
        "remove_fleet",
        "relay_to",
        "enroll",
        "unenroll",
        "reset_stats",
    ),
    "Names of pg_background and pg_cron": (
        *("install_compat", "uninstall_compat", "install_pg_cron", "uninstall_pg_cron"),
    ),
}
_READERS = {
    "pgqueue_user": "enrolled roles",
    "pgqueue_worker": "workers",
    "pgqueue_monitor": "monitors",
    "pgqueue_admin": "administrators",
}


def sql_functions(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """Yield the public SQL functions with their COMMENTs."""
    rows = connection.execute(
        f"""select p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
                   obj_description(p.oid, 'pg_proc'),
                   array(select rolname from pg_roles where rolname = any (%s) and has_function_privilege(oid, p.oid, 'execute')
                         order by array_position(%s, rolname::text))
            from pg_proc p where p.pronamespace = 'pgqueue'::regnamespace and p.proname !~ '^_' and {_OWN % "p"}""",
        [list(_READERS), list(_READERS)],
    ).fetchall()
    functions = {name: rest for name, *rest in rows}
    listed = [name for names in _GROUPS.values() for name in names]
    for group, names in (*_GROUPS.items(), ("Others", tuple(sorted(set(functions) - set(listed))))):
        if names:
            yield f"## {group}\n"
        for name in names:
            arguments, returned, comment, roles = functions[name]
            yield f"### `{name}`\n"
            yield f"```sql\n{_signature(name, arguments, returned)}\n```\n"
            yield from _prose(comment)
            yield f"\nFor {_enumerate([_READERS[role] for role in roles] or ['the owner of the schema `pgqueue`'])}.\n"


def sql_types(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """Yield the types that users meet."""
    rows = connection.execute(
        """select t.typname, obj_description(t.oid, 'pg_type'),
                  coalesce((select string_agg(format('`%s`', enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid),
                           (select string_agg(format('`%s %s`', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
                            from pg_attribute where attrelid = t.typrelid and attnum > 0))
           from pg_type t where t.typnamespace = 'pgqueue'::regnamespace and t.typname in ('handle', 'job_state') order by 1"""
    )
    for name, comment, members in rows:
        yield f"### `pgqueue.{name}`\n"
        yield from _prose(comment)
        yield f"\n{members}\n"


def views(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """Yield the views that users read, with their COMMENTs and columns."""
    for name in VIEWS:
        (oid, comment), *_ = connection.execute(
            "select c.oid, obj_description(c.oid, 'pg_class') from pg_class c where c.oid = %s::regclass",
            [f"pgqueue.{name}"],
        ).fetchall()
        columns = connection.execute(
            """select attname, format_type(atttypid, atttypmod), coalesce(col_description(attrelid, attnum), '')
               from pg_attribute where attrelid = %s and attnum > 0 order by attnum""",
            [oid],
        ).fetchall()
        yield f"## `pgqueue.{name}`\n"
        yield from _prose(comment)
        has_comments = any(said for _name, _type, said in columns)
        yield "\n| Column | Type |" + (" Meaning |" if has_comments else "")
        yield "|---|---|" + ("---|" if has_comments else "")
        for column, kind, said in columns:
            yield f"| `{column}` | `{_short(kind)}` |" + (f" {said} |" if has_comments else "")
        yield ""


def python_errors() -> Iterator[str]:
    """Yield the tree of exceptions, with the SQLSTATEs that they stand for."""
    codes: dict[type, list[str]] = {}
    for sqlstate, kind in errors.BY_SQLSTATE.items():
        codes.setdefault(kind, []).append(f"`{sqlstate}`")
    yield "| Exception | SQLSTATE | Meaning |"
    yield "|---|---|---|"
    for depth, kind in _tree(errors.PgQueueError, 0):
        meaning = " ".join((inspect.getdoc(kind) or "").split())
        yield f"| {'&nbsp;' * 4 * depth}`{kind.__name__}` | {', '.join(codes.get(kind, []))} | {meaning} |"
    yield ""


def commands() -> Iterator[str]:
    """Yield each command with its help, its options and its examples, from click."""
    # As when the command runs: a command keeps the first help option that was asked of it, and -h is the group's.
    group = cli.make_context("pgqueue", [], resilient_parsing=True, terminal_width=WIDTH)
    for section, names in SECTIONS.items():
        yield f"## {section}\n"
        for name in names:
            yield from _command(name, cli.commands[name], group)


def _command(name: str, command: click.Command, group: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=group)
    # A test may have called the command by itself, and so without the group's -h.
    command._help_option = None
    yield f"### `pgqueue {name}`\n"
    yield f"```text\n{command.get_usage(context)}\n```\n"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield from _prose(" ".join(paragraph.replace("\b", "").split()))
        yield ""
    # An argument has no text of its own: the usage names it, and the paragraphs explain it.
    options = [record for one in command.get_params(context) if (record := one.get_help_record(context)) and record[1]]
    if options:
        yield "| Option | Meaning |"
        yield "|---|---|"
        for written, said in options:
            yield "| `{}` | {} |".format(written.replace("|", "\\|"), " ".join(said.split()))
        yield ""
    if examples := _EXAMPLES.get(name):
        yield "```text"
        yield from examples
        yield "```\n"
    if isinstance(command, click.Group):
        for part, one in command.commands.items():
            yield from _command(f"{name} {part}", one, group)


def _tree(kind: type, depth: int) -> Iterator[tuple[int, type]]:
    yield depth, kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child, depth + 1)


def _signature(name: str, arguments: str, returned: str) -> str:
    given = re.sub(r"::[\w. \[\]]+?(?=,|$)", "", arguments)
    parts = [_short(part.strip()) for part in re.split(r",\s*(?![^(]*\))", given) if part]
    written = f"pgqueue.{name}({', '.join(parts)}) returns {_short(returned)}"
    if len(written) <= WIDTH - 20:
        return written
    listed = ",\n  ".join(parts)
    return f"pgqueue.{name}(\n  {listed}\n) returns {_short(returned)}"


def _short(text: str) -> str:
    for full, short in _SHORT.items():
        text = re.sub(rf"\b{full}\b", short, text)
    return text.replace("NULL", "null")


def _prose(text: str | None) -> Iterator[str]:
    """Yield a COMMENT or a docstring as sentences, one a line."""
    said = (text or "").strip()
    for sentence in re.split(r"(?<=[.!?]) +(?=[A-Z`])", said if said.endswith((".", ")", ":")) else f"{said}."):
        yield from textwrap.wrap(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)


def _enumerate(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def parts(connection: psycopg.Connection[Any]) -> Mapping[str, str]:
    """Return all generated parts by their names."""
    made: dict[str, Callable[[], Iterator[str]]] = {
        "sql-functions": lambda: sql_functions(connection),
        "sql-types": lambda: sql_types(connection),
        "views": lambda: views(connection),
        "errors": python_errors,
        "commands": commands,
    }
    return {name: "\n".join(make()).rstrip() + "\n" for name, make in made.items()}


def pages(connection: psycopg.Connection[Any]) -> dict[Path, str]:
    """Return the pages that have generated parts, as they have to be."""
    made = parts(connection)
    found = {}
    for page in sorted(FOLDER.glob("*.md")):
        text = page.read_text()
        if _PART.search(text):
            found[page] = _PART.sub(lambda part: f"{part[1]}\n{made[part[2]]}\n{part[3]}", text)
    return found


def main() -> None:
    """Write the generated parts of the pages."""
    with temporary_server() as server, psycopg.connect(server.conninfo(server.create_database())) as connection:
        for page, text in pages(connection).items():
            page.write_text(text)
            sys.stdout.write(f"{page.relative_to(Path.cwd())}\n")


if __name__ == "__main__":
    main()
