"""``engine-ctl eval``: what a quantization costs in quality."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.answer_output import show_answer
from engine_ctl.completions import QUANTIZATIONS, among
from engine_ctl.options import json_option, model_parameter, socket_option
from engine_ctl.text_source import read_text

if TYPE_CHECKING:
    from protocol.operation_answers import Evaluated


@click.command(name="eval")
@model_parameter
@click.option("--text", "text_file", required=True, metavar="FILE", help="Text to predict; - is standard input.")
@click.option(
    "--quant",
    shell_complete=among(*QUANTIZATIONS),
    default="native",
    help=f"Types of the weights: {', '.join(QUANTIZATIONS)}.  [default: native]",
)
@click.option(
    "--against",
    shell_complete=among(*QUANTIZATIONS),
    help="Quantization of the same model to compare the predictions with.",
)
@click.option(
    "--backend", help="Kernels to compute with; all give the same figures.  [default: the best this machine has]"
)
@click.option("--kv-cache", default="f16", help="Type of keys and values: f16, q8_0.  [default: f16]")
@click.option(
    "--against-kv-cache", help="Type of keys and values to compare the predictions with.  [default: the same]"
)
@click.option("--threads", type=int, help="Compute threads.  [default: every allowed CPU]")
@click.option("--window", type=click.IntRange(8, 512), help="Tokens in a window.  [default: 512, or the context]")
@click.option("--max-windows", type=click.IntRange(min=1), help="Stop after this many windows.")
@socket_option
@json_option
def command(
    model: str,
    text_file: str,
    *,
    quant: str,
    against: str | None,
    backend: str | None,
    kv_cache: str,
    against_kv_cache: str | None,
    threads: int | None,
    window: int | None,
    max_windows: int | None,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Measure how well MODEL predicts a text, and how far two quantizations, or types of KV cache, differ.

    The text is read window by window, each from an empty context, and the second half of each is scored: perplexity,
    and with --against or --against-kv-cache the Kullback-Leibler divergence of every prediction.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.execution import parse_evaluation
    from engine_ctl.progress_bar import ProgressBar
    from protocol.requests import Evaluate

    request = parse_evaluation(
        {
            "model": model,
            "text": read_text(text_file),
            "quantization": quant,
            "against": against,
            "backend": backend,
            "kv_cache": kv_cache,
            "against_kv_cache": against_kv_cache,
            "threads": threads,
            "window": window,
            "max_windows": max_windows,
        }
    )
    with connect_or_embed(socket) as client, ProgressBar(quiet=as_json) as bar:
        evaluated = bar.ask(client, Evaluate(request=request))
    show_answer(evaluated, lines(evaluated), as_json=as_json)


def lines(evaluated: Evaluated) -> list[str]:
    """The figures for a person: one fact a line."""
    quality, plan = evaluated.quality, evaluated.plan
    told = [
        f"{plan.model_ref.name} · {plan.quantization} · {plan.backend} · {evaluated.windows} windows of "
        f"{evaluated.window} tokens, {quality.positions:,} predictions, {evaluated.duration_s:,.1f} s",
        f"perplexity        {quality.perplexity:.4f} ± {quality.perplexity_error:.4f}",
    ]
    against = quality.against_base
    if against is None or evaluated.against is None:
        return told
    base, cache = evaluated.against.quantization, evaluated.against.kv_cache
    whose = base if cache == plan.kv_cache else f"{base}, {cache} cache"
    return [
        *told,
        f"of {whose:14} {against.base_perplexity:.4f} ± {against.base_perplexity_error:.4f}",
        f"ln of the ratio   {against.log_perplexity_difference:+.5f} ± {against.log_perplexity_difference_error:.5f}",
        f"KL divergence     {against.divergence_mean:.6f} ± {against.divergence_error:.6f} nats on average",
        f"  median, p90, p99, p99.9, largest  {against.divergence_p50:.6f} {against.divergence_p90:.6f} "
        f"{against.divergence_p99:.6f} {against.divergence_p999:.6f} {against.divergence_max:.6f}",
        f"same best token   {against.same_best:.2%} ± {against.same_best_error:.2%}",
    ]
