"""``weos-agents optimize``: find a better plan for a workload, and prove it."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console

from protocol.blocking import BlockingClient
from weos_agents.commands.options import OVER_0, gate_options, socket_option, workload_options
from weos_agents.commands.session import Session
from weos_agents.optimization import Decision
from weos_agents.report.terminal import optimization_view


@click.command(name="optimize")
@workload_options
@gate_options
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=20.0, show_default=True, help="How long."
)
@click.option("--joules", type=OVER_0, help="The most to use, where that is measured.")
@click.option("--fields", help="Fields of the plan to vary, comma-separated.  [default: all that decide speed]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the search.")
@click.option(
    "--report", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write."
)
@socket_option
def command(
    *,
    model: str,
    workload_file: Path,
    max_tokens: int,
    quality_text: Path | None,
    kpi: str,
    gain: float,
    unknown_load_counts: bool,
    minutes: float,
    joules: float | None,
    fields: str | None,
    seed: int,
    folder: Path,
    socket: Path | None,
) -> None:
    """Search for a plan of MODEL that is better for a workload, prove it on inputs that had no part in the search, and
    write a report. Nothing is applied.
    """
    from weos_agents.budget import Budget
    from weos_agents.experimenter import Experimenter
    from weos_agents.optimizer import Optimizer, OptimizerOptions
    from weos_agents.report.folder import write_report
    from weos_agents.report.optimization_report import OptimizationReport
    from weos_agents.search_fields import chosen_fields

    with BlockingClient.connect(socket) as client:
        session = Session(client, model, workload_file, max_tokens, quality_text)
        rules = session.rules(kpi, gain, unknown_load_counts=unknown_load_counts)
        experimenter = Experimenter(session.laboratory, rules, Budget.starting(minutes * 60, time.monotonic, joules))
        varied = session.fields if fields is None else chosen_fields(session.fields, fields.split(","))
        options = OptimizerOptions(seed=seed)
        found = Optimizer(session.laboratory, experimenter, session.workload, varied, options, _tell).run()
    report = OptimizationReport(model=model, workload=workload_file.name, rules=rules, optimization=found)
    path = write_report(folder, report)
    Console().print(optimization_view(report))
    click.echo(f"written: {path}")


def _tell(decision: Decision) -> None:
    click.echo(f"{decision.at_s / 60:5.1f} min  {decision.what}", err=True)
