"""``engine-ctl energy setup``: the files that let an engine without root's rights read its counters."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from engine_ctl.options import json_option

if TYPE_CHECKING:
    from engine.energy.sources.permissions import Permission


@click.command(name="setup")
@json_option
def setup(as_json: bool) -> None:
    """Print each way to let the engine read energy counters: a file, its path, and the commands that apply it.

    Changes nothing. One way is enough for its sources; the one that grants least comes first.
    """
    from engine.energy.sources.permissions import PERMISSIONS

    if as_json:
        click.echo(json.dumps({"permissions": [asdict(one) for one in PERMISSIONS]}, ensure_ascii=False))
        return
    click.echo("\n".join(_text(one) for one in PERMISSIONS), nl=False)


def _text(permission: Permission) -> str:
    """The file between comment lines, and the commands."""
    heading = f"## {' and '.join(permission.sources)}: {permission.title}\n## {permission.path}\n"
    commands = "".join(f"{command}\n" for command in permission.commands)
    return f"{heading}{permission.content}## then, as root:\n{commands}"
