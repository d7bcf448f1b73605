"""The page of an optimization, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator

from weos_agents.report import page
from weos_agents.report.changed_fields import change_rows
from weos_agents.report.figure_words import called
from weos_agents.report.glossary import GLOSSARY
from weos_agents.report.next_steps import outcome
from weos_agents.report.optimization_report import (
    OptimizationReport,
    headline,
    setting_rows,
    subtitle,
    summary_rows,
    title,
)
from weos_agents.report.plots import pairs_picture, trials_picture
from weos_agents.report.proof_rows import decision_rows, figure_rows, further, guardrail_rows, rejection, sureness
from weos_agents.report.trial_rows import ordered_trials, trial_rows


def pictures(report: OptimizationReport) -> dict[str, bytes]:
    """Pictures by the names of their files."""
    found, examined = report.optimization, report.examined
    chosen = None if report.proof is None else report.proof.changes
    made = {"trials.png": trials_picture(ordered_trials(report), found.kpi, chosen)}
    if examined is not None:
        made["pairs.png"] = pairs_picture(
            examined, report.rules.gain, unknown_load_counts=report.rules.unknown_load_counts
        )
    return made


def optimization_page(report: OptimizationReport, made: dict[str, bytes]) -> str:
    """The page with those pictures."""
    parts = [*_at_a_glance(report), *_proof(report, made), *_search(report, made)]
    parts += [page.heading("What it holds for"), page.table(("", ""), setting_rows(report))]
    parts += [page.heading("What the words mean"), page.table(("", ""), GLOSSARY)]
    return page.page(title(report), parts)


def _at_a_glance(report: OptimizationReport) -> Iterator[str]:
    """The answers to what a reader asks first."""
    yield page.paragraph(subtitle(report), "note")
    yield page.paragraph(headline(report), "said")
    yield page.paragraph(outcome(report.applied, proved=report.proof is not None))
    if report.optimization.kpi_note:
        yield page.paragraph(f"Note: {report.optimization.kpi_note}.")
    if report.remark:
        yield page.paragraph(f"Remark: {report.remark}")
    yield page.table(("", ""), summary_rows(report))


def _proof(report: OptimizationReport, made: dict[str, bytes]) -> Iterator[str]:
    """What is proposed, or came closest."""
    examined = report.examined
    if examined is not None:
        yield page.heading("What is changed" if examined.verdict.open else "What came closest")
        rows = change_rows(report.optimization.baseline.content, examined.changes)
        yield page.table(("field of the plan", "what it sets", "before", "after"), rows)
    if reasons := rejection(report):
        yield page.heading("Why it was rejected")
        yield page.bullets(reasons)
    if hints := further(report):
        yield page.heading("How to know more")
        yield page.bullets(hints)
    if figures := figure_rows(report):
        yield page.heading("By how much")
        yield page.paragraph(
            "Medians of both plans over the pairs that count; the change is the median of the changes within pairs.",
            "note",
        )
        yield page.table(("figure", "before", "after", "change"), figures)
    yield page.heading("How sure it is")
    yield from (page.paragraph(told) for told in sureness(report))
    if "pairs.png" in made:
        caption = "Each point is a pair: an input, answered by both plans, one right after the other."
        yield page.picture(made["pairs.png"], caption)
    if rows := guardrail_rows(report):
        yield page.heading("Limits")
        note = "What must not get worse by more than is allowed. What is not proved to be kept counts against the plan."
        yield page.paragraph(note, "note")
        yield page.table(("figure", "verdict", "why"), rows)


def _search(report: OptimizationReport, made: dict[str, bytes]) -> Iterator[str]:
    """What was tried and decided."""
    yield page.heading("All that was tried")
    caption = (
        "Each point is a plan in a short experiment, with its number in the table below: enough to choose by, and no "
        "proof. Those in the red field go beyond a limit. In brackets, where six pairs or more count, what holds the "
        "median with 95%. Of other answers the quality is a limit too: a hundredth of a nat, and a point of the same "
        "best token, count as 1% in the picture."
    )
    yield page.picture(made["trials.png"], caption)
    columns = ("no.", "changes", called(report.optimization.kpi), "limit that is nearest", "pairs that count")
    yield page.table((*columns, "what it came to"), trial_rows(report))
    yield page.heading("What was decided, and when")
    yield page.table(("after", "decision"), decision_rows(report))
