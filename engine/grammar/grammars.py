"""Grammars compiled for one vocabulary, by a library that is loaded when the first is asked for."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Final

from typing_extensions import assert_never

from engine import _core
from engine.grammar.grammar_sandbox import GrammarSandbox
from engine.grammar.trial_process import TrialError, TrialSettings
from protocol.errors import GrammarTimeout, GrammarTooComplex, GrammarUnavailable, InternalError, InvalidGrammar
from protocol.grammar import PlanGrammar

COMPILE_MS: Final = 2000
"""How long a request waits for its grammar."""
_PACKAGE: Final = "llguidance"
_KEPT: Final = 16
_REASON_CHARACTERS: Final = 400
_BACKTRACE: Final = re.compile(r"\s*\bstack backtrace:", re.IGNORECASE)
"""Where a complaint goes on with what is for the library's authors."""
_LIMIT_WORDS: Final = ("too big (limit", "schema too large", "increase limits.", "parser error: ", "lexer error: ")
"""How the library words that a grammar exceeds what it may take."""


class Grammars:
    """Thread-safe. Those used last are kept."""

    def __init__(
        self, vocabulary: _core.Vocabulary, eos_token_ids: Sequence[int], compile_ms: int = COMPILE_MS
    ) -> None:
        """``eos_token_ids`` are what a grammar allows where an answer may end."""
        self._vocabulary = vocabulary
        self._eos_token_ids = tuple(eos_token_ids)
        self._compile_ms = compile_ms
        self._lock = Lock()  # of what is compiled; never held for long
        self._reading = Lock()
        self._tokens: _core.GrammarVocabulary | None = None
        self._sandbox: GrammarSandbox | None = None
        self._compiled: OrderedDict[tuple[str, str], _core.Grammar] = OrderedDict()

    def find(self, grammar: PlanGrammar) -> _core.Grammar | None:
        """If it is compiled already."""
        with self._lock:
            key = (grammar.language, grammar.text)
            if key in self._compiled:
                self._compiled.move_to_end(key)
            return self._compiled.get(key)

    def compile(self, grammar: PlanGrammar) -> _core.Grammar:
        """Tried in the sandbox, then compiled here. Blocking: once the vocabulary has been read, for ``compile_ms`` at
        most until it is its turn, and twice that to compile it.

        Raises:
            InvalidGrammar: it is ill-formed, asks for what the library lacks, allows nothing, or crashes the library.
            GrammarTooComplex: beyond the library's limits of size and work, or the sandbox's of memory.
            GrammarTimeout: beyond the time.
            GrammarUnavailable: the library is not there, or not the version needed; or no process can be had to try
                grammars in.
        """
        compiled = self.find(grammar)
        if compiled is not None:
            return compiled
        if self._tokens is None:
            self._try_while_reading(grammar)
        else:
            self._try_out(grammar)
        tokens = self._read_vocabulary()
        try:
            compiled = _core.Grammar(tokens, grammar.language, grammar.text, patience_ms=self._compile_ms)
        except _core.GrammarError as error:
            raise _refusal(grammar, str(error)) from error
        except _core.GrammarTimeoutError as error:
            raise self._timeout(str(error)) from error
        with self._lock:
            self._compiled[grammar.language, grammar.text] = compiled
            while len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        return compiled

    def _try_while_reading(self, grammar: PlanGrammar) -> None:
        """The sandbox's process reads the vocabulary too, at the same time."""
        with ThreadPoolExecutor(1) as beside:
            trial = beside.submit(self._try_out, grammar)
            self._read_vocabulary()
        trial.result()

    def _try_out(self, grammar: PlanGrammar) -> None:
        try:
            verdict = self._sandbox_of_vocabulary().try_out(grammar.language, grammar.text)
        except TrialError as error:
            raise GrammarUnavailable(
                f"grammars cannot be used now: they are tried out in a process of their own, and {error}",
                reason=str(error),
                remedy="let the engine have more processes, memory and CPU time",
            ) from error
        match verdict.outcome:
            case "compiled":
                return
            case "timed_out":
                raise self._timeout(verdict.reason)
            case "refused" | "crashed":
                raise _refusal(grammar, verdict.reason)
            case "too_large":
                raise _refusal(grammar, verdict.reason, GrammarTooComplex)
            case _:
                assert_never(verdict.outcome)

    def _sandbox_of_vocabulary(self) -> GrammarSandbox:
        library = str(library_path())
        with self._lock:
            if self._sandbox is None:
                settings = TrialSettings(library, self._vocabulary, self._eos_token_ids, self._compile_ms)
                self._sandbox = GrammarSandbox(settings)
            return self._sandbox

    def _timeout(self, reason: str) -> GrammarTimeout:
        return GrammarTimeout(
            f"the grammar was not compiled within {self._compile_ms} ms: {reason}", maximum_ms=self._compile_ms
        )

    def _read_vocabulary(self) -> _core.GrammarVocabulary:
        library = require_library()
        with self._reading:
            if self._tokens is None:
                try:
                    self._tokens = _core.GrammarVocabulary(library, self._vocabulary, self._eos_token_ids)
                except _core.GrammarError as error:
                    raise InternalError(f"the grammar library refuses the vocabulary: {error}") from error
            return self._tokens


@cache
def require_library() -> _core.GrammarLibrary:
    """The library. Raises GrammarUnavailable: it is not there, or not the version needed."""
    try:
        return _core.GrammarLibrary(str(library_path()))
    except _core.GrammarLibraryError as error:
        raise _unavailable(str(error)) from error


def library_path() -> Path:
    """Raises GrammarUnavailable: the library is not installed."""
    spec = find_spec(_PACKAGE)  # does not import it
    folders = () if spec is None else spec.submodule_search_locations or ()
    files = [path for folder in folders for path in sorted(Path(folder).glob("_lib*.so"))]
    if not files:
        raise _unavailable(f"{_PACKAGE} is not installed")
    return files[0]


def _unavailable(reason: str) -> GrammarUnavailable:
    remedy = f"pip install {_PACKAGE}=={_core.GRAMMAR_LIBRARY_VERSION}"
    return GrammarUnavailable(f"grammars cannot be used here: {reason}; run: {remedy}", reason=reason, remedy=remedy)


def _refusal(
    grammar: PlanGrammar, told: str, kind: type[InvalidGrammar] | type[GrammarTooComplex] | None = None
) -> InvalidGrammar | GrammarTooComplex:
    reason = _BACKTRACE.split(told)[0]
    reason = reason if len(reason) <= _REASON_CHARACTERS else reason[:_REASON_CHARACTERS] + " …"
    if kind is None:
        kind = GrammarTooComplex if any(words in told.lower() for words in _LIMIT_WORDS) else InvalidGrammar
    return kind(f"the grammar cannot be used: {reason}", field="execution.grammar", kind=grammar.kind, reason=reason)
