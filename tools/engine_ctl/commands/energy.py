"""``engine-ctl energy``: where joules come from on this machine."""

from __future__ import annotations

import click

from engine_ctl.commands.energy_calibrate import calibrate
from engine_ctl.commands.energy_setup import setup
from engine_ctl.commands.energy_sources import sources


@click.group(name="energy")
def command() -> None:
    """Show the sources of joules on this machine, let the engine read them, and measure what the machine draws."""


command.add_command(sources)
command.add_command(setup)
command.add_command(calibrate)
