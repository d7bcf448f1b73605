"""The inboxes of a system's actors: how large each is, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from actors.base import Codec, Inbox, InboxStatistics
from actors.limits import ServiceLimits
from actors.messages import (
    ControlEvent,
    ControlRequest,
    EnergyRequest,
    ExecutorRequest,
    RecorderRequest,
    SchedulerRequest,
    SlotFreed,
    ToApiServer,
)
from protocol.plan import EnergySourceName


@dataclass(frozen=True, slots=True)
class Inboxes:
    """The inboxes of every actor: the one from above, but where the name says below."""

    api_server_below: Inbox[ToApiServer]
    control_plane: Inbox[ControlRequest]
    control_plane_below: Inbox[ControlEvent]
    scheduler: Inbox[SchedulerRequest]
    scheduler_below: Inbox[SlotFreed]
    executor: Inbox[ExecutorRequest]
    energy_sampler: Inbox[EnergyRequest]
    recorder: Inbox[RecorderRequest]

    def statistics(self) -> tuple[InboxStatistics, ...]:
        """The statistics of every inbox."""
        return tuple(
            inbox.statistics()
            for inbox in (
                self.api_server_below,
                self.control_plane,
                self.control_plane_below,
                self.scheduler,
                self.scheduler_below,
                self.executor,
                self.energy_sampler,
                self.recorder,
            )
        )


def make_inboxes(limits: ServiceLimits, codec: Codec[Any] | None) -> Inboxes:
    """With a ``codec``, which must know every message between actors, they carry frames."""
    energy_requests = 2 * limits.max_executions + len(get_args(EnergySourceName))
    return Inboxes(
        api_server_below=Inbox("api server, from below", 64, "bursts; replies are taken where they are put", codec),
        control_plane=Inbox("control plane, from above", 64, "a full one holds back reading of sockets", codec),
        control_plane_below=Inbox("control plane, from below", 64, "bursts; the run loop coalesces events", codec),
        scheduler=Inbox("scheduler, from above", 64, "its own queue is where executions wait", codec),
        scheduler_below=Inbox("scheduler, from below", 64, "bursts; one for each execution that ends", codec),
        executor=Inbox("executor, from above", 64, "a start or halt takes it microseconds", codec),
        energy_sampler=Inbox(
            "energy sampler, from above",
            energy_requests,
            "a start and an end of every execution, and a question of each source: never full",
            codec,
        ),
        recorder=Inbox(
            "recorder, from above",
            2 * limits.max_executions,
            "a begin and an end of every execution: never full",
            codec,
        ),
    )
