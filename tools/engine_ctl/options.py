"""Options that more than one command takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from engine_ctl.completions import complete_model
from engine_ctl.model_aliases import aliases

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Command = TypeVar("Command", bound=Callable[..., Any])

_JSON = "engine_ctl.json"
_FIELDS = "engine_ctl.fields"


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


def model_parameter(command: Command, rest: str = "") -> Command:
    """Add MODEL, the first argument or ``--model``, as everywhere. ``rest`` names the arguments behind it, if any."""

    @wraps(command)
    def with_model(*args: Any, model: str | None, named_model: str | None, **values: Any) -> Any:
        if rest and model is not None and named_model is not None:
            model, values[rest] = None, (model, *values[rest])
        if (model is None) == (named_model is None):
            raise click.UsageError("Give one MODEL; engine-ctl models ls lists them.")
        return command(*args, model=model or named_model, **values)

    decorated = click.option("--model", "named_model", type=Model(), help="MODEL as an option.")(with_model)
    return cast("Command", click.argument("model", required=False, type=Model(), metavar="MODEL")(decorated))


class Model(click.ParamType[str]):
    """A registry name as it is; a file from here by its full path, since the engine may run elsewhere."""

    name = "model"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The model's name, or its absolute path where it is a file; what an alias stands for."""
        value = aliases().get(value.lower(), value)
        path = Path(value).expanduser()
        looks_like_path = path.suffix.lower() == ".gguf" or "/" in value
        return str(path.absolute()) if looks_like_path and path.is_file() else value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Models that are here."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in complete_model(ctx, param, incomplete)]


def wants_json(ctx: click.Context) -> bool:
    """Whether the command was given ``--json``."""
    return bool(ctx.meta.get(_JSON, False))


def speaks_in_fields(ctx: click.Context) -> bool:
    """Whether the command was given a request as a file, so that errors name its fields and no flags."""
    return bool(ctx.meta.get(_FIELDS, False))


def speak_in_fields() -> None:
    """Have the errors of the running command name fields of the request."""
    click.get_current_context().meta[_FIELDS] = True


def _remember_json(ctx: click.Context, parameter: click.Parameter, value: bool) -> bool:
    ctx.meta[_JSON] = value
    return value
