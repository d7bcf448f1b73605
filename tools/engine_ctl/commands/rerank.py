"""``engine-ctl rerank``: documents in the order of how well they answer a query."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.completions import QUANTIZATIONS, among
from engine_ctl.options import json_option, model_parameter, socket_option
from engine_ctl.text_source import read_text

if TYPE_CHECKING:
    from protocol.operation_answers import Reranked

_WIDEST_TEXT = 80


@click.command(name="rerank")
@partial(model_parameter, rest="texts")
@click.argument("texts", nargs=-1, metavar="QUERY [DOCUMENT]...")
@click.option("--file", "text_file", metavar="FILE", help="Further documents, one for each line; - is standard input.")
@click.option("--top", "top_n", type=int, help="Show only so many of the best.  [default: all]")
@click.option(
    "--quant",
    shell_complete=among(*QUANTIZATIONS),
    default="native",
    help=f"Types of the weights: {', '.join(QUANTIZATIONS)}.  [default: native]",
)
@click.option(
    "--backend", help="Kernels to compute with; all give the same scores.  [default: the best this machine has]"
)
@click.option("--threads", type=int, help="Compute threads.  [default: every allowed CPU]")
@socket_option
@json_option
def command(
    model: str,
    texts: tuple[str, ...],
    *,
    text_file: str | None,
    top_n: int | None,
    quant: str,
    backend: str | None,
    threads: int | None,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Order DOCUMENTs by how well they answer the QUERY, as MODEL's classifier judges each pair.

    Shows the classifier's number, the larger the better, with each document's place.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.execution import parse_reranking
    from engine_ctl.progress_bar import ProgressBar
    from protocol.requests import Rerank

    query, documents = texts[:1], texts[1:]
    if text_file is not None:
        documents += tuple(read_text(text_file).removesuffix("\n").split("\n"))
    if not query or not documents:
        raise click.UsageError("Give a QUERY, and a DOCUMENT or --file.")
    request = parse_reranking(
        {
            "model": model,
            "query": query[0],
            "documents": documents,
            "top_n": top_n,
            "quantization": quant,
            "backend": backend,
            "threads": threads,
        }
    )
    with connect_or_embed(socket) as client, ProgressBar(quiet=as_json) as bar:
        reranked = bar.ask(client, Rerank(request=request))
    if as_json:
        click.echo(reranked.model_dump_json(exclude={"type", "request_id"}))
        return
    for line in _lines(reranked, documents):
        click.echo(line)


def _lines(reranked: Reranked, documents: tuple[str, ...]) -> list[str]:
    plan = reranked.plan
    return [
        f"{plan.model_ref.name} · {plan.quantization} · {plan.backend} · {len(documents)} "
        f"document{'s' if len(documents) > 1 else ''}, {reranked.tokens:,} tokens, {reranked.duration_s:,.2f} s",
        *(
            f"{result.index + 1:4}{result.score:10.4f}  {_clipped(documents[result.index])}"
            for result in reranked.results
        ),
    ]


def _clipped(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST_TEXT else line[: _WIDEST_TEXT - 1] + "…"
