"""Arrival traces: when requests come, how long their prompts are and how much they ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

REQUESTS = 520
LONGEST_PROMPT = 6000
"""Longest prompt, in tokens; with an answer of 200 it fits the context of SmolLM2, which the traces are made for."""


@dataclass(frozen=True, slots=True)
class Arrival:
    at_ms: float
    """Since the trace's begin."""
    prompt_tokens: int
    max_tokens: int


def steady(requests: int = REQUESTS, seed: int = 1) -> list[Arrival]:
    """Seven requests a second, independent of each other: more than can be answered one at a time."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(1000 / 7, requests))
    return [_usual(random, float(time)) for time in times]


def bursty(requests: int = REQUESTS, seed: int = 2) -> list[Arrival]:
    """Forty requests within half a second, every five seconds on average."""
    random = np.random.default_rng(seed)
    arrivals: list[Arrival] = []
    begin = 0.0
    while len(arrivals) < requests:
        size = min(40, requests - len(arrivals))
        arrivals += [_usual(random, begin + float(offset)) for offset in sorted(random.uniform(0, 500, size))]
        begin += 1500 + float(random.exponential(3500))
    return arrivals


def giants(requests: int = REQUESTS, seed: int = 3) -> list[Arrival]:
    """Six requests a second, one in sixty of which brings a prompt of thousands of tokens."""
    random = np.random.default_rng(seed)
    times = np.cumsum(random.exponential(1000 / 6, requests))
    return [
        _giant(random, float(time)) if index % 60 == 30 else _usual(random, float(time))
        for index, time in enumerate(times)
    ]


SYNTHETIC: dict[str, Callable[[int], list[Arrival]]] = {"steady": steady, "bursty": bursty, "giants": giants}


def read_trace(path: Path) -> list[Arrival]:
    """A recorded trace: a JSON object a line. Raises OSError, ValueError."""
    try:
        return [Arrival(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except TypeError as error:
        raise ValueError(f"{path} is not a trace: {error}") from error


def write_trace(path: Path, arrivals: Sequence[Arrival]) -> None:
    path.write_text("".join(_lines(arrivals)), encoding="utf-8")


def _lines(arrivals: Sequence[Arrival]) -> Iterator[str]:
    for arrival in arrivals:
        yield json.dumps(asdict(arrival)) + "\n"


def _usual(random: np.random.Generator, at_ms: float) -> Arrival:
    """Prompts of 20 to 600 tokens, half of them below 80; answers of 8 to 200, half of them below 50."""
    prompt = np.clip(random.lognormal(np.log(80), 0.8), 20, 600)
    answer = np.clip(random.lognormal(np.log(50), 0.7), 8, 200)
    return Arrival(round(at_ms, 3), int(prompt), int(answer))


def _giant(random: np.random.Generator, at_ms: float) -> Arrival:
    return Arrival(round(at_ms, 3), int(random.integers(3000, LONGEST_PROMPT + 1)), int(random.integers(50, 201)))
