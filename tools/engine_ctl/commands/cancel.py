"""``engine-ctl cancel``: end an execution, one's own or another client's."""

from __future__ import annotations

import json
from pathlib import Path

import click

from engine_ctl.completions import complete_execution
from engine_ctl.options import json_option, socket_option


@click.command(name="cancel")
@click.argument("execution_id", shell_complete=complete_execution)
@socket_option
@json_option
def command(execution_id: str, socket: Path | None, as_json: bool) -> None:
    """Cancel a queued or running execution. Its own client gets the record with what was generated."""
    from engine_ctl.connection import ANSWER_S
    from protocol.blocking import BlockingClient
    from protocol.requests import Cancel

    with BlockingClient.connect(socket, ANSWER_S) as client:
        client.ask(Cancel(execution_id=execution_id))
    if as_json:
        click.echo(json.dumps({"cancelled": execution_id}))
    else:
        click.echo(f"cancelled {execution_id}", err=True)
