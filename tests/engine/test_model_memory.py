"""Models stay in memory, and go in order, as the budget allows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from engine.batch_key import WeightsKey
from engine.cpu.loaded_model import CpuLoadedModel
from engine.cpu.model_memory import LoopUsage, ModelMemory
from protocol.errors import OutOfMemoryBudget
from protocol.quantization import Quantization
from protocol.summaries import PlanEstimate

MB = 10**6


def weights_key(name: str, quantization: Quantization = "native") -> WeightsKey:
    return WeightsKey(content_hash=name, quantization=quantization, backend="reference")


@dataclass(frozen=True, eq=False)
class Weights:
    """The part of a model that the memory budget knows."""

    name: str
    weights_bytes: int = 10 * MB
    quantization: Quantization = "native"
    cached: None = None
    draft: Weights | None = None

    @property
    def key(self) -> WeightsKey:
        return weights_key(self.name, self.quantization)

    @property
    def facts(self) -> SimpleNamespace:
        return SimpleNamespace(ref=SimpleNamespace(path=f"/models/{self.name}.gguf"))


@dataclass
class Machine:
    """And the run loop on it, which drops prefixes at once."""

    available: int | None = None
    filled: int = 0
    idle_prefixes: int = 0
    dropped: list[int] = field(default_factory=list)
    trims: int = 0

    def usage(self) -> LoopUsage:
        return LoopUsage(kv_cache_bytes=self.filled, idle_prefix_bytes=self.idle_prefixes)

    def drop_prefixes(self, size_bytes: int) -> None:
        dropped = min(size_bytes, self.idle_prefixes)
        self.dropped.append(size_bytes)
        self.idle_prefixes -= dropped
        if self.available is not None:
            self.available += dropped

    def trim(self) -> None:
        self.trims += 1


@dataclass
class Stage:
    limit: int | None = 100 * MB
    machine: Machine = field(default_factory=Machine)

    def __post_init__(self) -> None:
        machine = self.machine
        self.memory = ModelMemory(self.limit, lambda: machine.available, machine)

    def add(
        self, name: str, size: int = 10 * MB, *, idle: bool = True, quantization: Quantization = "native"
    ) -> CpuLoadedModel:
        model = cast("CpuLoadedModel", Weights(name, size, quantization))
        self.memory.add(model)
        if idle:
            self.memory.release(model)
        return model

    def names(self) -> list[str]:
        return [model.model for model in self.memory.contents()]


def run_of(kv_cache: int, activations: int = 0, own: int = 0) -> PlanEstimate:
    return PlanEstimate(
        weights_bytes=10 * MB,
        kv_cache_bytes=kv_cache,
        activation_bytes=activations,
        sequence_bytes=own,
        prompt_tokens=1,
        prefill_macs=0,
        decode_macs_per_token=0,
        decode_bytes_per_token=0,
    )


def test_the_one_used_longest_ago_goes_first_and_no_more_than_needed() -> None:
    stage = Stage()
    for name in ("a", "b", "c"):
        stage.add(name)
    again = stage.memory.hold(weights_key("a"))
    assert again is not None
    stage.memory.release(again)
    stage.memory.make_room(75 * MB, "a run")
    assert stage.names() == ["a", "c"]
    assert stage.machine.trims == 1
    stage.memory.make_room(80 * MB, "a run")
    assert stage.names() == ["a", "c"]


def test_what_is_held_or_runs_stays() -> None:
    stage = Stage()
    stage.add("held", idle=False)
    running = stage.add("running", idle=False)
    stage.memory.claim(1, running, run_of(5 * MB))
    stage.memory.release(running)
    with pytest.raises(OutOfMemoryBudget, match=r"a run needs much; .*75 MB are available") as raised:
        stage.memory.make_room(76 * MB, "a run needs much")
    assert raised.value.params == {"needed_mb": 76, "available_mb": 75}
    stage.memory.end(1)
    stage.memory.make_room(81 * MB, "a run needs much")
    assert stage.names() == ["held"]


def test_a_model_that_is_to_go_takes_all_its_idle_weights_along() -> None:
    stage = Stage()
    stage.add("a")
    stage.add("a", quantization="q8_0")
    stage.add("b")
    assert stage.memory.let_go(Path("/models/a.gguf"))
    assert (stage.names(), stage.machine.trims) == (["b"], 1)
    assert stage.memory.let_go(Path("/models/a.gguf"))
    assert stage.machine.trims == 1


def test_what_nothing_used_since_the_last_look_goes() -> None:
    stage = Stage()
    for name in ("idle", "used", "held"):
        stage.add(name, idle=name != "held")
    stage.memory.let_unused_go()
    assert stage.names() == ["idle", "used", "held"]
    used = stage.memory.hold(weights_key("used"))
    assert used is not None
    stage.memory.release(used)
    stage.memory.let_unused_go()
    assert stage.names() == ["used", "held"]
    stage.memory.let_unused_go()
    assert stage.names() == ["held"]
    assert stage.machine.trims == 2


def test_a_model_in_use_keeps_all_its_weights() -> None:
    stage = Stage()
    stage.add("a")
    held = stage.add("a", quantization="q8_0", idle=False)
    path = Path("/models/a.gguf")
    assert stage.memory.uses(path)
    assert not stage.memory.let_go(path)
    assert stage.names() == ["a", "a"]
    stage.memory.release(held)
    assert not stage.memory.uses(path)
    assert stage.memory.let_go(path)
    assert stage.names() == []


def test_a_claim_takes_its_cache_and_one_models_sequences_share_its_buffers() -> None:
    stage = Stage()
    model = stage.add("m", idle=False)
    stage.memory.claim(1, model, run_of(20 * MB, 30 * MB))
    stage.memory.claim(2, model, run_of(5 * MB, 30 * MB))
    with pytest.raises(OutOfMemoryBudget):
        stage.memory.claim(3, model, run_of(36 * MB))
    stage.memory.claim(3, model, run_of(35 * MB))
    stage.memory.end(3)
    stage.memory.end(3)
    stage.memory.end(99)
    stage.memory.claim(4, model, run_of(35 * MB))


def test_what_sequences_have_for_themselves_is_taken_by_each() -> None:
    stage = Stage(limit=100 * MB)
    model = stage.add("a", idle=False)
    for sequence_id in (1, 2, 3):
        stage.memory.claim(sequence_id, model, run_of(0, activations=20 * MB, own=5 * MB))
    with pytest.raises(OutOfMemoryBudget, match="60 MB are available"):  # 10 of weights, 15 shared, 3 times 5
        stage.memory.make_room(61 * MB, "a run")


def test_a_model_that_guesses_is_held_and_has_buffers_with_the_one_that_it_guesses_for() -> None:
    stage = Stage(limit=100 * MB)
    model, draft = stage.add("m", idle=False), stage.add("d", idle=False)
    both = replace(model, draft=draft)
    stage.memory.claim(1, both, run_of(5 * MB, 20 * MB))
    stage.memory.claim(2, model, run_of(5 * MB, 20 * MB))
    with pytest.raises(OutOfMemoryBudget):
        stage.memory.claim(3, both, run_of(31 * MB))
    stage.memory.claim(3, both, run_of(30 * MB))
    stage.memory.end(3)
    stage.memory.release(both)
    assert stage.memory.uses(Path("/models/d.gguf"))
    stage.memory.end(1)
    assert not stage.memory.uses(Path("/models/d.gguf"))
    assert stage.memory.uses(Path("/models/m.gguf"))
    stage.memory.end(2)
    assert not stage.memory.uses(Path("/models/m.gguf"))


def test_what_the_machine_has_bounds_it_too_less_what_is_promised_and_not_filled() -> None:
    stage = Stage(limit=None, machine=Machine(available=50 * MB))
    model = stage.add("m", idle=False)
    stage.memory.claim(1, model, run_of(40 * MB))
    with pytest.raises(OutOfMemoryBudget):
        stage.memory.claim(2, model, run_of(11 * MB))
    stage.machine.filled = 40 * MB
    stage.memory.claim(2, model, run_of(50 * MB))


def test_where_nothing_is_known_nothing_is_refused() -> None:
    stage = Stage(limit=None)
    stage.memory.make_room(1 << 50, "a run")


@pytest.mark.parametrize("stage", [Stage(limit=None, machine=Machine(available=5 * MB)), Stage(limit=15 * MB)])
def test_nothing_is_evicted_in_vain(stage: Stage) -> None:
    stage.add("idle")
    with pytest.raises(OutOfMemoryBudget, match="15 MB are available"):
        stage.memory.make_room(16 * MB, "a run")
    assert stage.names() == ["idle"]


def test_nothing_is_known_of_a_model_that_went() -> None:
    stage = Stage()
    model = stage.add("m", idle=False)
    stage.memory.close()
    stage.memory.release(model)
    assert stage.memory.hold(model.key) is None
    assert stage.names() == []


def test_idle_prefixes_go_before_idle_weights() -> None:
    stage = Stage(machine=Machine(idle_prefixes=30 * MB))
    stage.add("idle")
    stage.memory.make_room(70 * MB, "a run")
    assert (stage.names(), stage.machine.dropped) == (["idle"], [10 * MB])
    stage.memory.make_room(95 * MB, "a run")
    assert (stage.names(), stage.machine.idle_prefixes) == ([], 0)


def test_a_claim_drops_what_idle_prefixes_take_of_its_room_and_waits_for_nothing() -> None:
    stage = Stage(machine=Machine(idle_prefixes=30 * MB))
    model = stage.add("m", idle=False)
    stage.memory.claim(1, model, run_of(60 * MB))
    assert stage.machine.dropped == []
    stage.memory.claim(2, model, run_of(20 * MB))
    assert (stage.machine.dropped, stage.machine.trims) == ([20 * MB], 0)
    with pytest.raises(OutOfMemoryBudget, match="10 MB are available"):
        stage.memory.claim(3, model, run_of(11 * MB))
    assert stage.machine.idle_prefixes == 10 * MB


def test_prefixes_go_for_what_the_machine_lacks_too() -> None:
    stage = Stage(limit=None, machine=Machine(available=5 * MB, idle_prefixes=30 * MB))
    model = stage.add("m", idle=False)
    stage.memory.claim(1, model, run_of(20 * MB))
    assert stage.machine.dropped == [15 * MB]
    with pytest.raises(OutOfMemoryBudget, match="35 MB are available"):
        stage.memory.make_room(16 * MB, "a run")
    assert stage.machine.dropped == [15 * MB]


def test_what_runs_and_idle_prefixes_together_are_within_the_limit() -> None:
    """Sequences leave prefixes where they had claimed room."""
    stage = Stage()
    model = stage.add("m", idle=False)
    stage.memory.claim(1, model, run_of(90 * MB))
    stage.machine.idle_prefixes = 50 * MB
    stage.memory.end(1)
    stage.memory.claim(2, model, run_of(41 * MB))
    assert stage.machine.dropped == [1 * MB]
