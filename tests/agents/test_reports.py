"""What agents found, as a person reads it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console, RenderableType

from protocol.errors import InvalidRequest
from protocol.schema import published_schema
from tests.agents.evidence_factory import changed_pair, make_evidence
from tests.agents.test_observer import ended
from tests.agents.test_search_fields import HERE, PLAN
from weos_agents.applying import Applied
from weos_agents.experimenter import Confirmation
from weos_agents.gate import GateRules, judge
from weos_agents.guardrail import with_margins
from weos_agents.observer import Observer
from weos_agents.report.changed_fields import change_rows
from weos_agents.report.field_words import meaning
from weos_agents.report.next_steps import outcome, undo, use
from weos_agents.report.rejection import advice, ending_of, grouped, shortened
from weos_agents.sample import Metric
from weos_agents.search_fields import search_fields
from weos_agents.statistics.noise import Noise

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("optuna", reason="optuna is not installed")

from tests.agents.simulated_laboratory import FIELDS, SimulatedLaboratory
from tests.agents.test_optimizer import bursts, more_threads_are_slower, optimize
from weos_agents.report.folder import read_report, write_report
from weos_agents.report.observation_page import observation_page
from weos_agents.report.optimization_page import optimization_page, pictures
from weos_agents.report.optimization_report import OptimizationReport, headline, setting_rows, summary_rows
from weos_agents.report.plots import front_of
from weos_agents.report.proof_rows import guardrail_rows, rejection, sureness
from weos_agents.report.terminal import observation_view, optimization_view
from weos_agents.report.trial_rows import trial_rows

OF_QUALITY = ("mean divergence", "same best token")
_SPEEDS = {"native": 1.0, "q4": 1.5}


@pytest.fixture(scope="module")
def better() -> OptimizationReport:
    """A plan was found."""
    return report_of(SimulatedLaboratory(more_threads_are_slower, busy=0.1))


def report_of(laboratory: SimulatedLaboratory, rules: GateRules | None = None) -> OptimizationReport:
    rules = rules or GateRules()
    found = optimize(laboratory, fields=FIELDS, seconds=600.0, rules=rules)
    return OptimizationReport(model="tiny <1B>", workload="chat.jsonl", rules=rules, optimization=found)


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
    better_by = r"makes 2\d\.\d% more tokens per second \(median of \d+ pairs\): at least \d+\.\d% more"
    assert re.search(rf"With .*threads = 4 \(instead of 8\).* tiny &lt;1B&gt; {better_by}", text)
    assert "with a confidence of 95%, on inputs that had no part in the choice" in text
    assert "were left out, since other processes disturbed them" in text
    assert re.search(r"[\d.]+ minutes, \d+ executions in \d+ experiments; [\d,]+ joules", text)
    assert "refused" in text
    assert re.search(r"tokens per second +[\d.]+ +12\d +\+2\d\.\d% \(better\)", re.sub(r"\s+", " ", text))
    for heading in (
        "What is changed",
        "By how much",
        "How sure it is",
        "Limits",
        "what it cost",
        "to undo it",
        "What was decided",
        "What the words mean",
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
    assert "was proved to make at least 2% more tokens per second. The engine&#x27;s own plan stays." in page
    assert "nothing to undo: no plan was changed" in page
    assert "What is changed" not in page


def test_a_report_says_what_the_fields_mean_that_it_changes(better: OptimizationReport) -> None:
    assert better.proof is not None
    assert ("threads", "compute threads", "8", "4") in change_rows(
        better.optimization.baseline.content, better.proof.changes
    )


def test_every_field_that_a_search_varies_has_its_meaning() -> None:
    here = (*HERE, "quantization:q8_0")
    varied = [field.name for field in search_fields(published_schema("plan"), PLAN, here, with_bits=True)]
    assert len(varied) > 5
    assert [name for name in varied if not meaning(name)] == []


def test_the_first_lines_say_when_for_what_and_how_to_undo_it(better: OptimizationReport) -> None:
    told = {"began_at": "2026-11-30T12:10:00.000000Z", "minutes": 10.0, "remark": "its meter is simulated"}
    applied = Applied(proposal="proposal-1", name="chat-default", version=2)
    report = better.model_copy(update={**told, "applied": applied})
    page = optimization_page(report, pictures(report))
    glance = page[: page.index("<h2>")]
    assert "2026-11-30 12:10 UTC. Workload: chat.jsonl" in glance
    assert "Remark: its meter is simulated" in glance
    assert "of at most 10 minutes" in glance
    assert "engine-ctl plans roll-back chat-default" in glance
    assert "engine-ctl plans roll-back chat-default" in shown(optimization_view(report))


@pytest.mark.parametrize(
    ("applied", "used", "undone"),
    [
        (None, "", "see engine-ctl plans ls"),
        (Applied(proposal="proposal-1"), "engine-ctl proposals apply proposal-1", "it is not applied"),
        (Applied(proposal="p", name="chat", version=1), "--plan-name chat", "no version before"),
        (Applied(proposal="p", name="chat", version=2, rolled_back=3), "", "it was rolled back"),
    ],
)
def test_what_to_do_next_is_what_can_be_done(applied: Applied | None, used: str, undone: str) -> None:
    assert used in use(applied)
    assert bool(use(applied)) == bool(used)
    assert undone in undo(applied, proved=True)
    assert outcome(applied, proved=True) != outcome(applied, proved=False)


def test_a_fault_that_many_pairs_share_is_told_once() -> None:
    fault = "tokens_per_watt is not known: energy was unavailable, not measured"
    reasons = [*(f"pair {number}: {fault}" for number in (6, 14, 22)), "ttft_ms p95: 4 comparisons are too few to tell"]
    told = [
        "3 pairs: tokens per joule is not known: energy was unavailable, not measured",
        "time to the first token, 95th percentile: 4 comparisons are too few to tell",
    ]
    assert grouped(reasons) == told
    assert shortened(f"rejected threads=1: {'; '.join(reasons)}") == f"rejected threads=1: {'; '.join(told)}"
    assert (
        shortened("tried threads=1: +2.0%, but worse in memory_peak_mb")
        == "tried threads=1: +2.0%, but worse in memory"
    )


@pytest.mark.parametrize(
    ("pairs", "gain", "spoiled", "ending", "hint"),
    [
        (40, 0.10, 0, "proved", ""),
        (40, 0.00, 0, "refuted", ""),
        (7, 0.03, 0, "undecided", "more minutes"),
        (40, 0.10, 3, "faulty", "energy of 3 pairs was not measured"),
    ],
)
def test_an_attempt_to_prove_says_how_it_ended_and_what_would_tell_more(
    pairs: int, gain: float, spoiled: int, ending: str, hint: str
) -> None:
    gains: dict[Metric, float] = {"tokens_per_watt": gain, "joules_per_token": -gain}
    evidence = make_evidence(np.random.default_rng(5), pairs, gains, Noise(spread=0.01, drift=0.0, outliers=0.0))
    for number in range(spoiled):
        evidence = changed_pair(evidence, number, "candidate", energy_kind="unavailable", contended=None)
    evidence = evidence.model_copy(update={"pairs_declared": 40, "complete": pairs == 40})
    rules = GateRules(kpi="tokens_per_watt", gain=0.02)
    verdict = judge(evidence, rules, chosen_on=frozenset())
    attempt = Confirmation(changes={}, asked={}, evidence=evidence, verdict=verdict, alpha=rules.alpha)
    assert ending_of(attempt, rules) == ending
    hints = advice(attempt, rules) if ending != "proved" else []
    assert any(hint in one for one in hints) == bool(hint)


def test_a_limit_that_too_few_pairs_tell_of_is_not_called_broken(better: OptimizationReport) -> None:
    assert better.proof is not None
    few = better.proof.evidence.model_copy(update={"pairs": better.proof.evidence.pairs[:4], "complete": False})
    verdict = judge(few, better.rules, chosen_on=frozenset())
    attempt = better.proof.model_copy(update={"evidence": few, "verdict": verdict})
    update = {"confirmations": (attempt,), "chosen": None, "candidate": None}
    report = better.model_copy(update={"optimization": better.optimization.model_copy(update=update)})
    assert {verdict for name, verdict, _ in guardrail_rows(report) if name not in OF_QUALITY} == {"not proved"}
    assert "Whether there is as much to be gained as is wanted was not decided" in headline(report)
    told = "Time to the first token, 95th percentile: 0 comparisons, of 5 pairs each, are too few to tell"
    assert told in rejection(report)
    assert f"Memory: {verdict.pairs} comparisons are too few to tell" in rejection(report)


def test_what_came_closest_is_what_proved_most_and_not_what_was_tried_last(better: OptimizationReport) -> None:
    assert better.proof is not None
    attempts = tuple(
        better.proof.model_copy(
            update={
                "changes": {"threads": threads},
                "verdict": better.proof.verdict.model_copy(update={"open": False, "gain_at_least": least}),
            }
        )
        for threads, least in ((4, 0.01), (2, None))
    )
    update = {"confirmations": attempts, "chosen": None, "candidate": None}
    report = better.model_copy(update={"optimization": better.optimization.model_copy(update=update)})
    assert report.examined == attempts[0]
    assert "What came closest was threads = 4 (instead of 8)" in headline(report)


def test_each_trial_has_its_number_and_what_it_came_to(better: OptimizationReport) -> None:
    rows = trial_rows(better)
    assert [row[0] for row in rows] == [str(number) for number in range(1, len(rows) + 1)]
    came_to = {row[-1].partition(":")[0] for row in rows}
    assert {"proved", "rejected", "refused"} <= came_to
    allowed = r"\d% (better|worse) \(allowed: \d+% worse\)|nats \(allowed: 0.05\)"
    assert all(re.search(allowed, row[3]) for row in rows if row[2] != "not run")


def test_other_answers_have_rows_for_their_quality() -> None:
    report = report_of(
        SimulatedLaboratory(lambda values: {"tokens_per_sec": _SPEEDS[values["execution.quantization"]]})
    )
    assert ("mean divergence", "kept", "0.0100 nats (allowed: 0.05)") in guardrail_rows(report)
    assert ("same best token", "kept", "at 97.0% of positions (at least 90%)") in guardrail_rows(report)
    rules = GateRules.model_validate({"quality": {"divergence_mean": 0.001, "same_best": 0.9}})
    laboratory = SimulatedLaboratory(lambda values: {"tokens_per_sec": _SPEEDS[values["execution.quantization"]]})
    found = optimize(laboratory, fields=FIELDS, seconds=600.0, rules=rules)
    strict = report.model_copy(update={"rules": rules, "optimization": found})
    rows = [row for row in trial_rows(strict) if "other answers" in row[1]]
    assert rows
    assert {row[3] for row in rows} == {"mean divergence: 0.0100 nats (allowed: 0.001)"}
    assert {row[5] for row in rows} == {"rejected: beyond a limit"}


def test_a_limit_of_whoever_asked_is_shown_as_their_own_beside_the_default(tmp_path: Path) -> None:
    rules = GateRules(guardrails=with_margins({"latency_p95_ms": 1.0}))
    report = report_of(SimulatedLaboratory(bursts), rules)
    own = "allowed 100% worse, own limit instead of 10%"
    page = write_report(tmp_path, report).read_text(encoding="utf-8")
    assert report.proof is not None
    assert ("own limits", f"time between tokens, 95th percentile: {own}") in summary_rows(report)
    for text in (page, shown(optimization_view(report))):
        assert text.count(own) == 2, "at a glance, and among the limits"
        assert "allowed 10% worse" in text
    cells = {row[3] for row in trial_rows(report)}
    assert all("allowed: 100% worse, own limit instead of 10%" in one for one in cells if "between tokens" in one)
    assert read_report(tmp_path).rules == rules


def test_limits_that_nobody_changed_are_not_called_own(better: OptimizationReport, tmp_path: Path) -> None:
    page = write_report(tmp_path, better).read_text(encoding="utf-8")
    assert "own limit instead" not in page
    assert "own limits" not in [row[0] for row in summary_rows(better)]


def test_what_was_promising_and_had_no_time_is_said(better: OptimizationReport) -> None:
    update = {"confirmations": (), "chosen": None, "candidate": None}
    report = better.model_copy(update={"optimization": better.optimization.model_copy(update=update)})
    promising = sum(trial.promising for trial in better.optimization.trials)
    assert f"{promising} looked promising and could not be put to a proof: the time" in headline(report)
    came_to = [row[5] for row in trial_rows(report)]
    assert came_to.count("not put to a proof: the time, or the energy, was used up") == promising
    assert "not put to a proof: another was proved before it" in [row[5] for row in trial_rows(better)]


def test_a_trial_with_pairs_enough_has_an_interval(better: OptimizationReport) -> None:
    enough = [row for row in trial_rows(better) if row[4] and int(row[4].split()[0]) >= 6]
    assert enough
    assert all(re.fullmatch(r"[+-][\d.]+% \([+-][\d.]+% to [+-][\d.]+%\)", row[2]) for row in enough)


def test_energy_that_was_not_measured_is_said_in_words() -> None:
    report = report_of(SimulatedLaboratory(more_threads_are_slower, energy_kind="unavailable"))
    assert ("energy", "not measured") in setting_rows(report)


def test_two_runs_of_one_plan_lie_as_far_apart_as_the_first_decision_says(better: OptimizationReport) -> None:
    decided = re.search(r"lie ([\d.]+%) apart", better.optimization.decisions[0].what)
    assert decided is not None
    assert f"lie {decided[1]} apart" in sureness(better)[0]


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
