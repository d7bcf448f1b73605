"""The entry point. A command's module is imported when it is asked for, and what it needs when it runs."""

from __future__ import annotations

from importlib import import_module

import click

from engine_ctl.exit_codes import EXIT_CODES_HELP, INTERRUPTED
from engine_ctl.failure import exit_for
from protocol.errors import EngineError

COMMANDS = (
    "run",
    "chat",
    "serve",
    "status",
    "metrics",
    "energy",
    "plan",
    "cancel",
    "models",
    "tokenize",
    "detokenize",
    "quantize",
    "cache",
    "eval",
    "embed",
    "executions",
    "experiments",
    "proposals",
    "plans",
    "schema",
    "watch",
    "bench",
    "doctor",
    "shutdown",
)


class EngineCtl(click.Group):
    """Finds commands by name in :mod:`engine_ctl.commands` and ends the process with the error's exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, whose module is imported now; ``None`` where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"engine_ctl.commands.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; errors end it with their message and exit code."""
        try:
            return super().invoke(ctx)
        except EngineError as error:
            ctx.exit(exit_for(ctx, error))
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from engine_ctl.version import version_lines

        click.echo("\n".join(version_lines()))
        ctx.exit()


@click.command(
    cls=EngineCtl,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog=EXIT_CODES_HELP,
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show version and build."
)
def main() -> None:
    """Execute decisions about language models, and measure what they cost."""
