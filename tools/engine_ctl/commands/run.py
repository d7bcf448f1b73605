"""``engine-ctl run``: one answer, as it is made, and what it cost."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine_ctl.exit_codes import STOP_REASON_EXIT_CODES
from engine_ctl.model_text import write_text, write_thought
from engine_ctl.options import json_option, socket_option, tdp_watts_option
from engine_ctl.request_options import request_options

if TYPE_CHECKING:
    from protocol.record import ChoiceRecord, ExecutionRecord


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

    The text streams to stdout, then a line for each call of a tool; thinking, metrics, notes and errors go to stderr.
    With --json, stdout gets the execution's record as one object and nothing else. Without an engine on the socket, one
    runs in this process and gives the same answer. Ctrl-C cancels and still shows the metrics. Of several answers (-n)
    the first streams and the others follow.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.execution import follow, parse_request
    from engine_ctl.progress_bar import ProgressBar

    parsed = parse_request(request)
    with connect_or_embed(socket, tdp_watts) as client, ProgressBar(quiet=as_json) as bar:

        def show(text: str) -> None:
            bar.close()
            write_text(text)

        def show_thought(text: str) -> None:
            bar.close()
            write_thought(text)

        shown = (_discard, bar.show, _discard) if as_json else (show, bar.show, show_thought)
        finished = follow(client, client.run(parsed), *shown)
    record = finished.record
    if as_json:
        click.echo(record.model_dump_json())
    else:
        _show_rest(record)
    if record.plan.backend == "reference" and parsed.execution.backend is None:
        click.echo("warning: nothing but the slow reference can run here; engine-ctl doctor says why", err=True)
    if finished.unrecorded:
        click.echo(f"warning: the record was not kept: {finished.unrecorded}", err=True)
    ctx.exit(STOP_REASON_EXIT_CODES[record.stop_reason])


def _discard(text: str) -> None:
    """The record holds the text."""


def _show_rest(record: ExecutionRecord) -> None:
    """What comes behind the first answer's text."""
    from engine_ctl.metrics_table import show_metrics

    if record.result or not record.tool_calls:
        _end_line(record.result, always=bool(record.other_choices or record.tool_calls))
    _show_calls(record)
    for number, choice in enumerate(record.other_choices, start=2):
        click.echo(f"--- answer {number}", err=True)
        write_text(choice.result + "\n")
        _show_calls(choice)
    show_metrics(record)


def _show_calls(choice: ChoiceRecord) -> None:
    from engine_ctl.call_lines import call_lines

    for line in call_lines(choice):
        write_text(line + "\n")


def _end_line(result: str, *, always: bool) -> None:
    if not result.endswith("\n") and (always or sys.stdout.isatty()):
        click.echo()
