"""The engine's run loop in this process: rates by its own clock, without load, tokenization or a client."""

from __future__ import annotations

import select
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from typing_extensions import Self

from engine import _core
from engine.artifact.non_finite import non_finite_result
from engine.bench.work import Work
from engine.speculation_options import speculation_options
from protocol.errors import EngineError, InternalError
from protocol.plan import ExecutionRequest
from protocol.sampling import SAMPLERS
from protocol.speculation import PlanSpeculation

_DEFAULTS = ExecutionRequest()
_PATIENCE_S = 600.0


class MeasuredLoop:
    """One model on one backend, with the settings that a plan has by default; past any end of sequence."""

    def __init__(
        self,
        path: Path,
        backend: str,
        threads: int,
        kv_cache: str = "f16",
        *,
        op_times: bool = False,
        speculation: PlanSpeculation | None = None,
    ) -> None:
        """``speculation``'s own model is loaded as it is in its file. Raises what ``_core.Model.load`` raises."""
        self._name = path.stem
        file = _core.GgufFile(str(path))
        self.model = _core.Model.load(file, backend, threads)
        self._vocabulary = _core.Vocabulary(file)
        self._threads = threads
        self._kv_cache = kv_cache
        self._op_times = op_times
        asked = speculation or PlanSpeculation()
        draft = None if asked.model is None else _core.Model.load(asked.model.path, backend, threads)
        self._speculation = speculation_options(asked, draft)
        self._loop = _core.RunLoop()
        self._tokens = np.random.default_rng(0)
        self._submitted = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the run loop."""
        self._loop.close()

    def rate(self, work: Work, samplings: Sequence[Mapping[str, Any]] = ({},)) -> float:
        """Tokens a second, the median of the work's repetitions.

        ``samplings`` are fields of ``_core.SamplingOptions``, which sequences take in turn; without any it is greedy.

        Raises:
            ValueError: the model's context is too short for the work.
            NonFiniteResult: the model computed NaN or infinities.
            InternalError: the run loop failed.
        """
        if max(work.prompt, 1) + work.generated + 1 > self.model.context_length:
            raise ValueError(f"{work.name} does not fit a context of {self.model.context_length}")
        return statistics.median(self._rate(work, samplings) for _ in range(work.repetitions))

    def _rate(self, work: Work, samplings: Sequence[Mapping[str, Any]]) -> float:
        start_ns, times = self._run(work, samplings)
        if work.is_prefill:
            return work.prompt / ((times[0][0] - start_ns) / 1e9)
        return decode_rate(times)

    def _run(self, work: Work, samplings: Sequence[Mapping[str, Any]]) -> tuple[int, list[list[int]]]:
        """When the first prefill began, and when each sequence had its tokens, in ns."""
        times: dict[int, list[int]] = {}
        for number in range(work.sequences):
            self._submitted += 1
            times[self._submitted] = []
            self._submit(self._submitted, work, samplings[number % len(samplings)])
        starts: list[int] = []
        ended = 0
        failure: EngineError | None = None
        while ended < work.sequences:
            if not select.select([self._loop.event_fd], [], [], _PATIENCE_S)[0]:
                raise RuntimeError("the run loop went silent")
            for events in self._loop.drain():
                times[events.sequence_id] += events.token_times_ns
                if events.prefill_start_ns is not None:
                    starts.append(events.prefill_start_ns)
                if events.stop_reason is not None:
                    ended += 1
                    failure = failure or self._failure(events)
        if failure is not None:
            raise failure
        if any(len(each) != work.generated + 1 for each in times.values()):
            raise RuntimeError(f"{work.name}: a sequence ended early")
        return min(starts), list(times.values())

    def _failure(self, events: _core.SequenceEvents) -> EngineError | None:
        if events.stop_reason != "error":
            return None
        if events.non_finite is None:
            return InternalError(f"{self._name}: {events.error}", model=self._name)
        return non_finite_result(self._name, events.error, events.non_finite)

    def _submit(self, sequence_id: int, work: Work, sampling: Mapping[str, Any]) -> None:
        prompt = self._tokens.integers(self.model.vocab_size, size=max(work.prompt, 1)).tolist()
        settings = _core.GroupSettings(
            self.model,
            threads=self._threads,
            spin_us=_DEFAULTS.spin_us,
            prefill_chunk=_DEFAULTS.prefill_chunk,
        )
        options = _core.SequenceOptions(
            kv_cache=self._kv_cache,
            context_length=len(prompt) + work.generated + 1,
            max_tokens=work.generated + 1,
            sampling=_core.SamplingOptions(**{"order": SAMPLERS, "seed": sequence_id, **sampling}),
            flush_ms=3_600_000,
            op_times=self._op_times,
            speculation=self._speculation,
        )
        self._loop.submit(sequence_id, settings, prompt, self._vocabulary, options)


def decode_rate(times: Sequence[Sequence[int]]) -> float:
    """Tokens a second over all sequences, given when each had its tokens, in ns.

    Counted from when the last sequence has its first token until the first sequence has its last: all decode meanwhile.

    Raises:
        ValueError: there is no such time.
    """
    begin, end = max(each[0] for each in times), min(each[-1] for each in times)
    if begin >= end:
        raise ValueError("a sequence had ended before another began: they have too few tokens to decode side by side")
    tokens = sum(begin < time <= end for each in times for time in each)
    return tokens / ((end - begin) / 1e9)
