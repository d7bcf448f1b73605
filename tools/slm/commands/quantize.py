"""``slm quantize``: a checkpoint as GGUF with fewer bits, by the engine's own quantizers."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from slm.commands.options import model_option, output_option, socket_option, tokenizer_option
from slm.errors import SlmError

RECIPES = {"int4": "q4_k_m", "int8": "q8_0"}
_ENGINE = "engine"
_ELSEWHERE = {
    "gptq": "GPTQ",
    "awq": "AWQ",
    "bitsandbytes": "bitsandbytes",
}


@click.command(name="quantize")
@model_option
@tokenizer_option
@click.option("--to", "wanted", type=click.Choice(["int4", "int8", "fp16"]), default="int4", show_default=True)
@click.option(
    "--data", "data_folder", type=click.Path(path_type=Path), help="Weigh errors by importance over this training text."
)
@click.option("--method", default=_ENGINE, show_default=True, help="Only the engine's own.")
@output_option
@socket_option
def command(
    *,
    model_path: Path,
    tokenizer: Path | None,
    wanted: str,
    data_folder: Path | None,
    method: str,
    output: Path,
    socket: Path | None,
) -> None:
    """Write GGUF in fewer bits: int4 is Q4_K_M and int8 is Q8_0, both in blocks with scales of their own.

    fp16 needs no engine. The result is what `engine-ctl quantize` makes of the exported model, and runs in the engine.
    """
    _require_own(method)
    from slm.corpus.prepared_data import PreparedData
    from slm.engine_link import EngineLink
    from slm.export.gguf_file import write_gguf
    from slm.export.importance import write_importance
    from slm.export.trained_model import open_model

    model = open_model(model_path, tokenizer)
    if wanted == "fp16":
        write_gguf(model, output, "fp16")
        click.echo(f"{output}: {output.stat().st_size / 10**6:,.1f} MB")
        return
    with TemporaryDirectory(prefix="slm-") as name:
        source, importance = Path(name) / "model.gguf", None
        write_gguf(model, source, "f32")
        if data_folder is not None:
            importance = Path(name) / "importance.gguf"
            tokens = write_importance(model.transformer, PreparedData(data_folder).shards, importance)
            click.echo(f"importance of columns over {tokens:,} tokens", err=True)
        made = EngineLink(socket).quantize(source, RECIPES[wanted], output, importance)
    click.echo(f"{made.path}: {made.size_bytes / 10**6:,.1f} MB, {made.tensor_types}")


def _require_own(method: str) -> None:
    if method == _ENGINE:
        return
    name = _ELSEWHERE.get(method.lower(), method)
    raise SlmError(
        f"{name} is not here: it needs kernels or formats of other runtimes (mostly CUDA), which this engine does not "
        "run. --to int4 makes Q4_K_M, with importance of columns where --data is given"
    )
