"""Which candidate to try next: one change at a time, then Optuna's tree-structured Parzen estimator, asked and told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import optuna

from protocol.value import Value
from weos_agents.search_fields import SearchField

_ATTEMPTS = 32
"""Draws to find a candidate that was not tried yet, before all combinations are gone through."""


class Candidate(Value):
    """A change of the baseline."""

    changes: dict[str, Any]
    """Fields of a request, dotted, and their values: those that differ from the baseline's."""
    plan_changes: dict[str, Any]
    """The same by the plan's names."""
    same_bits: bool
    """Whether it gives the same answers, bit by bit."""


class CandidateSearch:
    """A search over fields; ``usual`` are the baseline's values by the plan's names. Equal seeds, equal candidates."""

    def __init__(self, fields: Sequence[SearchField], usual: Mapping[str, Any], seed: int) -> None:
        """Nothing is tried yet."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        single_changes = tuple(_single_changes(fields, usual))
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=len(single_changes))
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        for places in single_changes:
            self._study.enqueue_trial(places)
        self._fields = fields
        self._usual = usual
        self._asked: dict[str, optuna.Trial] = {}

    def ask(self) -> Candidate | None:
        """A candidate that was not asked for before; ``None``: there is none left."""
        for _ in range(_ATTEMPTS):
            if (candidate := self._drawn()) is not None:
                return candidate
        for places in self._combinations():
            if not self._is_new(self._of_places(places)):
                continue
            self._study.enqueue_trial(places)
            return self._drawn()
        return None

    def tell(self, candidate: Candidate, gain: float | None, worse: Mapping[str, float]) -> None:
        """What came of it. ``gain``: ``None`` where it was refused. ``worse``: over 0 breaks a guardrail."""
        trial = self._asked[_key(candidate)]
        if gain is None:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
        for name, value in worse.items():
            trial.set_constraint(name, value)
        self._study.tell(trial, gain)

    def _drawn(self) -> Candidate | None:
        """The combination that the study asks for next; ``None``: that was asked for before.

        Values are chosen by their place in the order, so that what lies side by side is like each other.
        """
        trial = self._study.ask()
        places = {field.name: trial.suggest_int(field.name, 0, len(field.values) - 1) for field in self._fields}
        candidate = self._of_places(places)
        if not self._is_new(candidate):
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return None
        self._asked[_key(candidate)] = trial
        return candidate

    def _is_new(self, candidate: Candidate) -> bool:
        return bool(candidate.changes) and _key(candidate) not in self._asked

    def _combinations(self) -> Iterator[dict[str, int]]:
        """All that can be tried, by the places of the values."""
        names = [field.name for field in self._fields]
        for places in product(*(range(len(field.values)) for field in self._fields)):
            yield dict(zip(names, places, strict=True))

    def _of_places(self, places: Mapping[str, int]) -> Candidate:
        changed = []
        for field in self._fields:
            value = field.values[places[field.name]]
            if value != self._usual[field.name]:
                changed.append((field, value))
        return Candidate(
            changes={field.request_field: value for field, value in changed},
            plan_changes={field.name: value for field, value in changed},
            same_bits=all(field.same_bits for field, _ in changed),
        )


def _single_changes(fields: Sequence[SearchField], usual: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """The places of values beside the baseline's, one field at a time: a short search learns more from what each change
    does alone than from a few draws that change everything at once."""
    places = {field.name: field.values.index(usual[field.name]) for field in fields}
    for step in (-1, 1):
        for field in fields:
            place = places[field.name] + step
            if 0 <= place < len(field.values):
                yield {**places, field.name: place}


def _key(candidate: Candidate) -> str:
    return json.dumps(candidate.changes, sort_keys=True)
