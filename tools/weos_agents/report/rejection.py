"""Why a plan was not proved, as a person reads it: faults of pairs are counted, not listed. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final, Literal

from weos_agents.experimenter import Confirmation
from weos_agents.gate import GateRules
from weos_agents.report.figure_words import in_words
from weos_agents.sample import MORE_IS_BETTER, OF_ENERGY
from weos_agents.statistics.symmetric_bets import upper_bound

Ending = Literal["proved", "refuted", "faulty", "undecided"]
"""``refuted``: the gain wanted is not there. ``faulty``: what the pairs show cannot prove anything, however many there
are. ``undecided``: more pairs might have told."""

_PAIR: Final = re.compile(r"pair \d+: (.*)", re.DOTALL)
_NOISY: Final = 0.25
"""Share of pairs left out from which on a reader is told that a quieter machine would need less time."""


def grouped(reasons: Iterable[str]) -> list[str]:
    """The reasons in a reader's words, with faults that several pairs share told once."""
    pairs: dict[str, int] = {}
    for reason in reasons:
        found = _PAIR.fullmatch(reason)
        told = reason if found is None else found[1]
        pairs[told] = pairs.get(told, 0) + (found is not None)
    return [in_words(f"{_counted(number)}: {told}" if number else told) for told, number in pairs.items()]


def shortened(decision: str) -> str:
    """What was decided, with reasons grouped as above."""
    before, separator, reasons = decision.partition(": ")
    if not separator or not decision.startswith("rejected "):
        return in_words(decision)
    return f"{in_words(before)}: {'; '.join(grouped(reasons.split('; ')))}"


def highest_gain(proof: Confirmation, rules: GateRules) -> float | None:
    """What the true gain is at most, with the attempt's confidence; ``None``: too few pairs to tell."""
    pairs = proof.evidence.undisturbed(unknown_counts=rules.unknown_load_counts)
    sign = 1.0 if proof.verdict.kpi in MORE_IS_BETTER else -1.0
    gains = [sign * ratio for pair in pairs if (ratio := pair.log_ratio(proof.verdict.kpi)) is not None]
    bound = upper_bound(gains, proof.alpha)
    return None if bound is None else math.expm1(bound)


def ending_of(proof: Confirmation, rules: GateRules) -> Ending:
    """How an attempt to prove a plan ended."""
    if proof.verdict.open:
        return "proved"
    if any(not check.passed and check.rule in ("evidence", "answers", "held_out") for check in proof.verdict.checks):
        return "faulty"
    highest = highest_gain(proof, rules)
    return "refuted" if highest is not None and highest < rules.gain else "undecided"


def advice(proof: Confirmation, rules: GateRules) -> list[str]:
    """What somebody can do who wants to know more than an attempt that failed has told."""
    evidence, ending = proof.evidence, ending_of(proof, rules)
    told = []
    if ending == "undecided" and not evidence.complete:
        told.append(
            f"The time ended this proof after {len(evidence.pairs)} of at most {evidence.pairs_declared} pairs: with "
            "more minutes (--minutes) it may be proved or refuted."
        )
    unknown = sum(pair.log_ratio(proof.verdict.kpi) is None for pair in evidence.pairs)
    if proof.verdict.kpi in OF_ENERGY and unknown:
        told.append(
            f"The energy of {_counted(unknown)} was not measured, and a proof needs that of every pair. Where answers "
            "are too short for the meter, have longer ones (--max-tokens) or leave these inputs out of the workload."
        )
    disturbed = sum(pair.disturbed is True for pair in evidence.pairs)
    if disturbed > _NOISY * len(evidence.pairs):
        told.append(
            f"Other processes disturbed {disturbed} of {len(evidence.pairs)} pairs: on a quieter machine the same time "
            "proves more."
        )
    return told


def _counted(pairs: int) -> str:
    return f"{pairs} pair{'' if pairs == 1 else 's'}"
