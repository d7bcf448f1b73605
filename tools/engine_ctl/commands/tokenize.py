"""``engine-ctl tokenize``: text to token ids."""

from __future__ import annotations

import json
from pathlib import Path

import click

from engine_ctl.options import json_option, model_parameter, socket_option
from engine_ctl.text_source import STDIN, read_text


@click.command(name="tokenize")
@model_parameter
@click.option("--text", help="Text to tokenize.  [default: standard input, to its last byte]")
@click.option("--file", "text_file", metavar="FILE", help="Tokenize the text of a file.")
@click.option("--count", is_flag=True, help="Print the number of tokens alone.")
@click.option(
    "--special/--no-special", "add_special", default=True, help="Add the tokens that the model expects around a text."
)
@click.option("--parse-special", is_flag=True, help="Read text that spells a control token as that token.")
@socket_option
@json_option
def command(
    model: str,
    text: str | None,
    text_file: str | None,
    count: bool,
    add_special: bool,
    parse_special: bool,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Print the token ids of a text, on one line.

    Works on any GGUF with a vocabulary, with or without weights. --json prints `token_ids` and their `pieces`.
    """
    from engine_ctl.connection import connect_or_embed
    from protocol.requests import Tokenize

    if text is not None and text_file is not None:
        raise click.UsageError("Give a --text or a --file, not both.")
    text = read_text(text_file or STDIN) if text is None else text
    with connect_or_embed(socket) as client:
        tokens = client.ask(Tokenize(model=model, text=text, add_special=add_special, parse_special=parse_special))
    if as_json:
        click.echo(json.dumps({"token_ids": tokens.token_ids, "pieces": tokens.pieces}, ensure_ascii=False))
    elif count:
        click.echo(len(tokens.token_ids))
    else:
        click.echo(" ".join(map(str, tokens.token_ids)))
