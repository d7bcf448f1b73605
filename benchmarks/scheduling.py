"""Compare the scheduling policies on arrival traces, in a simulation or, with --real, through the real engine.

python -m benchmarks.scheduling [--real] [--model MODEL] [--requests N] [--document FILE] [TRACE...]

A TRACE is steady, bursty or giants, or the path of a recorded one. The tables go to stdout, and between the marks of a
document where one is named.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from benchmarks.performance_table import with_table
from benchmarks.support.arrivals import REQUESTS, SYNTHETIC, Arrival, read_trace
from benchmarks.support.outcomes import HEAD, Outcome, compare
from benchmarks.support.served_trace import ServedTrace
from benchmarks.support.simulated_machine import SimulatedMachine
from protocol.plan import SchedulerPolicy

MAX_SEQUENCES = 16
Run = Callable[[Sequence[Arrival], SchedulerPolicy, int], tuple[list[Outcome], float]]
POLICIES: tuple[SchedulerPolicy, ...] = get_args(SchedulerPolicy)


def main() -> None:
    arguments = _arguments()

    def served(arrivals: Sequence[Arrival], policy: SchedulerPolicy, max_sequences: int) -> tuple[list[Outcome], float]:
        return ServedTrace(arguments.model, arrivals, policy, max_sequences).run()

    run, mark = (served, "real") if arguments.real else (_simulated, "simulated")
    tables = []
    for name in arguments.traces:
        tables.append(_table(name, _trace(name, arguments.requests), run, arguments.policies))
    if arguments.document:
        content = "\n".join(tables)
        marks = (f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->")
        document = with_table(arguments.document.read_text(encoding="utf-8"), content, *marks)
        arguments.document.write_text(document, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.scheduling", description=__doc__)
    parser.add_argument("traces", nargs="*", metavar="TRACE", default=list(SYNTHETIC))
    parser.add_argument("--real", action="store_true", help="through the real engine instead of the simulation")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="registry name or path of a GGUF, with --real")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of a synthetic trace")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=POLICIES, metavar="POLICY")
    parser.add_argument("--document", type=Path, help="put the tables between this document's marks")
    return parser.parse_args()


def _trace(name: str, requests: int) -> list[Arrival]:
    return SYNTHETIC[name](requests) if name in SYNTHETIC else read_trace(Path(name))


def _table(name: str, arrivals: Sequence[Arrival], run: Run, policies: Sequence[SchedulerPolicy]) -> str:
    """One row a policy, and one for the engine without batches; written as it is measured."""
    rows = [("default, one at a time", POLICIES[0], 1), *((policy, policy, MAX_SEQUENCES) for policy in policies)]
    heading = f"**{Path(name).stem}**, {len(arrivals)} requests:\n\n{HEAD}"
    sys.stdout.write(heading)
    table = heading
    for label, policy, max_sequences in rows:
        row = compare(*run(arrivals, policy, max_sequences)).row(label)
        sys.stdout.write(row)
        sys.stdout.flush()
        table += row
    return table


def _simulated(arrivals: Sequence[Arrival], policy: SchedulerPolicy, max_sequences: int) -> tuple[list[Outcome], float]:
    return SimulatedMachine(arrivals, policy, max_sequences).run()


if __name__ == "__main__":
    main()
