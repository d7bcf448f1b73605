"""The optimizer from the engine's own plan: models by workloads, by time here and by joules on a simulated machine.

    .venv/bin/python -m benchmarks.agent_search [--model NAME]... [--workload chat|extraction|long]...
        [--kpi time|joules]... [--margin METRIC=FRACTION]... [--minutes 6] [--reports FOLDER] [--json FILE]

Each search is ``weos-agents optimize`` with a time of ``--minutes``. It proves plans on inputs that had no part in
choosing them. Joules are those of a simulated plant (:mod:`benchmarks.support.power_plant`), ``--idle-watts`` and
``--core-watts`` for each CPU that the engine keeps busy: none of this machine's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.support.disturbance import Disturbance
from benchmarks.support.power_plant import PowerPlant
from benchmarks.support.served import served_from
from engine import _core

AGENTS = str(Path(sys.executable).with_name("weos-agents"))
DOCUMENTS = Path(__file__).parents[1] / "docs"
MODELS = ("smollm2-135m-instruct", "gemma-3-270m-it")
KPIS = {"time": "tokens_per_sec", "joules": "tokens_per_joule"}
INPUTS = 16
FIELDS = "threads,batch.prefill_chunk,spin_us,quantization,kv_cache,speculation.kind"
"""What is varied: not the backend, whose scalar reference takes a minute for an answer and most of a short search."""
_LONG_CHARACTERS = 2400
_MEMORY_FOLDER = "/dev/shm"  # noqa: S108  a folder of its own name is made there
_QUALITY_CHARACTERS = 12_000


@dataclass(frozen=True, slots=True)
class Kind:
    """A workload, and the length of its answers."""

    lines: tuple[dict[str, Any], ...]
    max_tokens: int


def workloads() -> dict[str, Kind]:
    """Prompts that the models go on with: an answer that ends at once is too short to count."""
    text = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in sorted(DOCUMENTS.glob("*.md")))
    parts = [text[start : start + _LONG_CHARACTERS] for start in range(0, len(text), _LONG_CHARACTERS)][:INPUTS]
    places = ("Lisbon", "Porto", "Oslo", "Rome", "Paris", "Vienna", "Athens", "Madrid")
    guides = [
        f"What I saw in {place}{when}, day by day: on the first" for place in places for when in ("", " in winter")
    ]
    orders = [
        f"Order {number}: {number % 7 + 1} boxes of tea and {number % 5 + 2} of coffee for {place}, "
        f"{number % 28 + 1} May, paid with {20 * number} euros.\n"
        "As JSON, with the keys order, tea, coffee, place, date and euros:\n"
        for number, place in enumerate(places * 2, 1)
    ]
    return {
        "chat": Kind(tuple({"prompt": one} for one in guides), 128),
        "extraction": Kind(tuple({"prompt": one} for one in orders), 112),
        "long": Kind(tuple({"prompt": f"{part}\nIn short, this is about"} for part in parts), 48),
    }


@dataclass(frozen=True, slots=True)
class Search:
    model: str
    workload: str
    kpi: str

    @property
    def name(self) -> str:
        return f"{Path(self.model).stem}-{self.workload}-{self.kpi}"


def searched(search: Search, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A search with an engine and records of its own. What the command itself prints goes to the standard error."""
    kind = workloads()[search.workload]
    workload, quality, report = folder / "workload.jsonl", folder / "quality.txt", arguments.reports / search.name
    workload.write_text("".join(json.dumps(line) + "\n" for line in kind.lines))
    quality.write_text((DOCUMENTS / "architecture.md").read_text(encoding="utf-8")[:_QUALITY_CHARACTERS])
    with ExitStack() as held:
        variables = {}
        if search.kpi == "joules":
            # Its own work must not count as another's: in memory, and half as often.
            root = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="plant-", dir=_MEMORY_FOLDER)))
            plant = PowerPlant(root / "powercap", arguments.idle_watts, arguments.core_watts, period_s=0.01)
            held.enter_context(plant)
            variables["ENGINE_POWERCAP_ROOT"] = str(plant.root)
        engine = held.enter_context(served_from(folder, variables))
        if search.kpi == "joules":
            plant.watch(engine.process.pid)
        disturbance, began = Disturbance(), time.monotonic()
        options: dict[str, str | Path] = {
            "--workload": workload,
            "--max-tokens": str(round(kind.max_tokens * arguments.answer_factor)),
            "--kpi": KPIS[search.kpi],
            "--minutes": str(arguments.minutes),
            "--report": report,
            "--fields": arguments.fields,
            "--quality-text": quality,
            "--seed": str(arguments.seed),
            "--socket": engine.socket,
        }
        margins = (("--margin", one) for one in arguments.margin)
        command = [AGENTS, "optimize", search.model, *chain.from_iterable((*options.items(), *margins))]
        ended = subprocess.run(command, stdout=sys.stderr, check=False)
        took, others = time.monotonic() - began, disturbance.share()
    if ended.returncode:
        return {"search": search.name, "error": f"weos-agents optimize ended with {ended.returncode}", "seconds": took}
    content = json.loads((report / "report.json").read_text(encoding="utf-8"))
    return {"search": search.name, "seconds": took, "others_cpu_share": others, **outcome(content)}


def outcome(report: dict[str, Any]) -> dict[str, Any]:
    """What a report says, without its executions."""
    found = report["optimization"]
    proof = None if found["chosen"] is None else found["confirmations"][found["chosen"]]
    return {
        "kpi": found["kpi"],
        "kpi_note": found["kpi_note"],
        "margins": {one["metric"]: one["margin"] for one in report["rules"]["guardrails"]},
        "trials": len(found["trials"]),
        "joules": found["joules"],
        "decisions": [f"{one['at_s'] / 60:.1f} min: {one['what']}" for one in found["decisions"]],
        "best_so_far": list(best_so_far(found["trials"])),
        "rejected": [one["verdict"]["checks"] for one in found["confirmations"] if not one["verdict"]["open"]],
        "changes": None if proof is None else proof["changes"],
        "gain": None if proof is None else proof["verdict"]["gain"],
        "gain_at_least": None if proof is None else proof["verdict"]["gain_at_least"],
        "pairs": None if proof is None else proof["verdict"]["pairs"],
        "checks": None if proof is None else [one["found"] for one in proof["verdict"]["checks"]],
    }


def best_so_far(trials: list[dict[str, Any]]) -> Iterator[float | None]:
    """The largest gain of a candidate without a breach, after each trial."""
    best = None
    for trial in trials:
        if trial["gain"] is not None and all(value <= 0 for value in trial["worse"].values()):
            best = trial["gain"] if best is None else max(best, trial["gain"])
        yield best


def trajectory(result: dict[str, Any]) -> str:
    """The best so far after each trial."""
    told = ("none" if best is None else f"{best:+.1%}" for best in result["best_so_far"])
    return f"  best so far, after each trial: {', '.join(told)}"


def line(result: dict[str, Any]) -> str:
    if "error" in result:
        return f"{result['search']}: {result['error']}"
    told = f"{result['search']}: {result['trials']} trials in {result['seconds'] / 60:.1f} min, "
    if result["changes"] is None:
        return f"{told}the baseline stays ({result['decisions'][-2] if len(result['decisions']) > 1 else ''})"
    changes = ", ".join(f"{name}={value}" for name, value in result["changes"].items())
    gain, least = result["gain"], result["gain_at_least"]
    return f"{told}{changes}: {gain:+.1%} {result['kpi']}, at least {least:+.1%}, {result['pairs']} held-out pairs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help=f"by default {' and '.join(MODELS)}")
    parser.add_argument("--workload", action="append", choices=list(workloads()))
    parser.add_argument("--kpi", action="append", choices=list(KPIS))
    parser.add_argument(
        "--margin", action="append", default=[], metavar="METRIC=FRACTION", help="how much worse a figure may get"
    )
    parser.add_argument("--minutes", type=float, default=6.0, help="of each search")
    parser.add_argument("--fields", default=FIELDS, help="of the plan, to vary")
    parser.add_argument(
        "--answer-factor", type=float, default=1.0, help="longer answers where half a second makes more tokens"
    )
    parser.add_argument("--idle-watts", type=float, default=10.0)
    parser.add_argument("--core-watts", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reports", type=Path, default=Path("build/agent-reports"), help="folder of the reports")
    parser.add_argument("--json", type=Path, help="write the figures here, after each search")
    arguments = parser.parse_args()
    searches = [
        Search(model, workload, kpi)
        for kpi in arguments.kpi or KPIS
        for model in arguments.model or MODELS
        for workload in arguments.workload or workloads()
    ]
    results: list[dict[str, Any]] = []
    for search in searches:
        with tempfile.TemporaryDirectory(prefix="engine-") as folder:
            results.append(searched(search, arguments, Path(folder)))
        print(line(results[-1]), flush=True)
        if results[-1].get("best_so_far"):
            print(trajectory(results[-1]), flush=True)
        if arguments.json:
            asked = {"minutes": arguments.minutes, "margins": arguments.margin}
            content = {"cpu": _core.cpu_model(), **asked, "searches": results}
            arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if any("error" in result for result in results):
        sys.exit("a search failed")


if __name__ == "__main__":
    main()
