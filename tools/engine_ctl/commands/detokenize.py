"""``engine-ctl detokenize``: token ids to text."""

from __future__ import annotations

import json
from pathlib import Path

import click

from engine_ctl.model_text import write_text
from engine_ctl.options import json_option, model_parameter, socket_option
from engine_ctl.text_source import STDIN, read_text


@click.command(name="detokenize")
@model_parameter
@click.option("--ids", help="Token ids, separated by spaces or commas.  [default: standard input]")
@socket_option
@json_option
def command(model: str, ids: str | None, socket: Path | None, as_json: bool) -> None:
    """Print the text of token ids, without adding a line end.

    Takes what `tokenize` prints, or a JSON array.
    """
    from engine_ctl.connection import connect_or_embed
    from protocol.requests import Detokenize

    token_ids = parse_ids(read_text(STDIN) if ids is None else ids)
    with connect_or_embed(socket) as client:
        text = client.ask(Detokenize(model=model, token_ids=token_ids)).text
    if as_json:
        click.echo(json.dumps({"text": text}, ensure_ascii=False))
    else:
        write_text(text)


def parse_ids(text: str) -> tuple[int, ...]:
    """The ids in a line of ``tokenize`` or in a JSON array. Raises click.BadParameter naming what is not an id."""
    words = text.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) <= 10):
            raise click.BadParameter(f"{word[:40]!r} is not a token id")
    return tuple(map(int, words))
