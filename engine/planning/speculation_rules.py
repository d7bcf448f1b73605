"""How many tokens a plan has drafted, and by what: what a request leaves open follows from backend and models. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast, get_args

from engine.artifact.model_facts import ModelFacts
from protocol.errors import InvalidPlan, InvalidRequest, UnsupportedQuantization
from protocol.plan import BackendName, ExecutionRequest
from protocol.quantization import QUANTIZATIONS, Quantization
from protocol.speculation import PlanSpeculation, Speculation, SpeculationKind

ROW_COST: Final[Mapping[BackendName, float]] = {
    "cpu_avx512": 0.2,
    "cpu_amx": 0.2,
    "cpu_avx_vnni": 0.4,
    "cpu_avx2": 0.4,
    "reference": 1.0,
}
"""What another row adds to a step, as a part of a step with one row: docs/speculation.md tells what was measured.
Scalar kernels take as long for each row."""
_FIELD = "execution.speculation"


def check_speculation(asked: Speculation) -> None:
    """Refuse what no model is needed to refuse.

    Raises:
        InvalidRequest: an unknown kind.
        InvalidPlan: a kind without the model or quantization that it needs, or one that its kind does not have.
        UnsupportedQuantization: unknown.
    """
    kinds = get_args(SpeculationKind)
    if asked.kind not in kinds:
        raise InvalidRequest(
            f"speculation.kind is {asked.kind!r}; allowed: {', '.join(kinds)}",
            field=f"{_FIELD}.kind",
            value=asked.kind,
            allowed=list(kinds),
        )
    for name, sentence in _contradictions(asked):
        raise _refusal(sentence, name)
    if asked.quantization not in (None, *QUANTIZATIONS):
        raise UnsupportedQuantization(
            f"{asked.quantization!r} is not a quantization; allowed: {', '.join(QUANTIZATIONS)}",
            field=f"{_FIELD}.quantization",
            value=asked.quantization,
            allowed=list(QUANTIZATIONS),
        )


def _contradictions(asked: Speculation) -> Iterator[tuple[str, str]]:
    """Fields that the kind lacks or does not have, each with a sentence that says so."""
    kind = f"speculation.kind is {asked.kind!r}"
    if asked.kind == "draft" and asked.model is None:
        yield "model", f"{kind}, which needs speculation.model: a smaller model of the same vocabulary"
    if asked.kind != "draft" and asked.model is not None:
        yield "model", f"speculation.model is of the kind 'draft', and {kind}"
    if asked.kind == "self" and asked.quantization is None:
        yield "quantization", f"{kind}, which needs speculation.quantization: one smaller than the run's own"
    if asked.kind in ("off", "lookup") and asked.quantization is not None:
        yield "quantization", f"speculation.quantization is of a model that guesses, and {kind}"


def draft_quantization(asked: Speculation) -> Quantization | None:
    """That of the model which guesses, of a request that was checked; ``None`` where none does."""
    if asked.kind not in ("draft", "self"):
        return None
    return cast("Quantization", asked.quantization or "native")


def check_draft(
    execution: ExecutionRequest, context_length: int, backend: BackendName, model: ModelFacts, draft: ModelFacts
) -> None:
    """Refuse a model that cannot guess in this execution.

    Raises InvalidPlan: its own quantization is no larger; or the draft model was trained for a shorter context than
    the execution's, has recurrent layers, or heads that the KV cache's type does not fit.
    """
    asked = execution.speculation
    if asked.kind == "self" and draft.decode_weights_bytes[backend] >= model.decode_weights_bytes[backend]:
        raise _refusal(
            f"speculation.quantization is {asked.quantization}, which is no smaller than the run's own, "
            f"{execution.quantization}: to guess with it would take as long as to compute",
            "quantization",
        )
    if context_length > draft.context_length:
        raise _refusal(
            f"the context has {context_length} tokens; the draft model {draft.ref.name} was trained for "
            f"{draft.context_length}",
            "model",
        )
    if draft.recurrent_bytes:
        raise _refusal(
            f"the draft model {draft.ref.name} has recurrent layers, which cannot forget a token that was guessed "
            "wrongly",
            "model",
        )
    if execution.kv_cache not in draft.kv_bytes_per_token:
        raise _refusal(
            f"kv_cache is {execution.kv_cache!r}, which does not fit the heads of the draft model {draft.ref.name}, "
            f"{draft.head_dim} channels wide; its own may be {', '.join(draft.kv_bytes_per_token)}",
            "model",
        )


def check_recurrent(planned: PlanSpeculation, model: ModelFacts) -> None:
    """Raises InvalidPlan: guesses for a model with recurrent layers, which cannot take back those that do not hold."""
    if planned.kind != "off" and model.recurrent_bytes:
        raise _refusal(
            f"speculation.kind is {planned.kind!r}; {model.ref.name} has recurrent layers, which cannot forget a token "
            "that was guessed wrongly",
            "kind",
        )


def plan_speculation(
    asked: Speculation, backend: BackendName, model: ModelFacts | None = None, draft: ModelFacts | None = None
) -> PlanSpeculation:
    """The plan's, of a request that was checked; ``draft`` is the model that guesses for ``model``, if one does."""
    if asked.kind == "off":
        return PlanSpeculation()
    planned = PlanSpeculation(
        kind=cast("SpeculationKind", asked.kind),
        max_rows=asked.max_rows,
        row_cost=ROW_COST[backend] if asked.row_cost is None else asked.row_cost,
    )
    if model is None or draft is None:
        return planned
    guessing = {
        "model": draft.ref if asked.kind == "draft" else None,
        "quantization": draft_quantization(asked),
        "draft_cost": _draft_cost(backend, model, draft) if asked.draft_cost is None else asked.draft_cost,
    }
    return planned.model_copy(update=guessing)


def _draft_cost(backend: BackendName, model: ModelFacts, draft: ModelFacts) -> float:
    """Scalar kernels are bound by arithmetic, all others by reading weights."""
    if backend == "reference":
        own, other = (one.macs_per_prompt_token + one.macs_of_head for one in (model, draft))
    else:
        own, other = (one.decode_weights_bytes[backend] for one in (model, draft))
    return round(other / own, 3)


def _refusal(sentence: str, name: str) -> InvalidPlan:
    return InvalidPlan(sentence, field=f"{_FIELD}.{name}")
