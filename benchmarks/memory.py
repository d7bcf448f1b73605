"""Peak memory of a run against the size of its weights and KV cache, and its growth against what the plan estimates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from engine.config import default_config
from engine.host.machine import probe_machine
from engine.models.registry import ModelRegistry
from engine.planning.planner import Planner
from engine.planning.prompt import PreparedPrompt
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.summaries import PlanEstimate

CONTEXT = 4096
SHORT_CONTEXT = 576
LONG_CONTEXT = 32_768
"""Measured where layers have windows, whose part of the KV cache must not grow with it."""
ROUNDS = 3
GENERATED = 16
# A process of its own: the peak is that of a whole life. Prints bytes: [peak, growth by the run, weights, KV cache of
# the context]. An engine has the vocabulary before it plans, so that it is none of the run's growth; the loop makes one
# of its own. malloc keeps what is freed, so that it is told to map what is large.
_RUN = """
import json, os, sys
from pathlib import Path
from engine import _core
from engine.host.machine import peak_resident_bytes
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import decode
path, backend, threads, context, generated = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
first = resident()
vocabulary = _core.Vocabulary(_core.GgufFile(path))
before = 2 * resident() - first
with MeasuredLoop(Path(path), backend, threads) as loop:
    loop.rate(decode(generated, depth=context - generated - 1))
    model, peak = loop.model, peak_resident_bytes()
    print(json.dumps([peak, peak - before, model.weights_bytes, model.kv_bytes_per_token() * context]))
"""


def measure(setting: Setting) -> list[Figure]:
    """Peak resident size of loading and decoding at the end of a context, and the plan's estimate over its growth."""
    window = ModelRegistry(default_config()).resolve(setting.model).window
    contexts = (SHORT_CONTEXT, CONTEXT, *((LONG_CONTEXT,) if window else ()))
    backend = setting.backends[0]
    return [
        *(_peak(setting, backend) for backend in setting.backends),
        *(_estimate(setting.path, backend, setting.threads, context) for context in contexts),
    ]


def _peak(setting: Setting, backend: str) -> Figure:
    peaks = []
    for _ in range(ROUNDS):
        peak_bytes, _, weights, kv_cache = _run(setting.path, backend, setting.threads, CONTEXT)
        peaks.append(peak_bytes / 1e6)
    bound = round(1.15 * (weights + kv_cache) / 1e6 + 100, 1)
    return Figure(f"peak memory, context of {CONTEXT}, {backend}", "MB", peaks, at_most=bound)


def _estimate(path: Path, backend: str, threads: int, context: int) -> Figure:
    needed = estimated(path, backend, threads, context).total_bytes
    shares = [needed / growth_bytes(path, backend, threads, context) for _ in range(ROUNDS)]
    name = f"estimate of {needed / 1e6:,.0f} MB over growth, context of {context}, {backend}"
    return Figure(name, "", shares, at_least=0.95, at_most=1.05)


def growth_bytes(path: Path, backend: str, threads: int, context: int) -> int:
    """How much a process grows that loads the model and fills a context of one sequence with an answer at its end."""
    return _run(path, backend, threads, context)[1]


def planner() -> Planner:
    """A planner of this machine, which measures no energy."""
    return Planner(ModelRegistry(default_config()), default_config(), probe_machine(), {"none": ""})


def estimated(path: Path, backend: str, threads: int, context: int) -> PlanEstimate:
    """What the plan of the same run says that it takes."""
    plans = planner()
    execution = ExecutionRequest(
        backend=backend, threads=threads, context_length=context, limits=Limits(max_tokens=GENERATED)
    )
    checked = plans.check(RunRequest(model=str(path), prompt="", execution=execution))
    prompt = PreparedPrompt((0,) * (context - GENERATED - 1), "raw")
    return plans.plan(checked, plans.registry.resolve(str(path)), prompt).estimate


def _run(path: Path, backend: str, threads: int, context: int) -> list[int]:
    return sizes_of(_RUN, path, backend, threads, context, GENERATED)


def sizes_of(program: str, *arguments: object) -> list[int]:
    """What a program of Python prints that has a process of its own, in which malloc maps what is large."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    sizes: list[int] = json.loads(done.stdout)
    return sizes
