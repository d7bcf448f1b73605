"""What a request asks of thinking, checked and made part of a plan. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.text.answer.thinking import THINKING, opens_thinking, thinking_of_template
from protocol.errors import InvalidPlan, InvalidRequest
from protocol.reasoning import REASONING_FORMATS, PlanReasoning, Reasoning, ReasoningFormat

_FIELD = "execution.reasoning"


def plan_reasoning(
    asked: Reasoning, template: str, rendered: str, encode: Callable[[str], Sequence[int]], *, held: bool
) -> PlanReasoning | None:
    """How thinking is separated from the answer; ``None`` if it is not.

    ``rendered`` is the prompt; ``encode`` gives a marker's tokens; ``held``: a grammar holds the answer.

    Raises:
        InvalidRequest: an unknown format.
        InvalidPlan: a bound on thinking where none is read, or whose end marker is not one token.
    """
    found = _format(asked.format, template)
    if found is None:
        if asked.max_tokens is not None:
            raise InvalidPlan(
                "reasoning.max_tokens bounds thinking, and this model's template shows none; name the markers by "
                f"reasoning.format: {', '.join(REASONING_FORMATS)}",
                field=f"{_FIELD}.max_tokens",
                allowed=list(REASONING_FORMATS),
            )
        return None
    markers = THINKING[found]
    begin, end = (_single(encode(marker)) for marker in markers.tokens)
    if asked.max_tokens is not None and end is None:
        raise InvalidPlan(
            f"reasoning.max_tokens needs {markers.end} to be one token, and it is none of this vocabulary",
            field=f"{_FIELD}.max_tokens",
        )
    opened = opens_thinking(rendered, markers)
    if held and opened and end is None:
        return None  # the run loop could not tell where thinking ends: the grammar holds all there is
    return PlanReasoning(
        format=found,
        opened=opened,
        begin_token_id=begin,
        end_token_id=end,
        max_tokens=asked.max_tokens,
    )


def _format(name: str, template: str) -> ReasoningFormat | None:
    if name == "auto":
        return thinking_of_template(template)
    if name == "none":
        return None
    for each in REASONING_FORMATS:
        if each == name:
            return each
    allowed = ["auto", "none", *REASONING_FORMATS]
    raise InvalidRequest(
        f"no reasoning format {name!r}; there is {', '.join(allowed)}",
        field=f"{_FIELD}.format",
        value=name,
        allowed=allowed,
    )


def _single(token_ids: Sequence[int]) -> int | None:
    return token_ids[0] if len(token_ids) == 1 else None
