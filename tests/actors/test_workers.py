"""Threads that answer, and what must not keep them."""

from __future__ import annotations

import threading

import trio

from actors.policies.requester import Requester
from actors.workers import Workers
from engine.artifact.unread_files import UnreadFiles
from tests.actors.engine_factory import until


async def test_files_that_must_be_read_first_keep_no_worker() -> None:
    workers, asker = Workers(1), Requester(user="uid:1", client="pid:1")
    may_end, reading, known = threading.Event(), threading.Event(), threading.Event()
    answers: list[str] = []

    def read() -> None:
        reading.set()
        may_end.wait()
        known.set()

    def plan() -> str:
        if not known.is_set():
            raise UnreadFiles(read)
        return "planned"

    async def ask() -> None:
        answers.append(await workers.run(asker, plan))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await until(reading.is_set)
        assert await workers.run(asker, lambda: "answered meanwhile") == "answered meanwhile"
        may_end.set()
    assert answers == ["planned", "planned"]
