"""What an answer's text is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Content:
    """What is said to the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """What the model wrote to itself."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """The next call of a tool; its arguments follow."""

    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """A piece of the JSON of the latest call's arguments."""

    text: str


Part = Content | Thought | CallStart | CallArguments
