"""``engine-ctl ps``: the models in the running engine's memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.model_table import megabytes
from engine_ctl.options import json_option, socket_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.summaries import ResidentModel


@click.command(name="ps")
@socket_option
@json_option
def command(socket: Path | None, as_json: bool) -> None:
    """List the models in the running engine's memory. `models unload` lets one go."""
    from engine_ctl.connection import ANSWER_S
    from protocol.blocking import BlockingClient
    from protocol.requests import Status

    with BlockingClient.connect(socket, ANSWER_S) as client:
        loaded = client.ask(Status()).models_loaded
    if as_json:
        click.echo(json.dumps({"models": [each.model_dump(mode="json") for each in loaded]}))
        return
    for line in lines(loaded):
        click.echo(line)


def lines(loaded: Sequence[ResidentModel]) -> list[str]:
    """For a person: a line for each, its memory, and whether something uses it."""
    if not loaded:
        return ["no model is in memory"]
    width = max(len(each.model) for each in loaded)
    return [
        f"{each.model:{width}}  {each.quantization:7}  {megabytes(each.weights_bytes):>12}  "
        f"{'in use' if each.in_use else 'idle':6}  {each.backend}"
        for each in loaded
    ]
