"""Grammars that crash the library, never end or take all memory: they end a process that is there for it, at most."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.grammar import trial_process
from engine.grammar.grammar_sandbox import PROCESSES, GrammarSandbox
from engine.grammar.grammars import Grammars, library_path
from engine.grammar.trial_process import TrialError, TrialProcess, TrialSettings
from protocol.errors import GrammarTooComplex, GrammarUnavailable, InvalidGrammar
from protocol.grammar import PlanGrammar
from tests.support.tiny_models import tiny_vocabulary

pytestmark = pytest.mark.slow

END = 2
CRASHES = ("json_schema", json.dumps({"type": "integer", "minimum": -1e19, "maximum": -1e19}))
ENDLESS = ("json_schema", json.dumps({"type": "integer", "minimum": -4294967298, "multipleOf": 4294967295}))
PLAIN = ("regex", "a|b")
PATIENCE_S = 30.0


def settings(patience_ms: int = 20_000) -> TrialSettings:
    return TrialSettings(str(library_path()), tiny_vocabulary(), (END,), patience_ms)


def exists(pid: int) -> bool:
    """Also as a zombie."""
    return Path(f"/proc/{pid}").exists()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def children() -> set[int]:
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


@pytest.fixture
def sandbox() -> GrammarSandbox:
    return GrammarSandbox(settings())


# --- one process -----------------------------------------------------------------------------------------------------


def test_a_process_tries_one_grammar_after_another() -> None:
    process = TrialProcess(settings())
    assert process.try_out(*PLAIN).outcome == "compiled"
    verdict = process.try_out("regex", "(a")
    assert (verdict.outcome, verdict.lasting) == ("refused", True)
    assert "regex" in verdict.reason
    assert process.try_out(*PLAIN).outcome == "compiled"
    assert process.alive


def test_a_process_that_gets_no_cpu_is_told_from_one_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_process, "_START_S", 1e-6)
    with pytest.raises(TrialError, match="was not ready within 1e-06 s: too little CPU time"):
        TrialProcess(settings())
    assert children() == set()


def test_a_crash_is_a_verdict_and_leaves_no_zombie() -> None:
    process = TrialProcess(settings())
    verdict = process.try_out(*CRASHES)
    assert (verdict.outcome, verdict.lasting) == ("crashed", True)
    assert "SIGSEGV" in verdict.reason
    assert not process.alive
    assert not exists(process.pid)


def test_what_never_ends_is_ended() -> None:
    process = TrialProcess(settings(patience_ms=200))
    verdict = process.try_out(*ENDLESS)
    assert (verdict.outcome, verdict.lasting) == ("timed_out", False)
    assert not exists(process.pid)


def test_what_takes_all_memory_is_ended() -> None:
    process = TrialProcess(replace(settings(patience_ms=60_000), memory_mib=64))
    assert process.try_out(*PLAIN).outcome == "compiled"
    verdict = process.try_out(*ENDLESS)
    assert (verdict.outcome, verdict.reason) == ("too_large", "compiling it takes more than 64 MiB")


def test_a_process_ends_with_its_object() -> None:
    process = TrialProcess(settings())
    pid = process.pid
    assert exists(pid)
    del process
    assert not exists(pid)


def test_a_process_outlives_the_thread_that_started_it() -> None:
    started: list[TrialProcess] = []
    thread = threading.Thread(target=lambda: started.append(TrialProcess(settings())))
    thread.start()
    thread.join()
    assert started[0].try_out(*PLAIN).outcome == "compiled"


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_process_ends_with_the_engine_even_where_that_is_killed(busy: bool) -> None:
    program = (
        "from tests.engine.test_grammar_sandbox import ENDLESS, TrialProcess, settings\n"
        "process = TrialProcess(settings(patience_ms=600_000))\n"
        "print(process.pid, flush=True)\n"
        f"process.try_out(*ENDLESS) if {busy} else input()\n"
    )
    with subprocess.Popen(  # noqa: S603  this program
        (sys.executable, "-c", program), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as engine:
        assert engine.stdout is not None
        pid = int(engine.stdout.readline())
        time.sleep(0.2)
        assert exists(pid)
        engine.kill()
    wait_until(lambda: not exists(pid))


def test_limits_that_the_engine_has_itself_are_kept() -> None:
    program = (
        "import resource\n"
        "from tests.engine.test_grammar_sandbox import PLAIN, TrialProcess, settings\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))\n"
        "print(TrialProcess(settings(patience_ms=60_000)).try_out(*PLAIN).outcome)\n"
    )
    told = subprocess.run((sys.executable, "-c", program), capture_output=True, check=True, text=True)  # noqa: S603
    assert told.stdout == "compiled\n"


def test_a_process_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrialError, match=r"nonexistent"):
        TrialProcess(replace(settings(), grammar_library="/nonexistent"))
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(TrialError, match="No such file"):
        TrialProcess(settings())


# --- the sandbox -----------------------------------------------------------------------------------------------------


def test_after_a_crash_the_next_grammar_is_tried(sandbox: GrammarSandbox) -> None:
    for _ in range(2):
        assert sandbox.try_out(*CRASHES).outcome == "crashed"
        assert sandbox.try_out(*PLAIN).outcome == "compiled"


def test_a_verdict_is_remembered_and_costs_no_process(sandbox: GrammarSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = [sandbox.try_out(*grammar) for grammar in (PLAIN, CRASHES)]
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    assert [sandbox.try_out(*grammar) for grammar in (PLAIN, CRASHES)] == verdicts
    with pytest.raises(TrialError):
        sandbox.try_out("regex", "another")


def test_a_process_that_died_while_it_waited_condemns_no_grammar(sandbox: GrammarSandbox) -> None:
    before = children()
    assert sandbox.try_out(*PLAIN).outcome == "compiled"
    (pid,) = children() - before
    os.kill(pid, signal.SIGKILL)
    assert sandbox.try_out("regex", "c|d").outcome == "compiled"


def test_others_are_tried_beside_one_that_never_ends_and_no_more_processes_than_allowed_run() -> None:
    before = children()
    sandbox = GrammarSandbox(settings(patience_ms=3000))
    hogs = [threading.Thread(target=sandbox.try_out, args=ENDLESS) for _ in range(PROCESSES - 1)]
    for hog in hogs:
        hog.start()
    for number in range(5):
        assert sandbox.try_out("regex", f"a{number}").outcome == "compiled"
    assert len(children() - before) <= PROCESSES
    for hog in hogs:
        hog.join()


def test_who_gets_no_turn_hears_it() -> None:
    sandbox = GrammarSandbox(settings(patience_ms=500))
    hogs = [threading.Thread(target=sandbox.try_out, args=ENDLESS) for _ in range(PROCESSES * 4)]
    for hog in hogs:
        hog.start()
    verdicts = [sandbox.try_out("regex", f"a{number}") for number in range(3)]
    for hog in hogs:
        hog.join()
    assert {verdict.outcome for verdict in verdicts} <= {"compiled", "timed_out"}
    assert sandbox.try_out(*PLAIN).outcome == "compiled"


def test_a_sandbox_leaves_no_processes() -> None:
    before = children()
    sandbox = GrammarSandbox(settings())
    sandbox.try_out(*PLAIN)
    assert len(children() - before) == 1
    del sandbox
    assert children() == before


# --- as errors of a request ------------------------------------------------------------------------------------------


def plan_of(language: str, text: str) -> PlanGrammar:
    return PlanGrammar.model_validate(
        {"kind": language, "source_hash": "sha256:" + "0" * 64, "language": language, "text": text}
    )


def test_a_crash_is_an_invalid_grammar() -> None:
    compiler = Grammars(tiny_vocabulary(), [END])
    with pytest.raises(InvalidGrammar, match=r"compiling it crashes the grammar library \(SIGSEGV\)") as raised:
        compiler.compile(plan_of(*CRASHES))
    assert raised.value.params["kind"] == "json_schema"
    assert compiler.compile(plan_of(*PLAIN)) is not None


def test_too_much_memory_is_too_complex(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = trial_process.Verdict("too_large", "compiling it takes more than 512 MiB")
    monkeypatch.setattr(GrammarSandbox, "try_out", lambda *_: verdict)
    with pytest.raises(GrammarTooComplex, match="more than 512 MiB"):
        Grammars(tiny_vocabulary(), [END]).compile(plan_of(*PLAIN))


def test_where_no_process_can_be_had_grammars_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    with pytest.raises(GrammarUnavailable, match="a process of their own"):
        Grammars(tiny_vocabulary(), [END]).compile(plan_of(*PLAIN))
