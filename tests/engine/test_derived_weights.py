"""One model file under every quantization: made once, kept, found again, and the same bits each way."""

from __future__ import annotations

import resource
from contextlib import closing
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import pytest

from engine import _core
from engine.backend import SequenceEvents
from engine.cpu.cpu_backend import CpuBackend
from engine.weights.weights_cache import WeightsCache
from protocol.errors import CacheFull
from protocol.record import WeightsReport
from tests.engine.backend_bench import Bench
from tests.support.gguf_factory import write_tiny_model

RECIPES = ("q8_0", "q6_k", "q4_k_m", "iq4_xs", "q3_k_m")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf", n_embd=256, n_ff=512, tensor_type="F16")


def run(bench: Bench, path: Path, quantization: str, sequence_id: int = 1) -> tuple[SequenceEvents, WeightsReport]:
    """Load with a new backend, so that nothing is loaded yet."""
    with closing(CpuBackend(bench.registry, bench.cache)) as backend:
        bench.backend = backend
        plan, token_ids = bench.prepare(path, quantization=quantization)
        model = backend.load(bench.planned(plan)).run()
        backend.submit(sequence_id, model, bench.planned(plan, token_ids))
        return bench.finish(sequence_id), model.origin


def types_of(path: Path) -> set[str]:
    return {tensor.type for tensor in _core.GgufFile(str(path)).tensors()}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_second_run_finds_what_the_first_made_and_gives_the_same_bits(
    bench: Bench, tiny: Path, recipe: str
) -> None:
    first, made = run(bench, tiny, recipe)
    second, found = run(bench, tiny, recipe)
    assert (made.source, found.source) == ("quantized", "cache")
    assert made.notices == found.notices == ()
    assert (first.token_ids, first.logits_digest) == (second.token_ids, second.logits_digest)
    assert recipe.removesuffix("_m").upper() in types_of(bench.cache.entries()[0].path)


def test_every_quantization_gives_other_logits_and_leaves_the_file_alone(bench: Bench, tiny: Path) -> None:
    before = tiny.read_bytes()
    digests = {run(bench, tiny, quantization)[0].logits_digest for quantization in ("native", *RECIPES)}
    assert len(digests) == 1 + len(RECIPES)
    assert tiny.read_bytes() == before


def test_two_quantizations_are_loaded_side_by_side(bench: Bench, tiny: Path) -> None:
    apart = {quantization: run(bench, tiny, quantization)[0].logits_digest for quantization in ("native", "q8_0")}
    bench.backend = CpuBackend(bench.registry, bench.cache)
    plans = {quantization: bench.prepare(tiny, quantization=quantization) for quantization in apart}
    models = {quantization: bench.load(plan) for quantization, (plan, _) in plans.items()}
    for sequence_id, (quantization, (plan, token_ids)) in enumerate(plans.items(), start=1):
        bench.backend.submit(sequence_id, models[quantization], bench.planned(plan, token_ids))
        assert bench.finish(sequence_id).logits_digest == apart[quantization]


def test_a_plan_says_what_is_quantized_again(bench: Bench, tiny: Path, tmp_path: Path) -> None:
    assert bench.prepare(tiny, quantization="q4_k_m")[0].requantized_from == ()
    lossy = write_tiny_model(tmp_path / "lossy.gguf", n_embd=256, n_ff=512, tensor_type="Q8_0")
    assert bench.prepare(lossy, quantization="q4_k_m")[0].requantized_from == ("Q8_0",)
    assert bench.prepare(lossy, quantization="q8_0")[0].requantized_from == ()
    assert bench.prepare(lossy)[0].requantized_from == ()


def test_the_memory_of_derived_weights_is_known_before_they_are_made(bench: Bench, tiny: Path) -> None:
    artifact = bench.registry.resolve(str(tiny))
    for recipe in RECIPES:
        plan, _ = bench.prepare(tiny, quantization=recipe)
        assert artifact.facts(plan.quantization).weights_bytes[plan.backend] == bench.load(plan).weights_bytes


def test_a_damaged_entry_is_made_anew_and_told(bench: Bench, tiny: Path) -> None:
    whole, _ = run(bench, tiny, "q8_0")
    path = bench.cache.entries()[0].path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    again, report = run(bench, tiny, "q8_0")
    assert report.source == "quantized"
    assert report.notices == ("the cached weights were made anew: its content has changed",)
    assert again.logits_digest == whole.logits_digest
    assert run(bench, tiny, "q8_0")[1].source == "cache"


def test_without_room_in_the_cache_the_run_goes_on_from_memory_and_says_so(bench: Bench, tiny: Path) -> None:
    kept, _ = run(bench, tiny, "q8_0")
    bench.cache = WeightsCache(bench.config.cache_dir / "small", 1000)
    unkept, report = run(bench, tiny, "q8_0")
    assert report.source == "memory"
    assert "not kept" in report.notices[0]
    assert unkept.logits_digest == kept.logits_digest
    assert bench.cache.entries() == ()


def test_a_full_disk_and_no_memory_is_a_typed_error(bench: Bench, tiny: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    bench.prepare(tiny, quantization="q8_0")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(CacheFull):  # memory counts as a file to this limit
            run(bench, tiny, "q8_0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert bench.cache.entries() == ()


def test_without_memory_either_it_is_a_typed_error(bench: Bench, tiny: Path) -> None:
    plan, _ = bench.prepare(tiny, quantization="q8_0")
    needed = bench.load(plan).weights_bytes
    bench.cache = WeightsCache(bench.config.cache_dir / "small", 1000)
    room = chain([10 * needed + (1 << 30)], repeat(needed))
    with (
        closing(CpuBackend(bench.registry, bench.cache, lambda: next(room))) as backend,
        pytest.raises(CacheFull, match="may hold 1000"),
    ):
        backend.load(bench.planned(plan)).run()


def test_weights_in_use_are_not_evicted(bench: Bench, tiny: Path) -> None:
    plan, _ = bench.prepare(tiny, quantization="q8_0")
    bench.load(plan)
    assert bench.cache.entries()[0].in_use
    bench.backend.close()
    assert not bench.cache.entries()[0].in_use


def test_a_configured_cache_is_where_it_is_said_to_be(bench: Bench) -> None:
    config = replace(bench.config, weights_cache_mb=3)
    assert WeightsCache.of(config).directory == config.cache_dir / "weights"
