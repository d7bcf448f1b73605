"""``engine-ctl quantize``: a model in another recipe's types, as a file of its own."""

from __future__ import annotations

from pathlib import Path

import click

from engine_ctl.answer_output import answer_json
from engine_ctl.completions import QUANTIZATIONS, among
from engine_ctl.options import json_option, model_parameter, socket_option


@click.command(name="quantize")
@model_parameter
@click.option(
    "--quant",
    shell_complete=among(*QUANTIZATIONS),
    required=True,
    help=f"Types to write: {', '.join(QUANTIZATIONS[1:])}.",
)
@click.option(
    "--imatrix",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Importance matrix (GGUF or legacy) that weighs errors by column.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="File to write; must not exist yet."
)
@click.option(
    "--backend", help="Kernels to compute with; all give the same bytes.  [default: the best this machine has]"
)
@click.option("--threads", type=int, help="Number of threads.  [default: every allowed CPU]")
@socket_option
@json_option
def command(
    model: str,
    quant: str,
    imatrix: Path | None,
    output: Path,
    *,
    backend: str | None,
    threads: int | None,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Write MODEL in a recipe's types as a standard GGUF file.

    A run needs no such file: `engine-ctl run --quant` does the same and keeps the result in the cache.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.progress_bar import ProgressBar
    from protocol.requests import Quantize

    request = Quantize(
        model=model,
        recipe=quant,
        output=str(output.absolute()),
        importance=None if imatrix is None else str(imatrix.absolute()),
        backend=backend,
        threads=threads,
    )
    with connect_or_embed(socket) as client, ProgressBar(quiet=as_json) as bar:
        made = bar.ask(client, request)
    if as_json:
        click.echo(answer_json(made))
    else:
        click.echo(f"{made.path}: {made.size_bytes / 10**6:,.1f} MB, {made.tensor_types}")
