"""Tokens on their way to a client that two threads write to."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _core, _core_tests
from protocol.answers import Tokens
from protocol.codec import decode_engine, encode
from protocol.framing import FrameDecoder, encode_frame
from protocol.value import unvalidated

PATIENCE_S = 60.0
SEQUENCE = 1
REQUEST_ID = 2**40
EXECUTION = "exec-1"
tokens = unvalidated(Tokens)


@dataclass
class Desk:
    """A run loop's buffer, the writer that reads it, and the event loop's and the client's ends of a connection."""

    ours: socket.socket
    theirs: socket.socket
    events: _core_tests.EventBuffer = field(default_factory=_core_tests.EventBuffer)
    decoder: FrameDecoder = field(default_factory=FrameDecoder)
    received: list[Tokens] = field(default_factory=list)
    outbox: bytes = b""

    def __post_init__(self) -> None:
        self.client = _core.ClientSocket(self.ours.fileno())
        self.writer = _core_tests.stream_writer(self.events)
        self.writer.open(SEQUENCE, self.client, request_id=REQUEST_ID, execution_id=EXECUTION, choices=1)

    def say(self, text: str, token_ids: tuple[int, ...] = (), *, ends: bool = False) -> None:
        """What the run loop does after a step."""
        self.events.add(SEQUENCE, 0, text, 0, token_ids, ends)
        self.events.announce()

    def drain(self) -> list[_core.SequenceEvents]:
        """What the writer passes on, once there is something."""
        assert select.select([self.writer.event_fd], [], [], PATIENCE_S)[0]
        return self.writer.drain()

    def post(self, events: _core.SequenceEvents) -> None:
        """What the event loop does with tokens that were not sent."""
        text = events.text[events.sent_characters :]
        ids = tuple(events.token_ids[events.sent_tokens :])
        if not (text or ids):
            return
        frame = encode_frame(encode(tokens(request_id=1, execution_id=EXECUTION, token_ids=ids, text=text)))
        if not self.outbox:
            frame = self.client.send(frame)
        self.outbox += frame
        self.client.mark_posted(EXECUTION)

    def write_outbox(self) -> None:
        """Writes as much as the peer takes."""
        self.outbox = self.client.send(self.outbox)
        if not self.outbox:
            self.client.release()

    def read(self, messages: int) -> list[Tokens]:
        """What the client reads next, so many messages of it."""
        while len(self.received) < messages:
            assert select.select([self.theirs], [], [], PATIENCE_S)[0]
            self.read_waiting()
        taken, self.received = self.received[:messages], self.received[messages:]
        return taken

    def read_waiting(self) -> None:
        with suppress(BlockingIOError):
            while True:
                self._take(self.theirs.recv(1 << 16))

    def _take(self, data: bytes) -> None:
        for frame in self.decoder.feed(data):
            message = decode_engine(frame)
            assert isinstance(message, Tokens)
            self.received.append(message)

    def open_line(self) -> None:
        """The first tokens go by way of the event loop; then the writer may send."""
        self.say("first")
        for events in self.drain():
            self.post(events)
        assert [message.text for message in self.read(1)] == ["first"]


@contextmanager
def desk(buffer_bytes: int | None = None) -> Iterator[Desk]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        theirs.setblocking(False)
        if buffer_bytes is not None:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        one = Desk(ours, theirs)
        try:
            yield one
        finally:
            one.writer.close()
            one.client.close()


def test_the_first_tokens_are_left_to_the_event_loop_which_may_have_more_to_say_before_them() -> None:
    with desk() as one:
        one.say("a", (1,))
        (passed_on,) = one.drain()
        assert (passed_on.text, passed_on.sent_characters, passed_on.sent_tokens) == ("a", 0, 0)
        one.read_waiting()
        assert one.received == []


@given(
    token_ids=st.lists(st.integers(0, 2**31 - 1), max_size=40),
    text=st.text(min_size=1, max_size=300),
    request_id=st.integers(0, 2**63 - 1),
    execution_id=st.text(max_size=300),
    choice=st.integers(0, 300),
)
@settings(max_examples=50, deadline=None)
def test_what_the_writer_sends_is_the_message_that_the_protocol_defines(
    token_ids: list[int], text: str, request_id: int, execution_id: str, choice: int
) -> None:
    with desk() as one:
        one.writer.open(5, one.client, request_id=request_id, execution_id=execution_id, choices=1)
        one.events.add(5, choice, "first", 0)
        one.events.announce()
        one.drain()
        one.client.mark_posted(execution_id)
        one.events.add(5, choice, text, 0, token_ids)
        one.events.announce()
        assert one.read(1) == [
            Tokens(
                request_id=request_id,
                execution_id=execution_id,
                choice=choice,
                token_ids=tuple(token_ids),
                text=text,
            )
        ]


def test_the_event_loop_hears_of_what_was_sent_with_what_was_not() -> None:
    with desk() as one:
        one.open_line()
        one.say("é🙂", (7,))
        one.read(1)
        one.client.give_up()
        one.say("b", (8,))
        (passed_on,) = one.drain()
        assert (passed_on.text, passed_on.sent_characters) == ("é🙂b", 2)
        assert (passed_on.token_ids, passed_on.sent_tokens) == ([7, 8], 1)


def test_what_was_sent_is_passed_on_without_anything_to_send_with_it() -> None:
    with desk() as one:
        one.open_line()
        one.say("a", (7,))
        (passed_on,) = one.drain()
        assert (passed_on.sent_characters, passed_on.sent_tokens) == (1, 1)


def test_nothing_is_sent_in_the_middle_of_what_the_event_loop_writes() -> None:
    with desk(buffer_bytes=4096) as one:
        one.open_line()
        large = b"x" * 1_000_000
        left = one.client.send(large)
        assert 0 < len(left) < len(large)
        one.say("a")
        (passed_on,) = one.drain()
        assert passed_on.sent_characters == 0


def test_tokens_wait_for_those_before_them_that_the_event_loop_has_not_posted() -> None:
    with desk() as one:
        one.open_line()
        assert one.client.send(b"") == b""  # the socket is free
        one.say("one ")
        one.read(1)
        one.client.give_up()
        one.say("two ")
        (behind,) = one.drain()
        one.say("three")
        (further,) = one.drain()
        assert (behind.sent_characters, further.sent_characters) == (len("one "), 0)


def test_a_client_that_was_given_up_is_sent_nothing() -> None:
    with desk() as one:
        one.open_line()
        one.client.give_up()
        one.say("a")
        one.drain()
        one.client.mark_posted(EXECUTION)
        one.say("b")
        assert one.drain()[0].sent_characters == 0
        one.read_waiting()
        assert one.received == []


def test_nothing_is_written_to_a_descriptor_that_was_given_back() -> None:
    with desk() as one:
        one.open_line()
        one.client.close()
        one.say("a")
        assert one.drain()[0].sent_characters == 0
        assert one.client.send(b"abc") == b"abc"
        one.read_waiting()
        assert one.received == []


def test_a_client_that_has_hung_up_takes_nothing() -> None:
    with desk() as one:
        one.open_line()
        one.theirs.close()
        one.say("a")
        assert one.drain()[0].sent_characters == 0


def test_the_end_is_passed_on_at_once_and_the_line_with_it() -> None:
    with desk() as one:
        one.open_line()
        one.say("end", ends=True)
        (last,) = one.drain()
        assert (last.stop_reason, last.sent_characters) == ("cancelled", 3)
        one.say("later")
        assert one.drain()[0].sent_characters == 0


def test_closing_passes_on_what_the_run_loop_said_last() -> None:
    with desk() as one:
        one.events.add(SEQUENCE, 0, "last", 3_600_000)
        one.writer.close()
        assert [events.text for events in one.writer.drain()] == ["last"]


@given(
    acts=st.lists(st.sampled_from(["say", "say", "say", "drain", "read", "write"]), min_size=5, max_size=120),
    size=st.sampled_from([1, 300, 3000]),
)
@settings(max_examples=60, deadline=None)
def test_no_text_is_lost_or_doubled_or_out_of_order_whoever_sends_it(acts: list[str], size: int) -> None:
    """A client that reads now and then, an event loop that comes now and then, and a socket that holds little."""
    said: list[str] = []
    with desk(buffer_bytes=4608) as one:
        accounted: list[str] = []

        def drain() -> None:
            for events in one.writer.drain():
                accounted.append(events.text)
                one.post(events)

        for act in acts:
            if act == "say":
                text = f"{len(said)}".ljust(size, ".")
                said.append(text)
                one.say(text, (len(said),))
            elif act == "drain":
                drain()
            elif act == "write" and one.outbox:
                one.write_outbox()
            elif act == "read":
                one.read_waiting()
        one.writer.close()
        drain()
        while one.outbox:
            one.read_waiting()
            left = len(one.outbox)
            one.write_outbox()
            assert len(one.outbox) < left, "a socket with room takes nothing"
        one.read_waiting()
        assert "".join(accounted) == "".join(said)
        assert "".join(message.text for message in one.received) == "".join(said)
        assert [each for message in one.received for each in message.token_ids] == list(range(1, len(said) + 1))
