"""``engine-ctl quantize``: a model in a recipe's types, as a GGUF file that others read too."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.options import json_option

if TYPE_CHECKING:
    from engine._core import ModelQuantization
    from engine.artifact import ModelArtifact

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

    quantization, artifact = _prepare(model, quant, imatrix, threads)
    _run(quantization, artifact, output, show=not as_json)
    types = list(quantization.tensor_types().values())
    counted = {name: types.count(name) for name in sorted(set(types))}
    if as_json:
        size = quantization.file_bytes
        click.echo(json.dumps({"path": str(output), "size_bytes": size, "tensor_types": counted}))
    else:
        click.echo(f"{output}: {quantization.file_bytes / 10**6:,.1f} MB, {counted}")


def _prepare(
    model: str, quant: str, imatrix: Path | None, threads: int | None
) -> tuple[ModelQuantization, ModelArtifact]:
    from engine import _core
    from engine.config import default_config
    from engine.importance import ImportanceError, read_importance
    from engine.machine import probe_machine
    from engine.models import ModelRegistry
    from engine.planning import best_backend
    from protocol.errors import InvalidModel, InvalidRequest, UnsupportedModel

    artifact = ModelRegistry(default_config()).resolve(model)
    machine = probe_machine()
    try:
        importance = None if imatrix is None else read_importance(imatrix).values
        quantization = _core.ModelQuantization(
            artifact.gguf,
            quant,
            importance=importance,
            kernel_table=best_backend(machine),
            threads=threads or machine.allowed_cpus,
        )
    except (ImportanceError, OSError, ValueError) as error:
        raise InvalidRequest(f"--imatrix {imatrix}: {error}", field="imatrix", value=str(imatrix)) from error
    except _core.GgufError as error:
        raise InvalidModel(f"{artifact.name} cannot be quantized: {error}", model=artifact.name) from error
    except _core.UnsupportedModelError as error:
        raise UnsupportedModel(f"{artifact.name} cannot be quantized: {error}", model=artifact.name) from error
    return quantization, artifact


def _run(quantization: ModelQuantization, artifact: ModelArtifact, output: Path, show: bool) -> None:
    """Quantize in a thread, so that Ctrl-C finds this one awake."""
    from engine import _core
    from protocol.errors import CacheFull, InvalidModel, InvalidRequest

    failures: list[Exception] = []

    def work() -> None:
        try:
            quantization.run(str(output))
        except Exception as error:
            failures.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        _show_progress(quantization, worker, show)
    except KeyboardInterrupt:
        quantization.cancel()
        worker.join()
        raise
    match failures:
        case []:
            return
        case [FileExistsError()]:
            raise InvalidRequest(f"{output} is there already; name a new file", field="output", value=str(output))
        case [OSError() as error]:
            raise CacheFull(f"{output} cannot be written: {error}", path=str(output)) from error
        case [_core.UnquantizableTensorError() as error]:
            raise InvalidModel(f"{artifact.name} cannot be quantized: {error}", model=artifact.name) from error
        case [error]:
            raise error


def _show_progress(quantization: ModelQuantization, worker: threading.Thread, show: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not show, transient=True) as bar:
        task = bar.add_task("quantizing")
        while worker.is_alive():
            worker.join(_POLL_S)
            progress = quantization.progress()
            bar.update(
                task,
                completed=progress.bytes_done,
                total=progress.bytes_total,
                description=f"{progress.tensors_done}/{progress.tensors_total} {progress.tensor}",
            )
