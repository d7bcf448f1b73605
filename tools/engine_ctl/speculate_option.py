"""``--speculate``: what guesses tokens that are computed ahead of time."""

from __future__ import annotations

from typing import Any

import click

from engine_ctl.completions import QUANTIZATIONS, complete_model
from engine_ctl.options import Model

_KINDS = ("lookup", "off")
_FORMS = {"draft": "draft=MODEL or draft=MODEL:QUANT", "self": "self=QUANT"}


class _Speculation(click.ParamType[dict[str, Any]]):
    """A request's ``speculation``, in a word: a kind, ``draft=MODEL[:QUANT]`` or ``self=QUANT``."""

    name = "speculation"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """The request's field. A quantization that follows a model is one of the engine's own names."""
        if isinstance(value, dict):
            return value
        kind, _, rest = str(value).partition("=")
        if kind in _FORMS and not rest:
            self.fail(f"{value!r} is not of the form {_FORMS[kind]}", param, ctx)
        if kind == "self":
            return {"kind": kind, "quantization": rest}
        if kind != "draft":
            return {"kind": str(value)}
        model, colon, quantization = rest.rpartition(":")
        if not colon or quantization.lower() not in QUANTIZATIONS:
            return {"kind": kind, "model": Model().convert(rest, param, ctx)}
        return {"kind": kind, "model": Model().convert(model, param, ctx), "quantization": quantization}


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    words = [*_KINDS, *(f"self={name}" for name in QUANTIZATIONS if name != "native")]
    words += [f"draft={name}" for name in complete_model(ctx, parameter, incomplete.removeprefix("draft="))]
    return [word for word in words if word.startswith(incomplete)]


SPECULATE_FLAG = click.option(
    "--speculate",
    type=_Speculation(),
    metavar="KIND",
    shell_complete=_complete,
    help="What guesses tokens that are computed ahead of time: lookup, draft=MODEL[:QUANT], self=QUANT, off.  "
    "[default: off]",
)
