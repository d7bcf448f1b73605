"""Rates of a model: prefill and decoding, alone, side by side and far into a context."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.limits import bandwidth, integer_peak
from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from engine import _core
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.throughput import INTEGER_INSTRUCTIONS, bytes_read_a_token, macs_a_prompt_token
from engine.bench.work import Work, decode, decode_side_by_side, prefill

ROUNDS = 5
PREFILL = prefill(256)
DECODE = decode(128)
SIDE_BY_SIDE = [decode_side_by_side(sequences, 32) for sequences in (1, 4, 8, 16, 32)]
LONG = [decode(16, depth=depth) for depth in (4096, 16384)]


def measure(setting: Setting) -> list[Figure]:
    figures: list[Figure] = []
    for backend in setting.backends:
        with MeasuredLoop(setting.path, backend, setting.threads) as loop:
            fitting = [work for work in LONG if work.prompt + work.generated < loop.model.context_length]
            for work in (PREFILL, DECODE, *SIDE_BY_SIDE, *fitting):
                rounds = 2 if work in LONG else ROUNDS  # each has a long prefill before it
                rates = [loop.rate(work) for _ in range(rounds)]
                figures += _figures(setting, backend, work, rates)
    return figures


def _figures(setting: Setting, backend: str, work: Work, rates: list[float]) -> Iterator[Figure]:
    name = f"{work.name}, {backend}, {setting.threads} threads"
    yield Figure(name, "tokens/s", rates)
    file = _core.GgufFile(str(setting.path))
    if work == DECODE:
        limit = bandwidth(setting.threads) / bytes_read_a_token(file)
        yield Figure(f"{name}: share of bandwidth", "ratio", [rate / limit for rate in rates])
    if work.is_prefill:
        limit = integer_peak(INTEGER_INSTRUCTIONS[backend], setting.threads) / macs_a_prompt_token(file)
        yield Figure(f"{name}: share of the integer peak", "ratio", [rate / limit for rate in rates])
