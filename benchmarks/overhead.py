"""Cost of the runtime: decoding through the socket against the run loop with no client attached.

Both run the same prompts and the same number of tokens, in turn, so that a drift of the machine meets both alike. A
rate is a sequence's own, between its first and its last token, by the run loop's clock: the median over those side by
side. Everything that an engine does by default is on: records, metrics, events that last.
"""

from __future__ import annotations

import select
import statistics
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.support.report import Figure
from benchmarks.support.served import served_from
from benchmarks.support.setting import Setting
from engine import _core
from engine.config import default_config
from engine.models.registry import ModelRegistry
from protocol.answers import Finished
from protocol.client import Client, connect
from protocol.plan import ExecutionPlan, ExecutionRequest, Limits, RunRequest, Stop, Stream
from protocol.requests import Plan

PROMPT = "The history of computing began long before the modern computer, with people who"
TOKENS = 256
ROUNDS = 15
SIDE_BY_SIDE = (1, 16)


def measure(setting: Setting) -> list[Figure]:
    """Figures for the default flush interval and for none, which have bounds, with one sequence and with sixteen."""
    with TemporaryDirectory(prefix="engine-") as folder, served_from(Path(folder)) as engine:
        return trio.run(_measure, engine.socket, setting.model)


async def _measure(socket: Path, model: str) -> list[Figure]:
    figures: list[Figure] = []
    async with connect(socket) as client:
        for sequences in SIDE_BY_SIDE:
            figures += await _compare(client, _request(model, sequences, Stream().flush_ms), sequences, bound=0.97)
            figures += await _compare(client, _request(model, sequences, 0), sequences, bound=0.93)
    return figures


def _request(model: str, sequences: int, flush_ms: int) -> RunRequest:
    execution = ExecutionRequest(
        max_sequences=max(SIDE_BY_SIDE),
        limits=Limits(max_tokens=TOKENS),
        stop=Stop(eos=False),
        stream=Stream(flush_ms=flush_ms),
    )
    return RunRequest(model=model, prompt=PROMPT, execution=execution)


async def _compare(client: Client, request: RunRequest, sequences: int, bound: float) -> list[Figure]:
    plan = (await client.ask(Plan(request=request))).plan
    bare = _BareLoop(plan)
    await _through_socket(client, request, sequences)
    bare.rate(sequences)  # warm, like the engine after its first run
    loop, served = [], []
    for _ in range(ROUNDS):
        loop.append(bare.rate(sequences))
        served.append(await _through_socket(client, request, sequences))
    bare.close()
    label = f"{sequences} sequences, flush_ms {plan.stream.flush_ms}, {plan.threads} threads"
    ratios = [a / b for a, b in zip(served, loop, strict=True)]
    return [
        Figure(f"run loop alone, {label}", "tokens/s", loop),
        Figure(f"through the socket, {label}", "tokens/s", served),
        Figure(f"through the socket / run loop alone, {label}", "ratio", ratios, at_least=bound),
    ]


async def _through_socket(client: Client, request: RunRequest, sequences: int) -> float:
    rates: list[float] = []

    async def run() -> None:
        async with aclosing(client.run(request)) as messages:
            async for message in messages:
                if isinstance(message, Finished) and message.record.metrics.decode_tokens_per_sec is not None:
                    rates.append(message.record.metrics.decode_tokens_per_sec)

    async with trio.open_nursery() as nursery:
        for _ in range(sequences):
            nursery.start_soon(run)
    if len(rates) != sequences:
        raise RuntimeError("a run decoded nothing")
    return statistics.median(rates)


class _BareLoop:
    """The run loop in this process; only its last events are read."""

    def __init__(self, plan: ExecutionPlan) -> None:
        artifact = ModelRegistry(default_config()).resolve(plan.model_ref.path)
        self._model = _core.Model.load(str(Path(plan.model_ref.path)), plan.backend, plan.threads)
        self._vocabulary = artifact.tokenizer.vocabulary
        self._prompt = artifact.tokenizer.encode(PROMPT)
        self._loop = _core.RunLoop()
        self._plan = plan
        self._runs = 0

    def rate(self, sequences: int) -> float:
        """Tokens a second of one of ``sequences``, between its first and its last."""
        times: dict[int, list[int]] = {}
        for _ in range(sequences):
            self._runs += 1
            times[self._runs] = []
            self._submit(self._runs)
        running = set(times)
        while running:
            select.select([self._loop.event_fd], [], [])
            for events in self._loop.drain():
                times[events.sequence_id] += events.token_times_ns
                if events.stop_reason is not None:
                    running.discard(events.sequence_id)
        return statistics.median(_rate(each) for each in times.values())

    def _submit(self, sequence_id: int) -> None:
        plan = self._plan
        settings = _core.GroupSettings(
            self._model, threads=plan.threads, spin_us=plan.spin_us, prefill_chunk=plan.batch.prefill_chunk
        )
        options = _core.SequenceOptions(
            context_length=plan.batch.context_length, max_tokens=plan.limits.max_tokens, flush_ms=3_600_000
        )
        self._loop.submit(sequence_id, settings, self._prompt, self._vocabulary, options)

    def close(self) -> None:
        self._loop.close()


def _rate(times_ns: Sequence[int]) -> float:
    return (len(times_ns) - 1) / ((times_ns[-1] - times_ns[0]) / 1e9)
