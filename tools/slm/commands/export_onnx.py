"""``slm export-onnx``: a checkpoint for ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import click

from slm.commands.options import model_option, output_option, tokenizer_option


@click.command(name="export-onnx")
@model_option
@tokenizer_option
@output_option
def command(*, model_path: Path, tokenizer: Path | None, output: Path) -> None:
    """Write ONNX in f32, from token ids to logits, and compare it with PyTorch in ONNX Runtime."""
    from slm.export.onnx_file import write_onnx
    from slm.export.trained_model import open_model

    difference = write_onnx(open_model(model_path, tokenizer), output)
    click.echo(
        f"{output}: {output.stat().st_size / 10**6:,.1f} MB, logits within {difference:.2g} deviations of PyTorch's"
    )
