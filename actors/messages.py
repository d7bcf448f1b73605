"""Every message between actors, filed by receiver: frozen, tagged by their classes, closed unions.

None is validated where it runs: both ends are ours, and mypy holds them to their types. Messages on the wire are
validated (:mod:`protocol.value`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from actors.policies.candidate import Candidate
from actors.policies.requester import Requester
from engine.backend import SequenceEvents
from engine.energy.live import LiveSample
from engine.energy.sources.source import EnergyReading
from engine.planned_execution import PlannedExecution
from protocol.answers import EngineMessage
from protocol.plan import EnergySourceName, Limits
from protocol.progress import StageProgress
from protocol.record import ExecutionRecord, UnjudgedLimit, WeightsReport
from protocol.requests import AskedMessage

Moment = Literal["start", "end"]
"""A reading at an end of an execution's active interval."""

# --- to the api server, from below -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A message for one connection."""

    connection_id: int
    message: EngineMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Replies for clients. One message holds all that one event gave rise to."""

    replies: tuple[Addressed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """Nothing runs any more, and nothing will: hang up and stop."""


ToApiServer = Deliver | Drained

# --- to the control plane, from above --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRequest:
    """A request as it came from a connection."""

    connection_id: int
    requester: Requester
    received_ns: int
    """``time.monotonic_ns`` when the frame was whole."""
    message: AskedMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandon:
    """The client gave these requests up, or is gone."""

    connection_id: int
    request_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Take nothing new, let what runs finish within ``drain_s``, end the rest, then send ``Drained``."""

    drain_s: float = 0.0


ControlRequest = ClientRequest | Abandon | Drain

# --- to the control plane, from below --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The execution is in the queue."""

    execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFull:
    """The queue is full, or its client's share of it, and the execution was not taken."""

    execution_id: str
    queued: int
    own: int
    """Executions of the same client, running ones too."""
    retry_after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """The execution left the queue and may start."""

    execution_id: str
    admitted_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """It was still queued, and is no more."""

    execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """Its weights are being made ready."""

    execution_id: str
    progress: StageProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Its weights are ready and its sequence is with the backend."""

    execution_id: str
    kernel_path: str
    weights: WeightsReport
    weights_bytes: int
    buffers_bytes: int
    """Buffers of the steps that it takes part in."""
    load_start_ns: int
    load_end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFailed:
    """Its weights could not be loaded, or its sequence not be submitted."""

    execution_id: str
    code: str
    message: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted:
    """It was told to stop before its sequence was with the backend."""

    execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """The events of one execution's sequences."""

    execution_id: str
    events: SequenceEvents


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """One drain of the backend."""

    advances: tuple[Advance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyRead:
    """The reading that ``ReadEnergy`` asked for."""

    execution_id: str
    moment: Moment
    reading: EnergyReading
    unjudged: tuple[UnjudgedLimit, ...] = ()
    """At the end: limits that were never judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEnergyRead:
    """Two samples as far apart as watts of the moment ask for, the second of them new; or the first alone failed."""

    source: EnergySourceName
    start: LiveSample
    end: LiveSample


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyLimitReached:
    """The execution has used all that a limit grants."""

    execution_id: str
    limit: Literal["max_watts", "max_joules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Its record is in the store, or could not be put there."""

    execution_id: str
    problem: str


ExecutionEvent = (
    Queued | QueueFull | Admitted | Withdrawn | Preparing | Started | StartFailed | Halted
    | EnergyRead | EnergyLimitReached | Recorded
)  # fmt: skip
"""What is told of an execution between its ``Enqueue`` and its end, never after."""
ControlEvent = ExecutionEvent | Advanced | LiveEnergyRead

# --- to the scheduler, from above ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue:
    """All but the candidate is for the executor: the scheduler decides on the candidate alone."""

    candidate: Candidate
    planned: PlannedExecution
    connection_id: int
    request_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw:
    """End an execution wherever it is: queued, or admitted."""

    execution_id: str


SchedulerRequest = Enqueue | Withdraw

# --- to the scheduler, from below ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFreed:
    """An admitted execution has ended, one way or another; sent once for each ``Start``."""

    execution_id: str


# --- to the executor, from above -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Make the execution's weights ready and submit its sequence."""

    execution_id: str
    connection_id: int
    """The client's connection, to which its tokens may be written."""
    request_id: int
    planned: PlannedExecution
    prefill_rank: int
    """Where its prompt stands among those that wait beside it: the lower the earlier."""
    prefill_share: int
    """Most tokens of its prompt in a step in which others decode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """End an execution wherever it is."""

    execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Compute nothing for it until ``Resume``. It may have ended."""

    execution_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Compute a paused execution again."""

    execution_id: str


ExecutorRequest = Start | Halt | Pause | Resume

# --- to the energy sampler, from above -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadEnergy:
    """Read the counters at an execution's start or end."""

    execution_id: str
    moment: Moment
    source: EnergySourceName
    limits: Limits
    """Watched from its start to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLiveEnergy:
    """Answered by ``LiveEnergyRead``; not to be asked again of the same source before that."""

    source: EnergySourceName
    oldest_s: float
    """An earlier sample serves as the first of the two if it is no older."""


EnergyRequest = ReadEnergy | ReadLiveEnergy


# --- to the recorder, from above -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BeginRecord:
    """It was accepted; its client will see it under this id."""

    execution_id: str
    planned: PlannedExecution
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishRecord:
    """It has ended. Answered by ``Recorded``."""

    record: ExecutionRecord


RecorderRequest = BeginRecord | FinishRecord

ActorMessage = (
    ToApiServer
    | ControlRequest
    | ControlEvent
    | SchedulerRequest
    | SlotFreed
    | ExecutorRequest
    | EnergyRequest
    | RecorderRequest
)
"""Every one of them; each has one receiver and one inbox."""
