"""Progress bars on stderr."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from protocol.answers import Progress as ProgressMessage
    from protocol.blocking import BlockingClient
    from protocol.message import AnswerT, StreamRequest
    from protocol.progress import StageProgress
    from protocol.run_view import ShownProgress


class ProgressBar:
    """One for each stage, gone when closed. Nothing is drawn where stderr is no terminal, nor with ``quiet``."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet or not sys.stderr.isatty()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def show(self, progress: StageProgress | ShownProgress) -> None:
        """Draw the progress of a stage."""
        if self._quiet:
            return
        if self._bars is None:
            self._bars = _make_bars()
            self._bars.start()
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(progress.stage, amount="")
        self._bars.update(
            self._tasks[progress.stage], completed=progress.done, total=progress.total, amount=amount(progress)
        )

    def ask(self, client: BlockingClient, request: StreamRequest[ProgressMessage, AnswerT]) -> AnswerT:
        """The answer to a request whose progress is shown until then. Raises what the client raises."""
        from protocol.answers import Progress

        messages = client.follow(request)
        while isinstance(message := next(messages), Progress):
            self.show(message)
        return message

    def close(self) -> None:
        """Idempotent; a later :meth:`show` draws anew."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()


def amount(progress: StageProgress | ShownProgress) -> str:
    """Text such as ``120.0/138.6 MB, 80/272 tensors, 3 s left``."""
    parts = [_done(progress)]
    if progress.tensors_total is not None:
        parts.append(f"{progress.tensors_done}/{progress.tensors_total} tensors")
    if progress.eta_s is not None:
        parts.append(f"{progress.eta_s:,.0f} s left")
    return ", ".join(parts)


def _done(progress: StageProgress | ShownProgress) -> str:
    if progress.unit != "bytes":
        return f"{progress.done}/{'?' if progress.total is None else progress.total} {progress.unit}"
    total = "?" if progress.total is None else f"{progress.total / 10**6:,.1f}"
    return f"{progress.done / 10**6:,.1f}/{total} MB"


def _make_bars() -> Progress:
    # Most runs show none, and then need not wait for this import.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[amount]}"))
    return Progress(*columns, console=Console(stderr=True), transient=True)
