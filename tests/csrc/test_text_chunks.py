"""Texts that the stream writer sends to clients of HTTP itself."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _core, _core_tests
from protocol.dialects.event_stream import TextEvent, sse
from protocol.dialects.shape import to_json

PATIENCE_S = 60.0
EXECUTION = "exec-1"


def event_of(choice: int) -> TextEvent:
    return TextEvent(lambda text: sse(to_json({"choice": choice, "text": text})))


EVENTS = (event_of(0), event_of(1))


@dataclass
class Answer:
    """The body of an answer, which the event loop and the writer send, and the client that reads it."""

    ours: socket.socket
    theirs: socket.socket
    events: _core_tests.EventBuffer = field(default_factory=_core_tests.EventBuffer)
    outbox: bytes = b""
    body: bytes = b""

    def __post_init__(self) -> None:
        self.client = _core.ClientSocket(self.ours.fileno(), chunks=True)
        self.writer = _core_tests.stream_writer(self.events)
        self.writer.open(1, self.client, request_id=1, execution_id=EXECUTION, choices=2)
        self.server = h11.Connection(h11.SERVER)
        self.reader = h11.Connection(h11.CLIENT)
        self.server.receive_data(
            self.reader.send(h11.Request(method="GET", target="/", headers=[("host", "engine")])) or b""
        )
        self.reader.send(h11.EndOfMessage())
        self.server.next_event()
        self.write(self.server.send(h11.Response(status_code=200, headers=[])) or b"")

    def tell_texts(self) -> None:
        self.client.tell_texts(EXECUTION, [(one.before, one.behind) for one in EVENTS])

    def say(self, text: str, choice: int = 0, *, ends: bool = False) -> None:
        self.events.add(1, choice, text, 0, (7,), ends)
        self.events.announce()

    def drain(self) -> list[_core.SequenceEvents]:
        assert select.select([self.writer.event_fd], [], [], PATIENCE_S)[0]
        return self.writer.drain()

    def pass_on(self, drained: list[_core.SequenceEvents]) -> None:
        """What the gateway does with texts that were not sent."""
        for events in drained:
            if text := events.text[events.sent_characters :]:
                chunk = self.server.send(h11.Data(data=EVENTS[events.choice].with_text(text)))
                self.write(chunk or b"")
            if len(events.token_ids) > events.sent_tokens:
                self.client.mark_posted(EXECUTION)

    def write(self, data: bytes) -> None:
        self.outbox = self.client.send(data) if not self.outbox else self.outbox + data

    def flush(self) -> None:
        self.outbox = self.client.send(self.outbox)
        if not self.outbox:
            self.client.release()

    def open_line(self) -> None:
        self.tell_texts()
        self.say("first")
        self.pass_on(self.drain())

    def read(self) -> bool:
        """Whether anything had arrived."""
        if not select.select([self.theirs], [], [], 0)[0]:
            return False
        self.reader.receive_data(self.theirs.recv(1 << 16))
        while isinstance(event := self.reader.next_event(), (h11.Data, h11.Response)):
            if isinstance(event, h11.Data):
                self.body += bytes(event.data)
        return True

    def texts(self) -> list[tuple[int, str]]:
        """All that the client has read."""
        told = [json.loads(line[6:]) for line in self.body.split(b"\n\n") if line]
        return [(one["choice"], one["text"]) for one in told]


@contextmanager
def answer(family: socket.AddressFamily = socket.AF_UNIX, buffer_bytes: int | None = None) -> Iterator[Answer]:
    ours, theirs = connected(family, buffer_bytes)
    with ours, theirs:
        one = Answer(ours, theirs)
        try:
            yield one
        finally:
            one.writer.close()
            one.client.close()


def connected(family: socket.AddressFamily, buffer_bytes: int | None) -> tuple[socket.socket, socket.socket]:
    if family == socket.AF_UNIX:
        ours, theirs = socket.socketpair(family, socket.SOCK_STREAM)
    else:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            if buffer_bytes is not None:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            ours = socket.create_connection(listening.getsockname())
            theirs, _ = listening.accept()
    if buffer_bytes is not None:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    return ours, theirs


@pytest.mark.slow
@given(text=st.text(min_size=1, max_size=300), choice=st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_text_becomes_the_event_that_its_dialect_makes_of_it(text: str, choice: int) -> None:
    with answer() as one:
        one.open_line()
        one.say(text + '\x00\x1f\x7f"\\\x85\u2028\u2029\u2027é🙂\n', choice)
        one.drain()
        while one.body.count(b"\n\n") != 2:
            one.read()
        expected = EVENTS[choice].with_text(text + '\x00\x1f\x7f"\\\x85\u2028\u2029\u2027é🙂\n')
        assert one.body == EVENTS[0].with_text("first") + expected


def test_nothing_is_sent_before_the_gateway_says_how() -> None:
    with answer() as one:
        one.say("first")
        one.pass_on(one.drain())
        one.say("second")
        (passed_on,) = one.drain()
        assert passed_on.sent_characters == 0
        one.tell_texts()
        one.pass_on([passed_on])
        one.say("third")
        assert one.drain()[0].sent_characters == len("third")


def test_tokens_without_a_text_are_nothing_to_the_client_and_leave_the_line_open() -> None:
    with answer() as one:
        one.open_line()
        one.say("")
        assert one.drain()[0].sent_tokens == 1
        one.say("more", ends=True)
        assert one.drain()[0].sent_characters == len("more")
        while one.read():
            pass
        assert one.texts() == [(0, "first"), (0, "more")]


def test_the_writer_counts_what_it_writes() -> None:
    with answer() as one:
        one.open_line()
        before = one.client.writes
        one.say("second")
        one.drain()
        assert one.client.writes == before + 1


@given(
    acts=st.lists(st.sampled_from(["say", "say", "say", "drain", "read", "flush"]), min_size=5, max_size=120),
    size=st.sampled_from([1, 300, 3000]),
    family=st.sampled_from([socket.AF_UNIX, socket.AF_INET]),
)
@settings(max_examples=60, deadline=None)
def test_no_chunk_is_lost_or_torn_or_out_of_order_whoever_sends_it(
    acts: list[str], size: int, family: socket.AddressFamily
) -> None:
    """A client that reads now and then, and a socket that holds little: over TCP it takes parts."""
    said: list[str] = []
    with answer(family, 4608) as one:
        one.open_line()

        def drain() -> None:
            one.pass_on(one.writer.drain())

        for act in acts:
            if act == "say":
                said.append(f"{len(said)}".ljust(size, "."))
                one.say(said[-1])
            elif act == "drain":
                drain()
            elif act == "flush" and one.outbox:
                one.flush()
            elif act == "read":
                one.read()
        one.writer.close()
        drain()
        one.write(one.server.send(h11.EndOfMessage()) or b"")
        while one.outbox:
            one.read()
            one.flush()
        while one.reader.their_state is not h11.DONE:
            one.read()
        assert "".join(text for _, text in one.texts()) == "first" + "".join(said)
