"""``slm export-gguf``: a checkpoint as a file that the engine runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from slm.commands.options import model_option, output_option, tokenizer_option

if TYPE_CHECKING:
    from slm.export.gguf_file import WeightType


@click.command(name="export-gguf")
@model_option
@tokenizer_option
@click.option("--type", "weight_type", type=click.Choice(["f32", "fp16"]), default="f32", show_default=True)
@output_option
def command(*, model_path: Path, tokenizer: Path | None, weight_type: WeightType, output: Path) -> None:
    """Write GGUF of architecture `llama`, with tokenizer and chat template. For fewer bits: slm quantize."""
    from slm.export.gguf_file import write_gguf
    from slm.export.trained_model import open_model

    model = open_model(model_path, tokenizer)
    write_gguf(model, output, weight_type)
    click.echo(f"{output}: {output.stat().st_size / 10**6:,.1f} MB, {model.architecture.parameters:,} parameters")
