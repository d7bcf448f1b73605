"""How llama-server's tests ended, counted by file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.peers.llama_server.differences import DIFFERENCES, Difference, difference_of


@dataclass(frozen=True)
class Report:
    """How one test ended."""

    test: str
    """``test_completion.py::test_n_probs[1]``."""
    outcome: str
    """``passed``, ``failed`` or ``skipped``."""
    failure: str
    """The lines that failed, and what they said of it; for a skipped test its reason."""

    @property
    def file(self) -> str:
        return self.test.partition("::")[0]


def failures(reports: Sequence[Report], known: Sequence[Difference] = DIFFERENCES) -> list[Report]:
    """Tests that should have passed."""
    return [one for one in reports if one.outcome == "failed" and _difference(one, known) is None]


def table(reports: Sequence[Report], known: Sequence[Difference] = DIFFERENCES) -> str:
    """Files with their counts, in Markdown; the reasons of those that need not pass below."""
    lines = ["| file | passed | failed | not ours | skipped by itself |", "|---|--:|--:|--:|--:|"]
    for file in sorted({one.file for one in reports}):
        lines.append(_row(f"`{file}`", [one for one in reports if one.file == file], known))
    lines.append(_row("all", reports, known))
    found = (_difference(one, known) for one in reports)
    reasons = Counter(one.reason for one in found if one is not None)
    lines += ["", "| not ours: reason | tests |", "|---|--:|"]
    lines += [f"| {reason} | {count} |" for reason, count in reasons.most_common()]
    return "\n".join(lines)


def _row(name: str, reports: Sequence[Report], known: Sequence[Difference]) -> str:
    passed, skipped = (sum(one.outcome == outcome for one in reports) for outcome in ("passed", "skipped"))
    failed = len(failures(reports, known))
    return f"| {name} | {passed} | {failed} | {len(reports) - passed - skipped - failed} | {skipped} |"


def _difference(report: Report, known: Sequence[Difference]) -> Difference | None:
    return difference_of(report.test, report.failure, known) if report.outcome == "failed" else None
