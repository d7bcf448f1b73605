"""The real backend on tiny models: what it is told and what it tells."""

from __future__ import annotations

import re
import resource
import select
from contextlib import closing
from pathlib import Path

import pytest

from engine.artifact.footprint import estimate
from engine.backend import Backend, LoadedModel, SequenceEvents
from engine.cpu.cpu_backend import CpuBackend
from engine.cpu.model_memory import MAX_IDLE
from protocol.errors import (
    ExecutionCancelled,
    InternalError,
    InvalidModel,
    InvalidPlan,
    OutOfMemoryBudget,
    Overloaded,
    UnsupportedModel,
)
from protocol.plan import ExecutionPlan
from protocol.record import WeightsReport
from tests.engine.backend_bench import PATIENCE_S, Bench
from tests.support.gguf_factory import write_tiny_model

pytestmark = pytest.mark.slow

MB = 10**6
LONG_PROMPT = "The quick brown fox jumps over the lazy dog. " * 6


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


def test_it_is_a_backend_and_loads_models(bench: Bench, tiny: Path) -> None:
    backend: Backend = bench.backend
    plan, _ = bench.prepare(tiny)
    assert backend.loaded(plan) is None
    model: LoadedModel = backend.load(bench.planned(plan)).run()
    assert backend.loaded(plan) is model
    assert model.weights_bytes == bench.registry.resolve(str(tiny)).weights_bytes()[plan.backend] > 0
    assert "reference" in model.kernel_path


def test_a_sequence_runs_to_its_limit(bench: Bench, tiny: Path) -> None:
    events = bench.run(tiny)
    assert events.stop_reason == "max_tokens"
    assert len(events.token_ids) == len(events.token_times_ns) == 8
    assert events.prefill_start_ns is not None
    assert list(events.token_times_ns) == sorted(events.token_times_ns)
    assert events.prefill_start_ns <= events.token_times_ns[0]
    assert len(events.logits_digest) == 32
    assert bench.registry.resolve(str(tiny)).tokenizer.decode(events.token_ids) == events.text


def test_who_runs_alone_has_all_the_computing_and_its_operations_if_asked(bench: Bench, tiny: Path) -> None:
    plain, timed = bench.run(tiny, sequence_id=1), bench.run(tiny, sequence_id=2, op_times=True)
    assert plain.compute_time is not None
    assert timed.compute_time is not None
    assert plain.compute_time.share == timed.compute_time.share == 1.0
    assert plain.compute_time.operation_ns is None
    assert timed.compute_time.operation_ns is not None
    assert sum(timed.compute_time.operation_ns.values()) == timed.compute_time.compute_ns
    work = bench.backend.statistics().work
    assert work is not None
    assert work.busy_ns == plain.compute_time.compute_ns + timed.compute_time.compute_ns
    assert (work.steps, work.decode_rows) == (16, 14)


def test_the_same_plan_gives_the_same_bits(bench: Bench, tiny: Path) -> None:
    first, second = bench.run(tiny, sequence_id=1), bench.run(tiny, sequence_id=2)
    assert first.token_ids == second.token_ids
    assert first.logits_digest == second.logits_digest


def test_the_plan_chooses_the_kv_cache(bench: Bench, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "wide.gguf", n_head=2, n_head_kv=1)
    f16, q8_0 = bench.run(path, 1, kv_cache="f16"), bench.run(path, 2, kv_cache="q8_0")
    assert f16.stop_reason == q8_0.stop_reason == "max_tokens"
    assert f16.logits_digest != q8_0.logits_digest


def test_drafts_are_counted_and_change_no_bit(bench: Bench, tiny: Path) -> None:
    long = {"max_tokens": 200}
    off = bench.run(tiny, 1, limits=long)
    lookup = bench.run(tiny, 2, limits=long, speculation={"kind": "lookup", "row_cost": 0.0})
    assert (lookup.token_ids, lookup.text, lookup.logits_digest) == (off.token_ids, off.text, off.logits_digest)
    assert lookup.drafted_tokens >= lookup.accepted_tokens > 0
    assert (off.drafted_tokens, off.accepted_tokens) == (0, 0)


def test_a_kv_cache_that_does_not_fit_is_refused_by_the_plan(bench: Bench, tiny: Path) -> None:
    with pytest.raises(InvalidPlan, match="have 16"):
        bench.prepare(tiny, kv_cache="q8_0")


def test_an_end_token_ends_it(bench: Bench, tiny: Path) -> None:
    plan, token_ids = bench.prepare(tiny)
    third = bench.run(tiny).token_ids[2]
    ending = plan.model_copy(update={"stop": plan.stop.model_copy(update={"eos_token_ids": (third,)})})
    bench.submit(2, ending, token_ids)
    assert bench.finish(2).stop_reason == "eos"


def test_a_full_context_ends_it(bench: Bench, tiny: Path) -> None:
    assert bench.run(tiny, limits={"max_tokens": 500}, context_length=16).stop_reason == "context_full"


def test_a_cancelled_sequence_ends_and_frees_its_memory(bench: Bench, tiny: Path) -> None:
    plan, token_ids = bench.prepare(tiny, limits={"max_tokens": 200})
    bench.submit(1, plan, token_ids)
    bench.backend.cancel(1)
    bench.backend.cancel(99)
    parts: list[SequenceEvents] = []
    while not parts or parts[-1].stop_reason is None:
        assert select.select([bench.backend.event_fd], [], [], PATIENCE_S)[0]
        parts += bench.backend.drain()
    assert parts[-1].stop_reason == "cancelled"
    statistics = bench.backend.statistics()
    assert (statistics.sequences, statistics.kv_cache_bytes) == (0, 0)


def test_a_file_that_changed_since_the_plan_is_refused(bench: Bench, tiny: Path) -> None:
    plan, _ = bench.prepare(tiny)
    write_tiny_model(tiny, seed=1)
    with pytest.raises(InvalidModel, match="has changed"):
        bench.load(plan)


def test_a_model_that_lacks_a_tensor_is_refused(bench: Bench, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "qwen2.gguf", architecture="qwen2", n_layer=1)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"blk.0.ffn_up.weight", b"blk.0.ffn_xx.weight"))
    plan, _ = bench.prepare(path)
    with pytest.raises((UnsupportedModel, InvalidModel), match="ffn_up"):
        bench.load(plan)


def test_weights_beyond_the_memory_available_are_refused_before_they_are_loaded(bench: Bench, tiny: Path) -> None:
    plan, _ = bench.prepare(tiny)
    # A load that was begun would be refused for its threads.
    hopeless = plan.model_copy(update={"threads": 0})
    facts = bench.registry.resolve(str(tiny)).facts()
    needed = estimate(hopeless, facts, 0).total_bytes
    with (
        closing(CpuBackend(bench.registry, bench.cache, lambda: needed - 1)) as backend,
        pytest.raises(OutOfMemoryBudget, match="are available") as raised,
    ):
        backend.load(bench.planned(hopeless)).run()
    assert raised.value.params["needed_mb"] == -(-needed // MB)
    enough = estimate(plan, facts, 0).total_bytes
    with closing(CpuBackend(bench.registry, bench.cache, lambda: enough)) as backend:
        assert backend.load(bench.planned(plan)).run().weights_bytes > 0


def test_where_nothing_tells_what_is_available_a_run_is_tried(bench: Bench, tiny: Path) -> None:
    bench.backend = CpuBackend(bench.registry, bench.cache, lambda: None)
    assert bench.run(tiny).stop_reason == "max_tokens"


def test_a_run_finds_the_memory_that_earlier_ones_have_yet_to_fill_taken(bench: Bench, tiny: Path) -> None:
    """The first fills a quarter of the context it asked for."""
    plan, token_ids = bench.prepare(tiny, context_length=256)
    needed = estimate(plan, bench.registry.resolve(str(tiny)).facts(), 0)
    available = [needed.total_bytes]
    with closing(CpuBackend(bench.registry, bench.cache, lambda: available[-1])) as backend:
        model = backend.load(bench.planned(plan)).run()
        available.append(needed.kv_cache_bytes * 3 // 2 + needed.activation_bytes)
        backend.submit(1, model, bench.planned(plan, token_ids))
        with pytest.raises(OutOfMemoryBudget, match="KV cache"):
            backend.submit(2, model, bench.planned(plan, token_ids))


def test_a_run_that_has_ended_leaves_its_memory_to_the_next(bench: Bench, tiny: Path) -> None:
    plan, _ = bench.prepare(tiny)
    needed = estimate(plan, bench.registry.resolve(str(tiny)).facts(), 0)
    limit = needed.total_bytes
    bench.backend = CpuBackend(bench.registry, bench.cache, lambda: None, memory_limit_bytes=limit)
    for sequence_id in (1, 2, 3):
        assert bench.run(tiny, sequence_id).stop_reason == "max_tokens"


def test_idle_weights_make_room_and_weights_in_use_do_not(bench: Bench, tiny: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other.gguf", seed=1)
    plan, token_ids = bench.prepare(tiny, limits={"max_tokens": 200})
    needed = estimate(plan, bench.registry.resolve(str(tiny)).facts(), 0)
    limit = needed.total_bytes + needed.weights_bytes // 2
    bench.backend = CpuBackend(bench.registry, bench.cache, lambda: None, memory_limit_bytes=limit)
    bench.submit(1, plan, token_ids)
    other_plan, _ = bench.prepare(other)
    with pytest.raises(OutOfMemoryBudget) as raised:
        bench.load(other_plan)
    assert raised.value.params["available_mb"] < raised.value.params["needed_mb"]
    bench.finish(1)
    bench.load(other_plan)
    assert [(model.model, model.in_use) for model in bench.backend.statistics().models] == [("other", True)]


def anonymous_bytes() -> int:
    """What this process alone has in memory, of which the weights of the tests below are by far the most."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) << 10  # type: ignore[index]


def test_weights_of_which_nobody_holds_anything_are_really_gone(bench: Bench, tmp_path: Path) -> None:
    """The run loop keeps buffers for the next sequence of a model; they must not keep its weights."""
    large = [write_tiny_model(tmp_path / f"{seed}.gguf", n_embd=512, n_ff=2048, seed=seed) for seed in (1, 2)]
    plan, _ = bench.prepare(large[0])
    needed = estimate(plan, bench.registry.resolve(str(large[0])).facts(), 0)
    limit = needed.total_bytes + MB
    bench.backend = CpuBackend(bench.registry, bench.cache, lambda: None, memory_limit_bytes=limit)

    before = anonymous_bytes()
    bench.run(large[0], 1)
    one = anonymous_bytes() - before
    assert one > needed.weights_bytes
    bench.run(large[1], 2)
    assert anonymous_bytes() - before < one + needed.weights_bytes // 2


def test_weights_of_a_model_that_is_to_go_are_really_gone(bench: Bench, tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "large.gguf", n_embd=512, n_ff=2048)
    bench.backend = CpuBackend(bench.registry, bench.cache, prefix_cache_bytes=MB)

    plan, token_ids = bench.prepare(path, prompt=LONG_PROMPT, prefix_cache="on")
    before = anonymous_bytes()
    bench.submit(1, plan, token_ids)
    assert bench.backend.uses_weights(path)
    assert not bench.backend.let_weights_go(path)
    bench.finish(1)
    (resident,) = bench.backend.statistics().models
    assert anonymous_bytes() - before > resident.weights_bytes
    assert bench.backend.let_weights_go(path)
    assert anonymous_bytes() - before < resident.weights_bytes // 2
    statistics = bench.backend.statistics()
    assert (statistics.models, statistics.prefix_cache.size_bytes) == ((), 0)


def test_a_prefix_is_found_and_gives_the_same_bits(bench: Bench, tiny: Path) -> None:
    bench.backend = CpuBackend(bench.registry, bench.cache, prefix_cache_bytes=MB)
    plan, token_ids = bench.prepare(tiny, prompt=LONG_PROMPT, prefix_cache="on")
    events = []
    for sequence_id in (1, 2):
        bench.submit(sequence_id, plan, token_ids)
        events.append(bench.finish(sequence_id))
    cold, hit = events
    assert (cold.cached_prompt_tokens, hit.cached_prompt_tokens) == (0, (len(token_ids) - 1) // 64 * 64)
    assert (hit.token_ids, hit.logits_digest) == (cold.token_ids, cold.logits_digest)
    kept = bench.backend.statistics().prefix_cache
    assert (kept.blocks, kept.limit_bytes) == ((len(token_ids) + 7) // 64, MB)
    bench.backend.clear_prefix_cache()
    assert bench.backend.statistics().prefix_cache.size_bytes == 0


def test_idle_prefixes_make_room_and_weights_need_not(bench: Bench, tiny: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other.gguf", seed=1)
    plan, token_ids = bench.prepare(tiny, prompt=LONG_PROMPT, prefix_cache="on", prefill_chunk=8)
    other_plan, _ = bench.prepare(other)
    weights_bytes = estimate(plan, bench.registry.resolve(str(tiny)).facts(), 0).weights_bytes
    limit = weights_bytes + estimate(other_plan, bench.registry.resolve(str(other)).facts(), 0).total_bytes
    bench.backend = CpuBackend(bench.registry, bench.cache, lambda: None, limit, prefix_cache_bytes=limit)
    bench.submit(1, plan, token_ids)
    bench.finish(1)
    assert bench.backend.statistics().prefix_cache.blocks > 1
    bench.load(other_plan)
    statistics = bench.backend.statistics()
    assert [model.model for model in statistics.models] == ["tiny", "other"]
    assert statistics.prefix_cache.blocks == 0


def test_a_cancelled_load_holds_nothing(bench: Bench, tiny: Path) -> None:
    plan, _ = bench.prepare(tiny, quantization="q8_0", backend="reference")
    load = bench.backend.load(bench.planned(plan))
    load.cancel()
    with pytest.raises(ExecutionCancelled):
        load.run()
    assert bench.backend.statistics().models == ()
    assert bench.load(plan).origin.source == "quantized"


def test_another_backends_model_is_refused(bench: Bench, tiny: Path) -> None:
    class Foreign:
        weights_bytes = 0
        kernel_path = ""
        origin = WeightsReport(source="file")

        def buffers_bytes(self, plan: ExecutionPlan) -> int:
            return 0

    plan, token_ids = bench.prepare(tiny)
    with pytest.raises(InternalError, match="Foreign"):
        bench.backend.submit(1, Foreign(), bench.planned(plan, token_ids))


def test_closing_twice_is_closing_once(bench: Bench) -> None:
    bench.backend.close()
    bench.backend.close()


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_idle_groups_and_their_threads_are_bounded_in_number(bench: Bench, tiny: Path) -> None:
    plan, token_ids = bench.prepare(tiny)
    seen = []
    for number in range(1, 25):
        own = plan.model_copy(update={"threads": 3, "batch": plan.batch.model_copy(update={"prefill_chunk": number})})
        bench.submit(number, own, token_ids)
        bench.finish(number)
        seen.append(threads())
    assert max(seen[10:]) <= max(seen[:10]), seen


def test_idle_models_are_bounded_in_number(bench: Bench, tmp_path: Path) -> None:
    for number in range(MAX_IDLE + 4):
        path = write_tiny_model(tmp_path / f"{number}.gguf")
        with path.open("ab") as file:
            file.write(bytes([number]))  # another model, by its hash
        bench.run(path, number + 1)
    names = [model.model for model in bench.backend.statistics().models if not model.in_use]
    assert names[-1] == str(MAX_IDLE + 3)
    assert len(names) <= MAX_IDLE + 1


def test_without_descriptors_the_engine_is_overloaded_and_the_model_is_not_to_blame(bench: Bench, tiny: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(Overloaded, match="as many files open as it may"):
            bench.registry.resolve(str(tiny))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert bench.registry.resolve(str(tiny))
