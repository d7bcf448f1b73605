"""How well a model predicts a text, and how far its predictions depart from those of another."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from protocol.plan import PositiveInt
from protocol.prefill_request import PrefillRequest
from protocol.quantization import QuantizationName
from protocol.value import Fraction, NonNegative, Value


class Comparison(Value):
    """A model against its base, on the same positions. Divergences are Kullback-Leibler, of the model's distribution
    over the vocabulary from the base's, in nats. A percentile is the least divergence that so many positions do not
    exceed.
    """

    base_perplexity: float
    base_perplexity_error: NonNegative
    log_perplexity_difference: float
    """ln(perplexity) - ln(base_perplexity)."""
    log_perplexity_difference_error: NonNegative
    """Standard error of the paired differences: both have met the same tokens."""
    divergence_mean: NonNegative
    divergence_error: NonNegative
    divergence_p50: NonNegative
    divergence_p90: NonNegative
    divergence_p99: NonNegative
    divergence_p999: NonNegative
    divergence_max: NonNegative
    same_best: Fraction
    """The part of positions with the same most probable token."""
    same_best_error: NonNegative


class EvaluationRequest(PrefillRequest):
    """Read a text window by window, each from an empty context, and score the second half of each."""

    text: Annotated[str, Field(min_length=1)]
    against: QuantizationName | None = None
    """A quantization of the model: how far the predictions depart from its. Where only ``against_kv_cache`` is
    there, the request's own."""
    against_kv_cache: str | None = None
    """The type of KV cache of what the predictions are compared with; the default is the request's own."""
    window: Annotated[int, Field(ge=8, le=512)] | None = None
    """Tokens; the default is the customary 512, or a shorter context's length."""
    max_windows: PositiveInt | None = None
    """Most windows to read, from the text's beginning."""


class TextQuality(Value):
    """Errors are standard errors, of positions taken as independent."""

    positions: Annotated[int, Field(ge=2)]
    """How many predictions the figures are of."""
    perplexity: float
    """exp of the mean negative logarithm of the probabilities that the text's own tokens were given."""
    perplexity_error: NonNegative
    against_base: Comparison | None
    """None where there was no base."""
