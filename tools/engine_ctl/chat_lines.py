"""What a person writes in ``engine-ctl chat``: lines of a terminal with an editor, or those of a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.text_source import decoded

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

_FENCE = '"""'


def at_terminal() -> bool:
    """Whether a person is there to write."""
    return sys.stdin.isatty()


def entries(history: Path, commands: Sequence[str]) -> Iterator[str]:
    """What is written, entry by entry, to the end: a line, or the lines between two of \"\"\".

    ``history`` is the file of the lines that were written, readable by this user alone; ``commands`` are completed.
    At a terminal Ctrl-C drops what is being written, and leaves where nothing is.

    Raises:
        click.FileError: the history cannot be written to.
    """
    lines = _edited(_editor(history, commands)) if at_terminal() else map(decoded, sys.stdin.buffer)
    for line in lines:
        yield _fenced(line.strip()[len(_FENCE) :], lines) if line.strip().startswith(_FENCE) else line.strip()


def _fenced(first: str, lines: Iterator[str]) -> str:
    taken: list[str] = []
    line: str | None = first
    while line is not None:
        text, fence, _ = line.partition(_FENCE)
        taken.append(text)
        if fence:
            break
        line = next(lines, None)
    return "\n".join(text.rstrip("\r\n") for text in taken).strip("\n")


def _edited(editor: PromptSession[str]) -> Iterator[str]:
    leaving = False
    while True:
        try:
            yield editor.prompt("> ")
            leaving = False
        except KeyboardInterrupt:
            if leaving and not editor.default_buffer.text:
                return
            leaving = not editor.default_buffer.text
            if leaving:
                click.echo("Ctrl-C once more leaves", err=True)
        except EOFError:
            return


def _editor(history: Path, commands: Sequence[str]) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import create_output

    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    # Answers alone go to stdout: where that is no terminal, what is written is shown on stderr.
    output = create_output(stdout=sys.stderr) if sys.stderr.isatty() and not sys.stdout.isatty() else None
    return PromptSession(
        history=FileHistory(str(_private(history))),
        completer=WordCompleter(list(commands), sentence=True),
        key_bindings=keys,
        output=output,
    )


def _private(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        raise click.FileError(str(path), hint=str(error.strerror)) from error
    return path
