"""``auton config``: values of ``auton.toml``, read and changed one at a time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from auton.commands.options import config_option
from auton.errors import AutonError
from auton.settings import load_settings, parse_settings


@click.group(name="config")
def command() -> None:
    """Read and change auton.toml. Keys of providers are no part of it: they come from the environment."""


@command.command(name="get")
@click.argument("key", required=False)
@config_option
def get(*, key: str | None, config_path: Path) -> None:
    """Print the value of KEY, such as kernel.arch, or all values with the defaults of those that are not set."""
    found: Any = load_settings(config_path).model_dump(mode="json")
    for part in key.split(".") if key else ():
        if not isinstance(found, dict) or part not in found:
            raise AutonError(f"there is no setting {key}")
        found = found[part]
    click.echo(found if isinstance(found, str) else json.dumps(found, indent=2))


@command.command(name="set")
@click.argument("key")
@click.argument("value")
@config_option
def set_value(*, key: str, value: str, config_path: Path) -> None:
    """Set KEY to VALUE. The rest of the file, its comments included, stays; what would not be valid is not written."""
    import tomlkit
    from tomlkit.items import Table

    text = config_path.read_text(encoding="utf-8") if config_path.exists() else ""
    load_settings(config_path)
    content = tomlkit.parse(text)
    *sections, last = key.split(".")
    place: Any = content
    for section in sections:
        place = place.setdefault(section, tomlkit.table())
        if not isinstance(place, Table):
            raise AutonError(f"there is no setting {key}")
    place[last] = _parsed(value)
    changed = tomlkit.dumps(content)
    parse_settings(changed)
    begun = config_path.with_name(f".{config_path.name}.begun")
    begun.write_text(changed, encoding="utf-8")
    begun.replace(config_path)


def _parsed(value: str) -> Any:
    """A number, a truth value or a list as JSON has them; else text."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
