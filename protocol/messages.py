"""Every message on the socket. A frame holds one of them as a msgpack map whose ``type`` is the class name.

Client to engine: every request carries a ``request_id`` of the client's choice, unique among those in flight on its
connection. Engine to client: replies carry it back; those of different requests interleave.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from protocol.model import Value
from protocol.plan import ExecutionPlan, RunRequest
from protocol.record import ExecutionRecord

PROTOCOL_VERSION = 1

RequestId = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Request(Value):
    request_id: RequestId


# --- client to engine ------------------------------------------------------------------------------------------------


class Hello(Value):
    """The first message on a connection."""

    type: Literal["Hello"] = "Hello"
    protocol_version: int


class Run(Request):
    """Answered by ``Accepted``, any number of ``Tokens``, then ``Finished``; at any point ``Failed`` may end it."""

    type: Literal["Run"] = "Run"
    request: RunRequest


class Plan(Request):
    """Resolve a request into its plan and run nothing. Answered by ``Planned``."""

    type: Literal["Plan"] = "Plan"
    request: RunRequest


class Cancel(Request):
    """Stop an execution, whoever started it. Answered by ``Done``; its own client gets ``Finished``."""

    type: Literal["Cancel"] = "Cancel"
    execution_id: str


class Status(Request):
    """Answered by ``StatusReport``."""

    type: Literal["Status"] = "Status"


class ListModels(Request):
    """Answered by ``ModelList``."""

    type: Literal["ListModels"] = "ListModels"


class ModelInfo(Request):
    """Answered by ``ModelDescription``."""

    type: Literal["ModelInfo"] = "ModelInfo"
    model: str


class PullModel(Request):
    """Fetch a registry model. Answered by any number of ``Progress``, then ``ModelDescription``."""

    type: Literal["PullModel"] = "PullModel"
    model: str


class Tokenize(Request):
    """Answered by ``TokenIds``. ``parse_special``: text that spells a control token becomes that token."""

    type: Literal["Tokenize"] = "Tokenize"
    model: str
    text: str
    add_special: bool = True
    parse_special: bool = False


class Detokenize(Request):
    """Answered by ``Text``."""

    type: Literal["Detokenize"] = "Detokenize"
    model: str
    token_ids: tuple[int, ...]


class Shutdown(Request):
    """Stop the engine; running executions end with ``shutdown``. Answered by ``Done``."""

    type: Literal["Shutdown"] = "Shutdown"


ClientMessage = (
    Hello | Run | Plan | Cancel | Status | ListModels | ModelInfo | PullModel | Tokenize | Detokenize | Shutdown
)
TaggedClientMessage = Annotated[ClientMessage, Field(discriminator="type")]

# --- engine to client ------------------------------------------------------------------------------------------------


class Welcome(Value):
    type: Literal["Welcome"] = "Welcome"
    engine_version: str
    protocol_version: int
    capabilities: tuple[str, ...]
    """Backends, quantizations, policies and energy sources this engine offers, as ``kind:name``."""
    limits: dict[str, int]
    """``max_frame_bytes``, ``max_in_flight``, …"""


class Accepted(Request):
    type: Literal["Accepted"] = "Accepted"
    execution_id: str
    plan: ExecutionPlan
    plan_fingerprint: str


class Progress(Request):
    type: Literal["Progress"] = "Progress"
    stage: str
    done: int
    total: int | None


class Tokens(Request):
    """Tokens since the last such message, and the text that has become certain with them."""

    type: Literal["Tokens"] = "Tokens"
    execution_id: str
    token_ids: tuple[int, ...]
    text: str


class Finished(Request):
    type: Literal["Finished"] = "Finished"
    record: ExecutionRecord


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


class Planned(Request):
    type: Literal["Planned"] = "Planned"
    plan: ExecutionPlan
    plan_fingerprint: str
    estimate: PlanEstimate


class Done(Request):
    type: Literal["Done"] = "Done"


class ExecutionStatus(Value):
    execution_id: str
    model: str
    state: Literal["queued", "loading", "running"]
    prompt_tokens: int
    tokens_total: int


class StatusReport(Request):
    type: Literal["StatusReport"] = "StatusReport"
    engine_version: str
    pid: int
    uptime_s: float
    executions: tuple[ExecutionStatus, ...]
    models_loaded: tuple[str, ...]
    memory_bytes: dict[str, int]
    """By owner: ``weights``, ``kv_cache``."""
    energy: dict[str, str]
    """``source`` and, where it is ``none``, the ``reason``."""
    finished_total: int


class ModelSummary(Value):
    name: str
    path: str
    """Empty where the registry knows the model and it has not been pulled."""
    size_bytes: int
    installed: bool


class ModelList(Request):
    type: Literal["ModelList"] = "ModelList"
    models: tuple[ModelSummary, ...]


class TensorSummary(Value):
    name: str
    type: str
    shape: tuple[int, ...]
    """Rows outermost; the last is the contiguous dimension."""
    size_bytes: int


class ModelDescription(Request):
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


class TokenIds(Request):
    type: Literal["TokenIds"] = "TokenIds"
    token_ids: tuple[int, ...]
    pieces: tuple[str, ...]


class Text(Request):
    type: Literal["Text"] = "Text"
    text: str


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
)
TaggedEngineMessage = Annotated[EngineMessage, Field(discriminator="type")]
