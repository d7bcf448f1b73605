"""One execution from its plan to its record, as answers in one piece are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.answers import Accepted, Tokens
from protocol.logprobs import DrawnLogprobs
from protocol.record import ChoiceRecord, ExecutionRecord

Pieces = Mapping[int, str]
"""The text of each token id alone, of those that log probabilities name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The messages of one execution, together."""

    accepted: Accepted
    tokens: tuple[Tokens, ...]
    record: ExecutionRecord
    pieces: Pieces

    @property
    def choices(self) -> tuple[ChoiceRecord, ...]:
        """What each choice came to, in their order."""
        return (self.record, *self.record.other_choices)

    def logprobs(self, choice: int) -> tuple[DrawnLogprobs, ...]:
        """The log probabilities of every token of a choice: records keep the first ones alone."""
        return tuple(one for message in self.tokens if message.choice == choice for one in message.logprobs)
