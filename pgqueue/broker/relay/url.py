"""The URLs of other brokers: where they come from, and how they are named without their passwords."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from kombu.transport import TRANSPORT_ALIASES

from ...config import URL_SCHEME
from ...errors import InvalidArgument

_MASK = "**"
#: A target's name, as `pgqueue.relay_to` takes it, and the environment variable of its URL.
_TARGET = re.compile(r"[a-z][a-z0-9_]{0,30}")
_VARIABLE = re.compile(r"PGQUEUE_RELAY_([A-Z][A-Z0-9_]{0,30})_URL")
_FILE_HINT = "The user who runs the relay must be able to read it; its first line is the URL of the broker."
_TARGETS_HINT = (
    "The user who runs the relay must be able to read it; each line is NAME = URL, as rabbit = amqp://host:5672/vhost"
)


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, as kombu reads it."""
    return url.partition("://")[0].partition("+")[0].lower()


def describe(url: str) -> str:
    """Return a URL, or several with `;` between them, without passwords and options."""
    return ";".join(map(_describe, url.split(";")))


def _describe(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    # A character that is not encoded counts as part of the login: it is hidden rather than shown.
    login, at, place = rest.rpartition("@")
    user, _, password = login.partition(":")
    return f"{scheme}{separator}{user}{f':{_MASK}' if password else ''}{at}{place.partition('?')[0]}"


def locate(url: str) -> str:
    """Return where a URL leads, or several with `;` between them: without logins, passwords and options."""
    return ";".join(map(_locate, url.split(";")))


def _locate(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    place, _, options = rest.partition("?")
    if "@" in options:
        # A password with a question mark that is not encoded: the login does not end where it should.
        place = "..."
    return f"{scheme}{separator}{place.rpartition('@')[2]}"


def has_password(url: str) -> bool:
    """Return whether a URL has a password."""
    return any(_passwords(url))


def scrub(text: str, url: str) -> str:
    """Take the passwords of a URL out of a text, such as the message of a driver."""
    for secret in _passwords(url):
        text = text.replace(secret, _MASK)
    return text


def find_url(url: str | None, path: str | None, option: str) -> str | None:
    """Return the URL that an option gives, by itself or in the first line of a file; None: it is not given.

    Raises:
        InvalidArgument: what is given is no URL of a broker, or the file cannot be read.
    """
    if url is not None:
        return check_url(url, option)
    return None if path is None else read_url(path, f"{option}-file")


def read_url(path: str, option: str) -> str:
    """Return the URL that a file has in its first line.

    Raises:
        InvalidArgument: it has none, or cannot be read.
    """
    lines = _read(path, option, _FILE_HINT).split("\n")
    return check_url(lines[0].strip(), f"the first line of {path}")


def check_url(url: str, source: str) -> str:
    """Return a URL to which a relay can send.

    Raises:
        InvalidArgument: it is none.
    """
    if "://" not in url:
        raise InvalidArgument(
            f"{source} is no URL of a broker", hint="For example amqp://user:password@host:5672/vhost"
        )
    if scheme_of(url) in (URL_SCHEME, "postgresql", "postgres"):
        raise InvalidArgument(
            f"{source} leads to PostgreSQL",
            hint="A relay joins pgqueue with another broker. The database is given by --dsn.",
        )
    if scheme_of(url) not in TRANSPORT_ALIASES:
        raise InvalidArgument(
            f"{source} is of a broker that kombu does not know: {scheme_of(url)}",
            hint=f"kombu knows {', '.join(sorted(TRANSPORT_ALIASES.keys() - {URL_SCHEME}))}.",
        )
    return url


class TargetUrls:
    """The URLs of named targets: of a file, or else of the environment.

    Args:
        path: a file with lines `name = url`.

    Raises:
        InvalidArgument: the file cannot be read, or something there or in the environment is no URL of a broker.
    """

    def __init__(self, path: str | None) -> None:
        given = {
            found[1].lower(): check_url(url, variable)
            for variable, url in os.environ.items()
            if url and (found := _VARIABLE.fullmatch(variable))
        }
        self._urls = given if path is None else given | _read_lines(path)

    @property
    def names(self) -> list[str]:
        """The targets whose URLs are known."""
        return sorted(self._urls)

    def find(self, target: str) -> str | None:
        """Return the URL of a target, or None."""
        return self._urls.get(target)


def _read_lines(path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(_read(path, "--targets", _TARGETS_HINT).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = f"line {number} of {path}"
        name, separator, url = (part.strip() for part in line.partition("="))
        if not separator:
            raise InvalidArgument(f"{place} has no =", hint=_TARGETS_HINT)
        if not _TARGET.fullmatch(name):
            raise InvalidArgument(
                f"{place} does not begin with the name of a target",
                hint="A name has 1 to 31 lower-case letters, digits and _, and begins with a letter.",
            )
        if name in found:
            raise InvalidArgument(f"{place} repeats the target {name}", hint="Keep one of the two lines.")
        found[name] = check_url(url, place)
    return found


def _read(path: str, option: str, hint: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as failure:
        raise InvalidArgument(f"{option}: cannot read {path}: {failure.strerror or failure}", hint=hint) from failure
    except UnicodeDecodeError as failure:
        raise InvalidArgument(f"{option}: {path} is no text in UTF-8", hint=hint) from failure


def _passwords(url: str) -> list[str]:
    found = []
    for each in url.split(";"):
        written = each.partition("://")[2].rpartition("@")[0].partition(":")[2]
        found += [secret for secret in (written, unquote(written)) if secret]
    return found
