"""What a plan is likely to give."""

from __future__ import annotations

from protocol.value import Value


class Prediction(Value):
    """Medians of recorded executions like it; ``None`` is not known."""

    executions: int
    """How many recorded ones it is drawn from."""
    prefill_tokens_per_sec: float | None = None
    decode_tokens_per_sec: float | None = None
    watts_avg: float | None = None
    tokens_per_watt: float | None = None
    reason: str = ""
    """Why nothing is known."""
