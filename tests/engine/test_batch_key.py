"""One notion of a batch: plans of equal keys share the run loop's steps, others never do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.batch_key import BatchKey
from engine.cpu.cpu_backend import CpuBackend
from protocol.plan import ExecutionPlan
from tests.engine.backend_bench import Bench
from tests.support.gguf_factory import write_tiny_model

TOKENS = 50
LONG: dict[str, Any] = {"limits": {"max_tokens": 7000}, "context_length": 8000}
SHORT: dict[str, Any] = {"limits": {"max_tokens": TOKENS}}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf", n_embd=64, n_head=2, n_head_kv=1, context_length=8192)


def steps_and_rows(backend: CpuBackend) -> tuple[int, int]:
    """How many steps there were, and how many there would be if no two sequences shared one."""
    work = backend.statistics().work
    assert work is not None
    return work.steps, work.decode_rows + len(("the first's prompt", "the second's"))


def run_beside(bench: Bench, plans: list[ExecutionPlan], prompt: tuple[int, ...]) -> None:
    """The second from begin to end while the first goes on."""
    models = [bench.load(plan) for plan in plans]
    for sequence_id, (plan, model) in enumerate(zip(plans, models, strict=True)):
        bench.backend.submit(sequence_id, model, bench.planned(plan, prompt))
    bench.finish(1)
    bench.backend.close()


@pytest.mark.parametrize(
    ("changes", "equal"),
    [
        ({}, True),
        ({"kv_cache": "q8_0"}, True),
        ({"scheduler_policy": "latency", "priority": 3, "sampling": {"seed": 7}}, True),
        ({"prefix_cache": "on", "context_length": 500}, True),
        ({"spin_us": 7}, False),
        ({"prefill_chunk": 128}, False),
        ({"quantization": "q8_0"}, False),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_plans_share_steps_where_their_keys_are_equal(
    changes: dict[str, Any], equal: bool, bench: Bench, model: Path
) -> None:
    (one, prompt), (other, _) = bench.prepare(model, **LONG), bench.prepare(model, **SHORT, **changes)
    assert (BatchKey.of(one) == BatchKey.of(other)) is equal
    run_beside(bench, [one, other], prompt)
    steps, alone = steps_and_rows(bench.backend)
    assert steps <= alone - (TOKENS - 1) if equal else steps == alone


def test_other_threads_are_another_batch(bench: Bench, model: Path) -> None:
    (one, prompt), (other, _) = bench.prepare(model, **LONG), bench.prepare(model, **SHORT)
    other = other.model_copy(update={"threads": 2})
    assert BatchKey.of(one) != BatchKey.of(other)
    run_beside(bench, [one, other], prompt)
    steps, alone = steps_and_rows(bench.backend)
    assert steps == alone
