"""What the actors need from outside themselves; tests give them fakes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from actors.faults import Faults
from engine.backend import BackendStatistics
from engine.energy.sources.source import EnergyReading
from engine.experiments.open_experiment import OpenExperiment
from engine.metrics.metric_totals import MetricTotals
from engine.operation import Operation
from engine.planned_execution import PlannedExecution
from protocol.answers import AnswerMessage, ModelRemoved
from protocol.build import Build
from protocol.experiment_messages import Experiment
from protocol.live_energy import PowerReport
from protocol.message import Request
from protocol.metrics import EnergyReport
from protocol.plan import EnergySourceName, RunRequest
from protocol.record import ExecutionRecord, Hardware
from protocol.requests import ClientMessage, RemoveModel
from protocol.sandbox import Sandbox

RequestT = TypeVar("RequestT", bound=Request[Any])
Result = TypeVar("Result")
Table = Mapping[type[Request[Any]], Callable[[Any], Result]]
"""What to call for a request of each class."""


def on(kind: type[RequestT], call: Callable[[RequestT], Result]) -> tuple[type[Request[Any]], Callable[[Any], Result]]:
    """A row of a table, whose function takes requests of its class."""
    return kind, call


class Domain(Protocol):
    """What the engine knows about models, plans and this machine.

    Methods may block for long: call them in a worker thread. They are thread-safe, and raise the typed errors of
    :mod:`protocol.errors`; and UnreadFiles where a large file must be read first, which is not for a worker to do.
    """

    @property
    def build(self) -> Build:
        """The value that ``Welcome`` and records hold."""

    @property
    def sandbox(self) -> Sandbox:
        """What this process has given up."""

    def hardware(self, kernel_path: str, threads: int) -> Hardware:
        """What a record says of this machine and of what of it an execution used. Never blocks."""

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The value that ``Welcome`` holds."""

    def prepare(self, request: RunRequest) -> PlannedExecution:
        """Plan a request, its prompt tokenized."""

    def refuse_hopeless(self, message: ClientMessage) -> None:
        """Refuse what cannot be carried out, as far as looking at what is open tells. Never blocks for long."""

    def recorded(self, execution_id: str) -> PlannedExecution:
        """What a recorded execution ran, to be run again."""

    def open_experiment(self, asked: Experiment) -> OpenExperiment:
        """Declare an experiment, and what takes it through its schedule."""

    @property
    def answers(self) -> Table[AnswerMessage]:
        """The requests that a worker thread answers by itself."""

    @property
    def operations(self) -> Table[Operation[AnswerMessage]]:
        """The requests that keep every CPU busy for long, or must be alone with them. Calls return at once."""

    @property
    def downloads(self) -> Table[Operation[AnswerMessage]]:
        """The requests whose operations may wait for the network, at their end too. Calls return at once."""

    def remove_model(self, request: RemoveModel, executions: Mapping[str, Collection[str]]) -> ModelRemoved:
        """``executions``: which need a model, by its path."""


class RecordWriter(Protocol):
    """Where executions are recorded. Methods may block; one thread calls them. They raise typed errors."""

    def begin(self, execution_id: str, planned: PlannedExecution, started_at: datetime) -> None:
        """Mark an execution as begun."""

    def finish(self, record: ExecutionRecord) -> None:
        """On return the record survives the end of the process."""

    def close(self) -> None:
        """Close the store. Idempotent."""


class EnergySources(Protocol):
    """The sources of joules that this engine was started with."""

    @property
    def name(self) -> EnergySourceName:
        """What plans name that leave their source open: the declared one, else the best that measures or ``none``."""

    @property
    def declaration(self) -> str:
        """What the operator declared of it at start-up; empty where nothing was."""

    @property
    def reason(self) -> str:
        """Why such plans have none; empty where they have one."""

    def max_interval_s(self, source: str) -> float | None:
        """Read it at least this often while something runs; ``None``: no need."""

    def min_interval_s(self, source: str) -> float:
        """Read more often it tells nothing new."""

    def is_slow(self, source: str) -> bool:
        """Whether reading it may take seconds: then it belongs into a worker thread."""

    def read(self, source: str) -> EnergyReading:
        """A few file reads: tens of microseconds, unless the source is slow. A failure is in the reading, never an
        exception. Thread-safe.
        """

    def read_counters(self, source: str) -> EnergyReading:
        """The same without the CPUs' times."""

    def report(
        self, planned: str, start: EnergyReading | None, end: EnergyReading | None, share: float | None
    ) -> EnergyReport:
        """What an execution between two readings used, for a plan that names the source ``planned``.

        ``share`` is its part of the engine's computing in between; ``None`` where that is not known.
        """

    def live_window_s(self, source: str) -> float:
        """What watts of the moment are averaged over at least."""

    def power(self, source: str, start: EnergyReading, end: EnergyReading) -> PowerReport:
        """What the machine drew between two readings of ``source``, so far apart or more."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the control plane asks without a message: it answers at once, or in a worker thread."""

    domain: Domain
    energy: EnergySources
    backend_statistics: Callable[[], BackendStatistics]
    faults: Faults
    totals: MetricTotals
