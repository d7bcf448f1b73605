"""A limit in watts on a simulated machine: the same run without one, throttled to it, and stopped by it.

    .venv/bin/python -m benchmarks.power_cap [--model NAME] [--max-watts 25] [--tokens N] [--json FILE]
        [--document docs/energy.md]

The engine is the real one, in a process of its own, and its CPU time is real. The watts are not: a powercap tree on
disk shows ``--idle-watts``, and ``--core-watts`` for each CPU that it keeps busy
(:mod:`benchmarks.support.power_plant`).
Averages are taken from that simulation's own account between a run's first prefill step and its last token.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.performance_table import with_table
from benchmarks.support.power_plant import PowerPlant, average_watts, highest_average
from benchmarks.support.served import served_from
from engine import _core
from protocol.answers import Finished
from protocol.blocking import BlockingClient
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.record import ExecutionRecord

BEGIN, END = "<!-- power cap: begin -->", "<!-- power cap: end -->"
PROMPT = "The history of computing began long before the modern computer, with people who"
WINDOW_MS = 1000
OVERSHOOT = 0.05
"""Relative excess over the limit that a throttled window may have."""
MODES = ("no limit", "throttle", "stop")
HEAD = (
    "| limit | ended | tokens | same output | seconds | tokens/s | average W | highest W of 1 s | tokens/J |\n"
    + 9 * "|---"
    + "|\n"
)


@dataclass(frozen=True, slots=True)
class CappedRun:
    mode: str
    stop_reason: str
    tokens: int
    same_output: bool
    """Whether its tokens are those without a limit, as far as it got; at the end, also every bit of the logits."""
    seconds: float
    """Seconds from the first prefill step to the last token."""
    average_watts: float
    highest_watts: float | None
    """Highest average of any window; ``None`` if the run was shorter than one."""

    def row(self) -> str:
        highest = "–" if self.highest_watts is None else f"{self.highest_watts:.1f}"  # noqa: RUF001
        rate = self.tokens / self.seconds
        cells = (
            *(self.mode, f"`{self.stop_reason}`", str(self.tokens), "yes" if self.same_output else "NO"),
            *(f"{self.seconds:.1f}", f"{rate:.1f}", f"{self.average_watts:.1f}", highest),
            f"{rate / self.average_watts:.2f}",
        )
        return "| " + " | ".join(cells) + " |\n"


def request(mode: str, arguments: argparse.Namespace) -> RunRequest:
    limits: dict[str, Any] = {"max_tokens": arguments.tokens, "watt_window_ms": WINDOW_MS}
    if mode != "no limit":
        limits |= {"max_watts": arguments.max_watts, "on_max_watts": mode}
    execution = ExecutionRequest(limits=Limits(**limits), stop=Stop(eos=False))
    return RunRequest(model=arguments.model, prompt=PROMPT, execution=execution)


def record_of(client: BlockingClient, asked: RunRequest) -> ExecutionRecord:
    for message in client.run(asked):
        if isinstance(message, Finished):
            return message.record
    raise RuntimeError("the run did not finish")


def measure(mode: str, plant: PowerPlant, record: ExecutionRecord, free: ExecutionRecord) -> CappedRun:
    """Holds a run, the last one on this machine, against the one without a limit."""
    seconds = (record.metrics.latency_total_ms or 0.0) / 1e3
    end_ns = plant.trace[-1][0]
    trace = [point for point in tuple(plant.trace) if point[0] >= end_ns - seconds * 1e9]
    whole = len(record.token_ids) == len(free.token_ids)
    return CappedRun(
        mode=mode,
        stop_reason=record.stop_reason,
        tokens=len(record.token_ids),
        same_output=record.token_ids == free.token_ids[: len(record.token_ids)]
        and (not whole or record.logits_digest == free.logits_digest),
        seconds=seconds,
        average_watts=average_watts(trace),
        highest_watts=highest_average(trace, WINDOW_MS * 10**6) if seconds * 1e3 > 1.05 * WINDOW_MS else None,
    )


def runs(arguments: argparse.Namespace, folder: Path) -> Iterator[CappedRun]:
    with (
        PowerPlant(folder / "powercap", arguments.idle_watts, arguments.core_watts) as plant,
        served_from(folder, {"ENGINE_POWERCAP_ROOT": str(folder / "powercap")}) as engine,
    ):
        plant.watch(engine.process.pid)
        with BlockingClient.connect(engine.socket) as client:
            record_of(client, request("no limit", arguments))  # warm
            free = record_of(client, request("no limit", arguments))
            yield measure("no limit", plant, free, free)
            for mode in MODES[1:]:
                yield measure(mode, plant, record_of(client, request(mode, arguments)), free)


def table(result: dict[str, Any]) -> str:
    plant = result["simulated"]
    told = (
        f"{result['model']}, {result['cpu']}; simulated: {plant['idle_watts']:g} W idle and {plant['core_watts']:g} W "
        f"for each busy CPU, limit {result['max_watts']:g} W over {WINDOW_MS} ms."
    )
    return f"{told}\n\n{HEAD}" + "".join(CappedRun(**run).row() for run in result["runs"])


def problems(made: list[CappedRun], max_watts: float) -> list[str]:
    """Promises of a limit that were not kept."""
    found = [f"{run.mode}: other output than without a limit" for run in made if not run.same_output]
    for run in made:
        if run.mode == "no limit" and run.average_watts <= max_watts:
            found.append(f"no limit: {run.average_watts:.1f} W, which no limit lowers: other processes had the CPUs")
        if run.mode == "throttle" and (run.highest_watts or 0.0) > max_watts * (1 + OVERSHOOT):
            found.append(f"throttle: {run.highest_watts:.1f} W on average, more than {OVERSHOOT:.0%} over the limit")
        if run.mode == "stop" and run.stop_reason != "max_watts":
            found.append(f"stop: ended with {run.stop_reason}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--max-watts", type=float, default=25.0)
    parser.add_argument("--idle-watts", type=float, default=10.0)
    parser.add_argument("--core-watts", type=float, default=20.0)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--document", type=Path, help="put the table between this document's marks")
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="engine-") as folder:
        made = list(runs(arguments, Path(folder)))
    result = {
        "cpu": _core.cpu_model(),
        "model": Path(arguments.model).stem,
        "max_watts": arguments.max_watts,
        "simulated": {"idle_watts": arguments.idle_watts, "core_watts": arguments.core_watts},
        "runs": [asdict(run) for run in made],
    }
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.document:
        document = arguments.document.read_text(encoding="utf-8")
        arguments.document.write_text(with_table(document, table(result), BEGIN, END), encoding="utf-8")
    if found := problems(made, arguments.max_watts):
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
