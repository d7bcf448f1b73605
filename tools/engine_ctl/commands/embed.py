"""``engine-ctl embed``: vectors of texts."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from engine_ctl.completions import QUANTIZATIONS, among
from engine_ctl.options import json_option, model_parameter, socket_option
from engine_ctl.text_source import read_text


@click.command(name="embed")
@partial(model_parameter, rest="texts")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--file", "text_file", metavar="FILE", help="Further texts, one for each line; - is standard input.")
@click.option("--pooling", help="Pooling: mean, cls (the first token) or last.  [default: the model's own, or mean]")
@click.option(
    "--normalize/--no-normalize", default=True, help="Divide each vector by its length.  [default: normalize]"
)
@click.option(
    "--quant",
    shell_complete=among(*QUANTIZATIONS),
    default="native",
    help=f"Types of the weights: {', '.join(QUANTIZATIONS)}.  [default: native]",
)
@click.option(
    "--backend", help="Kernels to compute with; all give the same vectors.  [default: the best this machine has]"
)
@click.option("--kv-cache", default="f16", help="Type of keys and values: f16, q8_0.  [default: f16]")
@click.option("--threads", type=int, help="Compute threads.  [default: every allowed CPU]")
@socket_option
@json_option
def command(
    model: str,
    texts: tuple[str, ...],
    *,
    text_file: str | None,
    pooling: str | None,
    normalize: bool,
    quant: str,
    backend: str | None,
    kv_cache: str,
    threads: int | None,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Make a vector of each TEXT by pooling MODEL's hidden states.

    Shows the first numbers of each vector and how similar they are. --json prints the vectors whole and exact.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.embedding_lines import lines, numbers
    from engine_ctl.execution import parse_embedding
    from engine_ctl.progress_bar import ProgressBar
    from protocol.requests import Embed

    texts += () if text_file is None else _lines_of(read_text(text_file))
    if not texts:
        raise click.UsageError("Give a TEXT, or --file.")
    request = parse_embedding(
        {
            "model": model,
            "texts": texts,
            "pooling": pooling,
            "normalize": normalize,
            "quantization": quant,
            "backend": backend,
            "kv_cache": kv_cache,
            "threads": threads,
        }
    )
    with connect_or_embed(socket) as client, ProgressBar(quiet=as_json) as bar:
        embedded = bar.ask(client, Embed(request=request))
    if as_json:
        click.echo(json.dumps(numbers(embedded)))
        return
    for line in lines(embedded, texts):
        click.echo(line)


def _lines_of(content: str) -> tuple[str, ...]:
    return tuple(content.removesuffix("\n").split("\n")) if content else ()
