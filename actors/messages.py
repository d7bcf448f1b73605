"""Every message between actors, filed by receiver: frozen, tagged, closed unions, as on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from actors.policies.candidate import Candidate
from engine.backend import SequenceEvents
from engine.energy.live import LiveSample
from engine.energy.source import EnergyReading
from protocol.answers import TaggedEngineMessage
from protocol.model import Value
from protocol.plan import EnergySource, ExecutionPlan, Limits
from protocol.progress import StageProgress
from protocol.record import ExecutionRecord, UnjudgedLimit, WeightsReport
from protocol.requests import AskedMessage

# --- to the api server, from below -----------------------------------------------------------------------------------


class Addressed(Value):
    connection_id: int
    message: TaggedEngineMessage


class Deliver(Value):
    """Replies for clients. One message holds all that one event gave rise to."""

    type: Literal["Deliver"] = "Deliver"
    replies: tuple[Addressed, ...]


class Drained(Value):
    """Nothing runs any more, and nothing will: hang up and stop."""

    type: Literal["Drained"] = "Drained"


ToApiServer = Deliver | Drained

# --- to the control plane, from above --------------------------------------------------------------------------------


class ClientRequest(Value):
    type: Literal["ClientRequest"] = "ClientRequest"
    connection_id: int
    received_ns: int
    """``time.monotonic_ns`` when the frame was whole."""
    message: AskedMessage


class Abandon(Value):
    """Nobody awaits these requests any more."""

    type: Literal["Abandon"] = "Abandon"
    connection_id: int
    request_ids: tuple[int, ...]


class Stop(Value):
    """Take nothing new, let what runs finish within ``drain_s``, end the rest, then send ``Drained``."""

    type: Literal["Stop"] = "Stop"
    drain_s: float = 0.0


ControlRequest = ClientRequest | Abandon | Stop

# --- to the control plane, from below --------------------------------------------------------------------------------


class Queued(Value):
    type: Literal["Queued"] = "Queued"
    execution_id: str


class QueueFull(Value):
    type: Literal["QueueFull"] = "QueueFull"
    execution_id: str
    queued: int
    retry_after_ms: int


class Admitted(Value):
    type: Literal["Admitted"] = "Admitted"
    execution_id: str
    admitted_ns: int


class Withdrawn(Value):
    """It was still queued, and is no more."""

    type: Literal["Withdrawn"] = "Withdrawn"
    execution_id: str


class Preparing(Value):
    """Its weights are being made ready."""

    type: Literal["Preparing"] = "Preparing"
    execution_id: str
    progress: StageProgress


class Started(Value):
    """Its weights are ready and its sequence is with the backend."""

    type: Literal["Started"] = "Started"
    execution_id: str
    kernel_path: str
    weights: WeightsReport
    weights_bytes: int
    buffers_bytes: int
    """Of the steps that it takes part in."""
    load_start_ns: int
    load_end_ns: int


class StartFailed(Value):
    """Its weights could not be loaded, or its sequence not be submitted."""

    type: Literal["StartFailed"] = "StartFailed"
    execution_id: str
    code: str
    message: str
    params: dict[str, Any]


class Halted(Value):
    """It was told to stop before its sequence was with the backend."""

    type: Literal["Halted"] = "Halted"
    execution_id: str


class Advance(Value):
    execution_id: str
    events: SequenceEvents


class Advanced(Value):
    """One drain of the backend."""

    type: Literal["Advanced"] = "Advanced"
    advances: tuple[Advance, ...]


class EnergyRead(Value):
    type: Literal["EnergyRead"] = "EnergyRead"
    execution_id: str
    moment: Literal["start", "end"]
    reading: EnergyReading
    unjudged: tuple[UnjudgedLimit, ...] = ()
    """At the end: limits that were never judged."""


class LiveEnergyRead(Value):
    """Two samples as far apart as watts of the moment ask for, the second of them new; or the first alone failed."""

    type: Literal["LiveEnergyRead"] = "LiveEnergyRead"
    source: EnergySource
    start: LiveSample
    end: LiveSample


class EnergyLimitReached(Value):
    type: Literal["EnergyLimitReached"] = "EnergyLimitReached"
    execution_id: str
    limit: Literal["max_watts", "max_joules"]


class Recorded(Value):
    """Its record is in the store, or could not be put there."""

    type: Literal["Recorded"] = "Recorded"
    execution_id: str
    problem: str


ExecutionEvent = (
    Queued
    | QueueFull
    | Admitted
    | Withdrawn
    | Preparing
    | Started
    | StartFailed
    | Halted
    | EnergyRead
    | EnergyLimitReached
    | Recorded
)
"""What is told of an execution between its ``Enqueue`` and its end, never after."""
ControlEvent = ExecutionEvent | Advanced | LiveEnergyRead

# --- to the scheduler, from above ------------------------------------------------------------------------------------


class Enqueue(Value):
    """``plan`` and ``prompt_token_ids`` are for the executor: the scheduler decides on the candidate alone."""

    type: Literal["Enqueue"] = "Enqueue"
    candidate: Candidate
    plan: ExecutionPlan
    prompt_token_ids: tuple[int, ...]


class Withdraw(Value):
    """End an execution wherever it is: queued, or admitted."""

    type: Literal["Withdraw"] = "Withdraw"
    execution_id: str


SchedulerRequest = Enqueue | Withdraw

# --- to the scheduler, from below ------------------------------------------------------------------------------------


class SlotFreed(Value):
    """An admitted execution has ended, one way or another; sent once for each ``Start``."""

    type: Literal["SlotFreed"] = "SlotFreed"
    execution_id: str


# --- to the executor, from above -------------------------------------------------------------------------------------


class Start(Value):
    type: Literal["Start"] = "Start"
    execution_id: str
    plan: ExecutionPlan
    prompt_token_ids: tuple[int, ...]
    prefill_rank: int
    """Where its prompt stands among those that wait beside it: the lower the earlier."""
    prefill_share: int
    """Most tokens of its prompt in a step in which others decode."""


class Halt(Value):
    type: Literal["Halt"] = "Halt"
    execution_id: str


class Pause(Value):
    """Compute nothing for it until ``Resume``. It may have ended."""

    type: Literal["Pause"] = "Pause"
    execution_id: str


class Resume(Value):
    type: Literal["Resume"] = "Resume"
    execution_id: str


ExecutorRequest = Start | Halt | Pause | Resume

# --- to the energy sampler, from above -------------------------------------------------------------------------------


class ReadEnergy(Value):
    type: Literal["ReadEnergy"] = "ReadEnergy"
    execution_id: str
    moment: Literal["start", "end"]
    source: EnergySource
    limits: Limits
    """Watched from its start to its end."""


class ReadLiveEnergy(Value):
    """Answered by ``LiveEnergyRead``; not to be asked again of the same source before that."""

    type: Literal["ReadLiveEnergy"] = "ReadLiveEnergy"
    source: EnergySource
    oldest_s: float
    """An earlier sample serves as the first of the two if it is no older."""


EnergyRequest = ReadEnergy | ReadLiveEnergy


# --- to the recorder, from above -------------------------------------------------------------------------------------


class BeginRecord(Value):
    """It was accepted; its client will see it under this id."""

    type: Literal["BeginRecord"] = "BeginRecord"
    execution_id: str
    plan: ExecutionPlan
    prompt_token_ids: tuple[int, ...]
    started_at: datetime


class FinishRecord(Value):
    """It has ended. Answered by ``Recorded``."""

    type: Literal["FinishRecord"] = "FinishRecord"
    record: ExecutionRecord


RecorderRequest = BeginRecord | FinishRecord
