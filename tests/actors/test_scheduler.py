"""The scheduler carries out what the policies decide: in their order, when they say, with the ranks they give."""

from __future__ import annotations

import pytest
import trio

from actors.system import System, running
from engine.energy.sources.source import EnergyReading
from protocol.metrics import EnergyReport
from protocol.requests import Cancel
from tests.actors.engine_factory import Stream, make_client, make_request, make_system, record_of, until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.fake_energy import FakeEnergy

LONG, SHORT = "a long prompt " * 100, "short"
LATE = LONG * 300
"""A prompt whose cost puts it seconds behind ``SHORT``, however late a busy machine lets that one arrive."""


def prompts(backend: FakeBackend) -> list[int]:
    return [len(prompt) for prompt in backend.prompts.values()]


@pytest.mark.parametrize(
    ("policy", "first"),
    [("default", LATE), ("latency", SHORT), ("latency_energy_balanced", SHORT)],
    ids=["default", "latency", "latency_energy_balanced"],
)
async def test_a_freed_slot_goes_to_whom_the_policy_puts_first(policy: str, first: str) -> None:
    backend = FakeBackend()
    async with running(make_system(backend)) as system, system.client() as client, trio.open_nursery() as nursery:
        for count, prompt in enumerate(("first", LATE, SHORT)):
            request = make_request(prompt, max_sequences=1, policy=policy)
            nursery.start_soon(Stream().follow, client, request)
            await until(lambda count=count: sum(_occupancy(system)) == count + 1)  # type: ignore[misc]
            await until(lambda: bool(backend.live))
        backend.emit(1, stop="eos")
        await until(lambda: 2 in backend.live)
        assert prompts(backend)[1] == len(first)
        backend.emit(2, stop="eos")
        await until(lambda: 3 in backend.live)
        backend.emit(3, stop="eos")


class SecondsMeter(FakeEnergy):
    """Says that each execution it measures took a second."""

    def report(
        self, planned: str, start: EnergyReading | None, end: EnergyReading | None, share: float | None
    ) -> EnergyReport:
        return super().report(planned, start, end, share).model_copy(update={"window_ms": 1000.0})


@pytest.mark.parametrize("policy", ["energy", "latency_energy_balanced"])
@pytest.mark.parametrize("earlier_watts", [1, 100_000])
async def test_the_order_does_not_depend_on_what_earlier_executions_drew(policy: str, earlier_watts: int) -> None:
    backend = FakeBackend()
    meter = SecondsMeter(name="rapl", reason="", interval_s=60.0, joules_a_read=earlier_watts)
    system = make_system(backend, FakeDomain(energy_source="rapl"), meter)
    async with running(system), system.client() as client, trio.open_nursery() as nursery:
        earlier = Stream()
        nursery.start_soon(earlier.follow, client, make_request(max_sequences=1))
        await until(lambda: 1 in backend.live)
        backend.emit(1, stop="eos")
        await earlier.ended.wait()
        assert earlier.record.metrics.energy.package_j == earlier_watts
        nursery.start_soon(Stream().follow, client, make_request("running", max_sequences=1))
        await until(lambda: 2 in backend.live)
        waiting = (make_request("x" * 2000, max_sequences=1, policy=policy), make_request("y", priority=-2))
        for count, request in enumerate(waiting, 2):
            nursery.start_soon(Stream().follow, client, request)
            await until(lambda count=count: sum(_occupancy(system)) == count)  # type: ignore[misc]
        backend.emit(2, stop="eos")
        await until(lambda: 3 in backend.live)
        assert prompts(backend)[2] == 2000
        backend.emit(3, stop="eos")
        await until(lambda: 4 in backend.live)
        backend.emit(4, stop="eos")


async def test_priority_goes_first() -> None:
    backend = FakeBackend()
    async with running(make_system(backend)) as system, system.client() as client, trio.open_nursery() as nursery:
        for count, priority in enumerate((0, 0, 5)):
            request = make_request("x" * (count + 1), max_sequences=1, priority=priority)
            nursery.start_soon(Stream().follow, client, request)
            await until(lambda count=count: sum(_occupancy(system)) == count + 1)  # type: ignore[misc]
            await until(lambda: bool(backend.live))
        for sequence_id in (1, 2, 3):
            await until(lambda sequence_id=sequence_id: sequence_id in backend.live)  # type: ignore[misc]
            backend.emit(sequence_id, stop="eos")
    assert prompts(backend) == [1, 3, 2]


@pytest.mark.parametrize("policy", ["cost", "energy", "latency_energy_balanced"])
async def test_who_waits_for_company_that_never_comes_is_admitted_all_the_same(policy: str) -> None:
    async with make_client(FakeBackend(answer=("a",))) as client:
        assert (await record_of(client, make_request(policy=policy))).result == "a"


async def test_who_waits_for_company_can_be_cancelled() -> None:
    backend = FakeBackend()
    system = make_system(backend)
    async with running(system), system.client() as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request(policy="energy", priority=-10))
        await until(lambda: bool(stream.messages))
        await client.ask(Cancel(execution_id=stream.execution_id))
        await stream.ended.wait()
        assert stream.record.stop_reason == "cancelled"
        assert _occupancy(system) == (0, 0)


async def test_the_backend_learns_how_much_of_a_step_a_prompt_may_take() -> None:
    backend = FakeBackend(answer=("a",))
    async with make_client(backend) as client:
        for policy in ("default", "latency"):
            for prompt in (SHORT, LONG * 100):
                await record_of(client, make_request(prompt, policy=policy))
    assert list(backend.prefill_shares.values()) == [256, 256, 256, 16]


async def test_the_backend_learns_whose_prompt_comes_first() -> None:
    backend = FakeBackend()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        for count, priority in enumerate((0, 10, -10)):
            nursery.start_soon(Stream().follow, client, make_request(priority=priority))
            await until(lambda count=count: len(backend.prompts) == count + 1)  # type: ignore[misc]
        ranks = backend.prefill_ranks
        assert ranks[2] < ranks[1] < ranks[3]
        for sequence_id in (1, 2, 3):
            backend.emit(sequence_id, stop="eos")


def _occupancy(system: System) -> tuple[int, int]:
    statistics = system.statistics().scheduler
    return statistics.queued, statistics.admitted
