"""Makes evidence of two plans on a machine whose noise is given, and spoils it."""

from __future__ import annotations

from typing import Any

import numpy as np

from weos_agents.evidence import Evidence, Pair, Quality
from weos_agents.sample import Metric, Sample, Setting
from weos_agents.statistics.noise import Noise, paired_log_ratios

BASELINE, CANDIDATE = "sha256:base", "sha256:candidate"
SETTING = Setting(model_hash="sha256:model", build="build", engine_version="1", cpu_model="cpu", cpu_features=("avx2",))
FIGURES: dict[Metric, float | None] = {
    "tokens_per_sec": 100.0,
    "decode_tokens_per_sec": 110.0,
    "tokens_per_watt": 5.0,
    "ttft_ms": 80.0,
    "latency_p50_ms": 9.0,
    "latency_p95_ms": 11.0,
    "memory_peak_mb": 150.0,
    "joules_per_token": 0.2,
}
QUIET = Noise(spread=0.01, drift=0.02, outliers=0.02)


def make_sample(execution_id: str = "exec-0", **changes: Any) -> Sample:
    fields = {
        "execution_id": execution_id,
        "plan": BASELINE,
        "input": "input-0",
        "setting": SETTING,
        "answer": "answer",
        "logits_digest": "digest",
        "stop_reason": "max_tokens",
        "figures": FIGURES,
        "energy_kind": "measured",
        "others_cpu_share": 0.01,
        "contended": False,
    }
    return Sample(**{**fields, **changes})


def make_pair(number: int = 0, ratios: dict[Metric, float] | None = None, inputs: int = 8, **changes: Any) -> Pair:
    """``ratios``: the logarithms of candidate over baseline, 0 where left out. ``changes``: of the candidate."""
    figures = {name: value * np.exp((ratios or {}).get(name, 0.0)) for name, value in FIGURES.items() if value}
    shared = {"input": f"input-{number % inputs}"}
    candidate = {"plan": CANDIDATE, "figures": {name: float(value) for name, value in figures.items()}, **shared}
    return Pair(
        baseline=make_sample(f"exec-{2 * number}", **shared),
        candidate=make_sample(f"exec-{2 * number + 1}", **{**candidate, **changes}),
        baseline_first=number % 2 == 0,
    )


def evidence_of(pairs: tuple[Pair, ...], **changes: Any) -> Evidence:
    fields = {
        "experiment": "experiment-0",
        "baseline_plan": BASELINE,
        "candidate_plan": CANDIDATE,
        "pairs_declared": len(pairs),
        "complete": True,
        "same_arithmetic": True,
        "pairs": pairs,
    }
    return Evidence(**{**fields, **changes})


def make_evidence(
    random: np.random.Generator, pairs: int = 40, gains: dict[Metric, float] | None = None, noise: Noise = QUIET
) -> Evidence:
    """An experiment of a plan with these true gains (0.05: larger by 5 %), each figure with noise of its own."""
    noisy: tuple[Metric, ...] = ("tokens_per_sec", "tokens_per_watt", "ttft_ms", "latency_p95_ms", "joules_per_token")
    ratios = {name: paired_log_ratios(random, pairs, noise, (gains or {}).get(name, 0.0)) for name in noisy}
    made = (make_pair(number, {name: float(ratios[name][number]) for name in noisy}) for number in range(pairs))
    return evidence_of(tuple(made))


def changed_pair(evidence: Evidence, number: int, side: str, **changes: Any) -> Evidence:
    """The evidence with one sample of one pair changed."""
    pair = evidence.pairs[number]
    sample = getattr(pair, side).model_copy(update=changes)
    return with_pair(evidence, number, pair.model_copy(update={side: sample}))


def with_pair(evidence: Evidence, number: int, pair: Pair) -> Evidence:
    pairs = (*evidence.pairs[:number], pair, *evidence.pairs[number + 1 :])
    return evidence.model_copy(update={"pairs": pairs})


GOOD_QUALITY = Quality(text="sha256:text", divergence_mean=0.01, same_best=0.97)
