"""The page of an optimization, and its pictures."""

from __future__ import annotations

from weos_agents.report import page
from weos_agents.report.optimization_report import (
    OptimizationReport,
    change_rows,
    cost,
    decision_rows,
    figure_rows,
    guardrail_rows,
    headline,
    outcome,
    setting_rows,
    sureness,
    title,
    trial_rows,
)
from weos_agents.report.plots import pairs_picture, trials_picture


def pictures(report: OptimizationReport) -> dict[str, bytes]:
    """Pictures by the names of their files."""
    found = report.optimization
    proof = report.proof or (found.confirmations[-1] if found.confirmations else None)
    made = {
        "trials.png": trials_picture(found.trials, found.kpi, None if report.proof is None else report.proof.changes)
    }
    if proof is not None:
        made["pairs.png"] = pairs_picture(proof, report.rules.gain)
    return made


def optimization_page(report: OptimizationReport, made: dict[str, bytes]) -> str:
    """The page with those pictures."""
    parts = [page.paragraph(headline(report), "said"), page.paragraph(outcome(report))]
    if report.optimization.kpi_note:
        parts.append(page.paragraph(f"Note: {report.optimization.kpi_note}.", "note"))
    if changes := change_rows(report):
        parts += [page.heading("What is changed"), page.table(("field of the plan", "before", "after"), changes)]
    if figures := figure_rows(report):
        note = "Medians of both plans over the same inputs; the change is the median of the pairs' own."
        table = page.table(("figure", "before", "after", "change"), figures)
        parts += [page.heading("By how much"), page.paragraph(note, "note"), table]
    parts += [page.heading("How sure it is"), *(page.paragraph(told) for told in sureness(report))]
    if "pairs.png" in made:
        parts.append(page.picture(made["pairs.png"], "Each point is an input, run by both plans, one after the other."))
    if rows := guardrail_rows(report):
        note = "What must not get worse beyond its margin. What is not proved to hold counts as broken."
        parts += [
            page.heading("Guardrails"),
            page.paragraph(note, "note"),
            page.table(("figure", "verdict", "why"), rows),
        ]
    parts += [
        *(page.heading("What it cost to find out"), page.paragraph(cost(report))),
        *(page.heading("All that was tried"),),
        page.picture(
            made["trials.png"], "Each point is a candidate in a short experiment: enough to choose by, and no proof."
        ),
        page.table(("changes", "better by", "nearest guardrail", "pairs"), trial_rows(report)),
        *(page.heading("What was decided, and when"), page.table(("after", "decision"), decision_rows(report))),
        *(page.heading("What it holds for"), page.table(("", ""), setting_rows(report))),
    ]
    return page.page(title(report), parts)
