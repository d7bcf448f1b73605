"""Decoding that samples, as a share of the greedy speed beside it; and what one sequence's samplers cost others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import Work, decode, decode_side_by_side
from protocol.sampling import SAMPLERS

ROUNDS = 9
ALONE = decode(32)
SIDE_BY_SIDE = decode_side_by_side(16, 16)
EIGHT = decode_side_by_side(8, 16)

Sampling = Mapping[str, Any]
GREEDY: Sampling = {}
SAMPLED: Mapping[str, tuple[Sampling, float, float]] = {
    "temperature 0.8, top-k 40, top-p 0.95, min-p 0.05": (
        {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
        0.97,
        0.92,
    ),
    "temperature 0.8, top-p 0.95": ({"temperature": 0.8, "top_p": 0.95}, 0.97, 0.92),
    "temperature 5, top-p 0.99": ({"temperature": 5.0, "top_p": 0.99}, 0.90, 0.90),
}
"""Samplers, and the least share of the greedy speed with one sequence and with sixteen."""
HOSTILE: Mapping[str, Sampling] = {
    "temperature 1e38 before top-p": {"order": ("temperature", "top_p"), "temperature": 1e38, "top_p": 0.9},
    "every sampler, and few tokens dropped": {
        "order": ("temperature", *(name for name in SAMPLERS if name not in ("temperature", "mirostat"))),
        "temperature": 20.0,
        "logit_bias": dict.fromkeys(range(1024), 0.1),
        "repeat_penalty": 1.01,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.1,
        "repeat_last_n": 1_000_000,
        "dry_multiplier": 0.1,
        "dry_allowed_length": 1,
        "top_k": 1_000_000,
        "typical_p": 0.999,
        "top_p": 0.999,
        "min_p": 1e-9,
        "xtc_probability": 1.0,
        "xtc_threshold": 1e-5,
    },
}
AT_MOST_FOR_OTHERS = 0.05


def measure(setting: Setting) -> list[Figure]:
    """Measure each backend in rounds, in which greedy decoding comes between every two kinds of sampling."""
    figures: list[Figure] = []
    for backend in setting.backends:
        with MeasuredLoop(setting.path, backend, setting.threads) as loop:
            figures += _sampled(loop, backend)
            figures += _hostile(loop, backend)
    return figures


def _sampled(loop: MeasuredLoop, backend: str) -> Iterator[Figure]:
    kinds = {name: [sampling] for name, (sampling, *_) in SAMPLED.items()}
    for which, work in enumerate((ALONE, SIDE_BY_SIDE)):
        shares = _shares(loop, work, kinds)
        for name, (_, *bounds) in SAMPLED.items():
            yield Figure(f"{name} / greedy, {work.name}, {backend}", "ratio", shares[name], at_least=bounds[which])


def _hostile(loop: MeasuredLoop, backend: str) -> Iterator[Figure]:
    kinds = {name: [sampling, *[GREEDY] * 7] for name, sampling in HOSTILE.items()}
    for name, shares in _shares(loop, EIGHT, kinds).items():
        yield Figure(
            f"one of 8 with {name} / greedy, {backend}", "ratio", shares, at_least=1 / (1 + AT_MOST_FOR_OTHERS)
        )


def _shares(loop: MeasuredLoop, work: Work, kinds: Mapping[str, Sequence[Sampling]]) -> dict[str, list[float]]:
    """Ratio to each round's greedy speed, the mean of before and after: a machine that slows down cancels out."""
    shares: dict[str, list[float]] = {name: [] for name in kinds}
    loop.rate(work)
    greedy = loop.rate(work)
    for _ in range(ROUNDS):
        for name, samplings in kinds.items():
            sampled, before, greedy = loop.rate(work, samplings), greedy, loop.rate(work)
            shares[name].append(2 * sampled / (before + greedy))
    return shares
