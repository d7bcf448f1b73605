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
    click.option("--temperature", type=float, help="0 is greedy.  [default: 0]"),
    click.option("--top-k", type=int, help="Keep the k likeliest tokens; 0 keeps all.  [default: 0]"),
    click.option("--top-p", type=float, help="Keep the likeliest tokens up to this mass.  [default: 1]"),
    click.option("--min-p", type=float, help="Drop tokens below this share of the likeliest.  [default: 0]"),
    click.option("--typical-p", type=float, help="Keep the most typical tokens up to this mass.  [default: 1]"),
    click.option("--repeat-penalty", type=float, help="Penalise recent tokens; 1 is off.  [default: 1]"),
    click.option("--presence-penalty", type=float, help="Take this from recent tokens' logits.  [default: 0]"),
    click.option("--frequency-penalty", type=float, help="Take this for each time they came.  [default: 0]"),
    click.option("--repeat-last-n", type=int, help="How many tokens are recent, for the penalties.  [default: 64]"),
    click.option(
        "--dry-multiplier", type=float, help="Penalise what makes repetitions longer; 0 is off.  [default: 0]"
    ),
    click.option("--dry-base", type=float, help="How the penalty grows with a repetition.  [default: 1.75]"),
    click.option("--dry-allowed-length", type=int, help="Shorter repetitions are free.  [default: 2]"),
    click.option("--dry-breaker", multiple=True, metavar="TEXT", help="No repetition goes beyond; several times."),
    click.option("--xtc-probability", type=float, help="How often to exclude top choices; 0 is off.  [default: 0]"),
    click.option("--xtc-threshold", type=float, help="What counts as a top choice.  [default: 0.1]"),
    click.option("--mirostat-tau", type=float, help="Surprise to aim at, in bits; 0 is off.  [default: 0]"),
    click.option("--mirostat-eta", type=float, help="How fast Mirostat corrects itself.  [default: 0.1]"),
    click.option("--logit-bias", multiple=True, metavar="ID=BIAS", help="Add this to a token's logit; several times."),
    click.option(
        "--samplers", metavar="NAMES", help="Their order, with commas between.  [default: see docs/sampling.md]"
    ),
    click.option("--seed", type=int, help="Same seed, same draw.  [default: 0]"),
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
