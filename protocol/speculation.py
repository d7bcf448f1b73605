"""Drafting: tokens that are guessed, computed several in one step, and kept where they are what is drawn anyway.

It changes how soon tokens come, never which: docs/speculation.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from protocol.model_ref import ModelName, ModelRef
from protocol.quantization import Quantization, QuantizationName
from protocol.value import Value

SpeculationKind = Literal["off", "lookup", "draft", "self"]

MaxRows = Annotated[int, Field(ge=1, le=64)]
RowCost = Annotated[float, Field(ge=0.0, le=1.0)]
DraftCost = Annotated[float, Field(ge=0.0, le=100.0)]


class Speculation(Value):
    """What a request asks for."""

    kind: str = "off"
    """``lookup``: guess that the text goes on as it did before, in prompt or answer, and as a grammar forces.
    ``draft``: guess what a second, smaller ``model`` holds likeliest. ``self``: the same of the run's own model in a
    smaller ``quantization``."""
    model: ModelName | None = None
    """The second model of ``draft``, with the same vocabulary; named as the run's own is."""
    quantization: QuantizationName | None = None
    """The types in which the model that guesses runs; left out with ``draft``: ``native``."""
    max_rows: MaxRows = 8
    """Rows of one sequence in a step, at most: that of its last token and those of drafted ones."""
    row_cost: RowCost | None = None
    """What another row adds to the time of a step, as a part of that of a step with one row. Left out: what was
    measured with the backend's kernels. The higher, the surer a guess must be; with 0 all are drafted."""
    draft_cost: DraftCost | None = None
    """What a step of the model that guesses takes, as a part of such a step of the run's own, both with one row. Left
    out: what the two read of their weights for a token. The higher, the surer its guesses must be."""


class PlanSpeculation(Value):
    """A request's :class:`Speculation`, decided."""

    kind: SpeculationKind = "off"
    model: ModelRef | None = None
    """The second model of ``draft``; ``None`` with any other kind."""
    quantization: Quantization | None = None
    """The guessing model's types, with ``draft`` and ``self``."""
    max_rows: int = 1
    """1 where it is off."""
    row_cost: float | None = None
    """``None`` where it is off."""
    draft_cost: float | None = None
    """``None`` where no model guesses."""
