"""Cost of the logits' digest: its time for one step, as a share of a decode step."""

from __future__ import annotations

import statistics
import time

import numpy as np
import numpy.typing as npt

from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from engine import _core_tests
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import decode

ROUNDS = 15
CALLS = 50


def measure(setting: Setting) -> list[Figure]:
    """Measure the digest. All threads of a step share it; here one thread makes all of it, so its time is divided."""
    figures = []
    for backend in setting.backends:
        with MeasuredLoop(setting.path, backend, setting.threads) as loop:
            step_s = 1 / statistics.median(loop.rate(decode(64)) for _ in range(5))
            logits = np.random.default_rng(0).normal(size=loop.model.vocab_size).astype(np.float32)
        shares = [_digest_s(logits) / setting.threads / step_s for _ in range(ROUNDS)]
        figures.append(Figure(f"digest / decode step, {backend}", "ratio", shares, at_most=0.005))
    return figures


def _digest_s(logits: npt.NDArray[np.float32]) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        _core_tests.digest(logits)
    return (time.perf_counter() - began) / CALLS
