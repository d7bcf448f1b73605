"""``engine-ctl watch``: what an engine's executions do, as they do it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from typing_extensions import assert_never

from engine_ctl.answer_output import answer_json
from engine_ctl.live_energy_lines import joules_of, so_far
from engine_ctl.options import json_option, socket_option

if TYPE_CHECKING:
    from protocol.answers import Event
    from protocol.events import EventBody

_KINDS = ("accepted", "admitted", "preparing", "started", "ended", "tokens", "energy")
_FREQUENT = frozenset({"tokens", "energy"})


@click.command(name="watch")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(_KINDS),
    help="Kinds of events to show.  [default: all but tokens and energy]",
)
@click.option("--model", help="Show only executions of this model.")
@click.option("--execution", "execution_id", help="Show only this execution.")
@click.option(
    "--after", type=click.IntRange(min=0), help="Begin after the event of this number; 0: with the oldest that is kept."
)
@socket_option
@json_option
def command(
    kinds: tuple[str, ...],
    *,
    model: str | None,
    execution_id: str | None,
    after: int | None,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Follow the executions of a running engine until Ctrl-C or its end. --json prints one event for each line."""
    from protocol.answers import Event, Subscribed
    from protocol.blocking import BlockingClient
    from protocol.events import EventFilter
    from protocol.requests import Subscribe

    kinds = kinds or tuple(kind for kind in _KINDS if kind not in _FREQUENT)
    wanted = EventFilter.model_validate({"kinds": kinds, "model": model, "execution_id": execution_id})
    with BlockingClient.connect(socket) as client:
        for message in client.follow(Subscribe(wanted=wanted, after=after)):
            if isinstance(message, Event):
                click.echo(answer_json(message) if as_json else line(message))
            elif isinstance(message, Subscribed) and message.missed:
                click.echo(f"{message.missed} earlier events are not kept any more", err=True)


def line(event: Event) -> str:
    """An event on one line."""
    return f"{event.sequence:>6}  {event.at[11:23]}  {event.execution_id}  {event.body.kind:9} {_told(event.body)}"


def _told(body: EventBody) -> str:
    from protocol.events import (
        AcceptedEvent,
        AdmittedEvent,
        EndedEvent,
        EnergyEvent,
        PreparingEvent,
        StartedEvent,
        TokensEvent,
    )

    match body:
        case AcceptedEvent():
            return f"{body.plan.model_ref.name} · {body.plan.quantization} · {body.prompt_tokens} prompt tokens"
        case AdmittedEvent():
            return f"after {body.queue_ms:,.1f} ms"
        case PreparingEvent():
            return f"{body.progress.stage} {body.progress.done}/{body.progress.total}"
        case StartedEvent():
            return f"{body.kernel_path}, weights from {body.weights.source} in {body.load_ms:,.1f} ms"
        case TokensEvent():
            return str(body.tokens_total)
        case EnergyEvent():
            return so_far(body.so_far)
        case EndedEvent():
            speed = body.metrics.tokens_per_sec
            rate = "" if speed is None else f", {speed:,.1f} tokens/s"
            joules = joules_of(body.metrics.energy)
            told = f"{body.stop_reason}: {body.metrics.tokens_total} tokens{rate}{f', {joules}' if joules else ''}"
            return f"{told} {body.error}".rstrip()
        case _:
            assert_never(body)
