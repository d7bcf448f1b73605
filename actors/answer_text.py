"""The text of one choice, told apart as its plan says. No trio, no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from typing_extensions import assert_never

from engine.text.answer.call_formats import CALL_FORMATS
from engine.text.answer.parts import CallArguments, CallStart, Content, Part, Thought
from engine.text.answer.reader import AnswerReader
from engine.text.answer.thinking import THINKING
from protocol.plan import ExecutionPlan
from protocol.reasoning import PlanReasoning
from protocol.tool_calls import MadeCall, ToolCallDelta
from protocol.value import unvalidated

_ID_CHARACTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH: Final = 9
"""What the strictest templates ask of an id: nine letters and digits."""
_delta = unvalidated(ToolCallDelta)


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """What has become certain since the last one."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()


NOTHING: Final = AnswerPiece()


class AnswerText:
    """All of a choice's text so far."""

    def __init__(self, reader: AnswerReader | None = None, id_seed: str = "") -> None:
        """Without a reader all text is said. ``id_seed``: what the ids of calls are made of."""
        self._reader = reader
        self._id_seed = id_seed
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[_Call] = []

    @property
    def text(self) -> str:
        """What was said to the user."""
        return "".join(self._texts)

    @property
    def reasoning(self) -> str:
        """What was thought before."""
        return "".join(self._thoughts)

    @property
    def calls(self) -> tuple[MadeCall, ...]:
        """The calls that were made, in their order."""
        return tuple(MadeCall(id=one.id, name=one.name, arguments="".join(one.arguments)) for one in self._calls)

    def add(self, text: str, *, ended: bool = False) -> AnswerPiece:
        """More of the text, and the rest of what was held back where it has ended. Without more it may end again."""
        if self._reader is None:
            if text:
                self._texts.append(text)
            return AnswerPiece(text) if text else NOTHING
        parts = self._reader.feed(text)
        if ended:
            parts += self._reader.finish()
        said, thought = len(self._texts), len(self._thoughts)
        deltas = [delta for part in parts if (delta := self._keep(part)) is not None]
        return AnswerPiece("".join(self._texts[said:]), "".join(self._thoughts[thought:]), tuple(deltas))

    def _keep(self, part: Part) -> ToolCallDelta | None:
        match part:
            case Content(text):
                self._texts.append(text)
            case Thought(text):
                self._thoughts.append(text)
            case CallStart(name):
                index = len(self._calls)
                self._calls.append(_Call(_call_id(f"{self._id_seed}:{index}"), name))
                return _delta(index=index, id=self._calls[-1].id, name=name)
            case CallArguments(text):
                self._calls[-1].arguments.append(text)
                return _delta(index=len(self._calls) - 1, arguments=text)
            case _:
                assert_never(part)
        return None


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


def answer_text(plan: ExecutionPlan, execution_id: str, choice: int) -> AnswerText:
    """The text of a choice that has not begun. No two calls of any executions have the same id, but by chance."""
    if plan.tools is None and plan.reasoning is None:
        return AnswerText()
    tools, reasoning = plan.tools, plan.reasoning
    reader = AnswerReader(
        None if tools is None else CALL_FORMATS[tools.format],
        () if tools is None else tools.names,
        None if reasoning is None else THINKING[reasoning.format],
        opened=reasoning is not None and reasoning.opened,
        parallel=tools is None or tools.parallel,
    )
    return AnswerText(reader, f"{execution_id}:{choice}")


def reasoning_tokens(reasoning: PlanReasoning | None, token_ids: Sequence[int]) -> int | None:
    """How many of an answer's tokens are thinking, markers left out; ``None`` where that cannot be told."""
    if (
        reasoning is None
        or reasoning.end_token_id is None
        or (not reasoning.opened and reasoning.begin_token_id is None)
    ):
        return None
    begin = 0
    if not reasoning.opened:
        if reasoning.begin_token_id not in token_ids:
            return 0
        begin = token_ids.index(reasoning.begin_token_id) + 1
    rest = token_ids[begin:]
    return rest.index(reasoning.end_token_id) if reasoning.end_token_id in rest else len(rest)


def _call_id(seed: str) -> str:
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    digits = []
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, len(_ID_CHARACTERS))
        digits.append(_ID_CHARACTERS[digit])
    return "".join(digits)
