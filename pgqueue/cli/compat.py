"""`pgqueue install-compat` and `uninstall-compat`: the names of pg_background or pg_cron in a database."""

from __future__ import annotations

import click

from .ask import ask
from .options import on_database
from .output import print_json

_CRON_SCHEMA = "cron"
_for_option = click.option(
    "--for",
    "extension",
    type=click.Choice(["pg_background", "pg_cron"]),
    default="pg_background",
    show_default=True,
    help="The extension whose names they are.",
)


@click.command("install-compat")
@_for_option
@click.option("--version", type=click.Choice(["1.8", "2.0"]), help="Which names of pg_background: 2.0 unless given.")
@click.option("--schema", help="Where to make them: public unless given. Those of pg_cron are in the schema cron.")
@on_database
def install_compat(extension: str, version: str | None, schema: str | None, dsn: str | None, as_json: bool) -> None:
    """Make the functions and views of pg_background or pg_cron, so that programs for them run on pgqueue."""
    if extension == "pg_cron":
        _refuse_schema(schema)
        if version is not None:
            raise click.UsageError("--version is for pg_background; the names of pg_cron are those of 1.6")
        version, schema = "1.6", _CRON_SCHEMA
        ask(dsn, "install_pg_cron")
    else:
        version, schema = version or "2.0", schema or "public"
        ask(dsn, "install_compat", version=version, schema=schema)
    if as_json:
        print_json({"version": version, "schema": schema, "installed": True})
    else:
        click.echo(f"the names of {extension} {version} are in schema {schema}")


@click.command("uninstall-compat")
@_for_option
@click.option("--schema", help="Where they are: public unless given. Those of pg_cron are in the schema cron.")
@on_database
def uninstall_compat(extension: str, schema: str | None, dsn: str | None, as_json: bool) -> None:
    """Remove what install-compat has made, and nothing else. Jobs and schedules stay."""
    if extension == "pg_cron":
        _refuse_schema(schema)
        schema = _CRON_SCHEMA
        ask(dsn, "uninstall_pg_cron")
    else:
        schema = schema or "public"
        ask(dsn, "uninstall_compat", schema=schema)
    if as_json:
        print_json({"schema": schema, "uninstalled": True})
    else:
        click.echo(f"the names of {extension} are gone from schema {schema}")


def _refuse_schema(schema: str | None) -> None:
    if schema not in (None, _CRON_SCHEMA):
        raise click.UsageError("--schema is for pg_background; programs call those of pg_cron as cron.schedule")
