"""``engine-ctl shutdown``: stop the engine on the socket."""

from __future__ import annotations

import json
from pathlib import Path

import click

from engine_ctl.options import json_option, socket_option


@click.command(name="shutdown")
@socket_option
@json_option
@click.option(
    "--drain-s",
    type=click.FloatRange(min=0, max=86_400),
    default=0.0,
    show_default=True,
    help="Seconds that running executions have to finish.",
)
def command(socket: Path | None, as_json: bool, drain_s: float) -> None:
    """Stop the engine. Executions that have not finished end with the stop reason `shutdown`."""
    from protocol.blocking import BlockingClient
    from protocol.requests import Shutdown

    with BlockingClient.connect(socket) as client:
        version = client.welcome.engine_version
        client.ask(Shutdown(drain_s=drain_s))
    if as_json:
        click.echo(json.dumps({"stopped": True, "engine_version": version}))
    else:
        click.echo(f"engine {version} stopped", err=True)
