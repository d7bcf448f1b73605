"""The operation behind ``Quantize``: write a model in another recipe's types as a file of its own."""

from __future__ import annotations

import errno
from collections import Counter
from pathlib import Path

from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.quantization_errors import quantization_errors
from engine.host.kernel_trees import leads_through_kernel
from engine.host.machine import Machine
from engine.models.registry import ModelRegistry
from engine.planning.resolve import choose_backend, choose_threads
from engine.weights.importance import ImportanceError, read_importance
from engine.weights.quantization_watch import QuantizationWatch
from protocol.errors import CacheFull, InvalidRequest
from protocol.operation_answers import Quantized
from protocol.progress import StageProgress
from protocol.quantization import RECIPES
from protocol.requests import Quantize

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""The disk's fault, and not the request's."""


class FileQuantization:
    """An :class:`engine.operation.Operation`."""

    def __init__(self, request: Quantize, registry: ModelRegistry, machine: Machine) -> None:
        self._request = request
        self._registry = registry
        self._machine = machine
        self._watch = QuantizationWatch()

    def run(self) -> Quantized:
        """Write the file. Where it fails nothing is left of it.

        Raises:
            UnknownModel, InvalidModel, UnsupportedModel: see :meth:`ModelRegistry.resolve`; a tensor holds what is no
                number; the recipe cannot be applied.
            InvalidRequest: no such recipe; the output is no absolute path, or leads through ``/proc``, something is
                there, or its folder cannot be written to; the importance matrix cannot be read, or does not fit the
                model; more threads than there are CPUs.
            NotPermitted: the engine takes no files from requests.
            UnsupportedBackend: not one that this machine can run.
            CacheFull: the disk has no room for the file.
            ExecutionCancelled: after :meth:`cancel`.
        """
        request = self._request
        if request.recipe not in RECIPES:
            raise InvalidRequest(
                f"recipe is {request.recipe!r}; allowed: {', '.join(RECIPES)}",
                field="recipe",
                value=request.recipe,
                allowed=list(RECIPES),
            )
        output = self._path("output", request.output)
        if leads_through_kernel(output):
            raise InvalidRequest(
                f"output is {request.output!r}, which leads through the kernel's own files; name the folder itself",
                field="output",
                value=request.output,
            )
        artifact = self._registry.resolve(request.model)
        quantization = self._prepare(artifact)
        self._watch.follow(quantization)
        _write(quantization, artifact.name, output)
        return Quantized(
            path=str(output),
            size_bytes=quantization.file_bytes,
            tensor_types=dict(sorted(Counter(quantization.tensor_types().values()).items())),
        )

    def progress(self) -> StageProgress | None:
        """See :meth:`Operation.progress`."""
        return self._watch.progress()

    def cancel(self) -> None:
        """See :meth:`Operation.cancel`."""
        self._watch.cancel()

    def _path(self, field: str, given: str) -> Path:
        self._registry.require_paths(field, given)
        if "\0" in given:
            raise InvalidRequest(f"{field} is {given!r}; no path holds a NUL", field=field, value=given)
        path = Path(given)
        if not path.is_absolute():
            raise InvalidRequest(
                f"{field} is {given!r}; the engine needs an absolute path: it has a working directory of its own",
                field=field,
                value=given,
            )
        return path

    def _prepare(self, artifact: ModelArtifact) -> _core.ModelQuantization:
        request = self._request
        importance = request.importance
        try:
            values = None if importance is None else read_importance(self._path("importance", importance)).values
            with quantization_errors(artifact.name):
                return _core.ModelQuantization(
                    artifact.gguf,
                    request.recipe,
                    importance=values,
                    kernel_table=choose_backend(request.backend, self._machine, "backend"),
                    threads=choose_threads(request.threads, self._machine, "threads"),
                )
        except (ImportanceError, OSError, ValueError) as error:
            raise InvalidRequest(
                f"importance {importance}: {error}", field="importance", value=str(importance)
            ) from error


def _write(quantization: _core.ModelQuantization, model: str, output: Path) -> None:
    try:
        with quantization_errors(model):
            quantization.run(str(output))
    except FileExistsError as error:
        raise InvalidRequest(f"{output} exists already; name a new file", field="output", value=str(output)) from error
    except FileNotFoundError as error:
        raise InvalidRequest(
            f"there is no folder {output.parent}; make it, or name another file", field="output", value=str(output)
        ) from error
    except OSError as error:
        if error.errno not in _NO_ROOM:
            reason = error.strerror or str(error)
            raise InvalidRequest(f"{output} cannot be written: {reason}", field="output", value=str(output)) from error
        raise CacheFull(f"{output} cannot be written: {error}", path=str(output)) from error
