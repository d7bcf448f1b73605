"""``engine-ctl config``: the configuration file, and where each value comes from."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from engine_ctl.command_group import CommandGroup
from engine_ctl.options import json_option

if TYPE_CHECKING:
    from engine_ctl.config_file import ConfigFile


@click.group(name="config", cls=CommandGroup)
def command() -> None:
    """Show and check the configuration file, and where each value comes from."""


@command.command(name="show")
@json_option
def show(as_json: bool) -> None:
    """Show every setting: its value, and whether environment, file or default says so.

    The flags that the file has for commands come last. A flag counts before a variable, a variable before the file.
    """
    from engine_ctl.config_file import source_of
    from engine_ctl.settings import SETTINGS

    config = _read()
    rows = [
        {
            "name": setting.name,
            "variable": setting.variable,
            "value": os.environ.get(setting.variable) or None,
            "from": source_of(setting, config, os.environ),
            "default": setting.default,
            "meaning": setting.meaning,
        }
        for setting in SETTINGS
    ]
    flags = {f"{command}.{flag}": value for command, table in config.flags.items() for flag, value in table.items()}
    if as_json:
        whole = {"file": str(config.path), "exists": config.path.is_file(), "settings": rows, "flags": flags}
        click.echo(json.dumps(whole))
        return
    click.echo(f"{config.path}{'' if config.path.is_file() else ' (no such file)'}", err=True)
    width = max(len(name) for name in (*(str(row["name"]) for row in rows), *flags))
    for row in rows:
        click.echo(f"{row['name']:{width}}  {row['from']:11}  {row['value'] or row['default']}")
    for name, value in flags.items():
        click.echo(f"{name:{width}}  {'file':11}  {value}")


@command.command(name="check")
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Check the file: keys, values, and the flags of commands. Exits with 2 where something is wrong."""
    config = _read()
    faults = [*config.faults, *_faults_of_flags(config)]
    if as_json:
        click.echo(json.dumps({"file": str(config.path), "exists": config.path.is_file(), "faults": faults}))
    else:
        for fault in faults:
            click.echo(f"{config.path}: {fault}")
        if not faults:
            click.echo(f"{config.path}: {'nothing is wrong' if config.path.is_file() else 'no such file'}", err=True)
    ctx.exit(2 if faults else 0)


def _read() -> ConfigFile:
    from engine_ctl.config_file import read_config
    from engine_ctl.config_place import config_path
    from engine_ctl.main import COMMANDS

    return read_config(config_path(), COMMANDS)


def _faults_of_flags(config: ConfigFile) -> list[str]:
    from importlib import import_module

    from engine_ctl.config_file import flags_of

    faults: list[str] = []
    for name, table in config.flags.items():
        of: click.Command = import_module(f"engine_ctl.commands.{name}").command
        values, wrong = flags_of(of, table)
        faults += wrong
        for option in of.params:
            if option.name in values:
                try:
                    option.type_cast_value(click.Context(of), values[option.name])
                except click.BadParameter as error:
                    faults.append(f"{name}.{option.name}: {error.message}")
    return faults
