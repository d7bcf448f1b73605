"""A run as flags and words ask for it, and as it is sent: plain words become what the model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

Content = dict[str, Any]

MAX_TOKENS_OF_AN_ANSWER = 2048
"""Largest number of tokens of an answer to plain words: nearly all end by themselves before."""


class Advice(Protocol):
    """What a model's file advises: see :class:`protocol.answers.ModelAdvised`."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def chat_template(self) -> bool:
        """Whether it has a template of its own."""

    @property
    def sampling(self) -> Mapping[str, float | int]:
        """Fields of ``sampling``."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """Keys of the file that cannot be followed."""


@dataclass(frozen=True, slots=True)
class AskedRun:
    """A Run Request in plain values; ``words``, where they are given, are in no field of it yet."""

    content: Content
    words: str | None = None
    """What a person says, to be put into the request as the model takes it."""
    chat: bool | None = None
    """Whether the words are a turn of a chat; ``None``: where the model has a template."""
    said_before: tuple[Content, ...] = ()
    """Messages before the words in a chat."""
    says_nothing: bool = False
    """There is nothing to answer yet, and a person to say it: a conversation begins."""


@dataclass(frozen=True, slots=True)
class SettledRun:
    """The request to send, and what a person should know of how it came about."""

    content: Content
    note: str = ""


def settle(asked: AskedRun, advice: Advice) -> SettledRun:
    """The request for plain words, by what the model's file advises. Every value of it is in the request, and so in the
    plan; any flag of sampling but the seed replaces the file's advice as a whole."""
    is_chat = advice.chat_template if asked.chat is None else asked.chat
    execution: Content = dict(asked.content.get("execution", {}))
    given: Content = execution.get("sampling", {})
    advised = {} if given.keys() - {"seed"} else dict(advice.sampling)
    if advised:
        execution["sampling"] = {**advised, **given}
    if is_chat:
        execution["limits"] = {"max_tokens": MAX_TOKENS_OF_AN_ANSWER, **execution.get("limits", {})}
        said: Content = {"messages": (*asked.said_before, {"role": "user", "content": asked.words})}
    else:
        said = {"prompt": asked.words}
    content = {**asked.content, **said} | ({"execution": execution} if execution else {})
    return SettledRun(content, _note(advice, advised) if asked.chat is None else "")


def _note(advice: Advice, advised: Mapping[str, float | int]) -> str:
    how = (
        "answered as a chat; --raw completes the text instead"
        if advice.chat_template
        else f"{advice.name} has no chat template: the text is completed as it stands"
    )
    drawn = ", ".join(f"{name} {value:g}" for name, value in advised.items())
    ignored = "".join(f"; {key} of the file is out of range and left out" for key in advice.ignored)
    return f"{how}{f'; the file advises {drawn}' if drawn else ''}{ignored}"
