"""The text of `pgqueue --help`: the commands by purpose, and examples for each."""

from __future__ import annotations

import click

SECTIONS: dict[str, tuple[str, ...]] = {
    "Try it": ("demo", "up"),
    "Run statements": ("launch", "wait", "result", "update", "cancel", "retry", "discard"),
    "Run by the clock": ("schedule",),
    "See what runs, waits and failed": (
        *("list", "show", "log", "slow", "stats", "queues", "workers", "peek"),
        *("flower", "doctor", "exporter"),
    ),
    "Run workers": ("worker", "scale", "fleet"),
    "Steer queues": ("pause", "resume", "redrive", "purge", "drain", "set-durability", "config", "limit"),
    "Join with another broker": ("relay",),
    "Install in a database, and say who may use it": (
        *("install", "upgrade", "status", "uninstall", "enroll", "unenroll"),
        *("install-compat", "uninstall-compat"),
    ),
}
_EXAMPLES = {
    "demo": ["pgqueue demo"],
    "up": ["pgqueue up", "pgqueue up -A shop", "pgqueue up --dsn postgresql://postgres@localhost/shop --no-flower"],
    "launch": [
        "pgqueue launch 'vacuum analyze orders'",
        "pgqueue launch 'select count(*) from orders where placed > $1' -p 2026-01-01 --wait",
        "pgqueue launch - --label nightly --delay 2h < report.sql",
    ],
    "wait": ["pgqueue wait 9", "pgqueue wait 9 --timeout 5m && pgqueue result 9"],
    "result": ["pgqueue result 9", "pgqueue result 9 --json"],
    "update": ["pgqueue update 9 --eta 2030-01-31T18:00", "pgqueue update 9 --queue reports --priority 9"],
    "cancel": [
        "pgqueue cancel 9",
        "pgqueue cancel 9 10 11 --grace 30s",
        "pgqueue cancel --queue reports --state queued --dry-run",
    ],
    "retry": [
        "pgqueue retry 9",
        "pgqueue retry --queue mail --error 'connection refused' --since 2h",
        "pgqueue retry --sqlstate 40P01 --label 'nightly%' --dry-run",
    ],
    "discard": ["pgqueue discard 9", "pgqueue discard --queue mail --until 2026-01-31T00:00"],
    "purge": ["pgqueue purge mail"],
    "drain": ["pgqueue drain mail", "pgqueue drain mail --timeout 5m"],
    "list": [
        "pgqueue list --state failed",
        "pgqueue list --label 'nightly%' --columns id,state,ended,error",
        "pgqueue list --json",
    ],
    "show": ["pgqueue show 9", "pgqueue show 9 --full"],
    "log": ["pgqueue log 9", "pgqueue log 9 --follow", "pgqueue log 9 --json"],
    "schedule": [
        "pgqueue schedule add nightly '0 2 * * *' 'refresh materialized view sales' --timezone Europe/Berlin",
        "pgqueue schedule add digest '*/15 8-18 * * 1-5' --task shop.send_digest --args '[\"eu\"]'",
        "pgqueue schedule list && pgqueue schedule next nightly 5",
        "pgqueue schedule import -A shop --dry-run",
        "pgqueue schedule import-pg-cron --from postgresql://postgres@localhost/postgres --dry-run",
        "pgqueue schedule import-crontab /etc/cron.d/reports --system --timezone Europe/Berlin",
    ],
    "stats": ["pgqueue stats", "pgqueue stats --json"],
    "queues": ["pgqueue queues", "pgqueue queues --all"],
    "slow": ["pgqueue slow", "pgqueue slow --queue reports --since 2h"],
    "workers": ["pgqueue workers"],
    "peek": ["pgqueue peek default", "pgqueue peek celery.dead --limit 100"],
    "flower": ["pgqueue flower", "pgqueue flower -A shop --port 5556"],
    "exporter": ["pgqueue exporter", "pgqueue exporter --listen 0.0.0.0:9187 --dsn postgresql://scraper@db/shop"],
    "doctor": ["pgqueue doctor", "pgqueue doctor --strict --json"],
    "relay": [
        "pgqueue relay --queue mail --queue 'report.*' --to-file /etc/pgqueue/rabbit.url",
        "pgqueue relay --targets /etc/pgqueue/targets",
        "pgqueue relay --from-file /etc/pgqueue/rabbit.url --queue in",
    ],
    "worker": [
        "pgqueue worker",
        "pgqueue worker -A shop --queues default,celery,mail --concurrency 4 --executors 8",
        "pgqueue worker -A shop --schedules",
        "pgqueue worker --autoscale 10,2",
        "pgqueue worker --http 0.0.0.0:8080",
        "pgqueue worker --no-tasks --executors 8",
    ],
    "fleet": [
        "pgqueue fleet",
        "pgqueue fleet --host db2 -A shop --max-processes 8",
        "pgqueue fleet set reports --processes 3 --queue reports --executors 4 --restart-after 5s",
        "pgqueue fleet status --json",
    ],
    "scale": [
        "pgqueue scale worker-1@host --executors 8",
        "pgqueue scale --queue reports --executors 2",
        "pgqueue scale --queue reports --reset",
    ],
    "pause": ["pgqueue pause default"],
    "resume": ["pgqueue resume default"],
    "redrive": ["pgqueue redrive celery.dead"],
    "set-durability": ["pgqueue set-durability metrics async"],
    "limit": ["pgqueue limit set mail --max-running 20 --per-key 2", "pgqueue limit list"],
    "config": [
        "pgqueue config set naptime '1 s'",
        "pgqueue config set timeout '10 min' --queue reports",
        "pgqueue config list",
    ],
    "install": ["pgqueue install --dsn postgresql://postgres@localhost/shop"],
    "upgrade": ["pgqueue upgrade"],
    "status": ["pgqueue status"],
    "uninstall": ["pgqueue uninstall", "pgqueue uninstall --yes --cascade"],
    "enroll": ["pgqueue enroll app"],
    "unenroll": ["pgqueue unenroll app"],
    "install-compat": ["pgqueue install-compat --version 1.8 --schema tools", "pgqueue install-compat --for pg_cron"],
    "uninstall-compat": ["pgqueue uninstall-compat --schema tools", "pgqueue uninstall-compat --for pg_cron"],
}
#: Longer than any line: the formatter breaks lines, and click would cut them.
_WHOLE_SENTENCE = 500
_EPILOG = """\b
Exit codes: 0 done; 1 failed, with one line and a hint; 2 used wrongly;
130 interrupted.

\b
Completion of commands and options by the shell, in ~/.bashrc (or with
zsh_source in ~/.zshrc; for fish, fish_source piped to source):
  eval "$(_PGQUEUE_COMPLETE=bash_source pgqueue)"
"""


class Commands(click.Group):
    """A group of commands, listed by purpose."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each purpose."""
        width = max(len(name) for name in self.commands)
        for purpose, names in SECTIONS.items():
            with formatter.section(purpose):
                rows = [(f"{name:{width}}", self.commands[name].get_short_help_str(_WHOLE_SENTENCE)) for name in names]
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Describe the exit codes and the completion of the shell."""
        self.epilog = _EPILOG
        super().format_epilog(ctx, formatter)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command with its examples."""
        examples = _EXAMPLES[name or cmd.name or ""]
        cmd.epilog = "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)
        super().add_command(cmd, name)
