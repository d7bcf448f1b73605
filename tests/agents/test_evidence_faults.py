"""Why an experiment proves nothing, as it is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.evidence_factory import FIGURES, evidence_of, make_pair
from weos_agents.evidence import faults_of

UNKNOWN = "tokens_per_watt is not known: energy was measured and unavailable, not measured"


@pytest.mark.parametrize(
    ("unmeasured", "told"), [([4], "pair 4"), ([1, 3], "pairs 1, 3"), ([0, 2, 3, 5, 7], "pairs 0, 2, 3 and 2 more")]
)
def test_a_fault_of_several_pairs_is_told_once(unmeasured: list[int], told: str) -> None:
    figures = {**FIGURES, "tokens_per_watt": None, "joules_per_token": None}
    changes: dict[int, dict[str, Any]] = {
        number: {"figures": figures, "energy_kind": "unavailable"} for number in unmeasured
    }
    pairs = tuple(make_pair(number, **changes.get(number, {})) for number in range(8))
    assert faults_of(evidence_of(pairs), "tokens_per_watt") == (f"{told}: {UNKNOWN}",)
