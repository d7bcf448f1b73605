"""Requests that come when they come: how long users wait at half, four fifths and nearly all of a server's capacity.

    .venv/bin/python -m benchmarks.open_load [--model MODEL] [--server HOST:PORT]... [--seconds 60] [--json FILE]

An engine is started, and every ``--server`` that speaks OpenAI's completions, such as llama-server, takes turns with
it. The capacity of each is what sixteen clients receive that ask again at once. Arrivals are then independent of each
other and of the answers (a Poisson process), at the same shares of each server's own capacity and, last, at
half of the engine's. Prompts and lengths are those of :func:`benchmarks.support.arrivals.steady`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import trio

from benchmarks.support.arrivals import steady
from benchmarks.support.disturbance import Disturbance
from benchmarks.support.http_client import http_client
from benchmarks.support.served import served_from
from engine import _core

SHARES = (0.5, 0.8, 0.95)
CLIENTS = 16
WORD = " time"
"""One token for most vocabularies."""
PERCENTILES = (50, 95, 99)

Address = Path | str


@dataclass(frozen=True, slots=True)
class Question:
    prompt_words: int
    max_tokens: int

    def body(self, model: str, number: int) -> dict[str, Any]:
        """Prompts begin differently, so that no server answers one from what it kept of another."""
        prompt = f"Note {number}:" + WORD * self.prompt_words
        return {"model": model, "prompt": prompt, "max_tokens": self.max_tokens, "temperature": 0, "stream": True}


@dataclass(slots=True)
class Answers:
    """Times of what came, in milliseconds."""

    first_ms: list[float] = field(default_factory=list)
    """From when a request was due to its first text."""
    between_ms: list[float] = field(default_factory=list)
    """From one piece of an answer to its next."""
    due: int = 0
    whole: int = 0

    def summary(self) -> dict[str, Any]:
        def percentiles(samples: Sequence[float]) -> dict[str, float] | None:
            if not samples:
                return None
            return {f"p{one}": round(float(np.percentile(samples, one)), 2) for one in PERCENTILES}

        return {
            "due": self.due,
            "answers": self.whole,
            "first_ms": percentiles(self.first_ms),
            "between_ms": percentiles(self.between_ms),
        }


def questions() -> tuple[Question, ...]:
    return tuple(Question(one.prompt_tokens, one.max_tokens) for one in steady())


async def answer(address: Address, body: dict[str, Any], due: float, found: Answers) -> None:
    """One request over a connection of its own, as a user's client has it."""
    latest = None
    async with http_client(address) as client:
        async for event in client.events("/v1/completions", body):
            if not any(choice["text"] for choice in event["choices"]):
                continue
            now = time.monotonic()
            (found.first_ms if latest is None else found.between_ms).append((now - (latest or due)) * 1000)
            latest = now
    found.whole += 1


async def capacity(address: Address, model: str, seconds: float) -> float:
    """Requests a second, where each of the clients asks again as soon as it has its answer."""
    asked, whole, ends = iter(enumerate(questions() * 100)), Answers(), time.monotonic() + seconds
    began = time.monotonic()

    async def client() -> None:
        while time.monotonic() < ends:
            number, question = next(asked)
            await answer(address, question.body(model, number), time.monotonic(), whole)

    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(client)
    return whole.whole / (time.monotonic() - began)


async def open_loop(address: Address, model: str, rate: float, seconds: float, seed: int) -> Answers:
    """Requests at a mean rate a second, whether or not those before have been answered."""
    random, found = np.random.default_rng(seed), Answers()
    asked, at = iter(enumerate(questions() * 100, start=100_000 * (seed + 1))), 0.0
    began, began_by_clock = trio.current_time(), time.monotonic()
    async with trio.open_nursery() as nursery:
        while (at := at + float(random.exponential(1 / rate))) < seconds:
            await trio.sleep_until(began + at)
            number, question = next(asked)
            found.due += 1
            # From when it was due, not from when this busy process came round to it.
            nursery.start_soon(answer, address, question.body(model, number), began_by_clock + at, found)
    return found


@dataclass(frozen=True, slots=True)
class Row:
    server: str
    load: str
    requests_a_second: float
    others_cpu_share: float
    measured: dict[str, Any]


async def measure(servers: dict[str, Address], model: str, seconds: float) -> list[Row]:
    rates = {name: await capacity(address, model, seconds) for name, address in servers.items()}
    for name, rate in rates.items():
        print(f"{name}: {rate:.2f} requests a second at most", flush=True)
    loads = [(name, f"{share:.0%} of its capacity", share * rates[name]) for share in SHARES for name in servers]
    loads += [(name, "half of the engine's capacity", 0.5 * rates["engine"]) for name in servers if name != "engine"]
    rows = []
    for seed, (name, load, rate) in enumerate(loads):
        disturbance = Disturbance()
        found = await open_loop(servers[name], model, rate, seconds, seed)
        rows.append(Row(name, load, rate, disturbance.share(), found.summary()))
        print(f"{name}, {load} ({rate:.2f}/s): {json.dumps(found.summary())}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--server", action="append", default=[], help="HOST:PORT of another one, with the same model")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="engine-") as folder, served_from(Path(folder)) as engine:
        servers: dict[str, Address] = {"engine": engine.http_socket, **{one: one for one in arguments.server}}
        rows = trio.run(measure, servers, arguments.model, arguments.seconds)
    if arguments.json:
        content = {"cpu": _core.cpu_model(), "model": arguments.model, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if any(row.measured["answers"] == 0 for row in rows):
        sys.exit("a load brought no answer")


if __name__ == "__main__":
    main()
