"""How likely the model held a token, before any sampler."""

from __future__ import annotations

from protocol.value import Value

MAX_RECORDED_LOGPROBS = 4096
"""Log probabilities that a record keeps in all; the stream has every one."""


class TokenLogprob(Value):
    """A token's log probability."""

    token_id: int
    logprob: float
    """Natural logarithm of the probability, by the model's own logits."""


class DrawnLogprobs(TokenLogprob):
    """Log probabilities of the token drawn and of the likeliest."""

    top: tuple[TokenLogprob, ...]
    """The likeliest first, of equals the lower id."""


def recorded_tokens(logprobs: int, n: int) -> int:
    """For how many tokens of each of ``n`` choices a record keeps log probabilities, with ``logprobs`` alternatives."""
    return MAX_RECORDED_LOGPROBS // ((1 + logprobs) * n)
