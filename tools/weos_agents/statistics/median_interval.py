"""An interval of a median by order statistics: it needs no model of the noise, and is to be looked at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

CONFIDENCE: Final = 0.95
"""How often it holds the median, at least; six differences are the least for that."""


def median_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """The narrowest symmetric pair of order statistics that is sure enough; ``None``: there are too few."""
    count, below, found = len(differences), 0, None
    ordered = sorted(differences)
    for rank in range(1, count // 2 + 1):
        below += math.comb(count, rank - 1)
        if 1 - 2 * below / 2**count < CONFIDENCE:
            break
        found = (ordered[rank - 1], ordered[-rank])
    return found
