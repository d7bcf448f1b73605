"""What two executions tell when they are held side by side: A is the one to compare with, B the one compared."""

from __future__ import annotations

from typing import Any, Literal

from protocol.value import Value


class Difference(Value):
    """A field of plan, request, hardware or engine that is not the same in both."""

    field: str
    """Dotted: of the plan by its own name (``limits.max_tokens``), of others with theirs in front
    (``hardware.cpu_model``)."""
    a: Any
    b: Any
    """Values in their JSON form. Prompts are shown by their number of tokens and where they part."""


class BuildAgreement(Value):
    """Whether two executions were made by one build, and by builds that compute the same."""

    same: bool | None = None
    """``None``: a record does not say by which build it was made."""
    arithmetic: bool | None = None
    """Whether the self-tests of both gave the same bits, so that their answers should be equal; ``None`` as above."""
    reason: str | None = None
    """In what the builds differ, or why that is not known."""


class OutputAgreement(Value):
    """Whether both generated the same. An execution that something outside ended early is held to what it has."""

    result: bool
    """The text, whole or, where one was ended early, as far as the shorter goes."""
    token_ids: bool
    """The same of the tokens."""
    logits_digest: bool | None
    """The bits of all logits; ``None`` where the digests cover different numbers of tokens, or there is none."""
    choice: int = 0
    """Which choice this is about: the first one, or the first that differs."""
    first_different_token: int | None = None
    """Index of the first token that one has and the other has not."""
    first_different_character: int | None = None
    """The same in the text."""
    reason: str | None = None
    """Why the digests are not compared, or what was compared only in part."""

    @property
    def same(self) -> bool:
        """Nothing that could be compared differs."""
        return self.result and self.token_ids and self.logits_digest is not False


class ToleranceVerdict(Value):
    """A metric of a repeat against its tolerance."""

    metric: str
    a: float | None
    b: float | None
    modelled: tuple[Literal["a", "b"], ...] = ()
    """Which of the two come from a formula, and so judge nothing."""
    relative_difference: float | None
    """``(b - a) / a``."""
    tolerance: float
    """Largest relative difference, either way, of a repeat."""
    within: bool | None
    """``None``: it cannot be judged."""
    reason: str | None = None
    """Why not."""


class RepeatVerdict(Value):
    """Two executions of one plan and request, on one hardware and engine version, by builds of one arithmetic."""

    execution_a: str
    execution_b: str
    build: BuildAgreement = BuildAgreement()
    output: OutputAgreement
    metrics: tuple[ToleranceVerdict, ...]
    within_tolerances: bool | None
    """All metrics that can be judged; ``None`` where none can."""
    repeated: bool | None
    """Same output, within the tolerances; ``None`` where the output is the same and no metric can be judged."""


class MetricRatio(Value):
    """One metric of B as a part of A's."""

    metric: str
    a: float | None
    b: float | None
    modelled: tuple[Literal["a", "b"], ...] = ()
    """Which of the two come from a formula, and so rank nothing."""
    ratio: float | None
    """``b / a``."""
    better: Literal["a", "b"] | None
    """``None``: neither can be called better."""
    reason: str | None = None
    """Why there is no ratio, or none is better."""


class VariantComparison(Value):
    """Two executions of one request and model that differ in named fields of the plan alone."""

    execution_a: str
    execution_b: str
    differences: tuple[Difference, ...]
    """In the fields that were named, and in those that follow from them."""
    build: BuildAgreement = BuildAgreement()
    output: OutputAgreement
    ratios: tuple[MetricRatio, ...]
