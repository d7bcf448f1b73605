"""What there is to know of a model before anything of it is loaded."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from engine import _core
from engine.artifact.artifact import ModelArtifact
from engine.artifact.footprint import context_kv_bytes, default_activation_bytes
from protocol.answers import ModelDescription
from protocol.errors import RequestRefused
from protocol.plan import BackendName
from protocol.quantization import QUANTIZATIONS, Quantization
from protocol.summaries import MemorySummary, RecipeSummary, TensorSummary


def describe_model(artifact: ModelArtifact, backend: BackendName) -> ModelDescription:
    """``backend`` is the one whose memory is counted. Blocking: builds the tokenizer."""
    gguf = artifact.gguf
    return ModelDescription(
        name=artifact.name,
        path=str(artifact.path),
        size_bytes=gguf.size_bytes,
        files=len(artifact.files),
        gguf_version=gguf.version,
        architecture=artifact.architecture,
        metadata={key: _shown(gguf, key) for key in gguf.keys()},  # noqa: SIM118  a GgufFile is no mapping
        tensors=tuple(
            TensorSummary(name=tensor.name, type=tensor.type, shape=tensor.shape, size_bytes=tensor.size_bytes)
            for tensor in artifact.tensors
        ),
        parameters_total=artifact.parameters_total,
        recipes=tuple(_recipe(artifact, quantization, backend) for quantization in QUANTIZATIONS),
        memory=_memory(artifact),
    )


def _recipe(artifact: ModelArtifact, quantization: Quantization, backend: BackendName) -> RecipeSummary:
    try:
        artifact.require_runnable()
        derived = artifact.derived(quantization)
        weights_bytes = artifact.weights_bytes(quantization)[backend]
    except RequestRefused as error:
        return RecipeSummary(
            quantization=quantization, tensor_types={}, file_bytes=None, weights_bytes=None, reason=error.message
        )
    return RecipeSummary(
        quantization=quantization,
        tensor_types=dict(sorted(Counter(derived.tensor_types.values()).items())),
        file_bytes=derived.size_bytes,
        weights_bytes=weights_bytes,
    )


def _memory(artifact: ModelArtifact) -> MemorySummary | None:
    try:
        artifact.require_runnable()
        return MemorySummary(
            context_length=artifact.context_length,
            kv_bytes_per_token={str(name): size for name, size in artifact.kv_bytes_per_token.items()},
            kv_context_bytes={
                str(name): context_kv_bytes(artifact, name, artifact.context_length)
                for name in artifact.kv_bytes_per_token
            },
            activation_bytes=default_activation_bytes(
                artifact.activation_row_bytes["reference"], artifact.logits_row_bytes, artifact.shared_step_bytes
            ),
        )
    except RequestRefused:
        return None


def _shown(gguf: _core.GgufFile, key: str) -> Any:
    """A value fit for JSON: arrays as what they are, not what they hold."""
    array = gguf.array_info(key)
    if array is not None:
        return {"element_type": array[0], "length": array[1]}
    value = gguf.get(key)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
