"""Options that more than one command takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

_JSON = "engine_ctl.json"


def socket_option(command: Command) -> Command:
    """Add ``--socket``."""
    return click.option(
        "--socket",
        type=click.Path(path_type=Path),
        envvar="ENGINE_SOCKET",
        show_envvar=True,
        help="The engine's Unix socket. [default: $XDG_RUNTIME_DIR/engine/engine.sock]",
    )(command)


def json_option(command: Command) -> Command:
    """``--json``, passed to the command as ``as_json`` and remembered for errors."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        is_eager=True,
        callback=_remember_json,
        help="Print one JSON object on stdout, also for an error.",
    )(command)


def tdp_watts_option(command: Command) -> Command:
    """Add ``--tdp-watts``."""
    return click.option(
        "--tdp-watts",
        type=float,
        help="Power of this machine's CPUs at full load, in watts, for the energy source `model` on a machine that was "
        "not calibrated.  [default: $ENGINE_TDP_WATTS]",
    )(command)


def model_option(*, required: bool) -> Callable[[Command], Command]:
    """Add ``--model``."""
    return click.option("--model", required=required, type=Model(), help="A registry name or the path of a GGUF file.")


class Model(click.ParamType[str]):
    """A registry name as it is; a file from here by its full path, since the engine may run elsewhere."""

    name = "model"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The model's name, or its absolute path where it is a file."""
        path = Path(value).expanduser()
        looks_like_path = path.suffix.lower() == ".gguf" or "/" in value
        return str(path.absolute()) if looks_like_path and path.is_file() else value


def wants_json(ctx: click.Context) -> bool:
    """Whether the command was given ``--json``."""
    return bool(ctx.meta.get(_JSON, False))


def _remember_json(ctx: click.Context, parameter: click.Parameter, value: bool) -> bool:
    ctx.meta[_JSON] = value
    return value
