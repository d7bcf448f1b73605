"""What all finished executions come to, counted from their records. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.metrics.histogram import LATENCY_BOUNDS_S, TOKEN_BOUNDS_S, Histogram
from protocol.metric_family import HistogramSample, MetricFamily, Sample
from protocol.metrics import EnergyReport, ExecutionMetrics
from protocol.record import ExecutionRecord

MAX_LABEL_SETS = 64
"""Combinations of model, quantization and policy that are told apart. Each takes some hundred lines of exposition, and
a client that names ever new models must not make it grow without end."""
OTHER = "other"
"""Model, quantization and policy of whatever comes after those."""

Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order shown."""


@dataclass(frozen=True, slots=True)
class _Phase:
    """A time that every execution has once, or not at all."""

    name: str
    help: str
    milliseconds: Callable[[ExecutionMetrics], float | None]


_PHASES = (
    _Phase(
        "engine_time_to_first_token_seconds",
        "From the Run frame received to the first token ready.",
        lambda metrics: metrics.ttft_ms,
    ),
    _Phase("engine_wall_seconds", "From the Run frame received to the record made.", lambda metrics: metrics.wall_ms),
    _Phase("engine_plan_seconds", "From the Run frame received to the plan made.", lambda metrics: metrics.plan_ms),
    _Phase(
        "engine_queue_seconds",
        "From the plan made to admission, or to an end before that.",
        lambda metrics: metrics.queue_ms,
    ),
    _Phase(
        "engine_load_seconds",
        "Weights being made ready, or until an end before they were; 0 where they were ready.",
        lambda metrics: metrics.load_ms,
    ),
    _Phase(
        "engine_start_seconds",
        "From admission to the first prefill step, without the load.",
        lambda metrics: metrics.start_ms,
    ),
    _Phase(
        "engine_prefill_seconds",
        "From the first prefill step to the first token ready, or to an end before that.",
        lambda metrics: metrics.prefill_ms,
    ),
    _Phase(
        "engine_decode_seconds",
        "From the first token ready to the last, of executions with two or more.",
        lambda metrics: metrics.decode_ms if metrics.latency_gaps else None,
    ),
    _Phase("engine_finish_seconds", "From the last token ready to the record made.", lambda metrics: metrics.finish_ms),
)
_GAPS = ("engine_inter_token_seconds", "From one token ready to the next.")


class MetricTotals:
    """Takes every record once, and tells what they come to as metric families."""

    def __init__(self, max_label_sets: int = MAX_LABEL_SETS) -> None:
        self._max_label_sets = max_label_sets
        self._label_sets: set[Labels] = set()
        self._executions: Counter[Labels] = Counter()
        self._prompt_tokens: Counter[Labels] = Counter()
        self._cached_prompt_tokens: Counter[Labels] = Counter()
        self._tokens: Counter[Labels] = Counter()
        self._drafted_tokens: Counter[Labels] = Counter()
        self._accepted_tokens: Counter[Labels] = Counter()
        self._longest = 0
        self._failures: Counter[Labels] = Counter()
        self._joules: dict[Labels, float] = {}
        self._without_joules: Counter[Labels] = Counter()
        self._operation_s: dict[Labels, float] = {}
        self._histograms: dict[str, dict[Labels, Histogram]] = {}

    def add(self, record: ExecutionRecord, *token_times_ns: Sequence[int]) -> None:
        """Count one finished execution; ``token_times_ns``: when each token was ready, of every choice."""
        labels, metrics = self._labels(record), record.metrics
        with_reason: Labels = (*labels, ("stop_reason", record.stop_reason))
        self._executions[with_reason] += 1
        self._prompt_tokens[labels] += metrics.prompt_tokens
        self._cached_prompt_tokens[labels] += metrics.cached_prompt_tokens or 0
        self._tokens[labels] += metrics.tokens_total
        self._drafted_tokens[labels] += metrics.drafted_tokens or 0
        self._accepted_tokens[labels] += metrics.accepted_tokens or 0
        answers = (len(choice.token_ids) for choice in (record, *record.other_choices))
        self._longest = max(self._longest, len(record.prompt_token_ids) + max(answers))
        for phase in _PHASES:
            milliseconds = phase.milliseconds(metrics)
            if milliseconds is not None:
                self._histogram(phase.name, LATENCY_BOUNDS_S, labels).observe(milliseconds / 1e3)
        for times_ns in token_times_ns:
            if len(times_ns) > 1:
                gaps = self._histogram(_GAPS[0], TOKEN_BOUNDS_S, labels)
                for before, after in pairwise(times_ns):
                    gaps.observe((after - before) / 1e9)
        self._add_energy(metrics.energy)
        if metrics.op_time_ms is not None:
            for operation, milliseconds in metrics.op_time_ms:
                key = (("operation", operation),)
                self._operation_s[key] = self._operation_s.get(key, 0.0) + milliseconds / 1e3

    def add_failure(self, code: str) -> None:
        """Count one request that ended with an error of this code."""
        self._failures[(("code", code),)] += 1

    def families(self) -> tuple[MetricFamily, ...]:
        """All families of metrics counted since the start."""
        return (
            _counter("engine_executions_total", "Executions that have a record.", self._executions),
            _counter("engine_failures_total", "Requests that ended with an error, by its code.", self._failures),
            _counter("engine_prompt_tokens_total", "Tokens of the prompts of those executions.", self._prompt_tokens),
            _counter(
                "engine_cached_prompt_tokens_total", "Of those, found in the prefix cache.", self._cached_prompt_tokens
            ),
            _counter("engine_generated_tokens_total", "Tokens that they generated.", self._tokens),
            _counter("engine_drafted_tokens_total", "Tokens guessed and computed ahead.", self._drafted_tokens),
            _counter("engine_accepted_tokens_total", "Of those, drawn in their place.", self._accepted_tokens),
            MetricFamily(
                name="engine_sequence_tokens_max",
                kind="gauge",
                help="Most tokens of prompt and answer together that one sequence came to.",
                samples=(Sample(labels={}, value=self._longest),),
            ),
            *(self._histogram_family(phase.name, phase.help) for phase in _PHASES),
            self._histogram_family(*_GAPS),
            _counter(
                "engine_energy_joules_total",
                "Joules of executions. Kind says what they are worth: a modelled joule was not measured.",
                self._joules,
            ),
            _counter(
                "engine_executions_without_energy_total",
                "Executions whose joules are not known, and so in no sum.",
                self._without_joules,
            ),
            _counter(
                "engine_operation_seconds_total",
                "Time of executions that asked for it (op_times), by operation.",
                self._operation_s,
            ),
        )

    def _labels(self, record: ExecutionRecord) -> Labels:
        plan = record.plan
        values = (plan.model_ref.name, plan.quantization, plan.scheduler_policy)
        labels = _model_labels(*values)
        if labels in self._label_sets:
            return labels
        if len(self._label_sets) >= self._max_label_sets:
            return _model_labels(OTHER, OTHER, OTHER)
        self._label_sets.add(labels)
        return labels

    def _add_energy(self, energy: EnergyReport) -> None:
        if energy.attributed_j is None:
            self._without_joules[(("source", energy.source),)] += 1
            return
        key = (("kind", energy.kind), ("source", energy.source))
        self._joules[key] = self._joules.get(key, 0.0) + energy.attributed_j

    def _histogram(self, name: str, bounds: tuple[float, ...], labels: Labels) -> Histogram:
        by_labels = self._histograms.setdefault(name, {})
        return by_labels.setdefault(labels, Histogram(bounds))

    def _histogram_family(self, name: str, text: str) -> MetricFamily:
        histograms: tuple[HistogramSample, ...] = tuple(
            histogram.sample(dict(labels)) for labels, histogram in self._histograms.get(name, {}).items()
        )
        return MetricFamily(name=name, kind="histogram", help=text, histograms=histograms)


def _model_labels(model: str, quantization: str, policy: str) -> Labels:
    return (("model", model), ("quantization", quantization), ("policy", policy))


def _counter(name: str, text: str, values: Mapping[Labels, float]) -> MetricFamily:
    samples = tuple(Sample(labels=dict(labels), value=value) for labels, value in values.items())
    return MetricFamily(name=name, kind="counter", help=text, samples=samples)
