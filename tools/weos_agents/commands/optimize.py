"""``weos-agents optimize``: find a better plan for a workload, and prove it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from protocol.blocking import BlockingClient
from protocol.plan import PlanName
from protocol.record_entry import timestamp_now
from weos_agents.commands.options import OVER_0, gate_options, socket_option, workload_options
from weos_agents.commands.session import Session
from weos_agents.optimization import Decision
from weos_agents.output_place import require_folder
from weos_agents.report.terminal import optimization_view

_PLAN_NAME: TypeAdapter[str] = TypeAdapter(PlanName)

if TYPE_CHECKING:
    from weos_agents.applying import Applied
    from weos_agents.experimenter import Experimenter
    from weos_agents.guardrail import Guardrail
    from weos_agents.report.optimization_report import OptimizationReport
    from weos_agents.trial_runner import TrialRunner


def _plan_name(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A name that the engine takes, before anything is searched for."""
    try:
        return value if value is None else _PLAN_NAME.validate_python(value)
    except ValidationError as error:
        raise click.BadParameter(
            f"{value!r} is no plan's name: 64 small letters, digits, '-', '_' and dots at most, a letter or digit first"
        ) from error


@click.command(name="optimize")
@workload_options
@gate_options
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=20.0, show_default=True, help="How long."
)
@click.option("--joules", type=OVER_0, help="The most to use, where that is measured.")
@click.option("--fields", help="Fields of the plan to vary, comma-separated.  [default: all that decide speed]")
@click.option(
    "--fleet", metavar="ADDRESS", help="Try candidates on the workers of this Dask scheduler; proofs stay here."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the search.")
@click.option(
    "--report", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write."
)
@click.option(
    "--apply",
    "name",
    metavar="NAME",
    callback=_plan_name,
    help="Put the plan behind this name, watch it, and roll it back on a breach.",
)
@click.option("--remark", default="", help="What readers of the report should know, such as that a meter is simulated.")
@click.option(
    "--watch-pairs",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="After it was applied; beyond --minutes.",
)
@socket_option
def command(
    *,
    model: str,
    workload_file: Path,
    max_tokens: int,
    quality_text: Path | None,
    quality_windows: int,
    kpi: str,
    gain: float,
    guardrails: tuple[Guardrail, ...],
    unknown_load_counts: bool,
    minutes: float,
    joules: float | None,
    fields: str | None,
    fleet: str | None,
    seed: int,
    folder: Path,
    name: str | None,
    remark: str,
    watch_pairs: int,
    socket: Path | None,
) -> None:
    """Search for a plan of MODEL that is better for a workload, prove it on inputs that had no part in the search, and
    write a report. What is proved is proposed to the engine; it is applied only with --apply.
    """
    from weos_agents.budget import Budget
    from weos_agents.experimenter import Experimenter
    from weos_agents.optimizer import Optimizer, OptimizerOptions
    from weos_agents.report.folder import write_report
    from weos_agents.report.optimization_report import OptimizationReport
    from weos_agents.search_fields import chosen_fields

    began_at = timestamp_now()
    if fleet is not None and joules is not None:
        raise click.UsageError("--joules bounds one engine; it cannot be given with --fleet")
    require_folder(folder, "--report")
    with BlockingClient.connect(socket) as client, ExitStack() as held:
        session = Session(client, model, workload_file, max_tokens, quality_text, quality_windows)
        rules = session.rules(kpi, gain, guardrails, unknown_load_counts=unknown_load_counts)
        experimenter = Experimenter(session.laboratory, rules, Budget.starting(minutes * 60, time.monotonic, joules))
        varied = (
            session.fields
            if fields is None
            else chosen_fields(session.fields, [one.strip() for one in fields.split(",")])
        )
        options = OptimizerOptions(seed=seed)
        elsewhere = None if fleet is None else held.enter_context(_fleet(fleet, session, experimenter))
        found = Optimizer(
            session.laboratory, experimenter, session.workload, varied, options, _tell, trial_runner=elsewhere
        ).run()
        report = OptimizationReport(
            model=model,
            workload=workload_file.name,
            rules=experimenter.rules,
            optimization=found,
            began_at=began_at,
            minutes=minutes,
            remark=remark,
        )
        path = write_report(folder, report)
        if report.proof is not None:
            report = report.model_copy(update={"applied": _file(report, session, name, watch_pairs)})
            write_report(folder, report)
    Console().print(optimization_view(report))
    click.echo(f"written: {path}")


def _file(report: OptimizationReport, session: Session, name: str | None, watch_pairs: int) -> Applied:
    """What became of the plan that is proved: proposed, and under a name applied and watched."""
    from weos_agents.applying import Applying
    from weos_agents.report.optimization_report import headline
    from weos_agents.shelf import EngineShelf

    applying = Applying(EngineShelf(session.client), session.laboratory, report.rules, _say)
    applied = applying.file(report.optimization, headline(report))
    if name is None:
        return applied
    inputs = (*session.workload.choosing, *session.workload.confirming)
    return applying.apply(applied, report.optimization, name, inputs, watch_pairs)


@contextmanager
def _fleet(address: str, session: Session, experimenter: Experimenter) -> Iterator[TrialRunner]:
    from weos_agents.fleet.fleet_member import membership
    from weos_agents.fleet.fleet_trials import FleetTrials, connected

    own = membership(session.job, session.client)
    with connected(address) as client:
        yield FleetTrials(client, session.job, own, experimenter, _say)


def _say(told: str) -> None:
    click.echo(told, err=True)


def _tell(decision: Decision) -> None:
    click.echo(f"{decision.at_s / 60:5.1f} min  {decision.what}", err=True)
