"""How tokens are drawn. Each sampler's formula: docs/sampling.md."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from protocol.value import Value

SamplerName = Literal[
    "logit_bias",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "dry",
    "top_k",
    "typical_p",
    "top_p",
    "min_p",
    "xtc",
    "temperature",
    "mirostat",
]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
"""All of them, in the order that a request gets which names none."""
MAX_LOGIT_BIASES = 1024
MAX_TOP_LOGPROBS = 20

TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
LogprobCount = Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)]


class LogitBias(Value):
    """A number added to one token's logit."""

    token_id: TokenId
    bias: Annotated[float, Field(ge=-10_000.0, le=10_000.0)]
    """Added to the token's logit. The least keeps it from being drawn at any temperature."""


class Sampling(Value):
    """Samplers and their numbers. One whose number is at its default is off, wherever it stands in the order.

    ``temperature`` 0 is greedy: it keeps the likeliest token alone, which ``top_k``, ``top_p`` and ``min_p`` never
    drop.
    """

    order: tuple[SamplerName, ...] = SAMPLERS
    """What is done to the candidates, one after the other."""
    temperature: Annotated[float, Field(ge=0.0, le=100.0)] = 0.0
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """0 keeps every token."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    typical_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    repeat_penalty: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    """Positive logits of recent tokens are divided by it, negative ones multiplied; 1 is off."""
    presence_penalty: Annotated[float, Field(ge=-100.0, le=100.0)] = 0.0
    """Taken from the logits of recent tokens; 0 is off."""
    frequency_penalty: Annotated[float, Field(ge=-100.0, le=100.0)] = 0.0
    """Taken as often as the token is among the recent ones; 0 is off."""
    repeat_last_n: Annotated[int, Field(ge=0, le=65536)] = 64
    """How many tokens of prompt and answer are recent, for the three penalties."""
    dry_multiplier: Annotated[float, Field(ge=0.0, le=100.0)] = 0.0
    """0 is off."""
    dry_base: Annotated[float, Field(ge=1.0, le=100.0)] = 1.75
    dry_allowed_length: Annotated[int, Field(ge=1, le=65536)] = 2
    """Repetitions shorter than this are not penalized."""
    dry_last_n: Annotated[int, Field(ge=1, le=65536)] = 65536
    """How many tokens of prompt and answer are searched for repetitions."""
    dry_breakers: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(max_length=64)] = (
        "\n",
        ":",
        '"',
        "*",
    )
    """Texts of single tokens: no repetition goes beyond one."""
    xtc_probability: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """0 is off."""
    xtc_threshold: Annotated[float, Field(gt=0.0, le=0.5)] = 0.1
    mirostat_tau: Annotated[float, Field(ge=0.0, le=100.0)] = 0.0
    """The surprise aimed at, in bits; 0 is off."""
    mirostat_eta: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    logit_bias: Annotated[tuple[LogitBias, ...], Field(max_length=MAX_LOGIT_BIASES)] = ()
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0

    @field_validator("order")
    @classmethod
    def _no_sampler_twice(cls, order: tuple[SamplerName, ...]) -> tuple[SamplerName, ...]:
        for name in order:
            if order.count(name) > 1:
                raise ValueError(f"{name} is in it twice")
        return order

    @field_validator("logit_bias")
    @classmethod
    def _one_bias_a_token(cls, biases: tuple[LogitBias, ...]) -> tuple[LogitBias, ...]:
        seen: set[int] = set()
        for bias in biases:
            if bias.token_id in seen:
                raise ValueError(f"token {bias.token_id} has two biases")
            seen.add(bias.token_id)
        return biases


class PlanSampling(Sampling):
    """A request's :class:`Sampling`, with its DRY breakers in tokens."""

    dry_breaker_token_ids: tuple[int, ...]
    """Every token that prints just one of the breakers, sorted; empty where DRY is off."""
