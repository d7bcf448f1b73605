"""Errors as output: one line for a person, one JSON object for a program."""

from __future__ import annotations

import click

from engine_ctl.exit_codes import EXIT_CODES, INTERNAL_ERROR
from engine_ctl.options import speaks_in_fields, wants_json
from protocol.errors import EngineError


def exit_for(ctx: click.Context, error: EngineError) -> int:
    """Report the error on stderr, or on stdout as ``{"error": …}`` with ``--json``, and give its exit code."""
    if wants_json(ctx):
        import json

        click.echo(json.dumps({"error": error_object(error)}, ensure_ascii=False, default=str))
    else:
        click.echo(error_line(error, in_fields=speaks_in_fields(ctx)), err=True)
    return EXIT_CODES.get(error.code, INTERNAL_ERROR)


def error_object(error: EngineError) -> dict[str, object]:
    """An error as an object of JSON."""
    return {"code": error.code, "message": error.message, "params": error.params}


def error_line(error: EngineError, *, in_fields: bool = False) -> str:
    """An error on one line, in the words of flags unless the request was written ``in_fields``; its parameters are a
    program's, and are shown with ``--json``."""
    from engine_ctl.flag_words import in_flags

    message = error.message if in_fields else in_flags(error.message)
    return f"error[{error.code}]: {' '.join(message.split())}"


def output_line(error: OSError) -> str:
    """What the system refused, on one line."""
    place = error.filename if isinstance(error.filename, str) else "standard output"
    return f"error: {place}: {error.strerror or error}"
