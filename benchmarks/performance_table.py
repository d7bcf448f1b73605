"""Writes the table of docs/performance.md from the samples that ``benchmarks.peers --json`` kept.

python -m benchmarks.performance_table benchmarks/results/peers.json docs/performance.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = "| model | work | ours | tokens/s | peer | tokens/s | ratio | to hold | used by others |\n" + 9 * "|---" + "|\n"


def table(result: dict[str, Any]) -> str:
    machine = result["machine"]
    rows = "".join(_row(comparison) for comparison in result["comparisons"])
    return f"{machine['cpu']}, {machine['threads']} threads, engine {machine['engine_version']}.\n\n{HEAD}{rows}"


def _row(comparison: dict[str, Any]) -> str:
    ratio, ours, theirs = comparison["ratio"], comparison["ours"], comparison["theirs"]
    bound = "–" if ratio["at_least"] is None else f"≥ {ratio['at_least']:g}"  # noqa: RUF001
    missed = " (missed)" if ratio["holds"] is False else ""
    cells = (
        comparison["model"],
        comparison["work"],
        comparison["backend"],
        _rate(ours),
        f"{comparison['peer']}, {comparison['peer_setting']}",
        _rate(theirs),
        f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}, n = {len(ratio['samples'])})",
        bound + missed,
        f"{max(comparison['used_by_others']):.0%}",
    )
    return "| " + " | ".join(cells) + " |\n"


def _rate(figure: dict[str, Any]) -> str:
    return f"{figure['median']:,.0f} ({figure['min']:,.0f} to {figure['max']:,.0f})"


def with_table(document: str, content: str, begin: str = BEGIN, end: str = END) -> str:
    """The document with what lies between its marks replaced. Raises ValueError where it lacks them."""
    before, found_begin, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"the document lacks {begin} or {end}")
    return f"{before}{begin}\n\n{content}\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.performance_table", description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("document", type=Path)
    arguments = parser.parse_args()
    content = table(json.loads(arguments.result.read_text(encoding="utf-8")))
    document = arguments.document.read_text(encoding="utf-8")
    arguments.document.write_text(with_table(document, content), encoding="utf-8")


if __name__ == "__main__":
    main()
