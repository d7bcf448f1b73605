"""What the documentation has a reader type, page by page, and what it shows as the answer."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROMPT = "$ "
CONTINUED = "> "
DEBUGGER = "(gdb) "
"""The prompt of another program, which the command above it starts."""


@dataclass(frozen=True)
class TypedCommand:
    """One command as a shell reads it, of as many lines as that takes; ``shown`` is what stands below it."""

    text: str
    shown: tuple[str, ...] = ()


def blocks_of(page: Path) -> Iterator[tuple[TypedCommand, ...]]:
    """The commands of each block of a shell, in the page's order."""
    for language, content in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "sh":
            typed = [line for line in content.splitlines() if not line.startswith(DEBUGGER)]
            yield tuple(map(TypedCommand, _whole_commands(typed)))
        elif language == "console":
            yield tuple(_session(content.splitlines()))


def unmarked_commands(page: Path) -> list[str]:
    """Lines of blocks without a language that look as if they were typed, so that nothing would run them."""
    unmarked = "".join(content for language, content in BLOCK.findall(page.read_text(encoding="utf-8")) if not language)
    return re.findall(r"^(?:engine-ctl|weos-agents|make|curl|systemctl|pip) .*", unmarked, flags=re.MULTILINE)


def _whole_commands(lines: list[str]) -> Iterator[str]:
    pending = ""
    for line in lines:
        pending += line + "\n"
        if pending.strip() and _is_whole(pending):
            yield pending.strip()
            pending = ""
    assert not pending.strip(), f"a command has no end: {pending}"


def _is_whole(text: str) -> bool:
    """Whether a shell would wait for no further line."""
    if text.rstrip("\n").endswith("\\"):
        return False
    checked = subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False)  # noqa: S603, S607
    return checked.returncode == 0


def _session(lines: list[str]) -> Iterator[TypedCommand]:
    typed, shown = "", list[str]()
    for line in lines:
        if line.startswith(PROMPT):
            if typed:
                yield TypedCommand(typed, tuple(shown))
            typed, shown = line.removeprefix(PROMPT), []
        elif not shown and line.startswith(CONTINUED):
            typed += "\n" + line.removeprefix(CONTINUED)
        elif not shown and typed.endswith("\\"):
            typed += "\n" + line
        else:
            shown.append(line)
    yield TypedCommand(typed, tuple(shown))
