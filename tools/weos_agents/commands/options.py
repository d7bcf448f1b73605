"""Options that more than one command takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from weos_agents.guardrail import Guardrail

Command = TypeVar("Command", bound=Callable[..., Any])
OVER_0 = click.FloatRange(min=0, min_open=True)
"""A number over 0."""


def socket_option(command: Command) -> Command:
    """Add ``--socket``."""
    return click.option(
        "--socket",
        type=click.Path(path_type=Path),
        envvar="ENGINE_SOCKET",
        show_envvar=True,
        help="The engine's Unix socket. [default: $XDG_RUNTIME_DIR/engine/engine.sock]",
    )(command)


def _absolute(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """A file from here by its full path, since the engine may run elsewhere; a name as it is."""
    path = Path(value).expanduser()
    return str(path.absolute()) if path.is_file() else value


def workload_options(command: Command) -> Command:
    """Add what an experiment is about: the model, the workload, the length of answers and a text for quality."""
    options = (
        click.argument("model", callback=_absolute),
        click.option(
            "--workload",
            "workload_file",
            required=True,
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Inputs, a JSON object a line: `prompt`, or `messages`.",
        ),
        click.option("--max-tokens", type=click.IntRange(min=1), default=64, show_default=True, help="Of each answer."),
        click.option(
            "--quality-text",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="A text on which plans of another arithmetic must predict as the baseline does. Without it no such "
            "plan can be proved.",
        ),
        click.option(
            "--quality-windows",
            type=click.IntRange(min=1),
            default=16,
            show_default=True,
            help="The most that is read of it, in windows of 512 tokens: once for each arithmetic, within the time.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _guardrails(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[Guardrail, ...]:
    """All guardrails, with the margins given, before anything is asked of an engine."""
    from weos_agents.guardrail import DEFAULT_GUARDRAILS, with_margins

    guarded = [one.metric for one in DEFAULT_GUARDRAILS]
    margins: dict[str, float] = {}
    for text in given:
        metric, _, number = text.partition("=")
        if metric not in guarded:
            raise click.BadParameter(f"{text!r}: there is no limit of {metric!r}; there is {', '.join(guarded)}")
        if metric in margins:
            raise click.BadParameter(f"{metric} is given more than once")
        margins[metric] = _margin(text, number)
    return with_margins(margins)


def _margin(text: str, number: str) -> float:
    from weos_agents.guardrail import MOST_MARGIN

    try:
        margin = float(number)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not of the form METRIC=FRACTION") from error
    if not 0 <= margin <= MOST_MARGIN:
        raise click.BadParameter(f"{text!r}: the fraction is from 0 to {MOST_MARGIN:g}; 0.1 is 10%")
    return margin


def gate_options(command: Command) -> Command:
    """Add what a plan must show."""
    options = (
        click.option(
            "--kpi",
            type=click.Choice(("tokens_per_sec", "tokens_per_joule")),
            default="tokens_per_sec",
            show_default=True,
            help="What is to get better. Where energy is not measured, tokens per second take its place.",
        ),
        click.option(
            "--gain",
            type=click.FloatRange(0.0, 1.0),
            default=0.02,
            show_default=True,
            help="The least gain that is worth a change.",
        ),
        click.option(
            "--margin",
            "guardrails",
            multiple=True,
            metavar="METRIC=FRACTION",
            callback=_guardrails,
            help="How much worse a guarded figure may get at most, such as latency_p95_ms=1.0 for twice as much. "
            "May be repeated.  [default: ttft_ms=0.1, latency_p95_ms=0.1, memory_peak_mb=0.1, joules_per_token=0.05]",
        ),
        click.option(
            "--unknown-load-counts",
            is_flag=True,
            help="Count pairs too short to tell whether other processes disturbed them.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
