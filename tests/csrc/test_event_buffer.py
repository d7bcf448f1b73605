"""What waits for the reader, and for how long."""

from __future__ import annotations

import select
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from engine import _core_tests

LONG_MS = 3_600_000
SHORT_MS = 20
PATIENCE_S = 60.0


def readable(buffer: _core_tests.EventBuffer, within_s: float = 0.0) -> bool:
    return bool(select.select([buffer.event_fd], [], [], within_s)[0])


def buffer_just_drained() -> _core_tests.EventBuffer:
    buffer = _core_tests.EventBuffer()
    buffer.drain()
    return buffer


def test_what_may_not_wait_is_told_when_the_step_is_announced() -> None:
    buffer = buffer_just_drained()
    buffer.add(1, 0, "a", 0)
    assert not readable(buffer)
    buffer.announce()
    assert readable(buffer)


def test_what_follows_a_long_silence_is_told_when_the_step_is_announced() -> None:
    buffer = _core_tests.EventBuffer()  # nothing was ever drained
    buffer.add(1, 0, "a", LONG_MS)
    assert not readable(buffer)
    buffer.announce()
    assert readable(buffer)


def test_what_follows_soon_after_a_drain_waits_for_more() -> None:
    buffer = buffer_just_drained()
    for text in "abc":
        buffer.add(1, 0, text, LONG_MS)
        buffer.announce()
        assert not readable(buffer)


def test_what_waits_is_told_though_nobody_announces_it() -> None:
    """The writer may be in the middle of a long step."""
    buffer = buffer_just_drained()
    buffer.add(1, 0, "a", SHORT_MS)
    assert readable(buffer, PATIENCE_S)
    assert [events.text for events in buffer.drain()] == ["a"]
    assert not readable(buffer, SHORT_MS / 1e3 * 2)


def test_what_a_long_step_makes_is_told_before_it_announces_anything() -> None:
    buffer = _core_tests.EventBuffer()
    buffer.add(1, 0, "a", SHORT_MS)
    assert readable(buffer, PATIENCE_S)


def test_the_least_patient_decides() -> None:
    buffer = buffer_just_drained()
    buffer.add(1, 0, "a", LONG_MS)
    buffer.add(2, 0, "b", SHORT_MS)
    assert readable(buffer, PATIENCE_S)
    assert [events.text for events in buffer.drain()] == ["a", "b"]


def test_a_hastened_sequence_waits_no_longer_and_one_that_said_nothing_calls_nobody() -> None:
    buffer = buffer_just_drained()
    buffer.add(1, 0, "a", LONG_MS)
    buffer.hasten(2)
    buffer.announce()
    assert not readable(buffer)
    buffer.hasten(1)
    buffer.announce()
    assert readable(buffer)


def test_a_drain_takes_the_call_back_whatever_it_came_from() -> None:
    buffer = buffer_just_drained()
    buffer.add(1, 0, "a", SHORT_MS)
    assert readable(buffer, PATIENCE_S)  # the timer
    buffer.add(1, 0, "b", 0)
    buffer.announce()  # and the bell
    buffer.drain()
    assert not readable(buffer)
    assert buffer.drain() == []


DEEDS = st.one_of(
    st.tuples(
        st.just("add"),
        st.integers(1, 3),
        st.integers(0, 1),
        st.text("añ🙂\n", max_size=3),
        st.sampled_from([0, 1, LONG_MS]),
    ),
    st.sampled_from([("announce",), ("drain",), ("hasten", 1)]),
)


@given(st.lists(DEEDS, max_size=40))
def test_no_order_of_events_loses_or_doubles_text(deeds: list[tuple[object, ...]]) -> None:
    buffer = _core_tests.EventBuffer()
    added: dict[tuple[int, int], str] = defaultdict(str)
    drained: dict[tuple[int, int], str] = defaultdict(str)

    def drain() -> None:
        for events in buffer.drain():
            drained[events.sequence_id, events.choice] += events.text

    for name, *arguments in deeds:
        if name == "drain":
            drain()
            continue
        if name == "add":
            sequence_id, choice, text, _ = arguments
            added[sequence_id, choice] += text  # type: ignore[index, operator]
        getattr(buffer, str(name))(*arguments)
    drain()
    assert drained == added
    assert not readable(buffer)
