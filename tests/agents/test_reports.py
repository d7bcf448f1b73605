"""What agents found, as a person reads it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from protocol.errors import InvalidRequest
from tests.agents.test_observer import ended
from weos_agents.gate import GateRules
from weos_agents.observer import Observer

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("optuna", reason="optuna is not installed")

from tests.agents.simulated_laboratory import FIELDS, SimulatedLaboratory
from tests.agents.test_optimizer import more_threads_are_slower, optimize
from weos_agents.report.folder import read_report, write_report
from weos_agents.report.observation_page import observation_page
from weos_agents.report.optimization_report import OptimizationReport, headline
from weos_agents.report.plots import front_of
from weos_agents.report.terminal import observation_view, optimization_view


@pytest.fixture(scope="module")
def better() -> OptimizationReport:
    """A plan was found."""
    return report_of(SimulatedLaboratory(more_threads_are_slower, busy=0.1))


def report_of(laboratory: SimulatedLaboratory) -> OptimizationReport:
    found = optimize(laboratory, fields=FIELDS, seconds=600.0)
    return OptimizationReport(model="tiny <1B>", workload="chat.jsonl", rules=GateRules(), optimization=found)


def shown(view: RenderableType) -> str:
    console = Console(width=200, file=StringIO())
    console.print(view)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_report_says_what_is_changed_by_how_much_how_sure_and_at_what_cost(
    better: OptimizationReport, tmp_path: Path
) -> None:
    page = write_report(tmp_path / "report", better).read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", " ", page)
    better_by = r"makes 2\d\.\d% more tokens per second: at least \d+\.\d% more"
    assert re.search(rf"With .*threads = 4.* tiny &lt;1B&gt; {better_by}", text)
    assert "with a confidence of 95%, on inputs that had no part in the choice" in text
    assert "were left out, since other processes disturbed them" in text
    assert re.search(r"[\d.]+ minutes, \d+ executions in \d+ experiments; [\d,]+ joules", text)
    assert "refused" in text
    assert re.search(r"tokens per second +100 +12\d +\+2\d\.\d%", re.sub(r"\s+", " ", text))
    for heading in (
        "What is changed",
        "By how much",
        "How sure it is",
        "Guardrails",
        "What it cost to find out",
        "What was decided",
    ):
        assert heading in text


def test_a_page_needs_nothing_beside_itself_and_is_well_formed(better: OptimizationReport, tmp_path: Path) -> None:
    page = write_report(tmp_path, better).read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("data:image/png;base64,") == 2
    assert (tmp_path / "pairs.png").read_bytes().startswith(b"\x89PNG")
    assert balanced(page)


def test_a_report_is_read_again_as_it_was_written(better: OptimizationReport, tmp_path: Path) -> None:
    write_report(tmp_path, better)
    assert read_report(tmp_path) == better
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InvalidRequest, match="holds no report"):
        read_report(tmp_path)


def test_the_terminal_tells_the_same(better: OptimizationReport) -> None:
    text = shown(optimization_view(better))
    assert headline(better)[:60] in text
    assert "time to the first token, 95th percentile" in text


def test_where_nothing_is_better_the_report_says_so(tmp_path: Path) -> None:
    report = report_of(SimulatedLaboratory(lambda values: {}))
    page = write_report(tmp_path, report).read_text(encoding="utf-8")
    assert "No plan was proved better than the engine&#x27;s own" in page
    assert "What is changed" not in page


def test_the_best_tradeoffs_are_those_that_no_other_beats_in_both() -> None:
    assert front_of([(1, 5), (2, 3), (2, 7), (0, 1), (3, 7), (1, 4)]) == [(0, 1), (1, 5), (2, 7)]
    assert front_of([]) == []


def test_an_observation_has_its_page_and_its_view() -> None:
    observer = Observer()
    for number in range(30):
        observer.take(ended(number, tokens_per_sec=100.0, contended=True))
    page = observation_page(observer.report())
    assert balanced(page)
    assert "contention" in page
    assert "100.0" in shown(observation_view(observer.report()))
    assert "Nothing to look at" in observation_page(Observer().report())


def balanced(page: str) -> bool:
    """Whether every element that opens closes, in order."""

    class Elements(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.whole = True

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "img"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            self.whole &= bool(self.open) and self.open.pop() == tag

    elements = Elements()
    elements.feed(page)
    return elements.whole and not elements.open
