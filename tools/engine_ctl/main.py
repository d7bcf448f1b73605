"""The entry point. A command's module is imported when it is asked for, and what it needs when it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from engine_ctl.command_group import CommandGroup, suggested
from engine_ctl.config_place import config_path
from engine_ctl.exit_codes import EXIT_CODES_HELP, INTERNAL_ERROR, INTERRUPTED
from engine_ctl.failure import exit_for, output_line
from engine_ctl.standard_streams import discard_output, prepare_streams
from protocol.errors import EngineError

if TYPE_CHECKING:
    from engine_ctl.config_file import ConfigFile

COMMANDS: Mapping[str, str] = {
    "run": "Answer a TEXT, or what is piped in.",
    "chat": "Hold a conversation with a model.",
    "serve": "Run the engine in the foreground.",
    "status": "Show the engine's executions, loaded models, memory and energy source.",
    "ps": "List the models in the running engine's memory.",
    "metrics": "Show counters, times and gauges since the engine started.",
    "energy": "Show the machine's power and the energy that running executions have used.",
    "plan": "Show the plan that `run` would execute with the same flags.",
    "cancel": "Cancel a queued or running execution.",
    "models": "List, fetch, inspect and remove models.",
    "tokenize": "Print the token ids of a text, on one line.",
    "detokenize": "Print the text of token ids, without adding a line end.",
    "quantize": "Write MODEL in a recipe's types as a standard GGUF file.",
    "cache": "List, check and remove cached weights; clear the cache of prompts.",
    "eval": "Measure how well MODEL predicts a text, and how far two quantizations, or types of KV cache, differ.",
    "embed": "Make a vector of each TEXT by pooling MODEL's hidden states.",
    "rerank": "Order DOCUMENTs by how well they answer the QUERY, as MODEL's classifier judges each pair.",
    "executions": "List, show, compare, verify and export recorded executions.",
    "experiments": "Run, list and show experiments.",
    "proposals": "File, list, show, validate, reject, apply and withdraw proposals.",
    "plans": "List, show and roll back named plans; `proposals apply` puts one behind a name.",
    "schema": "Print the JSON Schema of plans, requests, records or messages.",
    "watch": "Follow the executions of a running engine until Ctrl-C or its end.",
    "bench": "Measure prefill and decoding in this process, without tokenization, sampling choices or a client.",
    "config": "Show and check the configuration file, and where each value comes from.",
    "completion": "Print what lets a shell complete commands, flags, models and quantizations.",
    "man": "Write a manual page of every command into FOLDER, such as ~/.local/share/man/man1.",
    "doctor": "Check the machine, permissions, backends, energy sources, socket, cache and disk.",
    "shutdown": "Stop the engine.",
}
"""The commands, and what each does: written here too, so that the list of them imports none."""
_WIDEST = 120
_USUAL = 80


class EngineCtl(CommandGroup):
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; the configuration file's flags for it become its defaults."""
        name, command, rest = super().resolve_command(ctx, args)
        config: ConfigFile | None = ctx.obj
        if config is None or command is None or name == "config":
            return name, command, rest
        from engine_ctl.config_file import flags_of

        values, faults = flags_of(command, config.flags.get(name or "", {}))
        if name == "plan":  # what `run` would do, with the flags that `run` would have
            shared, _ = flags_of(command, config.flags.get("run", {}))
            values = {**shared, **values}
        if wrong := (*config.faults, *faults):
            raise click.UsageError(f"{config.path}: {wrong[0]} (engine-ctl config check)", ctx)
        ctx.default_map = {name or "": values}
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands into the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit codes into the help."""
        with formatter.section("Exit codes"):
            formatter.write_dl(list(EXIT_CODES_HELP.items()))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context, as wide as the terminal: click itself takes none for narrower than 50 columns."""
        extra.setdefault("terminal_width", min(_columns(), _WIDEST) - 2)
        return super().make_context(info_name, args, parent, **extra)

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command line and end the process, whatever its standard streams were started as."""
        prepare_streams()
        try:
            return super().main(args, *rest, **extra, obj=_configured())
        except OSError as error:
            _end_for(error)
        except SystemExit:
            try:
                sys.stdout.flush()
            except OSError as error:
                _end_for(error)
            raise

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; errors end it with their message and exit code."""
        try:
            return super().invoke(ctx)
        except EngineError as error:
            ctx.exit(exit_for(ctx, error))
        except click.NoSuchOption as error:
            raise suggested(error) from None
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


def _configured() -> ConfigFile | None:
    """The configuration file, its variables in force; ``None`` where there is none."""
    path = config_path()
    if not path.exists():
        return None
    from engine_ctl.config_file import apply_config, read_config

    config = read_config(path, COMMANDS)
    apply_config(config)
    return config


def _end_for(error: OSError) -> NoReturn:
    """End the process for what the system refused, such as a full disk behind stdout."""
    discard_output()
    click.echo(output_line(error), err=True)
    raise SystemExit(INTERNAL_ERROR) from None


def _columns() -> int:
    """The terminal's, or those that ``COLUMNS`` says; ``shutil`` knows too, and takes milliseconds to import."""
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(1).columns or _USUAL
    except OSError:
        return _USUAL


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from engine_ctl.version import version_lines

        click.echo("\n".join(version_lines()))
        ctx.exit()


@click.command(cls=EngineCtl, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show version and build."
)
def main() -> None:
    """Execute decisions about language models, and measure what they cost.

    \b
    To begin:
      engine-ctl models pull smollm2-135m-instruct
      engine-ctl run smollm2-135m-instruct "Why is the sky blue?"
    """
