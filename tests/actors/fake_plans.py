"""Plans of the fake domain's model, ``tiny``."""

from __future__ import annotations

from typing import cast

from engine.planned_execution import PlannedExecution
from protocol.model_ref import ModelRef
from protocol.passed_on import passed_on
from protocol.plan import (
    PLAN_SCHEMA_VERSION,
    Batch,
    EnergySourceName,
    ExecutionPlan,
    PlanStop,
    RunRequest,
    SchedulerPolicy,
)
from protocol.sampling import PlanSampling
from protocol.summaries import PlanEstimate
from protocol.tool_calls import PlanTools


def make_plan(request: RunRequest, energy_source: EnergySourceName = "none") -> ExecutionPlan:
    execution = request.execution
    return ExecutionPlan(
        schema_version=PLAN_SCHEMA_VERSION,
        model_ref=ModelRef(
            name=request.model,
            path=f"/models/{request.model}.gguf",
            content_hash="sha256:" + request.model.encode().hex(),
            architecture="llama",
            stored_types=("F32",),
        ),
        backend="reference",
        quantization="native",
        requantized_from=(),
        kv_cache="f16",
        threads=execution.threads or 1,
        batch=Batch(
            max_sequences=execution.max_sequences, prefill_chunk=256, prefill_beside_decode=256, context_length=4096
        ),
        prefix_cache="off",
        scheduler_policy=cast("SchedulerPolicy", execution.scheduler_policy),
        prompt_format="raw",
        sampling=PlanSampling(**dict(execution.sampling), dry_breaker_token_ids=()),
        logprobs=int(execution.logprobs) if execution.logprobs is not None else None,
        grammar=None,
        tools=make_plan_tools(request),
        stop=PlanStop(eos_token_ids=(2,)),
        energy_source=energy_source,
        **passed_on(execution),
    )


def make_plan_tools(request: RunRequest) -> PlanTools | None:
    if not request.tools:
        return None
    names = tuple(str(tool["function"]["name"]) for tool in request.tools)  # type: ignore[call-overload,index]
    return PlanTools(format="hermes", choice="auto", parallel=True, names=names, instruction=False)


def make_planned(plan: ExecutionPlan, prompt_token_ids: tuple[int, ...]) -> PlannedExecution:
    tokens = len(prompt_token_ids)
    estimate = PlanEstimate(
        weights_bytes=5000,
        kv_cache_bytes=1000,
        activation_bytes=100,
        prompt_tokens=tokens,
        prefill_macs=10**6 * tokens,
        decode_macs_per_token=10**6,
        decode_bytes_per_token=5000,
    )
    return PlannedExecution(plan, plan.fingerprint, prompt_token_ids, estimate)
