"""``engine-ctl energy``: watts and joules. Without a further command, those of the moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.command_group import CommandGroup
from engine_ctl.commands.energy_calibrate import calibrate
from engine_ctl.commands.energy_setup import setup
from engine_ctl.commands.energy_sources import sources
from engine_ctl.options import json_option, socket_option

if TYPE_CHECKING:
    from protocol.plan import EnergySourceName

_SOURCES = ("perf", "rapl", "hwmon", "meter", "model")


@click.group(name="energy", cls=CommandGroup, invoke_without_command=True)
@click.option("--watch", is_flag=True, help="Repeat until Ctrl-C; on a terminal, draw a chart.")
@click.option(
    "--energy-source",
    "source",
    type=click.Choice(_SOURCES),
    help="Source to ask.  [default: the one that plans name, else that of a running execution]",
)
@socket_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, *, watch: bool, source: EnergySourceName | None, socket: Path | None, as_json: bool
) -> None:
    """Show the machine's power and the energy that running executions have used. --json: an object a line."""
    if ctx.invoked_subcommand is None:
        from engine_ctl.commands.energy_live import show

        show(socket, source, watch=watch, as_json=as_json)


command.add_command(sources)
command.add_command(setup)
command.add_command(calibrate)
