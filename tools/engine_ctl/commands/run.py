"""``engine-ctl run``: one answer, as it is made, and what it cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from engine_ctl.exit_codes import STOP_REASON_EXIT_CODES
from engine_ctl.model_text import write_text
from engine_ctl.options import json_option, socket_option, tdp_watts_option
from engine_ctl.request_options import request_options


@click.command(name="run")
@request_options
@tdp_watts_option
@socket_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, request: dict[str, Any], tdp_watts: float | None, socket: Path | None, as_json: bool
) -> None:
    """Answer a prompt.

    The text streams to stdout; metrics, notes and errors go to stderr. With --json, stdout gets the execution's record
    as one object and nothing else. Without an engine on the socket, one runs in this process and gives the same answer.
    Ctrl-C cancels and still shows the metrics. Of several answers (-n) the first streams and the others follow.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.execution import follow, parse_request
    from engine_ctl.progress_bar import ProgressBar

    parsed = parse_request(request)
    with connect_or_embed(socket, tdp_watts) as client, ProgressBar(quiet=as_json) as bar:

        def show(text: str) -> None:
            bar.close()
            write_text(text)

        finished = follow(client, client.run(parsed), _discard if as_json else show, bar.show)
    record = finished.record
    if as_json:
        click.echo(record.model_dump_json())
    else:
        from engine_ctl.metrics_table import show_metrics

        _end_line(record.result, always=bool(record.other_choices))
        for number, choice in enumerate(record.other_choices, start=2):
            click.echo(f"--- answer {number}", err=True)
            write_text(choice.result + "\n")
        show_metrics(record)
    if record.plan.backend == "reference" and parsed.execution.backend is None:
        click.echo("warning: nothing but the slow reference can run here; engine-ctl doctor says why", err=True)
    if finished.unrecorded:
        click.echo(f"warning: the record was not kept: {finished.unrecorded}", err=True)
    ctx.exit(STOP_REASON_EXIT_CODES[record.stop_reason])


def _discard(text: str) -> None:
    """The record holds the text."""


def _end_line(result: str, *, always: bool) -> None:
    if not result.endswith("\n") and (always or sys.stdout.isatty()):
        click.echo()
