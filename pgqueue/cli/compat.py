"""`pgqueue install-compat` and `uninstall-compat`: the names of pg_background in a schema of the database."""

from __future__ import annotations

import click

from .ask import ask
from .options import on_database
from .output import print_json


@click.command("install-compat")
@click.option("--version", type=click.Choice(["1.8", "2.0"]), default="2.0", show_default=True, help="Which names.")
@click.option("--schema", default="public", show_default=True, help="Where to make them.")
@on_database
def install_compat(version: str, schema: str, dsn: str | None, as_json: bool) -> None:
    """Make the functions, types and views of pg_background, so that programs for it run on pgqueue."""
    ask(dsn, "install_compat", version=version, schema=schema)
    if as_json:
        print_json({"version": version, "schema": schema, "installed": True})
    else:
        click.echo(f"the names of pg_background {version} are in schema {schema}")


@click.command("uninstall-compat")
@click.option("--schema", default="public", show_default=True, help="Where they are.")
@on_database
def uninstall_compat(schema: str, dsn: str | None, as_json: bool) -> None:
    """Remove what install-compat has made, and nothing else. Jobs stay."""
    ask(dsn, "uninstall_compat", schema=schema)
    if as_json:
        print_json({"schema": schema, "uninstalled": True})
    else:
        click.echo(f"the names of pg_background are gone from schema {schema}")
