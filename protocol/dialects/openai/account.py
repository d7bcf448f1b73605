"""What answers say of the execution behind them: tokens, joules, and what would give the same bits again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from protocol.build import Build
from protocol.dialects.shape import Told
from protocol.errors import InternalError
from protocol.plan import ExecutionPlan
from protocol.record import ChoiceRecord, ExecutionRecord
from protocol.tool_calls import NamedTool

FinishReason = Literal["stop", "length", "tool_calls"]


class EnergyUsage(Told):
    """Joules of the executions behind an answer; ``null`` with a reason where nothing measures them."""

    joules: float | None
    kind: str
    source: str
    uncertainty: float | None
    """How far the joules may be from the truth, as a part of them."""
    share: float | None
    """The executions' part of the machine's work meanwhile."""
    reason: str | None


class PromptTokensDetails(Told):
    """What part of the prompt was found in the prefix cache."""

    cached_tokens: int


class CompletionTokensDetails(Told):
    """What part of the answer was thinking."""

    reasoning_tokens: int


class OpenAiUsage(Told):
    """Tokens and joules of an answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
    energy: EnergyUsage


def usage(records: Sequence[ExecutionRecord]) -> OpenAiUsage:
    """What all executions took that an answer was made of; there is one at least."""
    prompt = sum(record.metrics.prompt_tokens for record in records)
    generated = sum(record.metrics.tokens_total for record in records)
    cached = sum(record.metrics.cached_prompt_tokens or 0 for record in records)
    return OpenAiUsage(
        prompt_tokens=prompt,
        completion_tokens=generated,
        total_tokens=prompt + generated,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=sum(map(reasoning_tokens, records))),
        energy=energy_usage(records),
    )


def reasoning_tokens(record: ExecutionRecord) -> int:
    """The tokens of thinking in all choices; 0 where the plan reads no thinking."""
    return sum(choice.reasoning_tokens or 0 for choice in (record, *record.other_choices))


def energy_usage(records: Sequence[ExecutionRecord]) -> EnergyUsage:
    """The joules of all executions behind an answer; there is one at least."""
    reports = [record.metrics.energy for record in records]
    joules = [report.attributed_j for report in reports]
    known = [one for one in joules if one is not None]
    uncertainties = [report.rel_uncertainty for report in reports if report.rel_uncertainty is not None]
    return EnergyUsage(
        joules=sum(known) if len(known) == len(joules) else None,
        kind=reports[0].kind,
        source=reports[0].source,
        uncertainty=max(uncertainties, default=None),
        share=reports[0].share if len(reports) == 1 else None,
        reason=next((report.reason for report in reports if report.reason), None),
    )


def fingerprint(build: Build | None, plan_fingerprint: str) -> str:
    """Build and plan: the same again, with the same request, means the same bits."""
    made = "unknown" if build is None or build.id is None else build.id[:12]
    return f"b{made}-{plan_fingerprint.removeprefix('sha256:')[:16]}"


def finish_reason(choice: ChoiceRecord, plan: ExecutionPlan) -> FinishReason:
    """How a choice ended; ``length`` is every end that the model did not choose: a limit, the context, a cancel.

    Calls end with ``tool_calls``, but where the request named the one tool that had to be called.
    """
    if choice.stop_reason not in {"eos", "stop_string", "stop_token"}:
        return "length"
    named = plan.tools is not None and isinstance(plan.tools.choice, NamedTool)
    return "tool_calls" if choice.tool_calls and not named else "stop"


def require_whole(record: ExecutionRecord) -> None:
    """Raises InternalError where the execution failed on its way."""
    if record.stop_reason == "error":
        raise InternalError(record.error or "the execution failed")
