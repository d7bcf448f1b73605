"""``engine-ctl status``: what the engine on the socket is doing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.answer_output import show_answer
from engine_ctl.energy_figure import short_reason
from engine_ctl.model_table import megabytes
from engine_ctl.options import json_option, socket_option

if TYPE_CHECKING:
    from protocol.answers import StatusReport


@click.command(name="status")
@socket_option
@json_option
def command(socket: Path | None, as_json: bool) -> None:
    """Show the engine's executions, loaded models, memory and energy source."""
    from engine_ctl.connection import ANSWER_S
    from protocol.blocking import BlockingClient
    from protocol.requests import Status

    with BlockingClient.connect(socket, ANSWER_S) as client:
        report = client.ask(Status())
    show_answer(report, lines(report), as_json=as_json)


def lines(report: StatusReport) -> list[str]:
    """The report for a person: one fact a line."""
    memory = ", ".join(f"{owner} {megabytes(size)}" for owner, size in report.memory_bytes.items())
    why = short_reason(report.energy["reason"]) if "reason" in report.energy else ""
    about = "; ".join(filter(None, (report.energy.get("declared", ""), why)))
    return [
        f"engine {report.engine_version}, pid {report.pid}, up {report.uptime_s:,.0f} s",
        f"executions: {len(report.executions)} now, {report.finished_total} finished",
        *(
            f"  {each.execution_id}  {each.state:8} {each.model}  {each.prompt_tokens} + {each.tokens_total} tokens"
            for each in report.executions
        ),
        f"models loaded: {len(report.models_loaded) or 'none'}",
        *(
            f"  {each.model}  {each.quantization} on {each.backend}  {megabytes(each.weights_bytes)}  "
            f"{'in use' if each.in_use else 'idle'}"
            for each in report.models_loaded
        ),
        f"memory: {memory or 'none'}",
        f"prefix cache: {report.prefix_cache.blocks} blocks, at most {megabytes(report.prefix_cache.limit_bytes)}",
        f"energy source: {report.energy.get('source', 'none')}{f' ({about})' if about else ''}",
        *(f"failed: {name}: {reason}; start the engine again" for name, reason in report.failed.items()),
        *(
            f"fault after {each.uptime_s:,.0f} s in {each.where}: {each.error} ({each.consequence})"
            for each in report.faults
        ),
    ]
