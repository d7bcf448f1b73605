"""What may come in: a task's changes, checked before anybody reads them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from auton.paths import is_allowed
from auton.repository import Worktree, git

_MODES = frozenset({"000000", "100644", "100755"})
"""Nothing, a file, a program; neither links nor submodules."""
_MOST_LINES = 2000
_MOST_BYTES = 256 * 1024
_MOST_FILES = 50
_SECRETS = {
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a key of AWS": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token of GitHub": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b"),
    "a provider's key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}\b"),
}
_CONFLICT = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)
_LEAST_SECRET = 8
_ADDED = ">"


@dataclass(frozen=True)
class _Change:
    path: str
    mode: str
    lines: int | None
    """Lines added and removed; ``None``: binary."""


def faults_of(worktree: Worktree, commit: str, allowed: Sequence[str]) -> list[str]:
    """What stands against a commit's changes; nothing, if they may come in. ``allowed``: patterns of paths, such as
    ``kernel/**/*.c``."""
    changes = list(_changes(worktree, commit))
    found = [fault for change in changes for fault in _faults_of_change(worktree, change, allowed)]
    if len(changes) > _MOST_FILES:
        found.append(f"{len(changes)} files are changed, and {_MOST_FILES} may be")
    lines = sum(change.lines or 0 for change in changes)
    if lines > _MOST_LINES:
        found.append(f"{lines} lines are changed, and {_MOST_LINES} may be")
    return found + list(_faults_of_text(_added(worktree, commit)))


def _changes(worktree: Worktree, commit: str) -> Iterator[_Change]:
    compared = ("--no-renames", "-z", worktree.base, commit)
    raw = git(worktree.folder, "diff", "--raw", *compared).split("\0")
    modes = {raw[place + 1]: raw[place].split()[1] for place in range(0, len(raw) - 1, 2)}
    for line in git(worktree.folder, "diff", "--numstat", *compared).split("\0"):
        if line:
            added, removed, path = line.split("\t", 2)
            lines = None if added == "-" else int(added) + int(removed)
            yield _Change(path, modes[path], lines)


def _faults_of_change(worktree: Worktree, change: _Change, allowed: Sequence[str]) -> Iterator[str]:
    path = PurePosixPath(change.path)
    if not is_allowed(change.path, allowed):
        yield f"{path} is not among the task's paths ({', '.join(allowed)})"
    if any(part.casefold() in {".git", ".gitmodules", ".gitattributes"} for part in path.parts):
        yield f"{path} would change what Git itself does"
    if change.mode not in _MODES:
        yield f"{path} is a link or a submodule"
    elif change.lines is None:
        yield f"{path} is binary"
    file = worktree.folder / change.path
    if file.is_file() and not file.is_symlink() and file.stat().st_size > _MOST_BYTES:
        yield f"{path} has {file.stat().st_size} bytes, and {_MOST_BYTES} may be"


def _added(worktree: Worktree, commit: str) -> str:
    """The lines that are added. A mark of their own tells them from Git's headers, whatever they begin with."""
    options = ("--no-ext-diff", "--no-textconv", "--no-color", "-U0", f"--output-indicator-new={_ADDED}")
    text = git(worktree.folder, "diff", *options, worktree.base, commit)
    # A line ends where Git says so: other ends of lines, such as a form feed, would hide what follows them.
    return "\n".join(line.removeprefix(_ADDED) for line in text.split("\n") if line.startswith(_ADDED))


def _faults_of_text(added: str) -> Iterator[str]:
    yield from (f"it holds {what}" for what, pattern in _SECRETS.items() if pattern.search(added))
    for name, value in os.environ.items():
        if name.endswith(("_API_KEY", "_TOKEN", "_SECRET")) and len(value) >= _LEAST_SECRET and value in added:
            yield f"it holds the value of {name}"
    if _CONFLICT.search(added):
        yield "it holds an unfinished merge"
