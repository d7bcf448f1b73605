"""A repository to work on, and scripts that work on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from auton.repository import git

GREETING = '#include <stdio.h>\n\nint main(void) {\n    puts("hello");\n    return 0;\n}\n'
MAKEFILE = "build/kernel: kernel/main.c\n\tmkdir -p build\n\t$(CROSS_COMPILE)cp $< $@\n"


def new_repository(folder: Path) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "kernel").mkdir()
    (folder / "kernel" / "main.c").write_text(GREETING)
    (folder / "Makefile").write_text(MAKEFILE)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin", at=1_000_000_000)
    return folder


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def line(role: str, task: str, *calls: dict[str, Any], text: str = "", **more: Any) -> dict[str, Any]:
    return {"role": role, "task": task, "text": text, "calls": list(calls), **more}


def write_script(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def planned(*tasks: tuple[str, str], after: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """A plan of tasks, each with the pattern of its paths."""
    calls = [
        call("add_task", task=name, description=f"Do {name}.", paths=[paths], after=(after or {}).get(name, []))
        for name, paths in tasks
    ]
    return line("manager", "goal", *calls, call("finish_plan"))


def written(task: str, path: str, content: str) -> dict[str, Any]:
    """A developer that writes one file and hands it in."""
    write = call("write_file", path=path, content=content)
    return line("developer", task, write, call("submit", summary=f"Write {path}"))


def approved(task: str) -> dict[str, Any]:
    return line("reviewer", task, call("approve"))


ACCEPTED = line("tester", "goal", call("accept"))
TWO_TASKS = [
    planned(("boot-001", "kernel/boot/*"), ("uart-001", "kernel/uart.c")),
    line("developer", "boot-001", call("list_files"), call("read_file", path="kernel/main.c")),
    written("boot-001", "kernel/boot/start.s", ".global _start\n"),
    approved("boot-001"),
    written("uart-001", "kernel/uart.c", "void uart_write(char c);\n"),
    approved("uart-001"),
    ACCEPTED,
]
"""A run that goes well."""
