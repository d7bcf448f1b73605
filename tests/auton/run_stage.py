"""A stage for runs: a script is played on a repository, and what came of it is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from auton.budget import Budget
from auton.journal import Ended, GivenUp, Journal
from auton.orchestrator import Orchestrator
from auton.provider import Provider, ScriptedProvider
from auton.repository import Repository, git
from auton.settings import Settings
from auton.validation import Isolation
from tests.auton.git_stage import write_script

GOAL = "A kernel that says hello"
AT = 1_700_000_000
DEFAULTS = Settings()


class Stage:
    """Runs a script on a repository."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self.repository = repository
        self.folder = folder

    def provider(self, lines: Sequence[dict[str, Any]]) -> ScriptedProvider:
        return ScriptedProvider(write_script(self.folder / "script.jsonl", lines))

    def run(self, provider: Provider, settings: Settings = DEFAULTS, isolation: Isolation | None = None) -> Ended:
        budget = Budget(settings.budget, lambda: 0.0)
        orchestrator = Orchestrator(self.repository, "one", settings, provider, budget, isolation, lambda _: None)
        return trio.run(orchestrator.run, GOAL, AT)

    @property
    def entries(self) -> list[Any]:
        with Journal(Orchestrator.journal_path(self.repository, "one")) as journal:
            return list(journal.entries)

    def files(self) -> list[str]:
        return git(self.repository.folder, "ls-tree", "-r", "--name-only", "auton/one/joined").split()

    def given_up(self) -> dict[str, str]:
        return {entry.task: entry.reason for entry in self.entries if isinstance(entry, GivenUp)}
