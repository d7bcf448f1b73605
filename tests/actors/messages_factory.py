"""One message of every kind between actors, with as much in it as it can hold."""

from __future__ import annotations

from datetime import datetime, timezone

from actors.messages import (
    Abandon,
    ActorMessage,
    Addressed,
    Admitted,
    Advance,
    Advanced,
    BeginRecord,
    ClientRequest,
    Deliver,
    Drain,
    Drained,
    EnergyLimitReached,
    EnergyRead,
    Enqueue,
    FinishRecord,
    Halt,
    Halted,
    LiveEnergyRead,
    Pause,
    Preparing,
    Queued,
    QueueFull,
    ReadEnergy,
    ReadLiveEnergy,
    Recorded,
    Resume,
    SlotFreed,
    Start,
    Started,
    StartFailed,
    Withdraw,
    Withdrawn,
)
from actors.policies.requester import ENGINE
from engine.backend import ComputeTime, ComputeTimes, NonFinitePlace, SequenceEvents
from engine.energy.live import LiveSample
from engine.energy.sources.cpu_time import CpuTimes
from engine.energy.sources.source import EnergyReading
from protocol.answers import Accepted, Done, Failed, Tokens
from protocol.logprobs import DrawnLogprobs, TokenLogprob
from protocol.plan import Limits
from protocol.progress import StageProgress
from protocol.record import ExecutionRecord, UnjudgedLimit, WeightsReport
from protocol.requests import Cancel, Run
from tests.actors.candidate_factory import make_candidate
from tests.actors.engine_factory import make_request
from tests.actors.fake_plans import make_plan, make_planned

PLAN = make_plan(make_request("a prompt"))
LOGPROBS = DrawnLogprobs(token_id=3, logprob=-0.5, top=(TokenLogprob(token_id=3, logprob=-0.5),))
TOKENS = SequenceEvents(1, token_ids=(3, 4), token_times_ns=(10**18, 10**18 + 1), logprobs=(LOGPROBS,), text="é \udc80")
END = SequenceEvents(
    2,
    choice=None,
    prefill_start_ns=1,
    cached_prompt_tokens=0,
    stop_reason="error",
    error="a result is not finite",
    non_finite=NonFinitePlace("attention", 3, 17),
    logits_digest="00ff",
    compute_time=ComputeTime(5, 7, {"matmul": 5}),
    kv_cache_bytes=4096,
)
READING = EnergyReading(1, 2, dram_uj=3, zones_uj=(4, 5), epoch=6, error="", cpu=CpuTimes(1, 2, 3, 4))
SAMPLE = LiveSample(READING, ComputeTimes(9, {"e1": ComputeTime(1, 2)}))
PLANNED = make_planned(PLAN, (1, 2, 3))


def make_messages(record: ExecutionRecord) -> tuple[ActorMessage, ...]:
    """One of every kind that actors send each other; long, since all stand here."""
    return (
        Deliver(
            replies=(
                Addressed(
                    connection_id=1, message=Tokens(request_id=1, execution_id="e1", token_ids=(3,), text="\udc80")
                ),
                Addressed(
                    connection_id=2,
                    message=Accepted(
                        request_id=2, execution_id="e2", plan=PLAN, plan_fingerprint=PLAN.fingerprint, prompt_tokens=3
                    ),
                ),
                Addressed(
                    connection_id=3, message=Failed(request_id=None, code="x", message="y", params={"field": "z"})
                ),
                Addressed(connection_id=4, message=Done(request_id=4)),
            )
        ),
        Drained(),
        ClientRequest(
            connection_id=1, requester=ENGINE, received_ns=2, message=Run(request_id=1, request=make_request("abc"))
        ),
        ClientRequest(
            connection_id=1, requester=ENGINE, received_ns=2, message=Cancel(request_id=2, execution_id="e1")
        ),
        Abandon(connection_id=1, request_ids=(1, 2)),
        Drain(drain_s=10),
        Queued(execution_id="e1"),
        QueueFull(execution_id="e1", queued=256, own=64, retry_after_ms=1000),
        Admitted(execution_id="e1", admitted_ns=1),
        Withdrawn(execution_id="e1"),
        Preparing(execution_id="e1", progress=StageProgress(stage="quantizing", done=1, total=None)),
        Started(
            execution_id="e1",
            kernel_path="reference",
            weights=WeightsReport(source="file", notices=("a notice",)),
            weights_bytes=1,
            buffers_bytes=2,
            load_start_ns=3,
            load_end_ns=4,
        ),
        StartFailed(execution_id="e1", code="out_of_memory_budget", message="no room", params={"needed": 1}),
        Halted(execution_id="e1"),
        Advanced(advances=(Advance(execution_id="e1", events=TOKENS), Advance(execution_id="e2", events=END))),
        EnergyRead(
            execution_id="e1",
            moment="end",
            reading=READING,
            unjudged=(UnjudgedLimit(limit="max_watts", reason="too short"),),
        ),
        LiveEnergyRead(source="rapl", start=SAMPLE, end=SAMPLE),
        EnergyLimitReached(execution_id="e1", limit="max_joules"),
        Recorded(execution_id="e1", problem=""),
        Enqueue(candidate=make_candidate("e1"), planned=PLANNED, connection_id=1, request_id=2),
        Withdraw(execution_id="e1"),
        SlotFreed(execution_id="e1"),
        Start(execution_id="e1", connection_id=1, request_id=2, planned=PLANNED, prefill_rank=-1, prefill_share=65536),
        Halt(execution_id="e1"),
        Pause(execution_id="e1"),
        Resume(execution_id="e1"),
        ReadEnergy(execution_id="e1", moment="start", source="rapl", limits=Limits(max_watts=25.0)),
        ReadLiveEnergy(source="rapl", oldest_s=1.5),
        BeginRecord(execution_id="e1", planned=PLANNED, started_at=datetime(2030, 1, 1, tzinfo=timezone.utc)),
        FinishRecord(record=record),
    )
