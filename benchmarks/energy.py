"""Joules a token over quantizations, threads and batches, through the engine's own answers and records.

    .venv/bin/python -m benchmarks.energy [--model NAME] [--quantizations native q4_k_m ...] [--threads 1 2]
        [--batches 1 4 16] [--seconds 10] [--rounds 3] [--energy-source NAME]
        [--json FILE] [--document docs/energy.md] [--plot FILE.png]

A full batch of equal requests runs. *Steady* is the time from when each of them has its first token to before the first
ends (ML.ENERGY's definition): joules of the packages in it, over the tokens generated in it. *Whole run* is from the
records: prefill, ramp and drain included. Settings take turns, round by round. Needs an energy source that works; a
model has to be asked for by name, and what it says is marked everywhere.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
from exceptiongroup import BaseExceptionGroup

from benchmarks.performance_table import with_table
from benchmarks.support.energy_point import EnergyPoint, Sample, table
from benchmarks.support.served import served_from
from engine import _core
from engine.identity.version import ENGINE_VERSION
from protocol.answers import Finished, LiveEnergy, Tokens
from protocol.client import Client, connect
from protocol.live_energy import PowerReport
from protocol.plan import EnergySourceName, ExecutionRequest, Limits, RunRequest, Stop
from protocol.record import ExecutionRecord
from protocol.requests import Energy

BEGIN, END = "<!-- energy: begin -->", "<!-- energy: end -->"
PROMPT = "The history of computing began long before the modern computer, with people who"
WARM_UP_TOKENS = 32
WARM_UP_S = 3.0
"""The prefill, and the answer that the steady state begins with."""
SPARE = 1.3
"""Factor by which more tokens are generated, so that no sequence ends within the steady state."""
LEAST_STEADY = 0.5
"""Smallest fraction of the requested time that counts as a steady state."""


class UnmeasuredError(Exception):
    """There are no joules; the message says why, and what would change that."""


@dataclass(frozen=True, slots=True)
class Configuration:
    model: str
    quantization: str
    threads: int
    batch: int
    source: EnergySourceName | None

    def __str__(self) -> str:
        return f"{self.quantization}, threads {self.threads}, batch {self.batch}"

    def request(self, tokens: int) -> RunRequest:
        execution = ExecutionRequest(
            quantization=self.quantization,
            threads=self.threads,
            max_sequences=self.batch,
            energy_source=self.source,
            limits=Limits(max_tokens=tokens),
            stop=Stop(eos=False),
        )
        return RunRequest(model=self.model, prompt=PROMPT, execution=execution)


@dataclass
class Stream:
    first: trio.Event = field(default_factory=trio.Event)
    record: ExecutionRecord | None = None

    async def follow(self, client: Client, request: RunRequest) -> None:
        async with aclosing(client.run(request)) as messages:
            async for message in messages:
                if isinstance(message, Tokens):
                    self.first.set()
                elif isinstance(message, Finished):
                    self.record = message.record


@dataclass(frozen=True, slots=True)
class Steady:
    seconds: float
    tokens: int
    joules: float


def watts_of(power: PowerReport) -> tuple[float, float]:
    """Watts, and the seconds they were averaged over. Raises UnmeasuredError."""
    if power.watts is None or power.window_ms is None:
        raise UnmeasuredError(f"no joules from {power.source}: {power.reason}")
    return power.watts, power.window_ms / 1e3


def steady_state(answers: Sequence[LiveEnergy], batch: int) -> Steady:
    """The steady state: the answers, each about the time since the one before, in which the whole batch ran."""
    full = [answer for answer in answers if len(answer.executions) == batch]
    windows = [watts_of(answer.power) for answer in full[1:]]
    tokens = [sum(one.tokens_total for one in answer.executions) for answer in full]
    return Steady(
        seconds=sum(seconds for _, seconds in windows),
        tokens=tokens[-1] - tokens[0] if tokens else 0,
        joules=sum(watts * seconds for watts, seconds in windows),
    )


async def run_batch(
    client: Client, configuration: Configuration, tokens: int, seconds: float
) -> tuple[Steady, list[ExecutionRecord]]:
    """The steady state, of at most ``seconds``, and the records of all."""
    streams = [Stream() for _ in range(configuration.batch)]
    answers: list[LiveEnergy] = []
    async with trio.open_nursery() as nursery:
        for stream in streams:
            nursery.start_soon(stream.follow, client, configuration.request(tokens))
        for stream in streams:
            await stream.first.wait()
        while steady_state(answers, configuration.batch).seconds < seconds:
            answers.append(await client.ask(Energy(source=configuration.source)))
            if any(stream.record is not None for stream in streams):
                break
    records = [stream.record for stream in streams if stream.record is not None]
    return steady_state(answers, configuration.batch), records


async def sample_of(client: Client, configuration: Configuration, seconds: float) -> Sample:
    """Raises UnmeasuredError: also where the model's context is too short for a steady state."""
    _, short = await run_batch(client, configuration, WARM_UP_TOKENS, 0.0)
    rate = max(record.metrics.decode_tokens_per_sec or 0.0 for record in short)
    tokens = math.ceil(rate * (seconds + WARM_UP_S) * SPARE) + 1
    steady, records = await run_batch(client, configuration, tokens, seconds)
    if steady.seconds < LEAST_STEADY * seconds:
        raise UnmeasuredError(f"{configuration}: the batch was full for {steady.seconds:.1f} s only")
    energies = [record.metrics.energy for record in records]
    joules = [energy.attributed_j for energy in energies if energy.attributed_j is not None]
    if len(joules) < len(records):
        raise UnmeasuredError(f"no joules in a record: {next(one.reason for one in energies if one.reason)}")
    others = [energy.others_cpu_share for energy in energies if energy.others_cpu_share is not None]
    return Sample(
        steady_s=steady.seconds,
        steady_tokens=steady.tokens,
        steady_joules=steady.joules,
        whole_tokens=sum(record.metrics.tokens_total for record in records),
        whole_joules=sum(joules),
        gap_p50_ms=statistics.median(record.metrics.latency_p50_ms or 0.0 for record in records),
        rel_uncertainty=max(energy.rel_uncertainty or 0.0 for energy in energies),
        used_by_others=max(others) if others else None,
    )


async def measure(
    socket: Path, configurations: Sequence[Configuration], seconds: float, rounds: int
) -> list[EnergyPoint]:
    samples: dict[Configuration, list[Sample]] = {configuration: [] for configuration in configurations}
    async with connect(socket) as client:
        power = (await client.ask(Energy(source=configurations[0].source))).power
        watts_of(power)
        for turn in range(rounds):
            for configuration, taken in samples.items():
                taken.append(await sample_of(client, configuration, seconds))
                told = f"{taken[-1].steady_joules / taken[-1].steady_tokens:.3f} J/token ({power.kind}, {power.source})"
                print(f"round {turn + 1}: {configuration}: {told}", flush=True)
    return [_point(configuration, power, taken) for configuration, taken in samples.items()]


def _point(configuration: Configuration, power: PowerReport, samples: Sequence[Sample]) -> EnergyPoint:
    return EnergyPoint(
        model=Path(configuration.model).stem,
        quantization=configuration.quantization,
        threads=configuration.threads,
        batch=configuration.batch,
        kind=power.kind,
        source=power.source,
        samples=tuple(samples),
    )


def configurations_of(arguments: argparse.Namespace) -> Iterator[Configuration]:
    for quantization, threads, batch in product(arguments.quantizations, arguments.threads, arguments.batches):
        yield Configuration(arguments.model, quantization, threads, batch, arguments.energy_source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--quantizations", nargs="+", default=["native"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--energy-source", help="else the best that measures; 'model' only so")
    parser.add_argument("--json", type=Path, help="write all samples here")
    parser.add_argument("--document", type=Path, help="put the table between this document's marks")
    parser.add_argument("--plot", type=Path, help="draw tokens/J against latency here; needs the extra [plots]")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="engine-")))
        engine = stack.enter_context(served_from(folder))
        try:
            points = trio.run(
                measure, engine.socket, list(configurations_of(arguments)), arguments.seconds, arguments.rounds
            )
        except BaseExceptionGroup as errors:
            unmeasured, others = errors.split(UnmeasuredError)
            if unmeasured is None or others is not None:
                raise
            sys.exit("; ".join(str(error) for error in unmeasured.exceptions))
    report(arguments, points)


def report(arguments: argparse.Namespace, points: Sequence[EnergyPoint]) -> None:
    result = {
        "machine": {"cpu": _core.cpu_model(), "engine_version": ENGINE_VERSION},
        "seconds": arguments.seconds,
        "rounds": arguments.rounds,
        "points": [point.as_json() for point in points],
    }
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.document:
        document = arguments.document.read_text(encoding="utf-8")
        arguments.document.write_text(with_table(document, table(result), BEGIN, END), encoding="utf-8")
    if arguments.plot:
        # Here, so that the figures need no plotting library.
        from benchmarks.energy_plot import plot  # noqa: PLC0415

        plot(points, arguments.plot)


if __name__ == "__main__":
    main()
