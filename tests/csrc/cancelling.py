"""A computation seen and cancelled from another thread than the one that carries it out."""

from __future__ import annotations

import threading

from engine import _core


def cancel_when_begun(computation: _core.TextEvaluation | _core.TextEmbedding) -> None:
    """Cancel a computation that takes far longer than this thread needs to look; fail if it ends otherwise."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            computation.run()
        except _core.CancelledError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while computation.progress()[0] == 0:
        assert thread.is_alive()
    computation.cancel()
    thread.join()
    assert len(failures) == 1
    done, total = computation.progress()
    assert done < total
