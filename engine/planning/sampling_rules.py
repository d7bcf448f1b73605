"""What a request asks of the samplers, checked and made part of a plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.text.tokenizer import Tokenizer
from protocol.errors import InvalidPlan, InvalidRequest
from protocol.sampling import PlanSampling, SamplerName, Sampling

_SWITCHES: Final[Mapping[SamplerName, tuple[str, object]]] = {
    "logit_bias": ("logit_bias", ()),
    "repeat_penalty": ("repeat_penalty", 1.0),
    "presence_penalty": ("presence_penalty", 0.0),
    "frequency_penalty": ("frequency_penalty", 0.0),
    "dry": ("dry_multiplier", 0.0),
    "top_k": ("top_k", 0),
    "typical_p": ("typical_p", 1.0),
    "top_p": ("top_p", 1.0),
    "min_p": ("min_p", 0.0),
    "xtc": ("xtc_probability", 0.0),
    "temperature": ("temperature", 1.0),
    "mirostat": ("mirostat_tau", 0.0),
}
"""The field that switches each sampler, and its value that changes nothing."""
_DROPPING: Final[tuple[SamplerName, ...]] = ("top_k", "typical_p", "top_p", "min_p", "xtc")


def check_sampling(sampling: Sampling) -> None:
    """Refuse what cannot be drawn by, or would be left out.

    Raises:
        InvalidPlan: a sampler is on and not in the order; or Mirostat is on and not the last, or beside a temperature
            of 0 or another sampler that drops candidates.
    """
    for name, (field, _) in _SWITCHES.items():
        if name not in sampling.order and _is_on(sampling, name):
            value = getattr(sampling, field)
            raise _refusal(f"sampling.{field} is {value!r}, and sampling.order leaves {name} out", "order")
    if not _is_on(sampling, "mirostat"):
        return
    if sampling.order[-1] != "mirostat":
        raise _refusal(f"mirostat must be the last of sampling.order, which ends with {sampling.order[-1]}", "order")
    if sampling.temperature == 0.0:
        raise _refusal("mirostat has nothing to draw from at a sampling.temperature of 0", "temperature")
    for name in _DROPPING:
        if _is_on(sampling, name):
            field = _SWITCHES[name][0]
            raise _refusal(f"mirostat drops candidates in its own way: leave sampling.{field} out", field)


def breaker_token_ids(sampling: Sampling, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Every token that prints just one of DRY's breakers, sorted; none where DRY is off.

    Raises:
        InvalidRequest: a breaker is not the text of a single token.
    """
    if not _is_on(sampling, "dry"):
        return ()
    found = tokenizer.printing(sampling.dry_breakers)
    for index, text in enumerate(sampling.dry_breakers):
        if text not in found:
            raise InvalidRequest(
                f"no single token of this model prints {text!r}; choose sampling.dry_breakers that one prints",
                field=f"execution.sampling.dry_breakers.{index}",
                value=text,
            )
    return tuple(sorted({token_id for token_ids in found.values() for token_id in token_ids}))


def plan_sampling(sampling: Sampling, vocab_size: int, breaker_token_ids: tuple[int, ...]) -> PlanSampling:
    """The plan's part. Raises InvalidRequest: a bias of a token that the vocabulary does not have."""
    for index, bias in enumerate(sampling.logit_bias):
        if bias.token_id >= vocab_size:
            raise InvalidRequest(
                f"no token {bias.token_id}; this vocabulary has ids 0 to {vocab_size - 1}",
                field=f"execution.sampling.logit_bias.{index}.token_id",
                value=bias.token_id,
                maximum=vocab_size - 1,
            )
    return PlanSampling(**dict(sampling), dry_breaker_token_ids=breaker_token_ids)


def logprob_count(asked: bool | int | None) -> int | None:
    """How many alternatives get a log probability; ``None``: no token does. ``True`` asks for no alternatives."""
    if isinstance(asked, bool):
        return 0 if asked else None
    return asked


def _is_on(sampling: Sampling, name: SamplerName) -> bool:
    field, off = _SWITCHES[name]
    return bool(getattr(sampling, field) != off)


def _refusal(sentence: str, field: str) -> InvalidPlan:
    return InvalidPlan(sentence, field=f"execution.sampling.{field}")
