"""The bound of a number of pairs that was fixed beforehand, by resampling: to compare the other bounds with.

It is the percentile method of ``scipy.stats.bootstrap``, one-sided. Its confidence is approximate, and holds for one
look alone: of few pairs it errs more often than it says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

RESAMPLES = 2000


def bootstrap_lower_bound(differences: Sequence[float], alpha: float, seed: int) -> float:
    """What the median is above, with confidence ``1 - alpha``, if this was the only look. At least two differences."""
    found = stats.bootstrap(
        (np.asarray(differences, dtype=float),),
        np.median,
        confidence_level=1.0 - alpha,
        alternative="greater",
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low)
