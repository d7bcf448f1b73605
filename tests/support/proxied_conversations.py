"""Conversations with several engines behind one address, and what holds of them when an engine is killed.

For any proxy; the standard library alone, so that tests in the environment of others' clients use it too.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

SYSTEM = {"role": "system", "content": "You answer in one sentence. " * 20}
QUESTIONS = tuple(f"What is the {number}th letter of the alphabet?" for number in range(1, 9))
_AT_A_TIME = 6
_ROUNDS = 2


@dataclass(frozen=True)
class Answer:
    text: str
    engine: str
    """As the proxy's header names it; of several that were asked, the last."""


@dataclass(frozen=True)
class Front:
    """A proxy's address and how it names the engine that answered."""

    url: str
    model: str
    engine_header: str
    headers: Mapping[str, str]
    max_tokens: int = 12

    def ask(self, question: str, *earlier: dict[str, str]) -> Answer:
        """A question, behind a system message that all have in common; ``earlier``: what followed it already."""
        messages = [SYSTEM, {"role": "user", "content": question}, *earlier]
        content = {"model": self.model, "messages": messages, "max_tokens": self.max_tokens, "temperature": 0}
        request = urllib.request.Request(  # noqa: S310  a loopback address
            f"{self.url}/v1/chat/completions",
            json.dumps(content).encode(),
            {"Content-Type": "application/json", **self.headers},
        )
        with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310
            told = json.loads(response.read())
            engine = response.headers[self.engine_header].rpartition(", ")[2]
        return Answer(told["choices"][0]["message"]["content"], engine)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def wait_until_served(front: Front, seconds: float = 60.0) -> None:
    """Until a question is answered: the proxy listens, and knows an engine that is well."""
    ends = time.monotonic() + seconds
    while True:
        try:
            front.ask("Are you there?")
        except OSError as error:
            if time.monotonic() > ends:
                told = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
                raise AssertionError(f"{error}: {told}") from error
            time.sleep(0.1)
        else:
            return


def assert_conversations_stay_with_their_engine(front: Front) -> dict[str, str]:
    """Ask each question, and go on: the engine of the first answer has all of them. Which engine has which question."""
    found = {}
    for question in QUESTIONS:
        first = front.ask(question)
        reply = ({"role": "assistant", "content": first.text}, {"role": "user", "content": "And the next?"})
        assert {front.ask(question).engine, front.ask(question, *reply).engine} == {first.engine}
        found[question] = first.engine
    assert len(set(found.values())) > 1
    return found


def assert_no_request_is_lost(front: Front, kill: Callable[[], object]) -> list[Answer]:
    """Ask from several clients at once and ``kill`` an engine in the middle: each answer comes, with the same text."""
    expected = {question: front.ask(question).text for question in QUESTIONS}
    begun = threading.Semaphore(0)

    def ask(question: str) -> tuple[str, Answer]:
        begun.release()
        return question, front.ask(question)

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        asked = [pool.submit(ask, question) for _ in range(_ROUNDS) for question in QUESTIONS]
        for _ in range(_AT_A_TIME * 2):
            begun.acquire()
        kill()
        answers = [one.result() for one in asked]
    assert len(answers) == _ROUNDS * len(QUESTIONS)
    assert [answer.text for _, answer in answers] == [expected[question] for question, _ in answers]
    return [answer for _, answer in answers]
