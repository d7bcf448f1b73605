"""Limits of the machine, measured: reading memory, and multiplying 8-bit integers."""

from __future__ import annotations

from functools import cache

from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from engine import _core
from engine.bench import throughput

_SECONDS = 0.5


def measure(setting: Setting) -> list[Figure]:
    """Measure each limit with one thread, and with a plan's default number of threads."""
    counts = sorted({1, setting.threads})
    tables = _core.kernel_tables()
    instructions = [name for table, name in throughput.INTEGER_INSTRUCTIONS.items() if not tables[table]]
    return [_bandwidth(threads) for threads in counts] + [
        _integer_peak(name, threads) for name in instructions for threads in counts
    ]


@cache
def bandwidth(threads: int) -> float:
    """Bytes a second, measured once in a run."""
    return throughput.bandwidth(threads)


@cache
def integer_peak(instruction: str, threads: int) -> float:
    """Multiply-accumulates a second, measured once in a run."""
    return throughput.integer_peak(instruction, threads)


def _bandwidth(threads: int) -> Figure:
    passes = _core.machine_probes.read_bandwidth(throughput.READ_BYTES, threads, _SECONDS)
    return Figure(f"reading memory, {threads} threads", "GB/s", [bytes_s / 1e9 for bytes_s in passes])


def _integer_peak(instruction: str, threads: int) -> Figure:
    samples = _core.machine_probes.integer_peak(instruction, threads, _SECONDS)
    return Figure(f"{instruction}, {threads} threads", "GMAC/s", [macs / 1e9 for macs in samples])
