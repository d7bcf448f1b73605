"""The work that is measured: the lengths of prompt and answer, and the number of sequences."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """Without generated tokens the prefill is measured, else the decoding after it.

    ``prompt`` is the length of each sequence's prompt, ``generated`` the tokens decoded after it. ``repetitions`` is
    how often it is done in a turn, of which the median counts; where turns are long there are fewer ``rounds`` of them.
    """

    name: str
    prompt: int
    generated: int
    sequences: int = 1
    repetitions: int = 1
    rounds: int = 5

    @property
    def is_prefill(self) -> bool:
        """Whether the prompt is measured, and no decoding."""
        return self.generated == 0


def prefill(tokens: int, repetitions: int = 1) -> Work:
    """The work of computing one prompt."""
    return Work(f"prefill {tokens}", tokens, 0, repetitions=repetitions)


def decode(tokens: int, *, depth: int = 0, repetitions: int = 1, rounds: int = 5) -> Work:
    """The work of generating tokens behind ``depth`` tokens of context."""
    name = f"decode {tokens}" + (f" at {depth} tokens of context" if depth else "")
    return Work(name, depth, tokens, repetitions=repetitions, rounds=rounds)


def decode_side_by_side(sequences: int, tokens: int, repetitions: int = 1) -> Work:
    """The work of generating tokens in several sequences of one batch."""
    return Work(f"decode {sequences} sequences", 16, tokens, sequences, repetitions)
