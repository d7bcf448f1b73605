"""``engine-ctl energy``: what the machine draws now, and what running executions have used."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from engine_ctl.answer_output import show_answer
from engine_ctl.live_energy_lines import live_lines
from engine_ctl.watt_chart import chart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from protocol.answers import LiveEnergy
    from protocol.blocking import BlockingClient
    from protocol.plan import EnergySourceName

_PERIOD_S = 1.0
_KEPT = 600
"""Figures for the chart: more than a line has columns."""
_HEIGHT = 8
_SCALE_WIDTH = 12
"""For the numbers at the chart's side."""


def show(socket: Path | None, source: EnergySourceName | None, *, watch: bool, as_json: bool) -> None:
    """Show power once, or with ``watch`` repeatedly until Ctrl-C or the engine's end."""
    from protocol.blocking import BlockingClient
    from protocol.requests import Energy

    with BlockingClient.connect(socket) as client:
        if not watch:
            _print(client.ask(Energy(source=source)), as_json=as_json)
        elif as_json or not sys.stdout.isatty():
            for live in _each_second(client, source):
                _print(live, as_json=as_json)
        else:
            _draw(_each_second(client, source))


def screen(live: LiveEnergy, watts: Sequence[float | None], width: int) -> str:
    """The chart and the present figures, for a terminal ``width`` columns wide."""
    mark = "~ watts (model)" if live.power.kind == "modelled" else "watts"
    columns = max(1, width - _SCALE_WIDTH)
    title = f"{mark} of all packages by {live.power.source}, one column a reading"
    return "\n".join([title, *chart(watts, columns, _HEIGHT), "", *live_lines(live)])


def _draw(answers: Iterator[LiveEnergy]) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    watts: deque[float | None] = deque(maxlen=_KEPT)
    console = Console()
    with Live(console=console, auto_refresh=False) as drawn:
        for live in answers:
            watts.append(live.power.watts)
            drawn.update(Text(screen(live, tuple(watts), console.width)), refresh=True)


def _each_second(client: BlockingClient, source: EnergySourceName | None) -> Iterator[LiveEnergy]:
    from protocol.requests import Energy

    while True:
        began_s = time.monotonic()
        yield client.ask(Energy(source=source))
        # The engine takes a second where it measures, and answers at once where it cannot.
        time.sleep(max(0.0, began_s + _PERIOD_S - time.monotonic()))


def _print(live: LiveEnergy, *, as_json: bool) -> None:
    show_answer(live, live_lines(live), as_json=as_json)
