"""What the headers of many models tell, read once for each file and remembered across processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.content_hash import ContentHashes
from engine.artifact.file_kind import type_name
from engine.artifact.footprint import context_kv_bytes, default_activation_bytes
from engine.config import EngineConfig
from engine.host.file_memory import FileMemory, file_identity
from engine.models.models_directory import ModelFile, shown
from protocol.errors import RequestRefused, UnsupportedModel
from protocol.plan import BackendName
from protocol.summaries import ModelHeader

_CONTEXT_TOKENS = 4096
"""Context whose memory is estimated: more than most answers need, fewer than many models were trained for."""
_LOGIT_BYTES = 4


class ModelHeaders:
    """Blocking; thread-safe. A file that is broken or cannot be run is a header that says so, never an error."""

    def __init__(self, config: EngineConfig, backend: BackendName) -> None:
        """``backend`` is the one whose memory is counted."""
        self._memory = FileMemory(config.cache_dir / "model-headers.json")
        self._hashes = ContentHashes(config.cache_dir / "content-hashes.json")
        self._backend = backend
        # Another build reads other files and packs weights in other ways.
        self._reader = f"{file_identity(Path(_core.__file__))}:{backend}"

    def of(self, models: Iterable[ModelFile]) -> dict[Path, ModelHeader]:
        """The headers, by the path of each model's first file."""
        known, found, headers = self._memory.read(), {}, {}
        for model in models:
            if shown(model.path) != str(model.path):
                headers[model.path] = ModelHeader(reason="its file name is no UTF-8: rename it")
                continue
            identity = _identity(model)
            header = self._remembered(known.get(identity)) if identity else None
            if header is None:
                header = self._read(model)
                if _identity(model) == identity:
                    found[identity] = {"reader": self._reader, "header": header.model_dump()}
            headers[model.path] = header
        found.pop("", None)
        if found:
            self._memory.put(found)
        return headers

    def _remembered(self, value: Any) -> ModelHeader | None:
        if not isinstance(value, dict) or value.get("reader") != self._reader:
            return None
        try:
            return ModelHeader.model_validate(value.get("header"))
        except ValidationError:
            return None

    def _read(self, model: ModelFile) -> ModelHeader:
        if model.missing:
            return ModelHeader(reason=f"broken: {model.missing[0].name} is missing")
        try:
            artifact = ModelArtifact(model.name, model.path, _core.GgufFile(str(model.path)), self._hashes)
        except (OSError, MemoryError, _core.GgufError, _core.UnsupportedModelError) as error:
            return ModelHeader(reason=f"broken: {error}")
        except RequestRefused as error:
            return ModelHeader(reason=f"broken: {error.message}")
        return self._described(artifact)

    def _described(self, artifact: ModelArtifact) -> ModelHeader:
        licence = artifact.gguf.get("general.license")
        header = ModelHeader(
            architecture=artifact.architecture,
            parameters=artifact.parameters_total,
            tensor_types=dict(sorted(_types(artifact).items())),
            licence=licence if isinstance(licence, str) and licence else None,
        )
        try:
            return header.model_copy(update=self._memory_needs(artifact))
        except RequestRefused as error:
            return header.model_copy(update={"reason": error.message})

    def _memory_needs(self, artifact: ModelArtifact) -> dict[str, int]:
        """Raises RequestRefused where the model cannot be run."""
        artifact.require_runnable()
        vocabulary = artifact.gguf.array_info("tokenizer.ggml.tokens")
        if vocabulary is None:
            raise UnsupportedModel(f"{artifact.name} holds no vocabulary", model=artifact.name)
        weights_bytes = _core.weights_size(artifact.gguf, self._backend)[0]
        kv_bytes = context_kv_bytes(artifact, "f16", min(_CONTEXT_TOKENS, artifact.context_length))
        buffers = default_activation_bytes(
            artifact.activation_row_bytes[self._backend], vocabulary[1] * _LOGIT_BYTES, artifact.shared_step_bytes
        )
        return {
            "context_length": artifact.context_length,
            "weights_bytes": weights_bytes,
            "memory_bytes": weights_bytes + kv_bytes + buffers,
        }


def _types(artifact: ModelArtifact) -> Counter[str]:
    foreign = [type_name(type_id) for _, type_id, _ in artifact.gguf.foreign_tensors()]
    return Counter([*(tensor.type for tensor in artifact.tensors), *foreign])


def _identity(model: ModelFile) -> str:
    """Empty where a file is missing or cannot be looked at."""
    try:
        return file_identity(*model.parts)
    except OSError:
        return ""
