"""``weos-agents``: the entry point. A command's module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

from protocol.errors import EngineError

COMMANDS = ("observe", "workload", "experiment", "optimize", "report")
_OURS = frozenset({"protocol", "weos_agents"})
_EXTRAS = {"distributed": "fleet", "dask": "fleet"}
"""Extras that packages come with, where it is another than ``agents``."""
_FAILED = 1
_INTERRUPTED = 130


class Agents(click.Group):
    """Finds commands by name in :mod:`weos_agents.commands`, and tells errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, whose module is imported now; ``None`` where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"weos_agents.commands.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; an error ends it with its message."""
        try:
            return super().invoke(ctx)
        except EngineError as error:
            click.echo(f"error[{error.code}]: {error.message}", err=True)
            ctx.exit(_FAILED)
        except ModuleNotFoundError as error:
            package, extra = error.name or "", _EXTRAS.get(error.name or "", "agents")
            if package.partition(".")[0] in _OURS:
                raise
            click.echo(f"error: this needs {package}: pip install 'weos-engine[{extra}]'", err=True)
            ctx.exit(_FAILED)
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)


@click.group(cls=Agents)
def main() -> None:
    """Agents that observe an engine, experiment with its plans and propose better ones.

    They are clients of a running engine (`engine-ctl serve`), and change nothing that they are not asked to.
    """
