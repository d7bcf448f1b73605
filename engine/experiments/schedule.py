"""The order in which an experiment's plans run. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.experiment import ScheduledRun


def schedule(candidates: int, inputs: int, pairs: int, warm_up: int) -> tuple[ScheduledRun, ...]:
    """Every execution: each arm ``warm_up`` times, then ``pairs`` for each candidate, who take turns.

    Who of a pair is first changes with every input and, for each input, with every turn over the workload.
    """
    arms = range(candidates + 1)
    warming = [ScheduledRun(arm=arm, input=turn % inputs, pair=None) for turn in range(warm_up) for arm in arms]
    return (*warming, *_pairs(candidates, inputs, pairs))


def is_baseline_first(candidate: int, number: int, inputs: int) -> bool:
    """Whether the baseline runs first in a candidate's pair of this number, from 0."""
    turn, index = divmod(number, inputs)
    return (index + turn + candidate) % 2 == 1


def _pairs(candidates: int, inputs: int, pairs: int) -> Iterator[ScheduledRun]:
    for number in range(pairs):
        for candidate in range(1, candidates + 1):
            arms = (0, candidate) if is_baseline_first(candidate, number, inputs) else (candidate, 0)
            pair = number * candidates + candidate - 1
            yield from (ScheduledRun(arm=arm, input=number % inputs, pair=pair) for arm in arms)
