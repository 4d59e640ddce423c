"""Encrypt what waits in a queue or as a result: a serializer whose text only processes with the keys can read.

The keys are those of `cryptography`'s Fernet. The first one encrypts and all of them decrypt, so keys can be replaced
while messages wait. A file of keys is read for each message: a change of it needs no restart.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import EncryptionError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

#: The serializer's name for Celery and kombu, and the content type of its messages.
SERIALIZER = "pgqueue-encrypted+json"
CONTENT_TYPE = "application/x-pgqueue-encrypted+json"
KEYS_VARIABLE = "PGQUEUE_ENCRYPTION_KEYS"
FILE_VARIABLE = "PGQUEUE_ENCRYPTION_KEYS_FILE"
#: Headers, events and results show this in the place of arguments and return values.
HIDDEN = "<encrypted>"
#: The header of a task whose arguments are encrypted.
HEADER = "pgqueue_encrypted"

_MAKE_KEY = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
_COMMENT = re.compile(r"#.*")


def encrypt(value: object) -> str:
    """Write a value as JSON in the format of Celery, and encrypt it with the first key.

    Raises:
        EncryptionError: there are no keys, or a key is malformed.
    """
    from kombu.utils.json import dumps

    return _read_ring().encrypt(dumps(value).encode()).decode("ascii")  # type: ignore[no-untyped-call]


def decrypt(token: str | bytes | memoryview) -> Any:
    """Return a value that `encrypt` has written with one of the keys.

    Raises:
        EncryptionError: none of the keys decrypts it, there are no keys, or a key is malformed.
    """
    from kombu.utils.json import loads

    ring = _read_ring()
    from cryptography.fernet import InvalidToken

    try:
        text = ring.decrypt(token if isinstance(token, (str, bytes)) else bytes(token))
    except InvalidToken as failure:
        raise EncryptionError(
            "none of the encryption keys of this process decrypts it",
            hint=f"Add the key with which it was encrypted to {KEYS_VARIABLE} or to the file of {FILE_VARIABLE}, "
            "unless the text was damaged.",
        ) from failure
    return loads(text)  # type: ignore[no-untyped-call]


def _read_ring() -> MultiFernet:
    path, keys = os.environ.get(FILE_VARIABLE), os.environ.get(KEYS_VARIABLE)
    if path and keys:
        raise EncryptionError(
            f"both {KEYS_VARIABLE} and {FILE_VARIABLE} are set", hint="Set one of them: the other would be ignored."
        )
    if not path:
        return _make_ring(keys or "")
    try:
        return _make_ring(Path(path).read_text())
    except (OSError, UnicodeDecodeError) as failure:
        raise EncryptionError(
            f"the file of {FILE_VARIABLE} cannot be read: {failure}",
            hint="It has one key a line, and this process must be allowed to read it.",
        ) from failure


@functools.lru_cache(maxsize=4)
def _make_ring(text: str) -> MultiFernet:
    try:
        from cryptography.fernet import Fernet, MultiFernet
    except ModuleNotFoundError as missing:
        raise EncryptionError(
            "encryption needs the package cryptography", hint="Run: pip install 'celery-pgqueue[encryption]'"
        ) from missing
    ring = [
        _make_key(Fernet, key, place) for place, key in enumerate(_COMMENT.sub("", text).replace(",", " ").split(), 1)
    ]
    if not ring:
        raise EncryptionError(
            f"there are no encryption keys in {KEYS_VARIABLE} or the file of {FILE_VARIABLE}",
            hint=f"A new key: {_MAKE_KEY}",
        )
    return MultiFernet(ring)


def _make_key(make: type[Fernet], text: str, place: int) -> Fernet:
    try:
        return make(text)
    except ValueError:
        # The text of a malformed key must not reach a log: it may be a key with a typing error.
        raise EncryptionError(f"encryption key number {place} is malformed", hint=f"Run: {_MAKE_KEY}") from None
