"""``weos-agents experiment``: hold one candidate against the engine's own plan."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from protocol.blocking import BlockingClient
from weos_agents.budget import Budget
from weos_agents.commands.options import OVER_0, gate_options, socket_option, workload_options
from weos_agents.commands.session import Session
from weos_agents.experimenter import Experimenter
from weos_agents.gate import Verdict
from weos_agents.guardrail import Guardrail


@click.command(name="experiment")
@workload_options
@gate_options
@click.option(
    "--change",
    "changes",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A field of a request and the candidate's value, such as execution.threads=1. May be repeated; without any, "
    "the baseline is held against itself.",
)
@click.option("--pairs", type=click.IntRange(min=1), default=40, show_default=True, help="The most.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="The most."
)
@click.option("--joules", type=OVER_0, help="The most to use, where that is measured.")
@click.option("--whole", is_flag=True, help="Run all pairs, though it be decided sooner.")
@click.option("--json", "as_json", is_flag=True, help="Print the evidence and the verdict as JSON.")
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
    changes: tuple[str, ...],
    pairs: int,
    minutes: float,
    joules: float | None,
    whole: bool,
    as_json: bool,
    socket: Path | None,
) -> None:
    """Run MODEL's own plan and a candidate in interleaved pairs, and say whether the candidate is proved better.

    The experiment ends as soon as that is decided. All of the workload serves: the candidate was not chosen on it.
    """
    varied = dict(_change(one) for one in changes)
    with BlockingClient.connect(socket) as client:
        session = Session(client, model, workload_file, max_tokens, quality_text, quality_windows)
        rules = session.rules(kpi, gain, guardrails, unknown_load_counts=unknown_load_counts)
        experimenter = Experimenter(session.laboratory, rules, Budget.starting(minutes * 60, time.monotonic, joules))
        inputs = (*session.workload.choosing, *session.workload.confirming)
        found = experimenter.confirm(
            varied, varied, inputs, pairs, chosen_on=frozenset(), alpha=rules.alpha, stops_early=not whole
        )
    if as_json:
        click.echo(found.model_dump_json())
    else:
        click.echo("\n".join(_lines(found.verdict)))


def _lines(verdict: Verdict) -> list[str]:
    told = "proved better" if verdict.open else "not proved better"
    gain = "unknown" if verdict.gain is None else f"{verdict.gain:+.1%}"
    own = [one.guardrail for one in verdict.guardrails if one.guardrail.usual is not None]
    return [
        f"{told}: {verdict.kpi} {gain}, {verdict.pairs} pairs, {verdict.disturbed} left out",
        *(f"{one.name}: allowed {one.allowed}" for one in own),
        *(f"{'yes' if check.passed else 'no ':3} {check.rule}: {check.found}" for check in verdict.checks),
    ]


def _change(given: str) -> tuple[str, Any]:
    name, separator, value = given.partition("=")
    if not (separator and name.startswith("execution.")):
        raise click.UsageError(f"--change {given}: give a field of a request, as execution.threads=1")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
