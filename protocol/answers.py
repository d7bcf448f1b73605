"""What the engine answers on the socket. A frame holds one of them as a msgpack map whose ``type`` is the class name.

Answers carry the ``request_id`` of their request; those of different requests interleave.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from protocol.build import Build
from protocol.cached_weights_messages import ToldOfCachedWeights
from protocol.events import EventBody
from protocol.experiment_messages import ToldOfExperiments
from protocol.live_energy import PowerReport, RunningEnergy
from protocol.logprobs import DrawnLogprobs
from protocol.message import Answer, InterimAnswer, RequestId
from protocol.metric_family import MetricFamily
from protocol.operation_answers import Calibrated, Embedded, Evaluated, Quantized, Reranked
from protocol.plan import ExecutionPlan
from protocol.prediction import Prediction
from protocol.progress import StageProgress
from protocol.proposal_messages import ToldOfProposals
from protocol.record import ExecutionRecord
from protocol.record_answers import Compared, ExecutionEntry, ExecutionList, RecordsPruned, RecordsVerified
from protocol.record_entry import Timestamp
from protocol.summaries import (
    CachedWeightsEntry,
    ExecutionStatus,
    Fault,
    MemorySummary,
    ModelSummary,
    PlanEstimate,
    PrefixCacheReport,
    RecipeSummary,
    ResidentModel,
    TensorSummary,
)
from protocol.tool_calls import ToolCallDelta
from protocol.value import Value


class Welcome(Value):
    """The answer to ``Hello``."""

    type: Literal["Welcome"] = "Welcome"
    engine_version: str
    build: Build | None = None
    """``None`` from an engine that does not tell builds apart."""
    protocol_version: int
    capabilities: tuple[str, ...]
    """Backends, quantizations, policies and energy sources this engine offers, as ``kind:name``."""
    limits: dict[str, int]
    """``max_frame_bytes``, ``max_in_flight``, …"""


class Accepted(InterimAnswer):
    """The execution is planned and queued."""

    type: Literal["Accepted"] = "Accepted"
    execution_id: str
    plan: ExecutionPlan
    plan_fingerprint: str
    prompt_tokens: int
    """Those that the prefix cache may turn out to hold among them."""


class Progress(StageProgress, InterimAnswer):
    """How far what takes long has come."""

    type: Literal["Progress"] = "Progress"


class Tokens(InterimAnswer):
    """Tokens of a choice since the last such message, and the text that has become certain with them.

    Where the plan reads calls or thinking, these are no part of ``text``, and no part of it is the beginning of one.
    """

    type: Literal["Tokens"] = "Tokens"
    execution_id: str
    choice: int = 0
    token_ids: tuple[int, ...]
    text: str
    reasoning: str = ""
    """Thinking that has become certain."""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    """What has become certain of calls, in their order."""
    logprobs: tuple[DrawnLogprobs, ...] = ()
    """Log probabilities of each token, where the plan asks for them."""


class Finished(Answer):
    """The execution has ended."""

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


class Planned(Answer):
    """The plan that a request would run by. A ``Run`` of this plan, with the same input, is carried out by it."""

    type: Literal["Planned"] = "Planned"
    plan: ExecutionPlan
    plan_fingerprint: str
    build: Build | None = None
    """That made the plan; ``None`` from an engine that does not tell."""
    estimate: PlanEstimate
    prediction: Prediction
    prompt: str | None = None
    """The text that is tokenized, messages as their template renders them; ``None``: token ids were given, or an engine
    of before does not tell."""


class Done(Answer):
    """The request was carried out; there is nothing more to say."""

    type: Literal["Done"] = "Done"


class StatusReport(Answer):
    """What the engine is doing at the moment."""

    type: Literal["StatusReport"] = "StatusReport"
    engine_version: str
    pid: int
    uptime_s: float
    executions: tuple[ExecutionStatus, ...]
    models_loaded: tuple[ResidentModel, ...]
    memory_bytes: dict[str, int]
    """Bytes by owner: ``weights``, ``kv_cache`` of running executions, ``prefix_cache``."""
    prefix_cache: PrefixCacheReport
    energy: dict[str, str]
    """``source``: what plans name that leave theirs open; where it was declared at start-up, ``declared`` says so, and
    where it is ``none``, ``reason`` says why."""
    finished_total: int
    faults: tuple[Fault, ...] = ()
    """The latest, the oldest first."""
    failed: dict[str, str] = Field(default_factory=dict)
    """What does no more than refuse until the engine is started again, and why."""


class MetricsReport(Answer):
    """What the engine has counted and measured."""

    type: Literal["MetricsReport"] = "MetricsReport"
    families: tuple[MetricFamily, ...]
    exposition: str
    """The same in the text format of Prometheus, version 0.0.4."""


class LiveEnergy(Answer):
    """The machine's power now, and the energy of executions that run."""

    type: Literal["LiveEnergy"] = "LiveEnergy"
    power: PowerReport
    executions: tuple[RunningEnergy, ...]
    """Those that compute."""


class ModelList(Answer):
    """The models of the catalogue and of the models directory."""

    type: Literal["ModelList"] = "ModelList"
    models: tuple[ModelSummary, ...]


class ModelDescription(Answer):
    """A model before anything of it is loaded."""

    type: Literal["ModelDescription"] = "ModelDescription"
    name: str
    path: str
    """The path of its first file."""
    size_bytes: int
    """The size of all its files."""
    files: int = 1
    """More than one where it is split."""
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


class ModelAdvised(Answer):
    """What a model's file advises those who run it."""

    type: Literal["ModelAdvised"] = "ModelAdvised"
    name: str
    chat_template: bool
    """Whether it has a template of its own, so that ``messages`` need none chosen."""
    sampling: dict[str, float | int] = Field(default_factory=dict)
    """Fields of a request's ``sampling`` for which the file names a value, with that value."""
    ignored: tuple[str, ...] = ()
    """Keys of the file whose values are out of those fields' ranges."""


class ModelRemoved(Answer):
    """The files removed with a model."""

    type: Literal["ModelRemoved"] = "ModelRemoved"
    name: str
    paths: tuple[str, ...]
    """The files that are gone, or would be."""
    freed_bytes: int
    derived: tuple[CachedWeightsEntry, ...]
    """Weights derived from the model, which stay in the cache until ``RemoveCached``."""
    dry_run: bool


class TokenIds(Answer):
    """The tokens of a text."""

    type: Literal["TokenIds"] = "TokenIds"
    token_ids: tuple[int, ...]
    pieces: tuple[str, ...]


class Text(Answer):
    """The text of tokens."""

    type: Literal["Text"] = "Text"
    text: str
    pieces: tuple[str, ...] = ()
    """The text of each token alone, as in ``TokenIds``."""


class Subscribed(InterimAnswer):
    """The subscription has begun."""

    type: Literal["Subscribed"] = "Subscribed"
    last_sequence: int
    """The number of the latest lasting event."""
    missed: int
    """Lasting events that were asked for and are not kept any more."""


class Event(InterimAnswer):
    """Something that happened to an execution."""

    type: Literal["Event"] = "Event"
    sequence: int
    """A lasting event's own number; for any other event that of the lasting one before it."""
    at: Timestamp
    execution_id: str
    model: str
    body: EventBody


AnswerMessage = (
    Accepted
    | Progress
    | Tokens
    | Finished
    | Planned
    | Done
    | StatusReport
    | MetricsReport
    | LiveEnergy
    | ModelList
    | ModelAdvised
    | ModelDescription
    | ModelRemoved
    | TokenIds
    | Text
    | Quantized
    | Evaluated
    | Embedded
    | Reranked
    | Calibrated
    | ExecutionList
    | ExecutionEntry
    | Compared
    | RecordsVerified
    | RecordsPruned
    | Subscribed
    | Event
    | ToldOfCachedWeights
    | ToldOfExperiments
    | ToldOfProposals
)
"""Every message that answers a request, ``Failed`` apart."""
EngineMessage = Welcome | Failed | AnswerMessage
TaggedEngineMessage = Annotated[EngineMessage, Field(discriminator="type")]
