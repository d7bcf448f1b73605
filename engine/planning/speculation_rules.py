"""How many tokens a plan has drafted: what a request leaves open is decided by its backend. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from protocol.plan import BackendName
from protocol.speculation import PlanSpeculation, Speculation, SpeculationKind

ROW_COST: Final[Mapping[BackendName, float]] = {
    "cpu_avx512": 0.4,
    "cpu_avx_vnni": 0.4,
    "cpu_avx2": 0.4,
    "reference": 1.0,
}
"""What another row adds to a step, as a part of a step with one row: docs/speculation.md tells what was measured.
Scalar kernels take as long for each row."""


def plan_speculation(asked: Speculation, backend: BackendName) -> PlanSpeculation:
    """The plan's, of a request whose kind is known."""
    if asked.kind == "off":
        return PlanSpeculation()
    row_cost = ROW_COST[backend] if asked.row_cost is None else asked.row_cost
    return PlanSpeculation(kind=cast("SpeculationKind", asked.kind), max_rows=asked.max_rows, row_cost=row_cost)
