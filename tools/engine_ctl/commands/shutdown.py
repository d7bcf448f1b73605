"""``engine-ctl shutdown``: stop the engine on the socket."""

from __future__ import annotations

import json
from pathlib import Path

import click

from engine_ctl.options import json_option, socket_option


@click.command(name="shutdown")
@socket_option
@json_option
def command(socket: Path | None, as_json: bool) -> None:
    """Stop the engine. Running executions end with the stop reason `shutdown`."""
    from protocol.blocking import BlockingClient

    with BlockingClient.connect(socket) as client:
        version = client.welcome.engine_version
        client.shutdown()
    if as_json:
        click.echo(json.dumps({"stopped": True, "engine_version": version}))
    else:
        click.echo(f"engine {version} stopped", err=True)
