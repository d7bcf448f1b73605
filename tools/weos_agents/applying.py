"""What follows a proof: the plan is proposed; where asked for, applied, watched, and rolled back on a breach."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from protocol.errors import EngineError
from protocol.value import Value
from weos_agents.evidence import Evidence
from weos_agents.gate import GateRules
from weos_agents.guardrail import worsenings
from weos_agents.laboratory import Laboratory
from weos_agents.optimization import Optimization
from weos_agents.sample import MORE_IS_BETTER
from weos_agents.shelf import Shelf
from weos_agents.statistics.symmetric_bets import lower_bound, upper_bound
from weos_agents.workload import WorkloadLine

Tell = Callable[[str], object]


class Applied(Value):
    """What became of a proved plan."""

    proposal: str
    name: str | None = None
    """That it was put behind; ``None``: it was not applied."""
    version: int | None = None
    watched: Evidence | None = None
    """The experiment after it was applied."""
    breach: str = ""
    """What that proved against the plan; empty: nothing."""
    rolled_back: int | None = None
    """The version that has the earlier plan again."""


def breach_of(evidence: Evidence, rules: GateRules) -> str:
    """What an experiment proves against a plan that is applied: that its figure fell, or that a guardrail is broken."""
    pairs = evidence.undisturbed(unknown_counts=rules.unknown_load_counts)
    sign = 1.0 if rules.kpi in MORE_IS_BETTER else -1.0
    gains = [sign * ratio for pair in pairs if (ratio := pair.log_ratio(rules.kpi)) is not None]
    broken = []
    best = upper_bound(gains, rules.alpha)
    if best is not None and best < 0:
        broken.append(f"{rules.kpi} is worse by at least {-math.expm1(best):.1%}")
    for guardrail in rules.guardrails:
        worse = lower_bound(worsenings(guardrail, pairs) or (), rules.alpha)
        if worse is not None and worse > math.log1p(guardrail.margin):
            broken.append(f"{guardrail.name} is worse by at least {math.expm1(worse):.1%}")
    if evidence.same_arithmetic and not evidence.same_answers:
        broken.append("answers differ")
    return "; ".join(broken)


class Applying:
    """Files what an optimization proved, by the rules of its gate."""

    def __init__(self, shelf: Shelf, laboratory: Laboratory, rules: GateRules, tell: Tell) -> None:
        """``tell`` is told every step."""
        self._shelf = shelf
        self._laboratory = laboratory
        self._rules = rules
        self._tell = tell

    def file(self, found: Optimization, note: str) -> Applied:
        """Propose the proved plan, and validate the proposal: the gate has opened. Raises EngineError."""
        proof = found.proof
        if proof is None or found.candidate is None:
            raise ValueError("nothing was proved")
        proposal = self._shelf.propose(found.candidate, proof.evidence, self._rules, note)
        self._shelf.validate(proposal, "; ".join(check.found for check in proof.verdict.checks))
        self._tell(f"proposed and validated: {proposal}")
        return Applied(proposal=proposal)

    def apply(
        self, filed: Applied, found: Optimization, name: str, inputs: Sequence[WorkloadLine], pairs: int
    ) -> Applied:
        """Put the plan behind a name, hold it against the baseline in ``pairs`` more, and roll it back where they prove
        something against it. Raises EngineError.
        """
        proof = found.proof
        if proof is None:
            raise ValueError("nothing was proved")
        if self._shelf.versions(name) == 0:
            self._keep_baseline(found, name)
        version = self._shelf.apply(name, filed.proposal, "the gate opened")
        self._tell(f"applied as {name}, version {version}")
        applied = filed.model_copy(update={"name": name, "version": version})
        if not pairs:
            return applied
        watched = self._laboratory.experiment({}, proof.asked, inputs, pairs, self._breached)
        breach = breach_of(watched, self._rules)
        self._tell(f"watched over {len(watched.pairs)} pairs: {breach or 'nothing against it'}")
        rolled_back = self._rolled_back(name, version, breach) if breach else None
        return applied.model_copy(update={"watched": watched, "breach": breach, "rolled_back": rolled_back})

    def _breached(self, so_far: Evidence) -> bool:
        return bool(breach_of(so_far, self._rules))

    def _keep_baseline(self, found: Optimization, name: str) -> None:
        """Make the baseline the first version, so that there is something to go back to."""
        try:
            note = "the engine's own plan, to go back to"
            proposal = self._shelf.propose(found.baseline, found.noise, self._rules, note)
            self._shelf.validate(proposal, "it is the baseline of every experiment")
            self._shelf.apply(name, proposal, note)
        except EngineError as refused:
            self._tell(f"the baseline could not be kept as a version to go back to: {refused.message}")

    def _rolled_back(self, name: str, applied: int, breach: str) -> int | None:
        try:
            version = self._shelf.roll_back(name, applied, breach)
        except EngineError as refused:
            self._tell(f"could not be rolled back: {refused.message}")
            return None
        self._tell(f"rolled back: {name} is version {version}")
        return version
