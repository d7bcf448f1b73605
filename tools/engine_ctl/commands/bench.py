"""``engine-ctl bench``: how fast a model runs here."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

import click

from engine_ctl.completions import QUANTIZATIONS, among
from engine_ctl.options import json_option, model_parameter
from engine_ctl.speculate_option import SPECULATE_FLAG

if TYPE_CHECKING:
    from engine_ctl.embedded import Throughput
    from protocol.plan import ExecutionPlan

_COUNT = click.IntRange(min=0, max=65_536)


@click.command(name="bench")
@model_parameter
@click.option("--prompt-tokens", type=_COUNT, default=512, help="Length of the prompt in tokens; 0 skips prefill.")
@click.option("--gen-tokens", type=_COUNT, default=128, help="Number of tokens to decode; 0 skips decoding.")
@click.option("--batch", type=click.IntRange(1, 256), default=1, help="Number of sequences that decode together.")
@click.option("--threads", type=int, help="Compute threads.  [default: every allowed CPU]")
@click.option("--backend", help="Kernels to compute with, as for run.  [default: the best this machine has]")
@click.option(
    "--quant",
    shell_complete=among(*QUANTIZATIONS),
    help=f"Types of the weights: {', '.join(QUANTIZATIONS)}.  [default: native]",
)
@click.option("--kv-cache", help="Type of keys and values: f16, q8_0.  [default: f16]")
@SPECULATE_FLAG
@click.option("--repetitions", type=click.IntRange(1, 1000), default=5, help="Number of samples of each figure.")
@json_option
def command(
    model: str,
    *,
    prompt_tokens: int,
    gen_tokens: int,
    batch: int,
    threads: int | None,
    backend: str | None,
    quant: str | None,
    kv_cache: str | None,
    speculate: dict[str, Any] | None,
    repetitions: int,
    as_json: bool,
) -> None:
    """Measure prefill and decoding in this process, without tokenization, sampling choices or a client.

    Prefill (pp) computes a prompt of random tokens in an empty context; decoding (tg) makes tokens one by one after it.
    """
    from engine_ctl.embedded import bench
    from engine_ctl.execution import parse_request

    if not prompt_tokens and not gen_tokens:
        raise click.UsageError("--prompt-tokens and --gen-tokens are both 0: nothing to measure.")
    given = {"threads": threads, "backend": backend, "quantization": quant, "kv_cache": kv_cache}
    # The plan must hold what is measured: it reserves the context, and refuses what memory does not hold.
    execution: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if speculate is not None:
        execution["speculation"] = speculate
    execution["context_length"] = prompt_tokens + gen_tokens + 64
    request = parse_request({"model": model, "prompt": "a", "execution": execution})
    plan, results = bench(
        request, prompt_tokens=prompt_tokens, gen_tokens=gen_tokens, sequences=batch, repetitions=repetitions
    )
    if as_json:
        click.echo(json.dumps({"plan": plan.model_dump(mode="json"), "results": [_content(each) for each in results]}))
        return
    _show(plan, results)


def _content(result: Throughput) -> dict[str, Any]:
    return {
        "test": _test(result),
        "sequences": result.work.sequences,
        "samples": list(result.rates),
        "median": statistics.median(result.rates),
        "min": min(result.rates),
        "max": max(result.rates),
        "unit": "tokens/s",
        "limit": result.limit,
        "limited_by": result.limited_by,
        "share_of_limit": None if result.limit is None else statistics.median(result.rates) / result.limit,
    }


def _test(result: Throughput) -> str:
    work = result.work
    name = f"pp{work.prompt}" if work.is_prefill else f"tg{work.generated}"
    return name if work.sequences == 1 else f"{name} x {work.sequences}"


def _show(plan: ExecutionPlan, results: list[Throughput]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("test", "kernel path", "threads", "tokens/s", "spread", "share of"):
        table.add_column(column, justify="left" if column in {"test", "kernel path", "share of"} else "right")
    for result in results:
        median = statistics.median(result.rates)
        spread = (max(result.rates) - min(result.rates)) / 2
        share = "-" if result.limit is None else f"{median / result.limit:.0%} {result.limited_by}"
        table.add_row(_test(result), plan.backend, str(plan.threads), f"{median:,.1f}", f"± {spread:,.1f}", share)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{plan.model_ref.name} · {plan.quantization} · {len(results[0].rates)} repetitions")
    console.print(table)
