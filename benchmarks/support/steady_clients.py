"""Clients that ask for the same short answers for as long as an engine lives, and hold each against the first."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import trio

from protocol.answers import Finished
from protocol.client import connect
from protocol.errors import EngineError
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.record import ExecutionRecord

_PROMPTS = ("Hello", "The sea", "Bread is", "A clock", "Two rivers", "A letter to", "The moon", "First frost")


@dataclass
class SteadyClients:
    """What they asked, and what came of it."""

    model: str
    expected: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The first answer to each prompt."""
    recorded: list[ExecutionRecord] = field(default_factory=list)
    unrecorded: Counter[str] = field(default_factory=Counter)
    """Answers that the engine could not keep, by its reason."""
    refused: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    """Answers with other tokens than the first."""

    async def ask(self, socket: Path, seconds: float) -> None:
        """All of them, side by side, for so long."""
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                for prompt in _PROMPTS:
                    nursery.start_soon(self._ask, socket, prompt)

    async def _ask(self, socket: Path, prompt: str) -> None:
        request = RunRequest(
            model=self.model, prompt=prompt, execution=ExecutionRequest(limits=Limits(max_tokens=8), max_sequences=8)
        )
        while True:
            try:
                async with connect(socket) as client:
                    while True:
                        async with aclosing(client.run(request)) as messages:
                            async for message in messages:
                                if isinstance(message, Finished):
                                    self._take(prompt, message)
            except EngineError as error:
                self.refused[error.code] += 1
                await trio.sleep(0.1)

    def _take(self, prompt: str, finished: Finished) -> None:
        token_ids = finished.record.token_ids
        self.wrong += self.expected.setdefault(prompt, token_ids) != token_ids
        if finished.unrecorded:
            self.unrecorded[finished.unrecorded] += 1
        else:
            self.recorded.append(finished.record)

    def __str__(self) -> str:
        return (
            f"{len(self.recorded)} answers recorded, {self.unrecorded.total()} not ({dict(self.unrecorded)}), "
            f"{self.wrong} of them other than before; refusals: {dict(self.refused) or 'none'}"
        )
