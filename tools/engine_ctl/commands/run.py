"""``engine-ctl run``: one answer, as it is made, and what it took."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from engine_ctl.asked_run import AskedRun, settle
from engine_ctl.exit_codes import STOP_REASON_EXIT_CODES
from engine_ctl.model_text import write_text, write_thought
from engine_ctl.options import json_option, socket_option, tdp_watts_option
from engine_ctl.request_options import request_options

if TYPE_CHECKING:
    from protocol.light_client import LightClient
    from protocol.run_view import ShownChoice, ShownFinished, ShownPlan, ShownRecord


@click.command(name="run")
@request_options
@click.option("-q", "--quiet", is_flag=True, help="Print the answer, and errors; no note, no figures.")
@click.option("--metrics", is_flag=True, help="Show every figure of the run as a table instead of one line.")
@click.option("--pull", is_flag=True, help="Fetch a model that is not here yet; at a terminal that is asked.")
@click.option(
    "--background", is_flag=True, help="Where no engine runs, start one that goes on: later runs are instant."
)
@tdp_watts_option
@socket_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    asked: AskedRun,
    *,
    quiet: bool,
    metrics: bool,
    pull: bool,
    background: bool,
    tdp_watts: float | None,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Answer a TEXT, or what is piped in.

    TEXT is said to the model, as a chat where it has a chat template; a lone - in it is standard input. --prompt is
    passed on unchanged. Without either, at a terminal, a conversation begins. The answer streams to stdout, then a line
    for each call of a tool; thinking, figures, notes and errors go to stderr. With --json, stdout gets the execution's
    record as one object and nothing else. Without an engine on the socket, the user's service manager starts one if it
    has the unit, or one runs in this process and gives the same answer. Ctrl-C cancels and still shows the figures.
    Several answers (-n) are numbered.
    """
    from engine_ctl.connection import reach
    from protocol.light_client import LightClient

    if asked.says_nothing:
        if as_json:
            raise click.UsageError("--json needs a TEXT or a --prompt.")
        from engine_ctl.commands.chat import converse

        converse(asked.content, tdp_watts, socket)
        return
    with reach(LightClient.connect, socket, tdp_watts, background=background, quiet=quiet) as client:
        request = _request(client, asked, pull=pull, quiet=quiet or as_json)
        finished = _answer(client, request, quiet=quiet, as_json=as_json)
        if as_json:
            click.echo(client.finished().record.model_dump_json())
        else:
            _show_rest(finished.record, figures_follow=not quiet and _is_one_file(sys.stdout, sys.stderr))
            _show_figures(client, finished.record, quiet=quiet, metrics=metrics)
    if not quiet:
        _warn(finished, asked)
    ctx.exit(STOP_REASON_EXIT_CODES[finished.record.stop_reason])


def _request(client: LightClient, asked: AskedRun, *, pull: bool, quiet: bool) -> dict[str, Any]:
    if asked.words is None:
        return asked.content
    from engine_ctl.wanted_model import advice_on

    settled = settle(asked, advice_on(client, asked.content["model"], pull=pull, quiet=quiet))
    if settled.note and not quiet:
        click.echo(settled.note, err=True)
    return settled.content


def _answer(client: LightClient, request: dict[str, Any], *, quiet: bool, as_json: bool) -> ShownFinished:
    from engine_ctl.progress_bar import ProgressBar
    from engine_ctl.shown_run import follow_shown

    heading = ""
    with ProgressBar(quiet=as_json or quiet) as bar:

        def begin(plan: ShownPlan) -> None:
            nonlocal heading
            heading = _number(1) if plan.n > 1 else ""

        def show(text: str) -> None:
            nonlocal heading
            bar.close()
            write_text(heading + text)
            heading = ""

        def show_thought(text: str) -> None:
            bar.close()
            write_thought(text)

        shown = (_discard, bar.show, _discard) if as_json else (show, bar.show, _discard if quiet else show_thought)
        return follow_shown(client, request, begin, *shown)


def _discard(text: str) -> None:
    """The record holds the text."""


def _show_rest(record: ShownRecord, *, figures_follow: bool) -> None:
    """What comes behind the first answer's text."""
    if record.result or not record.tool_calls:
        _end_line(record.result, always=bool(record.other_choices or record.tool_calls or figures_follow))
    _show_calls(record)
    for number, choice in enumerate(record.other_choices, start=2):
        write_text(_number(number) + choice.result + "\n")
        _show_calls(choice)


def _show_figures(client: LightClient, record: ShownRecord, *, quiet: bool, metrics: bool) -> None:
    if metrics:
        from engine_ctl.metrics_table import show_metrics

        show_metrics(client.finished().record)
    elif not quiet:
        from engine_ctl.figures_line import figures_line, run_warnings

        click.echo(figures_line(record), err=True)
        for warning in run_warnings(record):
            click.echo(f"warning: {warning}", err=True)


def _warn(finished: ShownFinished, asked: AskedRun) -> None:
    if finished.record.plan.backend == "reference" and "backend" not in (asked.content.get("execution") or {}):
        click.echo("warning: nothing but the slow reference can run here; engine-ctl doctor says why", err=True)
    if finished.unrecorded:
        click.echo(f"warning: the record was not kept: {finished.unrecorded}", err=True)


def _number(number: int) -> str:
    return f"[{number}] "


def _show_calls(choice: ShownChoice | ShownRecord) -> None:
    from engine_ctl.call_lines import call_lines

    for line in call_lines(choice):
        write_text(line + "\n")


def _end_line(result: str, *, always: bool) -> None:
    if not result.endswith("\n") and (always or sys.stdout.isatty()):
        click.echo()


def _is_one_file(stdout: TextIO, stderr: TextIO) -> bool:
    """Whether the figures go where the answer goes, and would stand in its last line."""
    try:
        return os.path.sameopenfile(stdout.fileno(), stderr.fileno())
    except (OSError, ValueError):  # without a descriptor, or closed
        return False
