"""A plan in the words of llama-server: ``generation_settings``."""

from __future__ import annotations

from typing import Any

from protocol.plan import ExecutionPlan
from protocol.sampling import LogitBias

BANNED = -10_000.0
"""The bias that keeps a token from being drawn at any temperature."""
_SAMPLERS = {
    "repeat_penalty": "penalties",
    "dry": "dry",
    "top_k": "top_k",
    "typical_p": "typ_p",
    "top_p": "top_p",
    "min_p": "min_p",
    "xtc": "xtc",
    "temperature": "temperature",
}
_ABSENT = {
    "dynatemp_range": 0.0,
    "dynatemp_exponent": 1.0,
    "top_n_sigma": -1.0,
    "adaptive_target": -1.0,
    "adaptive_decay": 0.0,
    "n_keep": 0,
    "n_discard": 0,
    "min_keep": 0,
}
"""What this engine does not have, at the numbers by which llama-server says that it is off."""


def generation_settings(plan: ExecutionPlan, *, stream: bool) -> dict[str, Any]:
    """What an execution is drawn by."""
    sampling = plan.sampling
    names = ("seed", "temperature", "top_k", "top_p", "min_p", "typical_p", "xtc_probability", "xtc_threshold")
    penalties = ("repeat_last_n", "repeat_penalty", "presence_penalty", "frequency_penalty")
    dry = ("dry_multiplier", "dry_base", "dry_allowed_length", "mirostat_tau", "mirostat_eta")
    return {
        **{name: getattr(sampling, name) for name in (*names, *penalties, *dry)},
        **_ABSENT,
        "n_predict": plan.limits.max_tokens,
        "max_tokens": plan.limits.max_tokens,
        "n_ctx": plan.batch.context_length,
        "dry_penalty_last_n": sampling.dry_last_n,
        "dry_sequence_breakers": sampling.dry_breakers,
        "mirostat": 2 if sampling.mirostat_tau else 0,
        "stop": plan.stop.strings,
        "ignore_eos": not plan.stop.eos,
        "stream": stream,
        "n_probs": plan.logprobs or 0,
        "grammar": "" if plan.grammar is None else plan.grammar.text,
        "samplers": [_SAMPLERS[name] for name in sampling.order if name in _SAMPLERS],
        "logit_bias": [_told(bias) for bias in sampling.logit_bias],
        "cache_prompt": plan.prefix_cache == "on",
    }


def sampler_order(samplers: tuple[str, ...]) -> list[str]:
    """The engine's samplers in the order that llama-server's names give; names that it lacks are left out."""
    order = ["logit_bias"]
    for ours, theirs in ((ours, theirs) for asked in samplers for ours, theirs in _SAMPLERS.items() if theirs == asked):
        order += ("repeat_penalty", "presence_penalty", "frequency_penalty") if theirs == "penalties" else (ours,)
    return list(dict.fromkeys(order))


def _told(bias: LogitBias) -> dict[str, Any]:
    """``null`` is what JSON makes of minus infinity there."""
    return {"token": bias.token_id, "bias": None if bias.bias <= BANNED else bias.bias}
