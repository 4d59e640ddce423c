"""Reads a crontab whose commands are calls of psql: which SQL each line runs when, or why that cannot be said.

The module knows how cron reads its lines and which of psql's options matter. The database checks the schedules.
"""

from __future__ import annotations

import getopt
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_ASSIGNMENT = re.compile(r"""\s*(?P<name>"[^"]*"|'[^']*'|[A-Za-z_]\w*)\s*=\s*(?P<value>.*?)\s*$""")
_ENVIRONMENT = re.compile(r"[A-Za-z_]\w*=")
#: psql's options: those with a value, and those without.
_SHORT = "abqwWXAtEHlnxz0sSe1" + "".join(f"{letter}:" for letter in "cfdhpUvoLPFRT") + "V?"
_LONG = (
    *("command=", "file=", "dbname=", "host=", "port=", "username=", "set=", "variable=", "output=", "log-file="),
    *("pset=", "field-separator=", "record-separator=", "table-attr=", "single-transaction", "quiet", "no-psqlrc"),
    *("no-align", "tuples-only", "no-password", "password", "echo-all", "echo-errors", "echo-queries", "echo-hidden"),
    *("html", "expanded", "csv", "field-separator-zero", "record-separator-zero", "no-readline", "list", "version"),
    *("single-line", "single-step", "help"),
)
_SAME_AS = {
    "-c": "--command", "-f": "--file", "-d": "--dbname", "-h": "--host", "-p": "--port", "-U": "--username",
    "-v": "--variable", "--set": "--variable", "-o": "--output", "-L": "--log-file", "-1": "--single-transaction",
    "-l": "--list", "-V": "--version", "-?": "--help", "-s": "--single-step", "-W": "--password",
    "-S": "--single-line",
}  # fmt: skip
#: With these psql does something that no SQL of a job could do.
_NOT_SQL = {
    *("--list", "--version", "--help", "--single-step", "--password", "--single-line"),
}
_OPERATORS = {
    "|": "a pipe", ";": "several commands", "&": "several commands or the background", "(": "a subshell",
    ")": "a subshell", "<": "a redirected input", "`": "a command substitution",
    "$": "a variable or a substitution",
    ">": "a redirection of another kind than > file",
    "*": "a pattern", "?": "a pattern", "[": "a pattern", "{": "a pattern",
}  # fmt: skip
_REDIRECTION = re.compile(r"(?:\d?>>?|&>>?)\s*(&\d|[^\s;|&<>()$`'\"\\*?\[{]+)")
#: `psql -v` that changes how it reports, and not what it runs.
_HARMLESS_VARIABLES = ("ON_ERROR_STOP", "VERBOSITY", "QUIET", "ECHO")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Place:
    """The database that the schedules are made in."""

    database: str
    host: str
    port: str


@dataclass
class Line:
    """The job of a line of a crontab, or a remark on the line.

    `problem` says why it cannot be imported, `notes` what a schedule does in another way.
    """

    number: int
    schedule: str | None = None
    sql: str | None = None
    owner: str | None = None
    timezone: str | None = None
    problem: str | None = None
    notes: list[str] = field(default_factory=list)


class _Refused(Exception):
    """The line cannot be imported; the message says why."""


def read_crontab(text: str, place: Place, *, folder: Path, has_users: bool, timezone: str) -> Iterator[Line]:
    """Yield the jobs of a crontab, and its lines that are no jobs but matter to them.

    Args:
        folder: the one that relative names of files begin at.
        has_users: the field before the command names a user, as in /etc/crontab.
        timezone: of lines before a CRON_TZ.
    """
    environment: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        given = raw.strip(" \t\r")
        if not given or given.startswith("#"):
            continue
        if assignment := _ASSIGNMENT.fullmatch(given):
            name, value = (part[1:-1] if part[:1] in "\"'" and part[:1] == part[-1:] and len(part) > 1 else part
                           for part in (assignment["name"], assignment["value"]))  # fmt: skip
            environment[name] = value
            if note := _note_on(name, value):
                yield Line(number, notes=[note])
            continue
        line = Line(number, timezone=environment.get("CRON_TZ") or timezone)
        try:
            _read_job(line, given, place, folder, environment, has_users=has_users)
        except _Refused as refusal:
            line.problem = str(refusal)
        yield line


def _note_on(name: str, value: str) -> str | None:
    if name == "MAILTO" and value:
        return "MAILTO: no mail is sent; pgqueue.schedule_runs and pgqueue.jobs show what failed"
    if name in ("SHELL", "PATH", "HOME", "LOGNAME", "MAILFROM", "TZ", "RANDOM_DELAY"):
        return f"{name}: has no meaning for a job in the database"
    return None


def _read_job(
    line: Line, given: str, place: Place, folder: Path, environment: Mapping[str, str], *, has_users: bool
) -> None:
    if given.endswith("\\"):
        raise _Refused("cron continues no line: the backslash at its end is part of the command")
    fields = 1 if given.startswith("@") else 5
    parts = given.split(None, fields + has_users)
    line.schedule = " ".join(parts[:fields])
    if len(parts) <= fields + has_users:
        raise _Refused("the line has no command" if len(parts) <= fields else "the line has no command after the user")
    if has_users:
        line.owner = parts[fields]
    command, _, typed = _divide(parts[-1])
    words = _words(line, command)
    variables = dict(environment)
    while words and _ENVIRONMENT.match(words[0]):
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    if not words or words[0].rpartition("/")[2] != "psql":
        raise _Refused(f'the command is "{words[0]}" and not psql' if words else "the line has no command")
    _read_psql(line, words[1:], typed, place, folder, variables)


def _divide(command: str) -> tuple[str, str, str]:
    """Return the command and, after the first % that has no backslash, its standard input."""
    pieces = [piece.replace("\\%", "%") for piece in re.split(r"(?<!\\)%", command)]
    return pieces[0], "%" if len(pieces) > 1 else "", "\n".join(pieces[1:])


def _words(line: Line, command: str) -> list[str]:
    """Return the words of a command, if all the shell does is to divide it into words and to redirect its output."""
    quote, place, kept = "", 0, ""
    while place < len(command):
        char = command[place]
        if char == "\\" and quote != "'":
            escaped = command[place : place + 2]
            # shlex leaves these backslashes, which a shell removes.
            kept += escaped[1:] if quote and escaped in ("\\$", "\\`") else escaped
            place += 2
            continue
        if quote:
            if quote == '"' and char in "$`":
                raise _Refused(f"the shell would replace {_OPERATORS[char]} in the command")
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif (kept[-1:].isspace() or not kept or not char.isdigit()) and (
            redirected := _REDIRECTION.match(command, place)
        ):
            if redirected[1] not in ("/dev/null", "&1", "&2"):
                line.notes.append(f"nothing is written to {redirected[1]}: a schedule keeps no result")
            place = redirected.end()
            continue
        elif char in _OPERATORS:
            raise _Refused(f"the command needs a shell: {_OPERATORS[char]}")
        elif char == "#" and kept[-1:] in (" ", "\t"):
            break
        kept += char
        place += 1
    try:
        return shlex.split(kept)
    except ValueError as failure:
        raise _Refused(f"the command cannot be read: {failure}".lower()) from failure


def _read_psql(
    line: Line, words: list[str], typed: str, place: Place, folder: Path, environment: Mapping[str, str]
) -> None:
    try:
        options, arguments = getopt.gnu_getopt(words, _SHORT, _LONG)
    except getopt.GetoptError as failure:
        raise _Refused(f"psql is called wrongly: {failure}") from failure
    given: dict[str, list[str]] = {}
    for name, value in options:
        given.setdefault(_SAME_AS.get(name, name), []).append(value)
    if not_sql := sorted(_NOT_SQL & set(given)):
        raise _Refused(f"psql {not_sql[0]} runs no SQL that a job could run")
    for variable in given.get("--variable", []):
        if variable.partition("=")[0] not in _HARMLESS_VARIABLES:
            raise _Refused(f"psql replaces its variables (-v {variable}) itself")
    for option in ("--output", "--log-file"):
        line.notes += [f"nothing is written to {name}: a schedule keeps no result" for name in given.get(option, [])]
    _check_server(line, given, arguments, place, environment)
    line.sql = _sql_of(line, given, typed, folder)


def _check_server(
    line: Line, given: Mapping[str, list[str]], arguments: list[str], place: Place, environment: Mapping[str, str]
) -> None:
    database = (given.get("--dbname") or arguments[:1] or [environment.get("PGDATABASE", "")])[-1]
    if "=" in database or "://" in database:
        raise _Refused("psql is given a connection string: name the database with -d, the server with -h and -p")
    if "PGSERVICE" in environment:
        raise _Refused("PGSERVICE names the server in a file that is not read")
    if not database:
        line.notes.append(f"it names no database and is taken for one of {place.database}")
    elif database != place.database:
        raise _Refused(f"it is for the database {database}: import it there with --dsn")
    host = (given.get("--host") or [environment.get("PGHOST", "")])[-1]
    is_local = not host or host.startswith("/") or host in _LOCAL_HOSTS
    if not is_local and host != place.host:
        raise _Refused(f"it is for the server {host}: import it there with --dsn")
    port = (given.get("--port") or [environment.get("PGPORT", "")])[-1]
    if port and port != place.port:
        raise _Refused(f"it is for the server at port {port}: import it there with --dsn")
    line.owner = (given.get("--username") or arguments[1:2] or [environment.get("PGUSER", "")])[-1] or line.owner
    if "PGOPTIONS" in environment:
        line.notes.append("PGOPTIONS is not used: say set in the SQL, or alter role")


def _sql_of(line: Line, given: Mapping[str, list[str]], typed: str, folder: Path) -> str:
    commands, files = given.get("--command", []), given.get("--file", [])
    if len(commands) + len(files) > 1 and (files or "--single-transaction" not in given):
        raise _Refused("several -c or -f are several transactions: make a line, or a schedule, of each")
    if commands:
        sql = ";\n".join(command.rstrip("; \n") for command in commands) if len(commands) > 1 else commands[0]
    elif files and files != ["-"]:
        sql = _read_file(folder / files[0])
        line.notes.append(f"{files[0]} was read now: what changes in it later is not run")
        if "--single-transaction" not in given:
            line.notes.append("its statements are one transaction, where psql -f has one for each")
    elif typed:
        sql = typed
        if "--single-transaction" not in given:
            line.notes.append("its statements are one transaction, where psql has one for each")
    else:
        raise _Refused("psql gets no SQL: neither -c, nor -f, nor text after a %")
    if not sql.strip():
        raise _Refused("the SQL is empty")
    if meta := re.search(r"^\s*(\\\S+)", sql, re.MULTILINE) or re.search(r"(?<=\s)(\\[a-z]+)\s*;?\s*$", sql):
        raise _Refused(f"{meta[1]} is a command of psql and not SQL")
    return sql


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as failure:
        raise _Refused(f"{path} cannot be read: {failure.strerror}") from failure
    except ValueError as failure:
        raise _Refused(f"{path} is not text in UTF-8") from failure
