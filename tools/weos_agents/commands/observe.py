"""``weos-agents observe``: follow an engine's executions."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.live import Live

from protocol.answers import Event
from protocol.blocking import BlockingClient
from protocol.events import EventFilter
from protocol.requests import Subscribe, Unsubscribe
from weos_agents.commands.options import socket_option
from weos_agents.observer import KINDS, Observer, ObserverOptions
from weos_agents.output_place import require_file, write_output
from weos_agents.report.terminal import observation_view

_PAUSE_S = 0.5
"""How long events are left to gather: to be woken for each of them costs several times what it takes to count it."""


@click.command(name="observe")
@click.option("--window", type=click.IntRange(32, 10_000), default=128, show_default=True, help="Latest executions.")
@click.option("--ttft-p95-ms", type=float, help="A promise: the 95th percentile of the time to the first token.")
@click.option("--latency-p95-ms", type=float, help="A promise: the 95th percentile of the time between two tokens.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="How long.  [default: until Ctrl-C]")
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), help="Write a page at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print findings as lines of JSON, and all figures at the end.")
@socket_option
def command(
    *,
    window: int,
    ttft_p95_ms: float | None,
    latency_p95_ms: float | None,
    seconds: float | None,
    page: Path | None,
    as_json: bool,
    socket: Path | None,
) -> None:
    """Show rolling figures of every plan that runs, and report drift, contention and broken promises.

    It changes nothing, and counts executions that end from now on.
    """
    if page is not None:
        require_file(page, "--html")
        # Now, so that what is missing for it is told before there is anything to lose.
        from weos_agents.report.observation_page import observation_page
    observer = Observer(ObserverOptions(window=window, ttft_p95_ms=ttft_p95_ms, latency_p95_ms=latency_p95_ms))
    with BlockingClient.connect(socket) as client:
        if as_json:
            for event in _events(client, seconds):
                for finding in observer.take(event):
                    click.echo(finding.model_dump_json())
            click.echo(observer.report().model_dump_json())
        else:
            _show(observer, _events(client, seconds))
    if page is not None:
        write_output(page, observation_page(observer.report()), "--html")


def _show(observer: Observer, events: Iterator[Event]) -> None:
    shown_at = 0.0
    with Live(console=Console(), auto_refresh=False) as live:
        for event in events:
            observer.take(event)
            if time.monotonic() - shown_at >= _PAUSE_S:
                live.update(observation_view(observer.report()), refresh=True)
                shown_at = time.monotonic()
        live.update(observation_view(observer.report()), refresh=True)


def _events(client: BlockingClient, seconds: float | None) -> Iterator[Event]:
    """Until the time is over, the engine stops, or Ctrl-C."""
    messages = client.follow(Subscribe(wanted=EventFilter(kinds=KINDS)))
    begun = next(messages)
    click.echo("observing", err=True)
    with _ended_by_signals(client, begun.request_id, seconds):
        for message in messages:
            if isinstance(message, Event):
                yield message
                if not client.has_arrived():
                    time.sleep(_PAUSE_S)


@contextmanager
def _ended_by_signals(client: BlockingClient, subscription: int, seconds: float | None) -> Iterator[None]:
    """Ctrl-C and the end of the time end the subscription, and not the program."""

    def unsubscribe(number: int, frame: FrameType | None) -> None:
        client.post(Unsubscribe(subscription=subscription))

    before = {number: signal.signal(number, unsubscribe) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds or 0.0)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)
