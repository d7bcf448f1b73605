"""A machine that is simulated: plans have true speeds, figures have noise, and time passes as runs would take it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from protocol.errors import InvalidPlan
from tests.agents.evidence_factory import BASELINE, FIGURES, GOOD_QUALITY, make_sample
from weos_agents.evidence import Evidence, Pair
from weos_agents.laboratory import Changes, Enough, ResolvedPlan
from weos_agents.sample import Metric, Sample
from weos_agents.search_fields import SearchField
from weos_agents.workload import Workload, WorkloadLine

THREADS = SearchField(
    name="threads", request_field="execution.threads", same_bits=True, cost="none", values=(1, 2, 4, 8)
)
CHUNK = SearchField(
    name="batch.prefill_chunk",
    request_field="execution.prefill_chunk",
    same_bits=True,
    cost="none",
    values=(16, 64, 256),
)
TYPE = SearchField(
    name="quantization",
    request_field="execution.quantization",
    same_bits=False,
    cost="quantize",
    values=("native", "q4"),
)
FIELDS = (THREADS, CHUNK, TYPE)
USUAL = {"execution.threads": 8, "execution.prefill_chunk": 256, "execution.quantization": "native"}
WORKLOAD = Workload.of([f'{{"prompt": "input {number}"}}' for number in range(16)])
Speed = Callable[[dict[str, Any]], dict[Metric, float]]
"""The true figures of a plan as parts of the usual ones."""


class SimulatedLaboratory:
    """Its clock is ``seconds``."""

    def __init__(
        self, speed: Speed, *, spread: float = 0.01, energy_kind: str = "measured", busy: float = 0.0, seed: int = 3
    ) -> None:
        self._speed = speed
        self._spread = spread
        self._energy_kind = energy_kind
        self._busy = busy
        self._random = np.random.default_rng(seed)
        self._executions = 0
        self.seconds = 0.0
        self.experiments: list[tuple[dict[str, Any], int]] = []
        """The changes tried, and how many pairs were whole."""
        self.other_answers = False

    def now(self) -> float:
        return self.seconds

    def joules_used(self) -> float | None:
        return self.seconds * 20.0 if self._energy_kind == "measured" else None

    def resolve(self, changes: Changes) -> ResolvedPlan:
        values = USUAL | dict(changes)
        if values["execution.threads"] == 1 and values["execution.prefill_chunk"] == 16:
            raise InvalidPlan("this machine refuses that")
        content = {
            "threads": values["execution.threads"],
            "batch": {"prefill_chunk": values["execution.prefill_chunk"]},
            "quantization": values["execution.quantization"],
        }
        return ResolvedPlan(fingerprint=self._fingerprint(changes), content=content)

    def experiment(
        self, baseline: Changes, candidate: Changes, inputs: Sequence[WorkloadLine], pairs: int, enough: Enough
    ) -> Evidence:
        self.resolve(candidate)
        same_bits = USUAL["execution.quantization"] == (USUAL | dict(candidate))["execution.quantization"]
        found = Evidence(
            experiment=f"experiment-{len(self.experiments)}",
            baseline_plan=self._fingerprint(baseline),
            candidate_plan=self._fingerprint(candidate),
            pairs_declared=pairs,
            complete=False,
            same_arithmetic=same_bits,
            pairs=(),
        )
        while len(found.pairs) < pairs:
            line = inputs[len(found.pairs) % len(inputs)]
            answer = "answer" if same_bits and not self.other_answers else "another"
            pair = Pair(
                baseline=self._run(baseline, line, "answer"),
                candidate=self._run(candidate, line, answer),
                baseline_first=len(found.pairs) % 2 == 0,
            )
            found = found.model_copy(update={"pairs": (*found.pairs, pair)})
            if enough(found):
                break
        self.experiments.append((dict(candidate), len(found.pairs)))
        quality = None if same_bits else GOOD_QUALITY
        return found.model_copy(update={"complete": len(found.pairs) == pairs, "quality": quality})

    def _run(self, changes: Changes, line: WorkloadLine, answer: str) -> Sample:
        self._executions += 1
        parts = self._speed(USUAL | dict(changes))
        noise = {name: math.exp(self._random.normal(0.0, self._spread)) for name in FIGURES}
        figures = {name: value * parts.get(name, 1.0) * noise[name] for name, value in FIGURES.items() if value}
        figures["memory_peak_mb"] = 150.0 * parts.get("memory_peak_mb", 1.0)
        self.seconds += 100.0 / figures["tokens_per_sec"]
        return make_sample(
            f"exec-{self._executions}",
            plan=self._fingerprint(changes),
            input=line.content,
            figures=figures,
            answer=answer,
            energy_kind=self._energy_kind,
            contended=bool(self._random.random() < self._busy),
        )

    def _fingerprint(self, changes: Changes) -> str:
        values = USUAL | dict(changes)
        return BASELINE if values == USUAL else f"sha256:{sorted(values.items())}"
