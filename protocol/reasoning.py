"""Thinking that a model writes before its answer: what a request wants of it, and what a plan decides."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from protocol.value import Value

ReasoningFormat = Literal["think", "think_brackets", "channel"]
"""Between which markers: ``<think>`` and ``</think>``, ``[THINK]`` and ``[/THINK]``, ``<|channel>thought`` and
``<channel|>``."""
REASONING_FORMATS: Final[tuple[ReasoningFormat, ...]] = get_args(ReasoningFormat)


class Reasoning(Value):
    """What a request asks for."""

    format: str = "auto"
    """``auto``: as the template has it. ``none``: thinking stays part of the text. Else a format by its name."""
    enabled: bool | None = None
    """Handed to the template as ``enable_thinking``; ``None``: the template's own default."""
    max_tokens: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """The most tokens between the markers; behind them comes the end marker, whatever the model would write."""


class PlanReasoning(Value):
    """How thinking is told from the answer, and how it is bounded."""

    format: ReasoningFormat
    opened: bool
    """Whether the prompt ends within thinking, so that the answer begins there."""
    begin_token_id: int | None
    """``None`` where the marker is not one token of this vocabulary; so for the end."""
    end_token_id: int | None
    max_tokens: int | None
