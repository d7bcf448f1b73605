"""The journal of a run: a file of JSON lines, each on the disk before anything follows from it.

A run that was killed begins again from the first line: every answer in the journal is taken from it and not asked for
again, and what was merged is not merged twice. An answer counts only for the very question it was given to.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import Self

from auton.errors import AutonError
from auton.provider import Question, Reply


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Begun(_Entry):
    """The first line."""

    kind: Literal["begun"] = "begun"
    goal: str
    base: str
    """The commit that the run begins with."""
    at: int
    """Seconds since 1970: the date of all its commits."""


class Answered(_Entry):
    """What a model answered."""

    kind: Literal["answered"] = "answered"
    key: str
    model: str
    digest: str
    """Digest of the question."""
    reply: Reply


class Merged(_Entry):
    """A task that came in."""

    kind: Literal["merged"] = "merged"
    task: str
    commit: str


class GivenUp(_Entry):
    """A task that did not, and why."""

    kind: Literal["given_up"] = "given_up"
    task: str
    reason: str


class Ended(_Entry):
    """The last line: the run came to its end."""

    kind: Literal["ended"] = "ended"
    accepted: bool
    remark: str


Entry = Annotated[Begun | Answered | Merged | GivenUp | Ended, Field(discriminator="kind")]
_ENTRY: TypeAdapter[Begun | Answered | Merged | GivenUp | Ended] = TypeAdapter(Entry)


class Journal:
    """A journal to go on with, which no other process goes on with meanwhile. To look at one: :func:`entries_of`."""

    def __init__(self, path: Path) -> None:
        """Forgets a line that was not written to its end.

        Raises AutonError: any other line cannot be read; the run is under way elsewhere.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        try:
            _hold(self._file, path)
            self.entries, whole = _read(path)
            self._file.truncate(whole)
        except BaseException:
            self._file.close()
            raise
        self._answers = {entry.key: entry for entry in self.entries if isinstance(entry, Answered)}

    def add(self, entry: Begun | Answered | Merged | GivenUp | Ended) -> None:
        """Append a line, and have it on the disk."""
        self._file.write(entry.model_dump_json().encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.entries.append(entry)
        if isinstance(entry, Answered):
            self._answers[entry.key] = entry

    def answer_to(self, question: Question) -> Reply | None:
        """What was answered to this very question; ``None``: nothing was."""
        known = self._answers.get(question.key)
        return known.reply if known is not None and known.digest == digest_of(question) else None

    @property
    def begun(self) -> Begun | None:
        """How the run began, if it did."""
        return next((entry for entry in self.entries if isinstance(entry, Begun)), None)

    @property
    def ended(self) -> Ended | None:
        """How it ended, if it did."""
        return next((entry for entry in self.entries if isinstance(entry, Ended)), None)

    def merged(self, task: str) -> str | None:
        """The commit by which a task came in."""
        found = [entry.commit for entry in self.entries if isinstance(entry, Merged) and entry.task == task]
        return found[-1] if found else None

    def given_up(self, task: str) -> bool:
        """Whether a task was given up."""
        return any(isinstance(entry, GivenUp) and entry.task == task for entry in self.entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def digest_of(question: Question) -> str:
    """A hash of all that a question says."""
    return hashlib.sha256(question.model_dump_json().encode()).hexdigest()


def entries_of(path: Path) -> list[Begun | Answered | Merged | GivenUp | Ended]:
    """Entries that a journal holds by now; the file stays as it is. Raises AutonError: a line cannot be read."""
    return _read(path)[0]


def _hold(file: BinaryIO, path: Path) -> None:
    """Hold the journal, until the file is closed or the process ends in any way."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise AutonError(
            f"run {path.parent.name} is under way already: wait for its end, or give another name"
        ) from error


def _read(path: Path) -> tuple[list[Begun | Answered | Merged | GivenUp | Ended], int]:
    """The entries, and how many bytes they take."""
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    entries = []
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            entries.append(_ENTRY.validate_json(line))
        except ValidationError as error:
            raise AutonError(f"{path}:{number}: no line of a journal: {error.errors()[0]['msg']}") from error
    return entries, whole
