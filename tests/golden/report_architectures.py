"""Print how far the engine and llama.cpp lie from exact arithmetic on the tiny models, the furthest setting of each
architecture.

.venv/bin/python -m tests.golden.report_architectures
"""

from __future__ import annotations

import sys

from tests.golden.architecture_path import relative_distance
from tests.golden.architecture_run import F16_CACHE, TIED, run
from tests.support.architecture_models import ALL_CASES

_HEADS = ("llama.cpp, F32 cache", "llama.cpp, F16 cache", "engine", "engine, cache rounded in the reference too")


def distances(case: str) -> tuple[float, ...]:
    """Distances in the order of the table's columns."""
    made = run(case)
    return (
        relative_distance(made.peer, made.exact),
        F16_CACHE[case],
        relative_distance(made.ours, made.exact),
        relative_distance(made.ours, made.rounded),
    )


def main() -> None:
    rows: dict[str, list[tuple[float, ...]]] = {}
    for case, options in ALL_CASES.items():
        if case != TIED:
            rows.setdefault(options["architecture"], []).append(distances(case))
    sys.stdout.write(f"| architecture | {' | '.join(_HEADS)} |\n|---|{'---|' * len(_HEADS)}\n")
    for architecture, measured in rows.items():
        furthest = " | ".join(f"{max(column):.1e}" for column in zip(*measured, strict=True))
        sys.stdout.write(f"| `{architecture}` | {furthest} |\n")


if __name__ == "__main__":
    main()
