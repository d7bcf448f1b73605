"""What is said in ``engine-ctl chat``, turn by turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from engine_ctl.execution import parse_request
from engine_ctl.json_source import read_json
from protocol.plan import RunRequest
from protocol.record import ExecutionRecord

Content = dict[str, Any]

_PLACEHOLDER = "Hello"


class Conversation:
    """The model, the settings and all that was said; every turn's request holds the whole of it."""

    def __init__(self, opening: Content) -> None:
        """``opening``: a request in plain values whose ``messages`` are what comes before the user's first word.

        Its prefix cache is as :attr:`prefix_cache` unless it says otherwise.
        """
        self.prefix_cache = "on"
        """Each turn begins with all the turns before it; ``off`` for a model that cannot go on from these."""
        self._take(opening)
        self.last: ExecutionRecord | None = None
        """The latest answer's."""

    def _take(self, opening: Content) -> None:
        self.model: str = opening["model"]
        self._execution: Content = dict(opening.get("execution", {}))
        messages = tuple(opening["messages"])
        system = [message for message in messages if message["role"] == "system"][:1]
        self._system: str | None = system[0]["content"] if system else None
        self._said: list[Content] = [message for message in messages if message not in system]

    @property
    def asks_for_prefixes(self) -> bool:
        """Whether the settings say themselves what the prefix cache shall be."""
        return "prefix_cache" in self._execution

    @property
    def turns(self) -> int:
        """The number of finished turns."""
        return len(self._said) // 2

    def request(self, text: str = _PLACEHOLDER, settings: Content | None = None, model: str = "") -> RunRequest:
        """The request for an answer to ``text``, with changes to the settings, or to another ``model``.

        Raises:
            InvalidRequest: a setting is out of its range.
        """
        content = self._content(settings or {}, model or self.model)
        return parse_request({**content, "messages": (*content["messages"], {"role": "user", "content": text})})

    def answered(self, text: str, record: ExecutionRecord) -> None:
        """Keep a turn; an answer that was stopped stays as far as it came."""
        self._said += ({"role": "user", "content": text}, {"role": "assistant", "content": record.result})
        self.last = record

    def change(self, settings: Content) -> None:
        """Change settings from the next turn on."""
        self._execution = merged(self._execution, settings)

    def begin_anew(self) -> None:
        """Forget what was said; settings and system message stay."""
        self._said.clear()

    def undo(self) -> bool:
        """Forget the latest turn; whether there was one."""
        forgotten = bool(self._said)
        del self._said[-2:]
        return forgotten

    def instruct(self, system: str) -> None:
        """Have another system message from the next turn on; an empty one is none."""
        self._system = system or None

    def save(self, path: Path) -> None:
        """Write it to a file, as a Run Request without the next word. Raises OSError."""
        content = self._content({}, self.model)
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def load(self, path: Path) -> None:
        """Go on with what a file holds.

        Raises:
            click.BadParameter: it cannot be read, or holds no conversation.
            InvalidRequest: a field of it is wrong.
        """
        content = read_json(str(path), "/load")
        if not isinstance(content, dict) or not isinstance(content.get("messages"), tuple):
            raise click.BadParameter(f"{path} holds no conversation, which is an object with 'messages'")
        parse_request({**content, "messages": (*content["messages"], {"role": "user", "content": _PLACEHOLDER})})
        self._take(content)

    def _content(self, settings: Content, model: str) -> Content:
        system = () if self._system is None else ({"role": "system", "content": self._system},)
        execution = merged({"prefix_cache": self.prefix_cache, **self._execution}, settings)
        return {"model": model, "messages": (*system, *self._said), "execution": execution}


def merged(settings: Content, changes: Content) -> Content:
    """Settings with changes: fields of a field beside each other, all else in place of what was there."""
    both = {
        name: merged(settings[name], value)
        if isinstance(value, dict) and isinstance(settings.get(name), dict)
        else value
        for name, value in changes.items()
    }
    return {**settings, **both}
