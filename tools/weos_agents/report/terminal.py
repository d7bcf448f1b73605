"""What agents found, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from weos_agents.observer import Observed
from weos_agents.report.next_steps import outcome
from weos_agents.report.observation_rows import COLUMNS, figure_row
from weos_agents.report.optimization_report import OptimizationReport, headline, subtitle, summary_rows, title
from weos_agents.report.proof_rows import figure_rows, further, guardrail_rows, rejection, sureness


def observation_view(observed: Observed) -> Group:
    """The figures of every plan, and the latest findings."""
    findings = [Text(f"{one.at[:19]} {one.kind}: {one.model}: {one.found}") for one in observed.findings[-5:]]
    return Group(_table(COLUMNS, map(figure_row, observed.plans)), *findings)


def optimization_view(report: OptimizationReport) -> Group:
    """The outcome, how sure it is and what it cost."""
    found = report.optimization
    parts: list[RenderableType] = [
        Text(title(report), style="bold underline"),
        Text(subtitle(report)),
        *map(Text, filter(None, (found.kpi_note, report.remark))),
        Text(),
        Text(headline(report), style="bold"),
        Text(outcome(report.applied, proved=report.proof is not None)),
        Text(),
        _table(("", ""), summary_rows(report), headed=False),
    ]
    if reasons := (*rejection(report), *further(report)):
        parts += [Text(), Text("why it was rejected, and how to know more:"), *(Text(f"- {one}") for one in reasons)]
    if figures := figure_rows(report):
        parts += [Text(), _table(("figure", "before", "after", "change"), figures)]
    if limits := guardrail_rows(report):
        parts += [Text(), _table(("limit", "verdict", "why"), limits)]
    parts += [Text(), *map(Text, sureness(report))]
    return Group(*parts)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], *, headed: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, show_header=headed)
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
