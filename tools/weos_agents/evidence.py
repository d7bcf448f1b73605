"""What an experiment offers to prove that a plan is better, and whether it may: every reason to refuse it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from pydantic import Field

from protocol.value import Value
from weos_agents.sample import ENDED_BY_ITSELF, METRICS, OF_ENERGY, Metric, Sample

_SAME: Final = 1e-9
"""How far a claimed ratio of logarithms may be from what the records give."""

_MOST_AHEAD: Final = 2
"""How often more than the other a plan may have been first, at any time."""
_MOST_TOLD: Final = 3
"""Numbers of pairs that have the same fault."""


class Pair(Value):
    """One execution of the baseline and one of the candidate, one after the other, of the same input."""

    baseline: Sample
    candidate: Sample
    baseline_first: bool
    claimed: dict[Metric, float | None] = Field(default_factory=dict)
    """ln(candidate / baseline) as the experiment says; empty: it says nothing."""

    def log_ratio(self, metric: Metric) -> float | None:
        """ln(candidate / baseline), from the records; ``None`` where a figure does not count."""
        baseline, candidate = self.baseline.figure(metric), self.candidate.figure(metric)
        return None if baseline is None or candidate is None else math.log(candidate / baseline)

    @property
    def disturbed(self) -> bool | None:
        """Whether other processes spoilt one of the two; ``None``: not known of one."""
        known = (self.baseline.contended, self.candidate.contended)
        return True if True in known else None if None in known else False

    @property
    def same_answer(self) -> bool:
        """Equal tokens, and equal bits of all logits."""
        a, b = self.baseline, self.candidate
        return (a.answer, a.logits_digest) == (b.answer, b.logits_digest)


TOO_SHORT: Final = (
    "executions of less than half a second are too short to tell whether other processes disturbed them: have longer "
    "answers (--max-tokens), or count them all the same (--unknown-load-counts)"
)


class Quality(Value):
    """How far the candidate's arithmetic predicts otherwise than the baseline's, on a named text."""

    text: str
    """A digest of the text."""
    divergence_mean: float
    """Kullback-Leibler, in nats."""
    same_best: float
    """The part of positions with the same most probable token."""


class Evidence(Value):
    """An experiment of one candidate, as it was declared and as its records tell it."""

    experiment: str
    baseline_plan: str
    """The fingerprint that was declared; so the candidate's."""
    candidate_plan: str
    pairs_declared: int
    complete: bool
    """``False``: it was stopped, and has fewer pairs than declared."""
    failure: str = ""
    """Why it ended otherwise than complete or stopped; empty: it did not."""
    same_arithmetic: bool
    """Whether both plans compute the same bits, as the engine's search space says of the fields that differ."""
    pairs: tuple[Pair, ...]
    quality: Quality | None = None
    medians: dict[Metric, float] = Field(default_factory=dict)
    """The median ratios, candidate by baseline, that the engine computed of the pairs that it counts."""

    @property
    def inputs(self) -> frozenset[str]:
        """The inputs that were measured."""
        return frozenset(pair.baseline.input for pair in self.pairs)

    @property
    def same_answers(self) -> bool:
        """Whether every pair had equal tokens and bits."""
        return all(pair.same_answer for pair in self.pairs)

    @property
    def too_short(self) -> int:
        """How many pairs were too short to tell whether other processes disturbed them."""
        return sum(pair.disturbed is None for pair in self.pairs)

    def undisturbed(self, *, unknown_counts: bool) -> tuple[Pair, ...]:
        """The pairs that were not disturbed; with ``unknown_counts``, also those of which that is not known."""
        return tuple(pair for pair in self.pairs if pair.disturbed is False or (unknown_counts and not pair.disturbed))


def faults_of(evidence: Evidence, kpi: Metric, plan: str | None = None) -> tuple[str, ...]:
    """Every reason why this proves nothing of the plan with that fingerprint; empty: it may."""
    pairs_of: dict[str, list[int]] = {}
    for number, pair in enumerate(evidence.pairs):
        for fault in _of_a_pair(pair, evidence, kpi):
            pairs_of.setdefault(fault, []).append(number)
    of_pairs = (f"{_pairs(numbers)}: {fault}" for fault, numbers in pairs_of.items())
    return (*_of_the_whole(evidence, plan), *_of_the_order(evidence.pairs), *of_pairs)


def _pairs(numbers: Sequence[int]) -> str:
    """Their numbers, or the first few and how many more."""
    told = ", ".join(str(number) for number in numbers[:_MOST_TOLD])
    more = f" and {len(numbers) - _MOST_TOLD} more" if len(numbers) > _MOST_TOLD else ""
    return f"pair {told}" if len(numbers) == 1 else f"pairs {told}{more}"


def _of_the_whole(evidence: Evidence, plan: str | None) -> Iterator[str]:
    if plan is not None and evidence.candidate_plan != plan:
        yield f"it is about the plan {evidence.candidate_plan}, not {plan}"
    if evidence.failure:
        yield f"the experiment failed: {evidence.failure}"
    if evidence.complete and len(evidence.pairs) != evidence.pairs_declared:
        yield f"{evidence.pairs_declared} pairs were declared and {len(evidence.pairs)} are there"
    if len(evidence.pairs) > evidence.pairs_declared:
        yield "it has more pairs than were declared"
    executions = [sample.execution_id for sample in _samples(evidence.pairs)]
    if len(set(executions)) != len(executions):
        yield "an execution is counted twice"
    settings = {sample.setting for sample in _samples(evidence.pairs)}
    if len(settings) > 1:
        first, second, *_ = sorted(settings, key=repr)
        differing = [name for name in type(first).model_fields if getattr(first, name) != getattr(second, name)]
        yield f"its executions differ in {', '.join(differing)}"
    if any(setting.build is None for setting in settings):
        yield "a record does not say which build made it"


def _of_the_order(pairs: Sequence[Pair]) -> Iterator[str]:
    """Plans take turns (ABBA, as often as not), so that what changes with time favours neither."""
    ahead = accumulate(1 if pair.baseline_first else -1 for pair in pairs)
    if any(abs(times) > _MOST_AHEAD for times in ahead):
        yield "the plans did not take turns to be first"


def _of_a_pair(pair: Pair, evidence: Evidence, kpi: Metric) -> Iterator[str]:
    a, b = pair.baseline, pair.candidate
    if (a.plan, b.plan) != (evidence.baseline_plan, evidence.candidate_plan):
        yield "an execution ran by another plan than was declared"
    if a.input != b.input:
        yield "the two did not answer the same input"
    for sample in (a, b):
        if sample.stop_reason not in ENDED_BY_ITSELF:
            yield f"{sample.execution_id} was ended from outside ({sample.stop_reason})"
    for metric in METRICS:
        claimed = pair.claimed.get(metric)
        told = pair.log_ratio(metric)
        if claimed is not None and (told is None or abs(claimed - told) > _SAME):
            yield f"the ratio of {metric} is not what the records give{_why_none(pair, metric)}"
    if pair.log_ratio(kpi) is None:
        yield f"{kpi} is not known{_why_none(pair, kpi)}"


def _why_none(pair: Pair, metric: Metric) -> str:
    kinds = {pair.baseline.energy_kind, pair.candidate.energy_kind}
    unmeasured = kinds != {"measured"} and metric in OF_ENERGY
    return f": energy was {' and '.join(sorted(kinds))}, not measured" if unmeasured else ""


def _samples(pairs: Sequence[Pair]) -> Iterator[Sample]:
    for pair in pairs:
        yield from (pair.baseline, pair.candidate)
