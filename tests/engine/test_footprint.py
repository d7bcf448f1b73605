"""The memory that a plan is reckoned to take, and the computing."""

from __future__ import annotations

import dataclasses

import pytest

from engine import _core
from engine.artifact.footprint import estimate
from protocol.errors import (
    OutOfMemoryBudget,
)
from tests.engine.plan_factory import (
    CONFIG,
    MB,
    MODEL,
    RECURRENT,
    make_plan,
    make_request,
)


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


def test_what_recurrent_layers_keep_is_counted_once_for_each_choice() -> None:
    plan = make_plan(make_request(n=3, context_length=192))
    plain, more = estimate(plan, MODEL, 10), estimate(plan, RECURRENT, 10)
    assert more.kv_cache_bytes == plain.kv_cache_bytes + 3 * 5000
    assert more.decode_bytes_per_token == plain.decode_bytes_per_token + 5000


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
