"""Runs a trace through the real engine in this process: a client of the protocol sends each request when it is due."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import trio

from actors.domain import EngineDomain
from actors.limits import ServiceLimits
from actors.system import System, running
from benchmarks.support.arrivals import Arrival
from benchmarks.support.outcomes import Outcome
from benchmarks.support.simulated_machine import CostModel
from engine.backend import MAX_PREFILL_SHARE, LoadedModel, SequenceEvents, TokenStream
from engine.config import default_config
from engine.cpu.cpu_backend import CpuBackend
from engine.energy.ladder import open_ladder
from engine.host.machine import probe_machine
from engine.models.registry import ModelRegistry
from engine.planned_execution import PlannedExecution
from engine.planning.planner import Planner
from engine.records.records import Records
from engine.weights.weights_cache import WeightsCache
from protocol.answers import Finished
from protocol.client import Client
from protocol.plan import ExecutionRequest, Limits, RunRequest, SchedulerPolicy, Stop
from protocol.record import ExecutionRecord
from protocol.sampling import Sampling

WATTS_A_CPU = 10.0
"""Stands for what nothing here measures: joules are this times the CPU seconds of the whole process."""
_WARM_UP = Arrival(0.0, 300, 4)


class _WatchedBackend(CpuBackend):
    """Notes when each request had its tokens; requests are told apart by their seeds, which greedy sampling ignores."""

    def __init__(self, registry: ModelRegistry, cache: WeightsCache) -> None:
        super().__init__(registry, cache)
        self.token_times_ns: dict[int, list[int]] = {}
        self._seeds: dict[int, int] = {}

    def submit(
        self,
        sequence_id: int,
        model: LoadedModel,
        planned: PlannedExecution,
        *,
        prefill_rank: int = 0,
        prefill_share: int = MAX_PREFILL_SHARE,
        stream: TokenStream | None = None,
    ) -> None:
        seed = self._seeds[sequence_id] = planned.plan.sampling.seed
        self.token_times_ns[seed] = []
        super().submit(
            sequence_id, model, planned, prefill_rank=prefill_rank, prefill_share=prefill_share, stream=stream
        )

    def drain(self) -> list[SequenceEvents]:
        drained = super().drain()
        for events in drained:
            self.token_times_ns[self._seeds[events.sequence_id]] += events.token_times_ns
        return drained


class ServedTrace:
    """One trace under one policy, on an engine of its own."""

    def __init__(self, model: str, arrivals: Sequence[Arrival], policy: SchedulerPolicy, max_sequences: int) -> None:
        self._model = model
        self._arrivals = arrivals
        self._policy: SchedulerPolicy = policy
        self._max_sequences = max_sequences
        self._records: dict[int, ExecutionRecord] = {}

    def run(self) -> tuple[list[Outcome], float]:
        """Outcomes of the requests, and the proxy joules of all. Raises what the client raises."""
        config = default_config()
        registry = ModelRegistry(config)
        cache = WeightsCache.of(config)
        self._backend = _WatchedBackend(registry, cache)
        energy, machine = open_ladder(config), probe_machine()
        records = Records(config.data_dir)
        domain = EngineDomain(
            Planner(registry, config, machine, energy.availability()), cache, self._backend, records, energy
        )
        room = len(self._arrivals) + 1
        limits = ServiceLimits(max_queued=room, max_in_flight=room, max_executions=room)
        return trio.run(self._replay, System(self._backend, domain, energy, records, limits))

    async def _replay(self, system: System) -> tuple[list[Outcome], float]:
        async with running(system), system.client() as client:
            await self._ask(client, len(self._arrivals), _WARM_UP)
            cpu_s, begin_ns = time.process_time(), time.monotonic_ns()
            begin = trio.current_time()
            async with trio.open_nursery() as nursery:
                for index, arrival in enumerate(self._arrivals):
                    await trio.sleep_until(begin + arrival.at_ms / 1e3)
                    nursery.start_soon(self._ask, client, index, arrival)
            cpu_s = time.process_time() - cpu_s
        outcomes = [self._outcome(index, arrival, begin_ns) for index, arrival in enumerate(self._arrivals)]
        return outcomes, WATTS_A_CPU * cpu_s

    async def _ask(self, client: Client, index: int, arrival: Arrival) -> None:
        execution = ExecutionRequest(
            scheduler_policy=self._policy,
            max_sequences=self._max_sequences,
            sampling=Sampling(seed=index),
            limits=Limits(max_tokens=arrival.max_tokens),
            stop=Stop(eos=False),
        )
        prompt = " the" * arrival.prompt_tokens
        async for message in client.run(RunRequest(model=self._model, prompt=prompt, execution=execution)):
            if isinstance(message, Finished):
                self._records[index] = message.record

    def _outcome(self, index: int, arrival: Arrival, begin_ns: int) -> Outcome:
        metrics = self._records[index].metrics
        if metrics.queue_ms is None or metrics.tokens_total != arrival.max_tokens:
            raise RuntimeError(f"request {index} ended early: {self._records[index].stop_reason}")
        served = replace(arrival, prompt_tokens=metrics.prompt_tokens)
        times_ms = tuple((time_ns - begin_ns) / 1e6 for time_ns in self._backend.token_times_ns[index])
        return Outcome(served, arrival.at_ms + metrics.queue_ms, times_ms, CostModel().alone_ms(served))
