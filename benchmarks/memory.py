"""Peak memory of a run, against the size of its weights and KV cache."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting

CONTEXT = 4096
ROUNDS = 3
# A process of its own: the peak is that of a whole life. Prints [peak bytes, weights bytes, KV cache bytes].
_RUN = """
import json, sys
from pathlib import Path
from engine.host.machine import peak_resident_bytes
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import decode
path, backend, threads, context = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with MeasuredLoop(Path(path), backend, threads) as loop:
    loop.rate(decode(16, depth=context - 17))
    model = loop.model
    print(json.dumps([peak_resident_bytes(), model.weights_bytes, model.kv_bytes_per_token() * context]))
"""


def measure(setting: Setting) -> list[Figure]:
    """Peak resident size of loading and decoding at the end of a context of 4,096 tokens."""
    return [_figure(setting, backend) for backend in setting.backends]


def _figure(setting: Setting, backend: str) -> Figure:
    peaks = []
    for _ in range(ROUNDS):
        command = [sys.executable, "-c", _RUN, str(setting.path), backend, str(setting.threads), str(CONTEXT)]
        peak_bytes, weights, kv_cache = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        peaks.append(peak_bytes / 1e6)
    bound = round(1.15 * (weights + kv_cache) / 1e6 + 100, 1)
    return Figure(f"peak memory, context of {CONTEXT}, {backend}", "MB", peaks, at_most=bound)
