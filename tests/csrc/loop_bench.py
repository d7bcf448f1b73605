"""A run loop, and what its sequences did, gathered."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from typing_extensions import Self

from engine import _core
from protocol.sampling import SAMPLERS

PATIENCE_S = 120.0
FOREVER = 1_000_000
"""More tokens than any test waits for."""
EMPTY = {"sequences": 0, "kv_cache_bytes": 0}


@dataclass
class Story:
    """All that one sequence has told so far."""

    token_ids: list[int] = field(default_factory=list)
    token_times_ns: list[int] = field(default_factory=list)
    logprobs: list[tuple[float, list[tuple[int, float]]]] = field(default_factory=list)
    text: str = ""
    prefill_starts_ns: list[int] = field(default_factory=list)
    cached_prompt_tokens: int | None = None
    stop_reasons: list[str] = field(default_factory=list)
    error: str = ""
    non_finite: tuple[str, int | None, int] | None = None
    """Part, layer and position."""
    logits_digest: str = ""
    compute_ns: int = 0
    busy_ns: int = 0
    operation_ns: dict[str, int] | None = None
    kv_cache_bytes: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    draft_ns: int = 0

    def hear(self, events: _core.SequenceEvents) -> None:
        assert not self.stop_reasons, "an end is the last that is heard"
        self.token_ids += events.token_ids
        self.token_times_ns += events.token_times_ns
        self.logprobs += events.logprobs
        self.text += events.text
        if events.prefill_start_ns is not None:
            self.prefill_starts_ns.append(events.prefill_start_ns)
            self.cached_prompt_tokens = events.cached_prompt_tokens
        if events.stop_reason is not None:
            self.stop_reasons.append(events.stop_reason)
        self.error += events.error
        if events.non_finite is not None:
            self.non_finite = place_of(events.non_finite)
        self.logits_digest += events.logits_digest
        self.compute_ns += events.compute_ns
        self.busy_ns += events.busy_ns
        self.operation_ns = events.operation_ns
        self.kv_cache_bytes = events.kv_cache_bytes
        self.drafted_tokens = events.drafted_tokens
        self.accepted_tokens = events.accepted_tokens
        self.draft_ns = events.draft_ns

    @property
    def result(self) -> tuple[tuple[int, ...], str, list[str], str]:
        """What must be the same in every run."""
        return tuple(self.token_ids), self.text, self.stop_reasons, self.logits_digest


def place_of(place: _core.NonFinitePlace) -> tuple[str, int | None, int]:
    return place.part, place.layer, place.position


class LoopBench:
    """Submits sequences with plain settings and listens as the engine does: only when the descriptor is readable."""

    def __init__(self, vocabulary: _core.Vocabulary, prefix_cache_bytes: int = 0) -> None:
        self.loop = _core.RunLoop(prefix_cache_bytes)
        self.vocabulary = vocabulary
        self.stories: dict[int, Story] = {}
        """Stories of each sequence's first choice."""
        self.choices: dict[tuple[int, int], Story] = {}
        self.wakeups = 0
        self.paused: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.loop.close()

    def submit(
        self,
        sequence_id: int,
        model: _core.Model,
        prompt: Sequence[int],
        *,
        kv_cache: str = "f16",
        threads: int = 1,
        prefill_chunk: int = 256,
        context_length: int = 1 << 20,
        max_tokens: int = 16,
        seed: int = 0,
        logprobs: int | None = None,
        choices: int = 1,
        speculation: _core.SpeculationOptions | None = None,
        eos: Sequence[int] = (),
        stops: Sequence[str] = (),
        stop_string_token_ids: Sequence[int] = (),
        stop_token_ids: Sequence[int] = (),
        flush_ms: int = 0,
        prefill_rank: int = 0,
        prefill_share: int = 65536,
        prefill_beside_decode: int = 65536,
        prefix_cache: bool = False,
        op_times: bool = False,
        vocabulary: _core.Vocabulary | None = None,
        grammar: _core.Grammar | None = None,
        thinking: _core.ThinkingOptions | None = None,
        spelled: Mapping[int, str] | None = None,
        **sampling: Any,
    ) -> None:
        settings = _core.GroupSettings(model, threads=threads, spin_us=50, prefill_chunk=prefill_chunk)
        options = _core.SequenceOptions(
            kv_cache=kv_cache, context_length=context_length, max_tokens=max_tokens,
            sampling=_core.SamplingOptions(order=SAMPLERS, seed=seed, **sampling), logprobs=logprobs, choices=choices,
            speculation=speculation,
            eos_token_ids=eos, stop_strings=stops, stop_string_token_ids=stop_string_token_ids,
            stop_token_ids=stop_token_ids, flush_ms=flush_ms, prefill_rank=prefill_rank,
            prefill_share=prefill_share, prefill_beside_decode=prefill_beside_decode, prefix_cache=prefix_cache,
            op_times=op_times, grammar=grammar, thinking=thinking, spelled=spelled or {},
        )  # fmt: skip
        self.loop.submit(sequence_id, settings, prompt, vocabulary or self.vocabulary, options)
        for choice in range(choices):
            self.choices[sequence_id, choice] = Story()
        self.stories[sequence_id] = self.choices[sequence_id, 0]

    def occupancy(self) -> dict[str, int]:
        return {name: value for name, value in self.loop.statistics().items() if name in EMPTY}

    def pause(self, sequence_id: int) -> bool:
        """Returns when nothing is computed for it any more: whether it is paused, and has not ended before."""
        self.paused.add(sequence_id)
        self.loop.pause(sequence_id)
        self._wait_for_pauses()
        return sequence_id in self.paused

    def resume(self, sequence_id: int) -> None:
        self.paused.remove(sequence_id)
        self.loop.resume(sequence_id)
        self._wait_for_pauses()

    def _wait_for_pauses(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while self.loop.statistics()["paused"] != len(self.paused):
            assert time.monotonic() < end, "the run loop did not do as it was told"
            if self.readable(0.001):
                self.listen()
            self.paused -= {sequence_id for sequence_id, story in self.stories.items() if story.stop_reasons}

    def readable(self, patience_s: float = 0.0) -> bool:
        return bool(select.select([self.loop.event_fd], [], [], patience_s)[0])

    def listen(self) -> None:
        assert self.readable(PATIENCE_S), "the run loop went silent"
        self.wakeups += 1
        for events in self.loop.drain():
            self.choices[events.sequence_id, events.choice].hear(events)

    def listen_until(self, heard: Callable[[], bool]) -> None:
        while not heard():
            self.listen()

    def wait_for_token(self, sequence_id: int, count: int = 1) -> None:
        story = self.stories[sequence_id]
        self.listen_until(lambda: len(story.token_ids) >= count or bool(story.stop_reasons))

    def wait_for_start(self, sequence_id: int) -> None:
        self.listen_until(lambda: bool(self.stories[sequence_id].prefill_starts_ns))

    def finish(self, *sequence_ids: int) -> Story:
        """Listens until all of them have ended; the first one's story."""
        self.listen_until(lambda: all(self.stories[sequence_id].stop_reasons for sequence_id in sequence_ids))
        return self.stories[sequence_ids[0]]

    def finish_choices(self, sequence_id: int) -> list[Story]:
        """Listens until every choice of the sequence has ended; their stories."""
        stories = [story for (of, _), story in self.choices.items() if of == sequence_id]
        self.listen_until(lambda: all(story.stop_reasons for story in stories))
        return stories

    def run(self, model: _core.Model, prompt: Sequence[int], **options: object) -> Story:
        """One sequence from begin to end."""
        sequence_id = len(self.stories) + 1
        self.submit(sequence_id, model, prompt, **options)  # type: ignore[arg-type]
        return self.finish(sequence_id)
