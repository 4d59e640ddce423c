"""The peers and the brokers, each in the best configuration that its documentation names, and what installs them."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.peers.peer import HERE, ROOT, Peer

BUILD = ROOT / "build" / "peers"
NODE_MODULES = BUILD / "node_modules"
#: Oban needs a newer Python than pgqueue; it is installed here where ours is older.
OBAN_VENV = BUILD / "oban"
OBAN_PYTHON = (3, 12)


def oban_python() -> Path:
    """Return the interpreter that has Oban, if anything has."""
    return Path(sys.executable) if sys.version_info >= OBAN_PYTHON else OBAN_VENV / "bin" / "python"


def _python(module: str, python: str = sys.executable) -> tuple[str, ...]:
    return (python, "-m", f"benchmarks.peers.{module}_peer")


def _node(name: str) -> tuple[str, ...]:
    return (str(NODE_MODULES / ".bin" / "node"), str(HERE / f"{name}.cjs"))


def row_trigger(function: str) -> str:
    """Return the statement that makes a function fire for each row."""
    return f"create trigger fire after insert on item for each row execute function {function}"


def _trigger_of(statement: str) -> str:
    """Return the same with a function that runs a statement."""
    body = f"begin {statement}; return null; end"
    return f"create function fire() returns trigger language plpgsql as $$ {body} $$; {row_trigger('fire()')}"


_ON_NODE = {"NODE_PATH": str(NODE_MODULES)}

PEERS = (
    Peer(
        "pgqueue",
        "8 executors, a transaction for each job",
        _python("pgqueue"),
        row_trigger("pgqueue.enqueue_trigger('sql', 'insert into audit values ($1::int, $2)', 'id, name')"),
        "select count(*) from pgqueue.message",
        is_ours=True,
    ),
    Peer(
        "pgqueue, group_commit",
        "8 executors, up to 100 jobs in a transaction",
        _python("pgqueue"),
        None,
        "select count(*) from pgqueue.message",
        "select pgqueue.configure('group_commit', '100', queue => 'default')",
        is_ours=True,
    ),
    Peer(
        "graphile-worker",
        "10 jobs at a time, local queue of 500, batched completions",
        _node("graphile-worker"),
        _trigger_of("perform graphile_worker.add_job('insert', '{\"n\": 1}'::json)"),
        "select count(*) from graphile_worker._private_jobs",
        environment=_ON_NODE,
    ),
    Peer(
        "pg-boss",
        "batches of 2,000, `burstWhenBatchFull`",
        _node("pg-boss"),
        _trigger_of("insert into pgboss.job (name, data) values ('insert', '{\"n\": 1}'::jsonb)"),
        "select count(*) from pgboss.job where state < 'completed'",
        environment=_ON_NODE,
    ),
    Peer(
        "pgqueuer",
        "batches of 1,000, asyncpg, uvloop",
        _python("pgqueuer"),
        _trigger_of(
            "insert into pgqueuer (priority, entrypoint, payload, status, execute_after) values (0, 'insert', '1', 'queued', now())"
        ),
        "select count(*) from pgqueuer",
    ),
    Peer(
        "awa",
        "100 workers, handlers in Python, COPY",
        _python("awa"),
        _trigger_of(
            "perform awa.insert_job_compat('insert', 'bench', '{\"n\": 1}'::jsonb, 'available', 2::smallint, 25::smallint, now(), "
            "'{}'::jsonb, '{}'::text[], null, null::bit(8), null::bytea)"
        ),
    ),
    Peer(
        "Oban for Python",
        "a limit of 100 jobs at a time, uvloop",
        _python("oban", str(oban_python())),
        _trigger_of("insert into oban_jobs (worker, queue, args) values ('__main__.insert', 'bench', '{\"n\": 1}')"),
        "select count(*) from oban_jobs where state in ('available', 'executing')",
    ),
    Peer(
        "procrastinate",
        "20 tasks at a time",
        _python("procrastinate"),
        _trigger_of(
            "perform procrastinate_defer_jobs_v1(array[row('bench', 'insert', 0, null, null, '{\"n\": 1}'::jsonb, null)"
            "::procrastinate_job_to_defer_v1])"
        ),
        "select count(*) from procrastinate_jobs where status in ('todo', 'doing')",
    ),
    *(
        Peer(
            f"Celery, {title}",
            "prefork, 2 processes, results ignored",
            _python("celery"),
            server=server,
            share=share,
        )
        for title, server, share in (("RabbitMQ", "rabbitmq", 0.5), ("Redis", "redis", 0.3), ("SQLAlchemy", None, 0.1))
    ),
)
