"""Run the benchmarks named on the command line, or all of them.

.venv/bin/python -m benchmarks [--model MODEL] [--json FILE] [NAME...]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    actor_messages,
    digest,
    http,
    kernels,
    limits,
    memory,
    message_cost,
    op_times,
    overhead,
    prefix_cache,
    rows,
    sampler_overhead,
    sampling,
    speculation,
    startup,
    structured_output,
    throughput,
    vocabulary,
)
from benchmarks.support.disturbance import Disturbance
from benchmarks.support.report import Figure, print_figures
from benchmarks.support.setting import LOOKUP, Setting, setting
from engine import _core
from engine.identity.version import ENGINE_VERSION
from protocol.speculation import Speculation

BENCHMARKS: dict[str, Callable[[Setting], list[Figure]]] = {
    "limits": limits.measure,
    "kernels": kernels.measure,
    "throughput": throughput.measure,
    "rows": rows.measure,
    "digest": digest.measure,
    "sampling": sampling.measure,
    "op_times": op_times.measure,
    "memory": memory.measure,
    "overhead": overhead.measure,
    "message_cost": message_cost.measure,
    "http": http.measure,
    "actor_messages": actor_messages.measure,
    "startup": startup.measure,
    "prefix_cache": prefix_cache.measure,
    "sampler_overhead": sampler_overhead.measure,
    "vocabulary": vocabulary.measure,
    "structured_output": structured_output.measure,
    "speculation": speculation.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--model", default="smollm2-135m-instruct", help="registry name or path of a GGUF")
    parser.add_argument("--quant", default="native", help="the model's quantization, where drafts are measured")
    parser.add_argument("--draft", help="a model that drafts, in place of lookup")
    parser.add_argument("--draft-quant", help="that model's quantization; alone: the model drafts for itself in it")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    chosen = setting(arguments.model, arguments.quant, _speculation(arguments.draft, arguments.draft_quant))
    machine = {
        "cpu": _core.cpu_model(),
        "threads": chosen.threads,
        "backends": ", ".join(chosen.backends),
        "engine_version": ENGINE_VERSION,
        "model": arguments.model,
        "load_average": os.getloadavg()[0],
    }
    sys.stdout.write(" · ".join(f"{key} {value}" for key, value in machine.items()) + "\n")
    figures: list[Figure] = []
    for name in arguments.names or BENCHMARKS:
        disturbance = Disturbance()
        measured = BENCHMARKS[name](chosen)
        sys.stdout.write(f"\n{name}: others used {disturbance.share():.0%} of the machine\n")
        print_figures(measured)
        sys.stdout.flush()
        figures += measured
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "figures": [f.as_json() for f in figures]}, indent=1))


def _speculation(draft: str | None, quantization: str | None) -> Speculation:
    if draft is None and quantization is None:
        return LOOKUP
    return Speculation(kind="self" if draft is None else "draft", model=draft, quantization=quantization)


if __name__ == "__main__":
    main()
