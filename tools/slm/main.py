"""``slm``: the entry point. A command's module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

import click

from protocol.errors import EngineError
from slm.errors import SlmError

COMMANDS = ("prepare-data", "train", "quantize", "export-gguf", "export-onnx", "evaluate")
_FAILED = 1
_INTERRUPTED = 130
_OPTIONAL = frozenset({"gguf", "matplotlib", "onnx", "onnxruntime", "tensorboard", "torch"})


class Pipeline(click.Group):
    """Finds commands by name in :mod:`slm.commands`, and reports errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, whose module is imported now; ``None`` where there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"slm.commands.{cmd_name.replace('-', '_')}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; an error ends it with its message."""
        try:
            return super().invoke(ctx)
        except SlmError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(_FAILED)
        except EngineError as error:
            click.echo(f"error[{error.code}]: {error.message}", err=True)
            ctx.exit(_FAILED)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _OPTIONAL:
                raise
            click.echo(f"error: this needs {package}: pip install 'weos-engine[slm]'", err=True)
            ctx.exit(_FAILED)
        except KeyboardInterrupt:
            ctx.exit(_INTERRUPTED)


@click.group(cls=Pipeline)
def main() -> None:
    """Small language models: prepare text, train, quantize, export, and judge by bits per byte.

    What is exported runs in this engine: `engine-ctl run MODEL.gguf "Once upon a time"`.
    """
