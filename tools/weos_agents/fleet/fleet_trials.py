"""Trials on a fleet: one task a worker at a time, and those of a lost worker or engine once more elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from distributed import Client, Future, as_completed, get_worker

from protocol.errors import EngineUnreachable
from weos_agents.experimenter import Experimenter, Trial
from weos_agents.fleet.fleet_member import FleetJob, Membership, TrialOutcome, membership, screen
from weos_agents.gate import GateRules
from weos_agents.trial_runner import TrialTask

Tell = Callable[[str], object]
_GRACE_S = 60.0
"""How long after the end of its time a trial may still answer: the pair that runs is made whole."""


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A scheduler's client. Raises EngineUnreachable: nothing answers at the address."""
    try:
        client = Client(address, timeout="10s")
    except OSError as error:
        raise EngineUnreachable(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        yield client


def comparable(own: Membership, found: Mapping[str, Membership | BaseException]) -> tuple[tuple[str, ...], list[str]]:
    """The workers whose trials may be compared with the proving engine's, and why the others may not. Pure."""
    members, left_out = [], []
    for address, one in sorted(found.items()):
        if isinstance(one, BaseException):
            left_out.append(f"{address} is left out: {one}")
        elif differing := own.differing(one):
            left_out.append(f"{address} is left out: its {', '.join(differing)} is another")
        else:
            members.append(address)
    return tuple(members), left_out


def _screen_here(job: FleetJob, task: TrialTask, rules: GateRules, seconds: float) -> tuple[str, TrialOutcome]:
    return get_worker().address, screen(job, task, rules, seconds)


class FleetTrials:
    """See :class:`weos_agents.trial_runner.TrialRunner`. Workers that come later take no part."""

    def __init__(self, client: Client, job: FleetJob, own: Membership, experimenter: Experimenter, tell: Tell) -> None:
        """``own``: of the engine that proves, whose ``experimenter`` has the rules and the time.

        Raises EngineUnreachable: no worker's engine may be compared with it.
        """
        self._client, self._job, self._experimenter, self._tell = client, job, experimenter, tell
        self._joules: float | None = 0.0
        found = client.run(membership, job, on_error="return")
        self._members, left_out = comparable(own, found)
        for reason in left_out:
            tell(reason)
        if not self._members:
            raise EngineUnreachable("no worker of the fleet has an engine like the one that proves")
        tell(f"{len(self._members)} workers try candidates")

    @property
    def width(self) -> int:
        """As many as there are workers."""
        return len(self._members)

    def joules_elsewhere(self) -> float | None:
        """See :class:`weos_agents.trial_runner.TrialRunner`."""
        return self._joules

    def run(self, tasks: Sequence[TrialTask]) -> tuple[Trial, ...]:
        """See :class:`weos_agents.trial_runner.TrialRunner`. Raises EngineUnreachable: all workers are lost."""
        waiting = {self._submit(task): number for number, task in enumerate(tasks)}
        trials: dict[int, Trial] = {}
        ended = as_completed(waiting, timeout=self._experimenter.seconds_left + _GRACE_S)
        try:
            for future in ended:
                number = waiting.pop(future)
                worker, outcome = self._result(future)
                if outcome.trial is not None:
                    trials[number] = outcome.trial.model_copy(update={"tried_on": worker})
                    known = self._joules is not None and outcome.joules is not None
                    self._joules = (self._joules or 0.0) + (outcome.joules or 0.0) if known else None
                    continue
                self._lose(worker, outcome.reason)
                again = self._submit(tasks[number])
                waiting[again] = number
                ended.add(again)
        except TimeoutError as error:
            self._client.cancel(list(waiting))
            raise EngineUnreachable("the fleet's workers are lost: none has answered in time") from error
        return tuple(trials[number] for number in range(len(tasks)))

    def _submit(self, task: TrialTask) -> Future:
        arguments = (self._job, task, self._experimenter.rules, self._experimenter.seconds_left)
        # A worker that is lost has its task given to another of these by the scheduler itself.
        return self._client.submit(_screen_here, *arguments, workers=list(self._members), pure=False)

    def _result(self, future: Future) -> tuple[str, TrialOutcome]:
        if future.status == "finished":
            worker, outcome = future.result()
            return worker, outcome
        return "", TrialOutcome(trial=None, joules=None, reason=str(future.exception()))

    def _lose(self, worker: str, reason: str) -> None:
        self._members = tuple(member for member in self._members if member != worker)
        self._tell(f"{worker or 'a worker'} is lost, and its trial is made elsewhere: {reason}")
        if not self._members:
            raise EngineUnreachable("no worker of the fleet is left")
