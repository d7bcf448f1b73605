"""The formula that a modelled joule is computed by."""

from __future__ import annotations

from protocol.plan import PositiveFloat
from protocol.value import NonNegative, Value


class PowerCurve(Value):
    """watts = ``idle_watts`` + ``busy_watts`` * busy CPUs."""

    idle_watts: NonNegative
    busy_watts: PositiveFloat
    """Watts of one more busy CPU, at its highest frequency where that is known."""
    rel_error: NonNegative
    """How far watts of the curve may be from what is measured, as a part of them."""
