"""Text that a model made, on its way to stdout or, where it is thinking, to stderr."""

from __future__ import annotations

import sys

import click


def write_thought(text: str) -> None:
    """Write thinking to stderr at once, as :func:`write_text` writes an answer to stdout."""
    click.echo(text.encode(sys.stderr.encoding, "backslashreplace"), nl=False, err=True)


def write_text(text: str) -> None:
    """Write it to stdout at once, exactly as it is; a character that stdout's encoding lacks as its escape.

    ``click.echo`` of a string would take a terminal's control sequences out of it where stdout is no terminal.
    """
    click.echo(text.encode(sys.stdout.encoding, "backslashreplace"), nl=False)
