"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

model_option = click.option(
    "--model",
    "model_path",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="A training's folder, for its latest checkpoint, or a checkpoint: slm train's, or AUTON's with --tokenizer.",
)
tokenizer_option = click.option(
    "--tokenizer", type=click.Path(path_type=Path), help="A tokenizer.json.  [default: the one beside the checkpoint]"
)
data_option = click.option(
    "--data", "data_folder", required=True, type=click.Path(path_type=Path), help="Of slm prepare-data."
)
output_option = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="File to write; must not exist yet."
)
socket_option = click.option(
    "--socket", type=click.Path(path_type=Path), help="The engine's socket.  [default: its usual place]"
)
