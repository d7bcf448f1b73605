"""The Git repository: a worktree and a branch for each task, and one where all come together.

``git`` is called as a program. It runs nothing that agents write: no hooks, no configuration but the repository's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from auton.credentials import is_credential
from auton.errors import AutonError

_GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never")
_NAME = "auton"
_TIMEOUT_S = 120.0


class GitError(AutonError):
    """Git refused."""


class MergeConflictError(GitError):
    """What a task changed does not fit what has come in meanwhile."""


@dataclass(frozen=True)
class Worktree:
    """A folder with a branch of its own."""

    folder: Path
    branch: str
    base: str
    """The commit that it began with."""


class Repository:
    """The operator's repository. Its own branches and worktree stay as they are."""

    def __init__(self, folder: Path) -> None:
        """Raises GitError: the folder is in no repository, or ``git`` is not installed."""
        if shutil.which("git") is None:
            raise GitError("git is not installed")
        self.folder = Path(git(folder, "rev-parse", "--show-toplevel").strip())
        self.state = Path(git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir").strip()) / "auton"

    def head(self) -> str:
        """The commit that is checked out."""
        return git(self.folder, "rev-parse", "--verify", "HEAD^{commit}").strip()

    def worktree(self, run: str, name: str, base: str) -> Worktree:
        """A new worktree at ``base``; what a killed run left in its place is removed."""
        folder, branch = self.state / run / "worktrees" / name, f"{_NAME}/{run}/{name}"
        if folder.exists():
            shutil.rmtree(folder)
        git(self.folder, "worktree", "prune")
        folder.parent.mkdir(parents=True, exist_ok=True)
        git(self.folder, "worktree", "add", "--quiet", "-B", branch, str(folder), base)
        return Worktree(folder, branch, base)

    def remove(self, worktree: Worktree) -> None:
        """Remove the folder; the branch stays."""
        git(self.folder, "worktree", "remove", "--force", str(worktree.folder))


def commit_all(worktree: Worktree, message: str, at: int) -> str | None:
    """Commit what the worktree holds, and its commit; ``None``: nothing changed. ``at``: seconds since 1970."""
    git(worktree.folder, "reset", "--quiet", "--soft", worktree.base)
    git(worktree.folder, "add", "--all")
    if not git(worktree.folder, "status", "--porcelain"):
        return None
    git(worktree.folder, "commit", "--quiet", "--no-verify", "--message", message, at=at)
    return head_of(worktree)


def merge(into: Worktree, commit: str, message: str, at: int) -> str:
    """Merge a commit, and the merge's own. Raises MergeConflictError; the worktree is then as it was."""
    try:
        git(into.folder, "merge", "--quiet", "--no-ff", "--no-verify", "--message", message, commit, at=at)
    except GitError as error:
        git(into.folder, "merge", "--abort", check=False)
        raise MergeConflictError(f"it does not merge: {error}") from error
    return head_of(into)


def head_of(worktree: Worktree) -> str:
    """The commit that a worktree is at."""
    return git(worktree.folder, "rev-parse", "HEAD").strip()


def reset(worktree: Worktree, commit: str) -> None:
    """Have the branch and the folder at a commit."""
    git(worktree.folder, "reset", "--quiet", "--hard", commit)


def export(worktree: Worktree, folder: Path) -> None:
    """Write the files of its commit into a folder that is no repository, so that nothing built there reaches Git."""
    with TemporaryDirectory(prefix="auton-") as name:
        index = Path(name) / "index"
        git(worktree.folder, "read-tree", "HEAD", index=index)
        git(worktree.folder, "checkout-index", "--all", f"--prefix={folder.resolve()}/", index=index)


def diff(worktree: Worktree, commit: str) -> str:
    """What a commit changes, as text for a reader."""
    return git(worktree.folder, "diff", "--no-ext-diff", "--no-textconv", "--no-color", worktree.base, commit)


def sizes_of(worktree: Worktree, blobs: Sequence[str]) -> list[int]:
    """How many bytes each blob has."""
    told = git_bytes(worktree.folder, "cat-file", "--batch-check=%(objectsize)", given=_lines(blobs))
    return [int(one) for one in told.split()]


def contents_of(worktree: Worktree, blobs: Sequence[str]) -> Iterator[bytes]:
    """Content of each blob."""
    told = git_bytes(worktree.folder, "cat-file", "--batch=%(objectsize)", given=_lines(blobs))
    place = 0
    for _ in blobs:
        begin = told.index(b"\n", place) + 1
        place = begin + int(told[place:begin]) + 1
        yield told[begin : place - 1]


def git(folder: Path, *arguments: str, at: int | None = None, index: Path | None = None, check: bool = True) -> str:
    """Output of ``git`` as text. The rest is as in :func:`git_bytes`."""
    return git_bytes(folder, *arguments, at=at, index=index, check=check).decode(errors="replace")


def git_bytes(
    folder: Path,
    *arguments: str,
    at: int | None = None,
    index: Path | None = None,
    check: bool = True,
    given: bytes = b"",
) -> bytes:
    """Output of ``git``, run in a folder. ``index``: in place of the worktree's; ``given``: what it reads.

    Raises GitError with its words.
    """
    environment = _environment(at)
    if index is not None:
        environment["GIT_INDEX_FILE"] = str(index)
    try:
        done = subprocess.run(  # noqa: S603  git, with arguments that are no shell's
            [*_GIT, *arguments],
            cwd=folder,
            env=environment,
            input=given,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(f"git {arguments[0]}: {error}") from error
    if check and done.returncode != 0:
        told = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise GitError(f"git {arguments[0]}: {told}")
    return done.stdout


def _environment(at: int | None) -> dict[str, str]:
    """The variables that ``git`` has: this process's, but for those that speak of Git or are credentials."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_") and not is_credential(name)
    }
    environment |= {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    for whose in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{whose}_NAME": _NAME, f"GIT_{whose}_EMAIL": f"{_NAME}@localhost"}
        if at is not None:
            environment[f"GIT_{whose}_DATE"] = f"{at} +0000"
    return environment


def _lines(names: Sequence[str]) -> bytes:
    return "".join(f"{one}\n" for one in names).encode()
