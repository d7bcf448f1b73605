"""``engine-ctl energy``: where joules come from, and what they are worth."""

from __future__ import annotations

import click

from engine_ctl.commands.energy_calibrate import calibrate


@click.group(name="energy")
def command() -> None:
    """Measure what this machine draws."""


command.add_command(calibrate)
