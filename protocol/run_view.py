"""What a person is shown of a run: the few fields of its messages that a command prints, decoded in one pass.

Building the schemas of whole plans and records takes longer than a warm engine takes for its first word, and a command
that streams an answer needs none of them. Fields that are not here are passed over, those of a later engine included.
"""

from __future__ import annotations

from typing import Any

import msgspec


class ShownWelcome(msgspec.Struct, frozen=True, tag_field="type", tag="Welcome"):
    """The answer to ``Hello``."""

    engine_version: str


class ShownFailed(msgspec.Struct, frozen=True, tag_field="type", tag="Failed"):
    """A refusal. ``request_id`` is ``None`` where it cannot be laid to one request."""

    request_id: int | None
    code: str
    message: str
    params: dict[str, Any] = {}


class ShownDone(msgspec.Struct, frozen=True, tag_field="type", tag="Done"):
    """A request was carried out."""

    request_id: int


class ShownAdvice(msgspec.Struct, frozen=True, tag_field="type", tag="ModelAdvised"):
    """What the model's file advises: see :class:`protocol.answers.ModelAdvised`."""

    request_id: int
    name: str
    chat_template: bool
    sampling: dict[str, float | int] = {}
    ignored: tuple[str, ...] = ()


class ShownPlan(msgspec.Struct, frozen=True):
    """The plan's part that is shown, or warned of."""

    backend: str
    quantization: str
    requantized_from: tuple[str, ...]
    n: int = 1


class ShownAccepted(msgspec.Struct, frozen=True, tag_field="type", tag="Accepted"):
    """The execution is planned and queued."""

    request_id: int
    execution_id: str
    plan: ShownPlan


class ShownProgress(msgspec.Struct, frozen=True, tag_field="type", tag="Progress"):
    """How far the weights have come: see :class:`protocol.progress.StageProgress`."""

    request_id: int
    stage: str
    done: int
    total: int | None
    unit: str = "bytes"
    tensors_done: int | None = None
    tensors_total: int | None = None
    eta_s: float | None = None


class ShownPulled(msgspec.Struct, frozen=True, tag_field="type", tag="ModelDescription"):
    """A model has been fetched."""

    request_id: int
    name: str
    size_bytes: int


class ShownTokens(msgspec.Struct, frozen=True, tag_field="type", tag="Tokens"):
    """Text of a choice that has become certain."""

    request_id: int
    text: str
    choice: int = 0
    reasoning: str = ""


class ShownCall(msgspec.Struct, frozen=True):
    """A call of a tool."""

    name: str
    arguments: str


class ShownChoice(msgspec.Struct, frozen=True):
    """What one choice came to."""

    result: str
    stop_reason: str
    tool_calls: tuple[ShownCall, ...] = ()


class ShownEnergy(msgspec.Struct, frozen=True):
    """What the figures of energy are worth."""

    kind: str
    source: str
    reason: str | None = None


class ShownMetrics(msgspec.Struct, frozen=True):
    """The figures of the line below an answer, as :class:`protocol.metrics.ExecutionMetrics` defines them."""

    tokens_total: int
    tokens_per_sec: float | None
    ttft_ms: float | None
    joules_total: float | None
    energy: ShownEnergy


class ShownWeights(msgspec.Struct, frozen=True):
    """Where the weights came from."""

    notices: tuple[str, ...] = ()


class ShownRecord(msgspec.Struct, frozen=True):
    """The record's part that is shown."""

    result: str
    stop_reason: str
    metrics: ShownMetrics
    plan: ShownPlan
    weights: ShownWeights
    tool_calls: tuple[ShownCall, ...] = ()
    other_choices: tuple[ShownChoice, ...] = ()


class ShownFinished(msgspec.Struct, frozen=True, tag_field="type", tag="Finished"):
    """The execution has ended."""

    request_id: int
    record: ShownRecord
    unrecorded: str = ""


ShownRun = ShownAccepted | ShownProgress | ShownTokens | ShownFinished
"""What a run is answered with, when it does not fail."""
ShownAnswer = ShownRun | ShownAdvice | ShownPulled | ShownDone
ShownMessage = ShownAnswer | ShownWelcome | ShownFailed
