"""What each sampler means, restated plainly: logits in floats, as they are kept, and all made of them in doubles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from engine import _core
from protocol.sampling import SAMPLERS

Scores = dict[int, np.float32]
"""Logits by token, of the tokens that may yet be drawn."""
MARGIN = 1e-4
"""Nearer to a threshold than this, rounding decides."""


class BorderlineError(Exception):
    """A candidate lies so near to a threshold that doubles and floats may differ about it."""


@dataclass(frozen=True)
class Options:
    order: tuple[str, ...] = SAMPLERS
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_last_n: int = 64
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_last_n: int = 65536
    dry_breakers: tuple[int, ...] = ()
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat_tau: float = 0.0
    mirostat_eta: float = 0.1
    logit_bias: dict[int, float] = field(default_factory=dict)

    def run(self, seed: int = 0, choice: int = 0) -> _core.SamplingRun:
        fields: dict[str, Any] = asdict(self)
        return _core.SamplingRun(_core.SamplingOptions(**fields, seed=seed), choice)


def distribution(
    logits: Sequence[float], options: Options, history: Sequence[int] = (), bound: float | None = None
) -> dict[int, float]:
    """The probability of every token that may be drawn; ``bound`` is Mirostat's, that of a first token by default."""
    chance = options.xtc_probability
    mixed: dict[int, float] = {}
    for excludes, weight in ((True, chance), (False, 1.0 - chance)):
        if weight == 0.0:
            continue
        scores = dict(enumerate(map(np.float32, logits)))
        for name in options.order:
            scores = _SAMPLERS[name](scores, options, history, excludes, bound)
        for token, share in shares(scores).items():
            mixed[token] = mixed.get(token, 0.0) + weight * share
    return mixed


def shares(scores: Mapping[int, float | np.float32]) -> dict[int, float]:
    largest = max(scores.values())
    weights = {token: math.exp(float(score) - float(largest)) for token, score in scores.items()}
    total = math.fsum(weights.values())
    return {token: weight / total for token, weight in weights.items()}


def by_likelihood(scores: Scores) -> list[int]:
    return sorted(scores, key=lambda token: (-scores[token], token))


def surprise(share: float) -> float:
    """Surprise in bits."""
    return -math.log2(share)


def _recent(options: Options, history: Sequence[int]) -> Sequence[int]:
    return history[-options.repeat_last_n :] if options.repeat_last_n else ()


def _bias(scores: Scores, options: Options, *_: object) -> Scores:
    return {token: score + np.float32(options.logit_bias.get(token, 0.0)) for token, score in scores.items()}


def _repeat(scores: Scores, options: Options, history: Sequence[int], *_: object) -> Scores:
    recent, penalty = _recent(options, history), np.float32(options.repeat_penalty)
    return {
        token: score if token not in recent else score / penalty if score > 0 else score * penalty
        for token, score in scores.items()
    }


def _presence(scores: Scores, options: Options, history: Sequence[int], *_: object) -> Scores:
    recent = _recent(options, history)
    penalty = np.float32(options.presence_penalty)
    return {token: score - penalty if token in recent else score for token, score in scores.items()}


def _frequency(scores: Scores, options: Options, history: Sequence[int], *_: object) -> Scores:
    recent = _recent(options, history)
    penalty = np.float32(options.frequency_penalty)
    return {token: score - penalty * np.float32(recent.count(token)) for token, score in scores.items()}


def _dry(scores: Scores, options: Options, history: Sequence[int], *_: object) -> Scores:
    if options.dry_multiplier == 0.0:
        return scores
    seen = history[-options.dry_last_n :]
    longest: dict[int, int] = {}
    for place in range(1, len(seen)):
        if seen[place] not in options.dry_breakers:
            length = repetition(seen, place, options.dry_breakers)
            longest[seen[place]] = max(length, longest.get(seen[place], 0))
    changed = dict(scores)
    for token, length in longest.items():
        if length >= options.dry_allowed_length and token in changed:
            power = float(np.float32(options.dry_base)) ** (length - options.dry_allowed_length)
            changed[token] -= np.float32(min(10_000.0, float(np.float32(options.dry_multiplier)) * power))
    return changed


def repetition(seen: Sequence[int], place: int, breakers: Sequence[int]) -> int:
    """How many tokens in front of ``place`` are those at the end, up to a breaker."""
    length = 0
    while length < place and seen[place - 1 - length] == seen[-1 - length] and seen[-1 - length] not in breakers:
        length += 1
    return length


def _top_k(scores: Scores, options: Options, *_: object) -> Scores:
    kept = by_likelihood(scores)[: options.top_k or None]
    return {token: scores[token] for token in kept}


def _top_p(scores: Scores, options: Options, *_: object) -> Scores:
    if options.top_p == 1.0:
        return scores
    return _first_up_to(by_likelihood(scores), scores, options.top_p)


def _min_p(scores: Scores, options: Options, *_: object) -> Scores:
    if options.min_p == 0.0:
        return scores
    largest = max(scores.values())
    relative = {token: math.exp(float(score) - float(largest)) for token, score in scores.items()}
    if any(score < largest and _near(relative[token], options.min_p) for token, score in scores.items()):
        raise BorderlineError
    return {token: score for token, score in scores.items() if relative[token] >= options.min_p}


def _typical(scores: Scores, options: Options, *_: object) -> Scores:
    if options.typical_p == 1.0:
        return scores
    all_shares = {token: share for token, share in shares(scores).items() if share > 0.0}
    entropy = math.fsum(-share * math.log(share) for share in all_shares.values())
    distance = {token: abs(-math.log(share) - entropy) for token, share in all_shares.items()}
    ranked = sorted(distance, key=lambda token: (round(distance[token], 9), -scores[token], token))
    for nearer, farther in itertools.pairwise(ranked):
        if scores[nearer] != scores[farther] and _near(distance[nearer], distance[farther]):
            raise BorderlineError
    return _first_up_to(ranked, scores, options.typical_p)


def _first_up_to(ranked: Sequence[int], scores: Scores, mass: float) -> Scores:
    all_shares = shares(scores)
    kept: Scores = {}
    total = 0.0
    for token in ranked:
        kept[token] = scores[token]
        total += all_shares[token]
        if _near(total, mass):
            raise BorderlineError
        if total >= mass:
            break
    return kept


def _xtc(scores: Scores, options: Options, _: Sequence[int], excludes: bool, *__: object) -> Scores:
    if not excludes or options.xtc_probability == 0.0:
        return scores
    all_shares = shares(scores)
    if any(_near(share, options.xtc_threshold) for share in all_shares.values()):
        raise BorderlineError
    top = [token for token in by_likelihood(scores) if all_shares[token] >= options.xtc_threshold]
    return {token: score for token, score in scores.items() if token not in top[:-1]}


def _temperature(scores: Scores, options: Options, *_: object) -> Scores:
    if options.temperature == 0.0:
        best = by_likelihood(scores)[0]
        return {best: scores[best]}
    if options.temperature == 1.0:
        return scores
    largest = max(scores.values())
    return {token: (score - largest) / np.float32(options.temperature) for token, score in scores.items()}


def _mirostat(
    scores: Scores, options: Options, _: Sequence[int], __: bool = False, bound: float | None = None
) -> Scores:
    if options.mirostat_tau == 0.0:
        return scores
    most = 2.0 * options.mirostat_tau if bound is None else bound
    all_shares = {token: share for token, share in shares(scores).items() if share > 0.0}
    if any(_near(surprise(share), most) for share in all_shares.values()):
        raise BorderlineError
    largest = max(scores.values())
    return {
        token: scores[token]
        for token, share in all_shares.items()
        if surprise(share) <= most or scores[token] == largest
    }


def _near(a: float, b: float) -> bool:
    return abs(a - b) < MARGIN * max(abs(a), abs(b), 1e-3)


_SAMPLERS: dict[str, Callable[..., Scores]] = {
    "logit_bias": _bias,
    "repeat_penalty": _repeat,
    "presence_penalty": _presence,
    "frequency_penalty": _frequency,
    "dry": _dry,
    "top_k": _top_k,
    "typical_p": _typical,
    "top_p": _top_p,
    "min_p": _min_p,
    "xtc": _xtc,
    "temperature": _temperature,
    "mirostat": _mirostat,
}
