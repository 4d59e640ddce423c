"""Celery tasks that do nothing, on pgqueue and other brokers: published one by one, and run by one worker, results ignored and stored.

PostgreSQL and RabbitMQ are durable; Redis has its defaults and may forget what it acknowledged. Where a broker keeps no results,
Celery's own database backend does. Several pools are tried where it is not known beforehand which is the best one.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from psycopg.conninfo import conninfo_to_dict

from benchmarks.celery_noop import POOLS, run_round
from benchmarks.peers.peer import PeerFailed, reason_in
from benchmarks.peers.tables import best_pool
from benchmarks.setting import Setting
from pgqueue.config import to_url
from tests.harness.database import Database

#: A slower broker's worker is stopped, and its rate is that of what it has done.
RUN_SECONDS = 8.0
RESULTS = ("ignored", "stored")


class Place(NamedTuple):
    """Where a round finds its servers: URLs by name, and a new database of the PostgreSQL server."""

    urls: Callable[[str], str]
    db: Database

    @property
    def over_tcp(self) -> str:
        """The database's URL for those that know no socket, without its scheme."""
        server = self.db.server.embedded
        assert server.tcp_dsn is not None
        return f"postgres:{conninfo_to_dict(server.tcp_dsn)['password']}@127.0.0.1:{server.port}/{self.db.name}"

    @property
    def database_backend(self) -> str:
        """The URL of Celery's own database backend."""
        return f"db+{to_url(self.db.dsn, 'postgresql+psycopg')}"


class Urls(NamedTuple):
    """What the application is told: the broker's URL, the result backend's, and variables of noop_app."""

    broker: str
    backend: str
    variables: dict[str, str] = {}


@dataclass(frozen=True)
class Broker:
    """A broker of Celery.

    Args:
        name: for `--only` and the tables.
        configuration: what is not a default, for the tables.
        packages: whose versions are told, beside Celery's.
        urls: makes the place ready and tells what to use.
        pools: of which the best is shown.
        server: what it needs beside PostgreSQL: `rabbitmq` or `redis`.
        is_ours: its database has pgqueue.
    """

    name: str
    configuration: str
    packages: tuple[str, ...]
    urls: Callable[[Place], Urls]
    pools: tuple[str, ...] = ("prefork",)
    server: str | None = None
    is_ours: bool = False

    def versions(self) -> dict[str, str]:
        """Return the versions of its packages.

        Raises:
            PeerFailed: one of them is not installed.
        """
        try:
            found = {package: version(package) for package in self.packages}
        except PackageNotFoundError as missing:
            raise PeerFailed(f"the package {missing.name} is not installed") from missing
        if "pgmq" in found:
            from pgmq import get_embedded_sql_version

            found["pgmq's SQL"] = get_embedded_sql_version()
        return found


def _ours(place: Place) -> Urls:
    return Urls(place.db.url, place.db.url)


def _rabbitmq(place: Place) -> Urls:
    return Urls(place.urls("rabbitmq"), "rpc://")


def _redis(place: Place) -> Urls:
    url = place.urls("redis")
    return Urls(f"{url}/0", f"{url}/1")


def _sqlalchemy(place: Place) -> Urls:
    return Urls(f"sqla+{to_url(place.db.dsn, 'postgresql+psycopg')}", place.database_backend)


def _pgmq(place: Place) -> Urls:
    _install_pgmq(place)
    options = {"init_extension": False, "use_notify": True, "wait_time_seconds": 0}
    return Urls(f"pgmq://{place.over_tcp}", place.database_backend, {"BENCH_OPTIONS": json.dumps(options)})


def _kombu_pgmq(place: Place) -> Urls:
    _install_pgmq(place)
    options = {"check_extension": False, "pool": False, "visibility_timeout": 600}
    variables = {
        "BENCH_OPTIONS": json.dumps(options),
        "BENCH_TRANSPORT": "kombu_pgmq.transport:TransportPsycopg",
    }
    return Urls(f"postgresql://{place.over_tcp}", place.database_backend, variables)


def _install_pgmq(place: Place) -> None:
    """Install the SQL that the package of pgmq's client brings with it."""
    try:
        from pgmq import install_pgmq_from_sql
    except ImportError as problem:
        raise PeerFailed(str(problem)) from problem
    install_pgmq_from_sql(dsn=place.db.dsn)


BROKERS = (
    Broker("pgqueue", "", ("celery-pgqueue",), _ours, ("threads", "solo"), is_ours=True),
    Broker("RabbitMQ", "durable, results by `rpc://`", ("amqp",), _rabbitmq, ("solo", "threads"), "rabbitmq"),
    Broker("Redis", "the server's defaults", ("redis",), _redis, ("prefork", "solo"), "redis"),
    Broker("SQLAlchemy", "results in `db+postgresql`", ("sqlalchemy",), _sqlalchemy),
    Broker(
        "kombu's pgmq://",
        "pgmq from its SQL, `use_notify`, no long polls, results in `db+postgresql`",
        ("pgmq",),
        _pgmq,
    ),
    Broker(
        "kombu-pgmq",
        "pgmq from its SQL, `TransportPsycopg`, `pool` off, results in `db+postgresql`",
        ("kombu-pgmq", "pgmq"),
        _kombu_pgmq,
    ),
)


def measure(
    setting: Setting,
    broker: Broker,
    tasks: int,
    folder: Path,
    urls: Callable[[str], str],
    before: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return what one repetition gave, for each kind of results and pool: rates, and microseconds of CPU for a task.

    Args:
        before: what earlier repetitions gave. The first one tries all pools, and later ones the pool that was the fastest there.

    Raises:
        PeerFailed: it is not installed, or does not run tasks.
    """
    found: dict[str, Any] = {"notes": [], "warnings": []}
    for results in RESULTS:
        for pool in [best_pool(before, results)[0]] if before else broker.pools:
            db = Database(setting.server, installed=broker.is_ours)
            try:
                used = broker.urls(Place(urls, db))
                ran = run_round(
                    folder,
                    used.broker,
                    used.backend if results == "stored" else "",
                    POOLS[pool],
                    tasks,
                    variables=used.variables,
                    seconds=RUN_SECONDS,
                )
            except SystemExit as problem:
                if isinstance(problem.code, int):
                    raise  # this process was told to end
                raise PeerFailed(reason_in(str(problem))) from problem
            except subprocess.CalledProcessError as problem:
                raise PeerFailed(reason_in(problem.stderr)) from problem
            finally:
                db.close()
            found.setdefault(results, {})[pool] = {"run": ran.ran, "run_us": ran.worker + ran.server}
            if ran.done < tasks:
                found["notes"].append(f"{ran.done:,} of {tasks:,} tasks, results {results}, in {RUN_SECONDS:g} s")
            if results == "ignored":
                told = {"rate": ran.published, "us": ran.publisher + ran.publishing_server}
                found.setdefault("publish", []).append(told)
    return found
