"""Compiles a grammar elsewhere before the engine does, so that what it does there it does to no execution but its own.

Clients send grammars, and the library that compiles them was not made for all that clients send: some end the process
that compiles them, some never end, some take all memory.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import BoundedSemaphore, Lock
from typing import Final

from engine.grammar.trial_process import TrialProcess, TrialSettings, Verdict

PROCESSES: Final = 2
"""At most: one grammar that takes all its time does not hold up every other."""
_REMEMBERED: Final = 1024
"""Verdicts, of the grammars tried last."""


class GrammarSandbox:
    """Thread-safe. Its processes start when they are first needed, and end with it."""

    def __init__(self, settings: TrialSettings) -> None:
        self._settings = settings
        self._turns = BoundedSemaphore(PROCESSES)
        self._lock = Lock()  # of what follows; never held for long
        self._idle: list[TrialProcess] = []
        self._verdicts: OrderedDict[bytes, Verdict] = OrderedDict()

    def try_out(self, language: str, source: str) -> Verdict:
        """What compiling the grammar and finding its first tokens comes to.

        Blocking: for the patience at most until it is its turn, and as long again. Raises TrialError.
        """
        key = hashlib.sha256(f"{language}\0{source}".encode()).digest()
        with self._lock:
            if key in self._verdicts:
                self._verdicts.move_to_end(key)
                return self._verdicts[key]
        if not self._turns.acquire(timeout=self._settings.patience_ms / 1e3):
            return Verdict("timed_out", "other grammars are being compiled", lasting=False)
        try:
            verdict = self._try_out(language, source)
        finally:
            self._turns.release()
        if verdict.lasting:
            self._remember(key, verdict)
        return verdict

    def _try_out(self, language: str, source: str) -> Verdict:
        """Try it in a waiting process, if there is one. That one may have died, or have less memory left: only the
        death of a fresh one proves anything."""
        with self._lock:
            waiting = self._idle.pop() if self._idle else None
        if waiting is not None:
            verdict = self._try_in(waiting, language, source)
            if verdict.outcome not in ("crashed", "too_large"):
                return verdict
        return self._try_in(TrialProcess(self._settings), language, source)

    def _try_in(self, process: TrialProcess, language: str, source: str) -> Verdict:
        verdict = process.try_out(language, source)
        if process.alive:
            with self._lock:
                self._idle.append(process)
        return verdict

    def _remember(self, key: bytes, verdict: Verdict) -> None:
        with self._lock:
            self._verdicts[key] = verdict
            while len(self._verdicts) > _REMEMBERED:
                self._verdicts.popitem(last=False)
