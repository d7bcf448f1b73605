"""Run the benchmarks named on the command line, or all of them.

.venv/bin/python -m benchmarks [--model MODEL] [--json FILE] [overhead] [startup]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import overhead, startup
from benchmarks.report import Figure, print_figures
from engine import _core
from engine.version import ENGINE_VERSION

BENCHMARKS: dict[str, Callable[[str], list[Figure]]] = {"overhead": overhead.measure, "startup": startup.measure}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="default: all")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="registry name or path of a GGUF")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    machine = {
        "cpu": _core.cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "engine_version": ENGINE_VERSION,
        "model": arguments.model,
        "load_average": os.getloadavg()[0],
    }
    sys.stdout.write(" · ".join(f"{key} {value}" for key, value in machine.items()) + "\n")
    figures = [figure for name in arguments.names or BENCHMARKS for figure in BENCHMARKS[name](arguments.model)]
    print_figures(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "figures": [f.as_json() for f in figures]}, indent=1))


if __name__ == "__main__":
    main()
