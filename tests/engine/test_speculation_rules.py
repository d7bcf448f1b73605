"""Drafting by a model, decided: what it needs, what it costs, and what is refused before anything is allocated."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from engine.artifact.footprint import estimate, step_buffers_bytes
from engine.artifact.model_facts import ModelFacts
from engine.batch_key import BatchKey, WeightsKey
from engine.draft_plan import draft_plan
from engine.planning.prompt import PreparedPrompt
from engine.planning.resolve import decide_without_model, resolve_plan
from engine.planning.speculation_rules import ROW_COST
from protocol.errors import InvalidPlan, OutOfMemoryBudget, RequestRefused, UnsupportedQuantization
from protocol.plan import BackendName, ExecutionPlan
from protocol.quantization import QUANTIZATIONS
from protocol.speculation import PlanSpeculation
from tests.engine.plan_factory import CONFIG, MACHINE, MB, MODEL, NO_METER, make_plan, make_request

DRAFT = dataclasses.replace(
    MODEL,
    ref=MODEL.ref.model_copy(update={"name": "small", "path": "/models/small.gguf", "content_hash": "sha256:1"}),
    weights_bytes={"cpu_avx2": 20 * MB, "reference": 19 * MB},
    decode_weights_bytes={"cpu_avx2": 10 * MB, "reference": 9 * MB},
    kv_bytes_per_token={"f16": 256},
    activation_row_bytes={"cpu_avx2": 64, "reference": 64},
    macs_per_prompt_token=300,
    macs_of_head=70,
)
ASKED: dict[str, Any] = {"kind": "draft", "model": "small"}


def plan_with(draft: ModelFacts = DRAFT, speculation: dict[str, Any] = ASKED, **execution: Any) -> ExecutionPlan:
    prompt = PreparedPrompt(tuple(range(10)), "raw")
    request = make_request(speculation=speculation, **execution)
    checked = decide_without_model(request, MACHINE, NO_METER, CONFIG)
    return resolve_plan(checked, MODEL, prompt, CONFIG, draft=draft).plan


def test_every_backend_has_its_cost_of_a_row() -> None:
    assert set(ROW_COST) == set(get_args(BackendName))


def refusal(kind: type[RequestRefused], **asked: Any) -> RequestRefused:
    with pytest.raises(kind) as refused:
        plan_with(**asked)
    return refused.value


def test_a_draft_models_plan_says_which_it_is_and_what_it_costs() -> None:
    assert plan_with().speculation == PlanSpeculation(
        kind="draft",
        model=DRAFT.ref,
        quantization="native",
        max_rows=8,
        row_cost=ROW_COST["cpu_avx2"],
        draft_cost=0.333,
    )
    assert plan_with(backend="reference").speculation.draft_cost == 0.1, "scalar kernels are bound by arithmetic"
    asked = {**ASKED, "quantization": "Q4_K_M", "draft_cost": 0.25, "row_cost": 0.1, "max_rows": 4}
    assert plan_with(speculation=asked).speculation == PlanSpeculation(
        kind="draft", model=DRAFT.ref, quantization="q4_k_m", max_rows=4, row_cost=0.1, draft_cost=0.25
    )


def test_the_same_model_in_fewer_bits_needs_no_name() -> None:
    plan = plan_with(speculation={"kind": "self", "quantization": "q4_k_m"}, quantization="q8_0")
    assert (plan.speculation.model, plan.speculation.quantization) == (None, "q4_k_m")
    draft = draft_plan(plan)
    assert draft is not None
    assert (draft.model_ref, draft.quantization, draft.speculation) == (plan.model_ref, "q4_k_m", PlanSpeculation())


def test_a_draft_model_that_cannot_forget_a_guess_is_refused() -> None:
    draft = dataclasses.replace(DRAFT, recurrent_bytes=1)
    assert "recurrent" in str(refusal(InvalidPlan, draft=draft))


def test_the_weights_that_guess_have_a_key_and_the_batch_stays_the_same() -> None:
    plan = plan_with()
    assert WeightsKey.of_draft(plan) == WeightsKey(content_hash="sha256:1", quantization="native", backend="cpu_avx2")
    assert WeightsKey.of_draft(make_plan()) is None
    assert BatchKey.of(plan) == BatchKey.of(make_plan())


def test_where_a_draft_model_was_found_takes_no_part_in_the_fingerprint() -> None:
    moved = dataclasses.replace(DRAFT, ref=DRAFT.ref.model_copy(update={"name": "copy", "path": "/elsewhere"}))
    other = dataclasses.replace(DRAFT, ref=DRAFT.ref.model_copy(update={"content_hash": "sha256:2"}))
    assert plan_with(moved).fingerprint == plan_with().fingerprint != plan_with(other).fingerprint


@pytest.mark.parametrize(
    ("speculation", "field"),
    [
        ({"kind": "draft"}, "model"),
        ({"kind": "self"}, "quantization"),
        ({"kind": "self", "quantization": "q4_k_m", "model": "small"}, "model"),
        ({"kind": "lookup", "model": "small"}, "model"),
        ({"kind": "lookup", "quantization": "q8_0"}, "quantization"),
        ({"kind": "off", "quantization": "q8_0"}, "quantization"),
    ],
)
def test_what_a_kind_lacks_or_does_not_have_is_named(speculation: dict[str, Any], field: str) -> None:
    error = refusal(InvalidPlan, speculation=speculation)
    assert error.params["field"] == f"execution.speculation.{field}"


def test_an_unknown_quantization_is_told_those_that_there_are() -> None:
    error = refusal(UnsupportedQuantization, speculation={**ASKED, "quantization": "q2"})
    assert error.params["field"] == "execution.speculation.quantization"
    assert error.params["allowed"] == list(QUANTIZATIONS)


def test_a_model_that_cannot_guess_here_is_refused() -> None:
    short = dataclasses.replace(DRAFT, context_length=512)
    assert "trained for 512" in refusal(InvalidPlan, draft=short).message
    assert "does not fit the heads of the draft model small" in refusal(InvalidPlan, kv_cache="q8_0").message
    same = {"kind": "self", "quantization": "q8_0"}
    error = refusal(InvalidPlan, draft=MODEL, speculation=same, quantization="q8_0")
    assert "no smaller than the run's own" in error.message
    with pytest.raises(ValidationError):
        make_request(speculation={**ASKED, "draft_cost": -1})


def test_a_draft_model_is_in_the_estimate() -> None:
    off, plan = make_plan(make_request(max_sequences=3)), plan_with(max_sequences=3)
    alone, both = estimate(off, MODEL, 10), estimate(plan, MODEL, 10, DRAFT)
    assert (both.draft_weights_bytes, both.weights_bytes) == (20 * MB, alone.weights_bytes + 20 * MB)
    assert both.kv_cache_bytes == alone.kv_cache_bytes + 576 * 256
    more_logits = plan.speculation.max_rows - 1
    assert both.activation_bytes == alone.activation_bytes + more_logits * 2048 + 10 * 64 + 2048
    assert step_buffers_bytes(plan, MODEL, DRAFT) > step_buffers_bytes(plan, MODEL)
    choices = plan_with(n=4)
    assert (
        estimate(choices, MODEL, 10, DRAFT).kv_cache_bytes
        == estimate(choices, MODEL, 10).kv_cache_bytes + 4 * 576 * 256
    )


def test_a_draft_model_that_finds_no_room_is_refused() -> None:
    make_plan(make_request(limits={"memory_mb": 110}))
    error = refusal(OutOfMemoryBudget, limits={"memory_mb": 110})
    assert error.params["weights_bytes"] == 120 * MB
