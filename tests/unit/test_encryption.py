"""The ring of keys, from the environment or a file."""

from __future__ import annotations

import base64
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
from celery import Celery
from cryptography.fernet import Fernet

from pgqueue import encryption
from pgqueue.encryption import FILE_VARIABLE, KEYS_VARIABLE, decrypt, encrypt
from pgqueue.errors import EncryptionError
from pgqueue.testing.values import read_task

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    encryption._make_ring.cache_clear()


def test_values_come_back_with_the_types_of_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    value = {"at": datetime(2026, 1, 2, tzinfo=timezone.utc), "text": "a long secret, grün", "none": None}

    token = encrypt(value)

    assert b"long secret" not in base64.urlsafe_b64decode(token)
    assert decrypt(token) == decrypt(token.encode()) == decrypt(memoryview(token.encode())) == value


@pytest.mark.parametrize("between", [",", ", ", " ", "\n"], ids=repr)
def test_the_first_key_encrypts_and_all_decrypt(monkeypatch: pytest.MonkeyPatch, between: str) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, OLD)
    old = encrypt("old")
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW}{between}{OLD}")
    new = encrypt("new")

    assert (decrypt(old), decrypt(new)) == ("old", "new")
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    assert decrypt(new) == "new"
    with pytest.raises(EncryptionError, match="none of the encryption keys"):
        decrypt(old)


def test_a_file_is_read_again_when_it_has_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    monkeypatch.setenv(FILE_VARIABLE, str(path))
    path.write_text(f"# since January\n{OLD} # the only one\n")
    old = encrypt("old")
    path.write_text(f"{NEW}\n{OLD}\n")

    assert decrypt(old) == "old"
    assert Fernet(NEW).decrypt(encrypt("new").encode()) == b'"new"'


def test_two_places_for_keys_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "keys"))

    with pytest.raises(EncryptionError, match=f"both {KEYS_VARIABLE} and {FILE_VARIABLE}"):
        encrypt("x")


def test_a_malformed_key_is_named_by_its_number_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, f"{NEW},{OLD[:-2]}")

    with pytest.raises(EncryptionError, match="key number 2 is malformed") as refused:
        encrypt("x")

    shown = (str(refused.value), refused.value.hint or "", repr(refused.value.__cause__))
    assert not any(OLD[:-2] in text for text in shown)


def test_a_damaged_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    token = encrypt("x")

    for damaged in ("", "no token", token[:-8], token[:40] + ("A" if token[40] != "A" else "B") + token[41:]):
        with pytest.raises(EncryptionError):
            decrypt(damaged)


def test_a_process_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    for name in [each for each in sys.modules if each.split(".")[0] == "cryptography"] + ["cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(EncryptionError, match="needs the package cryptography") as refused:
        encrypt("x")

    assert "celery-pgqueue[encryption]" in (refused.value.hint or "")


def test_the_test_kit_reads_the_arguments_of_encrypted_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    body = encrypt([["secret"], {"more": 1}, {}])
    message = {"headers": {"task": "charge", "id": "7"}, "content-type": encryption.CONTENT_TYPE, "body": body}

    assert read_task(message) == ("charge", ("secret",), {"more": 1}, "7")
    monkeypatch.setenv(KEYS_VARIABLE, OLD)
    assert read_task(message) == ("charge", (), {}, "7")


def test_remote_control_is_not_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_VARIABLE, NEW)
    app = Celery(broker="pgqueue://", set_as_current=False)
    app.conf.update(task_serializer=encryption.SERIALIZER, accept_content=[encryption.SERIALIZER])

    mailbox = app.control.mailbox

    assert mailbox.serializer == "json"
    assert "json" in mailbox.accept
