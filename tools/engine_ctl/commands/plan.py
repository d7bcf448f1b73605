"""``engine-ctl plan``: the plan of a run, without the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from engine_ctl.answer_output import answer_json
from engine_ctl.asked_run import AskedRun, settle
from engine_ctl.options import json_option, socket_option, tdp_watts_option
from engine_ctl.request_options import request_options


@click.command(name="plan")
@request_options
@tdp_watts_option
@socket_option
@json_option
def command(asked: AskedRun, tdp_watts: float | None, socket: Path | None, as_json: bool) -> None:
    """Show the plan that `run` would execute with the same flags. Nothing runs.

    --json gives `plan`, `plan_fingerprint`, `estimate` and `prediction`.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.execution import parse_request
    from protocol.requests import ModelAdvice, Plan

    if asked.says_nothing:
        raise click.UsageError("Give a TEXT, or a --prompt.")
    parsed = parse_request(asked.content) if asked.words is None else None
    with connect_or_embed(socket, tdp_watts) as client:
        if parsed is None:
            settled = settle(asked, client.ask(ModelAdvice(model=asked.content["model"])))
            parsed = parse_request(settled.content)
        planned = client.ask(Plan(request=parsed))
    if as_json:
        click.echo(answer_json(planned))
        return
    content = planned.model_dump(mode="json", exclude={"type", "request_id"})
    rows = list(flattened(content))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        click.echo(f"{name:{width}}  {value}")


def flattened(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of nested maps as its dotted name and its value."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "-" if value is None else str(value) or "-"
