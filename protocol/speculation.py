"""Drafting: tokens that are guessed, computed several in one step, and kept where they are what is drawn anyway.

It changes how soon tokens come, never which: docs/speculation.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from protocol.value import Value

SpeculationKind = Literal["off", "lookup"]

MaxRows = Annotated[int, Field(ge=1, le=64)]
RowCost = Annotated[float, Field(ge=0.0, le=1.0)]


class Speculation(Value):
    """What a request asks for."""

    kind: str = "off"
    """``lookup``: guess that the text goes on as it did before, in prompt or answer, and as a grammar forces."""
    max_rows: MaxRows = 8
    """Rows of one sequence in a step, at most: that of its last token and those of drafted ones."""
    row_cost: RowCost | None = None
    """What another row adds to the time of a step, as a part of that of a step with one row. Left out: what was
    measured with the backend's kernels. The higher, the surer a guess must be; with 0 all are drafted."""


class PlanSpeculation(Value):
    """A request's :class:`Speculation`, decided."""

    kind: SpeculationKind = "off"
    max_rows: int = 1
    """1 where it is off."""
    row_cost: float | None = None
    """``None`` where it is off."""
