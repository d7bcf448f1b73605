"""Errors as output: one line for a person, one JSON object for a program."""

from __future__ import annotations

import json

import click

from engine_ctl.exit_codes import EXIT_CODES, INTERNAL_ERROR
from engine_ctl.options import wants_json
from protocol.errors import EngineError


def exit_for(ctx: click.Context, error: EngineError) -> int:
    """Report the error on stderr, or on stdout as ``{"error": …}`` with ``--json``, and give its exit code."""
    if wants_json(ctx):
        click.echo(json.dumps({"error": error_object(error)}, ensure_ascii=False, default=str))
    else:
        click.echo(error_line(error), err=True)
    return EXIT_CODES.get(error.code, INTERNAL_ERROR)


def error_object(error: EngineError) -> dict[str, object]:
    """An error as an object of JSON."""
    return {"code": error.code, "message": error.message, "params": error.params}


def error_line(error: EngineError) -> str:
    """An error on one line, with those parameters that its message does not name."""
    params = {name: value for name, value in error.params.items() if not _is_told(value, error.message)}
    told = f" ({json.dumps(params, ensure_ascii=False, default=str)})" if params else ""
    return " ".join(f"error[{error.code}]: {error.message}{told}".split())


def _is_told(value: object, message: str) -> bool:
    """The message holds the value already, or every one of its elements."""
    elements = value if isinstance(value, list | tuple | dict) else (value,)
    return all(str(element) in message for element in elements)
