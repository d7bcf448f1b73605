"""How the time of an execution divides into phases that follow one another without a gap. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from protocol.metrics import PHASES


@dataclass(frozen=True, slots=True)
class Timeline:
    """When things happened, in ``time.monotonic_ns``; ``None`` where they have not."""

    received_ns: int
    """The Run frame was complete."""
    prompt_tokens: int
    ended_ns: int
    """The record was made."""
    queued_ns: int | None = None
    """The plan was made; from here it waits for the scheduler."""
    admitted_ns: int | None = None
    """The scheduler let it go."""
    load_start_ns: int | None = None
    """Earlier than its admission where it joined the load of another execution."""
    load_end_ns: int | None = None
    """Its weights were ready; equal to ``load_start_ns`` where they were before."""
    prefill_start_ns: int | None = None
    cached_prompt_tokens: int | None = None
    drafts: tuple[tuple[int, int], ...] | None = None
    """Drafted and accepted tokens of each choice; ``None`` where the plan drafts none."""
    draft_ns: int | None = None
    """Computing time of a draft model for all choices; ``None`` where the plan has none."""
    compute_ns: int | None = None
    """Computing time of the run loop for all choices."""
    token_times_ns: tuple[int, ...] = ()
    other_times_ns: tuple[tuple[int, ...], ...] = ()
    """Token times of the other choices, where there are any."""

    @property
    def choices(self) -> tuple[tuple[int, ...], ...]:
        """The token times of all choices."""
        return (self.token_times_ns, *self.other_times_ns)


def phases_ms(timeline: Timeline) -> Mapping[str, float | None]:
    """The length of each phase; together they are exactly the time from ``received_ns`` to ``ended_ns``.

    The phase in which an execution ended lasts until its end; those that it never reached are ``None``.
    """
    lengths: dict[str, int | None] = dict.fromkeys(PHASES)
    phase, reached_ns = PHASES[0], timeline.received_ns
    for following, began_ns in (*_changes(timeline), ("", timeline.ended_ns)):
        boundary_ns = max(reached_ns, began_ns)
        lengths[phase] = (lengths[phase] or 0) + boundary_ns - reached_ns
        phase, reached_ns = following, boundary_ns
    return {name: None if length_ns is None else length_ns / 1e6 for name, length_ns in lengths.items()}


def _changes(timeline: Timeline) -> Iterator[tuple[str, int]]:
    """Each phase that followed, with the moment it began; what is not reached ends them."""
    if timeline.queued_ns is None:
        return
    yield "queue_ms", timeline.queued_ns
    if timeline.admitted_ns is None:
        return
    if timeline.load_start_ns is None or timeline.load_end_ns is None:
        yield "load_ms", timeline.admitted_ns
        return
    yield "start_ms", timeline.admitted_ns
    yield "load_ms", timeline.load_start_ns
    yield "start_ms", timeline.load_end_ns
    if timeline.prefill_start_ns is None:
        return
    yield "prefill_ms", timeline.prefill_start_ns
    times = [time_ns for choice in timeline.choices for time_ns in choice]
    if times:
        yield "decode_ms", min(times)
        yield "finish_ms", max(times)
