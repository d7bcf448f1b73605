"""The markers around a model's thinking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from protocol.reasoning import ReasoningFormat


class ThinkingMarkers(NamedTuple):
    """What stands before thinking and behind it."""

    begin: str
    end: str
    tokens: tuple[str, str]
    """What of them may be a token of its own."""


THINKING: Final[Mapping[ReasoningFormat, ThinkingMarkers]] = {
    "think": ThinkingMarkers("<think>", "</think>", ("<think>", "</think>")),
    "think_brackets": ThinkingMarkers("[THINK]", "[/THINK]", ("[THINK]", "[/THINK]")),
    "channel": ThinkingMarkers("<|channel>thought\n", "<channel|>", ("<|channel>", "<channel|>")),
}


def thinking_of_template(template: str) -> ReasoningFormat | None:
    """The first whose end the template spells; ``None``: its model does not think."""
    return next((name for name, markers in THINKING.items() if markers.end in template), None)


def opens_thinking(rendered: str, markers: ThinkingMarkers) -> bool:
    """Whether a rendered prompt ends within thinking."""
    return rendered.rstrip().endswith(markers.begin.rstrip())
