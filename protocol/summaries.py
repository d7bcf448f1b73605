"""What answers describe: plans before they run, models, weights on disk and in memory, faults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from protocol.value import Value


class PlanEstimate(Value):
    """What a plan asks of the machine."""

    weights_bytes: int
    draft_weights_bytes: int = 0
    """The part of them that is a draft model's."""
    kv_cache_bytes: int
    activation_bytes: int
    """Buffers of a step: all that is neither weights nor cache."""
    sequence_bytes: int = 0
    """The part of them that other executions of the model have for themselves."""
    prompt_tokens: int
    prefill_macs: int
    """Multiply-accumulates of the prompt in the layers' matrices."""
    decode_macs_per_token: int
    """Multiply-adds of the layers' matrices and the head for each token generated."""
    decode_bytes_per_token: int
    """Read from memory for each token generated alone: the weights, of experts those that it uses, and the keys and
    values of half the context."""

    @property
    def total_bytes(self) -> int:
        """Bytes of weights, KV cache and buffers together."""
        return self.weights_bytes + self.kv_cache_bytes + self.activation_bytes


class ExecutionStatus(Value):
    """One execution in progress."""

    execution_id: str
    model: str
    state: Literal["queued", "loading", "running"]
    prompt_tokens: int
    tokens_total: int


class ResidentModel(Value):
    """Weights in memory."""

    model: str
    quantization: str
    backend: str
    weights_bytes: int
    in_use: bool
    """Idle ones go when their room is needed."""


class PrefixCacheReport(Value):
    """Keys and values kept for later executions that begin with the same tokens."""

    blocks: int
    """Blocks of 64 tokens each."""
    size_bytes: int
    limit_bytes: int


FaultConsequence = Literal["answered", "restarted", "failed"]
"""Who waited got an error; the actor was started again; it refuses what it is asked until the engine is started again.
"""


class Fault(Value):
    """Something in the engine broke its contract."""

    where: str
    """The actor, or the job."""
    error: str
    consequence: FaultConsequence
    uptime_s: float
    """When."""


class ModelHeader(Value):
    """What a model's header tells."""

    architecture: str | None = None
    parameters: int | None = None
    tensor_types: dict[str, int] | None = None
    """How many tensors have each type."""
    licence: str | None = None
    """``None`` also where the file does not say."""
    context_length: int | None = None
    """Trained."""
    weights_bytes: int | None = None
    """In memory, as they are in the file, on the best backend of this machine."""
    memory_bytes: int | None = None
    """Bytes of a run over 4,096 tokens, or those it was trained for if fewer: weights, KV cache in f16, buffers."""
    reason: str = ""
    """Why what else is ``None`` is not known."""


ModelSource = Literal["catalogue", "hub", "ollama", "web", "file"]
"""Where it comes from: a name of the catalogue's, the hub, Ollama's registry, an address, or somebody who put the file
there."""


class ModelSummary(ModelHeader):
    """One model of a list."""

    name: str
    """The name by which it is run, pulled and removed."""
    path: str
    """The path of its first file. Empty where it has not been pulled."""
    size_bytes: int
    """The size of all its files, or what it will be."""
    installed: bool
    source: ModelSource = "file"
    files: int = 1
    """More than one where it is split."""
    arrived_bytes: int | None = None
    """Bytes of an unfinished pull; the next one goes on from there."""
    cached: tuple[str, ...] = ()
    """Quantizations other than the file's whose weights are in the cache, so that a run needs not make them."""


class TensorSummary(Value):
    """One tensor of a file."""

    name: str
    type: str
    shape: tuple[int, ...]
    """Rows outermost; the last is the contiguous dimension."""
    size_bytes: int


class RecipeSummary(Value):
    """A model in the types of a recipe, or as it is."""

    quantization: str
    tensor_types: dict[str, int]
    """How many tensors have each type."""
    file_bytes: int | None
    """The size of a GGUF in these types."""
    weights_bytes: int | None
    """In memory, on the best backend of this machine."""
    reason: str = ""
    """Why what is ``None`` is not known."""


class MemorySummary(Value):
    """What a run needs beside its weights. See :class:`RecipeSummary`."""

    context_length: int
    """Trained."""
    kv_bytes_per_token: dict[str, int]
    """Bytes by type of KV cache."""
    kv_context_bytes: dict[str, int] = Field(default_factory=dict)
    """KV cache of a sequence that fills the context: layers with a window keep its newest positions alone."""
    activation_bytes: int
    """With the prefill chunk and batch that a plan has by default."""


class CachedWeightsEntry(Value):
    """One file of derived weights."""

    name: str
    path: str
    model: str
    """Its name at the time."""
    content_hash: str
    """The model file's hash."""
    recipe: str
    importance: str | None
    """Hash of the importance data."""
    quantizer: int
    """Version of the code that made it."""
    size_bytes: int
    digest: str
    used_at: float
    """Seconds since the epoch."""
    in_use: bool
    """Whether this engine or another uses it."""
