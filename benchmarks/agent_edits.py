"""Twenty small edits by agents whose model this engine runs: how many are right, and the tokens, joules and seconds.

    PYTHONPATH=tools:. build/clients-venv/bin/python -m benchmarks.agent_edits MODEL.gguf
        [--edits 20] [--speculations off lookup]

The model is developer and reviewer; a plan of one task is given, and the tester accepts. An edit is right where the
repository's files are then what they should be, but for empty lines and what ends a line. Each way of speculation has
an engine of its own (``ENGINE_CTL``, or that of ``make develop``), and must come to the same answers. Needs LiteLLM, as
``make test-clients`` has it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from auton.budget import Budget
from auton.errors import AutonError
from auton.journal import Answered, Journal
from auton.orchestrator import Orchestrator
from auton.provider import LiteLlmProvider, Provider, Question, Reply, ScriptedProvider
from auton.repository import Repository, git
from auton.settings import Settings, parse_settings
from benchmarks.support.small_edits import EDITS, FILES, Edit
from tests.auton.git_stage import ACCEPTED, planned, write_script
from tests.clients.http_engine import serving_http

_RUN = "one"
_SETTINGS = """
[llm]
model = "openai/{model}"
api_base = "{address}"
max_tokens = 400

[agents]
developer_count = 1

[budget]
calls = 12
minutes = 20
"""


@dataclass(frozen=True)
class Outcome:
    """The outcome of an edit."""

    right: bool
    remark: str
    calls: int
    tokens: int
    written: int
    """Tokens of the answers alone."""
    joules: float | None
    """``None``: nothing measures them here."""
    seconds: float
    answers: tuple[str, ...]
    """All that the model said."""


class EditProvider:
    """A script plans and accepts; the model develops and reviews."""

    def __init__(self, script: Path, model: Provider) -> None:
        self._script = ScriptedProvider(script)
        self._model = model

    def ask(self, question: Question) -> Reply:
        scripted = question.role in {"manager", "tester"}
        return (self._script if scripted else self._model).ask(question)


def new_repository(folder: Path) -> Repository:
    """The files that are edited, committed."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin", at=1_000_000_000)
    return Repository(folder)


def attempt(edit: Edit, folder: Path, settings: Settings, model: Provider) -> Outcome:
    """One edit in a repository of its own."""
    repository = new_repository(folder / "repository")
    script = write_script(folder / "script.jsonl", [planned((edit.name, edit.path)), ACCEPTED])
    budget = Budget(settings.budget, time.monotonic)
    notes: list[str] = []
    provider = EditProvider(script, model)
    orchestrator = Orchestrator(repository, _RUN, settings, provider, budget, None, notes.append)
    begun = time.monotonic()
    try:
        remark = trio.run(orchestrator.run, edit.goal, 1_700_000_000).remark
    except AutonError as error:
        remark = str(error)
    seconds = time.monotonic() - begun
    with Journal(Orchestrator.journal_path(repository, _RUN)) as journal:
        replies = [one.reply for one in journal.entries if isinstance(one, Answered) and not _is_scripted(one)]
    joules = [reply.usage.joules for reply in replies]
    return Outcome(
        right=is_right(edit, repository),
        remark=next((note for note in notes if "given up" in note), remark).splitlines()[0],
        calls=len(replies),
        tokens=budget.tokens,
        written=sum(reply.usage.completion_tokens for reply in replies),
        joules=None if None in joules else sum(one for one in joules if one is not None),
        seconds=seconds,
        answers=tuple(_said(reply) for reply in replies),
    )


def _is_scripted(answer: Answered) -> bool:
    return answer.key.startswith(("manager/", "tester/"))


def _said(reply: Reply) -> str:
    return json.dumps([reply.text, *((call.name, call.arguments) for call in reply.calls)])


def is_right(edit: Edit, repository: Repository) -> bool:
    """Whether the run's branch holds what it should."""
    branch = f"auton/{_RUN}/joined"
    names = git(repository.folder, "ls-tree", "-r", "--name-only", branch).split()
    found = {name: _lines(git(repository.folder, "show", f"{branch}:{name}")) for name in names}
    return found == {name: _lines(text) for name, text in edit.expected().items()}


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@contextmanager
def settings_of_engine(model: Path, speculation: str) -> Iterator[Settings]:
    """Those by which a new engine is asked, with the model in memory."""
    # A socket's path must be short.
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        (folder / "models").mkdir()
        (folder / "models" / model.name).symlink_to(model.resolve())
        defaults = folder / "defaults.json"
        defaults.write_text(json.dumps({"execution": {"speculation": {"kind": speculation}}}))
        places = {f"ENGINE_{kind.upper()}_DIR": str(folder / kind) for kind in ("models", "cache", "data")}
        with serving_http(folder, "--http-defaults", str(defaults), env={**os.environ, **places}) as engine:
            _load(engine.url, model.stem)
            yield parse_settings(_SETTINGS.format(model=model.stem, address=engine.v1))


def _load(url: str, model: str) -> None:
    body = json.dumps({"model": model, "stream": False}).encode()
    request = urllib.request.Request(f"{url}/api/generate", body, {"Content-Type": "application/json"})  # noqa: S310  http
    with urllib.request.urlopen(request) as answer:  # noqa: S310  the engine's own address
        answer.read()


def attempts(
    edits: Sequence[Edit], settings: Settings, model: Provider, show: Callable[[Edit, Outcome], None]
) -> list[Outcome]:
    """All edits, one after the other."""
    found = []
    for edit in edits:
        with tempfile.TemporaryDirectory(prefix="edit-") as name:
            found.append(attempt(edit, Path(name), settings, model))
        show(edit, found[-1])
    return found


def _show(edit: Edit, outcome: Outcome) -> None:
    verdict = "right" if outcome.right else "wrong"
    digest = hashlib.sha256("\n".join(outcome.answers).encode()).hexdigest()[:8]
    took = f"{outcome.calls:3} answers {outcome.seconds:6.1f} s"
    print(f"  {edit.name:10} {verdict}  {took}  of digest {digest}  {outcome.remark}", flush=True)
    if not outcome.right:
        print(*(f"      {answer}" for answer in outcome.answers), sep="\n", flush=True)


def _summary(speculation: str, outcomes: Sequence[Outcome]) -> str:
    joules, total = [one.joules for one in outcomes], sum(one.tokens for one in outcomes)
    known = "joules unknown: nothing measures them here" if None in joules else f"{sum(filter(None, joules)):,.0f} J"
    return (
        f"{speculation}: {sum(one.right for one in outcomes)} of {len(outcomes)} right, "
        f"{sum(one.calls for one in outcomes)} answers, {total:,} tokens, "
        f"{sum(one.written for one in outcomes):,} of them written, "
        f"{sum(one.seconds for one in outcomes):.0f} s, {known}"
    )


def main() -> int:
    """Ends with 1 where speculation changed an answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--edits", type=int, default=len(EDITS))
    parser.add_argument("--speculations", nargs="+", default=["off", "lookup"])
    arguments = parser.parse_args()
    # LiteLLM fetches what models cost when it is imported, unless it is told not to; it asks for a key of any kind.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("OPENAI_API_KEY", "none")
    found: dict[str, list[Outcome]] = {}
    for speculation in arguments.speculations:
        print(f"speculation {speculation}:")
        with settings_of_engine(arguments.model, speculation) as settings:
            found[speculation] = attempts(EDITS[: arguments.edits], settings, LiteLlmProvider(), _show)
    for speculation, outcomes in found.items():
        print(_summary(speculation, outcomes))
    answers = {tuple(one.answers for one in outcomes) for outcomes in found.values()}
    print("the same answers" if len(answers) == 1 else "OTHER ANSWERS")
    return int(len(answers) > 1)


if __name__ == "__main__":
    sys.exit(main())
