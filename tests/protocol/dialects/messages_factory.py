"""What an engine answers, made for translators: no engine is behind it."""

from __future__ import annotations

from typing import Any

from protocol.answers import Accepted, Finished, Tokens
from protocol.build import Build
from protocol.dialects.outcome import Outcome
from protocol.logprobs import DrawnLogprobs, TokenLogprob
from protocol.metrics import EnergyReport, ExecutionMetrics
from protocol.plan import ExecutionPlan, ExecutionRequest, RunRequest
from protocol.record import ChoiceRecord, ExecutionRecord, Hardware, StopReason, WeightsReport
from tests.actors.fake_plans import make_plan

BUILD = Build(id="b" * 32, arithmetic="a" * 32, compiler="none", flags="")
NOTHING_MEASURES = EnergyReport(kind="unavailable", source="none", reason="no meter")
CREATED = 1_800_000_000
FINGERPRINT = "bbbbbbbbbbbbb"
"""How an answer's fingerprint begins: the build's."""


def plan(n: int = 1, logprobs: int | None = None) -> ExecutionPlan:
    return make_plan(RunRequest(model="tiny", prompt="abc", execution=ExecutionRequest(n=n, logprobs=logprobs)))


def accepted(n: int = 1, logprobs: int | None = None) -> Accepted:
    planned = plan(n, logprobs)
    return Accepted(
        request_id=0, execution_id="exec-1", plan=planned, plan_fingerprint=planned.fingerprint, prompt_tokens=3
    )


def tokens(text: str, choice: int = 0, logprobs: tuple[DrawnLogprobs, ...] = ()) -> Tokens:
    ids = tuple(one.token_id for one in logprobs) or (7,)
    return Tokens(request_id=0, execution_id="exec-1", choice=choice, token_ids=ids, text=text, logprobs=logprobs)


def drawn(token_id: int, logprob: float, **top: float) -> DrawnLogprobs:
    """``top``: ``t8=-2.0`` is token 8."""
    others = tuple(TokenLogprob(token_id=int(name[1:]), logprob=value) for name, value in top.items())
    return DrawnLogprobs(token_id=token_id, logprob=logprob, top=others)


def metrics(**changed: Any) -> ExecutionMetrics:
    figures: dict[str, Any] = dict.fromkeys(
        (
            *("tokens_per_sec", "latency_total_ms", "latency_p50_ms", "latency_p95_ms", "ttft_ms", "queue_ms"),
            *("load_ms", "prefill_ms", "prefill_tokens_per_sec", "decode_tokens_per_sec", "watts_avg"),
            *("tokens_per_watt", "joules_total", "joules_per_token", "memory_peak_mb"),
        )
    )
    figures |= {"tokens_total": 2, "prompt_tokens": 3, "latency_gaps": 1, "energy": NOTHING_MEASURES}
    return ExecutionMetrics(**figures | changed)


def record(*results: str, stop: StopReason = "eos", **changed: Any) -> ExecutionRecord:
    """One choice for each result."""
    planned = plan(n=len(results))
    choices: list[dict[str, Any]] = [
        {"result": result, "token_ids": (7, 8), "logits_digest": "d" * 32, "stop_reason": stop} for result in results
    ]
    first, *others = choices
    fields: dict[str, Any] = {
        **first,
        "execution_id": "exec-1",
        "engine_version": "0.1.0",
        "build": BUILD,
        "hardware": Hardware(cpu_model="Fake CPU", kernel_path="fake", threads=1),
        "weights": WeightsReport(source="file"),
        "plan": planned,
        "plan_fingerprint": planned.fingerprint,
        "other_choices": tuple(ChoiceRecord(**other) for other in others),
        "prompt_token_ids": (97, 98, 99),
        "metrics": metrics(),
    }
    return ExecutionRecord(**fields | changed)


def finished(*results: str, stop: StopReason = "eos", **changed: Any) -> Finished:
    return Finished(request_id=0, record=record(*results, stop=stop, **changed))


def outcome(*results: str, stop: StopReason = "eos", **changed: Any) -> Outcome:
    made = record(*results, stop=stop, **changed)
    return Outcome(accepted(n=len(results)), tuple(tokens(one, at) for at, one in enumerate(results)), made, {})
