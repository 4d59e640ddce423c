"""The URLs of other brokers: where they come from, and how they are named without their passwords."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from kombu.transport import TRANSPORT_ALIASES
from kombu.utils.url import parse_url, sanitize_url

from ...errors import InvalidArgument

_MASK = "**"


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, as kombu reads it."""
    return url.partition("://")[0].partition("+")[0].lower()


def describe(url: str) -> str:
    """Return a URL, or several with `;` between them, without passwords and options."""
    return ";".join(sanitize_url(each, _MASK).partition("?")[0] for each in url.split(";"))


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
        InvalidArgument: what is given is no URL of a broker.
        OSError: the file cannot be read.
    """
    if url is not None:
        return check_url(url, option)
    return None if path is None else read_url(path)


def read_url(path: str) -> str:
    """Return the URL that a file has in its first line.

    Raises:
        InvalidArgument: it has none.
        OSError: it cannot be read.
    """
    lines = Path(path).read_text(encoding="utf-8").split("\n")
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
    if scheme_of(url) in ("pgqueue", "postgresql", "postgres"):
        raise InvalidArgument(
            f"{source} leads to PostgreSQL",
            hint="A relay joins pgqueue with another broker. The database is given by --dsn.",
        )
    if scheme_of(url) not in TRANSPORT_ALIASES:
        raise InvalidArgument(
            f"{source} is of a broker that kombu does not know: {scheme_of(url)}",
            hint=f"kombu knows {', '.join(sorted(TRANSPORT_ALIASES))}.",
        )
    return url


class TargetUrls:
    """The URLs of named targets: of a file, or else of the environment.

    Args:
        path: a file with lines `name = url`.
    """

    def __init__(self, path: str | None) -> None:
        self._of_file = {} if path is None else _read_lines(path)

    def find(self, target: str) -> str | None:
        """Return the URL of a target, or None.

        Raises:
            InvalidArgument: what is given is no URL.
        """
        if (url := self._of_file.get(target)) is not None:
            return check_url(url, f"the target {target}")
        variable = variable_of(target)
        return check_url(os.environ[variable], variable) if os.environ.get(variable) else None


def variable_of(target: str) -> str:
    """Return the environment variable that has the URL of a target."""
    return f"PGQUEUE_RELAY_{target.upper()}_URL"


def _read_lines(path: str) -> dict[str, str]:
    found = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, separator, url = line.partition("=")
        if not separator:
            raise InvalidArgument(f"line {number} of {path} has no =", hint="Each line is: name = url")
        found[name.strip()] = url.strip()
    return found


def _passwords(url: str) -> list[str]:
    found = []
    for each in url.split(";"):
        password = parse_url(each).get("password")
        if password:
            written = each.partition("://")[2].rpartition("@")[0].partition(":")[2]
            found += [secret for secret in (password, unquote(password), written) if secret]
    return found
