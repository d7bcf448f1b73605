"""Plans as answers to what was asked, and what is refused before them."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.host.machine import Machine
from engine.planning.prompt import PreparedPrompt
from engine.planning.resolve import capabilities, decide_without_model, resolve_plan
from engine.planning.speculation_rules import ROW_COST
from protocol.errors import (
    EnergyUnavailable,
    InvalidPlan,
    InvalidRequest,
    PromptTooLong,
    UnsupportedBackend,
    UnsupportedQuantization,
)
from protocol.plan import SchedulerPolicy
from protocol.quantization import QUANTIZATIONS
from protocol.speculation import PlanSpeculation
from tests.engine.plan_factory import (
    CONFIG,
    MACHINE,
    METER,
    MODEL,
    MODEL_ALONE,
    NO_METER,
    OLD_MACHINE,
    RECURRENT,
    make_plan,
    make_request,
    refusal,
)


def test_a_plan_leaves_nothing_open() -> None:
    plan = make_plan()
    assert plan.backend == "cpu_avx2"
    assert plan.threads == 4
    assert plan.energy_source == "none"
    assert plan.limits.memory_mb == 1000
    assert plan.limits.max_tokens == 512
    assert plan.batch.context_length == 576  # 10 + 512, rounded up to 64
    assert plan.stop.eos_token_ids == (2, 7)
    assert (plan.prefix_cache, plan.priority, plan.nominal_watts) == ("off", 0, 20.0)
    assert plan.prompt_format == "raw"


def test_what_is_asked_for_is_what_is_planned() -> None:
    request = make_request(
        backend="reference",
        threads=2,
        context_length=100,
        max_sequences=3,
        prefill_chunk=7,
        prefill_beside_decode=5,
        scheduler_policy="latency",
        priority=-3,
        nominal_watts=65.0,
        limits={"max_tokens": 5, "memory_mb": 200},
        sampling={"temperature": 0.7, "seed": 9},
        stop={"eos": False, "strings": ["END"]},
    )
    plan = make_plan(request)
    assert (plan.backend, plan.threads, plan.batch.context_length) == ("reference", 2, 100)
    assert (plan.batch.max_sequences, plan.batch.prefill_chunk, plan.batch.prefill_beside_decode) == (3, 7, 5)
    assert (plan.scheduler_policy, plan.priority, plan.nominal_watts) == ("latency", -3, 65.0)
    assert (plan.limits.max_tokens, plan.limits.memory_mb) == (5, 200)
    assert (plan.sampling.temperature, plan.sampling.seed) == (0.7, 9)
    assert (plan.stop.eos, plan.stop.strings, plan.stop.eos_token_ids) == (False, ("END",), ())


@pytest.mark.parametrize("policy", get_args(SchedulerPolicy))
def test_prefill_beside_decoding_never_exceeds_the_chunk_and_never_stops(policy: str) -> None:
    shares = [
        make_plan(make_request(scheduler_policy=policy, prefill_chunk=chunk)).batch.prefill_beside_decode
        for chunk in (1, 256)
    ]
    assert shares[0] == 1
    assert 1 < shares[1] <= 256


def test_the_default_policy_gives_prompts_the_whole_chunk_beside_decoding() -> None:
    assert make_plan(make_request(prefill_chunk=300)).batch.prefill_beside_decode == 300


def test_equal_decisions_have_equal_fingerprints_wherever_the_file_lies() -> None:
    moved = dataclasses.replace(MODEL, ref=MODEL.ref.model_copy(update={"path": "/elsewhere/tiny.gguf"}))
    assert make_plan().fingerprint == make_plan(model=moved).fingerprint
    assert make_plan().fingerprint != make_plan(make_request(threads=1)).fingerprint


def test_a_machine_without_avx2_runs_the_reference() -> None:
    assert make_plan(machine=OLD_MACHINE).backend == "reference"


def test_a_meter_that_works_is_used() -> None:
    assert make_plan(energy=METER).energy_source == "rapl"
    assert make_plan(make_request(energy_source="none"), energy=METER).energy_source == "none"


def test_an_unknown_backend_is_told_what_there_is() -> None:
    error = refusal(UnsupportedBackend, backend="cuda")
    assert "cuda" in error.message
    assert error.params["allowed"] == ["cpu_avx2", "reference"]


def test_a_backend_this_machine_cannot_run_is_told_why() -> None:
    error = refusal(UnsupportedBackend, OLD_MACHINE, backend="cpu_avx2")
    assert "no AVX2" in error.message
    assert error.params == {
        "field": "execution.backend",
        "value": "cpu_avx2",
        "allowed": ["reference"],
        "reasons": {
            "cpu_avx512": "no AVX-512",
            "cpu_amx": "no AMX",
            "cpu_avx_vnni": "no AVX-VNNI",
            "cpu_avx2": "no AVX2",
        },
    }


def test_a_machine_that_runs_nothing_says_why() -> None:
    useless = Machine(
        "?",
        1,
        1 << 30,
        {
            "cpu_avx512": "no AVX-512",
            "cpu_amx": "no AMX",
            "cpu_avx_vnni": "no AVX-VNNI",
            "cpu_avx2": "no AVX2",
            "reference": "broken",
        },
    )
    assert "broken" in refusal(UnsupportedBackend, useless).message


@pytest.mark.parametrize("name", ["q8_0", "q6_k", "q4_k_m", "iq4_xs"])
def test_a_recipe_is_planned_by_its_name_and_part_of_the_decision(name: str) -> None:
    plan = make_plan(make_request(quantization=name))
    assert plan.quantization == name
    assert plan.fingerprint != make_plan(make_request()).fingerprint


@pytest.mark.parametrize("name", ["Q4_K_M", "q4_k_m", "Q4_K_m"])
def test_a_quantization_may_be_written_in_capitals_and_is_planned_without(name: str) -> None:
    assert make_plan(make_request(quantization=name)) == make_plan(make_request(quantization="q4_k_m"))


def test_a_quantization_nobody_knows_is_refused() -> None:
    error = refusal(UnsupportedQuantization, quantization="q17")
    assert "is not a quantization" in error.message
    assert error.params["allowed"] == list(QUANTIZATIONS)


@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        ("scheduler_policy", list(get_args(SchedulerPolicy))),
        ("kv_cache", ["f16", "q8_0"]),
        ("prefix_cache", ["off", "on"]),
        ("speculation.kind", ["off", "lookup", "draft", "self"]),
        ("energy_source", ["perf", "rapl", "hwmon", "meter", "model", "none"]),
    ],
)
def test_unknown_names_are_told_the_allowed_ones(field: str, allowed: list[str]) -> None:
    name, _, inner = field.partition(".")
    error = refusal(InvalidRequest, MACHINE, **{name: {inner: "nonsense"} if inner else "nonsense"})
    assert (error.params["field"], error.params["allowed"]) == (f"execution.{field}", allowed)


def test_more_threads_than_cpus_are_refused() -> None:
    assert refusal(InvalidRequest, threads=5).params["maximum"] == 4


@pytest.mark.parametrize("limit", ["max_watts", "max_joules"])
def test_energy_cannot_be_limited_without_a_meter(limit: str) -> None:
    error = refusal(EnergyUnavailable, limits={limit: 25.0})
    assert "udev rule" in error.params["reasons"]["rapl"]
    assert error.params["field"] == f"execution.limits.{limit}"
    make_plan(make_request(limits={limit: 25.0}), energy=METER)


@pytest.mark.parametrize("limit", ["max_watts", "max_joules"])
def test_energy_cannot_be_limited_by_a_plan_that_measures_none(limit: str) -> None:
    with pytest.raises(EnergyUnavailable, match="none, by name; name another"):
        make_plan(make_request(limits={limit: 25.0}, energy_source="none"), energy=METER)


@pytest.mark.parametrize("limit", ["max_watts", "max_joules"])
def test_modelled_energy_is_limited_where_the_plan_names_the_model(limit: str) -> None:
    limits = {limit: 25.0}
    with pytest.raises(EnergyUnavailable, match="modelled watts instead: --energy-source model"):
        make_plan(make_request(limits=limits), energy=MODEL_ALONE)
    declared = dataclasses.replace(CONFIG, energy_source="model")
    assert make_plan(make_request(limits=limits), energy=MODEL_ALONE, config=declared).energy_source == "model"
    assert make_plan(make_request(limits=limits, energy_source="model"), energy=MODEL_ALONE).energy_source == "model"


def test_a_model_that_does_not_work_is_named_with_what_it_lacks() -> None:
    energy = {**NO_METER, "model": "declare ENGINE_TDP_WATTS"}
    with pytest.raises(EnergyUnavailable, match=r"--energy-source model --tdp-watts WATTS"):
        make_plan(make_request(limits={"max_watts": 25.0}), energy=energy)
    with pytest.raises(EnergyUnavailable, match="'model' does not work here: declare ENGINE_TDP_WATTS"):
        make_plan(make_request(energy_source="model"), energy=energy)


def test_a_model_serves_nobody_who_does_not_name_it() -> None:
    assert make_plan(energy=MODEL_ALONE).energy_source == "none"
    assert make_plan(energy={**METER, "model": ""}).energy_source == "rapl"


def test_throttling_needs_watts_to_throttle_to() -> None:
    assert "needs limits.max_watts" in refusal(InvalidPlan, limits={"on_max_watts": "throttle"}).message
    plan = make_plan(make_request(limits={"on_max_watts": "throttle", "max_watts": 25.0}), energy=METER)
    assert plan.limits.on_max_watts == "throttle"


def test_a_plan_says_how_limits_are_watched() -> None:
    limits = make_plan().limits
    assert (limits.watt_window_ms, limits.energy_sample_ms) == (1000, 50)


def test_an_energy_source_that_does_not_work_is_refused_by_name() -> None:
    assert "udev rule" in refusal(EnergyUnavailable, energy_source="rapl").message


def test_a_prompt_as_long_as_the_context_is_refused() -> None:
    with pytest.raises(PromptTooLong) as raised:
        make_plan(prompt_tokens=2048)
    assert raised.value.params == {"prompt_tokens": 2048, "context_length": 2048, "trained": 2048}
    with pytest.raises(PromptTooLong):
        make_plan(make_request(context_length=10), prompt_tokens=10)


def test_a_context_beyond_the_trained_one_is_refused() -> None:
    with pytest.raises(InvalidPlan, match="trained for 2048"):
        make_plan(make_request(context_length=2049))


@pytest.mark.parametrize(
    ("execution", "field"),
    [({"prefix_cache": "on"}, "prefix_cache"), ({"speculation": {"kind": "lookup"}}, "speculation.kind")],
)
def test_what_would_have_recurrent_layers_go_back_is_refused(execution: dict[str, Any], field: str) -> None:
    checked = decide_without_model(make_request(**execution), MACHINE, NO_METER, CONFIG)
    with pytest.raises(InvalidPlan, match="recurrent") as refused:
        resolve_plan(checked, RECURRENT, PreparedPrompt(tuple(range(10)), "raw"), CONFIG)
    assert refused.value.params["field"] == f"execution.{field}"


def test_speculation_is_off_unless_it_is_asked_for_and_then_decided_by_the_backend() -> None:
    assert make_plan().speculation == PlanSpeculation(kind="off", max_rows=1, row_cost=None)
    assert make_plan(make_request(speculation={"kind": "off", "max_rows": 9})) == make_plan()
    for backend in ("cpu_avx2", "reference"):
        plan = make_plan(make_request(speculation={"kind": "lookup"}, backend=backend))
        assert plan.speculation == PlanSpeculation(kind="lookup", max_rows=8, row_cost=ROW_COST[plan.backend])
    plan = make_plan(make_request(speculation={"kind": "lookup", "max_rows": 3, "row_cost": 0.05}))
    assert (plan.speculation.max_rows, plan.speculation.row_cost) == (3, 0.05)
    assert plan.fingerprint != make_plan().fingerprint


@pytest.mark.parametrize("numbers", [{"max_rows": 0}, {"max_rows": 65}, {"row_cost": -0.1}, {"row_cost": 1.1}])
def test_numbers_of_speculation_have_bounds(numbers: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        make_request(speculation={"kind": "lookup", **numbers})


def test_a_kv_cache_that_does_not_fit_the_heads_is_refused() -> None:
    odd = dataclasses.replace(MODEL, kv_bytes_per_token={"f16": 1280}, head_dim=80)
    with pytest.raises(InvalidPlan, match="multiple of 32") as raised:
        make_plan(make_request(kv_cache="q8_0"), model=odd)
    assert raised.value.params == {
        "field": "execution.kv_cache",
        "value": "q8_0",
        "allowed": ["f16"],
        "head_dim": 80,
    }
    assert make_plan(model=odd).kv_cache == "f16"


def test_capabilities_name_what_works_here() -> None:
    offered = capabilities(OLD_MACHINE, NO_METER, CONFIG)
    assert not any(one.startswith("declared_energy_source:") for one in offered)
    declared = dataclasses.replace(CONFIG, energy_source="model")
    assert "declared_energy_source:model" in capabilities(OLD_MACHINE, MODEL_ALONE, declared)
    assert "backend:reference" in offered
    assert "backend:cpu_avx2" not in offered
    assert "energy_source:none" in offered
    assert "energy_source:rapl" not in offered
    assert "quantization:native" in offered


@given(st.integers(1, 2047), st.integers(1, 10_000))
def test_the_context_holds_the_whole_run_or_all_the_model_has(prompt_tokens: int, max_tokens: int) -> None:
    plan = make_plan(make_request(limits={"max_tokens": max_tokens}), prompt_tokens=prompt_tokens)
    context = plan.batch.context_length
    assert prompt_tokens < context <= 2048
    assert context == 2048 or prompt_tokens + max_tokens <= context < prompt_tokens + max_tokens + 64
