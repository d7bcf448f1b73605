"""The flags that say how tokens are drawn."""

from __future__ import annotations

from typing import Any

import click

Content = dict[str, Any]

_SAMPLING = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "repeat_last_n",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "xtc_probability",
    "xtc_threshold",
    "mirostat_tau",
    "mirostat_eta",
    "seed",
)

SAMPLING_FLAGS = (
    click.option("--temperature", type=float, help="Randomness of the draw; 0 is greedy.  [default: 0]"),
    click.option("--top-k", type=int, help="Keep the K likeliest tokens; 0 keeps all.  [default: 0]"),
    click.option("--top-p", type=float, help="Keep the likeliest tokens up to this total probability.  [default: 1]"),
    click.option(
        "--min-p", type=float, help="Drop tokens below this fraction of the likeliest's probability.  [default: 0]"
    ),
    click.option(
        "--typical-p", type=float, help="Keep the most typical tokens up to this total probability.  [default: 1]"
    ),
    click.option("--repeat-penalty", type=float, help="Divide recent tokens' logits by this; 1 is off.  [default: 1]"),
    click.option(
        "--presence-penalty", type=float, help="Subtract this from recent tokens' logits, once.  [default: 0]"
    ),
    click.option(
        "--frequency-penalty", type=float, help="Subtract this for each recent occurrence of a token.  [default: 0]"
    ),
    click.option(
        "--repeat-last-n", type=int, help="Number of recent tokens that the penalties look at.  [default: 64]"
    ),
    click.option(
        "--dry-multiplier", type=float, help="Penalise tokens that lengthen a repetition; 0 is off.  [default: 0]"
    ),
    click.option("--dry-base", type=float, help="Growth of the DRY penalty with each repeated token.  [default: 1.75]"),
    click.option(
        "--dry-allowed-length", type=int, help="Longest repetition without a penalty, in tokens.  [default: 2]"
    ),
    click.option("--dry-breaker", multiple=True, metavar="TEXT", help="Text that ends a repetition; repeatable."),
    click.option(
        "--xtc-probability", type=float, help="Probability of excluding the top tokens; 0 is off.  [default: 0]"
    ),
    click.option(
        "--xtc-threshold", type=float, help="Probability from which a token counts as a top one.  [default: 0.1]"
    ),
    click.option("--mirostat-tau", type=float, help="Target surprise in bits; 0 turns Mirostat off.  [default: 0]"),
    click.option("--mirostat-eta", type=float, help="Learning rate of Mirostat.  [default: 0.1]"),
    click.option(
        "--logit-bias", multiple=True, metavar="ID=BIAS", help="Add BIAS to the logit of token ID; repeatable."
    ),
    click.option(
        "--samplers", metavar="NAMES", help="Order of the samplers, comma-separated.  [default: see docs/sampling.md]"
    ),
    click.option("--seed", type=int, help="Seed of the random numbers; equal seeds draw equal tokens.  [default: 0]"),
)


def sampling_content(flags: Content) -> Content:
    """The fields of ``sampling`` that were given. Raises click.UsageError: a bias that is not ``ID=BIAS``."""
    given = {name: flags[name] for name in _SAMPLING if flags[name] is not None}
    if flags["samplers"] is not None:
        given["order"] = tuple(name.strip() for name in flags["samplers"].split(",") if name.strip())
    if flags["dry_breaker"]:
        given["dry_breakers"] = tuple(flags["dry_breaker"])
    if flags["logit_bias"]:
        given["logit_bias"] = tuple(map(_bias, flags["logit_bias"]))
    return given


def _bias(text: str) -> Content:
    token_id, _, bias = text.partition("=")
    try:
        return {"token_id": int(token_id), "bias": float(bias)}
    except ValueError as error:
        raise click.UsageError(f"--logit-bias takes ID=BIAS, such as 42=-1.5, not {text!r}.") from error
