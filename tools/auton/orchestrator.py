"""A run: planned, developed side by side, reviewed, merged in the plan's order, judged; each step by the journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from auton.budget import Budget
from auton.conversation import Post, converse
from auton.diff_check import faults_of
from auton.errors import AutonError
from auton.journal import Answered, Begun, Ended, GivenUp, Journal, Merged, digest_of
from auton.provider import Provider, Question, Reply, ScriptedProvider
from auton.repository import (
    GitError,
    MergeConflictError,
    Repository,
    Worktree,
    commit_all,
    diff,
    export,
    head_of,
    merge,
    reset,
)
from auton.settings import Settings
from auton.toolbox import Accept, AddTask, Approve, FinishPlan, Reject, ReportFault, Submit, Toolbox
from auton.validation import Isolation, Step, Validated, validate
from auton.workspace import workspace

_GOAL = "goal"
"""The name of the task that is the whole run."""
_MOST_DIFF = 65_536
"""Characters of a change: a reviewer reads all of it or none."""


@dataclass(frozen=True)
class _Change:
    """What a developer handed in, and a reviewer let pass."""

    task: AddTask
    commit: str
    summary: str


class Orchestrator:
    """One run of a repository."""

    def __init__(
        self,
        repository: Repository,
        run: str,
        settings: Settings,
        provider: Provider,
        budget: Budget,
        isolation: Isolation | None,
        note: Callable[[str], None],
    ) -> None:
        """``isolation``: ``None`` where the settings have no command to run. ``note`` gets a line for each event."""
        self._repository = repository
        self._run = run
        self._settings = settings
        self._provider = provider
        self._budget = budget
        self._isolation = isolation
        self._note = note
        self._asking = trio.CapacityLimiter(settings.agents.developer_count + settings.agents.reviewer_count)
        self._developing = trio.CapacityLimiter(settings.agents.developer_count)
        self._reviewing = trio.CapacityLimiter(settings.agents.reviewer_count)

    @staticmethod
    def journal_path(repository: Repository, run: str) -> Path:
        """Where the journal of a run lies."""
        return repository.state / run / "journal.jsonl"

    async def run(self, goal: str, now: int) -> Ended:
        """Go the whole way, or the rest of it. ``now``: seconds since 1970, for a run that begins.

        Raises AutonError: the goal is another than the journal's; the budget is spent; a model cannot be asked.
        """
        with Journal(self.journal_path(self._repository, self._run)) as journal:
            self._journal = journal
            if journal.ended is not None:
                return journal.ended
            begun = journal.begun
            if begun is None:
                begun = Begun(goal=goal, base=self._repository.head(), at=now)
                journal.add(begun)
            if begun.goal != goal:
                raise AutonError(f"run {self._run} has another goal: {begun.goal}")
            self._begun = begun
            return await self._go()

    async def _go(self) -> Ended:
        joined = self._repository.worktree(self._run, "joined", self._begun.base)
        tasks = await self._plan(joined)
        waiting = list(tasks)
        done: set[str] = set()
        while waiting:
            wave = [task for task in waiting if done.issuperset(task.after)]
            waiting = [task for task in waiting if task not in wave]
            for change in await self._develop_all(wave, joined):
                await self._join(change, joined)
            done.update(task.task for task in wave)
        ended = await self._judge(joined)
        self._journal.add(ended)
        self._repository.remove(joined)
        return ended

    async def _plan(self, joined: Worktree) -> list[AddTask]:
        toolbox = Toolbox("manager", joined)
        decided = await converse(Post("manager", _GOAL), self._begun.goal, toolbox, self._settings, self._ask)
        if not decided or not isinstance(toolbox.decision, FinishPlan) or not toolbox.tasks:
            raise AutonError("the manager made no plan")
        self._note(f"planned: {', '.join(task.task for task in toolbox.tasks)}")
        return toolbox.tasks

    async def _develop_all(self, wave: list[AddTask], joined: Worktree) -> list[_Change]:
        """The changes of a wave's tasks, in the plan's order; those that were given up are left out."""
        base = head_of(joined)
        found: dict[str, _Change | None] = {}
        failed: list[Exception] = []

        async def one(task: AddTask) -> None:
            try:
                found[task.task] = await self._develop(task, base)
            except Exception as error:
                # The first is the run's end, and no group of those that its end has brought about.
                failed.append(error)
                nursery.cancel_scope.cancel()
            finally:
                self._developing.release_on_behalf_of(task.task)

        async with trio.open_nursery() as nursery:
            for task in wave:
                # In the plan's order: trio begins what was started together in any.
                await self._developing.acquire_on_behalf_of(task.task)
                nursery.start_soon(one, task)
        if failed:
            raise failed[0]
        return [change for task in wave if (change := found[task.task]) is not None]

    async def _develop(self, task: AddTask, base: str) -> _Change | None:
        worktree = self._repository.worktree(self._run, task.task, base)
        objection = ""
        try:
            for attempt in range(1, self._settings.agents.attempts + 1):
                change = await self._attempt(task, worktree, attempt, objection)
                if isinstance(change, _Change):
                    return change
                objection = change
                self._note(f"{task.task}: attempt {attempt} sent back: {objection.splitlines()[0]}")
        finally:
            self._repository.remove(worktree)
        self._give_up(task.task, objection)
        return None

    async def _attempt(self, task: AddTask, worktree: Worktree, attempt: int, objection: str) -> _Change | str:
        """The change, or what stands against it."""
        opening = f"Goal of all: {self._begun.goal}\n\nYour task, {task.task}: {task.description}"
        opening += f"\nPaths: {', '.join(task.paths)}"
        if objection:
            opening += f"\n\nAn earlier attempt is in the files. It was sent back:\n{objection}"
        toolbox = Toolbox("developer", worktree, allowed=task.paths)
        post = Post("developer", task.task, attempt)
        decided = await converse(post, opening, toolbox, self._settings, self._ask)
        if not decided or not isinstance(toolbox.decision, Submit):
            return "no change was submitted in time"
        summary = toolbox.decision.summary
        try:
            commit = commit_all(worktree, f"{task.task}: {summary}", self._begun.at)
        except GitError as error:
            return f"it cannot be committed: {error}"  # such as a name that Git keeps for itself
        if commit is None:
            return "nothing was changed"
        if faults := faults_of(worktree, commit, task.paths):
            return "\n".join(faults)
        text = diff(worktree, commit)
        if len(text) > _MOST_DIFF:
            return f"the change is {len(text):,} characters to read, and {_MOST_DIFF:,} may be: change less"
        decision = await self._review(task, text, worktree, attempt)
        if isinstance(decision, Approve):
            return _Change(task, commit, summary)
        return "the reviewer did not decide" if decision is None else decision.reason

    async def _review(self, task: AddTask, text: str, worktree: Worktree, attempt: int) -> Approve | Reject | None:
        """The reviewer's decision about a change; ``None``: there was none, which lets nothing in."""
        toolbox = Toolbox("reviewer", worktree)
        opening = f"The task, {task.task}: {task.description}\n\nThe change:\n{text}"
        async with self._reviewing:
            await converse(Post("reviewer", task.task, attempt), opening, toolbox, self._settings, self._ask)
        return toolbox.decision if isinstance(toolbox.decision, Approve | Reject) else None

    async def _join(self, change: _Change, joined: Worktree) -> None:
        """Merge a change; take it back where what is merged does not build."""
        task, before = change.task.task, head_of(joined)
        try:
            commit = merge(joined, change.commit, f"Merge {task}: {change.summary}", self._begun.at)
        except MergeConflictError as error:
            self._give_up(task, str(error))
            return
        if self._settings.validation.composition_checks:
            built = await self._validate(joined, ("build",))
            if any(not one.ran.succeeded for one in built):
                reset(joined, before)
                self._give_up(task, f"with it, {built[-1].told()}")
                return
        if self._journal.merged(task) != commit:
            self._journal.add(Merged(task=task, commit=commit))
        self._note(f"{task}: merged as {commit[:12]}")

    async def _judge(self, joined: Worktree) -> Ended:
        steps = await self._validate(joined, ("build", "test", "boot"))
        failed = [one for one in steps if not one.ran.succeeded]
        commit = head_of(joined)
        if commit == self._begun.base:
            return Ended(accepted=False, remark="nothing came in")
        if failed:
            return Ended(accepted=False, remark=failed[0].told())
        toolbox = Toolbox("tester", joined)
        opening = f"Goal: {self._begun.goal}\n\n{_told(steps)}"
        await converse(Post("tester", _GOAL), opening, toolbox, self._settings, self._ask)
        match toolbox.decision:
            case Accept():
                return Ended(accepted=True, remark=f"on branch {joined.branch}, {commit[:12]}")
            case ReportFault(fault=fault):
                return Ended(accepted=False, remark=fault)
        return Ended(accepted=False, remark="the tester did not decide")

    async def _validate(self, worktree: Worktree, steps: tuple[Step, ...]) -> list[Validated]:
        with workspace() as folder:
            export(worktree, folder)
            run = partial(validate, folder, steps, self._settings, self._isolation)
            return await trio.to_thread.run_sync(run)

    async def _ask(self, question: Question) -> Reply:
        """The journal's answer, or a model's."""
        known = self._journal.answer_to(question)
        if known is not None:
            if isinstance(self._provider, ScriptedProvider):
                self._provider.skip(question)
            self._budget.add(known.usage)
            return known
        self._budget.check()
        reply = await trio.to_thread.run_sync(
            self._provider.ask, question, limiter=self._asking, abandon_on_cancel=True
        )
        self._journal.add(Answered(key=question.key, model=question.model, digest=digest_of(question), reply=reply))
        self._budget.add(reply.usage)
        return reply

    def _give_up(self, task: str, reason: str) -> None:
        if not self._journal.given_up(task):
            self._journal.add(GivenUp(task=task, reason=reason))
        self._note(f"{task}: given up: {reason.splitlines()[0]}")


def _told(steps: list[Validated]) -> str:
    return "\n\n".join(one.told() for one in steps) or "Nothing is built or tested: no commands are set."
