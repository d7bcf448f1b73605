"""What a Dask worker does beside its engine, whose socket ``ENGINE_SOCKET`` names. Sent values are plain data."""

from __future__ import annotations

import time

from protocol.answers import Finished
from protocol.blocking import BlockingClient
from protocol.errors import EngineError, InternalError
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.schema import published_schema
from protocol.value import Value
from weos_agents.budget import Budget
from weos_agents.engine_laboratory import EngineLaboratory
from weos_agents.experimenter import Experimenter, Trial
from weos_agents.gate import GateRules
from weos_agents.sample import Sample, Setting
from weos_agents.search_fields import bit_fields
from weos_agents.trial_runner import TrialTask
from weos_agents.workload import Workload

TIMEOUT_S = 600.0
"""Silence of an engine after which it is given up: longer than one execution of an experiment takes."""


class FleetJob(Value):
    """What all trials of a search have in common."""

    model: str
    """Its name, which every engine of the fleet knows."""
    workload: Workload
    max_tokens: int
    quality_text: str | None
    quality_windows: int | None = None
    """The most that are read of it; ``None``: all."""

    def laboratory(self, client: BlockingClient) -> EngineLaboratory:
        """That of the client's engine. Raises EngineError: an input is refused."""
        return EngineLaboratory(
            client,
            self.model,
            self.workload,
            max_tokens=self.max_tokens,
            bits=bit_fields(published_schema("plan")),
            quality_text=self.quality_text,
            quality_windows=self.quality_windows,
        )


class Membership(Value):
    """What must be equal for two engines' trials to be compared."""

    setting: Setting
    baseline: str
    """The fingerprint of the engine's own plan."""

    def differing(self, other: Membership) -> tuple[str, ...]:
        """The names of what differs; empty: they may be compared."""
        mine, theirs = self.setting, other.setting
        found = [name for name in type(mine).model_fields if getattr(mine, name) != getattr(theirs, name)]
        return tuple(found) or (() if self.baseline == other.baseline else ("plan",))


class TrialOutcome(Value):
    """What a worker makes of a task."""

    trial: Trial | None
    """``None``: its engine was lost or busy, and another must try."""
    joules: float | None
    reason: str = ""


def membership(job: FleetJob, client: BlockingClient | None = None) -> Membership:
    """What an engine is, by the record of one token. Raises EngineError. ``client``: of that engine."""
    if client is None:
        with BlockingClient.connect(timeout=TIMEOUT_S) as own:
            return membership(job, own)
    laboratory = job.laboratory(client)
    line = job.workload.choosing[0]
    execution = ExecutionRequest(limits=Limits(max_tokens=1))
    request = RunRequest.model_validate({"model": job.model, "execution": execution, **line.fields}, strict=False)
    for message in client.run(request):
        if isinstance(message, Finished):
            setting = Sample.of(message.record).setting
            return Membership(setting=setting, baseline=laboratory.resolve({}).fingerprint)
    raise InternalError("an execution had no end")


def screen(job: FleetJob, task: TrialTask, rules: GateRules, seconds: float) -> TrialOutcome:
    """Try a candidate on this worker's engine, within ``seconds``."""
    try:
        with BlockingClient.connect(timeout=TIMEOUT_S) as client:
            laboratory = job.laboratory(client)
            experimenter = Experimenter(laboratory, rules, Budget.starting(seconds, time.monotonic))
            inputs = job.workload.choosing
            trial = experimenter.screen(task.changes, task.plan_changes, inputs, task.pairs, same_bits=task.same_bits)
            return TrialOutcome(trial=trial, joules=laboratory.joules_used())
    except EngineError as error:
        return TrialOutcome(trial=None, joules=None, reason=f"{error.code}: {error.message}")
