"""``engine-ctl metrics``: what the engine on the socket counts and measures over all it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.energy_figure import marked
from engine_ctl.options import json_option, socket_option

if TYPE_CHECKING:
    from protocol.answers import MetricsReport
    from protocol.metric_family import HistogramSample


@click.command(name="metrics")
@click.option("--prometheus", is_flag=True, help="Print the text format of Prometheus, version 0.0.4.")
@socket_option
@json_option
def command(socket: Path | None, prometheus: bool, as_json: bool) -> None:
    """Show counters, times and gauges since the engine started."""
    from protocol.requests import Metrics

    if prometheus and as_json:
        raise click.UsageError("--prometheus and --json are two formats: give one.")
    from engine_ctl.connection import ANSWER_S
    from protocol.blocking import BlockingClient

    with BlockingClient.connect(socket, ANSWER_S) as client:
        report = client.ask(Metrics())
    if prometheus:
        click.echo(report.exposition, nl=False)
    elif as_json:
        click.echo(report.model_dump_json(include={"families"}))
    else:
        for line in lines(report):
            click.echo(line)


def lines(report: MetricsReport) -> list[str]:
    """The report for a person: one sample a line, in columns as wide as their longest cell."""
    table = rows(report)
    widths = [max(len(row[column]) for row in table) for column in (0, 1)]
    return [f"{name:{widths[0]}}  {labels:{widths[1]}}  {value}" for name, labels, value in table]


def rows(report: MetricsReport) -> list[tuple[str, str, str]]:
    """(metric, labels, value) of every sample; a histogram's value is what its observations come to."""
    return [
        row
        for family in report.families
        for row in (
            *(
                (family.name, _labels(each.labels), marked(_figure(each.value), each.labels.get("kind", "")))
                for each in family.samples
            ),
            *((family.name, _labels(each.labels), describe(each)) for each in family.histograms),
        )
    ]


def describe(histogram: HistogramSample) -> str:
    """How many observations, their mean, and bounds that half and 95 % of them do not exceed."""
    if not histogram.count:
        return "n = 0"
    mean = histogram.sum / histogram.count
    bounds = ", ".join(f"p{percent} {_bound(histogram, percent)}" for percent in (50, 95))
    return f"n = {histogram.count:,}, mean {mean:.3g}, {bounds}"


def _bound(histogram: HistogramSample, percent: int) -> str:
    """The smallest bucket bound at or below which a part of the observations lies."""
    below = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        below += count
        if below * 100 >= histogram.count * percent:
            return f"≤ {bound:g}"
    return f"> {histogram.bounds[-1]:g}"


def _labels(labels: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in labels.items())


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"
