"""What is said in ``engine-ctl chat``, turn by turn."""

from __future__ import annotations

from typing import Any

from engine_ctl.execution import parse_request
from protocol.plan import RunRequest
from protocol.record import ExecutionRecord

_PLACEHOLDER = "Hello"


class Conversation:
    """The model, the settings and all that was said; every turn's request holds the whole of it."""

    def __init__(self, opening: dict[str, Any]) -> None:
        """``opening``: a request in plain values whose ``messages`` are what comes before the user's first word.

        Its prefix cache is on unless it says otherwise: each turn begins with all the turns before it.
        """
        self._model: str = opening["model"]
        self._execution: dict[str, Any] = {"prefix_cache": "on", **opening.get("execution", {})}
        self._opening: tuple[dict[str, Any], ...] = opening["messages"]
        self._said: list[dict[str, Any]] = []
        self.last: ExecutionRecord | None = None
        """The latest answer's."""

    @property
    def turns(self) -> int:
        """The number of finished turns."""
        return len(self._said) // 2

    def request(self, text: str = _PLACEHOLDER, **changes: Any) -> RunRequest:
        """The request for an answer to ``text``, with ``changes`` to the settings.

        Raises:
            InvalidRequest: a setting is out of its range.
        """
        messages = (*self._opening, *self._said, {"role": "user", "content": text})
        return parse_request({"model": self._model, "messages": messages, "execution": {**self._execution, **changes}})

    def answered(self, text: str, record: ExecutionRecord) -> None:
        """Keep a turn; an answer that was stopped stays as far as it came."""
        self._said += ({"role": "user", "content": text}, {"role": "assistant", "content": record.result})
        self.last = record

    def change(self, **settings: Any) -> None:
        """Change settings from the next turn on."""
        self._execution.update(settings)

    def begin_anew(self) -> None:
        """Forget what was said; settings and system message stay."""
        self._said.clear()
