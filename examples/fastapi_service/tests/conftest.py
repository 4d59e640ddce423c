"""The service in a process of uvicorn on the loopback address, and a look into the database."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

ROOT = Path(__file__).parents[3]
_ADDRESS = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")


@contextmanager
def serving() -> Iterator[httpx.Client]:
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "examples.fastapi_service.service:app", "--port=0", "--no-use-colors"],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                log.seek(0)
                if found := _ADDRESS.search(text := log.read()):
                    break
                assert process.poll() is None, text
                assert time.monotonic() < deadline, text
                time.sleep(0.05)
            with httpx.Client(base_url=found[1], timeout=30) as client:
                yield client
            process.terminate()
            process.wait(30)
            log.seek(0)
            assert "Traceback" not in (text := log.read()), text
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def serve() -> Callable[[], AbstractContextManager[httpx.Client]]:
    return serving


@pytest.fixture(scope="module")
def service() -> Iterator[httpx.Client]:
    with serving() as client:
        yield client


@pytest.fixture
def database() -> Iterator[psycopg.Connection]:
    with psycopg.connect(os.environ["PGQUEUE_DSN"], autocommit=True) as connection:
        yield connection
