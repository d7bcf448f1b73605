"""The machine's power at the moment and each execution's part of it, for clients that ask and for observers.

This part of the control plane asks the energy sampler. Requests at the same time share one reading, and nothing is read
while there is no request.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

from actors.base import Inbox
from actors.execution import Execution
from actors.executions import Executions
from actors.messages import ClientRequest, EnergyRequest, LiveEnergyRead, ReadLiveEnergy
from actors.observers import Observers
from actors.ports import EnergySources
from actors.reply_sender import ReplySender
from engine.energy.live import SHORTEST_S, share_between
from engine.energy.window import OTHER_WORK, unavailable
from protocol.answers import LiveEnergy
from protocol.events import EnergyEvent
from protocol.live_energy import EnergySoFar, PowerReport, RunningEnergy
from protocol.metrics import EnergyReport
from protocol.plan import EnergySourceName
from protocol.requests import Energy

_MOMENT_S = 2.0
"""What is averaged over longer is not the moment any more."""
_NO_STEP = "no step of the run loop ended while the watts were averaged"


class LivePower:
    """Power of the moment, and the energy of running executions."""

    def __init__(
        self,
        energy_sampler: Inbox[EnergyRequest],
        energy: EnergySources,
        executions: Executions,
        observers: Observers,
        replies: ReplySender,
    ) -> None:
        self._energy_sampler = energy_sampler
        self._energy = energy
        self._executions = executions
        self._observers = observers
        self._replies = replies
        self._awaited: dict[EnergySourceName, trio.Event] = {}
        self._last: dict[EnergySourceName, LiveEnergyRead] = {}
        self._changed = trio.Event()

    async def answer(self, message: Energy, request: ClientRequest) -> LiveEnergy:
        """The answer to ``Energy``, after a second or more where no earlier reading serves."""
        source = message.source or self._chosen_source()
        read = await self._read(source, _MOMENT_S)
        power = self._power(read)
        executions = tuple(
            RunningEnergy(
                execution_id=execution.execution_id,
                model=execution.plan.model_ref.name,
                **dict(self._so_far(execution, read, power)),
            )
            for execution in self._executions
            if execution.computes and execution.energy_start is not None
        )
        return LiveEnergy(power=power, executions=executions)

    async def measured(self, oldest_s: float) -> PowerReport | None:
        """Watts by the source that plans name, averaged over no more than about ``oldest_s``; ``None`` without one."""
        source = self._energy.name
        return None if source == "none" else self._power(await self._read(source, oldest_s))

    def on_read(self, read: LiveEnergyRead) -> None:
        """Take a reading that was asked for."""
        self._last[read.source] = read
        self._awaited.pop(read.source).set()

    def reconsider(self) -> None:
        """To be called when an execution begins to compute, and when an observer comes."""
        self._changed.set()

    async def tell_observers(self) -> None:
        """About once a second while something computes that they want to hear of. Asleep else."""
        while True:
            sources = self._observed_sources()
            if not sources:
                await self._changed.wait()
                self._changed = trio.Event()
                continue
            next_s = trio.current_time() + SHORTEST_S
            for source in sources:
                read = await self._read(source, _MOMENT_S)
                self._tell(read)
            await trio.sleep_until(next_s)  # a source that fails answers at once

    def _tell(self, read: LiveEnergyRead) -> None:
        power = self._power(read)
        for execution in tuple(self._observed()):
            if execution.plan.energy_source == read.source:
                event = EnergyEvent(power=power, so_far=self._so_far(execution, read, power))
                self._observers.tell_of(execution, event)

    async def _read(self, source: EnergySourceName, oldest_s: float) -> LiveEnergyRead:
        told = self._awaited.get(source)
        if told is None:
            told = self._awaited[source] = trio.Event()
            self._energy_sampler.put_nowait(ReadLiveEnergy(source=source, oldest_s=oldest_s))
        await told.wait()
        return self._last[source]

    def _chosen_source(self) -> EnergySourceName:
        if self._energy.name != "none":
            return self._energy.name
        planned = (execution.plan.energy_source for execution in self._executions if execution.computes)
        return next((source for source in planned if source != "none"), "none")

    def _observed(self) -> Iterable[Execution]:
        return (one for one in self._executions if one.computes and one.energy_start is not None)

    def _observed_sources(self) -> set[EnergySourceName]:
        if not self._observers.want("energy"):
            return set()
        return {execution.plan.energy_source for execution in self._observed()} - {"none"}

    def _power(self, read: LiveEnergyRead) -> PowerReport:
        return self._energy.power(read.source, read.start.reading, read.end.reading)

    def _so_far(self, execution: Execution, read: LiveEnergyRead, power: PowerReport) -> EnergySoFar:
        energy = self._used(execution, read)
        share = share_between(read.start, read.end, execution.execution_id)
        reason = power.reason
        if share is None:
            reason = _NO_STEP
        if execution.disturbed:
            share, reason = None, OTHER_WORK
        tokens = execution.tokens_total
        return EnergySoFar(
            tokens_total=tokens,
            energy=energy,
            tokens_per_watt=tokens / energy.attributed_j if energy.attributed_j else None,
            share=share,
            watts=None if share is None or power.watts is None else share * power.watts,
            reason=reason,
        )

    def _used(self, execution: Execution, read: LiveEnergyRead) -> EnergyReport:
        source = execution.plan.energy_source
        if source != read.source:
            return unavailable(source, f"its plan has its energy from {source}: ask for that source", None, None)
        time = read.end.times.of.get(execution.execution_id)
        if time is None and read.end.reading.package_uj is not None:
            return unavailable(source, "none of its steps has ended yet", None, None)
        share = None if execution.disturbed or time is None else time.share
        return self._energy.report(source, execution.energy_start, read.end.reading, share)
