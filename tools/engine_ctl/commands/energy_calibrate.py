"""``engine-ctl energy calibrate``: what this machine draws, quiet and at work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.answer_output import show_answer
from engine_ctl.options import json_option, socket_option

if TYPE_CHECKING:
    from protocol.operation_answers import Calibrated


@click.command(name="calibrate")
@click.option("--energy-source", "source", help="Source to measure with.  [default: the best that measures]")
@click.option(
    "--quiet-s",
    type=click.FloatRange(10, 600),
    default=10.0,
    help="Seconds for which to measure idle power.  [default: 10]",
)
@click.option(
    "--load-s", type=click.FloatRange(1, 30), default=5.0, help="Seconds for which to measure each load.  [default: 5]"
)
@click.option("--idle-only", is_flag=True, help="Measure idle power alone; the source `model` then has no curve.")
@socket_option
@json_option
def calibrate(
    source: str | None, *, quiet_s: float, load_s: float, idle_only: bool, socket: Path | None, as_json: bool
) -> None:
    """Measure idle power and fit the power curve of the energy source `model`.

    The machine must be quiet and a source of joules must work. Later records state idle joules too; see
    docs/energy.md.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.progress_bar import ProgressBar
    from protocol.requests import Calibrate

    request = Calibrate(source=source, quiet_s=quiet_s, load_s=load_s, loads=not idle_only)
    with connect_or_embed(socket) as client, ProgressBar(quiet=as_json) as bar:
        calibrated = bar.ask(client, request)
    show_answer(calibrated, lines(calibrated), as_json=as_json)


def lines(calibrated: Calibrated) -> list[str]:
    """What was measured for a person: one fact a line."""
    calibration = calibrated.calibration
    governors = ", ".join(calibration.governors) or "unknown"
    told = [
        f"{calibration.cpu_model} · {calibration.cpus} CPUs · governor {governors} · measured by {calibration.source}",
        f"{'load':28} {'threads':>7} {'busy CPUs':>9} {'watts':>8} {'others':>7}",
        *(
            f"{sample.load:28} {sample.threads:>7} {sample.busy_cpus:>9.2f} {sample.watts:>8.2f} "
            f"{sample.others_cpu_share:>7.1%}"
            for sample in calibration.samples
        ),
    ]
    if calibration.curve is not None:
        curve = calibration.curve
        told.append(
            f"model: {curve.idle_watts:.2f} W + {curve.busy_watts:.2f} W a busy CPU, ±{100 * curve.rel_error:.2g} %"
        )
    return [*told, f"kept in {calibrated.path}"]
