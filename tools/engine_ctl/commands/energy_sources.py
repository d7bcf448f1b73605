"""``engine-ctl energy sources``: which sources of joules work on this machine, and why the others do not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from engine_ctl.options import json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.energy.source_state import SourceState


@click.command(name="sources")
@json_option
def sources(as_json: bool) -> None:
    """Try every source of joules; say which work, why the others do not, and what would change that.

    The best comes first; plans that leave their source open get it. Needs no engine and starts none.
    """
    from engine.config import default_config
    from engine.energy.ladder import open_ladder

    ladder = open_ladder(default_config())
    if as_json:
        told = [{"works": state.works, **asdict(state)} for state in ladder.states()]
        content = {"source": ladder.name, "declared": ladder.declaration, "sources": told}
        click.echo(json.dumps(content, ensure_ascii=False))
        return
    for line in lines(ladder.states(), ladder.name):
        click.echo(line)
    if ladder.why_not_declared:
        click.echo(f"{ladder.declaration}: it does not work here, and no engine starts.")
    elif ladder.declaration:
        click.echo(f"Plans name {ladder.declaration}.")


def lines(states: Sequence[SourceState], chosen: str) -> list[str]:
    """For a person: a line for each source, and under it what it leaves out, or what to do."""
    told: list[str] = []
    for state in states:
        mark = "used" if state.name == chosen else "works" if state.works else "no"
        told.append(f"{state.name:6} {mark:6} {_found(state)}")
        told += [f"{'':14}{line}" for line in (*state.notes, *state.remedy.splitlines())]
    if not any(state.works for state in states if state.kind != "modelled") and chosen == "none":
        told.append("Nothing measures here: figures of energy are null, and limits in watts or joules are refused.")
    return told


def _found(state: SourceState) -> str:
    if not state.works:
        return state.reason
    return f"{state.kind}: {', '.join(state.domains)}; moves every {state.update_ms:.4g} ms"
