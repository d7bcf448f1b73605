"""``engine-ctl quantize``: a model in a recipe's types, as a GGUF file that others read too."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.options import json_option

if TYPE_CHECKING:
    from engine_ctl.embedded import QuantizedFile

_POLL_S = 0.05


@click.command(name="quantize")
@click.argument("model")
@click.option("--quant", required=True, type=click.Choice(["q8_0", "q6_k", "q4_k_m"]), help="The recipe.")
@click.option("--imatrix", type=click.Path(path_type=Path), help="Importance matrix, GGUF or the older binary form.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A new file.")
@click.option("--threads", type=click.IntRange(min=1), help="Compute threads.  [default: every allowed CPU]")
@json_option
def command(model: str, quant: str, imatrix: Path | None, output: Path, threads: int | None, as_json: bool) -> None:
    """Write MODEL, a registry name or the path of a GGUF file, in another recipe's types.

    Tensors are byte for byte what the GGUF ecosystem's own quantizer makes of it.
    """
    import json

    from engine_ctl.embedded import quantized_file

    file = quantized_file(model, quant, imatrix, threads)
    # In a thread, so that Ctrl-C finds this one awake.
    with ThreadPoolExecutor(1, "quantize") as thread:
        running = thread.submit(file.run, output)
        try:
            if not as_json:
                _follow(file, running)
            running.result()
        except KeyboardInterrupt:
            file.cancel()
            raise
    if as_json:
        told = {"path": str(output), "size_bytes": file.size_bytes, "tensor_types": file.tensor_types}
        click.echo(json.dumps(told))
    else:
        click.echo(f"{output}: {file.size_bytes / 10**6:,.1f} MB, {file.tensor_types}")


def _follow(file: QuantizedFile, running: Future[None]) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("quantizing")
        while not wait([running], _POLL_S).done:
            progress = file.progress
            bar.update(
                task,
                completed=progress.bytes_done,
                total=progress.bytes_total,
                description=f"{progress.tensors_done}/{progress.tensors_total} {progress.tensor}",
            )
