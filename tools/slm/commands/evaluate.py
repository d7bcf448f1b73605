"""``slm evaluate``: bits per byte of the held-out text, side by side."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from slm.commands.options import data_option, model_option, socket_option, tokenizer_option


@click.command(name="evaluate")
@model_option
@tokenizer_option
@data_option
@click.option(
    "--gguf", "files", multiple=True, type=click.Path(path_type=Path, exists=True), help="A file to run in the engine."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@socket_option
def command(
    *,
    model_path: Path,
    tokenizer: Path | None,
    data_folder: Path,
    files: tuple[Path, ...],
    as_json: bool,
    socket: Path | None,
) -> None:
    """Judge a model by bits per byte of text that no training saw, beside byte n-grams of the training text.

    Losses and perplexities of different vocabularies do not compare; bits per byte do.
    """
    from slm.corpus.prepared_data import PreparedData
    from slm.engine_link import EngineLink
    from slm.evaluation.judgement import judge_baselines, judge_in_engine, judge_in_pytorch
    from slm.export.trained_model import open_model

    data, model = PreparedData(data_folder), open_model(model_path, tokenizer)
    context = model.architecture.max_position_embeddings
    rows = [*judge_baselines(data), judge_in_pytorch(model, data)]
    rows += judge_in_engine(files, data, context, EngineLink(socket))
    if as_json:
        click.echo(json.dumps([row.model_dump() for row in rows], indent=2))
        return
    table = Table("", "bits per byte", "MB", "tokens/s read", box=None, pad_edge=False)
    for row in rows:
        size = "" if row.megabytes is None else f"{row.megabytes:,.1f}"
        rate = "" if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}"
        table.add_row(row.what, f"{row.bits_per_byte:.4f}", size, rate)
    Console().print(table)
