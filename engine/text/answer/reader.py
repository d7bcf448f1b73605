"""Reads an answer as it comes."""

from __future__ import annotations

import re
from collections.abc import Collection

from engine.text.answer.call_formats import CallFormat
from engine.text.answer.call_stream import CallStream
from engine.text.answer.json_calls import read_json_calls
from engine.text.answer.parts import Part
from engine.text.answer.source import Reading, Source, held_back
from engine.text.answer.thinking import ThinkingMarkers

_FENCES = ("```json", "```")


class AnswerReader:
    """Text in, parts out. The parts depend on the text alone and not on how it was cut, but for where texts of one kind
    are cut.

    No part holds the beginning of a marker that may still be completed. Every character of the text is in a part,
    except what wraps one: markers, a call's JSON beside its name and arguments, and the white space around thinking and
    calls. What begins like a call and is none stays content, its marker included.
    """

    def __init__(
        self,
        call_format: CallFormat | None = None,
        names: Collection[str] = (),
        thinking: ThinkingMarkers | None = None,
        *,
        opened: bool = False,
        parallel: bool = True,
    ) -> None:
        """``names``: the tools that may be called. ``opened``: the text begins within thinking. Without ``parallel``
        whatever follows the first call is content."""
        self._format = call_format
        self._thinking = thinking
        self._opened = opened
        self._parallel = parallel
        self._source = Source()
        self._calls = CallStream(self._source, names)
        openers = sorted(call_format.openers if call_format else (), key=len, reverse=True)
        self._openers = tuple(openers)
        self._opening = re.compile("|".join(map(re.escape, openers)) or r"(?!)")
        self._reading = self._read()

    def feed(self, text: str) -> list[Part]:
        """What has become certain with more of the text."""
        self._source.add(text)
        return self._advance()

    def finish(self) -> list[Part]:
        """The rest, where no more text comes. Idempotent."""
        self._source.ended = True
        return self._advance()

    def _advance(self) -> list[Part]:
        next(self._reading, None)
        return self._calls.take()

    def _read(self) -> Reading[None]:
        if self._thinking is not None:
            yield from self._read_thinking(self._thinking)
        begins = True  # an answer, or behind a call
        while self._format is not None:
            bare = begins and self._format.bare and (yield from self._read_bare())
            if bare or (yield from self._read_marked(self._format)):
                begins = True
                yield from self._source.skip_space()
                self._source.take()
                if not self._parallel:
                    break
            elif self._source.ended and not self._source.text:
                return
            else:
                begins = False
        yield from self._read_rest()

    def _read_thinking(self, markers: ThinkingMarkers) -> Reading[None]:
        source = self._source
        if not self._opened:
            yield from source.skip_space()
            if not (yield from source.accept(markers.begin)):
                source.position = 0
                return
        yield from source.skip_space()
        source.take()
        while (found := source.text.find(markers.end)) < 0:
            source.position = len(source.text) - (0 if source.ended else _uncertain(source.text, (markers.end,)))
            self._calls.thought()
            if source.ended:
                return
            yield
        source.position = len(source.text[:found].rstrip())
        self._calls.thought()
        source.position = source.text.index(markers.end) + len(markers.end)
        yield from source.skip_space()
        source.take()

    def _read_bare(self) -> Reading[bool]:
        """Whether calls without a marker come next, maybe in a fence of code."""
        source = self._source
        first = yield from source.skip_space()
        fenced = yield from source.accept_any(_FENCES)
        if fenced:
            first = yield from source.skip_space()
        if first in ("{", "[") and (yield from read_json_calls(self._calls, known=True)):
            if fenced:
                yield from source.skip_space()
                yield from source.accept("```")
            return True
        source.position = 0
        return False

    def _read_marked(self, call_format: CallFormat) -> Reading[bool]:
        """Content up to a marker, and the calls behind it; whether there were any."""
        source = self._source
        while (found := self._opening.search(source.text)) is None:
            source.position = len(source.text) - (0 if source.ended else _uncertain(source.text, self._openers))
            self._calls.content()
            if source.ended:
                return False
            yield
        source.position = len(source.text[: found.start()].rstrip())
        self._calls.content()
        behind = found.end() - found.start() + _space_before(source.text)
        source.position = behind
        if (yield from call_format.read(self._calls)):
            for closer in call_format.closers:
                yield from source.skip_space()
                yield from source.accept(closer)
            return True
        source.position = behind
        self._calls.content()
        return False

    def _read_rest(self) -> Reading[None]:
        while True:
            self._source.position = len(self._source.text)
            self._calls.content()
            if self._source.ended:
                return
            yield


def _uncertain(text: str, markers: tuple[str, ...]) -> int:
    """How many characters at the end may become a marker, with the white space before it, which would go with it."""
    certain = len(text) - held_back(text, markers)
    return len(text) - len(text[:certain].rstrip())


def _space_before(text: str) -> int:
    return len(text) - len(text.lstrip())
