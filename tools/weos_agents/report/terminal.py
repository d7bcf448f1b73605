"""What agents found, for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from weos_agents.observer import Observed
from weos_agents.report.observation_rows import COLUMNS, figure_row
from weos_agents.report.optimization_report import (
    OptimizationReport,
    change_rows,
    cost,
    figure_rows,
    guardrail_rows,
    headline,
    outcome,
    sureness,
)


def observation_view(observed: Observed) -> Group:
    """The figures of every plan, and the latest findings."""
    findings = [Text(f"{one.at[:19]} {one.kind}: {one.model}: {one.found}") for one in observed.findings[-5:]]
    return Group(_table(COLUMNS, map(figure_row, observed.plans)), *findings)


def optimization_view(report: OptimizationReport) -> Group:
    """The outcome, how sure it is and what it cost."""
    return Group(
        Text(headline(report), style="bold"),
        *((Text(report.optimization.kpi_note),) if report.optimization.kpi_note else ()),
        *((_table(("changed", "before", "after"), rows),) if (rows := change_rows(report)) else ()),
        *((_table(("figure", "before", "after", "change"), figures),) if (figures := figure_rows(report)) else ()),
        *(Text(told) for told in sureness(report)),
        *((_table(("guardrail", "verdict", "why"), kept),) if (kept := guardrail_rows(report)) else ()),
        Text(cost(report)),
        Text(outcome(report)),
    )


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
