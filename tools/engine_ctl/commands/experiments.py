"""``engine-ctl experiments``: plans held against each other, in an order that is declared first."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.answer_output import answer_json, show_answer
from engine_ctl.command_group import CommandGroup
from engine_ctl.exit_codes import INTERNAL_ERROR, INTERRUPTED
from engine_ctl.options import json_option, socket_option, tdp_watts_option

if TYPE_CHECKING:
    from protocol.blocking import BlockingClient
    from protocol.experiment import ExperimentEnd
    from protocol.experiment_messages import Experiment, Experimented

_EXIT_CODES: dict[ExperimentEnd, int] = {
    "complete": 0,
    "stopped": INTERRUPTED,
    "failed": INTERNAL_ERROR,
    "interrupted": INTERNAL_ERROR,
}


@click.group(name="experiments", cls=CommandGroup)
def command() -> None:
    """Run, list and show experiments."""


@command.command(name="run")
@click.argument("spec", metavar="SPEC.json")
@tdp_watts_option
@socket_option
@json_option
@click.pass_context
def run(ctx: click.Context, spec: str, tdp_watts: float | None, socket: Path | None, as_json: bool) -> None:
    """Run the experiment that a file declares; - is standard input.

    The file is the message `Experiment` as JSON: `baseline`, `candidates`, `workload`, and `pairs`, `warm_up`,
    `metrics`, `evaluation`, `agent`, `note`. Plans are whole, or left open as `{"model": NAME, "threads": 2}`. Ctrl-C
    stops it, and keeps its whole pairs.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.experiment_lines import experiment_lines

    asked = _read(spec)
    with connect_or_embed(socket, tdp_watts) as client:
        done = _follow(client, asked, quiet=as_json)
    show_answer(done, experiment_lines(done.experiment), as_json=as_json)
    ctx.exit(_EXIT_CODES[done.experiment.ended])


@command.command(name="ls")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="Largest number to list.  [default: 20]")
@socket_option
@json_option
def ls(limit: int, socket: Path | None, as_json: bool) -> None:
    """List experiments, the newest first."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.experiment_lines import experiment_line
    from protocol.experiment_messages import Experiments

    with connect_or_embed(socket) as client:
        listed = client.ask(Experiments(limit=limit))
    show_answer(listed, map(experiment_line, listed.experiments), as_json=as_json)
    if not listed.experiments and not as_json:
        click.echo("no experiments are recorded", err=True)


@command.command(name="show")
@click.argument("experiment_id")
@socket_option
@json_option
def show(experiment_id: str, socket: Path | None, as_json: bool) -> None:
    """Show one experiment: what it declared, and what came of it."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.experiment_lines import experiment_lines, pair_line
    from protocol.experiment_messages import GetExperiment

    with connect_or_embed(socket) as client:
        shown = client.ask(GetExperiment(experiment_id=experiment_id))
    if as_json:
        click.echo(answer_json(shown))
        return
    if shown.experiment is None:
        click.echo(f"{experiment_id}: running, {len(shown.declaration.schedule)} executions declared")
        return
    for line in experiment_lines(shown.experiment):
        click.echo(line)
    for pair in shown.experiment.pairs:
        click.echo(pair_line(pair))


def _read(spec: str) -> Experiment:
    """Raises click.BadParameter, InvalidRequest: the file holds no experiment."""
    from engine_ctl.json_source import read_json
    from engine_ctl.message_source import read_message
    from protocol.experiment_messages import Experiment

    content = read_json(spec, "SPEC.json")
    if not isinstance(content, dict):
        raise click.BadParameter(f"{spec} does not hold a JSON object", param_hint="SPEC.json")
    if content.get("type", Experiment.__name__) != Experiment.__name__:
        raise click.BadParameter(
            f"{spec} holds a message of the type {content['type']!r}, and no Experiment", param_hint="SPEC.json"
        )
    return read_message(content, Experiment)


def _follow(client: BlockingClient, asked: Experiment, *, quiet: bool) -> Experimented:
    """Its end, with progress and pairs on stderr until then. Ctrl-C stops it; a second one does not wait."""
    from engine_ctl.experiment_lines import pair_line
    from engine_ctl.interrupts import interrupt_posts
    from engine_ctl.progress_bar import ProgressBar
    from protocol.errors import BadFrame
    from protocol.experiment_messages import ExperimentDeclared, Experimented, ExperimentProgress, PairMeasured
    from protocol.requests import StopExperiment

    with ExitStack() as declared, ProgressBar(quiet=quiet) as bar:
        for message in client.follow(asked):
            match message:
                case ExperimentDeclared():
                    name = message.declaration.experiment_id
                    stop = StopExperiment(experiment_id=name, agent=asked.agent, reason="Ctrl-C")
                    declared.enter_context(interrupt_posts(partial(client.post, stop)))
                case ExperimentProgress():
                    bar.show(message)
                case PairMeasured() if not quiet:
                    bar.close()
                    click.echo(pair_line(message.pair), err=True)
                case Experimented():
                    return message
    raise BadFrame("the engine ended the experiment without its record")
