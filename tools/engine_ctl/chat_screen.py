"""Answers of ``engine-ctl chat`` as they come: on stdout as they are, or drawn as Markdown on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from engine_ctl.model_text import write_text, write_thought
from engine_ctl.progress_bar import ProgressBar

if TYPE_CHECKING:
    from rich.live import Live

    from protocol.progress import StageProgress


class ChatScreen:
    """Where answers are shown. Markdown is drawn only on a terminal: elsewhere the text itself is wanted."""

    def __init__(self, *, markdown: bool = False) -> None:
        self._markdown = markdown and sys.stdout.isatty()

    @contextmanager
    def answer(self) -> Iterator[ShownAnswer]:
        """One answer, from its first progress to its end."""
        with ProgressBar(quiet=False) as bar:
            shown = MarkdownAnswer(bar) if self._markdown else ShownAnswer(bar)
            try:
                yield shown
            finally:
                shown.end()


class ShownAnswer:
    """An answer whose text is written as it comes."""

    def __init__(self, bar: ProgressBar) -> None:
        self._bar = bar
        self._begun = False

    def show(self, text: str) -> None:
        """Show more of the text."""
        self._bar.close()
        self._begun = True
        write_text(text)

    def show_thought(self, text: str) -> None:
        """Show more of what is thought, on stderr."""
        self._bar.close()
        write_thought(text)

    def show_progress(self, progress: StageProgress) -> None:
        """Show how far the weights have come."""
        self._bar.show(progress)

    def end(self) -> None:
        """End the line of an answer that began."""
        if self._begun:
            click.echo()


class MarkdownAnswer(ShownAnswer):
    """An answer that is drawn anew, as Markdown, with each text that comes."""

    def __init__(self, bar: ProgressBar) -> None:
        super().__init__(bar)
        self._text = ""
        self._drawn: Live | None = None

    def show(self, text: str) -> None:
        """See :meth:`ShownAnswer.show`."""
        from rich.console import Console
        from rich.live import Live
        from rich.markdown import Markdown

        self._bar.close()
        if self._drawn is None:
            self._drawn = Live(console=Console(), auto_refresh=False, vertical_overflow="visible")
            self._drawn.start()
        self._text += text
        self._drawn.update(Markdown(self._text), refresh=True)

    def end(self) -> None:
        """Leave the answer as it is drawn."""
        if self._drawn is not None:
            self._drawn.stop()
