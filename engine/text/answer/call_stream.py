"""Where the readers of calls put what they find."""

from __future__ import annotations

import re
from collections.abc import Collection

from engine.text.answer.json_source import decoded, skip_string, skip_value
from engine.text.answer.parts import CallArguments, CallStart, Content, Part, Thought
from engine.text.answer.source import Reading, Source

_NAME = re.compile(r"[\w.:/-]*")
LONGEST_NAME = 256


class CallStream:
    """The parts of an answer so far. Text that is put into a part, or wraps one, is let go of."""

    def __init__(self, source: Source, names: Collection[str]) -> None:
        self.source = source
        self.names = names
        self._parts: list[Part] = []

    def take(self) -> list[Part]:
        """The parts since the last time."""
        taken, self._parts = self._parts, []
        return taken

    def begin(self, name: str) -> None:
        """A call, whose header ends here."""
        self.source.take()
        self._parts.append(CallStart(name))

    def content(self) -> None:
        """Everything up to here is said to the user."""
        if text := self.source.take():
            self._parts.append(Content(text))

    def thought(self) -> None:
        """Everything up to here is thinking."""
        if text := self.source.take():
            self._parts.append(Thought(text))

    def arguments(self) -> None:
        """Everything up to here is JSON of the arguments."""
        self.put(self.source.take())

    def put(self, text: str) -> None:
        """More JSON of the arguments, made of text that the model wrote in another way."""
        if text:
            self._parts.append(CallArguments(text))


def read_name(source: Source) -> Reading[str]:
    """A tool's name; empty where none comes next."""
    begin = source.position
    while True:
        source.pass_over(_NAME)
        if source.position - begin > LONGEST_NAME:
            return ""
        if source.position < len(source.text) or source.ended:
            return source.text[begin : source.position]
        yield


def read_arguments(calls: CallStream) -> Reading[None]:
    """The arguments of the call that has begun: JSON, or JSON inside a string."""
    source = calls.source
    if (yield from source.peek()) == "{":
        yield from skip_value(source, calls.arguments)
        calls.arguments()
    elif (yield from source.peek()) == '"':
        yield from skip_string(source)
        calls.put(_inside(source.take()))
    else:
        yield from skip_value(source)
        calls.put(source.take().replace("null", "{}"))


def _inside(text: str) -> str:
    """What a JSON string holds; the text itself where it was cut."""
    try:
        return str(decoded(text)) or "{}"
    except ValueError:
        return text
