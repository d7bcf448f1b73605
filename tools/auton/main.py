"""``auton``: the entry point. A command's module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

from auton.errors import AutonError
from auton.text import shown

COMMANDS = ("run", "config", "debug", "validate", "intent")
_FAILED = 1
_INTERRUPTED = 130
_OPTIONAL = frozenset({"litellm", "tomlkit"})


class Auton(click.Group):
    """Finds commands by name in :mod:`auton.commands`, and reports errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, whose module is imported now; ``None`` where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"auton.commands.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; an error ends it with its message."""
        try:
            return super().invoke(ctx)
        except AutonError as error:
            click.echo(f"error: {shown(str(error))}", err=True)
            ctx.exit(_FAILED)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _OPTIONAL:
                raise
            click.echo(f"error: this needs {package}: pip install 'weos-engine[auton]'", err=True)
            ctx.exit(_FAILED)
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)


@click.group(cls=Auton)
def main() -> None:
    """Agents that work on a Git repository: planned, developed side by side, reviewed, merged, tested.

    Nothing that they write runs outside bubblewrap, and your own branches stay as they are.
    """
