"""The libraries, and the ways in which their workers are run."""

from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Library:
    """A queue.

    Args:
        title: as the page names it.
        distribution: the name on the package index, whose version is shown.
        folder: the service and its `requirements.txt`.
        install: commands for one empty database; `{dsn}` is the shop's, `{admin}` the superuser's.
        unfinished: an SQL query that counts the jobs that have not ended.
        forget: an SQL command that takes away jobs that would stay unfinished forever.
        grants: SQL for the superuser, after the installation.
        may_be_copied: the other databases are copies of the first one, which is faster.
    """

    title: str
    distribution: str
    folder: str
    install: tuple[tuple[str, ...], ...]
    unfinished: str
    forget: str = ""
    grants: str = ""
    may_be_copied: bool = True


@dataclass(frozen=True)
class Variant:
    """A way to run the workers of a library.

    Args:
        what: how it differs, as the page says it.
        worker: the command; `{dsn}` is the shop's database.
        folder: the service, where it is another one than the library's.
        prepare: a command that each database needs before its worker starts.
        is_base: everything is measured, and not only the crashes of workers.
        patience: seconds until a job counts as not run again.
    """

    library: Library
    what: str
    worker: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    prepare: tuple[str, ...] = ()
    is_base: bool = False
    patience: float = 180

    @property
    def place(self) -> Path:
        """The folder of the service."""
        return HERE / (self.folder or self.library.folder)

    @property
    def name(self) -> str:
        """The title of the library and what differs."""
        return f"{self.library.title}, {self.what}"


PROCRASTINATE = Library(
    title="procrastinate",
    distribution="procrastinate",
    folder="with_procrastinate",
    install=(("procrastinate", "--app=service.app", "schema", "--apply"),),
    unfinished="select count(*) from procrastinate_jobs where status in ('todo', 'doing')",
    forget="update procrastinate_jobs set status = 'failed' where status = 'doing'",
)
PGQUEUER = Library(
    title="PgQueuer",
    distribution="pgqueuer",
    folder="with_pgqueuer",
    install=(("pgq", "install"), ("pgq", "autovac")),
    unfinished="select count(*) from pgqueuer where status in ('queued', 'picked')",
)
OBAN = Library(
    title="Oban for Python",
    distribution="oban",
    folder="with_oban",
    install=(("oban", "install", "--dsn", "{dsn}"),),
    unfinished=("select count(*) from oban_jobs where state in ('available', 'scheduled', 'executing', 'retryable')"),
    forget="update oban_jobs set state = 'cancelled' where state = 'executing'",
)
PGQUEUE = Library(
    title="pgqueue",
    distribution="celery-pgqueue",
    folder="with_pgqueue",
    install=(("pgqueue", "install", "--dsn", "{admin}"),),
    unfinished="select sum(ready + delayed + claimed) from pgqueue.queues where queue in ('default', 'celery')",
    grants=("select pgqueue.enroll('shop'), pgqueue.enroll('shop_worker'); grant pgqueue_worker to shop_worker"),
    may_be_copied=False,
)

_PROCRASTINATE = ("procrastinate", "--app=service.app", "worker", "--concurrency=10")
_PGQUEUER = ("pgq", "run", "service:main")
_OBAN = ("oban", "start", "--dsn", "{dsn}", "--queues", "default:10", "--cron-modules", "service")
_CELERY = ("pgqueue", "worker", "-A", "service", "--schedules", "--concurrency=4", "--executors=1")

VARIANTS = (
    Variant(PROCRASTINATE, "as installed", _PROCRASTINATE, is_base=True, patience=120),
    Variant(
        PROCRASTINATE,
        "with the documented task that retries stalled jobs, each minute",
        _PROCRASTINATE,
        {"RETRY_STALLED": "* * * * *"},
    ),
    Variant(PGQUEUER, "as installed", _PGQUEUER, is_base=True),
    Variant(
        PGQUEUER,
        "heartbeat timeout 5 s, restart on failure",
        (*_PGQUEUER, "--heartbeat-timeout=5", "--shutdown-on-listener-failure", "--restart-on-failure"),
    ),
    # It runs jobs again that began 300 s ago, and looks each 60 s.
    Variant(OBAN, "as installed", _OBAN, is_base=True, patience=400),
    Variant(OBAN, "lifeline each 5 s, rescue after 10 s", (*_OBAN, "--config", "quick.toml")),
    Variant(
        PGQUEUE,
        "SQL jobs",
        ("pgqueue", "worker", "--no-tasks", "--executors=4"),
        prepare=("python", "-c", "import service; service.install()"),
        is_base=True,
    ),
    Variant(PGQUEUE, "Celery tasks", _CELERY, folder="with_pgqueue_celery", is_base=True),
    Variant(PGQUEUE, "Celery tasks with task_acks_late", _CELERY, {"ACKS_LATE": "1"}, folder="with_pgqueue_celery"),
)
