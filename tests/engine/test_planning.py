from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine import _core
from engine.artifact.footprint import estimate
from engine.artifact.model_facts import ModelFacts
from engine.config import EngineConfig
from engine.host.machine import Machine
from engine.planning.prompt import PreparedPrompt
from engine.planning.resolve import capabilities, decide_without_model, resolve_plan
from engine.planning.speculation_rules import ROW_COST
from protocol.errors import (
    EnergyUnavailable,
    InvalidPlan,
    InvalidRequest,
    OutOfMemoryBudget,
    PromptTooLong,
    RequestRefused,
    UnsupportedBackend,
    UnsupportedQuantization,
)
from protocol.model_ref import ModelRef
from protocol.plan import ExecutionPlan, RunRequest, SchedulerPolicy
from protocol.quantization import QUANTIZATIONS
from protocol.speculation import PlanSpeculation

MB = 10**6
MACHINE = Machine(
    "Test CPU", 4, 8 << 30, {"cpu_avx512": "no AVX-512", "cpu_avx_vnni": "no AVX-VNNI", "cpu_avx2": "", "reference": ""}
)
OLD_MACHINE = Machine(
    "Old CPU",
    2,
    8 << 30,
    {"cpu_avx512": "no AVX-512", "cpu_avx_vnni": "no AVX-VNNI", "cpu_avx2": "no AVX2", "reference": ""},
)
METER = {"rapl": "", "none": ""}
NO_METER = {"rapl": "no permission; write a udev rule", "none": ""}
MODEL_ALONE = {**NO_METER, "model": ""}
CONFIG = EngineConfig(Path("/models"), Path("/cache"), Path("/data"), memory_mb=1000)
MODEL = ModelFacts(
    ref=ModelRef(name="tiny", path="/models/tiny.gguf", content_hash="sha256:0", architecture="llama", stored_types=()),
    context_length=2048,
    weights_bytes={"cpu_avx2": 100 * MB, "reference": 90 * MB},
    decode_weights_bytes={"cpu_avx2": 30 * MB, "reference": 20 * MB},
    kv_bytes_per_token={"f16": 1024, "q8_0": 544},
    head_dim=64,
    activation_row_bytes=512,
    logits_row_bytes=2048,
    macs_per_prompt_token=3000,
    macs_of_head=700,
    vocab_size=512,
    eos_token_ids=(2, 7),
)


def make_request(**execution: Any) -> RunRequest:
    return RunRequest.model_validate_json(json.dumps({"model": "tiny", "prompt": "x", "execution": execution}))


def make_plan(
    request: RunRequest | None = None,
    prompt_tokens: int = 10,
    model: ModelFacts = MODEL,
    machine: Machine = MACHINE,
    energy: dict[str, str] = NO_METER,
    config: EngineConfig = CONFIG,
) -> ExecutionPlan:
    prompt = PreparedPrompt(tuple(range(prompt_tokens)), "raw")
    checked = decide_without_model(request or make_request(), machine, energy, config)
    return resolve_plan(checked, model, prompt, config).plan


def refusal(kind: type[RequestRefused], machine: Machine = MACHINE, **execution: Any) -> RequestRefused:
    with pytest.raises(kind) as raised:
        decide_without_model(make_request(**execution), machine, NO_METER, CONFIG)
    return raised.value


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
        "reasons": {"cpu_avx512": "no AVX-512", "cpu_avx_vnni": "no AVX-VNNI", "cpu_avx2": "no AVX2"},
    }


def test_a_machine_that_runs_nothing_says_why() -> None:
    useless = Machine(
        "?",
        1,
        1 << 30,
        {"cpu_avx512": "no AVX-512", "cpu_avx_vnni": "no AVX-VNNI", "cpu_avx2": "no AVX2", "reference": "broken"},
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


def test_a_run_that_does_not_fit_is_refused_before_it_is_loaded() -> None:
    with pytest.raises(OutOfMemoryBudget) as raised:
        make_plan(make_request(limits={"memory_mb": 100}))
    assert raised.value.params["needed_mb"] == 101
    assert make_plan(make_request(limits={"memory_mb": 101})).limits.memory_mb == 101


def test_without_any_limit_memory_is_not_checked() -> None:
    config = dataclasses.replace(CONFIG, memory_mb=None)
    assert make_plan(config=config).limits.memory_mb is None


def test_the_estimate_is_weights_reserved_context_and_the_buffers_of_a_step() -> None:
    plan = make_plan(make_request(prefill_chunk=100, max_sequences=3))
    tables = dataclasses.replace(MODEL, shared_step_bytes=lambda threads, rows, positions: 7 * rows + positions)
    needed = estimate(plan, tables, 10)
    assert needed.model_dump() == {
        "weights_bytes": 100 * MB,
        "draft_weights_bytes": 0,
        "kv_cache_bytes": 576 * 1024,
        "activation_bytes": 10 * 512 + 2048 + 70 + 576,
        "sequence_bytes": 512 + 2048,
        "prompt_tokens": 10,
        "prefill_macs": 30_000,
        "decode_macs_per_token": 3700,
        "decode_bytes_per_token": 30 * MB + 288 * 1024,
    }
    assert needed.total_bytes == needed.weights_bytes + needed.kv_cache_bytes + needed.activation_bytes
    long = estimate(make_plan(make_request(prefill_chunk=100), prompt_tokens=300), MODEL, 300)
    assert long.activation_bytes == 100 * 512 + 2048


def test_layers_with_a_window_take_no_more_than_a_step_sees() -> None:
    model = dataclasses.replace(MODEL, window=128, windowed_kv_bytes_per_token={"f16": 1000, "q8_0": 500})
    plan = make_plan(make_request(prefill_chunk=100, context_length=2048))
    held = _core.window_positions(128, 101)
    assert 128 + 101 <= held <= 128 + 101 + 128
    assert estimate(plan, model, 10).kv_cache_bytes == 24 * 2048 + 1000 * held
    short = make_plan(make_request(prefill_chunk=100, context_length=192))
    assert estimate(short, model, 10).kv_cache_bytes == 1024 * 192
    kept = make_plan(make_request(prefill_chunk=100, context_length=2048, prefix_cache="on"))
    assert estimate(kept, model, 10).kv_cache_bytes == 1024 * 2048


RECURRENT = dataclasses.replace(MODEL, recurrent_bytes=5000)


def test_what_recurrent_layers_keep_is_counted_once_for_each_choice() -> None:
    plan = make_plan(make_request(n=3, context_length=192))
    plain, more = estimate(plan, MODEL, 10), estimate(plan, RECURRENT, 10)
    assert more.kv_cache_bytes == plain.kv_cache_bytes + 3 * 5000
    assert more.decode_bytes_per_token == plain.decode_bytes_per_token + 5000


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


def test_speculation_takes_room_for_the_logits_of_its_rows() -> None:
    off = make_plan(make_request(max_sequences=3))
    plan = make_plan(make_request(max_sequences=3, speculation={"kind": "lookup", "max_rows": 5}))
    more = estimate(plan, MODEL, 10).activation_bytes - estimate(off, MODEL, 10).activation_bytes
    assert more == 4 * 2048 + _core.lookup_bytes(576)
    many = make_plan(make_request(n=16, max_sequences=256, speculation={"kind": "lookup", "max_rows": 64}))
    rows = estimate(many, MODEL, 10).activation_bytes - 16 * _core.lookup_bytes(576)
    assert rows == _core.MAX_DECODE_ROWS * (512 + 2048)


def test_a_q8_0_kv_cache_takes_what_its_codes_and_scales_take() -> None:
    plan = make_plan(make_request(kv_cache="q8_0"))
    assert plan.kv_cache == "q8_0"
    assert estimate(plan, MODEL, 10).kv_cache_bytes == 576 * 544
    assert plan.fingerprint != make_plan().fingerprint


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
