"""The page of an observation. Pure but for its picture."""

from __future__ import annotations

from weos_agents.observer import Observed
from weos_agents.report import page
from weos_agents.report.observation_rows import COLUMNS, figure_row
from weos_agents.report.plots import history_picture


def observation_page(observed: Observed) -> str:
    """The page."""
    findings = [(one.at[:19], one.kind, f"{one.model} {one.plan[7:15]}", one.found) for one in observed.findings]
    parts = [
        page.paragraph(f"{len(observed.plans)} plans ran; {len(findings)} findings.", "said"),
        page.table(COLUMNS, map(figure_row, observed.plans)),
        page.paragraph("Medians and percentiles are of the latest executions of each plan; - is not known.", "note"),
    ]
    if any(plan.history for plan in observed.plans):
        parts.append(page.picture(history_picture(observed.plans), "Tokens per second of the latest executions."))
    parts.append(page.heading("Findings"))
    parts.append(
        page.table(("at", "kind", "plan", ""), findings) if findings else page.paragraph("Nothing to look at.")
    )
    return page.page("What the engine's executions do", parts)
