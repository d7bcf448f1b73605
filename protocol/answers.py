"""What the engine answers on the socket. A frame holds one of them as a msgpack map whose ``type`` is the class name.

Answers carry the ``request_id`` of their request; those of different requests interleave.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from protocol.comparison import ExperimentResult, RepeatVerdict
from protocol.evaluation import TextQuality
from protocol.events import EventBody
from protocol.model import Value
from protocol.plan import ExecutionPlan
from protocol.progress import StageProgress
from protocol.record import ExecutionRecord
from protocol.record_entry import ChainReport, ExecutionSummary, FinishedEntry, InterruptedEntry, Timestamp
from protocol.requests import RequestId


class Answer(Value):
    request_id: RequestId


class Welcome(Value):
    type: Literal["Welcome"] = "Welcome"
    engine_version: str
    protocol_version: int
    capabilities: tuple[str, ...]
    """Backends, quantizations, policies and energy sources this engine offers, as ``kind:name``."""
    limits: dict[str, int]
    """``max_frame_bytes``, ``max_in_flight``, …"""


class Accepted(Answer):
    type: Literal["Accepted"] = "Accepted"
    execution_id: str
    plan: ExecutionPlan
    plan_fingerprint: str


class Progress(StageProgress, Answer):
    type: Literal["Progress"] = "Progress"


class Tokens(Answer):
    """Tokens since the last such message, and the text that has become certain with them."""

    type: Literal["Tokens"] = "Tokens"
    execution_id: str
    token_ids: tuple[int, ...]
    text: str


class Finished(Answer):
    type: Literal["Finished"] = "Finished"
    record: ExecutionRecord
    unrecorded: str = ""
    """Why the record could not be kept; empty where it is in the store."""


class Failed(Value):
    """``request_id`` is ``None`` where the fault cannot be laid to one request; the connection then closes."""

    type: Literal["Failed"] = "Failed"
    request_id: RequestId | None
    code: str
    message: str
    params: dict[str, Any] = Field(default_factory=dict)


class PlanEstimate(Value):
    weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    """Buffers of a step: all that is neither weights nor cache."""
    prompt_tokens: int
    prefill_macs: int
    """Multiply-accumulates of the prompt in the layers' matrices."""

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_cache_bytes + self.activation_bytes


class Planned(Answer):
    type: Literal["Planned"] = "Planned"
    plan: ExecutionPlan
    plan_fingerprint: str
    estimate: PlanEstimate


class Done(Answer):
    type: Literal["Done"] = "Done"


class ExecutionStatus(Value):
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


class StatusReport(Answer):
    type: Literal["StatusReport"] = "StatusReport"
    engine_version: str
    pid: int
    uptime_s: float
    executions: tuple[ExecutionStatus, ...]
    models_loaded: tuple[ResidentModel, ...]
    memory_bytes: dict[str, int]
    """By owner: ``weights``, ``kv_cache``."""
    energy: dict[str, str]
    """``source`` and, where it is ``none``, the ``reason``."""
    finished_total: int
    faults: tuple[Fault, ...] = ()
    """The latest, the oldest first."""
    failed: dict[str, str] = Field(default_factory=dict)
    """What does no more than refuse until the engine is started again, and why."""


class ModelSummary(Value):
    name: str
    path: str
    """Empty where the registry knows the model and it has not been pulled."""
    size_bytes: int
    installed: bool


class ModelList(Answer):
    type: Literal["ModelList"] = "ModelList"
    models: tuple[ModelSummary, ...]


class TensorSummary(Value):
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
    """Of a GGUF in these types."""
    weights_bytes: int | None
    """In memory, on the best backend of this machine."""
    reason: str = ""
    """Why what is ``None`` is not known."""


class MemorySummary(Value):
    """What a run needs beside its weights. See :class:`RecipeSummary`."""

    context_length: int
    """Trained."""
    kv_bytes_per_token: dict[str, int]
    """By type of KV cache."""
    activation_bytes: int
    """With the prefill chunk and batch that a plan has by default."""


class ModelDescription(Answer):
    type: Literal["ModelDescription"] = "ModelDescription"
    name: str
    path: str
    size_bytes: int
    gguf_version: int
    architecture: str
    metadata: dict[str, Any]
    """Scalars and strings as they are; arrays as their element type and length."""
    tensors: tuple[TensorSummary, ...]
    parameters_total: int
    recipes: tuple[RecipeSummary, ...]
    """``native`` first, then every recipe."""
    memory: MemorySummary | None
    """``None`` where the model cannot be run; the recipes say why."""


class TokenIds(Answer):
    type: Literal["TokenIds"] = "TokenIds"
    token_ids: tuple[int, ...]
    pieces: tuple[str, ...]


class Text(Answer):
    type: Literal["Text"] = "Text"
    text: str


class Quantized(Answer):
    type: Literal["Quantized"] = "Quantized"
    path: str
    size_bytes: int
    tensor_types: dict[str, int]
    """How many tensors have each type."""


class Evaluated(Answer):
    type: Literal["Evaluated"] = "Evaluated"
    plan: ExecutionPlan
    """What was evaluated, decided as for a run; its batch is the window's."""
    against: ExecutionPlan | None
    tokens: int
    """Of the whole text."""
    window: int
    windows: int
    """How many were read; tokens beyond the last whole one are left out."""
    duration_s: float
    """Of the evaluation itself, weights ready."""
    quality: TextQuality


class ExecutionList(Answer):
    type: Literal["ExecutionList"] = "ExecutionList"
    executions: tuple[ExecutionSummary, ...]


class ExecutionEntry(Answer):
    type: Literal["ExecutionEntry"] = "ExecutionEntry"
    entry: FinishedEntry | InterruptedEntry
    hash: str
    """Of the entry in the chain."""


class Compared(Answer):
    """One of the two."""

    type: Literal["Compared"] = "Compared"
    repeat: RepeatVerdict | None
    experiment: ExperimentResult | None


class RecordsVerified(Answer):
    type: Literal["RecordsVerified"] = "RecordsVerified"
    report: ChainReport


class RecordsPruned(Answer):
    type: Literal["RecordsPruned"] = "RecordsPruned"
    executions: int
    """How many were removed."""


class Subscribed(Answer):
    type: Literal["Subscribed"] = "Subscribed"
    last_sequence: int
    """Of the events so far."""
    missed: int
    """Lasting events that were asked for and are not kept any more."""


class Event(Answer):
    type: Literal["Event"] = "Event"
    sequence: int
    """Of a lasting event its own; of another that of the lasting one before it."""
    at: Timestamp
    execution_id: str
    model: str
    body: EventBody


class CachedWeightsEntry(Value):
    name: str
    path: str
    model: str
    """Its name at the time."""
    content_hash: str
    """Of the model file."""
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
    """By this engine or another."""


class CachedWeightsList(Answer):
    type: Literal["CachedWeightsList"] = "CachedWeightsList"
    directory: str
    limit_bytes: int
    entries: tuple[CachedWeightsEntry, ...]
    """The one used last first."""


class CachedWeightsRemoved(Answer):
    type: Literal["CachedWeightsRemoved"] = "CachedWeightsRemoved"
    names: tuple[str, ...]


class CachedWeightsVerified(Answer):
    type: Literal["CachedWeightsVerified"] = "CachedWeightsVerified"
    damages: dict[str, str]
    """By name: what is wrong, empty where nothing is."""


EngineMessage = (
    Welcome
    | Accepted
    | Progress
    | Tokens
    | Finished
    | Failed
    | Planned
    | Done
    | StatusReport
    | ModelList
    | ModelDescription
    | TokenIds
    | Text
    | Quantized
    | Evaluated
    | ExecutionList
    | ExecutionEntry
    | Compared
    | RecordsVerified
    | RecordsPruned
    | Subscribed
    | Event
    | CachedWeightsList
    | CachedWeightsRemoved
    | CachedWeightsVerified
)
TaggedEngineMessage = Annotated[EngineMessage, Field(discriminator="type")]
