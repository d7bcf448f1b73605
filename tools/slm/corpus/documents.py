"""Documents: texts and conversations, read from a file or from a folder of text and JSONL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm.errors import SlmError

_JSON_LINES = frozenset({".jsonl", ".ndjson"})


@dataclass(frozen=True)
class Turn:
    """What one side of a conversation says."""

    role: str
    content: str


@dataclass(frozen=True)
class Document:
    """A text, or a conversation where ``turns`` has any."""

    text: str = ""
    turns: tuple[Turn, ...] = ()

    @property
    def plain(self) -> str:
        """All that it says, without roles."""
        return "\n".join(turn.content for turn in self.turns) if self.turns else self.text


def read_documents(path: Path) -> Iterator[Document]:
    """Every document of a file or folder, in the order of names. A file of text is one, and so is a line of JSONL.

    Such a line has ``text``, or ``text`` and ``next_action`` (a question and its answer, as in AUTON's data), or
    ``messages``.
    Hidden files are left out, and so are files in a folder that are not UTF-8.

    Raises SlmError: nothing is there; a file by itself is not UTF-8; a line is not such a document.
    """
    if path.is_file():
        yield from _read_file(path)
        return
    if not path.is_dir():
        raise SlmError(f"{path}: no such file or folder")
    for one in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in one.relative_to(path).parts)
        if one.is_file() and not hidden and _is_text(one):
            yield from _read_file(one)


def _is_text(path: Path) -> bool:
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _read_file(path: Path) -> Iterator[Document]:
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SlmError(f"{path}: {error}") from error
    if path.suffix not in _JSON_LINES:
        yield Document(content)
        return
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            yield _of_line(line, f"{path}:{number}")


def _of_line(line: str, place: str) -> Document:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise SlmError(f"{place}: not JSON: {error}") from error
    match found:
        case {"messages": [*messages]} if messages and all(map(_is_message, messages)):
            return Document(turns=tuple(Turn(one["role"], one["content"]) for one in messages))
        case {"text": str(question), "next_action": str(answer)}:
            return Document(turns=(Turn("user", question), Turn("assistant", answer)))
        case {"text": str(text)}:
            return Document(text)
    raise SlmError(f'{place}: neither {{"text": "…"}} nor {{"messages": [{{"role": "…", "content": "…"}}]}}')


def _is_message(found: Any) -> bool:
    match found:
        case {"role": "system" | "user" | "assistant", "content": str()}:
            return True
    return False
