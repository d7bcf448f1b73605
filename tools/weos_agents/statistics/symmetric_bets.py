"""Bounds on the centre of paired differences that hold at every moment, however often one looks and whenever one stops.

A difference of two interleaved runs under one plan is symmetric about 0: which of them came first is exchangeable. Bets
on its sign are therefore fair, whatever its spread and however heavy its tails. For a centre ``m``, the capital of a
player who bets a part ``k tanh((x - m) / s)`` of it on each difference ``x`` is

    E_s(m) = prod over x of (1 + k tanh((x - m) / s)),

a nonnegative martingale where the differences are symmetric about ``m``, and a supermartingale where their centre is
below. By Ville's inequality it ever reaches ``1 / alpha`` with probability ``alpha`` at most, and so does the mean over
several ``s``, which saves choosing one. The bound is the largest ``m`` that the capital has refuted.

A plan that is slower whenever it is first does not spoil that. Pairs take turns, so that such an effect has another
sign every time, and (1 + a)(1 - a) is below 1: over two pairs the capital can only fall by it.

Sources: A. Ramdas, P. Grünwald, V. Vovk, G. Shafer, "Game-theoretic statistics and safe anytime-valid inference"
(arXiv:2210.01948), of capital as a test martingale and Ville's inequality; V. Vovk, R. Wang, "Nonparametric e-tests of
symmetry" (arXiv:2208.08925), and A. Ramdas, J. Ruf, M. Larsson, W. Koolen, "Admissible anytime-valid sequential
inference must rely on nonnegative martingales" (arXiv:2009.03167), of evidence against symmetry; R. Johari,
L. Pekelis, D. J. Walsh, "Always valid inference: bringing sequential analysis to A/B testing" (arXiv:1512.04922),
of experiments that are looked at as they run. The bounded bet ``k tanh(x / s)`` is this module's own: it is fair since
it is odd.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

SCALES: Final = (0.005, 0.01, 0.02, 0.04, 0.08)
"""Scales of bets, in the unit of the differences: for log ratios from half a percent on."""
STAKE: Final = 0.8
"""The most that is bet on one difference, so that an outlier leaves a fifth of the capital."""
_ACCURACY: Final = 1e-6


def log_e_value(differences: Sequence[float], centre: float) -> float:
    """The logarithm of the evidence, at its highest, that the differences' centre is above ``centre``; 0 without any.

    The differences are in the order in which they came: evidence that was enough once stays so.
    """
    return _log_capital(np.asarray(differences, dtype=float), centre)


def _log_capital(differences: NDArray[np.float64], centre: float) -> float:
    bets = STAKE * np.tanh((differences[:, None] - centre) / np.asarray(SCALES))
    by_scale = np.cumsum(np.log1p(bets), axis=0)
    capital = np.logaddexp.reduce(by_scale, axis=1) - math.log(len(SCALES))
    return float(capital.max(initial=0.0))


def lower_bound(differences: Sequence[float], alpha: float) -> float | None:
    """What the centre is above, with confidence ``1 - alpha`` at every moment; ``None``: too few differences for that.

    A difference multiplies the capital by 1.8 at most, so that 95 % need 6 of them.
    """
    return _bound(np.asarray(differences, dtype=float), math.log(1.0 / alpha))


def upper_bound(differences: Sequence[float], alpha: float) -> float | None:
    """What the centre is below, in the same way."""
    bound = _bound(-np.asarray(differences, dtype=float), math.log(1.0 / alpha))
    return None if bound is None else -bound


def _bound(differences: NDArray[np.float64], needed: float) -> float | None:
    """The capital falls with the centre, so that the largest refuted one is found by halving."""
    if len(differences) * math.log1p(STAKE) <= needed:
        return None
    low, high = float(differences.min()) - 1.0, float(differences.max())
    while _log_capital(differences, low) < needed:
        low -= high - low  # ends: far below, every bet is won
    while high - low > _ACCURACY:
        middle = (low + high) / 2.0
        low, high = (middle, high) if _log_capital(differences, middle) >= needed else (low, middle)
    return low
