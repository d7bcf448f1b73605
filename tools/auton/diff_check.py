"""What may come in: a task's changes, checked before anybody reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from auton.credentials import credentials_in
from auton.paths import is_allowed
from auton.repository import Worktree, contents_of, git, git_bytes, sizes_of
from auton.text import shown_in_line, steers

_NOTHING = "000000"
_FILES = frozenset({"100644", "100755"})
"""Modes of a file and a program; neither links nor submodules."""
_MOST_LINES = 2000
_MOST_BYTES = 256 * 1024
_MOST_FILES = 50
_CONFLICT = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)
_ADDED = ">"


@dataclass(frozen=True)
class _Change:
    path: str
    """Text with halves of characters where it is not UTF-8."""
    mode: str
    blob: str
    """Content that the file holds then."""
    lines: int | None
    """Lines added and removed; ``None``: binary."""


def faults_of(worktree: Worktree, commit: str, allowed: Sequence[str]) -> list[str]:
    """What stands against a commit's changes; nothing, if they may come in. ``allowed``: patterns of paths, such as
    ``kernel/**/*.c``."""
    changes = list(_changes(worktree, commit))
    found = [fault for change in changes for fault in _faults_of_change(change, allowed)]
    if len(changes) > _MOST_FILES:
        found.append(f"{len(changes)} files are changed, and {_MOST_FILES} may be")
    else:
        found.extend(_faults_of_content(worktree, [one for one in changes if one.mode in _FILES]))
    lines = sum(change.lines or 0 for change in changes)
    if lines > _MOST_LINES:
        found.append(f"{lines} lines are changed, and {_MOST_LINES} may be")
    added = _added(worktree, commit)
    if _CONFLICT.search(added):
        found.append("it holds an unfinished merge")
    found.extend(f"it holds {what}" for what in credentials_in(added))
    found.extend(f"a path holds {what}" for what in credentials_in("\n".join(one.path for one in changes)))
    message = git(worktree.folder, "log", "-1", "--format=%B", commit)
    return found + [f"its summary holds {what}" for what in credentials_in(message)]


def _changes(worktree: Worktree, commit: str) -> Iterator[_Change]:
    compared = ("--no-renames", "-z", worktree.base, commit)
    raw = _parts(git_bytes(worktree.folder, "diff", "--raw", "--no-abbrev", *compared))
    told = dict(zip(raw[1::2], raw[::2], strict=True))
    for line in _parts(git_bytes(worktree.folder, "diff", "--numstat", *compared)):
        added, removed, path = line.split("\t", 2)
        _, mode, _, blob, _ = told[path].split()
        yield _Change(path, mode, blob, None if added == "-" else int(added) + int(removed))


def _parts(told: bytes) -> list[str]:
    return told.decode(errors="surrogateescape").split("\0")[:-1]


def _faults_of_change(change: _Change, allowed: Sequence[str]) -> Iterator[str]:
    path = shown_in_line(change.path)
    if not is_allowed(change.path, allowed):
        yield f"{path} is not among the task's paths ({', '.join(allowed)})"
    if steers(change.path):
        yield f"{path} is no name of plain text in UTF-8"
    if any(part.casefold() in {".git", ".gitmodules", ".gitattributes"} for part in PurePosixPath(change.path).parts):
        yield f"{path} would change what Git itself does"
    if change.mode not in {*_FILES, _NOTHING}:
        yield f"{path} is a link or a submodule"
    elif change.mode == _NOTHING and change.lines is None:
        yield f"{path} is binary"


def _faults_of_content(worktree: Worktree, changes: Sequence[_Change]) -> Iterator[str]:
    """Faults of files as Git holds them: the worktree's may have other names, or be others by now."""
    sizes = sizes_of(worktree, [one.blob for one in changes])
    fitting = []
    for change, size in zip(changes, sizes, strict=True):
        if size > _MOST_BYTES:
            yield f"{shown_in_line(change.path)} has {size} bytes, and {_MOST_BYTES} may be"
        else:
            fitting.append(change)
    contents = contents_of(worktree, [one.blob for one in fitting])
    for change, content in zip(fitting, contents, strict=True):
        # Git looks at the beginning alone.
        if change.lines is None or b"\0" in content:
            yield f"{shown_in_line(change.path)} is binary"


def _added(worktree: Worktree, commit: str) -> str:
    """The lines that are added. A mark of their own tells them from Git's headers, whatever they begin with."""
    options = ("--no-ext-diff", "--no-textconv", "--no-color", "-U0", f"--output-indicator-new={_ADDED}")
    text = git(worktree.folder, "diff", *options, worktree.base, commit)
    # A line ends where Git says so: other ends of lines, such as a form feed, would hide what follows them.
    return "\n".join(line.removeprefix(_ADDED) for line in text.split("\n") if line.startswith(_ADDED))
