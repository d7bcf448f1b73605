"""Server-sent events read as a client reads them: from bytes that come in whatever pieces."""

from __future__ import annotations

import json
from typing import Any


class SseReader:
    """Feed it bytes; ``events`` holds the data of each event, ``comments`` how many lines of comment there were."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.names: list[str] = []
        """The name of each event; empty where it has none."""
        self.comments = 0
        self._buffer = b""

    def feed(self, data: bytes) -> None:
        self._buffer += data
        *blocks, self._buffer = self._buffer.split(b"\n\n")
        for block in blocks:
            self._read(block.decode())

    def _read(self, block: str) -> None:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, colon, value = line.partition(":")
            assert colon, f"no field: {line!r}"
            if not name:
                self.comments += 1
                continue
            assert name not in fields
            fields[name] = value.removeprefix(" ")
        if "data" in fields:
            self.events.append(fields["data"])
            self.names.append(fields.get("event", ""))

    @property
    def ended(self) -> bool:
        """Nothing half is left."""
        return not self._buffer


def read_events(data: bytes) -> list[Any]:
    """The events of a whole stream: JSON, and ``"[DONE]"`` as it is."""
    reader = SseReader()
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
    assert reader.ended
    return [one if one == "[DONE]" else json.loads(one) for one in reader.events]
