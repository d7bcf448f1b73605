"""An answer of the engine's on standard output: as JSON for programs, or as lines for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from protocol.message import Answer


def answer_json(answer: Answer) -> str:
    """The answer's content in JSON, without what belongs to the connection."""
    return answer.model_dump_json(exclude={"type", "request_id"})


def show_answer(answer: Answer, lines: Iterable[str], *, as_json: bool) -> None:
    """Print the answer as JSON, or ``lines``, which are not made for JSON if they are a generator."""
    if as_json:
        click.echo(answer_json(answer))
        return
    for line in lines:
        click.echo(line)
