"""Makes plans, records and the messages that carry them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.planned_execution import PlannedExecution
from protocol.answers import Accepted, Done, EngineMessage, Failed, Finished, ModelAdvised, Tokens
from protocol.errors import EngineError
from protocol.message import Request
from protocol.metrics import CpuReport, EnergyReport, ExecutionMetrics, MemoryReport
from protocol.model_ref import ModelRef
from protocol.passed_on import passed_on
from protocol.plan import PLAN_SCHEMA_VERSION, Batch, ExecutionPlan, ExecutionRequest, PlanStop
from protocol.record import ExecutionRecord, Hardware, WeightsReport
from protocol.requests import ClientMessage, ModelAdvice, Run
from protocol.sampling import PlanSampling
from protocol.summaries import PlanEstimate

EXECUTION_ID = "execution-1"
PIECES = ("Olá", " mundo", " 🌍")


def make_plan() -> ExecutionPlan:
    return ExecutionPlan(
        schema_version=PLAN_SCHEMA_VERSION,
        model_ref=ModelRef(
            name="tiny", path="/models/tiny.gguf", content_hash="sha256:00", architecture="llama", stored_types=("F32",)
        ),
        backend="cpu_avx2",
        quantization="native",
        requantized_from=(),
        kv_cache="f16",
        threads=2,
        batch=Batch(max_sequences=16, prefill_chunk=256, prefill_beside_decode=256, context_length=64),
        prefix_cache="off",
        scheduler_policy="default",
        prompt_format="raw",
        sampling=PlanSampling(dry_breaker_token_ids=()),
        logprobs=None,
        grammar=None,
        stop=PlanStop(eos_token_ids=(0,)),
        energy_source="none",
        **passed_on(ExecutionRequest(spin_us=50)),
    )


def make_planned(plan: ExecutionPlan | None = None) -> PlannedExecution:
    plan = plan or make_plan()
    estimate = PlanEstimate(
        weights_bytes=0,
        kv_cache_bytes=0,
        activation_bytes=0,
        prompt_tokens=2,
        prefill_macs=0,
        decode_macs_per_token=0,
        decode_bytes_per_token=0,
    )
    return PlannedExecution(plan, plan.fingerprint, (1, 2), estimate)


def make_metrics(**changes: Any) -> ExecutionMetrics:
    energy = EnergyReport(kind="unavailable", source="none", reason="this machine has no powercap zones")
    unknown = dict.fromkeys(
        name for name in ExecutionMetrics.model_fields if name not in ("tokens_total", "prompt_tokens")
    )
    reports = {"energy": energy, "memory": MemoryReport(), "cpu": CpuReport()}
    known = {"tokens_total": 3, "prompt_tokens": 2, "latency_gaps": 2, "ttft_ms": 12.5, **reports}
    return ExecutionMetrics(**{**unknown, **known, **changes})


def make_record(**changes: Any) -> ExecutionRecord:
    plan = make_plan()
    fields: dict[str, Any] = {
        "execution_id": EXECUTION_ID,
        "engine_version": "0.0",
        "weights": WeightsReport(source="file"),
        "hardware": Hardware(cpu_model="test", kernel_path="cpu_avx2", threads=2),
        "plan": plan,
        "plan_fingerprint": plan.fingerprint,
        "result": "".join(PIECES),
        "token_ids": (7, 8, 9),
        "prompt_token_ids": (1, 2),
        "logits_digest": "0" * 32,
        "stop_reason": "max_tokens",
        "metrics": make_metrics(),
    }
    return ExecutionRecord(**{**fields, **changes})


def accepted(request_id: int) -> Accepted:
    plan = make_plan()
    return Accepted(
        request_id=request_id,
        execution_id=EXECUTION_ID,
        plan=plan,
        plan_fingerprint=plan.fingerprint,
        prompt_tokens=2,
    )


def advised(request_id: int, **advice: Any) -> ModelAdvised:
    return ModelAdvised(**{"request_id": request_id, "name": "tiny", "chat_template": True, **advice})


def tokens(request_id: int, token_id: int, text: str) -> Tokens:
    return Tokens(request_id=request_id, execution_id=EXECUTION_ID, token_ids=(token_id,), text=text)


def answers_in_full(message: ClientMessage) -> Sequence[EngineMessage]:
    """Answers to a Run: Accepted, one Tokens for each piece, Finished; to ModelAdvice: a chat template and no more; to
    anything else: Done."""
    if not isinstance(message, Request):
        return []
    if isinstance(message, ModelAdvice):
        return [advised(message.request_id)]
    if not isinstance(message, Run):
        return [Done(request_id=message.request_id)]
    request_id = message.request_id
    pieces = [tokens(request_id, 7 + i, piece) for i, piece in enumerate(PIECES)]
    return [accepted(request_id), *pieces, Finished(request_id=request_id, record=make_record())]


def refusing(error: EngineError) -> Any:
    """An answer that fails every request with the error."""

    def answer(message: ClientMessage) -> Sequence[EngineMessage]:
        if not isinstance(message, Request):
            return []
        return [Failed(request_id=message.request_id, code=error.code, message=error.message, params=error.params)]

    return answer
