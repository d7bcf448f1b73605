"""Print how far the engine and llama.cpp lie from exact arithmetic, a prompt a line.

.venv/bin/python -m tests.golden.report smollm2 SmolLM2-135M-Instruct.Q4_1.gguf
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from engine import _core
from tests.golden.engine_run import compare_prompt
from tests.golden.golden_data import Comparison, mean_distances, read_golden

_HEAD = (
    f"{'prompt':20} {'tokens':>6} {'equal':>6} {'ours':>8} {'llama.cpp':>9} {'ratio':>6} {'exact best':>12}  partings\n"
)


def row(comparison: Comparison) -> str:
    prompt, steps = comparison.prompt, len(comparison.prompt.greedy_token_ids)
    partings = ", ".join(
        f"{parting.step}: margin {parting.margin:.4f} {'<=' if parting.excused else '> !'} {parting.allowance:.4f}"
        for parting in comparison.partings
    )
    return (
        f"{prompt.name:20} {len(prompt.token_ids):6} {comparison.equal_tokens:3}/{steps:2} {comparison.distance:8.5f} "
        f"{comparison.peer_distance:9.5f} {comparison.distance / comparison.peer_distance:6.3f} "
        f"{comparison.best_kept:5} vs {comparison.peer_best_kept:3}  {partings}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("golden", choices=("smollm2", "qwen2", "gemma3", "stories"))
    parser.add_argument("model", type=Path)
    parser.add_argument("--backend", default="cpu_avx2", help="kernel table")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--prompts", nargs="*", help="only these")
    arguments = parser.parse_args()
    golden = read_golden(arguments.golden)
    model = _core.Model.load(str(arguments.model), arguments.backend, arguments.threads)

    began = time.monotonic()
    comparisons = []
    sys.stdout.write(_HEAD)
    for prompt in golden.prompts:
        if arguments.prompts and prompt.name not in arguments.prompts:
            continue
        comparisons.append(compare_prompt(golden, prompt, model, arguments.threads))
        sys.stdout.write(row(comparisons[-1]))
        sys.stdout.flush()
    ours, peers = mean_distances(comparisons)
    sys.stdout.write(
        f"mean absolute distance from exact: {ours:.5f}, {golden.peer}: {peers:.5f}, ratio {ours / peers:.3f} "
        f"({model.kernel_path}, {arguments.threads} threads, {time.monotonic() - began:.1f} s)\n"
    )


if __name__ == "__main__":
    main()
